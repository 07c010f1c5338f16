#include <freestone/zone/owned.hpp>

#include <doctest/doctest.h>

#include <utility>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;

namespace {
using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
}

TEST_CASE("an owned block goes back with its owner, once") {
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  {
    auto owned = zone->allocate_owned({.size = 8_KiB});
    REQUIRE(owned);
    CHECK((*owned)->size() == 8_KiB);
    const Owned<Z> moved = std::move(*owned);
    CHECK(zone->owns(*moved));
    CHECK(zone->stats().blocks == 1);
  }
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("moving onto an owner keeps both blocks owned") {
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  {
    auto a = zone->allocate_owned({.size = 4_KiB});
    auto b = zone->allocate_owned({.size = 4_KiB});
    REQUIRE((a && b));
    const Block of_b = **b;
    *a = std::move(*b);
    CHECK(**a == of_b);
    CHECK(zone->stats().blocks == 2);
  }
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("release hands the block over") {
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  Block block;
  {
    auto owned = zone->allocate_owned({.size = 4_KiB});
    REQUIRE(owned);
    block = owned->release();
  }
  CHECK(zone->owns(block));
  CHECK(zone->deallocate(block));
}

TEST_CASE("what cannot be allocated is not owned") {
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto owned = zone->allocate_owned({.size = 0});
  REQUIRE_FALSE(owned);
  CHECK(owned.error().code == ErrorCode::zero_size);
}
