#include <freestone/strategy/elastic.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include "support/map.hpp"
#include "support/map_errors.hpp"
#include "support/strategies.hpp"

using namespace freestone;

namespace {

using tests::extent;
using tests::Map;
template <class S>
using Elastic = strategy::Elastic<S>;

#define FREESTONE_ELASTIC \
  Elastic<strategy::Bitmap>, Elastic<strategy::Segregated>, Elastic<strategy::BestFit>, Elastic<tests::HostileStrategy>

// It has the abilities that its inner strategy has, and no other but its own.
static_assert(can_grow<Elastic<strategy::BestFit>> && can_resize<Elastic<strategy::BestFit>> &&
              can_place_high<Elastic<strategy::BestFit>> && has_any_alignment<Elastic<strategy::BestFit>>);
static_assert(!can_place_high<Elastic<strategy::Segregated>> && !has_any_alignment<Elastic<strategy::Segregated>>);
static_assert(!can_resize<Elastic<tests::HostileStrategy>> && can_reserve<Elastic<tests::HostileStrategy>>);
static_assert(can_place_part<Elastic<strategy::OrderList<strategy::Bitmap, 2, 0>>>);
static_assert(!can_grow<strategy::BestFit>);

template <class S>
bool grow(Map<S>& map, std::uint64_t count) {
  return map->grow(Granules(count));
}
template <class S>
bool shrink(Map<S>& map, std::uint64_t count) {
  return map->shrink(Granules(count));
}
// Refused, and no bit of the map changed.
template <class S>
bool refuses_grow(Map<S>& map, std::uint64_t count) {
  const auto before = map.words();
  return !grow(map, count) && map.words() == before;
}
template <class S>
bool refuses_shrink(Map<S>& map, std::uint64_t count) {
  const auto seen = tests::observe(map.strategy());
  return !shrink(map, count) && tests::observe(map.strategy()) == seen;
}

constexpr bool there_and_back() {
  Map<Elastic<strategy::BestFit>> map(100, 3);
  if (!map->shrink(Granules(60)) || map.place(50) || map.place(40) != 0) return false;
  return map->grow(Granules(60)) && map.place(60) == 40 && map.free() == 0;
}
static_assert(there_and_back());

}  // namespace

TEST_CASE_TEMPLATE("it begins as long as it can be, and ends where it was told to", S, FREESTONE_ELASTIC) {
  Map<S> map(90, 3);
  CHECK(map.free() == 90);
  CHECK(refuses_grow(map, 1));
  CHECK(shrink(map, 30));
  CHECK(map.free() == 60);
  CHECK(map.largest() == 60);
  CHECK(!map.place(63));
  CHECK(map.place(60) == 0);
  CHECK(map.release(0) == 60);
  CHECK(shrink(map, 60));  // to nothing
  CHECK(map.free() == 0);
  CHECK(map.largest() == 0);
  CHECK(!map.place(1));
  CHECK(refuses_shrink(map, 1));
  CHECK(grow(map, 90));
  CHECK(map.place(90) == 0);
}

TEST_CASE_TEMPLATE("behind the end there is nothing", S, FREESTONE_ELASTIC) {
  Map<S> map(90);
  CHECK(map.place_at(57, 3));
  CHECK(shrink(map, 10));
  CHECK(shrink(map, 20));
  CHECK(map.blocks() == std::vector{extent(57, 3)});
  for (const std::uint64_t first : {60U, 61U, 79U, 80U, 81U, 89U, 90U, 1000U}) {
    CHECK(map.length_of(first) == 0);
    CHECK(map.refuses_release(first, ReleaseFault::outside));
    CHECK(!map.place_at(first, 1));
  }
  CHECK(!map.place_at(0, 90));
  CHECK(refuses_grow(map, ~std::uint64_t{0}));
  CHECK(map->release(Granules(58)) == Released{.fault = ReleaseFault::inner});
  CHECK(map->release(Granules(56)) == Released{.fault = ReleaseFault::not_live});
  CHECK(map.release(57) == 3);
}

TEST_CASE_TEMPLATE("only what is free leaves", S, FREESTONE_ELASTIC) {
  Map<S> map(90);
  CHECK(map.place_at(60, 3));
  CHECK(refuses_shrink(map, 28));
  CHECK(refuses_shrink(map, 30));
  CHECK(refuses_shrink(map, 31));
  CHECK(refuses_shrink(map, 90));
  CHECK(refuses_shrink(map, 91));
  CHECK(refuses_shrink(map, 0));
  CHECK(refuses_shrink(map, ~std::uint64_t{0}));
  CHECK(shrink(map, 27));
  CHECK(refuses_shrink(map, 1));
  CHECK(map.release(60) == 3);
  CHECK(shrink(map, 63));
}

TEST_CASE_TEMPLATE("it grows by any count, however it had shrunk", S, FREESTONE_ELASTIC) {
  for (const std::uint64_t step : {1U, 2U, 7U, 29U, 30U, 31U, 45U, 90U}) {
    Map<S> map(90, 3);
    for (const std::uint64_t count : {30U, 1U, 29U, 30U}) REQUIRE(shrink(map, count));
    CHECK(refuses_grow(map, 0));
    CHECK(refuses_grow(map, 91));
    CHECK(refuses_grow(map, ~std::uint64_t{0}));
    std::uint64_t end = 0;
    for (; end + step <= 90; end += step) {
      REQUIRE(grow(map, step));
      REQUIRE(map.free() == end + step);
      REQUIRE(map.largest() >= (end + step) / 3 * 3);
      REQUIRE(map.blocks().empty());
    }
    CHECK(refuses_grow(map, 90 - end + 1));
    if (end != 90) REQUIRE(grow(map, 90 - end));
    CHECK(map.place(90) == 0);
  }
}

TEST_CASE("what lies behind the end is no room for a longer block, and no block to make longer") {
  Map<Elastic<strategy::BestFit>> map(90);
  CHECK(map.place(50) == 0);
  CHECK(shrink(map, 20));
  CHECK(!map->resize(Granules(0), Granules(71)));
  CHECK(!map->resize(Granules(70), Granules(1)));
  CHECK(!map->resize(Granules(70), Granules(20)));
  CHECK(map->resize(Granules(0), Granules(70)));
  CHECK(!map->place_high(Granules(1), Granules(1)));
  CHECK(grow(map, 3));
  CHECK(map->place_high(Granules(1), Granules(1)) == extent(72, 1));
  CHECK(!map->resize(Granules(0), Granules(73)));
  CHECK(map->resize(Granules(0), Granules(72)));
}

TEST_CASE("a strategy that rounds is told what to reserve") {
  Map<Elastic<tests::HostileStrategy>> map(90);
  CHECK(shrink(map, 1));
  CHECK(shrink(map, 4));
  CHECK(map.free() == 85);
  CHECK(map.place(80) == 0);  // 81
  CHECK(grow(map, 2));
  std::vector<Extent> told;
  const auto tell = [&](Extent block) { told.push_back(block); };
  CHECK(!map->reserve(extent(86, 2), tell));
  CHECK(map->reserve(extent(85, 2), tell));
  CHECK(told == std::vector{extent(85, 1), extent(86, 1)});
  CHECK(refuses_shrink(map, 1));
}

TEST_CASE("another object over the words ends where the first one does") {
  Map<Elastic<strategy::Bitmap>> map(100);
  auto other = *Elastic<strategy::Bitmap>::attach(map.words(), map.range());
  CHECK(shrink(map, 60));
  CHECK(other.free_granules() == Granules(40));
  CHECK(other.grow(Granules(10)));
  CHECK(map.place(50) == 0);
  CHECK(other.length_of(Granules(0)) == Granules(50));
}

TEST_CASE("a range of no granules neither grows nor shrinks") {
  Map<Elastic<strategy::BestFit>> map(0);
  CHECK(refuses_grow(map, 1));
  CHECK(refuses_shrink(map, 1));
  CHECK(!map.place(1));
}

TEST_CASE_TEMPLATE("what words it takes, and which it refuses", S, Elastic<strategy::Bitmap>,
                   Elastic<strategy::BestFit>) {
  CHECK(Elastic<strategy::BestFit>::footprint(Granules(64)) == strategy::BestFit::footprint(Granules(64)) + 6);
  CHECK(Elastic<strategy::BestFit>::id != strategy::BestFit::id);
  CHECK(Elastic<strategy::BestFit>::id != Elastic<strategy::Bitmap>::id);
  tests::check_format_errors<S>();
  tests::check_attach_errors<S>();
  tests::check_footprint_of_huge_ranges<S>();
}
