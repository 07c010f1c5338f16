#include <freestone/zone/layers/statistics.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/sized.hpp>

#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using layers::Histogram;
using layers::Latency;
using layers::NoClock;
using layers::PowerOfTwoSizes;
using layers::Sized;
using layers::Statistics;
using layers::TagStats;
using tests::code_of;
using tests::Numbers;

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

// What time it is, and how much later it is each time.
struct StepClock {
  static inline std::uint64_t now = 0;
  static inline std::uint64_t step = 0;
  std::uint64_t operator()() const noexcept { return now += step; }
};

template <class S>
using Counted = Statistics<Numbers<S>, 4, 64, NoClock>;
template <class S>
using Timed = Statistics<Numbers<S>, 4, 64, StepClock>;

template <class Z>
concept has_latency = requires(Z& zone) { zone.latency(); };
static_assert(has_latency<Timed<strategy::Bitmap>> && !has_latency<Counted<strategy::Bitmap>>);
static_assert(sizeof(Counted<strategy::Bitmap>) < sizeof(Timed<strategy::Bitmap>));

// Every tag's, to be compared.
template <class Z>
std::vector<TagStats> all_of(Z& zone, std::uint32_t tags = 4) {
  std::vector<TagStats> all;
  for (std::uint32_t tag = 0; tag < tags; ++tag) all.push_back(zone.tag_stats(tag));
  return all;
}

template <class Z>
void check_life(Z zone) {
  const auto a = zone.allocate({.size = 8192, .tag = 1});
  const auto b = zone.allocate({.size = 4096, .tag = 1});
  const auto c = zone.allocate({.size = 4096, .tag = 2});
  REQUIRE(a);
  REQUIRE(b);
  REQUIRE(c);
  REQUIRE(zone.deallocate(*a));
  CHECK(zone.tag_stats(1) ==
        TagStats{.calls = 2, .blocks = 1, .bytes = 4096, .most_blocks = 2, .most_bytes = 12288, .granted = 12288});
  CHECK(zone.tag_stats(2) ==
        TagStats{.calls = 1, .blocks = 1, .bytes = 4096, .most_blocks = 1, .most_bytes = 4096, .granted = 4096});
  CHECK(zone.tag_stats(0) == TagStats());
  const auto before = all_of(zone);
  CHECK(tests::code_of_unchanging(zone, [&] { return zone.deallocate(*a); }) != ErrorCode::none);
  CHECK(all_of(zone) == before);
  Z moved = std::move(zone);
  CHECK(all_of(moved) == before);
  REQUIRE(moved.deallocate(*b));
  REQUIRE(moved.deallocate(*c));
  CHECK(moved.tag_stats(1).bytes == 0);
  CHECK(moved.tag_stats(2).blocks == 0);
}

}  // namespace

TEST_CASE("a block's life is its tag's, over any strategy and backing, and moves with the handle") {
  const ZoneOptions options{.size = 1_MiB};
  check_life(*Counted<strategy::Bitmap>::create(options));
  check_life(*Counted<strategy::Buddy>::create(options));
  check_life(*Counted<strategy::Segregated>::create(options));
  check_life(*Timed<strategy::BestFit>::create(options));
  check_life(*Statistics<Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>>::create(options));
  check_life(*Statistics<Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>>::create(options));
  check_life(*Statistics<Zone<backing::Anonymous, strategy::Buddy, lock::Mutex, cache::Coherent>>::create(options));
}

TEST_CASE("tags beyond the last are counted with it") {
  auto zone = Counted<strategy::Bitmap>::create({.size = 1_MiB});
  REQUIRE(zone);
  REQUIRE(zone->allocate({.size = 1, .tag = 3}));
  const auto far = zone->allocate({.size = 1, .tag = 0xFFFFFFFF});
  REQUIRE(far);
  CHECK(zone->tag_stats(3).blocks == 2);
  CHECK(zone->tag_stats(4) == zone->tag_stats(3));
  REQUIRE(zone->deallocate(*far));
  CHECK(zone->tag_stats(max64 & 0xFFFFFFFF).blocks == 1);
}

TEST_CASE("a refused call is counted, and nothing else changes") {
  auto zone = Counted<strategy::BestFit>::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 32_KiB, .tag = 1});
  REQUIRE(block);
  TagStats expected = zone->tag_stats(1);
  for (const Request& request : {Request{.size = 0, .tag = 1}, Request{.size = 36_KiB, .tag = 1},
                                 Request{.size = max64, .tag = 1}, Request{.size = 1, .align = 3, .tag = 1}}) {
    CHECK(tests::code_of_unchanging(*zone, [&] { return zone->allocate(request); }) != ErrorCode::none);
    ++expected.calls;
    ++expected.refusals;
    CHECK(zone->tag_stats(1) == expected);
  }
  CHECK(tests::code_of_unchanging(*zone, [&] { return zone->resize(*block, 68_KiB); }) == ErrorCode::size_beyond_zone);
  ++expected.calls;
  ++expected.refusals;
  CHECK(zone->tag_stats(1) == expected);
}

TEST_CASE("each way that a deallocate fails leaves all tags as they were") {
  auto zone = Counted<strategy::Bitmap>::create({.size = 64_KiB});
  auto other = Counted<strategy::Bitmap>::create({.size = 64_KiB});
  REQUIRE(zone);
  REQUIRE(other);
  const auto block = zone->allocate({.size = 8_KiB, .tag = 2});
  REQUIRE(block);
  const auto before = all_of(*zone);
  const std::uint32_t tag = block->zone_tag();
  for (const Block& wrong : {Block(0, 8_KiB, other->tag()), Block(4_KiB, 4_KiB, tag), Block(1, 8_KiB, tag),
                             Block(32_KiB, 4_KiB, tag), Block(1_MiB, 4_KiB, tag), Block()}) {
    CHECK(tests::code_of_unchanging(*zone, [&] { return zone->deallocate(wrong); }) != ErrorCode::none);
    CHECK(all_of(*zone) == before);
  }
  CHECK(code_of(zone->deallocate_at(4_KiB)) == ErrorCode::inner_release);
  CHECK(all_of(*zone) == before);
  REQUIRE(zone->deallocate_at(0));
  CHECK(zone->tag_stats(2).blocks == 0);
}

// One whose deallocate fails while the block lives.
namespace {
template <class Z>
class Stubborn : public layers::Layer<Stubborn<Z>, Z> {
  using Base = layers::Layer<Stubborn, Z>;
  friend Base;

 public:
  bool refuses = false;
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    if (refuses) return ErrorCode::injected;
    return next(block);
  }

 private:
  Stubborn(Z&& zone, const layers::NoSettings&) noexcept : Base(std::move(zone)) {}
};
}  // namespace

TEST_CASE("a live block whose deallocate fails is its tag's still") {
  auto zone = Statistics<Stubborn<Numbers<strategy::Bitmap>>, 4, 64>::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 8_KiB, .tag = 2});
  REQUIRE(block);
  const auto before = all_of(*zone);
  zone->refuses = true;
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::injected);
  CHECK(all_of(*zone) == before);
  zone->refuses = false;
  REQUIRE(zone->deallocate(*block));
  CHECK(zone->tag_stats(2).bytes == 0);
}

TEST_CASE("resize keeps the tag; what a block gained is granted") {
  auto zone = Counted<strategy::BestFit>::create({.size = 64_KiB});
  REQUIRE(zone);
  auto block = zone->allocate({.size = 8_KiB, .tag = 1});
  REQUIRE(block);
  block = zone->resize(*block, 16_KiB);
  REQUIRE(block);
  CHECK(zone->tag_stats(1) ==
        TagStats{.calls = 2, .blocks = 1, .bytes = 16_KiB, .most_blocks = 1, .most_bytes = 16_KiB, .granted = 16_KiB});
  block = zone->resize(*block, 1);
  REQUIRE(block);
  CHECK(zone->tag_stats(1) ==
        TagStats{.calls = 3, .blocks = 1, .bytes = 4_KiB, .most_blocks = 1, .most_bytes = 16_KiB, .granted = 16_KiB});
  REQUIRE(zone->deallocate(*block));
  CHECK(zone->tag_stats(1).bytes == 0);
}

TEST_CASE("a resize of another zone's block is nobody's") {
  auto zone = Counted<strategy::BestFit>::create({.size = 64_KiB});
  auto other = Counted<strategy::BestFit>::create({.size = 64_KiB});
  REQUIRE(zone);
  REQUIRE(other);
  REQUIRE(zone->allocate({.size = 8_KiB, .tag = 1}));
  const auto before = all_of(*zone);
  CHECK(code_of(zone->resize(Block(0, 8_KiB, other->tag()), 4_KiB)) == ErrorCode::foreign_block);
  CHECK(code_of(zone->resize(Block(32_KiB, 8_KiB, zone->tag()), 4_KiB)) == ErrorCode::double_release);
  CHECK(all_of(*zone) == before);
}

TEST_CASE("every way to allocate is counted: high, at an offset, owned, as a list") {
  auto zone = Counted<strategy::BestFit>::create({.size = 64_KiB});
  REQUIRE(zone);
  REQUIRE(zone->allocate_high({.size = 4_KiB, .tag = 1}));
  REQUIRE(zone->allocate_at(8_KiB, 4_KiB));
  {
    const auto owned = zone->allocate_owned({.size = 4_KiB, .tag = 2});
    REQUIRE(owned);
    CHECK(zone->tag_stats(2).blocks == 1);
  }
  CHECK(zone->tag_stats(0).blocks == 1);
  CHECK(zone->tag_stats(1).blocks == 1);
  CHECK(zone->tag_stats(2).blocks == 0);

  auto lists = Counted<strategy::OrderList<strategy::Buddy, 1, 0>>::create({.size = 64_KiB});
  REQUIRE(lists);
  std::array<Block, 8> out;
  const auto list = lists->allocate_list({.size = 20_KiB, .tag = 3}, out);
  REQUIRE(list);
  REQUIRE(list->size() == 3);
  CHECK(lists->tag_stats(3) ==
        TagStats{.calls = 1, .blocks = 3, .bytes = 20_KiB, .most_blocks = 3, .most_bytes = 20_KiB, .granted = 20_KiB});
  CHECK(code_of(lists->allocate_list({.size = 20_KiB, .tag = 3}, {})) == ErrorCode::list_too_short);
  CHECK(lists->tag_stats(3).refusals == 1);
  CHECK(lists->tag_stats(3).blocks == 3);
  for (const Block& block : *list) REQUIRE(lists->deallocate(block));
  CHECK(lists->tag_stats(3).blocks == 0);
}

TEST_CASE("blocks beyond the table are granted, and counted as not followed") {
  auto zone = Statistics<Numbers<strategy::Bitmap>, 1, 4, NoClock>::create({.size = 1_MiB});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 5; ++i) {
    const auto block = zone->allocate(4_KiB);
    REQUIRE(block);
    blocks.push_back(*block);
  }
  CHECK(zone->tag_stats(0) == TagStats{.calls = 5,
                                       .blocks = 3,
                                       .bytes = 12_KiB,
                                       .most_blocks = 3,
                                       .most_bytes = 12_KiB,
                                       .granted = 20_KiB,
                                       .unfollowed = 2});
  for (const Block& block : blocks) REQUIRE(zone->deallocate(block));
  CHECK(zone->tag_stats(0).blocks == 0);
  CHECK(zone->tag_stats(0).bytes == 0);
  REQUIRE(zone->allocate(4_KiB));
  CHECK(zone->tag_stats(0).blocks == 1);
  CHECK(zone->tag_stats(0).unfollowed == 2);
}

TEST_CASE("a resize of a block that is not followed is nobody's") {
  auto zone = Statistics<Numbers<strategy::BestFit>, 1, 4, NoClock>::create({.size = 1_MiB});
  REQUIRE(zone);
  for (int i = 0; i < 3; ++i) REQUIRE(zone->allocate(4_KiB));
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  const TagStats before = zone->tag_stats(0);
  CHECK(before.unfollowed == 1);
  REQUIRE(zone->resize(*block, 8_KiB));
  CHECK(zone->tag_stats(0) == before);
}

TEST_CASE("what a recovery drops is no tag's any more") {
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = Statistics<Shared, 4, 32, NoClock>::create({.size = 256_KiB, .owner = 1});
  REQUIRE(zone);
  auto kept = Statistics<Shared, 4, 32, NoClock>::attach({.size = 256_KiB, .owner = 2},
                                                         backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(kept);
  std::vector<Block> blocks;
  for (std::uint32_t i = 0; i < 24; ++i) {
    blocks.push_back(*(i % 3 == 0 ? *kept : *zone).allocate({.size = 4_KiB, .tag = i % 2}));
  }
  REQUIRE(zone->deallocate(blocks[0]));  // the other handle's, which follows it on
  CHECK(zone->recover([](auto owner) { return owner == 2; }).dropped == 16);
  CHECK(zone->tag_stats(0).blocks == 0);
  CHECK(zone->tag_stats(1).bytes == 0);
  CHECK(zone->tag_stats(1).most_blocks == 8);
  CHECK(kept->tag_stats(0).blocks + kept->tag_stats(1).blocks == 8);
  const auto again = zone->allocate({.size = 8_KiB, .tag = 2});
  REQUIRE(again);
  REQUIRE(again->offset() == 0);
  CHECK(kept->recover([](auto) { return true; }).dropped == 0);
  CHECK(kept->tag_stats(0).blocks + kept->tag_stats(1).blocks == 7);
  CHECK(zone->recover([](auto) { return true; }).dropped == 0);
  CHECK(zone->tag_stats(2).blocks == 1);
  for (const Block& block : blocks) {
    if (kept->owns(block)) REQUIRE(kept->deallocate(block));
  }
  CHECK(kept->tag_stats(0).blocks + kept->tag_stats(1).blocks == 0);
}

TEST_CASE("what goes round the layer is put right when its place is granted again") {
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = Statistics<Shared>::create({.size = 64_KiB});
  REQUIRE(zone);
  auto other = Statistics<Shared>::attach({.size = 64_KiB}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  const auto block = zone->allocate({.size = 8_KiB, .tag = 1});
  REQUIRE(block);
  REQUIRE(other->deallocate(*block));
  CHECK(all_of(*other) == std::vector<TagStats>(4));
  CHECK(zone->tag_stats(1).blocks == 1);
  const auto again = zone->allocate({.size = 4_KiB, .tag = 2});
  REQUIRE(again);
  REQUIRE(again->offset() == block->offset());
  CHECK(zone->tag_stats(1).blocks == 0);
  CHECK(zone->tag_stats(1).bytes == 0);
  CHECK(zone->tag_stats(2).bytes == 4_KiB);
}

TEST_CASE("a histogram counts by powers of two") {
  Histogram expected;
  Histogram histogram;
  for (const auto& [time, i] : std::map<std::uint64_t, std::size_t>{
           {0, 0}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {1023, 10}, {1024, 11}, {(std::uint64_t{1} << 39) - 1, 39}}) {
    histogram.add(time);
    ++expected.calls[i];
  }
  histogram.add(max64);
  ++expected.calls[39];
  CHECK(histogram == expected);
}

TEST_CASE("the time of each call, refused or not, is in its histogram") {
  StepClock::now = 0;
  StepClock::step = 5;
  auto zone = Timed<strategy::Bitmap>::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(1);
  REQUIRE(block);
  CHECK_FALSE(zone->allocate(0));
  StepClock::step = 100;
  REQUIRE(zone->deallocate(*block));
  StepClock::step = 0;
  CHECK_FALSE(zone->deallocate(*block));
  Latency expected;
  expected.allocate.calls[3] = 2;
  expected.deallocate.calls[7] = 1;
  expected.deallocate.calls[0] = 1;
  CHECK(zone->latency() == expected);
  CHECK_FALSE(zone->deallocate_at(48_KiB));  // no block's
  ++expected.deallocate.calls[0];
  CHECK(zone->latency() == expected);
  StepClock::step = max64;  // it falls
  REQUIRE(zone->allocate(1));
  ++expected.allocate.calls[0];
  CHECK(zone->latency() == expected);
}

TEST_CASE("it counts what its side of another layer sees") {
  const ZoneOptions options{.size = 1_MiB};
  const PowerOfTwoSizes rule;
  auto outside = Statistics<Sized<Numbers<strategy::Bitmap>, PowerOfTwoSizes>>::create(options, rule);
  auto inside = Sized<Statistics<Numbers<strategy::Bitmap>>, PowerOfTwoSizes>::create(options, rule);
  REQUIRE(outside);
  REQUIRE(inside);
  const auto check = [](auto& zone) {
    const auto block = zone.allocate({.size = 20_KiB, .tag = 5});
    REQUIRE(block);
    CHECK(zone.tag_stats(5).bytes == 32_KiB);
    REQUIRE(zone.deallocate(*block));
    CHECK(zone.tag_stats(5).bytes == 0);
    CHECK(zone.tag_stats(5).most_bytes == 32_KiB);
  };
  check(*outside);
  check(*inside);
}

TEST_CASE("it agrees with a map of all live blocks, also where the table is always near its brim") {
  tests::Random random(tests::seed());
  auto zone = Statistics<Numbers<strategy::Segregated>, 4, 32, NoClock>::create({.size = 4_MiB, .granule = 256});
  REQUIRE(zone);
  std::map<std::uint64_t, std::pair<Block, std::uint32_t>> live;
  std::vector<TagStats> expected(4);
  for (int i = 0; i < 20000; ++i) {
    if (live.size() < 24 && random.chance(55)) {
      const auto tag = static_cast<std::uint32_t>(random.below(6));
      const auto block = zone->allocate({.size = random.from_to(1, 4096), .tag = tag});
      REQUIRE(block);
      live[block->offset().value()] = {*block, tag};
      TagStats& stats = expected[tag < 4 ? tag : 3];
      ++stats.calls;
      ++stats.blocks;
      stats.bytes = stats.bytes + block->size();
      stats.granted = stats.granted + block->size();
      stats.most_blocks = std::max(stats.most_blocks, stats.blocks);
      stats.most_bytes = std::max(stats.most_bytes, stats.bytes);
    } else if (!live.empty()) {
      const auto chosen = std::next(live.begin(), static_cast<std::ptrdiff_t>(random.below(live.size())));
      const auto [block, tag] = chosen->second;
      TagStats& stats = expected[tag < 4 ? tag : 3];
      REQUIRE(zone->deallocate(block));
      --stats.blocks;
      stats.bytes = stats.bytes - block.size();
      live.erase(chosen);
    }
    if (i % 50 == 0) REQUIRE(all_of(*zone) == expected);
  }
  CHECK(all_of(*zone) == expected);
}

TEST_CASE("threads: nothing is counted twice or not at all") {
  auto zone = Statistics<Zone<backing::Anonymous, strategy::Bitmap, lock::Mutex, cache::Coherent>, 4>::create(
      {.size = 256_KiB});
  REQUIRE(zone);
  constexpr int rounds = 2000;
  std::vector<std::thread> threads;
  for (std::uint32_t tag = 0; tag < 4; ++tag) {
    threads.emplace_back([&zone, tag] {
      for (int i = 0; i < rounds; ++i) {
        const auto a = zone->allocate({.size = 8_KiB, .tag = tag});
        const auto b = zone->allocate({.size = 4_KiB, .tag = tag});
        if (!a || !b || !zone->deallocate(*a) || zone->deallocate(Block(1, 1, zone->tag())) || !zone->deallocate(*b)) {
          std::abort();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t tag = 0; tag < 4; ++tag) {
    CHECK(zone->tag_stats(tag) == TagStats{.calls = 2 * rounds,
                                           .blocks = 0,
                                           .bytes = 0,
                                           .most_blocks = 2,
                                           .most_bytes = 12_KiB,
                                           .granted = rounds * 12288});
  }
  std::uint64_t timed = 0;
  for (const std::uint64_t calls : zone->latency().deallocate.calls) timed += calls;
  CHECK(timed == 4 * 3 * rounds);
}

namespace {
constexpr bool counts_in_constant_evaluation() {
  std::array<std::uint64_t, 64> notes{};
  using Z = Statistics<Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>, 2, 8>;
  auto zone = Z::create({}, backing::Borrowed::at(0, 64_KiB, notes));
  if (!zone) return false;
  const auto block = zone->allocate({.size = 5000, .tag = 1});
  return block && zone->tag_stats(1).bytes == 8192 && zone->deallocate(*block) && zone->tag_stats(1).bytes == 0 &&
         zone->latency().deallocate.calls[0] == 1;
}
static_assert(counts_in_constant_evaluation());
}  // namespace
