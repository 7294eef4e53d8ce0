// Result<T>: a value, or the diagnostics that say why there is none. For everything that depends on input;
// invariants are asserts.
#pragma once

#include <cassert>
#include <utility>
#include <variant>

#include "ir/source.h"

namespace cardinal {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Diagnostics errors) : state_(std::in_place_index<1>, std::move(errors)) {}  // NOLINT
  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& value() {
    assert(*this);
    return std::get<0>(state_);
  }
  const T& value() const {
    assert(*this);
    return std::get<0>(state_);
  }
  const Diagnostics& error() const {
    assert(!*this);
    return std::get<1>(state_);
  }
  Diagnostics take_error() {
    assert(!*this);
    return std::move(std::get<1>(state_));
  }

 private:
  std::variant<T, Diagnostics> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok() { return Unit{}; }

}  // namespace cardinal
