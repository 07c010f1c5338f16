#include <freestone/heap/reuse_cache.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <list>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/heap/deferred.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/zone_ref.hpp>
#include "support/fences.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using Memory = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
using Fit = Numbers<strategy::Bitmap>;
using Small = BlockSizes<4 << 10, 16 << 10>;
template <class Z, std::size_t most>
using Bare = ReuseCache<Z, Small, most, scrub::Nothing>;

template <class Z>
Z make(Bytes size) {
  return std::move(*Z::create({.name = "memory", .size = size}));
}

bool is_all(std::span<const std::byte> bytes, int value) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == std::byte(value); });
}

template <class C>
bool has_kept(C& cache, std::uint64_t blocks, Bytes bytes) {
  return cache.kept() == typename C::Kept{blocks, bytes};
}

}  // namespace

TEST_CASE("which sizes belong together") {
  static_assert(Small::ascend() && !BlockSizes<2, 2>::ascend() && !BlockSizes<0, 1>::ascend());
  const std::vector<std::array<std::uint64_t, 2>> cases = {
      {0, 0},    {1, 0},        {2048, 0},      {2049, 4096}, {4096, 4096},          {4097, 0},
      {8192, 0}, {8193, 16384}, {16384, 16384}, {16385, 0},   {~std::uint64_t{0}, 0}};
  for (const auto& one : cases) {
    CAPTURE(one[0]);
    CHECK(Small::size_for(one[0]) == one[1]);
  }
}

TEST_CASE("kept for the next who asks for the size, the oldest first") {
  auto zone = make<Fit>(64_KiB);
  Bare<Fit, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  const Block c = *cache.allocate(9_KiB);
  const Block odd = *cache.allocate(8_KiB);
  CHECK(c.size() == 16_KiB);
  CHECK(odd.size() == 8_KiB);
  for (const Block& block : {b, c, a, odd}) CHECK(cache.deallocate(block));
  CHECK(has_kept(cache, 3, 24 << 10));
  CHECK(zone.stats().blocks == 3);  // to the zone they are live
  CHECK(!cache.owns(a));
  CHECK(zone.owns(a));
  CHECK(*cache.allocate(4_KiB) == b);
  CHECK(*cache.allocate(3_KiB) == a);
  CHECK(cache.owns(a));
  CHECK(*cache.allocate(16_KiB) == c);
  CHECK(has_kept(cache, 0, 0));
}

TEST_CASE("no more than may be: the oldest go back") {
  auto zone = make<Fit>(128_KiB);
  {
    Bare<Fit, 2> cache(zone);
    std::vector<Block> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(*cache.allocate(4_KiB));
    for (const Block& block : blocks) CHECK(cache.deallocate(block));
    CHECK(blocks_of(zone) == std::vector<Block>{blocks[1], blocks[2]});
  }
  CHECK(zone.stats().blocks == 0);  // with its end all go back
  Bare<Fit, 8> cache(zone, 20_KiB);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  const Block large = *cache.allocate(16_KiB);
  CHECK(cache.deallocate(a));
  CHECK(cache.deallocate(b));
  CHECK(cache.deallocate(large));
  CHECK(has_kept(cache, 2, 20 << 10));
  CHECK(!zone.owns(a));
  Bare<Fit, 8> tiny(zone, 4_KiB);
  const Block other = *tiny.allocate(16_KiB);
  CHECK(tiny.deallocate(other));
  CHECK(tiny.kept().blocks == 0);
}

TEST_CASE("shrink gives the oldest back and says how much; 0 counts only") {
  auto zone = make<Fit>(128_KiB);
  Bare<Fit, 8> cache(zone);
  std::vector<Block> blocks;
  for (const Bytes size : {4_KiB, 16_KiB, 4_KiB, 4_KiB}) blocks.push_back(*cache.allocate(size));
  for (const Block& block : blocks) CHECK(cache.deallocate(block));
  CHECK(cache.shrink(0) == 28_KiB);
  CHECK(cache.kept().blocks == 4);
  CHECK(cache.shrink(5_KiB) == 20_KiB);
  CHECK(blocks_of(zone) == std::vector<Block>{blocks[2], blocks[3]});
  CHECK(cache.shrink(1) == 4_KiB);
  CHECK(cache.shrink(1_MiB) == 4_KiB);
  CHECK(cache.shrink(1_MiB) == 0);
  CHECK(cache.shrink(0) == 0);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("what is kept can be had by whoever wants space") {
  auto zone = make<Fit>(32_KiB);
  Bare<Fit, 8> cache(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(*cache.allocate(4_KiB));
  for (std::size_t i = 0; i < 8; i += 2) CHECK(cache.deallocate(blocks[i]));
  CHECK(code_of(cache.allocate(32_KiB)) == ErrorCode::no_space);
  CHECK(cache.kept().blocks == 0);
  for (std::size_t i = 1; i < 8; i += 2) CHECK(cache.deallocate(blocks[i]));
  CHECK(cache.allocate(32_KiB));
  auto little = make<Fit>(12_KiB);
  Bare<Fit, 8> of_little(little);
  const auto block = of_little.allocate(9_KiB);  // there is no room for a whole one, but for what was asked for
  REQUIRE(block);
  CHECK(block->size() == 12_KiB);
}

TEST_CASE("alignment counts from the zone's base") {
  using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = std::move(*Z::create({.name = "numbers", .size = 64_KiB}, Bytes(0x1'0000'3000)));
  Bare<Z, 8> cache(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(*cache.allocate(4_KiB));
  for (const Block& block : blocks) CHECK(cache.deallocate(block));
  const auto wide = cache.allocate(Request{.size = 4_KiB, .align = 16_KiB});
  REQUIRE(wide);
  CHECK(wide->offset() == 0x1000);
  CHECK(*cache.allocate(Request{.size = 4_KiB, .align = 8_KiB}) == blocks[3]);
  CHECK(code_of(cache.allocate(Request{.size = 4_KiB, .align = 3})) == ErrorCode::alignment_not_power_of_two);
  CHECK(code_of(cache.allocate(Request{.size = 4_KiB, .align = 128_KiB})) == ErrorCode::alignment_beyond_zone);
  CHECK(cache.kept().blocks == 4);
}

TEST_CASE("nobody gets a former owner's bytes") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  std::memset(zone.data(a).data(), 0x5A, zone.data(a).size());
  CHECK(cache.deallocate(a));
  CHECK(is_all(zone.data(a), 0));
  CHECK(*cache.allocate(4_KiB) == a);
  std::memset(zone.data(a).data(), 0x5A, zone.data(a).size());
  CHECK(cache.deallocate_to_zone(a));  // when memory is wanted nobody takes the time
  CHECK(is_all(zone.data(*zone.allocate(4_KiB)), 0x5A));
}

TEST_CASE("nor does a device, where caches are not coherent") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Modelled>;
  auto zone = make<Z>(64_KiB);
  ReuseCache<Z, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  std::vector<std::byte> secret(4096, std::byte(0x5A)), seen(4096);
  REQUIRE(zone.cache().device_write(a.offset(), secret));  // the CPU has not seen it
  CHECK(cache.deallocate(a));
  REQUIRE(zone.cache().device_read(a.offset(), seen));
  CHECK(is_all(seen, 0));
  zone.cache().evict(1);
  zone.cache().evict(2);
  REQUIRE(cache.allocate(4_KiB));
  CHECK(is_all(zone.cpu_read(a)->bytes(), 0));
  CHECK(zone.cache().dirty_lines() == 0);
}

TEST_CASE("a scrubber of one's own, where the CPU does not see the bytes") {
  struct Counts {
    int* done;
    bool* fails;
    Result<void> operator()(Fit&, const Block& block) noexcept {
      if (*fails) return Error{.code = ErrorCode::os_failure, .asked = block.size().value()};
      return ++*done, Result<void>();
    }
  };
  int done = 0;
  bool fails = false;
  auto zone = make<Fit>(64_KiB);
  ReuseCache<Fit, Small, 4, Counts> cache(zone, 1_MiB, Counts{&done, &fails});
  const Block a = *cache.allocate(4_KiB);
  const Block odd = *cache.allocate(8_KiB);
  CHECK(cache.deallocate(odd));
  CHECK(done == 0);  // it is not kept
  fails = true;
  CHECK(code_of_unchanging(zone, [&] { return cache.deallocate(a); }) == ErrorCode::os_failure);
  CHECK(cache.owns(a));
  CHECK(cache.kept().blocks == 0);
  fails = false;
  CHECK(cache.deallocate(a));
  CHECK(done == 1);
}

TEST_CASE("a block that somebody still writes is not taken") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  if constexpr (accesses_are_checked) {
    auto access = zone.cpu_write(a);
    REQUIRE(access);
    CHECK(code_of(cache.deallocate(a)) == ErrorCode::access_open);
    CHECK(cache.owns(a));
  }
  CHECK(cache.deallocate(a));
}

TEST_CASE("each refusal is its own, and changes nothing") {
  auto zone = make<Fit>(64_KiB);
  auto other = make<Fit>(64_KiB);
  Bare<Fit, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(16_KiB);
  const Block gone = *cache.allocate(8_KiB);
  REQUIRE(cache.deallocate(gone));
  REQUIRE(cache.deallocate(a));
  const auto unchanged = [&](auto&& call) {
    const auto before = cache.kept();
    const ErrorCode code = code_of_unchanging(zone, call);
    CHECK(cache.kept() == before);
    return code;
  };
  CHECK(unchanged([&] { return cache.deallocate(a); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate_to_zone(a); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(Block(a.offset(), 8_KiB, a.zone_tag())); }) ==
        ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(gone); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(Block(b.offset() + 4096, 4_KiB, b.zone_tag())); }) ==
        ErrorCode::inner_release);
  CHECK(unchanged([&] { return cache.deallocate(*other.allocate(4_KiB)); }) == ErrorCode::foreign_block);
  CHECK(unchanged([&] { return cache.allocate(0); }) == ErrorCode::zero_size);
  CHECK(unchanged([&] { return cache.allocate(1_MiB); }) == ErrorCode::size_beyond_zone);
}

TEST_CASE("over a ZoneRef, and behind fences") {
  auto zone = make<Fit>(64_KiB);
  ZoneRef ref(zone);
  Bare<ZoneRef, 4> by_ref(ref);
  const Block a = *by_ref.allocate(4_KiB);
  CHECK(by_ref.deallocate(a));
  CHECK(*by_ref.allocate(Request{.size = 4_KiB, .align = 64_KiB}) == a);

  std::atomic<bool> done = false;
  Bare<Fit, 4> cache(zone);
  Deferred<Bare<Fit, 4>, Flag, 4> deferred(cache);
  const Block b = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(b, Flag(done)));
  CHECK(cache.kept().blocks == 0);
  done = true;
  CHECK(deferred.collect().blocks == 1);
  CHECK(cache.kept().blocks == 1);
  CHECK(code_of(deferred.deallocate_after(b, Flag(done))) == ErrorCode::dead_block);
  CHECK(*deferred.allocate(4_KiB) == b);
}

TEST_CASE("against a model: a list, and what each held wrote") {
  constexpr std::size_t most = 6;
  constexpr std::uint64_t most_bytes = 60 << 10;
  Random random(seed());
  for (int round = 0; round < 10; ++round) {
    auto zone = make<Memory>(256_KiB);
    ReuseCache<Memory, Small, most> cache(zone, most_bytes);
    std::vector<std::pair<Block, int>> held;
    std::list<Block> kept;
    const auto bytes = [&] {
      std::uint64_t all = 0;
      for (const Block& block : kept) all += block.size().value();
      return all;
    };
    for (int step = 0; step < 500; ++step) {
      const std::uint64_t what = random.below(100);
      if (what < 50) {
        const Bytes size = 512 * random.from_to(1, 48);
        const Bytes whole = Small::size_for(size);
        const auto found =
            std::find_if(kept.begin(), kept.end(), [&](const Block& one) { return one.size() == whole; });
        const bool is_kept = found != kept.end();
        const auto block = cache.allocate(size);
        if (is_kept) {
          REQUIRE(block);
          CHECK(*block == *found);
          CHECK(is_all(zone.data(*block), 0));
          kept.erase(found);
        } else if (cache.kept().blocks == 0) {
          kept.clear();  // it wanted space, or there were none
        }
        if (!block) {
          CHECK(block.error().code == ErrorCode::no_space);
          CHECK(zone.stats().largest_free < size);
          continue;
        }
        const int mark = static_cast<int>(random.from_to(1, 255));
        std::memset(zone.data(*block).data(), mark, zone.data(*block).size());
        held.emplace_back(*block, mark);
      } else if (what < 92 && !held.empty()) {
        const auto at = static_cast<std::size_t>(random.below(held.size()));
        const Block block = held[at].first;
        CHECK(is_all(zone.data(block), held[at].second));  // nobody else wrote to it
        CHECK(cache.deallocate(block));
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
        if (!Small::contains(block.size())) continue;
        while (kept.size() == most || bytes() + block.size().value() > most_bytes) kept.pop_front();
        kept.push_back(block);
      } else if (what < 95) {
        const std::uint64_t wanted = random.below(20 << 10);
        std::uint64_t gone = wanted == 0 ? bytes() : 0;
        while (gone < wanted && !kept.empty()) {
          gone += kept.front().size().value();
          kept.pop_front();
        }
        CHECK(cache.shrink(wanted) == gone);
      } else if (!kept.empty()) {
        CHECK(code_of(cache.deallocate(kept.back())) == ErrorCode::double_release);
      }
      CHECK(cache.kept().blocks == kept.size());
      CHECK(cache.kept().bytes == bytes());
      CHECK(zone.stats().blocks == kept.size() + held.size());
    }
  }
}

TEST_CASE("threads: a block is one's own, and clean") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = make<Z>(64_KiB);
  ReuseCache<Z, Small, 6, scrub::Zero, lock::Spin> cache(zone);
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  for (int t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 400; ++round) {
        const auto block = cache.allocate(round % 5 == 0 ? 16_KiB : 4_KiB);
        if (!block) {
          std::this_thread::yield();
          continue;
        }
        const auto bytes = zone.data(*block);
        if (!is_all(bytes, 0)) wrong = true;
        std::memset(bytes.data(), t, bytes.size());
        if (round % 50 == 0) static_cast<void>(cache.shrink(4_KiB));
        if (!is_all(bytes, t)) wrong = true;
        if (!cache.deallocate(*block)) wrong = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(zone.stats().blocks == cache.kept().blocks);
}
