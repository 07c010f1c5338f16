// What every strategy with boundary tags does alike, wherever it places.
#include <freestone/strategy/boundary_tags.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/segregated.hpp>
#include "support/child.hpp"
#include "support/map.hpp"
#include "support/map_errors.hpp"

using namespace freestone;

namespace {

using tests::extent;
using tests::Map;

#define FREESTONE_WITH_TAGS strategy::Segregated, strategy::BestFit, strategy::BestFitHigh

template <class S>
constexpr bool round_trip() {
  Map<S> map(100, 3);
  if (!map.place_at(10, 20) || !map.place_at(30, 5) || !map.place_at(90, 10) || map.place_at(29, 1)) return false;
  if (map.length_of(30) != 5 || map.length_of(31) != 0 || map.free() != 65 || map.largest() != 55) return false;
  if (map.release(30) != 5 || map.release(30) != 0 || map.place(60) != 30) return false;
  return map.blocks() == std::vector{extent(10, 20), extent(30, 60), extent(90, 10)};
}
static_assert(round_trip<strategy::Segregated>() && round_trip<strategy::BestFit>() &&
              round_trip<strategy::BestFitHigh>());

template <class S>
constexpr bool resizes() {
  Map<S> map(100, 3);
  if (!map.place_at(20, 10)) return false;
  return map->resize(Granules(20), Granules(4)) == extent(20, 4) && map.free() == 96 &&
         map->resize(Granules(20), Granules(10)) == extent(20, 10) && map.free() == 90;
}
static_assert(resizes<strategy::Segregated>() && resizes<strategy::BestFit>() && resizes<strategy::BestFitHigh>());

// Blocks that touch, all over the range.
template <class S>
void fill(Map<S>& map, const std::vector<std::uint64_t>& counts) {
  std::uint64_t first = 0;
  for (const std::uint64_t count : counts) {
    REQUIRE(map.place_at(first, count));
    first += count;
  }
  REQUIRE(first == map.range().capacity.value());
  REQUIRE(map.largest() == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("a release makes one hole with the holes beside it, in whatever order they come", S,
                   FREESTONE_WITH_TAGS) {
  for (const std::vector<std::uint64_t>& counts :
       {std::vector<std::uint64_t>{10, 20, 30}, {1, 1, 1}, {1, 2, 1}, {2, 1, 2}, {17, 1, 64}}) {
    const std::array<std::uint64_t, 4> firsts{0, counts[0], counts[0] + counts[1], counts[0] + counts[1] + counts[2]};
    std::array<std::size_t, 3> order{0, 1, 2};
    do {
      Map<S> map(firsts[3], 7);
      fill(map, counts);
      std::array<bool, 3> is_free{};
      for (const std::size_t i : order) {
        CHECK(map.release(firsts[i]) == counts[i]);
        is_free[i] = true;
        const std::uint64_t whole = is_free[1] ? counts[1] + is_free[0] * counts[0] + is_free[2] * counts[2]
                                               : std::max(is_free[0] * counts[0], is_free[2] * counts[2]);
        CHECK(map.largest() == whole);
      }
      CHECK(map.place(firsts[3]) == 0);
      for (std::uint64_t count = 1; count <= firsts[3]; ++count) CHECK(!map.place(count));  // no hole was forgotten
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST_CASE_TEMPLATE("a place of one's own choice leaves a hole to each side", S, FREESTONE_WITH_TAGS) {
  Map<S> map(100, 3);
  CHECK(map.place_at(30, 40));  // from the middle
  CHECK(map.free() == 60);
  CHECK(map.place_at(0, 1));    // from the low end
  CHECK(map.place_at(95, 5));   // from the high end
  CHECK(map.place_at(70, 25));  // a whole hole
  CHECK(map.largest() == 29);
  CHECK(map.refuses_place_at(0, 1));
  CHECK(map.refuses_place_at(1, 30));
  CHECK(map.refuses_place_at(0, 3));
  CHECK(map.refuses_place_at(40, 2));
  CHECK(map.refuses_place_at(69, 1));
  CHECK(map.refuses_place_at(20, 60));
  CHECK(map.refuses_place_at(10, 0));
  CHECK(map.refuses_place_at(99, 2));
  CHECK(map.refuses_place_at(100, 1));
  CHECK(map.refuses_place_at(1, 101));
  CHECK(map.refuses_place_at(1, ~std::uint64_t{0}));
  CHECK(map.refuses_place_at(~std::uint64_t{0}, 2));
  CHECK(map.blocks() == std::vector{extent(0, 1), extent(30, 40), extent(70, 25), extent(95, 5)});
  CHECK(map.place(29) == 1);
  CHECK(map.free() == 0);
}

TEST_CASE_TEMPLATE("where the last place_at was, it may not be any more", S, FREESTONE_WITH_TAGS) {
  Map<S> map(100);
  CHECK(map.place_at(50, 10));
  CHECK(map.place_at(20, 10));  // below it
  CHECK(map.place_at(50 + 10, 5));
  CHECK(map.release(60) == 5);
  CHECK(map.refuses_release(60, ReleaseFault::not_live));  // the block there is gone, and a hole is
  CHECK(map.refuses_release(70, ReleaseFault::not_live));
  CHECK(map.refuses_release(55, ReleaseFault::inner));
  CHECK(map.release(50) == 10);
  CHECK(map.place_at(45, 40));  // over it
  CHECK(map.refuses_release(60, ReleaseFault::inner));
  CHECK(map.refuses_release(44, ReleaseFault::not_live));
  CHECK(map.refuses_place_at(84, 2));
  CHECK(map.place_at(85, 15));
  CHECK(map.blocks() == std::vector{extent(20, 10), extent(45, 40), extent(85, 15)});
}

TEST_CASE_TEMPLATE("blocks that are put back lowest first take no walk over those before", S, FREESTONE_WITH_TAGS) {
  constexpr std::uint64_t blocks = 300'000;
  const auto restores = [] {
    Map<S> map(2 * blocks);
    for (std::uint64_t i = 0; i < blocks; ++i) {
      if (!map.place_at(2 * i, 1)) return false;
    }
    return map.free() == blocks && map.largest() == 1;
  };
  CHECK(tests::holds_in_child(restores, 20));  // with walks it is minutes
}

TEST_CASE_TEMPLATE("as many live blocks as granules", S, FREESTONE_WITH_TAGS) {
  for (const std::uint64_t capacity : {1U, 2U, 3U, 63U, 64U, 65U, 1000U}) {
    Map<S> map(capacity, 5);
    for (std::uint64_t i = 0; i < capacity; ++i) REQUIRE(map.place(1).has_value());
    CHECK(map.free() == 0);
    CHECK(map.largest() == 0);
    CHECK(!map.place(1));
    CHECK(!map.place(1, 2));
    CHECK(map.blocks().size() == capacity);
    for (std::uint64_t i = 0; i < capacity; ++i) REQUIRE(map.release(i * 7919 % capacity) == 1);
    CHECK(map.place(capacity) == 0);  // the last granule too
  }
}

TEST_CASE_TEMPLATE("a range of no granules has room for nothing", S, FREESTONE_WITH_TAGS) {
  Map<S> map(0, 3);
  CHECK(!map.place(0));
  CHECK(!map.place(1));
  CHECK(!map.place(1, 2));
  CHECK(map.free() == 0);
  CHECK(map.largest() == 0);
  CHECK(map.refuses_release(0, ReleaseFault::outside));
  CHECK(map.refuses_place_at(0, 1));
  CHECK(map.blocks().empty());
}

TEST_CASE_TEMPLATE("one granule more than there is does not fit, however many that is", S, FREESTONE_WITH_TAGS) {
  for (std::uint64_t capacity = 1; capacity <= 1100; ++capacity) {
    Map<S> map(capacity, 3);
    REQUIRE(!map.place(capacity + 1));
    REQUIRE(!map.place(capacity + 1, 2));
    REQUIRE(map.place(capacity) == 0);
    REQUIRE(map.length_of(0) == capacity);
  }
}

TEST_CASE_TEMPLATE("nothing, and more than there is, do not fit", S, FREESTONE_WITH_TAGS) {
  Map<S> map(64, 3);
  for (const std::uint64_t align : {1U, 2U, 64U}) {
    CHECK(!map.place(0, align));
    CHECK(!map.place(65, align));
    CHECK(!map.place(~std::uint64_t{0}, align));
    CHECK(!map.place(std::uint64_t{1} << 32, align));
  }
  CHECK(map.place_at(0, 60));
  CHECK(!map.place(5));
  CHECK(!map.place(4, 2));
  CHECK(map.place(4) == 60);
}

TEST_CASE_TEMPLATE("a block's tail goes back to the hole behind it, and comes from there", S, FREESTONE_WITH_TAGS) {
  Map<S> map(100, 3);
  const auto resize = [&](std::uint64_t first, std::uint64_t count) {
    return map->resize(Granules(first), Granules(count)) == extent(first, count);
  };
  CHECK(map.place_at(10, 20));
  CHECK(map.place_at(60, 40));
  CHECK(resize(10, 15));  // joined with the hole behind
  CHECK(map.largest() == 35);
  CHECK(map.free() == 45);
  CHECK(resize(10, 49));  // leaves one
  CHECK(map.largest() == 10);
  CHECK(map.place(1, 1).has_value());
  for (const Extent block : map.blocks()) {
    if (block.count == Granules(1)) CHECK(map.release(block.first.value()) == 1);
  }
  CHECK(resize(10, 50));  // all of it
  CHECK(map.free() == 10);
  CHECK(resize(60, 39));  // a hole of its own
  CHECK(resize(10, 1));
  CHECK(map.refuses_release(11, ReleaseFault::not_live));
  CHECK(map.largest() == 49);
  CHECK(resize(60, 1));
  CHECK(map.blocks() == std::vector{extent(10, 1), extent(60, 1)});
  CHECK(map.release(10) == 1);
  CHECK(map.largest() == 60);
  CHECK(map.release(60) == 1);
  CHECK(map.place(100) == 0);
}

TEST_CASE_TEMPLATE("what cannot be had behind a block changes nothing", S, FREESTONE_WITH_TAGS) {
  Map<S> map(100, 3);
  CHECK(map.place_at(10, 20));
  CHECK(map.place_at(40, 20));
  CHECK(map.place_at(60, 5));
  const auto refuses = [&](std::uint64_t first, std::uint64_t count) {
    const auto before = map.words();
    return !map->resize(Granules(first), Granules(count)) && map.words() == before;
  };
  CHECK(refuses(10, 31));
  CHECK(refuses(10, 90));
  CHECK(refuses(40, 21));
  CHECK(refuses(60, 41));
  CHECK(refuses(10, 0));
  CHECK(refuses(10, 101));
  CHECK(refuses(10, ~std::uint64_t{0}));
  CHECK(refuses(11, 1));
  CHECK(refuses(0, 1));
  CHECK(refuses(30, 1));
  CHECK(refuses(100, 1));
  CHECK(refuses(~std::uint64_t{0}, 1));
  const auto before = map.words();
  CHECK(map->resize(Granules(10), Granules(20)) == extent(10, 20));  // as it is
  CHECK(map.words() == before);
}

TEST_CASE_TEMPLATE("a block that was resized ends where its neighbours look for it", S, FREESTONE_WITH_TAGS) {
  Map<S> map(30);
  fill(map, {10, 10, 10});
  CHECK(map.release(10) == 10);
  CHECK(map->resize(Granules(0), Granules(20)));  // over the hole's last tag
  CHECK(map.release(20) == 10);
  CHECK(map.largest() == 10);
  CHECK(map->resize(Granules(0), Granules(5)));
  CHECK(map.largest() == 25);
  CHECK(map.release(0) == 5);
  CHECK(map.place(30) == 0);
}

TEST_CASE_TEMPLATE("a wrong release is told, and changes nothing", S, FREESTONE_WITH_TAGS) {
  Map<S> map(200, 3);
  CHECK(map.place_at(0, 10));
  CHECK(map.place_at(10, 70));
  CHECK(map.place_at(150, 1));
  for (std::uint64_t first = 0; first < 200; ++first) {
    if (first == 0 || first == 10 || first == 150) continue;
    REQUIRE(map.refuses_release(first, first < 80 ? ReleaseFault::inner : ReleaseFault::not_live));
    REQUIRE(map.length_of(first) == 0);
  }
  for (const std::uint64_t first :
       {std::uint64_t{200}, std::uint64_t{201}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    CHECK(map.refuses_release(first, ReleaseFault::outside));
    CHECK(map.length_of(first) == 0);
  }
  CHECK(map.release(10) == 70);
  for (std::uint64_t first = 10; first < 150; ++first) REQUIRE(map.refuses_release(first, ReleaseFault::not_live));
}

TEST_CASE_TEMPLATE("blocks that had other bounds before are told by their own", S, FREESTONE_WITH_TAGS) {
  Map<S> map(60);
  fill(map, {20, 20, 20});
  for (const std::uint64_t first : {0U, 20U, 40U}) CHECK(map.release(first) == 20);
  fill(map, {15, 30, 15});
  CHECK(map.refuses_release(20, ReleaseFault::inner));
  CHECK(map.refuses_release(40, ReleaseFault::inner));
  CHECK(map.release(15) == 30);
  CHECK(map.refuses_release(20, ReleaseFault::not_live));
  CHECK(map.place_at(15, 30));
  CHECK(map.release(0) == 15);
  CHECK(map.largest() == 15);
}

TEST_CASE_TEMPLATE("a block that fills a hole is not taken for it by its neighbours", S, FREESTONE_WITH_TAGS) {
  Map<S> map(30);
  CHECK(map.place_at(10, 10));
  CHECK(map.place_at(0, 10));
  CHECK(map.place_at(20, 10));
  CHECK(map.release(10) == 10);
  CHECK(map.largest() == 10);
  CHECK(map.free() == 10);
  CHECK(map.place(10) == 10);
  CHECK(map.length_of(0) == 10);
  CHECK(map.length_of(20) == 10);
}

TEST_CASE_TEMPLATE("of more granules than a tag can count no map is made", S, FREESTONE_WITH_TAGS) {
  constexpr std::uint64_t most = (std::uint64_t{1} << 30) - 1;
  CHECK(S::most_granules == most);
  CHECK(S::footprint(Granules(most)) < SIZE_MAX);
  CHECK(S::footprint(Granules(most + 1)) == SIZE_MAX);
  std::vector<std::uint64_t> words(1000, 42);
  const std::vector<std::uint64_t> before = words;
  CHECK(S::format(words, tests::geometry(most + 1)).error().code == ErrorCode::notes_too_small);
  CHECK(words == before);
}

TEST_CASE_TEMPLATE("which words are refused", S, FREESTONE_WITH_TAGS, strategy::BestFitTwoEnded, strategy::BestFitMmz) {
  tests::check_format_errors<S>();
  tests::check_attach_errors<S>();
  tests::check_footprint_of_huge_ranges<S>();
}

TEST_CASE("maps of different strategies are told apart") {
  const std::array ids{strategy::Segregated::id, strategy::BestFit::id, strategy::BestFitHigh::id,
                       strategy::BestFitTwoEnded::id, strategy::BestFitMmz::id};
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(std::count(ids.begin(), ids.end(), ids[i]) == 1);
}
