// A value, or the error that says why there is none. (C++20 has no std::expected.)
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include <freestone/core/error.hpp>
#include <freestone/core/seam.hpp>

namespace freestone {

namespace detail {

template <class T, bool Trivial = std::is_trivially_copyable_v<T>>
class ResultStorage {  // a block, an extent: nothing but the larger of the two, and a flag
 public:
  constexpr ResultStorage(T&& value) noexcept : value_(std::move(value)), has_value_(true) {}
  constexpr ResultStorage(const Error& error) noexcept : error_(error), has_value_(false) {}

  constexpr bool has_value() const noexcept { return has_value_; }
  constexpr T& value() noexcept { return value_; }
  constexpr const T& value() const noexcept { return value_; }
  constexpr const Error& error() const noexcept { return error_; }

 private:
  union {
    T value_;
    Error error_;
  };
  bool has_value_;
};

template <class T>
class ResultStorage<T, false> {  // what is made once and owns something: a zone, a backing
 public:
  constexpr ResultStorage(T&& value) noexcept : value_(std::move(value)) {}
  constexpr ResultStorage(const Error& error) noexcept : error_(error) {}

  constexpr bool has_value() const noexcept { return value_.has_value(); }
  constexpr T& value() noexcept { return *value_; }
  constexpr const T& value() const noexcept { return *value_; }
  constexpr const Error& error() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

}  // namespace detail

template <class T>
class [[nodiscard]] Result {
 public:
  constexpr Result(T value) noexcept : storage_(std::move(value)) {}
  constexpr Result(const Error& error) noexcept : storage_(error) {}
  constexpr Result(ErrorCode code) noexcept : storage_(Error{.code = code}) {}

  constexpr explicit operator bool() const noexcept { return storage_.has_value(); }

  // Only where there is a value: asking without looking ends the program (seam.hpp).
  constexpr T& operator*() & noexcept { return seam::expect(storage_.has_value()), storage_.value(); }
  constexpr const T& operator*() const& noexcept { return seam::expect(storage_.has_value()), storage_.value(); }
  constexpr T&& operator*() && noexcept { return seam::expect(storage_.has_value()), std::move(storage_.value()); }
  constexpr T* operator->() noexcept { return &**this; }
  constexpr const T* operator->() const noexcept { return &**this; }

  // Only where there is none.
  constexpr const Error& error() const noexcept { return seam::expect(!storage_.has_value()), storage_.error(); }

 private:
  detail::ResultStorage<T> storage_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  constexpr Result() noexcept = default;
  constexpr Result(const Error& error) noexcept : error_(error) {}
  constexpr Result(ErrorCode code) noexcept : error_{.code = code} {}

  constexpr explicit operator bool() const noexcept { return error_.code == ErrorCode::none; }
  constexpr const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

}  // namespace freestone
