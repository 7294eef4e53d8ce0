#include "ir/attr.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace cardinal;

namespace {

AttrValue integer(int64_t value) { return {value}; }
AttrValue real(double value) { return {value}; }
AttrValue flag(bool value) { return {value}; }
AttrValue word(std::string value) { return {std::move(value)}; }
AttrValue list(AttrValue::List items) { return {std::move(items)}; }

template <class T>
std::string error_of(const AttrValue& value) {
  T out{};
  return from_attr(value, out);
}

template <class T>
T converted(const AttrValue& value) {
  T out{};
  std::string error = from_attr(value, out);
  INFO(error);
  REQUIRE(error.empty());
  return out;
}

}  // namespace

TEST_CASE("attribute values print as they are written", "[attr]") {
  CHECK(to_string(integer(-3)) == "-3");
  CHECK(to_string(real(0.1)) == "0.1");
  CHECK(to_string(real(2)) == "2.0");
  CHECK(to_string(real(1e-5)) == "1e-05");
  CHECK(to_string(flag(true)) == "true");
  CHECK(to_string(word("same")) == "same");
  CHECK(to_string(word("a \"b\"\n\\")) == R"("a \"b\"\n\\")");
  CHECK(to_string(word("true")) == "\"true\"");
  CHECK(to_string(word("")) == "\"\"");
  CHECK(to_string(list({integer(3), list({}), word("x")})) == "[3, [], x]");
}

TEST_CASE("scalar attributes convert strictly", "[attr]") {
  CHECK(converted<int64_t>(integer(7)) == 7);
  CHECK(error_of<int64_t>(real(7)) == "expected an integer, got 7.0");
  CHECK(error_of<int64_t>(flag(true)) == "expected an integer, got true");
  CHECK(converted<double>(integer(2)) == 2.0);
  CHECK(error_of<double>(word("x")) == "expected a number, got x");
  CHECK(error_of<double>(real(std::numeric_limits<double>::infinity())) ==
        "expected a finite number, got inf");
  CHECK(converted<bool>(flag(true)));
  CHECK(error_of<bool>(integer(1)) == "expected true or false, got 1");
  CHECK(converted<std::string>(word("a b")) == "a b");
  CHECK(error_of<std::string>(integer(1)) == "expected a string, got 1");
}

TEST_CASE("pairs and padding take one number or several", "[attr]") {
  CHECK(converted<Pair>(integer(3)) == Pair{3, 3});
  CHECK(converted<Pair>(list({integer(3), integer(5)})) == Pair{3, 5});
  CHECK(error_of<Pair>(flag(true)) == "expected an integer or [h, w], got true");
  CHECK(error_of<Pair>(list({integer(3)})) == "expected an integer or [h, w], got [3]");
  CHECK(error_of<Pair>(list({integer(3), real(1)})) == "expected an integer or [h, w], got [3, 1.0]");

  CHECK(converted<Padding>(word("same")) == Padding::same());
  CHECK(converted<Padding>(word("same_upper")).mode == Padding::Mode::same_upper);
  CHECK(converted<Padding>(integer(1)) == Padding{Padding::Mode::explicit_, 1, 1, 1, 1});
  CHECK(converted<Padding>(list({integer(1), integer(2)})) == Padding{Padding::Mode::explicit_, 1, 2, 1, 2});
  CHECK(converted<Padding>(list({integer(1), integer(2), integer(3), integer(4)})) ==
        Padding{Padding::Mode::explicit_, 1, 2, 3, 4});
  std::string forms = "expected same, same_upper, an integer, [h, w] or [top, left, bottom, right], got ";
  CHECK(error_of<Padding>(word("valid")) == forms + "valid; no padding is 0");
  CHECK(error_of<Padding>(list({integer(1), integer(2), integer(3)})) == forms + "[1, 2, 3]");
  CHECK(error_of<Padding>(list({integer(1), integer(2), integer(3), integer(4), flag(true)})) ==
        forms + "[1, 2, 3, 4, true]");
}

TEST_CASE("shapes and enumerations", "[attr]") {
  CHECK(converted<Shape>(list({integer(1), integer(3)})) == Shape{1, 3});
  CHECK(error_of<Shape>(integer(1)) == "expected a list of integers, got 1");
  CHECK(error_of<Shape>(list(AttrValue::List(7, integer(1)))) == "expected at most 6 dimensions, got 7");
  CHECK(converted<DType>(word("bf16")) == DType::bf16);
  CHECK(error_of<DType>(word("f64")) == "expected f32, f16 or bf16, got f64");
  CHECK(converted<Layout>(word("nhwc")) == Layout::nhwc);
  CHECK(error_of<Layout>(integer(0)) == "expected nchw, nhwc or nchw16c, got 0");
  CHECK(converted<Role>(word("variance")) == Role::variance);
  CHECK(error_of<Role>(word("x")) == "expected kernel, bias, scale, shift, mean, variance or slope, got x");
}

TEST_CASE("epilogues", "[attr]") {
  Epilogue epilogue =
      converted<Epilogue>(list({word("add"), word("relu6"), list({word("leaky_relu"), real(0.5)})}));
  REQUIRE(epilogue.size() == 3);
  CHECK(epilogue[0].kind == EpilogueStep::Kind::add);
  CHECK(epilogue[1].activation.kind == Activation::Kind::relu6);
  CHECK(epilogue[2].activation == Activation{Activation::Kind::leaky_relu, 0.5});
  CHECK(epilogue_operands(epilogue) == 1);
  CHECK(to_string(to_attr(epilogue)) == "[add, relu6, [leaky_relu, 0.5]]");
  CHECK(error_of<Epilogue>(word("relu")) ==
        "expected a list of epilogue steps such as [add, relu], got relu");
  CHECK(error_of<Epilogue>(list({word("sub")})) == "unknown epilogue step 'sub'");
  CHECK(error_of<Epilogue>(list({word("leaky_relu")})) ==
        "expected leaky_relu with 1 number, got leaky_relu");
  CHECK(error_of<Epilogue>(list({list({word("relu"), real(1)})})) ==
        "expected relu with 0 numbers, got [relu, 1.0]");
  CHECK(error_of<Epilogue>(list({integer(1)})) == "expected add, mul or an activation, got 1");
}

TEMPLATE_TEST_CASE_SIG("values survive the way to an attribute and back", "[attr]", ((int Case), Case), 0, 1,
                       2, 3, 4) {
  auto round_trip = [](auto value) { CHECK(converted<decltype(value)>(to_attr(value)) == value); };
  const Padding paddings[]{{},
                           Padding::same(),
                           {Padding::Mode::same_upper},
                           {Padding::Mode::explicit_, 1, 2, 1, 2},
                           {Padding::Mode::explicit_, 1, 2, 3, 4}};
  const Pair pairs[]{{1, 1}, {2, 3}, {0, 0}, {-1, 4}, {7, 7}};
  const Shape shapes[]{{}, {1}, {2, 3}, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}};
  round_trip(paddings[Case]);
  round_trip(pairs[Case]);
  round_trip(shapes[Case]);
  round_trip(static_cast<Layout>(Case % 3));
  round_trip(static_cast<DType>(Case % 3));
  round_trip(static_cast<Role>(Case));
  round_trip(int64_t{Case - 2});
  round_trip(Case / 3.0);
  round_trip(Case % 2 == 0);
}

TEST_CASE("types print and are bounded", "[type]") {
  CHECK(to_string(TensorType{DType::bf16, {1, 3}}) == "bf16[1, 3]");
  CHECK(shape_problem({1, 3, 224, 224}).empty());
  CHECK(shape_problem({1, 0}) == "shape [1, 0] has a dimension of 0; every dimension must be at least 1");
  CHECK(shape_problem({1, -4}) == "shape [1, -4] has a dimension of -4; every dimension must be at least 1");
  CHECK(shape_problem({1, kMaxDim + 1}) ==
        "shape [1, 16777217] has a dimension of 16777217; at most 16777216 is supported");
  CHECK(shape_problem({kMaxDim, kMaxDim, kMaxDim, kMaxDim}) ==
        "shape [16777216, 16777216, 16777216, 16777216] has more than 8589934592 elements, the most that is "
        "supported");
  CHECK(shape_problem({kMaxDim, 512}).empty());
  CHECK(Shape{2, 3, 4}.elements() == 24);
  CHECK(Shape{}.elements() == 1);
  CHECK(parse_dtype("f16") == DType::f16);
  CHECK(!parse_dtype("f8"));
  CHECK(parse_layout("nchw16c") == Layout::nchw16c);
}
