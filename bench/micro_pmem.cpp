// PMEM's allocators at so many live allocations: our zones beside the driver's linear scans.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/zone.hpp>

#include "pmem_linear.hpp"

namespace freestone::bench {

namespace {

constexpr std::uint64_t quantum = 4096, quanta = 1 << 19;  // 2 GiB

template <class S>
class OurRegion {
 public:
  std::optional<std::uint64_t> allocate(std::uint64_t need) {
    const auto block = zone_.allocate(Bytes(need * quantum));
    return block ? std::optional(block->offset().value()) : std::nullopt;
  }
  void free(std::uint64_t at) { benchmark::DoNotOptimize(zone_.deallocate(*zone_.find(at))); }
  std::uint64_t largest() { return zone_.stats().largest_free.value(); }

 private:
  using Z = Zone<backing::OffsetSpace, S, lock::None, cache::Coherent>;
  Z zone_ = *Z::create({.name = "pmem", .size = Bytes(quanta * quantum), .granule = quantum});
};
struct DriverBitmap : LinearBitmap {
  DriverBitmap() : LinearBitmap(quanta) {}
};
struct DriverBuddy : LinearBuddy {
  DriverBuddy() : LinearBuddy(quanta) {}
  std::optional<std::uint64_t> allocate(std::uint64_t need) {
    return LinearBuddy::allocate(need == 1 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(need - 1)));
  }
};

// So many live ones of 1 to 4 quanta, and of these every eighth is given back, so that there are holes.
template <class R>
struct Filled {
  explicit Filled(std::uint64_t count) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t turn = 0; turn < count + count / 7; ++turn) all.push_back(one_more(all.empty() ? 0 : all.back(), 1 + next() % 4));
    for (std::size_t place = 0; place < all.size(); ++place) place % 8 == 7 ? static_cast<void>(region.free(all[place])) : live.push_back(all[place]);
  }
  // The driver's search is long, and nothing is free before the last one.
  std::uint64_t one_more(std::uint64_t last, std::uint64_t need) {
    if constexpr (requires { region.allocate_from(last, need); }) {
      return *region.allocate_from(last, need);
    } else {
      return *region.allocate(need);
    }
  }
  // Made once for each count.
  static Filled& with(std::int64_t count) {
    static std::optional<Filled> kept;
    static std::int64_t kept_count = 0;
    if (kept_count != count) kept.emplace(static_cast<std::uint64_t>(count));
    kept_count = count;
    return *kept;
  }

  std::uint64_t next() { return state = state * 6364136223846793005U + 1442695040888963407U, state >> 33; }

  std::uint64_t state = 1;
  R region;
  std::vector<std::uint64_t> live;
};

// One of the live ones is given back, and another comes.
template <class R>
void pmem_pair(benchmark::State& state) {
  auto& filled = Filled<R>::with(state.range(0));
  for (auto _ : state) {
    std::uint64_t& one = filled.live[static_cast<std::size_t>(filled.next() % filled.live.size())];
    filled.region.free(one);
    one = *filled.region.allocate(1 + filled.next() % 4);
  }
}
// What GET_FREE_SPACE asks.
template <class R>
void pmem_free_space(benchmark::State& state) {
  auto& filled = Filled<R>::with(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(filled.region.largest());
}

BENCHMARK_TEMPLATE(pmem_pair, OurRegion<strategy::Bitmap>)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_TEMPLATE(pmem_pair, DriverBitmap)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_TEMPLATE(pmem_pair, OurRegion<strategy::Buddy>)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_TEMPLATE(pmem_pair, DriverBuddy)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_TEMPLATE(pmem_free_space, OurRegion<strategy::Bitmap>)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_TEMPLATE(pmem_free_space, DriverBitmap)->RangeMultiplier(10)->Range(10, 10'000);  // it grows with the square

}  // namespace

}  // namespace freestone::bench
