#include <freestone/strategy/system.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"
#include "support/map_errors.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::System>;
using tests::extent;

static_assert(check_strategy<strategy::System>() && !can_place_at<strategy::System>);
static_assert(strategy::System::exact_release && !strategy::System::places);

constexpr bool books() {
  Map map(10);
  return map.place(4) == 0 && map.place(6) == 1 && !map.place(1) && map.release(0) == 4 && map.place(4) == 0;
}
static_assert(books());

}  // namespace

TEST_CASE("the quota is over the sum of what is live") {
  Map map(10);
  CHECK(!map.place(11));
  CHECK(map.place(6) == 0);
  CHECK(!map.place(6));  // each would fit alone
  CHECK(map.place(4) == 1);
  CHECK(map.free() == 0);
  CHECK(!map.place(1));
  CHECK(map.release(0) == 6);
  CHECK(map.free() == 6);
  CHECK(map.largest() == 6);
  CHECK(map.place(6).has_value());
}

TEST_CASE("nothing is refused, and alignment is the host's to give") {
  Map map(10, 3);
  CHECK(!map.place(0));
  CHECK(map.place(1, std::uint64_t{1} << 40).has_value());
}

TEST_CASE("the slot given back last is taken first") {
  Map map(10);
  for (std::uint64_t slot = 0; slot < 10; ++slot) CHECK(map.place(1) == slot);
  CHECK(map.release(3) == 1);
  CHECK(map.release(7) == 1);
  CHECK(map.place(1) == 7);
  CHECK(map.place(1) == 3);
  CHECK(map.release(9) == 1);
  CHECK(map.place(1) == 9);
  CHECK(!map.place(1));
}

TEST_CASE("each slot knows its length") {
  Map map(100);
  CHECK(map.place(30) == 0);
  CHECK(map.place(20) == 1);
  CHECK(map.length_of(0) == 30);
  CHECK(map.length_of(1) == 20);
  CHECK(map.length_of(2) == 0);
  CHECK(map.blocks() == std::vector{extent(0, 30), extent(1, 20)});
  CHECK(map.release(0) == 30);
  CHECK(map.blocks() == std::vector{extent(1, 20)});
}

TEST_CASE("a wrong release is told, and changes nothing") {
  Map map(10);
  CHECK(map.place(5) == 0);
  CHECK(map.refuses_release(1, ReleaseFault::not_live));  // a slot never used; no place lies inside another
  CHECK(map.refuses_release(9, ReleaseFault::not_live));
  CHECK(map.refuses_release(10, ReleaseFault::outside));
  CHECK(map.refuses_release(~std::uint64_t{0}, ReleaseFault::outside));
  CHECK(map.release(0) == 5);
  CHECK(map.refuses_release(0, ReleaseFault::not_live));
}

TEST_CASE("words of slots never used are not read") {
  Map map(tests::geometry(10), ~std::uint64_t{0});
  CHECK(map.length_of(5) == 0);
  CHECK(map.refuses_release(5, ReleaseFault::not_live));
  CHECK(map.place(10) == 0);
}

TEST_CASE("what words it takes, and which it refuses") {
  CHECK(strategy::System::footprint(Granules(10)) == 18);
  CHECK(strategy::System::footprint(Granules(~std::uint64_t{0})) == SIZE_MAX);
  tests::check_format_errors<strategy::System>();
  tests::check_attach_errors<strategy::System>();
  tests::check_footprint_of_huge_ranges<strategy::System>();
}
