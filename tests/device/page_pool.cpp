#include <freestone/device/page_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

constexpr Bytes size = 64 << 10;
constexpr std::uint64_t pages = 16;  // of each

Block block_of(std::uint64_t number) { return Block(number * size.value(), size, 7); }

// The specification's words (ION 3.1), with nothing shared and nothing clever.
struct NaivePool {
  std::deque<Block> low, high;

  std::optional<Block> take() {
    auto& from = high.empty() ? low : high;
    if (from.empty()) return std::nullopt;
    const Block block = from.front();
    from.pop_front();
    return block;
  }
  std::uint64_t shrink(std::uint64_t wanted, bool may_take_high, std::vector<Block>& gone) {
    if (wanted == 0) return (low.size() + (may_take_high ? high.size() : 0)) * pages;
    std::uint64_t done = 0;
    for (auto* from : {&low, &high}) {
      while (done < wanted && !from->empty() && (from == &low || may_take_high)) {
        gone.push_back(from->front());
        from->pop_front();
        done += pages;
      }
    }
    return done;
  }
};

}  // namespace

TEST_CASE("row 18: a pool does what its naive model does, also beside another with which it shares its room") {
  Random random(18);
  std::vector<KeptBlocks::Place> room(40);
  KeptBlocks kept(room);
  PagePool pools[2] = {PagePool(size), PagePool(size)};
  NaivePool naive[2];
  std::uint64_t number = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto which = random.below(2);
    PagePool& pool = pools[which];
    NaivePool& model = naive[which];
    const bool is_high = random.below(2) == 0;
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const bool has_room = naive[0].low.size() + naive[0].high.size() + naive[1].low.size() + naive[1].high.size() < 40;
        REQUIRE(kept.has_room() == has_room);
        if (!has_room) break;
        const Block block = block_of(++number);
        pool.put(kept, block, is_high);
        (is_high ? model.high : model.low).push_back(block);
        REQUIRE(pool.contains(kept, block));
        REQUIRE(!pools[1 - which].contains(kept, block));
        break;
      }
      case 4:
      case 5:
      case 6: {
        const auto got = pool.take(kept);
        REQUIRE(got == model.take());
        if (got) REQUIRE(!pool.contains(kept, *got));
        break;
      }
      default: {
        std::vector<Block> gone, gone_too;
        const std::uint64_t wanted = random.below(6) * 10;
        const auto freed = pool.shrink(kept, wanted, is_high, [&](const Block& one) { return gone.push_back(one), true; });
        REQUIRE(freed == model.shrink(wanted, is_high, gone_too));
        REQUIRE(gone == gone_too);
      }
    }
  }
}

TEST_CASE("row 18: low blocks go first, high ones only where the caller may take them; 0 counts, in pages") {
  std::vector<KeptBlocks::Place> room(8);
  KeptBlocks kept(room);
  PagePool pool(size);
  for (std::uint64_t number = 0; number < 8; ++number) pool.put(kept, block_of(number), number % 2 == 0);
  std::vector<std::uint64_t> gone;
  const auto give_back = [&](const Block& block) { return gone.push_back(block.offset().value() / size.value()), true; };
  CHECK(pool.shrink(kept, 0, true, give_back) == 8 * pages);
  CHECK(pool.shrink(kept, 0, false, give_back) == 4 * pages);
  CHECK(gone.empty());
  CHECK(pool.shrink(kept, 1, true, give_back) == pages);
  CHECK(pool.shrink(kept, ~std::uint64_t{0}, false, give_back) == 3 * pages);
  CHECK(pool.shrink(kept, 1, false, give_back) == 0);
  CHECK(pool.shrink(kept, 2 * pages, true, give_back) == 2 * pages);
  CHECK(gone == std::vector<std::uint64_t>{1, 3, 5, 7, 0, 2});
  CHECK(pool.take(kept) == block_of(4));
}

TEST_CASE("a block that cannot go back stays, and is asked for once") {
  std::vector<KeptBlocks::Place> room(4);
  KeptBlocks kept(room);
  PagePool pool(size);
  for (std::uint64_t number = 0; number < 3; ++number) pool.put(kept, block_of(number), false);
  int asked = 0;
  CHECK(pool.shrink(kept, 100, true, [&](const Block&) { return ++asked != 2; }) == pages);
  CHECK(asked == 2);
  CHECK(pool.shrink(kept, 0, true, [](const Block&) { return true; }) == 2 * pages);
  CHECK(pool.contains(kept, block_of(1)));
  CHECK(pool.contains(kept, block_of(2)));
}

TEST_CASE("a pool with no room keeps none") {
  KeptBlocks none{std::span<KeptBlocks::Place>()};
  PagePool pool(size);
  CHECK(!none.has_room());
  CHECK(!pool.take(none));
  CHECK(!pool.contains(none, block_of(0)));
}
