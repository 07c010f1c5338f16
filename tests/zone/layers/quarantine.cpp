#include <freestone/zone/layers/quarantine.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/os/magazines.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>
#include "support/bytes.hpp"

using namespace freestone;
using layers::Call;
using layers::Canaries;
using layers::CanarySettings;
using layers::FaultInjection;
using layers::Limit;
using layers::LimitSettings;
using layers::Magazines;
using layers::PowerOfTwoSizes;
using layers::Quarantine;
using layers::QuarantineSettings;
using layers::Scrub;
using layers::ScrubSettings;
using layers::ScrubWhen;
using layers::Sized;
using tests::all_are;

namespace {

template <class S, class L = lock::None>
using Heap = Zone<backing::Anonymous, S, L, cache::Coherent>;
using Plain = Heap<strategy::BestFit>;
using Numbers = Zone<backing::OffsetSpace, strategy::BestFit, lock::None, cache::Coherent>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

template <class Z>
Result<Quarantine<Z>> make(const QuarantineSettings& settings = {},
                           const ZoneOptions& options = {.name = "held", .size = 64_KiB}) {
  if constexpr (requires { typename Z::Settings; }) {
    return Quarantine<Z>::create(options, settings, typename Z::Settings{});
  } else {
    return Quarantine<Z>::create(options, settings);
  }
}

template <class Z>
void check_held(Z& zone, std::uint64_t blocks, Bytes bytes) {
  CHECK(zone.held().blocks == blocks);
  CHECK(zone.held().bytes == bytes);
}

template <class Z>
std::vector<Block> blocks_of(Z& zone) {
  std::vector<Block> blocks;
  zone.for_each_block([&](const Block& block) { blocks.push_back(block); });
  return blocks;
}

}  // namespace

TEST_CASE_TEMPLATE("a block that went back is dead, its bytes are nobody's, and nobody gets its place", Z,
                   Heap<strategy::Bitmap>, Heap<strategy::Buddy>, Heap<strategy::Segregated>, Heap<strategy::System>,
                   Plain, Shared, Sized<Plain, PowerOfTwoSizes>) {
  auto zone = make<Z>();
  REQUIRE(zone);
  const Stats empty = zone->stats();
  const auto live = zone->allocate(1);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(live);
  REQUIRE(block);
  const auto bytes = zone->data(*block);
  std::memset(bytes.data(), 'x', bytes.size());
  REQUIRE(zone->deallocate(*block));
  check_held(*zone, 1, 8_KiB);
  CHECK(all_are(bytes, 0xDD));
  CHECK_FALSE(zone->owns(*block));
  CHECK_FALSE(zone->find(block->offset()));
  CHECK(zone->owns(*live));
  CHECK(blocks_of(*zone) == std::vector{*live});
  CHECK(zone->stats().blocks == 1);
  CHECK(zone->stats().used == 4_KiB);
  CHECK(zone->stats().free == 60_KiB);
  for (const auto& again : {zone->deallocate(*block), zone->deallocate_at(block->offset())}) {
    CHECK(code_of(again) == ErrorCode::double_release);
    CHECK(again.error().asked == block->offset().value());
    CHECK(again.error().zone == std::string_view("held"));
  }
  check_held(*zone, 1, 8_KiB);
  const auto next = zone->allocate(8_KiB);
  REQUIRE(next);
  CHECK(next->offset() != block->offset());
  CHECK(zone->deallocate(*next));
  CHECK(zone->check_all());
  CHECK(zone->deallocate(*live));
  CHECK(zone->flush());
  check_held(*zone, 0, 0);
  CHECK(zone->stats() == empty);
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::double_release);
}

TEST_CASE("who writes to a block that went back is found out, and it is held until he is forgiven") {
  auto zone = make<Plain>({.blocks = 2});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(*zone->allocate(4_KiB));
  REQUIRE(zone->deallocate(blocks[0]));
  const auto bytes = zone->data(blocks[0]);
  CHECK(zone->check_all());
  bytes[4095] = std::byte{0};
  const auto found = zone->check_all();
  CHECK(code_of(found) == ErrorCode::written_when_dead);
  CHECK(found.error().asked == 0);
  CHECK(found.error().available == 4095);
  CHECK(found.error().zone == std::string_view("held"));
  REQUIRE(zone->deallocate(blocks[1]));
  const Stats before = zone->stats();
  CHECK(code_of(zone->deallocate(blocks[2])) == ErrorCode::written_when_dead);
  CHECK(code_of(zone->deallocate(blocks[2])) == ErrorCode::written_when_dead);
  CHECK(code_of(zone->allocate(60_KiB)) == ErrorCode::written_when_dead);
  CHECK(code_of(zone->resize(blocks[3], 56_KiB)) == ErrorCode::written_when_dead);
  CHECK(code_of(zone->flush()) == ErrorCode::written_when_dead);
  CHECK(zone->stats() == before);
  CHECK(zone->owns(blocks[2]));
  CHECK(bytes[4095] == std::byte{0});
  check_held(*zone, 2, 8_KiB);
  CHECK(code_of(zone->forgive(blocks[2].offset())) == ErrorCode::dead_block);
  REQUIRE(zone->forgive(0));
  CHECK(zone->deallocate(blocks[2]));
  check_held(*zone, 2, 8_KiB);
  CHECK(zone->check_all());
  CHECK(zone->flush());
}

TEST_CASE("the first in is the first out, and no more is held than was said") {
  auto zone = make<Plain>({.blocks = 3, .bytes = 20_KiB});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(*zone->allocate(4_KiB));
  const auto big = zone->allocate(12_KiB);
  REQUIRE(big);
  for (const std::size_t i : {5U, 1U, 3U}) REQUIRE(zone->deallocate(blocks[i]));
  check_held(*zone, 3, 12_KiB);
  REQUIRE(zone->deallocate(blocks[7]));
  check_held(*zone, 3, 12_KiB);
  CHECK(zone->allocate_at(blocks[5].offset(), 4_KiB));  // the first that left
  check_held(*zone, 3, 12_KiB);
  REQUIRE(zone->deallocate(*big));
  check_held(*zone, 3, 20_KiB);
  for (std::size_t i = 0; i < 100; ++i) {
    const auto block = zone->allocate(4_KiB);
    REQUIRE(block);
    REQUIRE(zone->deallocate(*block));
    CHECK(zone->held().blocks <= 3);
    CHECK(zone->held().bytes <= 20_KiB);
  }
  REQUIRE(zone->flush());
  const auto more = zone->allocate(24_KiB);  // than may be held
  REQUIRE(more);
  const auto bytes = zone->data(*more);
  std::memset(bytes.data(), 'x', bytes.size());
  REQUIRE(zone->deallocate(*more));
  check_held(*zone, 0, 0);
  CHECK(all_are(bytes, 'x'));
}

TEST_CASE("one that is more than may be held is as it was where what lies behind refuses it") {
  auto failing = Quarantine<FaultInjection<Plain>>::create({.size = 64_KiB}, {.bytes = 4_KiB});
  REQUIRE(failing);
  const auto block = failing->allocate(8_KiB);
  REQUIRE(block);
  std::memset(failing->data(*block).data(), 'x', 8192);
  failing->fail_nth(Call::deallocate, 1);
  CHECK(code_of(failing->deallocate(*block)) == ErrorCode::injected);
  CHECK(failing->owns(*block));
  CHECK(all_are(failing->data(*block), 'x'));
  CHECK(failing->deallocate(*block));
}

TEST_CASE("a layer behind that writes over a block and is refused then leaves it as it was held") {
  auto zone = Quarantine<Scrub<FaultInjection<Plain>>>::create({.size = 64_KiB}, {}, ScrubSettings{ScrubWhen::both});
  REQUIRE(zone);
  REQUIRE(zone->deallocate(*zone->allocate(4_KiB)));
  zone->fail_nth(Call::deallocate, 1);
  CHECK(code_of(zone->flush()) == ErrorCode::injected);
  CHECK(zone->check_all());
  check_held(*zone, 1, 4_KiB);
  CHECK(zone->flush());
  CHECK(zone->Plain::stats().blocks == 0);
}

TEST_CASE("a block is not held while a bracket is open to it, where accesses are checked") {
  if (!accesses_are_checked) return;
  auto zone = make<Plain>();
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  {
    const auto open = zone->cpu_write<true>(*block);
    REQUIRE(open);
    CHECK(code_of(zone->deallocate(*block)) == ErrorCode::access_open);
    CHECK(zone->owns(*block));
  }
  CHECK(zone->deallocate(*block));
}

TEST_CASE("a bracket on a held block is refused where accesses are checked") {
  auto zone = make<Plain>();
  REQUIRE(zone);
  const auto live = zone->allocate(4_KiB);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(live);
  REQUIRE(block);
  REQUIRE(zone->deallocate(*block));
  const auto check = [&](const auto& access) {
    CHECK(code_of(access) == ErrorCode::dead_block);
    CHECK(access.error().asked == block->offset().value());
  };
  check(zone->cpu_read<true>(*block));
  check(zone->cpu_write<true>(*block));
  check(zone->cpu_read_write<true>(*block));
  check(zone->cpu_read<true>(*block, 0, 1));
  check(zone->cpu_write<true>(*block, 4095, 1));
  check(zone->cpu_read_write<true>(*block, 1, 2));
  CHECK(zone->cpu_read<false>(*block));
  CHECK(zone->cpu_write<true>(*live));
  CHECK(zone->cpu_read_write<true>(*live, 1, 2)->size() == 2);
  CHECK(code_of(zone->cpu_write<true>(Block(0, 4_KiB, zone->tag() + 1))) == ErrorCode::foreign_block);
  CHECK(zone->check_all());

  auto guarded = Canaries<Quarantine<Plain>>::create({.size = 64_KiB}, {}, QuarantineSettings{});
  REQUIRE(guarded);
  const auto other = guarded->allocate(100);
  REQUIRE(other);
  CHECK(guarded->cpu_write<true>(*other, 1, 99));
  REQUIRE(guarded->deallocate(*other));
  CHECK(code_of(guarded->cpu_write<true>(*other)) == ErrorCode::dead_block);
}

TEST_CASE("what a device left is gone, and what it writes to a held block is found out") {
  using Z = Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Modelled>;
  for (const bool was_held_before : {false, true}) {
    auto zone = make<Z>({}, {.size = 4_KiB});
    REQUIRE(zone);
    if (was_held_before) {  // the CPU has the pattern already
      REQUIRE(zone->deallocate(*zone->allocate(1)));
      REQUIRE(zone->flush());
    }
    const auto block = zone->allocate(4_KiB);
    REQUIRE(block);
    const std::array<std::byte, 6> secret = {};
    REQUIRE(zone->cache().device_write(100, secret));
    REQUIRE(zone->deallocate(*block));
    std::array<std::byte, 6> seen = {};
    REQUIRE(zone->cache().device_read(100, seen));
    CHECK(all_are(seen, 0xDD));
    CHECK(zone->check_all());
    REQUIRE(zone->cache().device_write(200, secret));
    for (int i = 0; i < 2; ++i) {
      const auto found = zone->check_all();
      CHECK(code_of(found) == ErrorCode::written_when_dead);
      CHECK(found.error().available == 200);
      CHECK(code_of(zone->flush()) == ErrorCode::written_when_dead);
    }
    CHECK(zone->forgive(0));
    CHECK(zone->check_all());
    zone->data(*block)[300] = std::byte{1};  // the CPU, and it lies in its cache
    CHECK(code_of(zone->check_all()) == ErrorCode::written_when_dead);
    CHECK(zone->forgive(0));
    CHECK(zone->flush());
  }
}

namespace {

// Fails from the n-th call of a kind on; below 0: none.
struct FailingCache {
  static constexpr Cacheability cacheability = Cacheability::cached;
  static inline int good_cleans = -1;
  static inline int good_invalidates = -1;
  Result<void> clean(const CacheView&) noexcept { return once(good_cleans); }
  Result<void> invalidate(const CacheView&) noexcept { return once(good_invalidates); }
  static Result<void> once(int& good) noexcept {
    return good-- == 0 ? Result<void>(ErrorCode::os_failure) : Result<void>();
  }
};

}  // namespace

TEST_CASE("where the cache policy fails the call does, and the block is live or held on") {
  auto zone = make<Zone<backing::Anonymous, strategy::BestFit, lock::None, FailingCache>>();
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  std::memset(zone->data(*block).data(), 'x', 4096);
  FailingCache::good_invalidates = 0;
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::os_failure);
  CHECK(zone->owns(*block));
  CHECK(all_are(zone->data(*block), 'x'));
  FailingCache::good_cleans = 0;
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::os_failure);
  CHECK(zone->owns(*block));
  CHECK(zone->deallocate(*block));
  FailingCache::good_cleans = 0;
  CHECK(code_of(zone->check_all()) == ErrorCode::os_failure);
  FailingCache::good_invalidates = 0;
  CHECK(code_of(zone->flush()) == ErrorCode::os_failure);
  check_held(*zone, 1, 4_KiB);
  CHECK(zone->flush());
}

TEST_CASE("nothing is held where it is told to hold nothing") {
  for (const QuarantineSettings settings : {QuarantineSettings{.blocks = 0}, QuarantineSettings{.bytes = 0}}) {
    auto zone = make<Plain>(settings);
    REQUIRE(zone);
    const auto block = zone->allocate(1);
    REQUIRE(block);
    CHECK(zone->deallocate(*block));
    check_held(*zone, 0, 0);
    CHECK(zone->stats().free == 64_KiB);
    CHECK(code_of(zone->deallocate(*block)) == ErrorCode::double_release);
  }
}

TEST_CASE("before a request fails for want of space, as many blocks leave as it takes") {
  auto zone = make<Plain>();
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(*zone->allocate(4_KiB));
  for (std::size_t i = 0; i < 15; ++i) REQUIRE(zone->deallocate(blocks[i]));
  check_held(*zone, 15, 60_KiB);
  const auto one = zone->allocate(1);
  REQUIRE(one);
  check_held(*zone, 14, 56_KiB);
  const auto wide = zone->allocate_at(8_KiB, 8_KiB);
  REQUIRE(wide);
  check_held(*zone, 11, 44_KiB);
  CHECK(zone->resize(*wide, 16_KiB));
  check_held(*zone, 9, 36_KiB);
  const auto most = zone->allocate_high({.size = 36_KiB});
  REQUIRE(most);
  check_held(*zone, 0, 0);
  const Stats before = zone->stats();
  CHECK(code_of(zone->allocate(8_KiB)) == ErrorCode::no_space);
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);
  CHECK(zone->stats() == before);
  CHECK(zone->deallocate(*one));
  CHECK(code_of(zone->allocate(128_KiB)) == ErrorCode::size_beyond_zone);
  check_held(*zone, 1, 4_KiB);  // that cannot help

  using Lists = Heap<strategy::OrderList<strategy::Buddy, 1, 0>>;
  auto lists = make<Lists>();
  REQUIRE(lists);
  std::array<Block, 16> out;
  const auto list = lists->allocate_list({.size = 64_KiB}, out);
  REQUIRE(list);
  for (const Block& block : *list) REQUIRE(lists->deallocate(block));
  CHECK(lists->stats().blocks == 0);
  CHECK(lists->allocate_list({.size = 64_KiB}, out));
}

TEST_CASE("they leave for a layer behind whose table is full, and for an end that moves") {
  auto limited = Quarantine<Limit<Plain, 0, 4>>::create({.size = 256_KiB}, {}, LimitSettings{});
  REQUIRE(limited);
  for (int i = 0; i < 4; ++i) REQUIRE(limited->deallocate(*limited->allocate(1)));
  check_held(*limited, 4, 16_KiB);
  CHECK(limited->allocate(1));
  check_held(*limited, 3, 12_KiB);

  auto elastic = make<Heap<strategy::Elastic<strategy::Bitmap>>>();
  REQUIRE(elastic);
  const auto low = elastic->allocate(4_KiB);
  const auto high = elastic->allocate(60_KiB);
  REQUIRE(low);
  REQUIRE(high);
  CHECK(code_of(elastic->shrink(4_KiB)) == ErrorCode::no_space);
  REQUIRE(elastic->deallocate(*high));
  CHECK(code_of(elastic->shrink(1)) == ErrorCode::not_granules);
  check_held(*elastic, 1, 60_KiB);
  CHECK(elastic->shrink(4_KiB));
  check_held(*elastic, 0, 0);
}

TEST_CASE("flush goes through: what layers behind hold leaves too") {
  auto zone = Quarantine<Magazines<Heap<strategy::Bitmap, lock::Spin>>>::create({.size = 64_KiB}, {});
  REQUIRE(zone);
  REQUIRE(zone->deallocate(*zone->allocate(1)));
  REQUIRE(zone->flush());
  CHECK(zone->Heap<strategy::Bitmap, lock::Spin>::stats().blocks == 0);

  auto twice = Quarantine<Quarantine<Plain>, 8>::create({.size = 64_KiB}, {}, QuarantineSettings{});
  REQUIRE(twice);
  REQUIRE(twice->deallocate(*twice->allocate(1)));
  REQUIRE(twice->flush());
  CHECK(twice->Plain::stats().blocks == 0);
}

TEST_CASE("a quarantine larger than the zone, or than its table") {
  const auto large = make<Plain>({.bytes = 64_KiB + 1});
  CHECK(code_of(large) == ErrorCode::quarantine_too_large);
  CHECK(large.error().asked == 64_KiB + 1);
  CHECK(large.error().available == 64_KiB);
  CHECK(large.error().zone == std::string_view("held"));
  const auto many = make<Plain>({.blocks = 65});
  CHECK(code_of(many) == ErrorCode::quarantine_too_large);
  CHECK(many.error().asked == 65);
  CHECK(many.error().available == 64);
  CHECK(make<Plain>({.blocks = 64, .bytes = 64_KiB}));
}

TEST_CASE("what is wrong with a block that goes back is said, and nothing changes") {
  auto zone = make<Plain>();
  REQUIRE(zone);
  const auto held = zone->allocate(16_KiB);
  const auto live = zone->allocate(16_KiB);
  REQUIRE(held);
  REQUIRE(live);
  REQUIRE(zone->deallocate(*held));
  const auto bytes = zone->data(*live);
  std::memset(bytes.data(), 'x', bytes.size());
  const Stats before = zone->stats();
  CHECK(code_of(zone->deallocate_at(live->offset() + 4_KiB)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate_at(live->offset() + 1)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate_at(held->offset() + 4_KiB)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(held->offset() + 1)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(48_KiB)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(64_KiB)) == ErrorCode::foreign_block);
  CHECK(code_of(zone->deallocate(Block(live->offset(), 16_KiB, zone->tag() + 1))) == ErrorCode::foreign_block);
  CHECK(code_of(zone->resize(*held, 4_KiB)) == ErrorCode::double_release);
  CHECK(code_of(zone->resize(Block(0, 16_KiB, zone->tag() + 1), 4_KiB)) == ErrorCode::foreign_block);
  CHECK(code_of(zone->forgive(live->offset())) == ErrorCode::dead_block);
  CHECK(zone->stats() == before);
  check_held(*zone, 1, 16_KiB);
  CHECK(all_are(bytes, 'x'));
  CHECK(zone->check_all());
}

TEST_CASE("a zone whose bytes the CPU does not see holds blocks all the same") {
  auto zone = make<Numbers>();
  REQUIRE(zone);
  const auto block = zone->allocate(1);
  REQUIRE(block);
  CHECK(zone->deallocate(*block));
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::double_release);
  check_held(*zone, 1, 4_KiB);
  CHECK(zone->allocate(1)->offset() == 4_KiB);
  CHECK(zone->flush());
}

TEST_CASE("it moves with its handle, and when that goes all blocks are the zone's again") {
  const ZoneOptions options{.size = 64_KiB};
  auto keeper = Shared::create(options);
  REQUIRE(keeper);
  const backing::MemoryFile::Source source{keeper->backing().fd()};
  {
    auto made = Quarantine<Shared>::attach(options, {}, source);
    auto other = Quarantine<Shared>::attach(options, {}, source);
    REQUIRE(made);
    REQUIRE(other);
    const auto block = made->allocate(4_KiB);
    const auto second = other->allocate(4_KiB);
    REQUIRE(block);
    REQUIRE(second);
    CHECK(made->deallocate(*block));
    CHECK(other->deallocate(*second));
    CHECK(keeper->stats().blocks == 2);
    auto moved = *std::move(made);
    check_held(moved, 1, 4_KiB);
    CHECK(code_of(moved.deallocate(*block)) == ErrorCode::double_release);
    moved.data(*block)[0] = std::byte{0};
    moved = *std::move(other);
    CHECK(keeper->stats().blocks == 1);
    check_held(moved, 1, 4_KiB);
    CHECK_FALSE(moved.owns(*second));
    moved.data(*second)[0] = std::byte{0};
  }
  CHECK(keeper->stats().blocks == 0);
}

TEST_CASE("whatever a layer behind has found, too") {
  const ZoneOptions options{.size = 64_KiB};
  auto keeper = Shared::create(options);
  REQUIRE(keeper);
  {
    auto zone = Quarantine<Canaries<Shared>>::attach(options, {}, CanarySettings{},
                                                     backing::MemoryFile::Source{keeper->backing().fd()});
    REQUIRE(zone);
    const auto block = zone->allocate(100);
    REQUIRE(block);
    zone->data(*block).data()[100] = std::byte{0};
    CHECK(zone->deallocate(*block));
    CHECK(code_of(zone->flush()) == ErrorCode::overrun);
  }
  CHECK(keeper->stats().blocks == 0);
}

TEST_CASE("one that another handle gave back has left") {
  const ZoneOptions options{.size = 64_KiB};
  auto zone = make<Shared>({}, options);
  REQUIRE(zone);
  auto other = Shared::attach(options, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  REQUIRE(zone->deallocate(*block));
  REQUIRE(other->deallocate(Block(block->offset(), block->size(), other->tag())));
  CHECK(code_of(zone->flush()) == ErrorCode::double_release);
  check_held(*zone, 0, 0);
  CHECK(zone->flush());
}

TEST_CASE("after a recovery it holds what is live still, and nothing of anybody else's") {
  const ZoneOptions options{.size = 64_KiB, .owner = 1};
  auto zone = make<Shared>({}, options);
  REQUIRE(zone);
  auto other = Shared::attach({.size = 64_KiB, .owner = 2}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  const auto theirs = other->allocate(4_KiB);
  const auto own = zone->allocate(8_KiB);
  const auto dirty = zone->allocate(4_KiB);
  const auto live = zone->allocate(4_KiB);
  REQUIRE(live);
  REQUIRE(zone->deallocate(Block(theirs->offset(), theirs->size(), zone->tag())));
  REQUIRE(zone->deallocate(*own));
  REQUIRE(zone->deallocate(*dirty));
  zone->data(*dirty)[5] = std::byte{0};
  check_held(*zone, 3, 16_KiB);
  const Recovery found = zone->recover([](std::uint8_t owner) { return owner == 1; });
  CHECK(found.kept == 3);
  CHECK(found.dropped == 1);
  check_held(*zone, 1, 8_KiB);
  CHECK(blocks_of(*zone) == std::vector{*dirty, *live});  // its owner saw a write to it, and may see what it is
  const auto next = zone->allocate(4_KiB);
  REQUIRE(next);
  CHECK(next->offset() == theirs->offset());
  CHECK(zone->owns(*next));
  CHECK(zone->find(next->offset()) == *next);
  CHECK(code_of(zone->deallocate(*own)) == ErrorCode::double_release);
  CHECK(zone->flush());
  CHECK(zone->owns(*next));
  CHECK(zone->deallocate(*next));
  CHECK(zone->deallocate(*dirty));
  CHECK(zone->deallocate(*live));
  CHECK(zone->flush());
  CHECK(other->stats().blocks == 0);

  zone->recover([](std::uint8_t) { return false; });
  check_held(*zone, 0, 0);
}

TEST_CASE("canaries before it and behind it") {
  using Outer = Canaries<Quarantine<Plain>>;
  auto outer = Outer::create({.size = 64_KiB}, {}, QuarantineSettings{});
  REQUIRE(outer);
  const auto block = outer->allocate(100);
  REQUIRE(block);
  const auto bytes = outer->data(*block);
  bytes.data()[100] = std::byte{0};
  CHECK(code_of(outer->deallocate(*block)) == ErrorCode::overrun);
  CHECK(outer->forgive(block->offset()));
  CHECK(outer->deallocate(*block));
  CHECK(code_of(outer->deallocate(*block)) == ErrorCode::double_release);
  bytes[0] = std::byte{0};
  CHECK(code_of(outer->check_all()) == ErrorCode::written_when_dead);
  CHECK(outer->forgive(block->offset()));
  CHECK(outer->check_all());
  CHECK(code_of(outer->forgive(60_KiB)) == ErrorCode::dead_block);

  using Inner = Quarantine<Canaries<Plain>>;
  auto inner = Inner::create({.size = 64_KiB}, {}, CanarySettings{});
  REQUIRE(inner);
  const auto other = inner->allocate(100);
  REQUIRE(other);
  const auto its = inner->data(*other);
  CHECK(inner->deallocate(*other));
  CHECK(code_of(inner->deallocate(*other)) == ErrorCode::double_release);
  its[99] = std::byte{0};
  CHECK(code_of(inner->check_all()) == ErrorCode::written_when_dead);
  CHECK(inner->forgive(other->offset()));
  its.data()[100] = std::byte{0};
  CHECK(code_of(inner->check_all()) == ErrorCode::overrun);
  CHECK(code_of(inner->flush()) == ErrorCode::overrun);
  check_held(*inner, 1, 4_KiB);
  CHECK_FALSE(inner->owns(*other));
  CHECK(inner->forgive(other->offset()));
  CHECK(inner->flush());
}

TEST_CASE("several threads at once") {
  auto zone = Quarantine<Heap<strategy::Bitmap, lock::Spin>, 16>::create({.size = 256_KiB}, {.bytes = 64_KiB});
  REQUIRE(zone);
  std::array<int, 4> bad{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < bad.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 3000; ++i) {
        const auto block = zone->allocate(1 + (i * 7919 + t) % 40000);
        if (!block) continue;
        const auto bytes = zone->data(*block);
        std::memset(bytes.data(), static_cast<int>(t), bytes.size());
        if (!zone->owns(*block) || !all_are(bytes, static_cast<unsigned char>(t))) ++bad[t];
        if (!zone->deallocate(*block)) ++bad[t];
        if (i % 64 == 0 && (!zone->check_all() || zone->stats().used > 256_KiB)) ++bad[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == std::array<int, 4>{});
  CHECK(zone->stats().blocks == 0);
  CHECK(zone->flush());
}
