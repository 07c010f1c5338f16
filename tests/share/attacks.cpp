// What went wrong elsewhere, one class of public reports after the other, and does not here. (Classes and reports:
// CVE numbers as named in each case's comment. What takes files and processes is in share/os/attacks.)
#include <freestone/share/device.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/bytes.hpp"
#include "support/effort.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::Futex, cache::Coherent>;
constexpr ShareLimits few{.clients = 8, .owners = 4, .buffers = 32, .handles = 16, .blocks = 4};
using Shared = Device<Pages, MinimalPlatform, few, scrub::Zero, PlainLocks<lock::Futex>>;

constexpr std::uint64_t rounds = some_of(5'000U);  // of races; a sanitizer makes each of them count

// A device with two clients, and what it takes.
struct Scene {
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 256_KiB}));
  MinimalPlatform platform;
  Shared device{zone, platform, TagKey{1, 2}};
  ClientId victim = *device.open();
  ClientId attacker = *device.open();

  Handle buffer(Bytes size = 4_KiB) { return *device.allocate(victim, {.size = size}); }
  bool is_empty() { return zone.stats().blocks == 0; }
};

// `before`, and then both at once; many times.
template <class Before, class One, class Other>
void race(Before&& before, One&& one, Other&& other) {
  std::atomic<std::uint64_t> turn = 0;
  std::thread thread([&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      while (turn.load() != 2 * round + 1) std::this_thread::yield();
      other();
      turn.store(2 * round + 2);
    }
  });
  for (std::uint64_t round = 0; round < rounds; ++round) {
    before();
    turn.store(2 * round + 1);
    one();
    while (turn.load() != 2 * round + 2) std::this_thread::yield();
  }
  thread.join();
}

}  // namespace

// --- A1: free against share, import, map of one handle (CVE-2016-9120, CVE-2024-23380) ---

TEST_CASE("A1: free against share of one handle") {
  Scene scene;
  Handle handle;
  race([&] { handle = scene.buffer(); }, [&] { CHECK(scene.device.free(scene.victim, handle)); },
       [&] {
         const auto ref = scene.device.share(scene.victim, handle);
         if (ref) CHECK(scene.zone.data(ref->parts().blocks[0])[0] == std::byte{0});
       });
  CHECK(scene.is_empty());
}

TEST_CASE("A1: free against free of one handle: one of them does it") {
  Scene scene;
  Handle handle;
  std::atomic<std::uint64_t> freed = 0;
  const auto free = [&] { freed += scene.device.free(scene.victim, handle) ? 1 : 0; };
  race([&] { handle = scene.buffer(); }, free, free);
  CHECK(freed == rounds);
  CHECK(scene.is_empty());
}

TEST_CASE("A1: free against map, and unmap") {
  Scene scene;
  Handle handle;
  race([&] { handle = scene.buffer(); }, [&] { CHECK(scene.device.free(scene.victim, handle)); },
       [&] {
         if (scene.device.map(scene.victim, handle, Mapper::cpu)) CHECK(scene.device.unmap(scene.victim, handle, Mapper::cpu));
       });
  CHECK(scene.is_empty());
}

TEST_CASE("A1: import against the last put") {
  Scene scene;
  Handle handle;
  BufferId id;
  const auto before = [&] {
    handle = scene.buffer();
    id = scene.device.share(scene.victim, handle)->id();
  };
  race(before, [&] { CHECK(scene.device.free(scene.victim, handle)); },
       [&] {
         const auto ref = scene.device.ref(id);
         if (!ref) return;
         const auto got = scene.device.import(scene.attacker, *ref);
         REQUIRE(got);
         CHECK(scene.zone.data(ref->parts().blocks[0])[0] == std::byte{0});
         CHECK(scene.device.free(scene.attacker, *got));
       });
  CHECK(scene.is_empty());
}

TEST_CASE("A1: a client's end against each of his calls") {
  Scene scene;
  for (std::uint64_t round = 0; round < 200; ++round) {
    const ClientId client = *scene.device.open();
    std::thread caller([&] {
      for (int calls = 0; calls < 20; ++calls) {
        const auto got = scene.device.allocate(client, {.size = 4_KiB});
        if (!got) break;
        static_cast<void>(scene.device.map(client, *got, Mapper::device));
        static_cast<void>(scene.device.share(client, *got));
        if (calls % 2 == 0) static_cast<void>(scene.device.free(client, *got));
      }
    });
    CHECK(scene.device.close(client));
    caller.join();
    CHECK(scene.is_empty());
    CHECK(scene.device.client_count() == 2);
  }
}

// --- A2: a caller drops references that are not his (bug 34276203, CVE-2022-20109, CVE-2024-43047) ---

TEST_CASE("A2: free once more than one has it") {
  Scene scene;
  const Handle handle = scene.buffer();
  const auto kept = scene.device.share(scene.victim, handle);
  const Handle other = *scene.device.import(scene.attacker, *kept);
  for (int imports = 0; imports < 5; ++imports) REQUIRE(scene.device.import(scene.attacker, *kept));
  for (int frees = 0; frees < 6; ++frees) CHECK(scene.device.free(scene.attacker, other));
  for (int frees = 0; frees < 100; ++frees) CHECK(code_of(scene.device.free(scene.attacker, other)) == ErrorCode::bad_handle);
  CHECK(scene.device.info(scene.victim, handle)->holds == 2);
}

TEST_CASE("A2: unmap once more than one has it") {
  Scene scene;
  const Handle handle = scene.buffer();
  const auto shared = scene.device.share(scene.victim, handle);
  const Handle other = *scene.device.import(scene.attacker, *shared);
  REQUIRE(scene.device.map(scene.victim, handle, Mapper::cpu));
  for (int unmaps = 0; unmaps < 100; ++unmaps) CHECK(code_of(scene.device.unmap(scene.attacker, other, Mapper::cpu)) == ErrorCode::not_mapped);
  CHECK(scene.device.info(scene.victim, handle)->cpu_maps == 1);
}

TEST_CASE("A2: what a device maps stays, whatever its client frees") {
  Scene scene;
  const Handle handle = scene.buffer();
  auto map = scene.device.map(*scene.device.share(scene.victim, handle), Mapper::device);
  REQUIRE(map);
  while (scene.device.free(scene.victim, handle)) {}
  CHECK(scene.device.close(scene.victim));
  CHECK(scene.device.buffer_count() == 1);
  CHECK(scene.device.info(map->buffer()).device_maps == 1);
}

TEST_CASE("A2: references are counted, and full is full") {
  Scene scene;
  const Handle handle = scene.buffer();
  std::vector<Shared::Ref> refs;
  refs.reserve(Holds<>::most);
  auto first = scene.device.share(scene.victim, handle);
  while (auto more = scene.device.ref(first->id())) refs.push_back(*std::move(more));
  CHECK(scene.device.info(scene.victim, handle)->holds == Holds<>::most);
  CHECK(code_of(scene.device.share(scene.victim, handle)) == ErrorCode::too_many_holds);
  CHECK(code_of(scene.device.import(scene.attacker, *first)) == ErrorCode::too_many_holds);
  refs.clear();
  CHECK(scene.device.info(scene.victim, handle)->holds == 2);
}

// --- A3: a handle is guessed before it is its maker's (CVE-2022-50417, CVE-2016-2504) ---

TEST_CASE("A3: another thread of the client frees all handles that it can think of while he allocates") {
  Scene scene;
  std::atomic<bool> is_over = false;
  std::thread guesser([&] {
    Random random(seed());
    std::uint32_t next = 1;
    while (!is_over) {
      static_cast<void>(scene.device.free(scene.victim, Handle(next++)));
      static_cast<void>(scene.device.free(scene.victim, Handle(static_cast<std::uint32_t>(random.next()))));
    }
  });
  unsigned guessed = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const Handle handle = scene.buffer();
    guessed += !scene.device.free(scene.victim, handle);
  }
  is_over = true;
  guesser.join();
  CHECK(guessed <= 2);  // of 2^27 numbers a place
  CHECK(scene.is_empty());
}

TEST_CASE("A3: handles of other clients, and of later ones, say nothing of one's own") {
  Scene scene;
  std::vector<std::uint32_t> seen;
  for (int opens = 0; opens < 40; ++opens) {
    const ClientId client = *scene.device.open();
    seen.push_back(scene.device.allocate(client, {.size = 1})->value());
    REQUIRE(scene.device.close(client));
  }
  std::vector<std::uint32_t> differences;
  for (std::size_t at = 1; at < seen.size(); ++at) differences.push_back(seen[at] - seen[at - 1]);
  std::sort(differences.begin(), differences.end());
  CHECK(std::adjacent_find(differences.begin(), differences.end()) == differences.end());
}

TEST_CASE("A3: while a buffer is made, the very number that its handle will have is nobody's") {
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 256_KiB}));
  MinimalPlatform platform;
  std::function<void()> meanwhile = [] {};
  struct Calls {
    std::function<void()>* meanwhile;
    Result<void> operator()(Pages&, const Block&) noexcept { return (*meanwhile)(), Result<void>(); }
  };
  using Device = freestone::Device<Pages, MinimalPlatform, few, Calls>;
  Device device(zone, platform, TagKey{1, 2}, Calls{&meanwhile});
  Scene twin;  // of the same key: what happens there happens here
  const ClientId victim = *device.open(), other = *device.open();
  for (int round = 0; round < 100; ++round) {
    const Handle known = twin.buffer();
    unsigned tried = 0;
    meanwhile = [&] {
      ++tried;
      for (const ClientId client : {victim, other}) {
        CHECK(code_of(device.free(client, known)) == ErrorCode::bad_handle);
        CHECK(code_of(device.share(client, known)) == ErrorCode::bad_handle);
        CHECK(code_of(device.map(client, known, Mapper::cpu)) == ErrorCode::bad_handle);
        CHECK(code_of(device.info(client, known)) == ErrorCode::bad_handle);
      }
      device.for_each_buffer([](const Device::ShownBuffer&) { CHECK(false); });
    };
    const auto handle = device.allocate(victim, {.size = 4_KiB});
    REQUIRE(*handle == known);
    CHECK(tried == 1);
    CHECK(device.info(victim, known)->holds == 1);
    REQUIRE(device.free(victim, known));
    REQUIRE(twin.device.free(twin.victim, known));
  }
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("A3: who knows the number and frees it at once takes what is his client's, and breaks nothing") {
  Scene scene, twin;
  Handle known;
  std::uint64_t freed = 0;
  std::atomic<bool> is_made = false;
  race([&] { known = twin.buffer(), is_made = false; },
       [&] {
         const Handle handle = scene.buffer();
         CHECK(handle == known);
         static_cast<void>(scene.device.share(scene.victim, handle));
         is_made = true;
       },
       [&] {
         bool is_gone = false;
         while (!is_gone) {
           const bool was_made = is_made;
           is_gone = static_cast<bool>(scene.device.free(scene.victim, known));
           if (was_made) CHECK(is_gone);
         }
         ++freed;
         CHECK(twin.device.free(twin.victim, known));
       });
  CHECK(freed == rounds);
  CHECK(scene.is_empty());
  CHECK(scene.device.usage(scene.victim)->buffers == 0);
}

// --- A4: an error path frees what was handed over already (CVE-2022-20111) ---

TEST_CASE("A4: no room for the handle of a buffer that was made") {
  Scene scene;
  for (std::size_t handles = 0; handles < few.handles; ++handles) REQUIRE(scene.device.allocate(scene.victim, {.size = 1}));
  const Stats before = scene.zone.stats();
  CHECK(code_of(scene.device.allocate(scene.victim, {.size = 1})) == ErrorCode::too_many_handles);
  CHECK(scene.zone.stats() == before);
  CHECK(scene.device.usage(scene.victim)->buffers == few.handles);
}

TEST_CASE("A4: no room for the handle of an import") {
  Scene scene;
  const auto shared = scene.device.share(scene.victim, scene.buffer());
  for (std::size_t handles = 0; handles < few.handles; ++handles) REQUIRE(scene.device.allocate(scene.attacker, {.size = 1}));
  CHECK(code_of(scene.device.import(scene.attacker, *shared)) == ErrorCode::too_many_handles);
  CHECK(scene.device.info(*shared).holds == 2);
}

TEST_CASE("A4: the scrubber fails") {
  struct Fails {
    int left = 2;
    Result<void> operator()(Pages&, const Block&) noexcept { return left-- > 0 ? Result<void>() : Result<void>(ErrorCode::injected); }
  };
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 64_KiB}));
  MinimalPlatform platform;
  Device<Pages, MinimalPlatform, few, Fails> device(zone, platform, TagKey{1, 2}, Fails());
  const ClientId client = *device.open();
  REQUIRE(device.allocate(client, {.size = 4_KiB}));
  REQUIRE(device.allocate(client, {.size = 4_KiB}));
  const Stats before = zone.stats();
  CHECK(code_of(device.allocate(client, {.size = 5'000})) == ErrorCode::injected);
  CHECK(zone.stats() == before);
  CHECK(device.usage(client)->buffers == 2);
  CHECK(device.usage(client)->bytes == 8_KiB);
}

// --- A6: sizes, counts and alignments that overflow (CVE-2022-21743, CVE-2023-48409, CVE-2013-2596) ---

TEST_CASE("A6: sizes round up to nothing") {
  Scene scene;
  for (const std::uint64_t size : {~0ULL, ~0ULL - 1, ~0ULL - 4095, ~0ULL - 4096, 1ULL << 63, 1ULL << 32}) {
    CHECK(!scene.device.allocate(scene.victim, {.size = size}));
  }
  CHECK(scene.is_empty());
}
TEST_CASE("A6: alignments that overflow, or are none") {
  Scene scene;
  for (const std::uint64_t align : {~0ULL, ~0ULL - 4095, 1ULL << 63, 3ULL, 1ULL << 32, (1ULL << 32) + 1}) {
    CHECK(!scene.device.allocate(scene.victim, {.size = 4_KiB, .align = align}));
  }
  CHECK(scene.is_empty());
}
TEST_CASE("A6: a quota is not passed by what wraps") {
  Scene scene;
  const ClientId client = *scene.device.open_for(3, {.quota = {.bytes = 64_KiB}});
  REQUIRE(scene.device.allocate(client, {.size = 60_KiB}));
  for (const std::uint64_t size : {4097ULL, ~0ULL, ~0ULL - 60 * 1024, ~0ULL - 60 * 1024 + 1}) {
    CHECK(code_of(scene.device.allocate(client, {.size = size})) == ErrorCode::over_quota);
  }
}

// --- A8: physical memory by number (CVE-2012-6422, CVE-2020-0069) ---

// Is there a call that does something with that, whatever it is?
template <class D, class What>
concept takes = requires(D& device, ClientId client, What what) { device.allocate(client, what); } ||
                requires(D& device, ClientId client, What what) { device.free(client, what); } ||
                requires(D& device, ClientId client, What what) { device.share(client, what); } ||
                requires(D& device, ClientId client, What what) { device.import(client, what); } ||
                requires(D& device, ClientId client, What what) { device.give(client, what); } ||
                requires(D& device, ClientId client, What what) { device.map(client, what, Mapper::cpu); } ||
                requires(D& device, ClientId client, What what) { device.unmap(client, what, Mapper::cpu); } ||
                requires(D& device, ClientId client, What what) { device.info(client, what); } ||
                requires(D& device, What what) { device.map(what, Mapper::cpu); } ||
                requires(D& device, What what) { device.info(what); } || requires(D& device, What what) { device.ref(what); };
static_assert(takes<Shared, Handle> && takes<Shared, Constraints> && takes<Shared, BufferId> && takes<Shared, const Shared::Ref&>);
static_assert(!takes<Shared, PhysicalAddress> && !takes<Shared, DeviceAddress> && !takes<Shared, Block>);
static_assert(!takes<Shared, Bounds> && !takes<Shared, std::span<std::byte>>);
static_assert(!takes<Shared, std::uint64_t> && !takes<Shared, std::uint32_t> && !takes<Shared, void*>);

TEST_CASE("A8: no call takes an address (above): nor is there a buffer at a number that nobody gave out") {
  Scene scene;
  const Handle handle = scene.buffer();
  const auto shared = scene.device.share(scene.victim, handle);
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{0x8000'0000}, std::uint64_t{reinterpret_cast<std::uintptr_t>(scene.zone.data(shared->parts().blocks[0]).data())}}) {
    CHECK(!scene.device.info(scene.attacker, Handle(static_cast<std::uint32_t>(number))));
    for (std::uint32_t generation = 0; generation < 3; ++generation) {
      CHECK(!scene.device.ref({static_cast<std::uint32_t>(number), generation}));
      CHECK(!scene.device.ref({static_cast<std::uint32_t>(number % few.buffers), generation, 7}));
    }
  }
}
TEST_CASE("A8: an address outside, on the edge, and of another heap is nobody's") {
  using Window = Zone<backing::Reserved, strategy::Bitmap, lock::None, cache::Uncached>;
  using namespace freestone::declare;
  static std::uint64_t words[2][512];
  constexpr auto board = declare::heaps(heap<"one">(id<1>, zone<Window>, size<32_KiB>), heap<"two">(id<2>, zone<Window>, size<32_KiB>));
  auto heaps = board.create(
      with<"one">(backing::Reserved({.physical = PhysicalAddress(0x8000'0000), .size = 32_KiB}, words[0])),
      with<"two">(backing::Reserved({.physical = PhysicalAddress(0x8000'8000), .size = 32_KiB}, words[1])));
  REQUIRE(heaps);
  const auto block = heaps->allocate({.size = 8_KiB, .heaps = id<1>});
  REQUIRE(block);
  for (const std::uint64_t address : {0ULL, 0x7fff'ffffULL, 0x8000'2000ULL, 0x8000'7fffULL, 0x8000'8000ULL, 0x8001'0000ULL, ~0ULL}) {
    CHECK(!heaps->find(PhysicalAddress(address)));
  }
  CHECK(heaps->find(PhysicalAddress(0x8000'1fff))->block == *block);
}
TEST_CASE("A8: what a client is told of a buffer names no address") {
  CHECK(sizeof(BufferInfo) <= 48);  // a size, a heap's id, flags and counts: nothing that could be one
  Scene scene;
  const auto info = scene.device.info(scene.victim, scene.buffer());
  REQUIRE(info);
  CHECK(info->flags == 0);
  CHECK(info->holds == 1);
}

// --- A10: memory that was not cleared (CVE-2015-8950, "Android ION Hazard") ---

TEST_CASE("A10: the next client finds zeros") {
  Scene scene;
  for (int round = 0; round < 500; ++round) {
    const ClientId owner = round % 2 == 0 ? scene.victim : scene.attacker;
    const Handle handle = *scene.device.allocate(owner, {.size = 200_KiB});
    const auto shared = scene.device.share(owner, handle);
    const auto bytes = scene.zone.data(shared->parts().blocks[0]);
    REQUIRE(all_are(bytes, 0));
    std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
    REQUIRE(scene.device.free(owner, handle));
  }
}
TEST_CASE("A10: so does one whose blocks were kept for him") {
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 64_KiB}));
  using Cache = ReuseCache<Pages, BlockSizes<4096, 16384>, 4, scrub::Nothing, lock::None>;
  Cache cache(zone);
  MinimalPlatform platform;
  {
    Device<Cache, MinimalPlatform, few> device(cache, platform, TagKey{1, 2});
    const ClientId client = *device.open();
    for (int round = 0; round < 50; ++round) {
      const Handle handle = *device.allocate(client, {.size = 16_KiB});
      const auto shared = device.share(client, handle);
      const auto bytes = zone.data(shared->parts().blocks[0]);
      REQUIRE(all_are(bytes, 0));
      std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
      REQUIRE(device.free(client, handle));
    }
  }
}
TEST_CASE("A10: all of a block, though he asked for less") {
  Scene scene;
  const Handle first = scene.buffer(64_KiB);
  {
    const auto bytes = scene.zone.data(scene.device.share(scene.victim, first)->parts().blocks[0]);
    std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
  }
  REQUIRE(scene.device.free(scene.victim, first));
  const auto shared = scene.device.share(scene.attacker, *scene.device.allocate(scene.attacker, {.size = 1}));
  const auto bytes = scene.zone.data(shared->parts().blocks[0]);
  CHECK(bytes.size() == 4096);
  CHECK(all_are(bytes, 0));
}

// --- A14: a shrinker against use (CVE-2022-38181) ---

TEST_CASE("A14: memory is taken back from a cache at each call, and never from a buffer") {
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 64_KiB}));
  using Cache = ReuseCache<Pages, BlockSizes<4096, 16384>, 8, scrub::Zero, lock::Futex>;
  Cache cache(zone);
  MinimalPlatform platform;
  Device<Cache, MinimalPlatform, few, scrub::Nothing, PlainLocks<lock::Futex>> device(cache, platform, TagKey{1, 2});
  const ClientId client = *device.open();
  std::atomic<bool> is_over = false;
  std::thread shrinker([&] {
    while (!is_over) cache.shrink(bits::all);
  });
  for (int round = 0; round < some_of(3'000); ++round) {
    const auto handle = device.allocate(client, {.size = 16_KiB});
    REQUIRE(handle);
    const auto map = device.map(*device.share(client, *handle), Mapper::cpu);
    REQUIRE(map);
    REQUIRE(device.free(client, *handle));
    REQUIRE(zone.owns(map->buffer().parts().blocks[0]));
  }
  is_over = true;
  shrinker.join();
  REQUIRE(device.close(client));
  cache.shrink(bits::all);
  CHECK(zone.stats().blocks == 0);
}
TEST_CASE("A14: what a cache keeps is to be had for a buffer of another size") {
  Pages zone = std::move(*Pages::create({.name = "pages", .size = 64_KiB}));
  using Cache = ReuseCache<Pages, BlockSizes<4096, 16384>, 8>;
  Cache cache(zone);
  MinimalPlatform platform;
  Device<Cache, MinimalPlatform, few, scrub::Nothing> device(cache, platform, TagKey{1, 2});
  const ClientId client = *device.open();
  std::vector<Handle> handles;
  while (const auto got = device.allocate(client, {.size = 16_KiB})) handles.push_back(*got);
  REQUIRE(handles.size() == 4);
  const auto kept = device.share(client, handles[0]);
  for (const Handle handle : handles) REQUIRE(device.free(client, handle));
  CHECK(cache.kept().blocks == 3);
  CHECK(device.allocate(client, {.size = 40_KiB}));
  CHECK(zone.owns(kept->parts().blocks[0]));
}

// --- A15: everything is somebody's in the end (syzkaller #1267, raspberrypi/linux #3220, "ION Hazard") ---

TEST_CASE("A15: whoever allocates without end is stopped at his quota, and others are served") {
  Scene scene;
  const ClientId greedy = *scene.device.open_for(3, {.quota = {.bytes = 128_KiB}});
  unsigned got = 0;
  while (scene.device.allocate(greedy, {.size = 16_KiB})) ++got;
  CHECK(got == 8);
  CHECK(scene.device.allocate(scene.victim, {.size = 128_KiB}));
}
TEST_CASE("A15: opening again gives no second quota") {
  Scene scene;
  std::vector<Shared::Ref> kept;
  unsigned got = 0;
  for (int opens = 0; opens < 20; ++opens) {
    const ClientId greedy = *scene.device.open_for(3, {.quota = {.bytes = 64_KiB}});
    if (const auto handle = scene.device.allocate(greedy, {.size = 32_KiB})) {
      ++got;
      kept.push_back(*scene.device.share(greedy, *handle));
    }
    REQUIRE(scene.device.close(greedy));
  }
  CHECK(got == 2);
}
TEST_CASE("A15: clients come and go, and nothing stays") {
  Scene scene;
  for (std::uint64_t cycle = 0; cycle < some_of(10'000U); ++cycle) {
    const ClientId client = *scene.device.open();
    const auto handle = scene.device.allocate(client, {.size = 4_KiB});
    REQUIRE(handle);
    if (cycle % 3 == 0) REQUIRE(scene.device.map(client, *handle, Mapper::device));
    REQUIRE(scene.device.close(client));
  }
  CHECK(scene.is_empty());
  CHECK(scene.device.client_count() == 2);
  CHECK(scene.device.usage(scene.victim)->bytes == 0);
}

// --- A16: cache maintenance of a buffer that is freed (CVE-2021-0929, CVE-2021-39800) ---

TEST_CASE("A16: who is at the bytes keeps the buffer, though its last handle goes") {
  Scene scene;
  for (int round = 0; round < 300; ++round) {
    const Handle handle = scene.buffer(64_KiB);
    auto map = scene.device.map(*scene.device.share(scene.victim, handle), Mapper::cpu);
    REQUIRE(map);
    std::thread freer([&] { CHECK(scene.device.free(scene.victim, handle)); });
    {
      auto access = scene.zone.cpu_write(map->buffer().parts().blocks[0]);
      REQUIRE(access);
      access->bytes()[0] = std::byte{1};
    }
    CHECK(scene.zone.clean(map->buffer().parts().blocks[0]));
    freer.join();
    CHECK(scene.device.buffer_count() == 1);
  }
  CHECK(scene.is_empty());
}
TEST_CASE("A16: an end without a beginning changes no count") {
  Scene scene;
  const Handle handle = scene.buffer();
  const auto shared = scene.device.share(scene.victim, handle);
  const Handle other = *scene.device.import(scene.attacker, *shared);
  REQUIRE(scene.device.map(scene.victim, handle, Mapper::device));
  for (const Mapper mapper : {Mapper::cpu, Mapper::device}) {
    CHECK(code_of(scene.device.unmap(scene.attacker, other, mapper)) == ErrorCode::not_mapped);
  }
  CHECK(code_of(scene.device.set_cacheability(scene.attacker, other, Cacheability::uncached)) == ErrorCode::still_mapped);
}
TEST_CASE("A16: the cacheability changes for all, and only while nobody looks") {
  Scene scene;
  const Handle handle = scene.buffer();
  const auto shared = scene.device.share(scene.victim, handle);
  const Handle other = *scene.device.import(scene.attacker, *shared);
  std::atomic<bool> is_over = false;
  std::thread changer([&] {
    while (!is_over) {
      static_cast<void>(scene.device.set_cacheability(scene.attacker, other, Cacheability::uncached));
      static_cast<void>(scene.device.set_cacheability(scene.attacker, other, Cacheability::cached));
    }
  });
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const auto map = scene.device.map(*shared, Mapper::cpu);
    REQUIRE(map);
    const Cacheability seen = scene.device.info(*shared).cacheability;
    REQUIRE(scene.device.info(*shared).cacheability == seen);
  }
  is_over = true;
  changer.join();
}

// --- A17: memory that is mapped while what it is of ends (CVE-2024-0582) ---

TEST_CASE("A17: a device with buffers does not retire") {
  Scene scene;
  const Handle handle = scene.buffer();
  auto map = scene.device.map(*scene.device.share(scene.victim, handle), Mapper::cpu);
  REQUIRE(scene.device.close(scene.victim));
  REQUIRE(scene.device.close(scene.attacker));
  CHECK(scene.device.retire().error() == Error{.code = ErrorCode::still_used, .asked = 0, .available = 1});
  CHECK(scene.zone.data(map->buffer().parts().blocks[0])[0] == std::byte{0});
  { const auto gone = *std::move(map); }
  CHECK(scene.device.retire());
}
TEST_CASE("A17: nor does one with clients, and nobody comes any more") {
  Scene scene;
  CHECK(code_of(scene.device.retire()) == ErrorCode::still_used);
  CHECK(code_of(scene.device.open()) == ErrorCode::retired);
  CHECK(scene.device.allocate(scene.victim, {.size = 1}));  // who is there goes on
  REQUIRE(scene.device.close(scene.victim));
  REQUIRE(scene.device.close(scene.attacker));
  CHECK(scene.device.retire());
}
TEST_CASE("A17: what a mapping shows is the buffer's until it ends, whoever else lets go") {
  Scene scene;
  const Handle handle = scene.buffer();
  auto map = scene.device.map(*scene.device.share(scene.victim, handle), Mapper::cpu);
  const Block block = map->buffer().parts().blocks[0];
  scene.zone.data(block)[0] = std::byte{42};
  REQUIRE(scene.device.close(scene.victim));
  for (int buffers = 0; buffers < 10; ++buffers) {
    const auto other = scene.device.share(scene.attacker, *scene.device.allocate(scene.attacker, {.size = 4_KiB}));
    CHECK(other->parts().blocks[0] != block);
  }
  CHECK(scene.zone.data(block)[0] == std::byte{42});
}
