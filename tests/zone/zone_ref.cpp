#include <freestone/zone/zone_ref.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string_view>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/limit.hpp>
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("what the zone says, through two pointers") {
  auto zone = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>::create({.name = "a", .size = 64_KiB});
  REQUIRE(zone);
  const ZoneRef ref = *zone;
  const auto block = ref.allocate({.size = 8_KiB});
  REQUIRE(block);
  CHECK(zone->owns(*block));
  CHECK(ref.owns(*block));
  CHECK(ref.data(*block).data() == zone->data(*block).data());
  CHECK(ref.find(block->offset()) == *block);
  CHECK(ref.find_containing(block->offset() + 5000) == *block);
  CHECK(ref.free() == 56_KiB);
  CHECK(ref.stats() == zone->stats());
  CHECK(ref.size() == 64_KiB);
  CHECK(ref.granule() == 4_KiB);
  CHECK(ref.tag() == zone->tag());
  CHECK(std::string_view(ref.name()) == "a");
  CHECK(ref.allocate_high({.size = 4_KiB})->offset() == 60_KiB);
  CHECK(ref.allocate_within({.size = 4_KiB}, {.last = 16'383})->offset() == 8_KiB);
  CHECK(!ref.physical_address(*block));
  CHECK(!ref.device_address(*block));
  CHECK(ref.deallocate(*block));
  CHECK(code_of(ref.deallocate(*block)) == ErrorCode::double_release);
  CHECK(ref == ZoneRef(*zone));
}

TEST_CASE("what a zone cannot do, its ref does as it says") {
  std::array<Block, 4> room;
  SUBCASE("good fit has no upper end and no lists") {
    auto zone = Numbers<strategy::Segregated>::create({.name = "b", .size = 64_KiB});
    const ZoneRef ref = *zone;
    CHECK(!ref.abilities().allocates_high);
    CHECK(!ref.abilities().allocates_lists);
    CHECK(ref.allocate_high({.size = 4_KiB})->offset() == Bytes(0));
    CHECK(ref.allocate_list({.size = 12_KiB}, room)->size() == 1);
    CHECK(code_of(ref.allocate_list({.size = 12_KiB}, {})) == ErrorCode::list_too_short);
    CHECK(ref.data(room[0]).empty());
  }
  SUBCASE("who does not place has no bounds") {
    auto zone = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>::create({.name = "s", .size = 64_KiB});
    const ZoneRef ref = *zone;
    CHECK(code_of(ref.allocate_within({.size = 4_KiB}, {})) == ErrorCode::nothing_within);
    const auto block = ref.allocate({.size = 4_KiB});
    REQUIRE(block);
    CHECK(ref.data(*block).size() == 4096);
    CHECK(ref.find_containing(block->offset()) == *block);
  }
}

TEST_CASE("a layer is called too, and takes lists away where it cannot follow them") {
  using Lists = strategy::OrderList<strategy::Buddy, 4, 0>;
  auto limited = layers::Limit<Numbers<Lists>>::create({.name = "l", .size = 64_KiB}, layers::LimitSettings{.bytes = 4_KiB});
  REQUIRE(limited);
  const ZoneRef ref = *limited;
  CHECK(ref.abilities().allocates_lists);
  CHECK(code_of(ref.allocate({.size = 8_KiB})) == ErrorCode::over_limit);
  using Memory = Zone<backing::Anonymous, Lists, lock::None, cache::Coherent>;
  auto guarded = layers::Canaries<Memory>::create({.name = "c", .size = 64_KiB}, layers::Canaries<Memory>::Settings());
  REQUIRE(guarded);
  CHECK(!ZoneRef(*guarded).abilities().allocates_lists);
}
