#include <freestone/device/page_pools.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/zone.hpp>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Pages = Zone<backing::OffsetSpace, strategy::OrderList<strategy::Buddy, 8, 4, 0>, lock::Futex, cache::Coherent>;
using Failing = layers::FaultInjection<Pages>;
using Pools = PagePools<lock::Futex>;

constexpr auto scrubbed = [](const Block&) { return true; };

struct Scene {
  explicit Scene(Bytes size, std::size_t room = 512, std::optional<std::uint64_t> first_high = {})
      : zone(std::move(*Failing::create({.name = "system", .size = size}))), places(room), pools(zone, places, first_high) {}

  std::vector<Block> take(Bytes size) {
    std::array<Block, 64> out;
    const auto got = pools.allocate_list(size, out, scrubbed);
    return {got.begin(), got.end()};
  }
  // As PooledHeaps does it.
  void put(const Block& block) {
    const auto is_wanted = pools.wants(block);
    REQUIRE(is_wanted);
    if (*is_wanted && *pools.put(block)) return;
    REQUIRE(zone.deallocate(block));
  }
  void put(const std::vector<Block>& blocks) {
    for (const Block& block : blocks) put(block);
  }
  // What nobody has: free in the zone, or kept.
  Bytes free() { return zone.stats().free + pools.kept() * page_size.value(); }

  Failing zone;
  std::vector<KeptBlocks::Place> places;
  Pools pools;
};

std::vector<std::uint64_t> orders_of(const std::vector<Block>& blocks) {
  std::vector<std::uint64_t> sizes;
  for (const Block& block : blocks) sizes.push_back(block.size().value() >> 12);
  return sizes;
}

}  // namespace

TEST_CASE("row 7: the specification's examples (ION 3.1), and the same again out of the pools") {
  Scene scene(8 << 20);
  for (int round = 0; round < 2; ++round) {
    const auto blocks = scene.take((1 << 20) + (64 << 10) + (12 << 10));
    CHECK(orders_of(blocks) == std::vector<std::uint64_t>{256, 16, 1, 1, 1});
    scene.put(blocks);
    CHECK(scene.pools.kept() == 256 + 16 + 3);
    CHECK(scene.zone.stats().blocks == 5);  // to the zone they are live
  }
  Scene small(1 << 20);
  const auto page = small.take(4096);  // now there is no block of order 8
  CHECK(orders_of(small.take((256 << 10) + (12 << 10))) == std::vector<std::uint64_t>{16, 16, 16, 16, 1, 1, 1});
  CHECK(small.take(1 << 20).empty());
  CHECK(small.take(0).empty());
  CHECK(small.take(~std::uint64_t{0}).empty());
  Scene wide(4 << 20);
  std::vector<Block> in_the_way;
  for (std::uint64_t at = 0; at < 4; ++at) in_the_way.push_back(*wide.zone.allocate_at(at << 20, 4096));
  const auto blocks = wide.take((1 << 20) + (64 << 10) + (12 << 10));
  CHECK(blocks.size() == 20);
  for (std::size_t at = 0; at < 20; ++at) CHECK(blocks[at].size() == (at < 17 ? 64 << 10 : 4096));
}

TEST_CASE("the pool of an order comes before the zone, and high blocks before low ones") {
  Scene scene(4 << 20, 512, 3 << 20);
  const Block low = *scene.zone.allocate_at(1 << 20, 64 << 10);
  const Block high = *scene.zone.allocate_at(3 << 20, 64 << 10);
  scene.put({low, high});
  CHECK(scene.take(64 << 10)[0] == high);
  CHECK(scene.take(64 << 10)[0] == low);
  scene.put({high, low});
  CHECK(scene.pools.shrink(0, false) == 16);
  CHECK(scene.pools.shrink(Pools::all, false) == 16);
  CHECK(!scene.zone.owns(low));
  CHECK(scene.zone.owns(high));
  CHECK(scene.pools.shrink(1) == 16);
  CHECK(scene.zone.stats().blocks == 0);
  CHECK(scene.pools.kept() == 0);
}

TEST_CASE("the largest order is shrunk first, and no more than was wanted, but for the last block") {
  Scene scene(4 << 20);
  scene.put(scene.take((1 << 20) + (64 << 10) + 4096));
  CHECK(scene.pools.shrink(1) == 256);
  CHECK(scene.pools.kept() == 17);
  CHECK(scene.pools.shrink(17) == 17);
  CHECK(scene.zone.stats().blocks == 0);
}

TEST_CASE("what is kept is no more the giver's; what is of no order, of no zone or free is the zone's matter") {
  Scene scene(4 << 20);
  const Block page = scene.take(4096)[0];
  scene.put(page);
  CHECK(scene.pools.wants(page).error().code == ErrorCode::double_release);
  CHECK(scene.pools.put(page).error().code == ErrorCode::double_release);
  const Block pair = *scene.zone.allocate({.size = 8192});
  CHECK(*scene.pools.wants(pair) == false);
  CHECK(*scene.pools.wants(Block(1 << 20, 4096, page.zone_tag())) == false);
  CHECK(*scene.pools.wants(Block(page.offset(), 4096, page.zone_tag() + 1)) == false);
  CHECK(scene.pools.kept() == 1);
}

TEST_CASE("where there is no room, or memory is wanted, nothing is kept") {
  Scene scene(4 << 20, 2);
  const auto blocks = scene.take(3 * 4096);
  scene.put(blocks);
  CHECK(scene.pools.kept() == 2);
  CHECK(scene.zone.stats().blocks == 2);
  CHECK(scene.pools.shrink(Pools::all) == 2);
  const Block page = scene.take(4096)[0];
  {
    const Pools::Skip skip(scene.pools), another(scene.pools);
    CHECK(*scene.pools.wants(page) == false);
    CHECK(*scene.pools.put(page) == false);
  }
  CHECK(*scene.pools.wants(page) == true);
}

TEST_CASE("row 28: whichever call of the zone's fails, and whichever block cannot be scrubbed, nobody has a block too many") {
  for (std::uint64_t kept = 0; kept < 3; ++kept) {
    for (std::uint64_t failing = 1;; ++failing) {
      Scene scene(2 << 20);
      std::vector<Block> others;
      for (std::uint64_t at = 0; at < kept; ++at) others.push_back(scene.take(4096)[0]);
      scene.put(others);
      scene.zone.fail_from(layers::Call::allocate, failing);
      const auto got = scene.take((1 << 20) + (64 << 10) + 5 * 4096);
      const auto failed = scene.zone.failed(layers::Call::allocate);
      scene.zone.fail_nth(layers::Call::any, 0);
      CHECK(got.empty() == (failed != 0));
      if (got.empty()) CHECK(scene.free() == 2 << 20);
      if (failed == 0) break;
    }
  }
  for (std::uint64_t failing = 1;; ++failing) {
    Scene scene(2 << 20);
    std::uint64_t asked = 0;
    std::array<Block, 64> out;
    const auto got = scene.pools.allocate_list((1 << 20) + 5 * 4096, out, [&](const Block&) { return ++asked != failing; });
    if (!got.empty()) break;
    CHECK(asked == failing);
    CHECK(scene.free() == 2 << 20);
    CHECK(scene.pools.shrink(0) == (failing == 1 ? 0 : 256 + failing - 2));  // those before it are fit to be kept
  }
}

TEST_CASE("as many blocks as the caller has room for, or none") {
  Scene scene(2 << 20);
  std::array<Block, 3> out;
  CHECK(scene.pools.allocate_list(3 * 4096, out, scrubbed).size() == 3);
  CHECK(scene.pools.allocate_list(4 * 4096, out, scrubbed).empty());
  CHECK(scene.free() == (2 << 20) - 3 * 4096);
  CHECK(out[0] == Block());
}

TEST_CASE("row 7: comes and goes by chance: no two overlap, and what nobody has is free or kept") {
  Random random(seed());
  Scene scene(4 << 20, 300, 2 << 20);
  std::vector<std::vector<Block>> live;
  std::map<std::uint64_t, std::uint64_t> taken;  // where each block begins and ends
  std::uint64_t used = 0;
  for (int round = 0; round < 20'000; ++round) {
    if (random.chance(2)) scene.pools.shrink(random.below(400), random.chance(50));
    if (live.empty() || random.chance(55)) {
      const auto got = scene.take((1 + random.below(300)) << 12);
      if (got.empty()) continue;
      for (const Block& block : got) {
        const std::uint64_t first = block.offset().value(), end = first + block.size().value();
        const auto after = taken.lower_bound(first);
        REQUIRE((after == taken.end() || after->first >= end));
        REQUIRE((after == taken.begin() || std::prev(after)->second <= first));
        REQUIRE(first % block.size().value() == 0);
        taken.emplace(first, end), used += block.size().value();
      }
      live.push_back(got);
    } else {
      std::swap(live[static_cast<std::size_t>(random.below(live.size()))], live.back());
      for (const Block& block : live.back()) taken.erase(block.offset().value()), used -= block.size().value();
      scene.put(live.back());
      live.pop_back();
    }
    REQUIRE(scene.free() == (4 << 20) - used);
  }
  for (const auto& blocks : live) scene.put(blocks);
  scene.pools.shrink(Pools::all);
  CHECK(scene.zone.stats().free == 4 << 20);
}

TEST_CASE("row 25: threads that allocate, give back and shrink at once lose no page") {
  Scene scene(4 << 20, 128);
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 3; ++number) {
    threads.emplace_back([&scene, number] {
      Random random(number);
      std::vector<Block> mine;
      for (int round = 0; round < 400; ++round) {
        if (number == 0 && random.chance(30)) scene.pools.shrink(random.below(100));
        std::array<Block, 16> out;
        for (const Block& block : scene.pools.allocate_list((1 + random.below(40)) << 12, out, scrubbed)) mine.push_back(block);
        while (mine.size() > random.below(40)) {
          const Block block = mine.back();
          mine.pop_back();
          const auto is_wanted = scene.pools.wants(block);
          if (!is_wanted || !*is_wanted || !*scene.pools.put(block)) static_cast<void>(scene.zone.deallocate(block));
        }
      }
      for (const Block& block : mine) static_cast<void>(scene.zone.deallocate(block));
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(scene.free() == 4 << 20);
  scene.pools.shrink(Pools::all);
  CHECK(scene.zone.stats().blocks == 0);
}
