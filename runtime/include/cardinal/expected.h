// Expected<T>: what a fallible call of the runtime returns, a value or an Error with a message for people.
//
//   auto model = cardinal::Model::load("resnet18.so");
//   if (!model) { std::cerr << model.error().message() << '\n'; return 1; }
//   use(*model);
//
// Nothing here throws unless a value is taken out of a failed Expected: value(), * and -> then throw
// std::runtime_error carrying the message (and terminate a program built without exceptions).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace cardinal {

// Why a call failed: one sentence or two, naming the file or tensor concerned and what to do about it.
class Error {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

namespace runtime {
[[noreturn]] void throw_failed_expected(const Error& error);
}

template <class T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { return check(), *std::get_if<0>(&state_); }
  const T& value() const& { return check(), *std::get_if<0>(&state_); }
  T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Only when !ok().
  const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  void check() const {
    if (!ok()) runtime::throw_failed_expected(error());
  }
  std::variant<T, Error> state_;
};

// For calls that return nothing but may fail. A default-constructed one is a success.
template <>
class [[nodiscard]] Expected<void> {
 public:
  Expected() = default;
  Expected(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return ok(); }
  void value() const {
    if (!ok()) runtime::throw_failed_expected(error());
  }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace cardinal
