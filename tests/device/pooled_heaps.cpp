// Heaps with pools and real bytes: nobody sees another's, and a page of a pool needs no scrubbing.
#include <freestone/device/pooled_heaps.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using namespace freestone::device;
using namespace freestone::declare;

namespace {

template <class S>
using Bytewise = Zone<backing::Anonymous, S, lock::Futex, cache::Coherent>;
using System = Bytewise<strategy::OrderList<strategy::Buddy, 8, 4, 0>>;
constexpr auto board = heaps(heap<"system">(id<0>, zone<System>, size<8_MiB>), heap<"carveout">(id<2>, zone<Bytewise<strategy::Bitmap>>, size<1_MiB>));
using Zones = Heaps<std::remove_const_t<decltype(board)>>;

// scrub::Zero, counted; and it fails when a test wants that.
struct Counted {
  std::uint64_t* count;
  std::uint64_t* failing;

  template <class Z>
  Result<void> operator()(Z& zone, const Block& block) const noexcept {
    if (++*count == *failing) return ErrorCode::os_failure;
    return scrub::Zero()(zone, block);
  }
};

struct Scene {
  Scene() { pooled.add(0, pools); }

  auto take(Bytes size, HeapMask mask = HeapMask::of(0)) {
    return pooled.allocate_list({.size = size, .heaps = mask, .contiguous = false}, out);
  }
  bool are_zeros(std::span<const Block> blocks) {
    return std::ranges::all_of(blocks, [&](const Block& block) {
      return std::ranges::all_of(bytes_of(block), [](std::byte one) { return one == std::byte{0}; });
    });
  }
  void write(std::span<const Block> blocks) {
    for (const Block& block : blocks) std::ranges::fill(bytes_of(block), std::byte{0x5a});
  }
  std::span<std::byte> bytes_of(const Block& block) {
    std::span<std::byte> bytes;
    zones.for_each([&](auto& zone, const HeapTraits&) {
      if (zone.tag() == block.zone_tag()) bytes = zone.data(block);
    });
    return bytes;
  }
  void put(std::span<const Block> blocks) {
    for (const Block& block : blocks) CHECK(pooled.deallocate(block));
  }

  std::uint64_t scrubbed = 0;
  std::uint64_t failing = 0;
  Zones zones = *Zones::create(board);
  std::vector<KeptBlocks::Place> room = std::vector<KeptBlocks::Place>(512);
  PagePools<lock::Futex> pools{zones.zone<"system">(), room};
  PooledHeaps<Zones, lock::Futex, Counted> pooled{zones, Counted{&scrubbed, &failing}};
  std::array<Block, 64> out;
};

std::vector<Block> kept(std::span<const Block> blocks) { return {blocks.begin(), blocks.end()}; }

}  // namespace

TEST_CASE("row 8: whatever way memory went, who gets it sees zeros; and each byte is scrubbed once on its way") {
  Scene scene;
  constexpr std::uint64_t size = (1 << 20) + (64 << 10) + 4096;
  const auto first = scene.take(size);
  REQUIRE(first);
  CHECK(first->heap == 0);
  CHECK(scene.are_zeros(first->blocks));
  CHECK(scene.scrubbed == 3);
  scene.write(first->blocks);
  const auto blocks = kept(first->blocks);
  scene.put(blocks);  // to the pools
  CHECK(scene.scrubbed == 6);
  const auto again = scene.take(size);
  CHECK(kept(again->blocks) == blocks);
  CHECK(scene.are_zeros(again->blocks));
  CHECK(scene.scrubbed == 6);
  scene.write(again->blocks);
  {
    const PagePools<lock::Futex>::Skip skip(scene.pools);
    scene.put(blocks);  // to the zone, as they are
    CHECK(scene.scrubbed == 6);
  }
  const auto fresh = scene.take(size);
  CHECK(scene.are_zeros(fresh->blocks));
  CHECK(scene.scrubbed == 9);
  scene.write(fresh->blocks);
  scene.put(kept(fresh->blocks));
  scene.pools.shrink(scene.pools.all);
  const auto one = scene.pooled.allocate({.size = 2 << 20, .heaps = HeapMask::of(0)});
  CHECK(scene.are_zeros(std::array{one->block}));
  const auto carveout = scene.take(1 << 20, HeapMask::of(2));
  CHECK(carveout->heap == 2);
  scene.write(carveout->blocks);
  scene.put(kept(carveout->blocks));
  CHECK(scene.are_zeros(scene.take(1 << 20, HeapMask::of(2))->blocks));
}

TEST_CASE("row 20: what the pools keep is to be had: in another order, in one block, by whoever asks") {
  Scene scene;
  std::vector<Block> pages;
  for (int request = 0; request < 32; ++request) {
    const auto got = scene.take(60 << 10);  // no order but 0
    REQUIRE(got);
    for (const Block& block : got->blocks) pages.push_back(block);
  }
  scene.put(pages);
  CHECK(scene.pools.kept() == 480);
  std::vector<Block> large;
  for (int request = 0; request < 8; ++request) {
    const auto got = scene.take(1 << 20);
    REQUIRE(got);
    CHECK(scene.are_zeros(got->blocks));
    for (const Block& block : got->blocks) large.push_back(block);
  }
  CHECK(scene.zones.zone<"system">().stats().free == 0);
  scene.put(large);
  CHECK(scene.pools.kept() == 2048);
  const auto whole = scene.pooled.allocate({.size = 8 << 20, .heaps = HeapMask::of(0)});
  REQUIRE(whole);
  CHECK(scene.pools.kept() == 0);
  CHECK(scene.take(4096).error().code == ErrorCode::none_satisfied);
}

TEST_CASE("row 28: what cannot be scrubbed is given to nobody, and kept by nobody") {
  for (std::uint64_t failing = 1; failing <= 4; ++failing) {
    Scene scene;
    scene.failing = failing;
    const auto got = scene.take((1 << 20) + (64 << 10) + 8192);
    REQUIRE(got);
    const auto before = scene.pools.kept();  // what was clean of a first try
    CHECK(before == std::array{0, 256, 272, 273}[static_cast<std::size_t>(failing - 1)]);
    CHECK(scene.are_zeros(got->blocks));
    scene.write(got->blocks);
    scene.failing = scene.scrubbed + 1;
    scene.put(kept(got->blocks));
    CHECK(scene.pools.kept() == before + 18);  // one, the largest, is not
    scene.failing = scene.scrubbed + 1;
    CHECK(scene.pooled.allocate({.size = 64 << 10, .heaps = HeapMask::of(2)}).error().last.code == ErrorCode::os_failure);
    CHECK(scene.zones.zone<"carveout">().stats().free == 1 << 20);
  }
}

TEST_CASE("what else is asked goes to the heaps: bounds, alignments, several heaps, one block") {
  Scene scene;
  scene.put(kept(scene.take(4096)->blocks));
  CHECK(scene.pools.kept() == 1);
  CHECK(scene.pooled.allocate_list({.size = 4096, .align = 64 << 10, .heaps = HeapMask::of(0), .contiguous = false}, scene.out));
  CHECK(scene.pooled.allocate_list({.size = 4096, .contiguous = false}, scene.out));
  CHECK(scene.pooled.allocate({.size = 4096}));
  CHECK(scene.pools.kept() == 1);
  CHECK(scene.take(4096, HeapMask::of(7)).error().code == ErrorCode::unknown_heap);
  CHECK(scene.pooled.deallocate(Block(0, 4096, 12345)).error().code == ErrorCode::foreign_block);
  CHECK(scene.pooled.traits().size() == 2);
}

TEST_CASE("who gives back twice is told so, whether it is kept by then or free") {
  Scene scene;
  const Block page = scene.take(4096)->blocks[0];
  CHECK(scene.pooled.deallocate(page));
  CHECK(scene.pooled.deallocate(page).error().code == ErrorCode::double_release);
  scene.pools.shrink(1);
  CHECK(!scene.pooled.deallocate(page));
}

TEST_CASE("row 29: a buffer out of a pool is there ten times as fast as one that must be zeroed") {
  Scene scene;
  using Clock = std::chrono::steady_clock;
  const auto time = [&](bool is_kept) {
    auto best = Clock::duration::max();
    for (int round = 0; round < 15; ++round) {
      const auto begin = Clock::now();
      const auto got = scene.take(4 << 20);
      best = std::min(best, Clock::now() - begin);
      REQUIRE(got);
      scene.put(kept(got->blocks));
      if (!is_kept) scene.pools.shrink(scene.pools.all);
    }
    return std::chrono::duration<double, std::micro>(best).count();
  };
  const double fresh = time(false), pooled = time(true);
  std::printf("4 MiB zeroed: %.1f us, out of a pool: %.2f us, %.0f times\n", fresh, pooled, fresh / pooled);
  CHECK(fresh >= 10 * pooled);
}

TEST_CASE("row 25: threads that allocate, write, give back and shrink at once see zeros, and lose nothing") {
  Zones zones = *Zones::create(board);
  std::vector<KeptBlocks::Place> room(64);
  PagePools<lock::Futex> pools(zones.zone<"system">(), room);
  PooledHeaps<Zones, lock::Futex, scrub::Zero> pooled(zones);
  pooled.add(0, pools);
  std::array<int, 3> wrong{};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 3; ++number) {
    threads.emplace_back([&, number] {
      std::array<Block, 8> out;
      for (unsigned round = 0; round < 200; ++round) {
        if (number == 0) pools.shrink(round % 7);
        const Constraints wanted{.size = Bytes((1 + (round * 7 + number) % 19) << 12), .heaps = HeapMask::of(0), .contiguous = false};
        const auto got = pooled.allocate_list(wanted, out);
        if (!got) continue;
        for (const Block& block : got->blocks) {
          const auto bytes = zones.zone<"system">().data(block);
          wrong[number] += bytes.front() != std::byte{0} || bytes.back() != std::byte{0};
          bytes.front() = bytes.back() = std::byte{0x11};
          wrong[number] += !pooled.deallocate(block);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::array<int, 3>{});
  pools.shrink(pools.all);
  CHECK(zones.zone<"system">().stats().blocks == 0);
}
