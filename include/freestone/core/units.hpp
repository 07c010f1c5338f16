// Bytes, granules and orders are different types: none converts into another without being asked.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace freestone {

// A plain integer is welcome where bytes are meant; granules, orders and addresses are not. A negative number becomes
// a size beyond every zone, and is refused as such.
class Bytes {
 public:
  constexpr Bytes() noexcept = default;
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  constexpr Bytes(T count) noexcept : value_(static_cast<std::uint64_t>(count)) {}

  constexpr std::uint64_t value() const noexcept { return value_; }

  friend constexpr Bytes operator+(Bytes a, Bytes b) noexcept { return a.value_ + b.value_; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) noexcept { return a.value_ - b.value_; }
  friend constexpr bool operator==(Bytes, Bytes) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(Bytes, Bytes) noexcept = default;

 private:
  std::uint64_t value_ = 0;
};

// A number of granules, or the index of one: the smallest unit that a strategy places.
class Granules {
 public:
  constexpr Granules() noexcept = default;
  constexpr explicit Granules(std::uint64_t count) noexcept : value_(count) {}

  constexpr std::uint64_t value() const noexcept { return value_; }

  friend constexpr Granules operator+(Granules a, Granules b) noexcept { return Granules(a.value_ + b.value_); }
  friend constexpr Granules operator-(Granules a, Granules b) noexcept { return Granules(a.value_ - b.value_); }
  constexpr Granules& operator+=(Granules other) noexcept { return *this = *this + other; }
  constexpr Granules& operator-=(Granules other) noexcept { return *this = *this - other; }
  friend constexpr bool operator==(Granules, Granules) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(Granules, Granules) noexcept = default;

 private:
  std::uint64_t value_ = 0;
};

// log2 of a power-of-two number of granules; below 64.
class Order {
 public:
  constexpr Order() noexcept = default;
  constexpr explicit Order(unsigned log2) noexcept : value_(log2) {}

  constexpr unsigned value() const noexcept { return value_; }
  constexpr Granules granules() const noexcept { return Granules(std::uint64_t{1} << value_); }

  friend constexpr bool operator==(Order, Order) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(Order, Order) noexcept = default;

 private:
  unsigned value_ = 0;
};

namespace detail {
constexpr std::uint64_t scaled(unsigned long long n, unsigned log2) noexcept {
  const std::uint64_t most = ~std::uint64_t{0};
  return n > (most >> log2) ? most : n << log2;  // too much stays too much: refused, not wrapped
}
}  // namespace detail

inline namespace literals {  // constexpr, for clang 14 takes no consteval one in a default argument
constexpr Bytes operator""_B(unsigned long long n) { return n; }
constexpr Bytes operator""_KiB(unsigned long long n) { return detail::scaled(n, 10); }
constexpr Bytes operator""_MiB(unsigned long long n) { return detail::scaled(n, 20); }
constexpr Bytes operator""_GiB(unsigned long long n) { return detail::scaled(n, 30); }
constexpr Bytes operator""_TiB(unsigned long long n) { return detail::scaled(n, 40); }
}  // namespace literals

}  // namespace freestone
