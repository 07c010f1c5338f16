#include <freestone/heap/zone_set.hpp>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/heap/fallback.hpp>
#include <freestone/heap/router.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Fit = Numbers<strategy::Bitmap>;
using Pairs = Numbers<strategy::Buddy>;
using Bytes4K = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;

Fit fit(Bytes size) { return std::move(*Fit::create({.name = "fit", .size = size})); }
Pairs pairs(Bytes size) { return std::move(*Pairs::create({.name = "pairs", .size = size})); }

}  // namespace

TEST_CASE("the first that can") {
  Fallback both(fit(8_KiB), pairs(16_KiB));
  const auto a = both.allocate(8_KiB);
  const auto b = both.allocate(8_KiB);
  REQUIRE((a && b));
  CHECK(both.zone<0>().owns(*a));
  CHECK(both.zone<1>().owns(*b));
  CHECK(both.owns(*b));
  const auto none = both.allocate(12_KiB);
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::no_space);
  CHECK(both.stats().used == 16_KiB);
  CHECK(both.stats().capacity == 24_KiB);
  CHECK(both.free() == 8_KiB);
  CHECK(both.deallocate(*b));
  CHECK(code_of(both.deallocate(*b)) == ErrorCode::double_release);
  auto other = fit(4_KiB);
  CHECK(code_of(both.deallocate(*other.allocate(1))) == ErrorCode::foreign_block);
  {
    const auto owned = both.allocate_owned({.size = 4_KiB});
    REQUIRE(owned);
    CHECK(both.stats().blocks == 2);
  }
  CHECK(both.stats().blocks == 1);
}

TEST_CASE("by size, borders inclusive") {
  auto router = Router<Fit, Pairs, Fit>::create({4_KiB, 16_KiB}, fit(8_KiB), pairs(32_KiB), fit(64_KiB));
  REQUIRE(router);
  CHECK(router->zone<0>().owns(*router->allocate(4_KiB)));
  CHECK(router->zone<1>().owns(*router->allocate(4_KiB + 1)));
  CHECK(router->zone<1>().owns(*router->allocate(16_KiB)));
  CHECK(router->zone<2>().owns(*router->allocate(16_KiB + 1)));
  REQUIRE(router->allocate(4_KiB));
  CHECK(code_of(router->allocate(1)) == ErrorCode::no_space);  // it takes nothing of another's
  CHECK(code_of(router->allocate(0)) == ErrorCode::zero_size);
  CHECK(code_of(Router<Fit, Fit, Fit>::create({8_KiB, 8_KiB}, fit(4_KiB), fit(4_KiB), fit(4_KiB))) ==
        ErrorCode::borders_not_ascending);
}

TEST_CASE("sets of sets, and their bytes") {
  auto memory = [](Bytes size) { return std::move(*Bytes4K::create({.name = "memory", .size = size})); };
  using Chain = Fallback<Bytes4K, Bytes4K>;
  auto router = Router<Chain, Bytes4K>::create({4_KiB}, Chain(memory(4_KiB), memory(4_KiB)), memory(64_KiB));
  REQUIRE(router);
  const auto a = router->allocate(4_KiB);
  const auto b = router->allocate(4_KiB);
  const auto c = router->allocate(8_KiB);
  REQUIRE((a && b && c));
  CHECK(router->data(*b).size() == 4096);
  CHECK(router->data(*b).data() != router->data(*a).data());
  CHECK(router->data(*c).size() == 8192);
  CHECK(router->data(Block()).empty());
  for (const auto& block : {*a, *b, *c}) CHECK(router->deallocate(block));
  CHECK(router->free() == 72_KiB);
}

TEST_CASE("of several refusals the one that another time may end is told") {
  Fallback both(fit(16_KiB), fit(4_KiB));
  REQUIRE(both.allocate(16_KiB));
  CHECK(code_of(both.allocate(8_KiB)) == ErrorCode::no_space);  // the second is too small, for ever
}
