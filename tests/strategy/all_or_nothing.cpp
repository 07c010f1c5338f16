#include <freestone/strategy/all_or_nothing.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"
#include "support/map_errors.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::AllOrNothing>;
using tests::extent;

static_assert(check_strategy<strategy::AllOrNothing>() && can_place_at<strategy::AllOrNothing> &&
              can_resize<strategy::AllOrNothing> && !can_place_high<strategy::AllOrNothing>);
static_assert(strategy::AllOrNothing::exact_release && strategy::AllOrNothing::places);

constexpr bool one_owner() {
  Map map(64);
  return map.place(3) == 0 && !map.place(1) && map.length_of(0) == 3 && map.release(0) == 3 && map.place(64) == 0;
}
static_assert(one_owner());

}  // namespace

TEST_CASE("one owner at a time, who has what he asked for") {
  Map map(64);
  CHECK(map.free() == 64);
  CHECK(map.largest() == 64);
  CHECK(!map.place(65));
  CHECK(map.place(3) == 0);
  CHECK(map.length_of(0) == 3);  // not the whole range
  CHECK(map.blocks() == std::vector{extent(0, 3)});
  CHECK(map.free() == 0);
  CHECK(map.largest() == 0);
  CHECK(!map.place(1));
  CHECK(map.release(0) == 3);
  CHECK(map.blocks().empty());
  CHECK(map.place(64) == 0);
}

TEST_CASE("a request of nothing is refused, and does not take the range") {
  Map map(64);
  CHECK(!map.place(0));
  CHECK(map.free() == 64);
  CHECK(map.place(1) == 0);
}

TEST_CASE("the range begins where it begins") {
  Map map(64, 3);
  CHECK(!map.place(1, 2));
  CHECK(map.place(1, 1) == 0);
  Map aligned(64, 8);
  CHECK(!aligned.place(1, 16));
  CHECK(aligned.place(1, 8) == 0);
}

TEST_CASE("counts beyond 32 bits") {
  const std::uint64_t huge = std::uint64_t{1} << 40;
  Map map(huge);
  CHECK(map.place(huge - 1) == 0);
  CHECK(map.refuses_release(huge - 2, ReleaseFault::inner));
  CHECK(map.release(0) == huge - 1);
}

TEST_CASE("a wrong release is told, and changes nothing") {
  Map map(64);
  CHECK(map.refuses_release(0, ReleaseFault::not_live));
  CHECK(map.place(10) == 0);
  CHECK(map.refuses_release(1, ReleaseFault::inner));
  CHECK(map.refuses_release(9, ReleaseFault::inner));
  CHECK(map.refuses_release(10, ReleaseFault::not_live));
  CHECK(map.refuses_release(63, ReleaseFault::not_live));
  CHECK(map.refuses_release(64, ReleaseFault::outside));
  CHECK(map.release(0) == 10);
  CHECK(map.refuses_release(0, ReleaseFault::not_live));
  CHECK(map.length_of(0) == 0);
}

TEST_CASE("a place of one's own choice is the first granule or none") {
  Map map(64);
  CHECK(map.refuses_place_at(1, 1));
  CHECK(map.refuses_place_at(0, 0));
  CHECK(map.refuses_place_at(0, 65));
  CHECK(map.place_at(0, 64));
  CHECK(map.refuses_place_at(0, 1));
  CHECK(map.length_of(1) == 0);
}

TEST_CASE("the owner may have more or less of the range") {
  Map map(64);
  const auto resize = [&](std::uint64_t first, std::uint64_t count) {
    return map->resize(Granules(first), Granules(count));
  };
  CHECK(!resize(0, 1));  // nobody's
  CHECK(map.place(10) == 0);
  CHECK(resize(0, 64) == extent(0, 64));
  CHECK(map.length_of(0) == 64);
  CHECK(resize(0, 1) == extent(0, 1));
  CHECK(map.blocks() == std::vector{extent(0, 1)});
  CHECK(!resize(0, 0));
  CHECK(!resize(0, 65));
  CHECK(!resize(0, ~std::uint64_t{0}));
  CHECK(!resize(1, 1));
  CHECK(!resize(64, 1));
  CHECK(map.blocks() == std::vector{extent(0, 1)});
  CHECK(map.free() == 0);
  CHECK(map.release(0) == 1);
}

TEST_CASE("what words it takes, and which it refuses") {
  CHECK(strategy::AllOrNothing::footprint(Granules(~std::uint64_t{0})) == 6);
  tests::check_format_errors<strategy::AllOrNothing>();
  tests::check_attach_errors<strategy::AllOrNothing>();
}
