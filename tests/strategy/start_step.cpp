#include <freestone/strategy/start_step.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using namespace freestone::strategy;

namespace {

// By trying them all.
std::uint64_t longest(std::uint64_t first, std::uint64_t length, unsigned finer) {
  for (std::uint64_t count = length; count > 1; --count) {
    const std::uint64_t step = start_step(count, finer);
    const std::uint64_t start = (first + step - 1) / step * step;
    if (start + count <= first + length) return count;
  }
  return 1;
}

}  // namespace

TEST_CASE("a multiple of the power of two that holds the block, or of a part of it") {
  static_assert(start_step(0, 0) == 1 && start_step(1, 0) == 1 && start_step(2, 0) == 2 && start_step(3, 0) == 4);
  static_assert(start_step(8, 3) == 1 && start_step(9, 3) == 2 && start_step(16, 3) == 2 && start_step(17, 3) == 4);
  for (std::uint64_t count = 1, whole = 1; count < 300; ++count, whole *= whole < count ? 2 : 1) {
    for (unsigned finer = 0; finer < 12; ++finer) REQUIRE(start_step(count, finer) == (whole >> finer == 0 ? 1 : whole >> finer));
  }
  CHECK(start_step(std::uint64_t{1} << 63, 0) == std::uint64_t{1} << 63);
  CHECK(start_step((std::uint64_t{1} << 62) + 1, 3) == std::uint64_t{1} << 60);
}

TEST_CASE("the longest block that fits on such a start, wherever the room begins") {
  for (unsigned finer = 0; finer < 5; ++finer) {
    for (std::uint64_t first = 0; first < 70; ++first) {
      for (std::uint64_t length = 1; length < 70; ++length) REQUIRE(longest_on_steps(first, length, finer) == longest(first, length, finer));
    }
  }
}
