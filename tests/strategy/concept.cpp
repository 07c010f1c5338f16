#include <freestone/strategy/concept.hpp>

#include <doctest/doctest.h>

#include "support/strategies.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

// Each lacks one thing.
struct NoId : LikeBitmap<NoId> {
  static void id() {}
};
struct NoFootprint : LikeBitmap<NoFootprint> {
  static int footprint(Granules) noexcept { return 0; }
};
struct PlaceMayThrow : LikeBitmap<PlaceMayThrow> {
  std::optional<Extent> place(Granules, Granules) { return std::nullopt; }
};
struct ReleaseTellsNothing : LikeBitmap<ReleaseTellsNothing> {
  void release(Granules) noexcept {}
};
struct NoLength : LikeBitmap<NoLength> {
  std::uint64_t length_of(Granules) const noexcept { return 0; }
};

static_assert(Strategy<MinimalStrategy> && !can_place_at<MinimalStrategy>);
static_assert(Strategy<HostileStrategy> && can_place_at<HostileStrategy>);
static_assert(!has_constants<NoId> && !Strategy<NoId>);
static_assert(!has_footprint<NoFootprint> && !Strategy<NoFootprint>);
static_assert(!can_place<PlaceMayThrow> && !Strategy<PlaceMayThrow>);
static_assert(!can_release<ReleaseTellsNothing> && !Strategy<ReleaseTellsNothing>);
static_assert(!can_tell<NoLength> && !Strategy<NoLength>);
static_assert(!Strategy<int>);

}  // namespace

TEST_CASE("what a release tells is told apart by both fields") {
  CHECK(Released{.count = Granules(3)} == Released{.count = Granules(3), .fault = ReleaseFault::none});
  CHECK(Released{.count = Granules(3)} != Released{.count = Granules(4)});
  CHECK(Released{.fault = ReleaseFault::inner} != Released{.fault = ReleaseFault::outside});
}
