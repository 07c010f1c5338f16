#include <freestone/zone/layers/scrub.hpp>

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

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/sized.hpp>
#include "support/backings.hpp"
#include "support/bytes.hpp"

using namespace freestone;
using layers::PowerOfTwoSizes;
using layers::Scrub;
using layers::ScrubSettings;
using layers::ScrubWhen;
using layers::Sized;
using tests::all_are;

namespace {

template <class S, class L = lock::None, class C = cache::Coherent>
using Heap = Zone<backing::Anonymous, S, L, C>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

void dirty(std::span<std::byte> bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0xA5}); }

// Counts, and fails when it is told to.
struct CountingCache {
  static constexpr Cacheability cacheability = Cacheability::cached;
  static inline std::uint64_t cleaned = 0;
  static inline int good_calls = -1;  // then one fails; below 0: none
  Result<void> clean(const CacheView& view) noexcept {
    if (good_calls-- == 0) return ErrorCode::os_failure;
    cleaned += view.size.value();
    return {};
  }
  Result<void> invalidate(const CacheView&) noexcept { return {}; }
};

}  // namespace

#define EVERY_ZONE                                                                                                   \
  Heap<strategy::Bitmap>, Heap<strategy::Buddy>, Heap<strategy::Segregated>, Heap<strategy::System>, Shared,         \
      Sized<Heap<strategy::Bitmap>, PowerOfTwoSizes>

namespace {
template <class Z>
Result<Scrub<Z>> make(ScrubWhen when, const ZoneOptions& options = {.name = "scrubbed", .size = 64_KiB}) {
  if constexpr (requires { typename Z::Settings; }) {
    return Scrub<Z>::create(options, ScrubSettings{when}, typename Z::Settings{});
  } else {
    return Scrub<Z>::create(options, ScrubSettings{when});
  }
}
}  // namespace

TEST_CASE_TEMPLATE("whoever gets a block sees zeros in it", Z, EVERY_ZONE) {
  for (const ScrubWhen when : {ScrubWhen::handed_out, ScrubWhen::gone_back, ScrubWhen::both}) {
    auto zone = make<Z>(when);
    REQUIRE(zone);
    for (const unsigned size : {1U, 4096U, 5000U, 65536U, 12288U, 1U}) {
      const auto block = zone->allocate(size);
      REQUIRE(block);
      const auto bytes = zone->data(*block);
      CHECK(bytes.size() == block->size().value());
      CHECK(all_are(bytes, 0));
      dirty(bytes);
      CHECK(zone->deallocate(*block));
    }
    CHECK(zone->stats().blocks == 0);
  }
}

TEST_CASE("when they go back they are zeroed at once, or they are not") {
  for (const ScrubWhen when : {ScrubWhen::handed_out, ScrubWhen::gone_back, ScrubWhen::both}) {
    auto zone = make<Heap<strategy::BestFit>>(when);
    REQUIRE(zone);
    const auto block = zone->allocate(5000);
    REQUIRE(block);
    const auto bytes = zone->data(*block);
    dirty(bytes);
    REQUIRE(zone->deallocate(*block));
    CHECK(all_are(bytes, when == ScrubWhen::handed_out ? 0xA5 : 0));
    const auto again = zone->allocate_at(0, 4_KiB);
    REQUIRE(again);
    CHECK(all_are(zone->data(*again), 0));
    dirty(bytes);
    REQUIRE(zone->deallocate_at(0));
    CHECK(all_are(bytes.first(4096), when == ScrubWhen::handed_out ? 0xA5 : 0));
    CHECK(all_are(bytes.subspan(4096), 0xA5));
  }
}

TEST_CASE("a call that fails touches nobody's bytes") {
  auto zone = make<Heap<strategy::BestFit>>(ScrubWhen::both);
  auto other = make<Heap<strategy::BestFit>>(ScrubWhen::both);
  REQUIRE(zone);
  REQUIRE(other);
  const auto gone = zone->allocate_at(8_KiB, 4_KiB);
  REQUIRE(gone);
  REQUIRE(zone->deallocate(*gone));
  CHECK(code_of(zone->deallocate(*gone)) == ErrorCode::double_release);
  const auto block = zone->allocate_at(0, 32_KiB);
  const auto last = zone->allocate_at(32_KiB, 32_KiB);
  const auto foreign = other->allocate_at(0, 32_KiB);
  REQUIRE(block);
  REQUIRE(last);
  REQUIRE(foreign);
  for (const auto& b : {*block, *last}) dirty(zone->data(b));
  dirty(other->data(*foreign));
  const Stats before = zone->stats();
  CHECK(code_of(zone->deallocate(*gone)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate_at(8_KiB)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate(*foreign)) == ErrorCode::foreign_block);
  CHECK(code_of(zone->resize(*foreign, 4_KiB)) == ErrorCode::foreign_block);
  CHECK(code_of(zone->resize(*gone, 4_KiB)) == ErrorCode::inner_release);
  CHECK(code_of(zone->resize(*block, 0)) == ErrorCode::zero_size);
  CHECK(code_of(zone->resize(*block, 36_KiB)) == ErrorCode::no_space);
  CHECK(code_of(zone->resize(*block, ~std::uint64_t{0})) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::no_space);
  for (const auto& b : {*block, *last}) CHECK(all_are(zone->data(b), 0xA5));
  CHECK(all_are(other->data(*foreign), 0xA5));
  CHECK(zone->stats() == before);
  CHECK(zone->allocate(0).error().zone == std::string_view("scrubbed"));
}

TEST_CASE("of a block that is resized the bytes that come and leave are zeroed, and no other") {
  for (const ScrubWhen when : {ScrubWhen::handed_out, ScrubWhen::gone_back, ScrubWhen::both}) {
    auto zone = make<Heap<strategy::BestFit>>(when);
    REQUIRE(zone);
    auto block = zone->allocate(16_KiB);
    REQUIRE(block);
    const auto bytes = zone->data(*block);
    dirty(bytes);
    block = zone->resize(*block, 5000);
    REQUIRE(block);
    CHECK(block->size() == 8_KiB);
    CHECK(all_are(bytes.first(8192), 0xA5));
    CHECK(all_are(bytes.subspan(8192), when == ScrubWhen::handed_out ? 0xA5 : 0));
    block = zone->resize(*block, 12_KiB);
    REQUIRE(block);
    CHECK(all_are(bytes.first(8192), 0xA5));
    CHECK(all_are(bytes.subspan(8192, 4096), 0));
    CHECK(zone->resize(*block, 12_KiB));
    CHECK(all_are(bytes.first(8192), 0xA5));
  }
}

TEST_CASE("each block of a list is zeroed; the highest place is as well") {
  auto zone = make<Heap<strategy::OrderList<strategy::Buddy, 1, 0>>>(ScrubWhen::handed_out);
  REQUIRE(zone);
  const auto all = zone->allocate(64_KiB);
  std::array<Block, 16> out;
  if (all) {
    dirty(zone->data(*all));
    REQUIRE(zone->deallocate(*all));
  }
  const auto list = zone->allocate_list({.size = 20_KiB}, out);
  REQUIRE(list);
  CHECK(list->size() == 3);
  for (const Block& block : *list) CHECK(all_are(zone->data(block), 0));
  std::array<Block, 1> few;
  CHECK(code_of(zone->allocate_list({.size = 20_KiB}, few)) == ErrorCode::list_too_short);

  auto high = make<Heap<strategy::BestFit>>(ScrubWhen::handed_out);
  REQUIRE(high);
  const auto block = high->allocate(64_KiB);
  REQUIRE(block);
  dirty(high->data(*block));
  REQUIRE(high->deallocate(*block));
  CHECK(all_are(high->data(*high->allocate_high({.size = 1})), 0));
}

TEST_CASE("bytes that the CPU does not see cannot be zeroed: such a block is not handed out") {
  using Unseen = Zone<tests::HostileBacking, strategy::OrderList<strategy::Buddy, 1, 0>, lock::None, cache::Coherent>;
  for (const ScrubWhen when : {ScrubWhen::handed_out, ScrubWhen::gone_back}) {
    auto zone = Scrub<Unseen>::create({.name = "unseen", .size = 64_KiB}, {when});
    REQUIRE(zone);
    const auto block = zone->allocate(5000);
    CHECK(code_of(block) == ErrorCode::os_failure);
    CHECK(block.error().zone == std::string_view("unseen"));
    std::array<Block, 16> out;
    CHECK(code_of(zone->allocate_list({.size = 20_KiB}, out)) == ErrorCode::os_failure);
    CHECK(out == std::array<Block, 16>{});
    CHECK(zone->stats().blocks == 0);
  }
}

TEST_CASE("zeros are cleaned, so that a device sees them; where that fails nothing changed") {
  using Z = Heap<strategy::BestFit, lock::None, CountingCache>;
  auto zone = make<Z>(ScrubWhen::both);
  REQUIRE(zone);
  CountingCache::cleaned = 0;
  auto block = zone->allocate(5000);
  REQUIRE(block);
  CHECK(CountingCache::cleaned == 8_KiB);
  dirty(zone->data(*block));
  CountingCache::good_calls = 0;
  CHECK(code_of(zone->allocate(1)) == ErrorCode::os_failure);
  CHECK(zone->stats().blocks == 1);
  CountingCache::good_calls = 0;
  CHECK(code_of(zone->resize(*block, 12_KiB)) == ErrorCode::os_failure);
  CHECK(zone->owns(*block));
  CHECK(all_are(zone->data(*block), 0xA5));
  CountingCache::good_calls = 0;
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::os_failure);
  CHECK(zone->owns(*block));
  CHECK(zone->deallocate(*block));
}

TEST_CASE_TEMPLATE("what a former owner's device left is gone, for the CPU and for devices", S, strategy::BestFit,
                   strategy::Bitmap) {
  for (const ScrubWhen when : {ScrubWhen::handed_out, ScrubWhen::gone_back, ScrubWhen::both}) {
    auto zone = make<Heap<S, lock::None, cache::Modelled>>(when);
    REQUIRE(zone);
    const auto first = zone->allocate(4_KiB);
    REQUIRE(first);
    const std::array<std::byte, 6> secret = {std::byte{1}, std::byte{2}, std::byte{3}};
    REQUIRE(zone->cache().device_write(first->offset() + 100, secret));
    REQUIRE(zone->deallocate(*first));
    const auto next = zone->allocate(4_KiB);
    REQUIRE(next);
    REQUIRE(next->offset() == first->offset());
    std::array<std::byte, 6> seen;
    REQUIRE(zone->cache().device_read(next->offset() + 100, seen));
    CHECK(all_are(seen, 0));
    const auto access = zone->cpu_read(*next);
    REQUIRE(access);
    CHECK(all_are(access->bytes(), 0));
  }
}

TEST_CASE("and so are the bytes that come and leave with a new size") {
  auto zone = make<Heap<strategy::BestFit, lock::None, cache::Modelled>>(ScrubWhen::both);
  REQUIRE(zone);
  auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  const std::array<std::byte, 4> kept = {std::byte{7}, std::byte{7}, std::byte{7}, std::byte{7}};
  REQUIRE(zone->cache().device_write(0, kept));
  REQUIRE(zone->cache().device_write(4_KiB, kept));
  block = zone->resize(*block, 4_KiB);
  REQUIRE(block);
  std::array<std::byte, 4> seen;
  REQUIRE(zone->cache().device_read(4_KiB, seen));
  CHECK(all_are(seen, 0));
  REQUIRE(zone->cache().device_write(4_KiB, kept));  // late
  block = zone->resize(*block, 8_KiB);
  REQUIRE(block);
  REQUIRE(zone->cache().device_read(4_KiB, seen));
  CHECK(all_are(seen, 0));
  REQUIRE(zone->cache().device_read(0, seen));
  CHECK(all_are(seen, 7));
}

TEST_CASE("a list that can neither be zeroed nor go back stands in the caller's list") {
  using Lists = Heap<strategy::OrderList<strategy::Buddy, 1, 0>, lock::None, CountingCache>;
  using layers::FaultInjection;
  auto zone = Scrub<FaultInjection<Lists>>::create({.size = 64_KiB}, {});
  REQUIRE(zone);
  const std::array<std::uint64_t, 2> listed = {1, 3};
  zone->fail_listed(layers::Call::deallocate, listed);
  CountingCache::good_calls = 1;
  std::array<Block, 16> out;
  CHECK(code_of(zone->allocate_list({.size = 20_KiB}, out)) == ErrorCode::os_failure);
  CHECK(zone->stats().blocks == 2);
  zone->fail_none(layers::Call::deallocate);
  CHECK(zone->deallocate(out[0]));
  CHECK(zone->deallocate(out[1]));
  CHECK(out[2] == Block());
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("a rule for sizes may stand before it or behind it") {
  auto outside = Sized<Scrub<Heap<strategy::BestFit>>, PowerOfTwoSizes>::create({.size = 64_KiB}, {},
                                                                                ScrubSettings{ScrubWhen::both});
  REQUIRE(outside);
  auto block = outside->allocate(9_KiB);
  REQUIRE(block);
  const auto bytes = outside->data(*block);
  CHECK(bytes.size() == 16_KiB);
  dirty(bytes);
  block = outside->resize(*block, 5_KiB);
  REQUIRE(block);
  CHECK(block->size() == 8_KiB);
  CHECK(all_are(bytes.first(8_KiB .value()), 0xA5));
  CHECK(all_are(bytes.subspan(8_KiB .value()), 0));

  auto inside = make<Sized<Heap<strategy::BestFit>, PowerOfTwoSizes>>(ScrubWhen::both);
  REQUIRE(inside);
  block = inside->allocate(9_KiB);
  REQUIRE(block);
  dirty(inside->data(*block));
  block = inside->resize(*block, 17_KiB);
  REQUIRE(block);
  CHECK(block->size() == 32_KiB);
  CHECK(all_are(inside->data(*block).first(16_KiB .value()), 0xA5));
  CHECK(all_are(inside->data(*block).subspan(16_KiB .value()), 0));
}

TEST_CASE("it moves with its handle, and blocks go back by themselves") {
  auto made = make<Heap<strategy::BestFit>>(ScrubWhen::both);
  REQUIRE(made);
  auto zone = *std::move(made);
  std::span<std::byte> bytes;
  {
    const auto owned = zone.allocate_owned({.size = 1});
    REQUIRE(owned);
    bytes = zone.data(**owned);
    dirty(bytes);
  }
  CHECK(all_are(bytes, 0));
}

TEST_CASE("each handle of a shared zone does as it was told") {
  const ZoneOptions options{.size = 64_KiB};
  auto here = Scrub<Shared>::create(options, {ScrubWhen::handed_out});
  REQUIRE(here);
  auto there = Scrub<Shared>::attach(options, {ScrubWhen::both}, backing::MemoryFile::Source{here->backing().fd()});
  REQUIRE(there);
  const auto block = here->allocate(1);
  REQUIRE(block);
  dirty(here->data(*block));
  REQUIRE(there->deallocate(*block));
  CHECK(all_are(here->data(*block), 0));
}

TEST_CASE("several threads at once") {
  auto zone = Scrub<Heap<strategy::Bitmap, lock::Spin>>::create({.size = 1_MiB}, {ScrubWhen::both});
  REQUIRE(zone);
  std::array<int, 4> bad{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < bad.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const auto block = zone->allocate(1 + (i * 7919 + t) % 20000);
        if (!block) continue;
        if (!all_are(zone->data(*block), 0)) ++bad[t];
        dirty(zone->data(*block));
        if (!all_are(zone->data(*block), 0xA5)) ++bad[t];
        if (!zone->deallocate(*block)) ++bad[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == std::array<int, 4>{});
  CHECK(zone->stats().blocks == 0);
}
