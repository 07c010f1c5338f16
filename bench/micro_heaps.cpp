// What heaps cost beside the zones that they ask: a block and back, by each way to it.
#include <benchmark/benchmark.h>

#include <cstdint>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/heap/named_blocks.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::bench {

namespace {

using namespace declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;

constexpr auto board = heaps(heap<"0">(id<0>, zone<Numbers>, size<64_MiB>), heap<"1">(id<1>, zone<Numbers>, size<64_MiB>),
                             heap<"2">(id<2>, zone<Numbers>, size<64_MiB>), heap<"3">(id<3>, zone<Numbers>, size<64_MiB>),
                             heap<"4">(id<4>, zone<Numbers>, size<64_MiB>), heap<"5">(id<5>, zone<Numbers>, size<64_MiB>),
                             heap<"6">(id<6>, zone<Numbers>, size<64_MiB>), heap<"7">(id<7>, zone<Pages>, size<64_MiB>));

// `from` has allocate(wanted) and deallocate(block): once each.
template <class From, class Wanted>
void pairs(benchmark::State& state, From& from, const Wanted& wanted) {
  for (auto _ : state) {
    auto got = from.allocate(wanted);
    benchmark::DoNotOptimize(got);
    benchmark::DoNotOptimize(from.deallocate(*got));
  }
}

void zone_itself(benchmark::State& state) {
  auto all = board.create();
  pairs(state, all->zone<"0">(), Request{.size = 16_KiB});
}
void zone_ref(benchmark::State& state) {
  auto all = board.create();
  ZoneRef ref = all->zone<"0">();
  pairs(state, ref, Request{.size = 16_KiB});
}
void heap_first_of_8(benchmark::State& state) {
  auto all = board.create();
  pairs(state, *all, Constraints{.size = 16_KiB});
}
void heap_last_of_8_by_mask(benchmark::State& state) {
  auto all = board.create();
  pairs(state, *all, Constraints{.size = 16_KiB, .heaps = id<7>});
}
void heap_last_of_8_others_full(benchmark::State& state) {
  auto all = board.create();
  all->for_each([](auto& one, const HeapTraits& heap) {
    if (heap.id != 7) benchmark::DoNotOptimize(one.allocate(64_MiB));
  });
  pairs(state, *all, Constraints{.size = 16_KiB});
}
void heap_none_of_8(benchmark::State& state) {
  auto all = board.create();
  all->for_each([](auto& one, const HeapTraits&) { benchmark::DoNotOptimize(one.allocate(64_MiB)); });
  for (auto _ : state) {
    auto got = all->allocate({.size = 16_KiB});
    benchmark::DoNotOptimize(got);
  }
}
void runtime_heap_first_of_8(benchmark::State& state) {
  BoardTable table;
  for (unsigned id = 0; id < 8; ++id) {
    BoardHeap heap;
    heap.name = std::string(1, static_cast<char>('0' + id));
    heap.id = id;
    heap.size = 64_MiB;
    heap.strategy = "bitmap";
    heap.backing = "numbers";
    table.heaps.push_back(heap);
  }
  auto all = RuntimeHeaps<void, StockKinds<lock::None>>::create(table);
  if (!all) return state.SkipWithError(describe(all.error()).c_str());
  pairs(state, *all, Constraints{.size = 16_KiB});
}

void find_by_address(benchmark::State& state) {
  auto all = board.create();
  const auto block = all->zone<"7">().allocate(16_KiB);
  const std::byte* inside = all->zone<"7">().data(*block).data() + 5000;
  for (auto _ : state) {
    auto found = all->find(inside);
    benchmark::DoNotOptimize(found);
  }
}

// Zeroed by whoever gives it back: most of it is the zeroing.
void reuse_cache_zeroed(benchmark::State& state) {
  auto pages = Pages::create({.name = "pages", .size = 64_MiB});
  ReuseCache<Pages, BlockSizes<16 << 10>, 64> cache(*pages);
  pairs(state, cache, Request{.size = 16_KiB});
}
void reuse_cache(benchmark::State& state) {
  auto pages = Pages::create({.name = "pages", .size = 64_MiB});
  ReuseCache<Pages, BlockSizes<16 << 10>, 64, scrub::Nothing> cache(*pages);
  pairs(state, cache, Request{.size = 16_KiB});
}

void named_again(benchmark::State& state) {
  auto pages = Pages::create({.name = "pages", .size = 64_MiB});
  NamedBlocks<Pages> names(*pages);
  const Constraints wanted{.size = 16_KiB};
  benchmark::DoNotOptimize(names.request("frame", wanted));
  for (auto _ : state) {
    auto got = names.request("frame", wanted);
    benchmark::DoNotOptimize(got);
    benchmark::DoNotOptimize(names.release("frame"));
  }
}

BENCHMARK(zone_itself);
BENCHMARK(zone_ref);
BENCHMARK(heap_first_of_8);
BENCHMARK(heap_last_of_8_by_mask);
BENCHMARK(heap_last_of_8_others_full);
BENCHMARK(heap_none_of_8);
BENCHMARK(runtime_heap_first_of_8);
BENCHMARK(find_by_address);
BENCHMARK(reuse_cache);
BENCHMARK(reuse_cache_zeroed);
BENCHMARK(named_again);

}  // namespace

}  // namespace freestone::bench
