#include <freestone/strategy/release_range.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::Bitmap>;
using tests::extent;

bool release(Map& map, std::uint64_t first, std::uint64_t count) { return strategy::release_range(map.strategy(), extent(first, count)); }

}  // namespace

TEST_CASE("a block's front, middle and end, several blocks, and all of them") {
  Map map(100);
  REQUIRE(map.place(30) == 0);
  REQUIRE(map.place(30) == 30);
  REQUIRE(map.place(30) == 60);
  CHECK(release(map, 0, 5));
  CHECK(map.blocks() == std::vector{extent(5, 25), extent(30, 30), extent(60, 30)});
  CHECK(release(map, 10, 5));
  CHECK(map.blocks() == std::vector{extent(5, 5), extent(15, 15), extent(30, 30), extent(60, 30)});
  CHECK(release(map, 25, 5));
  CHECK(map.blocks() == std::vector{extent(5, 5), extent(15, 10), extent(30, 30), extent(60, 30)});
  CHECK(release(map, 50, 20));
  CHECK(map.blocks() == std::vector{extent(5, 5), extent(15, 10), extent(30, 20), extent(70, 20)});
  CHECK(release(map, 70, 20));
  CHECK(release(map, 5, 5));
  CHECK(map.free() == 70);
  REQUIRE(map.place_at(25, 5));
  CHECK(release(map, 15, 35));
  CHECK(map.free() == 100);
  CHECK(map.largest() == 100);
}

TEST_CASE("of a range that is not all taken nothing goes") {
  Map map(100);
  REQUIRE(map.place_at(10, 10));
  REQUIRE(map.place_at(21, 10));
  const auto before = map.words();
  for (const Extent range : {extent(10, 11), extent(9, 2), extent(19, 3), extent(10, 21), extent(20, 1), extent(95, 10), extent(100, 1), extent(10, 0),
                             extent(~std::uint64_t{0}, 1), extent(25, ~std::uint64_t{0})}) {
    CHECK_FALSE(strategy::release_range(map.strategy(), range));
  }
  CHECK(map.words() == before);
  CHECK_FALSE(strategy::is_taken(map.strategy(), extent(10, 0)));
  CHECK(strategy::is_taken(map.strategy(), extent(12, 3)));
}
