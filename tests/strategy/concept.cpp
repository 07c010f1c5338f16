#include <freestone/strategy/concept.hpp>

#include <doctest/doctest.h>

#include "support/map.hpp"
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

// An ability with another answer is none.
struct ResizeTellsNothing : LikeBitmap<ResizeTellsNothing> {
  void resize(Granules, Granules) noexcept {}
};
struct ReserveTellsNobody : LikeBitmap<ReserveTellsNobody> {
  bool reserve(Extent) noexcept { return false; }
};
struct OnlyGrows : LikeBitmap<OnlyGrows> {
  bool grow(Granules) noexcept { return false; }
};
static_assert(!can_resize<MinimalStrategy> && !can_reserve<MinimalStrategy> && !can_grow<MinimalStrategy>);
static_assert(!can_resize<ResizeTellsNothing> && !can_reserve<ReserveTellsNobody> && !can_grow<OnlyGrows>);
static_assert(can_reserve<HostileStrategy>);

struct RoundsUp : LikeBitmap<RoundsUp> {
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    return bitmap_.place_at({extent.first, Granules((extent.count.value() + 1) / 2 * 2)});
  }
};

}  // namespace

TEST_CASE("exactly these granules are had from who reserves and from who can put a block there, or none") {
  const auto takes = [](auto& map, std::uint64_t first, std::uint64_t count) {
    std::uint64_t blocks = 0;
    const bool taken = take_exactly(map.strategy(), extent(first, count), [&](Extent) { ++blocks; });
    CHECK(taken == (blocks != 0));
    return blocks;
  };
  Map<strategy::Bitmap> plain(64);
  CHECK(takes(plain, 3, 5) == 1);
  CHECK(takes(plain, 7, 2) == 0);
  CHECK(plain.free() == 59);
  Map<HostileStrategy> pieces(64);
  CHECK(takes(pieces, 3, 5) == 5);
  CHECK(takes(pieces, 7, 2) == 0);
  CHECK(pieces.free() == 59);
  Map<RoundsUp> rounded(64);
  CHECK(takes(rounded, 3, 5) == 0);  // what came was too much, and went back
  CHECK(rounded.free() == 64);
  CHECK(takes(rounded, 3, 6) == 1);
}

TEST_CASE("what a release tells is told apart by both fields") {
  CHECK(Released{.count = Granules(3)} == Released{.count = Granules(3), .fault = ReleaseFault::none});
  CHECK(Released{.count = Granules(3)} != Released{.count = Granules(4)});
  CHECK(Released{.fault = ReleaseFault::inner} != Released{.fault = ReleaseFault::outside});
}
