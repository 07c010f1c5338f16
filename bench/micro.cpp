// Google Benchmark of each strategy under each lock, in one thread: what a pair of calls costs.
#include <benchmark/benchmark.h>

#include <array>
#include <boost/hana/at.hpp>
#include <boost/hana/cartesian_product.hpp>
#include <boost/hana/for_each.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/zone/zone.hpp>

#include "host_heap.hpp"
#include "roster.hpp"

namespace freestone::bench {

namespace {

namespace hana = boost::hana;

template <class L>
struct LockEntry {
  using Lock = L;
  const char* name;
};

constexpr auto locks =
    hana::make_tuple(LockEntry<lock::None>{"None"}, LockEntry<lock::Spin>{"Spin"}, LockEntry<lock::Mutex>{"Mutex"});

template <class S, class L>
using MicroZone = Zone<std::conditional_t<S::places, backing::OffsetSpace, HostHeap>, S, L, cache::Coherent>;

template <class Z>
Z make_zone() {
  return *Z::create({.name = "micro", .size = 64_MiB, .granule = 4_KiB});
}

// One block, given back at once.
template <class Z>
void pair(benchmark::State& state) {
  Z zone = make_zone<Z>();
  for (auto _ : state) {
    const auto block = zone.allocate(16_KiB);
    benchmark::DoNotOptimize(block);
    benchmark::DoNotOptimize(zone.deallocate(*block));
  }
  state.SetItemsProcessed(state.iterations());
}

// 64 blocks, the last one given back first.
template <class Z>
void lifo_64(benchmark::State& state) {
  Z zone = make_zone<Z>();
  std::array<Block, 64> blocks;
  for (auto _ : state) {
    for (Block& block : blocks) block = *zone.allocate(16_KiB);
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block)
      benchmark::DoNotOptimize(zone.deallocate(*block));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(blocks.size()));
}

class Random {  // xorshift: the same on every run
 public:
  std::uint64_t below(std::uint64_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % limit;
  }
  Bytes size() { return 4096 * (1 + below(16)); }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15U;
};

// A zone filled to three quarters with blocks of 1 to 16 granules: one at random goes, another comes.
template <class Z>
void random_75(benchmark::State& state) {
  Z zone = make_zone<Z>();
  Random random;
  std::vector<Block> blocks;
  const std::uint64_t load = zone.size().value() / 4 * 3;
  for (std::uint64_t used = 0; used < load; used += blocks.back().size().value()) {
    const auto block = zone.allocate(random.size());
    if (!block) break;  // fragments: full enough
    blocks.push_back(*block);
  }
  std::uint64_t refused = 0;
  for (auto _ : state) {
    Block& block = blocks[static_cast<std::size_t>(random.below(blocks.size()))];
    benchmark::DoNotOptimize(zone.deallocate(block));
    auto next = zone.allocate(random.size());
    for (; !next; next = zone.allocate(4_KiB)) ++refused;  // the place just left holds one granule at least
    block = *next;
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["refused"] = benchmark::Counter(static_cast<double>(refused), benchmark::Counter::kAvgIterations);
}

template <class Z>
bool holds_many() {
  Z zone = make_zone<Z>();
  return zone.allocate(4_KiB) && zone.allocate(4_KiB);
}

template <class Z>
void enlist(const std::string& name) {
  benchmark::RegisterBenchmark((name + "/pair").c_str(), &pair<Z>);
  if (!holds_many<Z>()) return;
  benchmark::RegisterBenchmark((name + "/lifo_64").c_str(), &lifo_64<Z>);
  benchmark::RegisterBenchmark((name + "/random_75").c_str(), &random_75<Z>);
}

void enlist_all() {
  hana::for_each(hana::cartesian_product(hana::make_tuple(roster, locks)), [](const auto& combination) {
    const auto& strategy = hana::at_c<0>(combination);
    const auto& lock = hana::at_c<1>(combination);
    using Strategy = typename std::remove_cvref_t<decltype(strategy)>::Strategy;
    using Lock = typename std::remove_cvref_t<decltype(lock)>::Lock;
    enlist<MicroZone<Strategy, Lock>>(std::string(strategy.name()) + "/" + lock.name);
  });
}

}  // namespace

}  // namespace freestone::bench

int main(int argc, char** argv) {
  freestone::bench::enlist_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
