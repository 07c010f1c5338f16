#include <freestone/strategy/end.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>

using namespace freestone::strategy;

TEST_CASE("low and high are so for every block") {
  for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    CHECK(!goes_high(End::low, count, 100));
    CHECK(goes_high(End::high, count, 100));
  }
}

TEST_CASE("by size: what is less than a sixteenth of the range goes high, to the granule") {
  for (std::uint64_t capacity = 0; capacity < 200; ++capacity) {
    for (std::uint64_t count = 0; count < 20; ++count) REQUIRE(goes_high(End::by_size, count, capacity) == (count * 16 < capacity));
  }
  constexpr std::uint64_t all = ~std::uint64_t{0}, sixteenth = std::uint64_t{1} << 60;
  static_assert(goes_high(End::by_size, sixteenth - 1, all) && !goes_high(End::by_size, sixteenth, all));
}
