#include <freestone/strategy/snapshot.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include "support/child.hpp"
#include "support/map.hpp"
#include "support/map_errors.hpp"
#include "support/strategies.hpp"

using namespace freestone;

namespace {

using strategy::Change;
using tests::extent;
using tests::geometry;
using tests::Map;
using Words = std::vector<std::uint64_t>;
using Rows = std::vector<std::tuple<std::uint64_t, std::uint64_t, Change>>;  // first, count, what became of it

// What keeps books only has no memory to go with them.
template <class S>
concept has_snapshots = requires(std::span<std::uint64_t> words) {
  strategy::snapshot<S>(words, Geometry(), words);
};
static_assert(has_snapshots<strategy::Bitmap> && !has_snapshots<strategy::System>);

template <class S>
Words snapshot_of(Map<S>& map) {
  Words kept(S::footprint(map.range().capacity));
  REQUIRE(strategy::snapshot<S>(map.words(), map.range(), kept));
  return kept;
}

template <class S>
Rows rows(Words before, Words after, const Geometry& range) {
  Rows told;
  REQUIRE(strategy::diff<S>(before, after, range, [&](Extent block, Change change) {
    told.emplace_back(block.first.value(), block.count.value(), change);
  }));
  return told;
}

constexpr bool in_constant_evaluation() {
  Map<strategy::BestFit> map(100);
  Words kept(strategy::BestFit::footprint(Granules(100)), 0);
  if (!strategy::snapshot<strategy::BestFit>(map.words(), map.range(), kept) || map.place(7) != 0) return false;
  if (!strategy::restore<strategy::BestFit>(map.words(), map.range(), kept)) return false;
  return map.free() == 100 && map.place(7) == 0;
}
static_assert(in_constant_evaluation());

template <class S>
ErrorCode restored(std::span<std::uint64_t> map, const Geometry& range, std::span<std::uint64_t> kept) {
  const auto done = strategy::restore<S>(map, range, kept);
  return done ? ErrorCode::none : done.error().code;
}

}  // namespace

TEST_CASE_TEMPLATE("a restore brings every word back", S, strategy::Bitmap, strategy::Segregated, strategy::BestFit,
                   strategy::AllOrNothing, strategy::Elastic<strategy::BestFit>) {
  Map<S> map(100, 3);
  CHECK(map.place(20) == 0);
  const Words then = map.words();
  const Words kept = snapshot_of(map);
  CHECK(map.words() == then);  // it only looked
  CHECK(map.release(0) == 20);
  CHECK(map.place(33).has_value());
  Words copy = kept;
  CHECK(strategy::restore<S>(map.words(), map.range(), copy));
  CHECK(map.words() == then);
  CHECK(copy == kept);
  CHECK(map.release(0) == 20);
}

TEST_CASE("the range ends again where it did") {
  Map<strategy::Elastic<strategy::BestFit>> map(100);
  CHECK(map->shrink(Granules(30)));
  Words kept = snapshot_of(map);
  CHECK(map->grow(Granules(20)));
  CHECK(map.place(90) == 0);
  CHECK(strategy::restore<strategy::Elastic<strategy::BestFit>>(map.words(), map.range(), kept));
  CHECK(map.free() == 70);
  CHECK(!map.place(71));
}

TEST_CASE("a snapshot takes as many words as the map, and no more") {
  Map<strategy::Bitmap> map(100);
  const std::size_t words = map.words().size();
  Words kept(words + 2, 42);
  CHECK(strategy::snapshot<strategy::Bitmap>(map.words(), map.range(), kept));
  CHECK(kept[words] == 42);
  CHECK(kept[words + 1] == 42);
  const Words before = kept;
  const auto too_few = strategy::snapshot<strategy::Bitmap>(map.words(), map.range(), std::span(kept).first(words - 1));
  CHECK(too_few.error() == Error{.code = ErrorCode::notes_too_small, .asked = words, .available = words - 1});
  CHECK(kept == before);
  Words words_around(words + 2, 42);
  CHECK(strategy::restore<strategy::Bitmap>(words_around, map.range(), kept));  // over words that held no map
  CHECK(words_around == kept);
}

TEST_CASE("words that are no such map are refused, and nothing changes") {
  using S = strategy::Bitmap;
  Map<S> map(64, 3);
  CHECK(map.place(5) == 0);
  Words kept = snapshot_of(map);
  const Words then = map.words();
  const auto refusal = [&](std::span<std::uint64_t> from, const Geometry& range) {
    const ErrorCode code = restored<S>(map.words(), range, from);
    CHECK(map.words() == then);
    return code;
  };
  Words never(kept.size());
  CHECK(refusal(never, map.range()) == ErrorCode::not_formatted);
  CHECK(refusal(kept, geometry(65, 3)) == ErrorCode::wrong_capacity);
  CHECK(refusal(kept, geometry(64, 4)) == ErrorCode::wrong_origin);
  CHECK(refusal(std::span(kept).first(kept.size() - 1), map.range()) == ErrorCode::cut_short);
  CHECK(refusal(tests::misaligned(kept), map.range()) == ErrorCode::notes_misaligned);
  Map<strategy::BestFit> other(64, 3);
  CHECK(refusal(other.words(), map.range()) == ErrorCode::wrong_strategy);
  CHECK(restored<S>(std::span(map.words()).first(3), map.range(), kept) == ErrorCode::notes_too_small);
  CHECK(map.words() == then);

  const Words others = other.words();
  CHECK(strategy::snapshot<S>(never, map.range(), other.words()).error().code == ErrorCode::not_formatted);
  CHECK(other.words() == others);
  const auto diff_of = [&](Words before, Words after) {
    const auto visit = [](Extent, Change) { FAIL("nothing is told of what cannot be compared"); };
    const auto done = strategy::diff<S>(before, after, map.range(), visit);
    return done ? ErrorCode::none : done.error().code;
  };
  CHECK(diff_of(never, kept) == ErrorCode::not_formatted);
  CHECK(diff_of(kept, others) == ErrorCode::wrong_strategy);
  CHECK(diff_of(kept, kept) == ErrorCode::none);
}

TEST_CASE("who is killed in a restore leaves words that hold no map") {
  using S = strategy::Bitmap;
  Map<S> map(100);
  Words kept = snapshot_of(map);
  constexpr std::size_t page = 4096;
  void* pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED);
  // Its last word lies on the second page, and cannot be written.
  const std::span words(static_cast<std::uint64_t*>(pages) + page / 8 + 1 - kept.size(), kept.size());
  std::copy(kept.begin(), kept.end(), words.begin());
  REQUIRE(S::attach(words, map.range()));
  REQUIRE(mprotect(static_cast<std::byte*>(pages) + page, page, PROT_READ) == 0);
  CHECK(tests::ends_the_program([&] { return bool(strategy::restore<S>(words, map.range(), kept)); }));
  CHECK(S::attach(words, map.range()).error().code == ErrorCode::not_formatted);
  munmap(pages, 2 * page);
}

TEST_CASE_TEMPLATE("what went and what came is told, lowest first", S, strategy::Bitmap, strategy::BestFit,
                   strategy::Elastic<strategy::BestFit>) {
  Map<S> map(100);
  for (const std::uint64_t first : {0U, 10U, 20U, 30U, 90U}) REQUIRE(map.place_at(first, 10));
  const Words before = snapshot_of(map);
  CHECK(map.release(10) == 10);
  CHECK(map.place_at(15, 5));  // came where another one was
  CHECK(map.release(30) == 10);
  CHECK(map.place_at(30, 25));  // longer
  CHECK(map.release(90) == 10);
  CHECK(map.place_at(90, 10));  // as before, as far as a map tells
  CHECK(map.place_at(89, 1));
  CHECK(rows<S>(before, map.words(), map.range()) == Rows{{10, 10, Change::went},
                                                          {15, 5, Change::came},
                                                          {30, 10, Change::went},
                                                          {30, 25, Change::came},
                                                          {89, 1, Change::came}});
  CHECK(rows<S>(map.words(), before, map.range()) == Rows{{10, 10, Change::came},
                                                          {15, 5, Change::went},
                                                          {30, 25, Change::went},
                                                          {30, 10, Change::came},
                                                          {89, 1, Change::went}});
  CHECK(rows<S>(map.words(), map.words(), map.range()).empty());
}
