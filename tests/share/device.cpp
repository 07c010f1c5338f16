#include <freestone/share/device.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include "support/bytes.hpp"
#include "support/child.hpp"
#include "support/effort.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;

// The process that calls is whoever the test says.
struct Processes : MinimalPlatform {
  int caller = 1;
  int process() noexcept { return caller; }
};

constexpr ShareLimits few{.clients = 6, .owners = 4, .buffers = 24, .handles = 8, .blocks = 4};
constexpr TagKey key{0x0123456789abcdef, 0xfedcba9876543210};

template <class Z, ShareLimits limits = few, class S = scrub::Zero>
using Shared = Device<Z, Processes, limits, S>;

Pages pages(Bytes size = 1_MiB) { return std::move(*Pages::create({.name = "pages", .size = size})); }

}  // namespace

TEST_CASE("a buffer lives as long as anybody has it") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId camera = *device.open();
  const ClientId display = *device.open();
  const auto frame = device.allocate(camera, {.size = 100'000});
  REQUIRE(frame);
  CHECK(zone.stats().used == 102'400);

  auto shared = device.share(camera, *frame);
  REQUIRE(shared);
  const auto seen = device.import(display, *shared);
  REQUIRE(seen);
  CHECK(device.import(display, *shared)->value() == seen->value());  // the same one again
  CHECK(device.info(display, *seen)->references == 2);
  CHECK(device.info(*shared).holds == 3);

  CHECK(device.free(camera, *frame));
  CHECK(code_of(device.free(camera, *frame)) == ErrorCode::bad_handle);
  CHECK(device.free(display, *seen));
  CHECK(device.free(display, *seen));
  CHECK(code_of(device.free(display, *seen)) == ErrorCode::bad_handle);
  CHECK(zone.stats().used == 102'400);
  *shared = {};
  CHECK(zone.stats().used == 0);
}

TEST_CASE("a mapping outlives the client who made it, and keeps the buffer and how it is cached") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId one = *device.open();
  const ClientId other = *device.open();
  const Handle handle = *device.allocate(one, {.size = 4_KiB});
  auto shared = device.share(one, handle);
  const Handle seen = *device.import(other, *shared);
  auto map = device.map(*shared, Mapper::cpu);
  REQUIRE(map);
  *shared = {};
  CHECK(device.set_cacheability(other, seen, Cacheability::cached));  // as it is
  CHECK(code_of(device.set_cacheability(other, seen, Cacheability::uncached)) == ErrorCode::still_mapped);
  CHECK(device.close(one));
  CHECK(code_of(device.set_cacheability(other, seen, Cacheability::uncached)) == ErrorCode::still_mapped);
  CHECK(code_of(device.unmap(other, seen, Mapper::cpu)) == ErrorCode::not_mapped);  // it is not his
  CHECK(device.free(other, seen));
  CHECK(zone.stats().blocks == 1);
  {
    const auto gone = *std::move(map);
    CHECK(gone.buffer().parts().size == 4_KiB);
  }
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("a mapping that is counted only keeps how the buffer is cached, and nothing alive") {
  Pages zone = pages(), beside = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key), other(beside, platform, key);
  const ClientId one = *device.open();
  auto shared = device.share(one, *device.allocate(one, {.size = 4_KiB}));
  CHECK(device.close(one));
  CHECK(code_of(other.count(*shared, Mapper::device)) == ErrorCode::no_buffer);
  CHECK(code_of(device.uncount(*shared, Mapper::device)) == ErrorCode::not_mapped);
  CHECK(device.count(*shared, Mapper::device, Cacheability::uncached));
  CHECK(device.info(*shared).device_maps == 1);
  CHECK(code_of(device.set_cacheability(*shared, Cacheability::cached)) == ErrorCode::still_mapped);
  CHECK(code_of(device.count(*shared, Mapper::cpu, Cacheability::cached)) == ErrorCode::still_mapped);
  CHECK(code_of(other.uncount(*shared, Mapper::device)) == ErrorCode::no_buffer);
  CHECK(device.uncount(*shared, Mapper::device));
  CHECK(device.set_cacheability(*shared, Cacheability::cached));
  CHECK(device.count(*shared, Mapper::device));
  *shared = {};
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("who frees what he still maps keeps the mapping, and nothing else") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 4_KiB});
  CHECK(device.map(client, handle, Mapper::device));
  CHECK(device.map(client, handle, Mapper::device));
  CHECK(device.free(client, handle));
  CHECK(code_of(device.free(client, handle)) == ErrorCode::bad_handle);
  CHECK(code_of(device.share(client, handle)) == ErrorCode::bad_handle);
  CHECK(code_of(device.map(client, handle, Mapper::cpu)) == ErrorCode::bad_handle);
  CHECK(zone.stats().blocks == 1);
  CHECK(device.unmap(client, handle, Mapper::device));
  CHECK(code_of(device.unmap(client, handle, Mapper::cpu)) == ErrorCode::not_mapped);
  CHECK(device.unmap(client, handle, Mapper::device));
  CHECK(zone.stats().blocks == 0);
  CHECK(code_of(device.unmap(client, handle, Mapper::device)) == ErrorCode::bad_handle);
}

TEST_CASE("a handle is nothing to anybody else, nor to its own client when it is old") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId one = *device.open();
  const ClientId other = *device.open();
  const Handle first = *device.allocate(one, {.size = 4_KiB});
  const Handle second = *device.allocate(other, {.size = 4_KiB});
  CHECK(first != second);
  CHECK(code_of(device.free(other, first)) == ErrorCode::bad_handle);
  for (const std::uint32_t value : {0U, 1U, first.value() + 1, first.value() ^ 0x100U, 0x7fff'ffffU, ~0U}) {
    CHECK(code_of(device.free(one, Handle(value))) == ErrorCode::bad_handle);
  }
  REQUIRE(device.free(one, first));
  for (int again = 0; again < 20; ++again) {
    const Handle next = *device.allocate(one, {.size = 4_KiB});
    CHECK(next != first);
    REQUIRE(device.free(one, next));
  }
  CHECK(code_of(device.free(one, first)) == ErrorCode::bad_handle);
  REQUIRE(device.close(one));
  const ClientId next = *device.open();
  CHECK(next != one);
  CHECK(code_of(device.allocate(one, {.size = 4_KiB})) == ErrorCode::no_client);
  CHECK(code_of(device.close(one)) == ErrorCode::no_client);
  CHECK(code_of(device.close({99, 0})) == ErrorCode::no_client);
  CHECK(code_of(device.close({})) == ErrorCode::no_client);
}

TEST_CASE("what one made counts as his owner's until it is gone") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientSettings small{.quota = {.bytes = 64_KiB, .buffers = 3}};
  platform.caller = 7;
  const ClientId thrifty = *device.open(small);
  platform.caller = 8;
  const ClientId accomplice = *device.open();
  CHECK(code_of(device.allocate(thrifty, {.size = 64_KiB + 1})) == ErrorCode::over_quota);
  const Handle most = *device.allocate(thrifty, {.size = 60_KiB - 1});
  const auto beyond = device.allocate(thrifty, {.size = 4_KiB + 1});
  CHECK(beyond.error() == Error{.code = ErrorCode::over_quota, .asked = 4097, .available = 4096});
  auto shared = device.share(thrifty, most);
  const Handle kept = *device.import(accomplice, *shared);
  *shared = {};
  REQUIRE(device.free(thrifty, most));
  CHECK(code_of(device.allocate(thrifty, {.size = 8_KiB})) == ErrorCode::over_quota);  // given away is not gone
  REQUIRE(device.close(thrifty));
  platform.caller = 7;
  const ClientId again = *device.open({});  // nor is it gone with the client, and what his quota is was said
  CHECK(code_of(device.allocate(again, {.size = 8_KiB})) == ErrorCode::over_quota);
  CHECK(device.usage(again)->bytes == 60_KiB);
  REQUIRE(device.free(accomplice, kept));
  CHECK(device.usage(again)->bytes == 0);
  for (int buffers = 0; buffers < 3; ++buffers) CHECK(device.allocate(again, {.size = 4_KiB}));
  const auto fourth = device.allocate(again, {.size = 4_KiB});
  CHECK(fourth.error() == Error{.code = ErrorCode::over_buffer_quota, .asked = 4, .available = 3});
}

TEST_CASE("each table that is full says which") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages, ShareLimits{.clients = 3, .owners = 2, .buffers = 5, .handles = 4, .blocks = 1}> device(zone, platform, key);
  const ClientId first = *device.open_for(1);
  const ClientId second = *device.open_for(2);
  CHECK(code_of(device.open_for(3)) == ErrorCode::too_many_owners);
  CHECK(device.open_for(2));
  CHECK(code_of(device.open_for(2)) == ErrorCode::too_many_clients);
  for (int handles = 0; handles < 4; ++handles) REQUIRE(device.allocate(first, {.size = 1}));
  CHECK(code_of(device.allocate(first, {.size = 1})) == ErrorCode::too_many_handles);
  REQUIRE(device.allocate(second, {.size = 1}));
  CHECK(code_of(device.allocate(second, {.size = 1})) == ErrorCode::too_many_buffers);
  CHECK(zone.stats().blocks == 5);
  CHECK(device.usage(first)->buffers == 4);
  CHECK(code_of(device.retire()) == ErrorCode::still_used);
  CHECK(code_of(device.open_for(1)) == ErrorCode::retired);
}

TEST_CASE("a block that the zone does not take back is told, and counts as nobody's") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 12_KiB});
  CHECK(device.lost() == LostBlocks());
  const Block block = [&] { return device.share(client, handle)->parts().blocks[0]; }();
  REQUIRE(zone.deallocate(block));  // somebody went to the zone itself
  CHECK(device.free(client, handle));
  const LostBlocks lost = device.lost();
  CHECK(lost.blocks == 1);
  CHECK(lost.bytes == 12_KiB);
  CHECK(lost.refused.code == ErrorCode::double_release);
  CHECK(lost.refused.asked == block.offset().value());
  CHECK(device.buffer_count() == 0);
  CHECK(device.usage(client)->bytes == 0);
  REQUIRE(device.close(client));
  CHECK(device.retire());
}

TEST_CASE("counts that are full refuse, and nothing is lost") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 1});
  for (std::size_t maps = 0; maps < few.maps; ++maps) REQUIRE(device.map(client, handle, Mapper::cpu));
  CHECK(code_of(device.map(client, handle, Mapper::cpu)) == ErrorCode::too_many_maps);
  CHECK(device.map(client, handle, Mapper::device));
  REQUIRE(device.unmap(client, handle, Mapper::cpu));
  auto shared = device.share(client, handle);
  std::vector<Shared<Pages>::Map> maps;
  maps.reserve(MapCounts<>::most);
  while (auto map = device.map(*shared, Mapper::cpu)) maps.push_back(*std::move(map));
  CHECK(device.info(*shared).cpu_maps == MapCounts<>::most);
  CHECK(code_of(device.map(*shared, Mapper::cpu)) == ErrorCode::too_many_maps);
  CHECK(code_of(device.map(client, handle, Mapper::cpu)) == ErrorCode::too_many_maps);
  maps.clear();
  CHECK(device.info(*shared).cpu_maps == few.maps - 1);
  std::vector<Shared<Pages>::Ref> refs;
  refs.reserve(Holds<>::most);
  while (auto ref = device.ref(shared->id())) refs.push_back(*std::move(ref));
  CHECK(device.info(*shared).holds == Holds<>::most);
  CHECK(code_of(device.share(client, handle)) == ErrorCode::too_many_holds);
  CHECK(code_of(device.import(client, *shared)) == ErrorCode::too_many_holds);
  refs.clear();
  *shared = {};
  REQUIRE(device.close(client));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("no byte of a former owner") {
  Pages zone = pages(64_KiB);
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  for (int round = 0; round < 100; ++round) {
    const Handle handle = *device.allocate(client, {.size = 60_KiB});
    const auto shared = device.share(client, handle);
    REQUIRE(all_are(zone.data(shared->parts().blocks[0]), 0));
    std::ranges::fill(zone.data(shared->parts().blocks[0]), std::byte{0xaa});
    REQUIRE(device.free(client, handle));
  }
}

TEST_CASE("a buffer of several blocks, from heaps that a client may use") {
  using Lists = Zone<backing::Anonymous, strategy::OrderList<strategy::Buddy, 2, 0>, lock::None, cache::Coherent>;
  using namespace freestone::declare;
  constexpr auto board = declare::heaps(heap<"lists">(id<1>, zone<Lists>, size<64_KiB>), heap<"pages">(id<2>, zone<Pages>, size<64_KiB>));
  auto heaps = board.create();
  REQUIRE(heaps);
  Processes platform;
  Shared<std::remove_reference_t<decltype(*heaps)>> device(*heaps, platform, key);
  const ClientId all = *device.open();
  const ClientId some = *device.open({.heaps = HeapMask::of(2)});
  const auto list = device.allocate(all, {.size = 36_KiB, .contiguous = false});
  REQUIRE(list);
  const auto shared = device.share(all, *list);
  CHECK(shared->parts().count == 3);
  CHECK(shared->parts().heap == 1);
  CHECK(shared->parts().size == 36_KiB);
  CHECK(device.info(some, *device.allocate(some, {.size = 4_KiB}))->heap == 2);
  CHECK(code_of(device.allocate(some, {.size = 4_KiB, .heaps = HeapMask::of(1)})) == ErrorCode::empty_mask);
}

// --- threads that are in the midst of something ---

namespace {

// Whoever takes the accounts' lock waits, once, until he may go on.
enum class Gate { open, shut, reached };
std::atomic<Gate> gate = Gate::open;

template <LockRank rank>
struct Gated : lock::Spin {
  static Gated format(std::uint64_t* words) noexcept { return Gated(lock::Spin::format(words)); }
  static Gated attach(std::uint64_t* words) noexcept { return Gated(lock::Spin::attach(words)); }
  void lock() noexcept {
    Gate shut = Gate::shut;
    if (rank == LockRank::accounts && gate.compare_exchange_strong(shut, Gate::reached)) gate.wait(Gate::reached);
    lock::Spin::lock();
  }

 private:
  explicit Gated(lock::Spin spin) noexcept : lock::Spin(spin) {}
};
struct GatedLocks {
  template <LockRank rank>
  using At = Gated<rank>;
};
using Busy = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
Busy busy(Bytes size) { return std::move(*Busy::create({.name = "busy", .size = size})); }

template <class Holder>
void retires_after_the_drop_of(Device<Busy, Processes, few, scrub::Zero, GatedLocks>& device, Holder holder) {
  gate = Gate::shut;
  std::thread dropper([last = std::optional<Holder>(std::move(holder))]() mutable { last.reset(); });
  while (gate != Gate::reached) std::this_thread::yield();
  CHECK(device.retire().error() == Error{.code = ErrorCode::still_used, .asked = 0, .available = 1});
  gate = Gate::open;
  gate.notify_all();
  dropper.join();
  CHECK(device.retire());
}

// Blocks of 1 MiB take long to scrub: until somebody says that it is enough.
std::atomic<int> in_scrubber = 0;
std::atomic<bool> is_enough = false;
struct Slow {
  Result<void> operator()(Busy&, const Block& block) const noexcept {
    if (block.size() != 1_MiB) return {};
    ++in_scrubber;
    is_enough.wait(false);
    return {};
  }
};

}  // namespace

TEST_CASE("a device is used until the last drop of a buffer needs nothing of it any more") {
  Busy zone = busy(64_KiB);
  Processes platform;
  for (const bool is_map : {false, true}) {
    Device<Busy, Processes, few, scrub::Zero, GatedLocks> device(zone, platform, key);
    const ClientId client = *device.open();
    auto ref = *device.share(client, *device.allocate(client, {.size = 4_KiB}));
    REQUIRE(device.close(client));
    if (!is_map) {
      retires_after_the_drop_of(device, std::move(ref));
    } else {
      auto map = *device.map(ref, Mapper::cpu);
      ref = {};
      retires_after_the_drop_of(device, std::move(map));
    }
    CHECK(zone.stats().blocks == 0);
  }
}

TEST_CASE("a quota holds while several threads of one owner wait for their buffers") {
  for (const Quota& quota : {Quota{.bytes = 1_MiB}, Quota{.buffers = 1}}) {
    Busy zone = busy(4_MiB);
    Processes platform;
    Device<Busy, Processes, few, Slow, PlainLocks<lock::Spin>> device(zone, platform, key);
    const ClientId greedy = *device.open_for(1, {.quota = quota});
    const ClientId other = *device.open_for(2);
    in_scrubber = 0;
    is_enough = false;
    std::atomic<int> granted = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] { ++(device.allocate(greedy, {.size = 1_MiB}) ? granted : refused); });
    }
    while (in_scrubber + refused != 4) std::this_thread::yield();
    CHECK(in_scrubber == 1);
    CHECK(zone.stats().used == 1_MiB);
    CHECK(device.buffer_count() == 1);
    CHECK(device.usage(greedy)->buffers == 1);
    CHECK(device.allocate(other, {.size = 4_KiB}));
    is_enough = true;
    is_enough.notify_all();
    for (std::thread& thread : threads) thread.join();
    CHECK(granted == 1);
    CHECK(device.usage(greedy)->bytes == 1_MiB);
    CHECK(device.usage(greedy)->buffers == 1);
  }
}

TEST_CASE("who is closed while a call of his is under way is nobody to all other calls") {
  Pages zone = pages();
  Processes platform;
  std::function<void()> meanwhile = [] {};
  struct Calls {
    std::function<void()>* meanwhile;
    Result<void> operator()(Pages&, const Block&) noexcept { return (*meanwhile)(), Result<void>(); }
  };
  using D = Shared<Pages, few, Calls>;
  D device(zone, platform, key, Calls{&meanwhile});
  const ClientId other = *device.open_for(1);
  const auto shared = device.share(other, *device.allocate(other, {.size = 1}));
  const ClientId client = *device.open_for(2);
  int called = 0;
  meanwhile = [&] {
    ++called;
    CHECK(device.close(client));
    CHECK(device.client_count() == 2);  // his place is not free yet
    CHECK(code_of(device.give(client, *shared)) == ErrorCode::no_client);
    CHECK(code_of(device.import(client, *shared)) == ErrorCode::no_client);
    CHECK(code_of(device.usage(client)) == ErrorCode::no_client);
    CHECK(code_of(device.close(client)) == ErrorCode::no_client);
    CHECK(code_of(device.for_each_handle(client, [](const D::ShownHandle&) {})) == ErrorCode::no_client);
    device.for_each_client([&](const D::ShownClient& shown) { CHECK(shown.id == other); });
  };
  CHECK(code_of(device.allocate(client, {.size = 1})) == ErrorCode::no_client);
  CHECK(called == 1);
  CHECK(device.client_count() == 1);
  CHECK(device.usage(other)->buffers == 1);
  CHECK(zone.stats().blocks == 1);
}

// --- what one of many may have ---

TEST_CASE("the quota is of what is granted, and what passes it by rounding leaves nothing") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open({.quota = {.bytes = 6000}});
  const auto refused = device.allocate(client, {.size = 5000});
  CHECK(refused.error() == Error{.code = ErrorCode::over_quota, .asked = 8192, .available = 6000});
  CHECK(zone.stats().blocks == 0);
  CHECK(device.buffer_count() == 0);
  CHECK(device.usage(client)->bytes == 0);
  CHECK(device.usage(client)->buffers == 0);
  CHECK(device.allocate(client, {.size = 4096}));
}

TEST_CASE("whatever allocate fails with, nothing stays charged") {
  Pages zone = pages(64_KiB);
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  for (const Quota& quota : {Quota{}, Quota{.bytes = 1_MiB}}) {
    const ClientId client = *device.open_for(quota.bytes == 1_MiB ? 2 : 1, {.quota = quota});
    const auto fails_with = [&](Constraints wanted) {
      const ErrorCode code = code_of(device.allocate(client, wanted));
      CHECK(device.usage(client)->bytes == 0);
      CHECK(device.usage(client)->buffers == 0);
      return code;
    };
    CHECK(fails_with({.size = 0}) == ErrorCode::zero_size);
    CHECK(fails_with({.size = 128_KiB}) == ErrorCode::size_beyond_zone);
    CHECK(fails_with({.size = 4_KiB, .cacheability = Cacheability::uncached}) == ErrorCode::never_satisfied);
    const bool is_limited = quota.bytes != bits::all;
    CHECK(fails_with({.size = ~std::uint64_t{0}}) == (is_limited ? ErrorCode::over_quota : ErrorCode::size_overflow));
    REQUIRE(device.close(client));
  }
}

TEST_CASE("none maps a buffer so often that others cannot") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId maker = *device.open_for(1);
  const Handle handle = *device.allocate(maker, {.size = 1});
  const auto shared = device.share(maker, handle);
  for (const Mapper mapper : {Mapper::cpu, Mapper::device}) {
    std::vector<ClientId> greedy;
    while (const auto client = device.open_for(2)) greedy.push_back(*client);
    for (const ClientId client : greedy) {
      const Handle his = *device.import(client, *shared);
      std::uint32_t maps = 0;
      while (maps <= MapCounts<>::most && device.map(client, his, mapper)) ++maps;
      CHECK(code_of(device.map(client, his, mapper)) == ErrorCode::too_many_maps);
    }
    CHECK(device.map(maker, handle, mapper));
    for (const ClientId client : greedy) REQUIRE(device.close(client));
  }
}

TEST_CASE("a single zone is heap 0 to those who say which heaps") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId all = *device.open();
  const ClientId none = *device.open({.heaps = HeapMask()});
  const ClientId another = *device.open({.heaps = HeapMask::of(1)});
  CHECK(device.info(all, *device.allocate(all, {.size = 1}))->heap == 0);
  CHECK(device.allocate(all, {.size = 1, .heaps = HeapMask::of(0)}));
  CHECK(code_of(device.allocate(all, {.size = 1, .heaps = HeapMask()})) == ErrorCode::empty_mask);
  CHECK(code_of(device.allocate(all, {.size = 1, .heaps = HeapMask::of(1)})) == ErrorCode::empty_mask);
  CHECK(code_of(device.allocate(none, {.size = 1})) == ErrorCode::empty_mask);
  CHECK(code_of(device.allocate(another, {.size = 1})) == ErrorCode::empty_mask);
  CHECK(zone.stats().blocks == 2);
}

// --- as whose a buffer counts ---

TEST_CASE("what somebody keeps may count as his, and then its maker's account is nobody's again") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);  // of four owners
  const ClientId keeper = *device.open_for(1000);
  std::vector<Handle> kept;
  for (int maker = 1; maker <= 8; ++maker) {
    const auto client = device.open_for(maker, {.quota = {.bytes = 4_KiB}});
    REQUIRE(client);
    const auto shared = device.share(*client, *device.allocate(*client, {.size = 4_KiB}));
    kept.push_back(*device.import(keeper, *shared));
    REQUIRE(device.give(keeper, *shared));
    CHECK(device.usage(*client)->bytes == 0);
    CHECK(device.usage(*client)->buffers == 0);
    REQUIRE(device.give(keeper, *shared));  // it is already
    CHECK(device.usage(keeper)->bytes == 4096 * static_cast<std::uint64_t>(maker));
    REQUIRE(device.close(*client));
  }
  CHECK(device.usage(keeper)->buffers == 8);
  for (const Handle handle : kept) REQUIRE(device.free(keeper, handle));
  CHECK(device.usage(keeper)->bytes == 0);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("nobody is given more than his quota, nor what is another device's") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key), other(zone, platform, key);
  const ClientId maker = *device.open_for(1);
  const auto shared = device.share(maker, *device.allocate(maker, {.size = 8_KiB}));
  const ClientId thrifty = *device.open_for(2, {.quota = {.bytes = 4_KiB}});
  const ClientId none = *device.open_for(3, {.quota = {.buffers = 0}});
  CHECK(device.give(thrifty, *shared).error() == Error{.code = ErrorCode::over_quota, .asked = 8192, .available = 4096});
  CHECK(device.give(none, *shared).error() == Error{.code = ErrorCode::over_buffer_quota, .asked = 1, .available = 0});
  CHECK(code_of(device.give(thrifty, Shared<Pages>::Ref())) == ErrorCode::no_buffer);
  CHECK(code_of(other.give(*other.open(), *shared)) == ErrorCode::no_buffer);
  CHECK(device.usage(maker)->bytes == 8_KiB);
  CHECK(device.usage(thrifty)->bytes == 0);
  REQUIRE(device.close(thrifty));
  CHECK(code_of(device.give(thrifty, *shared)) == ErrorCode::no_client);
  CHECK(device.usage(maker)->buffers == 1);
}

TEST_CASE("where as many owners as clients and buffers have room, none is refused for what others keep") {
  Pages zone = pages();
  Processes platform;
  constexpr ShareLimits all{.clients = 3, .buffers = 5, .handles = 8, .blocks = 1};
  Shared<Pages, all> device(zone, platform, key);
  const ClientId keeper = *device.open_for(1000);
  for (int maker = 1; maker <= 5; ++maker) {
    const auto client = device.open_for(maker);
    REQUIRE(client);
    REQUIRE(device.import(keeper, *device.share(*client, *device.allocate(*client, {.size = 1}))));
    REQUIRE(device.close(*client));
  }
  CHECK(device.open_for(6));
  CHECK(device.open_for(7));
  CHECK(code_of(device.open_for(8)) == ErrorCode::too_many_clients);
}

// --- how it is cached ---

TEST_CASE("who maps a buffer may say how he wants it cached, and gets it so or not at all") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 1});
  const auto shared = device.share(client, handle);
  const auto map = [&](Cacheability wanted) { return code_of(device.map(client, handle, Mapper::cpu, wanted)); };
  CHECK(map(Cacheability::uncached) == ErrorCode::none);  // nobody minds
  CHECK(device.info(*shared).cacheability == Cacheability::uncached);
  CHECK(map(Cacheability::cached) == ErrorCode::still_mapped);
  CHECK(map(static_cast<Cacheability>(3)) == ErrorCode::bad_cacheability);
  CHECK(map(Cacheability::uncached) == ErrorCode::none);
  CHECK(device.map(client, handle, Mapper::device));  // who says nothing takes it as it is
  CHECK(code_of(device.map(*shared, Mapper::cpu, Cacheability::cached)) == ErrorCode::still_mapped);
  CHECK(device.info(*shared).holds == 2);
  CHECK(device.info(*shared).cpu_maps == 2);
  CHECK(device.info(*shared).device_maps == 1);
  CHECK(device.map(*shared, Mapper::cpu, Cacheability::uncached)->mapper() == Mapper::cpu);
  for (const Mapper mapper : {Mapper::cpu, Mapper::cpu, Mapper::device}) REQUIRE(device.unmap(client, handle, mapper));
  CHECK(device.map(*shared, Mapper::device, Cacheability::write_combined));
  CHECK(device.info(*shared).cacheability == Cacheability::write_combined);
}

TEST_CASE("a buffer is cached as was asked for, or as its heap is, where nothing else is said") {
  using Window = Zone<backing::Reserved, strategy::Bitmap, lock::None, cache::Uncached>;
  static std::uint64_t words[512];
  auto zone = Window::create({.name = "window", .size = 32_KiB},
                             backing::Reserved({.physical = PhysicalAddress(0x8000'0000), .size = 32_KiB}, words));
  REQUIRE(zone);
  Processes platform;
  Shared<Window, few, scrub::Nothing> device(*zone, platform, key);
  const ClientId client = *device.open();
  const auto seen = [&](const Result<Handle>& handle) { return device.info(client, *handle)->cacheability; };
  CHECK(seen(device.allocate(client, {.size = 1})) == Cacheability::uncached);
  CHECK(seen(device.allocate(client, {.size = 1, .cacheability = Cacheability::uncached})) == Cacheability::uncached);
  CHECK(seen(device.allocate(client, {.size = 1}, 0, Cacheability::write_combined)) == Cacheability::write_combined);
  CHECK(seen(device.allocate(client, {.size = 1}, 0, Cacheability::cached)) == Cacheability::cached);
}

TEST_CASE("a number that is no cacheability is refused") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 1}, 0, Cacheability::write_combined);
  for (const int number : {3, 4, 7, 255}) {
    CHECK(!device.set_cacheability(client, handle, static_cast<Cacheability>(number)));
    CHECK(!device.allocate(client, {.size = 1}, 0, static_cast<Cacheability>(number)));
    CHECK(device.info(client, handle)->cacheability == Cacheability::write_combined);
  }
  CHECK(zone.stats().blocks == 1);
}

TEST_CASE("a key of zeros, and what is asked of no ref or of another device's, end the program") {
  Pages zone = pages();
  Processes platform;
  CHECK(ends_the_program([&] { const Shared<Pages> device(zone, platform, TagKey()); }));
  Shared<Pages> device(zone, platform, key), other(zone, platform, key);
  const ClientId client = *device.open();
  const auto shared = device.share(client, *device.allocate(client, {.size = 1}));
  const Shared<Pages>::Ref empty;
  CHECK(ends_the_program([&] { static_cast<void>(empty.parts()); }));
  CHECK(ends_the_program([&] { static_cast<void>(device.info(empty)); }));
  CHECK(ends_the_program([&] { static_cast<void>(other.info(*shared)); }));
}

TEST_CASE("a handle that was freed while it is mapped is known again once its client imports the buffer") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 1});
  const auto shared = device.share(client, handle);
  REQUIRE(device.map(client, handle, Mapper::cpu));
  REQUIRE(device.free(client, handle));
  CHECK(code_of(device.info(client, handle)) == ErrorCode::bad_handle);
  CHECK(*device.import(client, *shared) == handle);  // it still names the mapping
  CHECK(device.info(client, handle)->references == 1);
  CHECK(device.unmap(client, handle, Mapper::cpu));
}

// --- walks ---

TEST_CASE("clients, handles and buffers are shown, each once") {
  Pages zone = pages();
  Processes platform;
  using D = Shared<Pages>;
  D device(zone, platform, key);
  device.for_each_client([](const D::ShownClient&) { CHECK(false); });
  device.for_each_buffer([](const D::ShownBuffer&) { CHECK(false); });
  const ClientId one = *device.open_for(7, {.heaps = HeapMask(5)});
  const ClientId two = *device.open_for(8);
  const Handle first = *device.allocate(one, {.size = 4_KiB}, 41);
  const Handle second = *device.allocate(one, {.size = 8_KiB}, 42);
  const auto shared = device.share(one, first);
  REQUIRE(device.import(two, *shared));
  REQUIRE(device.import(two, *shared));
  REQUIRE(device.map(one, second, Mapper::cpu));
  REQUIRE(device.free(one, second));  // it is mapped still

  std::vector<std::pair<ClientId, int>> clients;
  device.for_each_client([&](const D::ShownClient& client) {
    clients.emplace_back(client.id, client.owner);
    CHECK(client.handles == (client.id == one ? 2 : 1));
    CHECK(client.heaps == (client.id == one ? HeapMask(5) : HeapMask::all()));
  });
  CHECK(clients == std::vector<std::pair<ClientId, int>>{{one, 7}, {two, 8}});

  std::map<std::uint32_t, std::uint32_t> handles;  // references
  CHECK(device.for_each_handle(one, [&](const D::ShownHandle& shown) {
    handles[shown.handle.value()] = shown.references;
    CHECK(shown.cpu_maps == (shown.handle == second));
    CHECK(shown.device_maps == 0);
    CHECK(shown.buffer.parts().flags == (shown.handle == first ? 41 : 42));
  }));
  CHECK(handles == std::map<std::uint32_t, std::uint32_t>{{first.value(), 1}, {second.value(), 0}});
  CHECK(device.for_each_handle(two, [&](const D::ShownHandle& shown) { CHECK(shown.references == 2); }));
  CHECK(code_of(device.for_each_handle({}, [](const D::ShownHandle&) {})) == ErrorCode::no_client);

  REQUIRE(device.give(two, *shared));
  std::map<std::uint32_t, int> owners;
  device.for_each_buffer([&](const D::ShownBuffer& shown) { owners[shown.buffer.parts().flags] = shown.owner; });
  CHECK(owners == std::map<std::uint32_t, int>{{41, 8}, {42, 7}});
  CHECK(device.info(*shared).holds == 3);  // what was shown is nobody's hold any more
}

TEST_CASE("who is shown something may end it, and all else, there and then") {
  Pages zone = pages();
  Processes platform;
  using D = Shared<Pages>;
  D device(zone, platform, key);
  const ClientId one = *device.open();
  const ClientId two = *device.open();
  for (int buffers = 0; buffers < 4; ++buffers) REQUIRE(device.allocate(one, {.size = 4_KiB}));
  int shown = 0;
  CHECK(device.for_each_handle(one, [&](const D::ShownHandle& handle) {
    ++shown;
    CHECK(device.free(one, handle.handle));
    CHECK(zone.owns(handle.buffer.parts().blocks[0]));
  }));
  CHECK(shown == 4);
  CHECK(zone.stats().blocks == 0);

  for (int buffers = 0; buffers < 4; ++buffers) REQUIRE(device.allocate(one, {.size = 4_KiB}));
  shown = 0;
  CHECK(code_of(device.for_each_handle(one, [&](const D::ShownHandle& handle) {
    ++shown;
    CHECK(device.close(one));
    CHECK(zone.stats().blocks == 1);  // what is shown
    CHECK(zone.owns(handle.buffer.parts().blocks[0]));
  })) == ErrorCode::no_client);
  CHECK(shown == 1);
  CHECK(zone.stats().blocks == 0);

  REQUIRE(device.allocate(two, {.size = 4_KiB}));
  device.for_each_buffer([&](const D::ShownBuffer& buffer) {
    CHECK(device.close(two));
    CHECK(device.info(buffer.buffer).holds == 1);
    CHECK(buffer.owner == 1);
  });
  CHECK(zone.stats().blocks == 0);
  REQUIRE(device.open());
  REQUIRE(device.open());
  shown = 0;
  device.for_each_client([&](const D::ShownClient& client) {
    CHECK(device.close(client.id));
    shown += code_of(device.usage(client.id)) == ErrorCode::no_client;
  });
  CHECK(shown == 2);
  CHECK(device.client_count() == 0);
}

TEST_CASE("walks while others come and go: what is shown is whole, and nothing stays of it") {
  Busy zone = busy(1_MiB);
  Processes platform;
  using D = Device<Busy, Processes, few, scrub::Nothing, PlainLocks<lock::Spin>>;
  D device(zone, platform, key);
  const ClientId constant = *device.open_for(9);
  const Handle always = *device.allocate(constant, {.size = 4_KiB}, 77);
  std::atomic<int> working = 2;
  const auto comes_and_goes = [&](int owner) {
    for (int round = 0; round < some_of(3'000); ++round) {
      const ClientId client = *device.open_for(owner);
      const auto handle = device.allocate(client, {.size = 4_KiB}, 78);
      if (handle && round % 2 == 0) static_cast<void>(device.map(client, *handle, Mapper::cpu));
      if (handle && round % 3 == 0) static_cast<void>(device.free(client, *handle));
      CHECK(device.close(client));
    }
    --working;
  };
  std::thread one(comes_and_goes, 1), other(comes_and_goes, 2);
  while (working != 0) {
    int constants = 0;
    device.for_each_client([&](const D::ShownClient& client) {
      if (client.owner == 9 && client.id == constant && client.handles == 1) ++constants;
      static_cast<void>(device.for_each_handle(client.id, [&](const D::ShownHandle& shown) {
        if (shown.handle == always && client.id == constant) ++constants;
        if (shown.buffer.parts().size == 4_KiB && shown.references + shown.cpu_maps != 0) return;
        ++constants;  // it is not whole
      }));
    });
    device.for_each_buffer([&](const D::ShownBuffer& shown) {
      const std::uint32_t flags = shown.buffer.parts().flags;
      constants += flags == 77 && shown.owner == 9;
      constants += (flags != 77 && flags != 78) || !zone.owns(shown.buffer.parts().blocks[0]);
    });
    REQUIRE(constants == 3);
  }
  one.join();
  other.join();
  CHECK(device.client_count() == 1);
  CHECK(device.buffer_count() == 1);
  CHECK(device.usage(constant)->buffers == 1);
}

// --- by chance, beside a model that only counts ---

namespace {

struct ModelBuffer {
  Bytes size;
  int maker;
  int refs = 0;
  int cpu_maps = 0;  // of BufferMaps
};
struct ModelHandle {
  std::uint64_t buffer;
  std::uint32_t references = 1;
  std::uint32_t maps[2] = {0, 0};
};
struct ModelClient {
  ClientId id;
  int owner;
  std::map<std::uint32_t, ModelHandle> handles = {};
};

}  // namespace

TEST_CASE("whatever clients do, the counts are the model's") {
  using D = Shared<Pages>;
  Pages zone = pages(512_KiB);
  Processes platform;
  Random random(seed());
  for (int round = 0; round < 20; ++round) {
    std::optional<D> made;
    D& device = made.emplace(zone, platform, TagKey{random.next(), random.next()});
    std::map<std::uint64_t, ModelBuffer> buffers;
    std::vector<ModelClient> clients;
    std::vector<std::pair<D::Ref, std::uint64_t>> refs;
    std::vector<std::pair<D::Map, std::uint64_t>> maps;
    std::vector<std::uint32_t> old_handles;
    std::uint64_t next_buffer = 0;

    const auto holds_of = [&](std::uint64_t buffer) {
      std::uint32_t holds = static_cast<std::uint32_t>(buffers[buffer].refs + buffers[buffer].cpu_maps);
      for (const auto& client : clients) {
        for (const auto& [value, handle] : client.handles) holds += handle.buffer == buffer;
      }
      return holds;
    };
    const auto maps_of = [&](std::uint64_t buffer, Mapper mapper) {
      std::uint32_t count = mapper == Mapper::cpu ? static_cast<std::uint32_t>(buffers[buffer].cpu_maps) : 0;
      for (const auto& client : clients) {
        for (const auto& [value, handle] : client.handles) {
          if (handle.buffer == buffer) count += handle.maps[static_cast<int>(mapper)];
        }
      }
      return count;
    };
    const auto sweep = [&] { std::erase_if(buffers, [&](const auto& one) { return holds_of(one.first) == 0; }); };

    for (int step = 0; step < some_of(3'000); ++step) {
      const auto what = random.below(100);
      if (clients.empty() || what < 3) {
        platform.caller = static_cast<int>(random.below(3));
        const auto id = device.open();
        CHECK(static_cast<bool>(id) == (clients.size() < few.clients));
        if (id) clients.push_back({*id, platform.caller});
        continue;
      }
      ModelClient& client = clients[static_cast<std::size_t>(random.below(clients.size()))];
      auto at = client.handles.begin();
      if (!client.handles.empty()) std::advance(at, static_cast<int>(random.below(client.handles.size())));
      const bool has_one = at != client.handles.end();
      if (what < 5) {
        REQUIRE(device.close(client.id));
        CHECK(code_of(device.close(client.id)) == ErrorCode::no_client);
        std::swap(client, clients.back());
        clients.pop_back();
        sweep();
      } else if (what < 25) {
        const Bytes size = 4096 * random.from_to(1, 12);
        const auto got = device.allocate(client.id, {.size = size});
        if (!got) {
          const ErrorCode code = got.error().code;
          const bool is_full = client.handles.size() == few.handles;
          CHECK((code == ErrorCode::no_space || (code == ErrorCode::too_many_buffers && buffers.size() == few.buffers) ||
                 (code == ErrorCode::too_many_handles && is_full)));
          continue;
        }
        buffers[next_buffer] = {.size = size, .maker = client.owner};
        CHECK(client.handles.emplace(got->value(), ModelHandle{next_buffer++}).second);
      } else if (what < 40 && has_one) {
        const bool is_released = at->second.references == 0;
        CHECK(static_cast<bool>(device.free(client.id, Handle(at->first))) == !is_released);
        if (is_released) continue;
        ModelHandle& handle = at->second;
        if (--handle.references == 0 && handle.maps[0] + handle.maps[1] == 0) {
          old_handles.push_back(at->first);
          client.handles.erase(at);
        }
        sweep();
      } else if (what < 50 && has_one) {
        auto ref = device.share(client.id, Handle(at->first));
        CHECK(static_cast<bool>(ref) == (at->second.references != 0));
        if (!ref) continue;
        ++buffers[at->second.buffer].refs;
        refs.emplace_back(*std::move(ref), at->second.buffer);
      } else if (what < 60 && !refs.empty()) {
        const auto& [ref, buffer] = refs[static_cast<std::size_t>(random.below(refs.size()))];
        const auto had = std::find_if(client.handles.begin(), client.handles.end(),
                                      [&, &wanted = buffer](const auto& one) { return one.second.buffer == wanted; });
        const auto got = device.import(client.id, ref);
        if (had != client.handles.end()) {
          REQUIRE(got);
          CHECK(got->value() == had->first);
          ++had->second.references;
        } else if (got) {
          CHECK(client.handles.emplace(got->value(), ModelHandle{buffer}).second);
        } else {
          CHECK((code_of(got) == ErrorCode::too_many_handles && client.handles.size() == few.handles));
        }
      } else if (what < 70 && !refs.empty()) {
        const auto gone = static_cast<std::size_t>(random.below(refs.size()));
        --buffers[refs[gone].second].refs;
        std::swap(refs[gone], refs.back());
        refs.pop_back();
        sweep();
      } else if (what < 76 && !refs.empty()) {
        const auto& [ref, buffer] = refs[static_cast<std::size_t>(random.below(refs.size()))];
        auto map = device.map(ref, Mapper::cpu);
        REQUIRE(map);
        ++buffers[buffer].cpu_maps;
        maps.emplace_back(*std::move(map), buffer);
      } else if (what < 80 && !maps.empty()) {
        --buffers[maps.back().second].cpu_maps;
        maps.pop_back();
        sweep();
      } else if (what < 90 && has_one) {
        const auto mapper = static_cast<Mapper>(random.below(2));
        const bool can = at->second.references != 0;
        CHECK(static_cast<bool>(device.map(client.id, Handle(at->first), mapper)) == can);
        if (can) ++at->second.maps[static_cast<int>(mapper)];
      } else if (what < 96 && has_one) {
        const auto mapper = static_cast<Mapper>(random.below(2));
        ModelHandle& handle = at->second;
        const bool can = handle.maps[static_cast<int>(mapper)] != 0;
        CHECK(static_cast<bool>(device.unmap(client.id, Handle(at->first), mapper)) == can);
        if (can && --handle.maps[static_cast<int>(mapper)] == 0 && handle.references + handle.maps[0] + handle.maps[1] == 0) {
          client.handles.erase(at);
        }
        sweep();
      } else if (!old_handles.empty()) {
        const std::uint32_t old = old_handles[static_cast<std::size_t>(random.below(old_handles.size()))];
        if (client.handles.count(old) == 0) CHECK(code_of(device.info(client.id, Handle(old))) == ErrorCode::bad_handle);
      }

      Bytes used = 0;
      for (const auto& [id, buffer] : buffers) used = used + buffer.size;
      REQUIRE(zone.stats().used == used);
      REQUIRE(device.buffer_count() == buffers.size());
      if (step % 16 != 0) continue;
      for (const auto& one : clients) {
        const auto usage = device.usage(one.id);
        Bytes own = 0;
        for (const auto& [id, buffer] : buffers) own = buffer.maker == one.owner ? own + buffer.size : own;
        REQUIRE(usage->bytes == own);
        REQUIRE(usage->handles == one.handles.size());
        for (const auto& [value, handle] : one.handles) {
          if (handle.references == 0) continue;
          const auto info = device.info(one.id, Handle(value));
          REQUIRE(info);
          REQUIRE(info->references == handle.references);
          REQUIRE(info->holds == holds_of(handle.buffer));
          REQUIRE(info->cpu_maps == maps_of(handle.buffer, Mapper::cpu));
          REQUIRE(info->device_maps == maps_of(handle.buffer, Mapper::device));
        }
      }
    }
    refs.clear();
    maps.clear();
    REQUIRE(device.lost() == LostBlocks());
    made.reset();
    REQUIRE(zone.stats().blocks == 0);
  }
}
