#include <freestone/core/units.hpp>

#include <concepts>
#include <type_traits>

#include <doctest/doctest.h>

using namespace freestone;

// None turns into another unasked.
static_assert(std::convertible_to<int, Bytes> && std::convertible_to<unsigned long long, Bytes>);
static_assert(!std::convertible_to<bool, Bytes> && !std::convertible_to<double, Bytes>);
static_assert(!std::convertible_to<Bytes, std::uint64_t> && !std::convertible_to<std::uint64_t, Granules>);
static_assert(!std::constructible_from<Bytes, Granules> && !std::constructible_from<Granules, Bytes>);
static_assert(!std::convertible_to<unsigned, Order> && !std::constructible_from<Granules, Order>);
static_assert(!std::equality_comparable_with<Bytes, Granules> && !std::equality_comparable_with<Order, Granules>);
static_assert(sizeof(Bytes) == 8 && sizeof(Granules) == 8 && std::is_trivially_copyable_v<Bytes>);

TEST_CASE("bytes count, compare and have literals") {
  using namespace freestone::literals;
  CHECK(Bytes().value() == 0);
  CHECK(1_KiB == 1024);
  CHECK(1_MiB == 1024 * 1024);
  CHECK(3_GiB + 1_B == 3221225473);
  CHECK((2_TiB).value() == std::uint64_t{1} << 41);
  CHECK(5_B - 2_B == 3);
  CHECK(1_KiB < 1_MiB);
}

TEST_CASE("a negative number is a size beyond every zone") { CHECK(Bytes(-1).value() == ~std::uint64_t{0}); }

TEST_CASE("granules add, subtract and compare") {
  Granules n(5);
  n += Granules(3);
  CHECK(n == Granules(8));
  n -= Granules(1);
  CHECK(n == Granules(7));
  CHECK(Granules(2) + Granules(3) == Granules(5));
  CHECK(Granules(9) - Granules(3) == Granules(6));
  CHECK(Granules(1) < Granules(std::uint64_t{1} << 40));
}

TEST_CASE("an order is a power of two of granules") {
  CHECK(Order().granules() == Granules(1));
  CHECK(Order(7).granules() == Granules(128));
  CHECK(Order(63).granules() == Granules(std::uint64_t{1} << 63));
  CHECK(Order(3) < Order(4));
}

TEST_CASE("a literal that is too large stays too large") {
  CHECK(16'777'216_TiB == ~std::uint64_t{0});
  CHECK(16'777'215_TiB == ~std::uint64_t{0} - (std::uint64_t{1} << 40) + 1);
}
