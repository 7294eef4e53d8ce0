#include "compiler/language/arithmetic.h"

#include <fmt/format.h>

#include <cmath>

namespace cardinal {

using ast::BinaryOp;

namespace {

std::string overflow(std::string_view what, int64_t a, int64_t b) {
  return fmt::format("{} {} {} does not fit an int", a, what, b);
}

Outcome finite(double x, std::string_view what) {
  if (std::isfinite(x)) return Value{x};
  return fmt::format("{} has no finite result", what);
}

// Rounds towards minus infinity, as Python does; b != 0 and not INT64_MIN / -1.
int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0); }

Outcome integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 0 || base == 1 || base == -1)
    return Value{base == -1 ? (exponent % 2 ? int64_t{-1} : int64_t{1}) : exponent == 0 ? 1 : base};
  for (int64_t i = 0; i < exponent; ++i)
    if (__builtin_mul_overflow(result, base, &result)) return overflow("**", base, exponent);
  return Value{result};
}

Outcome integer_arithmetic(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::add:
      if (__builtin_add_overflow(a, b, &result)) return overflow("+", a, b);
      return Value{result};
    case BinaryOp::subtract:
      if (__builtin_sub_overflow(a, b, &result)) return overflow("-", a, b);
      return Value{result};
    case BinaryOp::multiply:
      if (__builtin_mul_overflow(a, b, &result)) return overflow("*", a, b);
      return Value{result};
    case BinaryOp::power:
      if (b >= 0) return integer_power(a, b);
      return finite(std::pow(static_cast<double>(a), static_cast<double>(b)), "this power");
    default:
      break;
  }
  if (b == 0) return std::string("division by zero");
  if (a == INT64_MIN && b == -1) return overflow(spelling(op), a, b);
  if (op == BinaryOp::floor_divide) return Value{floor_divide(a, b)};
  if (op == BinaryOp::modulo) return Value{a - floor_divide(a, b) * b};
  if (a % b == 0) return Value{a / b};
  Value quotient{static_cast<double>(a) / static_cast<double>(b)};
  quotient.origin =
      std::make_shared<const Origin>(Origin{{}, fmt::format("{} / {} does not come out even", a, b)});
  return quotient;
}

Outcome float_arithmetic(BinaryOp op, double a, double b) {
  bool divides = op == BinaryOp::divide || op == BinaryOp::floor_divide || op == BinaryOp::modulo;
  if (divides && b == 0) return std::string("division by zero");
  std::string what = fmt::format("{} {} {}", show(Value{a}), spelling(op), show(Value{b}));
  switch (op) {
    case BinaryOp::add:
      return finite(a + b, what);
    case BinaryOp::subtract:
      return finite(a - b, what);
    case BinaryOp::multiply:
      return finite(a * b, what);
    case BinaryOp::divide:
      return finite(a / b, what);
    case BinaryOp::floor_divide:
      return finite(std::floor(a / b), what);
    case BinaryOp::modulo:
      return finite(a - std::floor(a / b) * b, what);
    default:
      return finite(std::pow(a, b), what);
  }
}

Outcome compare(BinaryOp op, const Value& a, const Value& b) {
  if (op == BinaryOp::equal) return Value{equal(a, b)};
  if (op == BinaryOp::not_equal) return Value{!equal(a, b)};
  if (!a.is_number() || !b.is_number())
    return fmt::format("'{}' compares numbers, not {} and {}", spelling(op), type_name(a), type_name(b));
  bool ints = a.as<int64_t>() && b.as<int64_t>();
  auto decide = [&](auto x, auto y) {
    switch (op) {
      case BinaryOp::less:
        return x < y;
      case BinaryOp::less_equal:
        return x <= y;
      case BinaryOp::greater:
        return x > y;
      default:
        return x >= y;
    }
  };
  return Value{ints ? decide(*a.as<int64_t>(), *b.as<int64_t>()) : decide(a.number(), b.number())};
}

Outcome list_of(std::vector<Value> elements) {
  if (std::string problem = list_problem(elements); !problem.empty()) return problem;
  return make_list(std::move(elements));
}

Outcome repeat(const List& list, int64_t times) {
  if (times < 0) return fmt::format("a list cannot be repeated {} times", times);
  if (!list.elements.empty() && static_cast<uint64_t>(times) > kMaxListLength / list.elements.size())
    return fmt::format("{} times {} elements is too long a list; the limit is {}", times,
                       list.elements.size(), kMaxListLength);
  std::vector<Value> elements;
  if (list.elements.empty()) return list_of({});
  for (int64_t i = 0; i < times; ++i)
    elements.insert(elements.end(), list.elements.begin(), list.elements.end());
  return list_of(std::move(elements));
}

Outcome concatenate(const List& a, const List& b) {
  std::vector<Value> elements = a.elements;
  elements.insert(elements.end(), b.elements.begin(), b.elements.end());
  return list_of(std::move(elements));
}

Outcome range(int64_t begin, int64_t end, int64_t step) {
  if (step == 0) return std::string("the step of a range cannot be 0");
  std::vector<Value> elements;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (elements.size() == kMaxListLength)
      return fmt::format("this range has more than {} elements", kMaxListLength);
    elements.push_back(Value{i});
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return make_list(std::move(elements));
}

}  // namespace

Outcome apply_binary(BinaryOp op, const Value& a, const Value& b) {
  if (op >= BinaryOp::equal && op <= BinaryOp::greater_equal) return compare(op, a, b);
  const auto *i = a.as<int64_t>(), *j = b.as<int64_t>();
  if (op == BinaryOp::range) {
    if (i && j) return range(*i, *j, 1);
    return fmt::format("'..' needs two ints, not {} and {}", type_name(a), type_name(b));
  }
  if (op == BinaryOp::add && a.list() && b.list()) return concatenate(*a.list(), *b.list());
  if (op == BinaryOp::multiply && a.list() && j) return repeat(*a.list(), *j);
  if (op == BinaryOp::multiply && i && b.list()) return repeat(*b.list(), *i);
  if (op == BinaryOp::add && a.string() && b.string()) {
    if (a.string()->size() + b.string()->size() > kMaxStringLength)
      return fmt::format("this string is longer than {} bytes", kMaxStringLength);
    return make_string(*a.string() + *b.string());
  }
  if (!a.is_number() || !b.is_number())
    return fmt::format("'{}' does not work on {} and {}{}", spelling(op), type_name(a), type_name(b),
                       op == BinaryOp::add && (a.string() || b.string())
                           ? "; a string takes a value in as in \"name{i}\""
                           : "");
  return i && j ? integer_arithmetic(op, *i, *j) : float_arithmetic(op, a.number(), b.number());
}

Outcome apply_unary(ast::UnaryOp op, const Value& a) {
  if (op == ast::UnaryOp::logical_not) {
    if (const auto* b = a.as<bool>()) return Value{!*b};
    return fmt::format("'not' needs a bool, not {}", type_name(a));
  }
  if (const auto* d = a.as<double>()) return Value{-*d};
  const auto* i = a.as<int64_t>();
  if (!i) return fmt::format("'-' needs a number, not {}", type_name(a));
  if (*i == INT64_MIN) return fmt::format("-({}) does not fit an int", *i);
  return Value{-*i};
}

Outcome apply_index(const Value& base, const Value& index) {
  const List* list = base.list();
  if (base.is_tensor())
    return "only lists can be indexed, not tensors; a part of a tensor is slice(x, c=[begin, end])";
  if (!list) return fmt::format("only lists can be indexed, not {}", type_name(base));
  const auto* i = index.as<int64_t>();
  if (!i) return fmt::format("an index must be an int, not {}", type_name(index));
  auto size = static_cast<int64_t>(list->elements.size());
  int64_t at = *i < 0 && *i >= -size ? *i + size : *i;
  if (at >= 0 && at < size) return list->elements[static_cast<size_t>(at)];
  if (size == 0) return fmt::format("index {} is out of range: the list is empty", *i);
  return fmt::format("index {} is out of range: the list has {} element{}, so it must be between {} and {}",
                     *i, size, size == 1 ? "" : "s", -size, size - 1);
}

namespace {

using Arguments = std::span<const Value>;

Outcome need_number(std::string_view name, const Value& value) {
  return fmt::format("{} needs a number, not {}", name, type_name(value));
}

// A float that is a whole number, as an int.
Outcome to_integer(double x) {
  if (std::abs(x) < 0x1p63) return Value{static_cast<int64_t>(x)};
  return fmt::format("{} does not fit an int", show(Value{x}));
}

template <double (*F)(double)>
Outcome rounded(std::string_view name, const Value& x) {
  if (x.as<int64_t>()) return x;
  if (!x.is_number()) return need_number(name, x);
  return to_integer(F(x.number()));
}

double half_to_even(double x) { return x - std::remainder(x, 1.0); }
double down(double x) { return std::floor(x); }
double up(double x) { return std::ceil(x); }
double towards_zero(double x) { return std::trunc(x); }

Outcome to_int(Arguments a) {
  if (const auto* b = a[0].as<bool>()) return Value{int64_t{*b}};
  return rounded<towards_zero>("int", a[0]);
}

template <double (*F)(double)>
Outcome real(std::string_view name, const Value& x) {
  if (!x.is_number()) return need_number(name, x);
  double result = F(x.number());
  if (std::isfinite(result)) return Value{result};
  return fmt::format("{}({}) has no finite result", name, show(x));
}

double natural_log(double x) { return std::log(x); }
double log_2(double x) { return std::log2(x); }
double exponential(double x) { return std::exp(x); }
double square_root(double x) { return std::sqrt(x); }

Outcome absolute(Arguments a) {
  if (const auto* d = a[0].as<double>()) return Value{std::abs(*d)};
  const auto* i = a[0].as<int64_t>();
  if (!i) return need_number("abs", a[0]);
  return *i < 0 ? apply_unary(ast::UnaryOp::negate, a[0]) : a[0];
}

// min and max take several numbers or one list.
Outcome extreme(std::string_view name, Arguments a, bool largest) {
  Arguments values = a.size() == 1 && a[0].list() ? Arguments(a[0].list()->elements) : a;
  if (values.empty()) return fmt::format("{} of an empty list", name);
  const Value* best = nullptr;
  for (const Value& value : values) {
    if (!value.is_number()) return need_number(name, value);
    bool better = !best || (largest ? value.number() > best->number() : value.number() < best->number());
    if (better) best = &value;
  }
  return *best;
}

Outcome sum(Arguments a) {
  if (!a[0].list()) return fmt::format("sum needs a list, not {}", type_name(a[0]));
  Value total{int64_t{0}};
  for (const Value& value : a[0].list()->elements) {
    if (!value.is_number()) return need_number("sum", value);
    Outcome next = apply_binary(BinaryOp::add, total, value);
    if (!std::holds_alternative<Value>(next)) return next;
    total = std::get<Value>(next);
  }
  return total;
}

Outcome length(Arguments a) {
  if (a[0].list()) return Value{static_cast<int64_t>(a[0].list()->elements.size())};
  if (a[0].string()) return Value{static_cast<int64_t>(a[0].string()->size())};
  return fmt::format("len needs a list or a string, not {}", type_name(a[0]));
}

Outcome range_function(Arguments a) {
  for (const Value& value : a)
    if (!value.as<int64_t>()) return fmt::format("range needs ints, not {}", type_name(value));
  int64_t begin = a.size() == 1 ? 0 : *a[0].as<int64_t>();
  int64_t end = *a[a.size() == 1 ? 0 : 1].as<int64_t>();
  return range(begin, end, a.size() == 3 ? *a[2].as<int64_t>() : 1);
}

Outcome to_float(Arguments a) {
  if (!a[0].is_number()) return need_number("float", a[0]);
  return Value{a[0].number()};
}

constexpr Builtin kBuiltins[] = {
    {"round", "round(x)", "nearest int; halves go to the even neighbour, as in Python: round(2.5) is 2", 1, 1,
     [](Arguments a) { return rounded<half_to_even>("round", a[0]); }},
    {"floor", "floor(x)", "largest int that is not above x", 1, 1,
     [](Arguments a) { return rounded<down>("floor", a[0]); }},
    {"ceil", "ceil(x)", "smallest int that is not below x", 1, 1,
     [](Arguments a) { return rounded<up>("ceil", a[0]); }},
    {"int", "int(x)", "x without its fraction; 1 for true, 0 for false", 1, 1, to_int},
    {"float", "float(x)", "x as a float", 1, 1, to_float},
    {"abs", "abs(x)", "x without its sign", 1, 1, absolute},
    {"min", "min(a, b, ...) or min(list)", "smallest", 1, -1,
     [](Arguments a) { return extreme("min", a, false); }},
    {"max", "max(a, b, ...) or max(list)", "largest", 1, -1,
     [](Arguments a) { return extreme("max", a, true); }},
    {"sum", "sum(list)", "sum of a list of numbers", 1, 1, sum},
    {"len", "len(list)", "number of elements of a list, or of bytes of a string", 1, 1, length},
    {"range", "range(end), range(begin, end) or range(begin, end, step)", "list of ints; `end` is not in it",
     1, 3, range_function},
    {"sqrt", "sqrt(x)", "square root", 1, 1, [](Arguments a) { return real<square_root>("sqrt", a[0]); }},
    {"exp", "exp(x)", "e to the x", 1, 1, [](Arguments a) { return real<exponential>("exp", a[0]); }},
    {"log", "log(x)", "natural logarithm", 1, 1, [](Arguments a) { return real<natural_log>("log", a[0]); }},
    {"log2", "log2(x)", "logarithm to base 2", 1, 1, [](Arguments a) { return real<log_2>("log2", a[0]); }},
};

}  // namespace

std::span<const Builtin> builtins() { return kBuiltins; }

const Builtin* find_builtin(std::string_view name) {
  for (const Builtin& builtin : kBuiltins)
    if (builtin.name == name) return &builtin;
  return nullptr;
}

}  // namespace cardinal
