#include <freestone/strategy/ledger.hpp>

#include <cstdint>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"
#include "support/map_errors.hpp"
#include "support/random.hpp"

using namespace freestone;

namespace {

using tests::extent;
using tests::geometry;
using Words = std::vector<std::uint64_t>;
using Rows = std::vector<std::tuple<std::uint64_t, std::uint64_t, unsigned>>;  // first, count, owner

// Stops reaching the words after so many stores, as a killed process does.
struct StoresThatEnd {
  static inline int left = 0;
  static void store(std::uint64_t* words, std::size_t cell, cells::Cell value) noexcept {
    if (left-- > 0) cells::store_in_order(words, cell, value);
  }
};

template <class Ledger>
constexpr Rows rows(const Ledger& ledger) {
  Rows found;
  ledger.for_each_block([&](Extent block, std::uint8_t owner) {
    found.push_back({block.first.value(), block.count.value(), owner});
  });
  return found;
}

constexpr bool in_constant_evaluation() {
  Words words(strategy::Ledger<>::footprint(Granules(100)), 0);
  auto ledger = *strategy::Ledger<>::format(words, geometry(100));
  ledger.place(extent(30, 40), 7);
  ledger.place(extent(70, 1), 9);
  ledger.release(extent(30, 40));
  ledger.repair();
  return rows(ledger) == Rows{{70, 1, 9}};
}
static_assert(in_constant_evaluation());

// The used and start bits of 200 granules.
Words tables(const Words& words) { return {words.begin() + 5, words.begin() + 5 + 2 * 4}; }

// After every number of stores of `change`, a repair (itself ended at a store, and run again) leaves the bits before or
// after, and nothing of what was half done.
template <class Prepare, class Change>
void check_every_prefix(Prepare&& prepare, Change&& change) {
  using Ledger = strategy::Ledger<StoresThatEnd>;
  constexpr int unending = 1'000'000;
  Words start(Ledger::footprint(Granules(200)));
  StoresThatEnd::left = unending;
  auto ledger = *Ledger::format(start, geometry(200));
  prepare(ledger);
  const Rows before = rows(ledger);
  Words changed = start;
  auto done = *Ledger::attach(changed, geometry(200));
  StoresThatEnd::left = unending;
  change(done);
  const int stores = unending - StoresThatEnd::left;
  const Rows after = rows(done);
  CHECK(before != after);
  for (int killed = 0; killed <= stores; ++killed) {
    for (int killed_again = 0; killed_again < 8; ++killed_again) {
      Words words = start;
      auto broken = *Ledger::attach(words, geometry(200));
      StoresThatEnd::left = killed;
      change(broken);
      StoresThatEnd::left = killed_again;
      broken.repair();
      StoresThatEnd::left = unending;
      broken.repair();
      CAPTURE(killed);
      const Rows found = rows(broken);
      CHECK((found == before || found == after));
      CHECK((tables(words) == tables(start) || tables(words) == tables(changed)));
      CHECK((killed != stores || found == after));
      Words again = words;
      broken.repair();
      CHECK(words == again);
    }
  }
}

}  // namespace

TEST_CASE("blocks with their owners, lowest first") {
  Words words(strategy::Ledger<>::footprint(Granules(300)));
  auto ledger = *strategy::Ledger<>::format(words, geometry(300));
  CHECK(rows(ledger).empty());
  ledger.place(extent(64, 200), 255);
  ledger.place(extent(0, 31), 1);
  ledger.place(extent(31, 1), 2);
  ledger.place(extent(32, 32), 3);
  ledger.place(extent(299, 1), 4);
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 1, 2}, {32, 32, 3}, {64, 200, 255}, {299, 1, 4}});
  CHECK(ledger.owner_of(Granules(31)) == 2);
  ledger.release(extent(32, 32));
  ledger.release(extent(64, 200));
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 1, 2}, {299, 1, 4}});
  ledger.place(extent(32, 267), 5);
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 1, 2}, {32, 267, 5}, {299, 1, 4}});
}

TEST_CASE("another object over the words sees the same") {
  Words words(strategy::Ledger<>::footprint(Granules(100)), 0);
  auto ledger = *strategy::Ledger<>::format(words, geometry(100));
  ledger.place(extent(3, 90), 6);
  CHECK(rows(*strategy::Ledger<>::attach(words, geometry(100))) == Rows{{3, 90, 6}});
}

TEST_CASE("a repair of what is whole changes nothing") {
  tests::Random random(tests::seed());
  Words words(strategy::Ledger<>::footprint(Granules(500)));
  auto ledger = *strategy::Ledger<>::format(words, geometry(500));
  for (std::uint64_t first = 0; first < 400;) {
    const std::uint64_t count = random.from_to(1, 90);
    if (random.chance(60)) ledger.place(extent(first, count), 1);
    first += count;
  }
  const Words before = words;
  ledger.repair();
  CHECK(words == before);
}

TEST_CASE("a place that was cut off is dropped or done") {
  check_every_prefix([](auto& ledger) { ledger.place(extent(0, 20), 1), ledger.place(extent(150, 50), 2); },
                     [](auto& ledger) { ledger.place(extent(20, 130), 3); });
  check_every_prefix([](auto&) {}, [](auto& ledger) { ledger.place(extent(63, 1), 3); });
  check_every_prefix([](auto& ledger) { ledger.place(extent(0, 40), 1); },
                     [](auto& ledger) { ledger.place(extent(40, 50), 3); });
  check_every_prefix([](auto& ledger) { ledger.place(extent(0, 32), 1); },
                     [](auto& ledger) { ledger.place(extent(32, 68), 3); });
}

TEST_CASE("a release that was cut off is dropped or done") {
  check_every_prefix(
      [](auto& ledger) {
        ledger.place(extent(0, 20), 1);
        ledger.place(extent(20, 130), 3);
        ledger.place(extent(150, 50), 2);
      },
      [](auto& ledger) { ledger.release(extent(20, 130)); });
  check_every_prefix([](auto& ledger) { ledger.place(extent(199, 1), 1); },
                     [](auto& ledger) { ledger.release(extent(199, 1)); });
}

TEST_CASE("a resize that was cut off is not done or done") {
  const auto between_two = [](auto& ledger) {
    ledger.place(extent(0, 20), 1);
    ledger.place(extent(20, 33), 3);
    ledger.place(extent(190, 10), 2);
  };
  for (const std::uint64_t count : {1U, 11U, 12U, 13U, 32U, 34U, 44U, 45U, 76U, 77U, 169U, 170U}) {
    CAPTURE(count);
    check_every_prefix(between_two, [&](auto& ledger) { ledger.resize(extent(20, 33), Granules(count)); });
  }
  for (const std::uint64_t count : {1U, 31U, 32U, 33U, 64U, 65U, 136U}) {
    check_every_prefix([](auto& ledger) { ledger.place(extent(64, 130), 9); },
                       [&](auto& ledger) { ledger.resize(extent(64, 130), Granules(count)); });
  }
}

TEST_CASE("a resized block keeps its start and its owner, and its neighbours theirs") {
  Words words(strategy::Ledger<>::footprint(Granules(300)));
  auto ledger = *strategy::Ledger<>::format(words, geometry(300));
  ledger.place(extent(0, 31), 1);
  ledger.place(extent(31, 1), 2);
  ledger.place(extent(200, 100), 3);
  ledger.resize(extent(31, 1), Granules(169));
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 169, 2}, {200, 100, 3}});
  const Words full = words;
  ledger.resize(extent(31, 169), Granules(169));
  CHECK(words == full);
  ledger.resize(extent(31, 169), Granules(2));
  ledger.resize(extent(200, 100), Granules(1));
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 2, 2}, {200, 1, 3}});
  ledger.place(extent(33, 167), 4);
  CHECK(rows(ledger) == Rows{{0, 31, 1}, {31, 2, 2}, {33, 167, 4}, {200, 1, 3}});
}

TEST_CASE("what words it takes, and which it refuses") {
  CHECK(strategy::Ledger<>::footprint(Granules(64)) == 5 + 2 + 8);
  CHECK(strategy::Ledger<>::footprint(Granules(65)) == 5 + 4 + 9);
  tests::check_format_errors<strategy::Ledger<>>();
  tests::check_attach_errors<strategy::Ledger<>>();
  tests::check_footprint_of_huge_ranges<strategy::Ledger<>>();
}
