#include <freestone/cache/os/modelled.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/layers/os/annotated.hpp>
#include <freestone/zone/zone.hpp>

#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::literals;
using cache::Modelled;

namespace {

using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, Modelled>;

struct Camera {
  Z zone = *Z::create({.name = "camera", .size = 64_KiB});
  Block block = *zone.allocate(4_KiB);

  // What a device finds in the block.
  std::string device_reads(std::size_t size, Bytes at = 0) {
    std::string text(size, '?');
    REQUIRE(zone.cache().device_read(block.offset() + at, std::as_writable_bytes(std::span(text))));
    return text;
  }
  void device_writes(const std::string& text, Bytes at = 0) {
    REQUIRE(zone.cache().device_write(block.offset() + at, std::as_bytes(std::span(text))));
  }
  void cpu_stores(const std::string& text, std::size_t at = 0) {
    REQUIRE(at + text.size() <= zone.data(block).size());
    std::memcpy(zone.data(block).data() + at, text.data(), text.size());
  }
  std::string cpu_loads(std::size_t size, std::size_t at = 0) {
    return {reinterpret_cast<const char*>(zone.data(block).data()) + at, size};
  }
};

const std::string nothing(5, '\0');

}  // namespace

TEST_CASE("what the CPU wrote reaches a device when it is cleaned, and not before") {
  static_assert(CachePolicy<Modelled> && sees_all_first<Modelled>);
  Camera camera;
  camera.cpu_stores("hello");
  CHECK(camera.device_reads(5) == nothing);  // forgotten
  CHECK(camera.zone.cache().dirty_lines() == 1);
  REQUIRE(camera.zone.clean(camera.block));
  CHECK(camera.device_reads(5) == "hello");
  CHECK(camera.zone.cache().dirty_lines() == 0);
}

TEST_CASE("what a device wrote reaches the CPU when it is invalidated, and not before") {
  Camera camera;
  camera.device_writes("hello");
  CHECK(camera.cpu_loads(5) == nothing);  // forgotten
  REQUIRE(camera.zone.clean(camera.block));  // which is of no use: nothing was written
  CHECK(camera.cpu_loads(5) == nothing);
  CHECK(camera.device_reads(5) == "hello");
  REQUIRE(camera.zone.invalidate(camera.block));
  CHECK(camera.cpu_loads(5) == "hello");
}

TEST_CASE("a bracket forgets neither") {
  Camera camera;
  {
    auto frame = camera.zone.cpu_write(camera.block);
    REQUIRE(frame);
    std::memcpy(frame->data(), "frame", 5);
    CHECK(camera.device_reads(5) == nothing);
  }
  CHECK(camera.device_reads(5) == "frame");
  camera.device_writes("cooked");
  const auto seen = camera.zone.cpu_read(camera.block);
  REQUIRE(seen);
  CHECK(std::memcmp(seen->data(), "cooked", 6) == 0);
}

TEST_CASE("a write in part keeps what a device wrote beside it") {
  Camera camera;
  camera.device_writes("0123456789");
  {
    auto middle = camera.zone.cpu_write(camera.block, 3, 4);
    REQUIRE(middle);
    CHECK(middle->size() == 4);
    std::memcpy(middle->data(), "____", 4);
  }
  CHECK(camera.device_reads(10) == "012____789");
}

TEST_CASE("what was written and invalidated is lost, but for others' bytes in its lines") {
  Camera camera;
  camera.cpu_stores("first");
  camera.cpu_stores("middle", 64);
  camera.cpu_stores("last", 128);
  REQUIRE(camera.zone.invalidate(camera.block, 32, 128 - 32 + 32));
  CHECK(camera.cpu_loads(5) == "first");       // the line was not all in the range: it was written back
  CHECK(camera.cpu_loads(6, 64) == std::string(6, '\0'));
  CHECK(camera.cpu_loads(4, 128) == "last");
  CHECK(camera.device_reads(6, 64) == std::string(6, '\0'));
}

TEST_CASE("a cache gives lines back when it likes: two who write into one line lose") {
  Camera camera;
  camera.cpu_stores("cpu");
  camera.device_writes("device", 32);  // in the same line
  for (std::uint64_t seed = 1; camera.device_reads(3) != "cpu"; ++seed) {
    REQUIRE(seed < 100);
    camera.zone.cache().evict(seed);
  }
  CHECK(camera.device_reads(6, 32) == std::string(6, '\0'));  // the line went back whole
}

TEST_CASE("an eviction between brackets harms nothing") {
  Camera camera;
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    const std::string text = std::to_string(seed);
    {
      auto frame = camera.zone.cpu_write(camera.block);
      std::memcpy(frame->data(), text.data(), text.size());
      camera.zone.cache().evict(seed);
    }
    camera.zone.cache().evict(seed + 1000);
    CHECK(camera.device_reads(text.size()) == text);
    camera.device_writes("x" + text);
    camera.zone.cache().evict(seed + 2000);
    CHECK(std::memcmp(camera.zone.cpu_read(camera.block)->data(), ("x" + text).data(), text.size() + 1) == 0);
  }
}

TEST_CASE("storing what the CPU had already is no write; in a bracket it had what is in memory") {
  Camera camera;
  camera.device_writes("hello");
  camera.cpu_stores(nothing);
  REQUIRE(camera.zone.clean(camera.block));
  CHECK(camera.device_reads(5) == "hello");
  {
    auto frame = camera.zone.cpu_write(camera.block);
    REQUIRE(frame);
    std::memset(frame->data(), 0, frame->size());
  }
  CHECK(camera.device_reads(5) == nothing);
}

TEST_CASE("lines with bytes that nobody may touch are written back and fetched") {
  using Watched = layers::Annotated<Zone<backing::Borrowed, strategy::Bitmap, lock::None, Modelled>>;
  constexpr std::size_t size = 1000;  // the last line is a short one
  alignas(64) std::array<std::byte, size> bytes{};
  std::array<std::uint64_t, Watched::notes_words(size, 8)> notes{};
  auto zone = Watched::create({.name = "z", .granule = 8}, backing::Borrowed(bytes, notes));
  REQUIRE(zone);
  const auto block = zone->allocate_at(24, 16);
  const auto last = zone->allocate_at(size - 8, 8);
  REQUIRE((block && last));
  const auto seen = [&](const Block& of) {
    std::array<char, 5> text{};
    REQUIRE(zone->cache().device_read(of.offset(), std::as_writable_bytes(std::span(text))));
    return std::string(text.data(), text.size());
  };
  for (const Block& each : {*block, *last}) {
    {
      auto write = zone->cpu_write(each);
      REQUIRE(write);
      std::memcpy(write->data(), "hello", 5);
      CHECK(zone->cache().dirty_lines() == 1);
      zone->cache().evict(1);
    }
    CHECK(seen(each) == "hello");
    REQUIRE(zone->cache().device_write(each.offset(), std::as_bytes(std::span("bye!!"))));
    REQUIRE(zone->invalidate(each));
    CHECK(std::memcmp(zone->data(each).data(), "bye!!", 5) == 0);
    std::memcpy(zone->data(each).data(), "again", 5);
    REQUIRE(zone->clean_and_invalidate(each));
    CHECK(seen(each) == "again");
  }
}

TEST_CASE("a zone taken up is seen as it is; what is outside of it is nobody's") {
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, Modelled>;
  auto zone = Shared::create({.name = "shared", .size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  std::memcpy(zone->data(*block).data(), "kept", 4);
  auto other = Shared::attach({.name = "shared", .size = 64_KiB}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  std::array<std::byte, 4> seen{};
  REQUIRE(other->cache().device_read(block->offset(), seen));
  CHECK(std::memcmp(seen.data(), "kept", 4) == 0);
  CHECK_FALSE(other->cache().device_read(64_KiB - 3, seen));
  CHECK_FALSE(other->cache().device_write(~std::uint64_t{0}, seen));
  std::byte stranger{1};
  CHECK(other->cache().clean({.data = &stranger, .size = 1}));
  CHECK(stranger == std::byte{1});
}

TEST_CASE("bytes that this CPU does not see cannot be modelled") {
  using Far = Zone<backing::Borrowed, strategy::Bitmap, lock::None, Modelled>;
  std::array<std::uint64_t, Far::notes_words(64_KiB, 4_KiB)> notes{};
  const auto far = Far::create({.name = "far"}, backing::Borrowed::at(0, 64_KiB, notes));
  CHECK(far.error() == Error{.code = ErrorCode::os_failure, .asked = 65536, .zone = "far"});
}

TEST_CASE("more than the host has is an error") {
  std::byte byte{};
  CHECK(Modelled::over({.data = &byte, .size = ~std::uint64_t{0}}).error().code == ErrorCode::out_of_memory);
}

TEST_CASE("copies are one and the same") {
  Camera camera;
  const Modelled copy = camera.zone.cache();
  camera.cpu_stores("once");
  Modelled again;
  again = copy;
  REQUIRE(again.clean({.data = camera.zone.data(camera.block).data(), .size = 4}));
  CHECK(camera.device_reads(4) == "once");
}

// --- A11 of the attacks: what a CPU's cache kept of a buffer shows in the next one (CVE-2023-4272, CVE-2022-0330) ---

namespace {

using Cached = Zone<backing::Anonymous, strategy::Buddy, lock::None, cache::Modelled>;
constexpr ShareLimits few{.clients = 2, .buffers = 4, .handles = 4, .blocks = 1};

struct SharedCache {
  Cached zone = std::move(*Cached::create({.name = "cached", .size = 64_KiB}));
  tests::MinimalPlatform platform;
  Device<Cached, tests::MinimalPlatform, few> device{zone, platform, TagKey{1, 2}};
  ClientId former = *device.open(), next = *device.open();

  // All of the zone, so that the next buffer has the same bytes.
  Handle all(ClientId who) { return *device.allocate(who, {.size = 64_KiB}); }
  Block block_of(ClientId who, Handle handle) { return device.share(who, handle)->parts().blocks[0]; }
  bool device_sees_zeros(const Block& block) {
    std::vector<std::byte> seen(static_cast<std::size_t>(block.size().value()), std::byte{1});
    return zone.cache().device_read(block.offset(), seen) && std::ranges::all_of(seen, [](std::byte one) { return one == std::byte{0}; });
  }
  bool cpu_sees_zeros(const Block& block) {
    return std::ranges::all_of(zone.data(block), [](std::byte one) { return one == std::byte{0}; });
  }
};

}  // namespace

TEST_CASE("A11: lines that a former owner wrote and nobody cleaned are in no memory of the next one's, now or later") {
  SharedCache scene;
  const Handle old = scene.all(scene.former);
  std::ranges::fill(scene.zone.data(scene.block_of(scene.former, old)), std::byte{0xA5});
  CHECK(scene.zone.cache().dirty_lines() != 0);
  REQUIRE(scene.device.free(scene.former, old));
  const Block block = scene.block_of(scene.next, scene.all(scene.next));
  CHECK(scene.zone.cache().dirty_lines() == 0);  // none that the cache could still write back
  CHECK(scene.device_sees_zeros(block));
  for (std::uint64_t seed = 1; seed < 20; ++seed) scene.zone.cache().evict(seed);
  CHECK(scene.device_sees_zeros(block));
  CHECK(scene.cpu_sees_zeros(block));
}
TEST_CASE("A11: what a device wrote for a former owner no CPU of the next one's sees, whatever its cache holds") {
  SharedCache scene;
  const Handle old = scene.all(scene.former);
  const Block before = scene.block_of(scene.former, old);
  const std::vector<std::byte> secret(static_cast<std::size_t>(before.size().value()), std::byte{0x5A});
  REQUIRE(scene.zone.cache().device_write(before.offset(), secret));
  REQUIRE(scene.device.free(scene.former, old));
  const Block block = scene.block_of(scene.next, scene.all(scene.next));
  CHECK(scene.cpu_sees_zeros(block));
  for (std::uint64_t seed = 1; seed < 20; ++seed) scene.zone.cache().evict(seed);
  CHECK(scene.cpu_sees_zeros(block));
  REQUIRE(scene.zone.cpu_read(block));  // it invalidates
  CHECK(scene.cpu_sees_zeros(block));
  CHECK(scene.device_sees_zeros(block));
}
TEST_CASE("A11: the next owner's first lines are his own in memory, also where the former one's are evicted last") {
  SharedCache scene;
  for (int turn = 0; turn < 10; ++turn) {
    const Handle old = scene.all(scene.former);
    std::ranges::fill(scene.zone.data(scene.block_of(scene.former, old)), std::byte{0xA5});
    scene.zone.cache().evict(static_cast<std::uint64_t>(turn) + 1);  // half of them are in memory, half are not
    REQUIRE(scene.device.free(scene.former, old));
    const Handle handle = scene.all(scene.next);
    const Block block = scene.block_of(scene.next, handle);
    const std::vector<std::byte> picture(static_cast<std::size_t>(block.size().value()), std::byte{7});
    REQUIRE(scene.zone.cache().device_write(block.offset(), picture));
    for (std::uint64_t seed = 1; seed < 20; ++seed) scene.zone.cache().evict(seed);
    std::vector<std::byte> seen(picture.size());
    REQUIRE(scene.zone.cache().device_read(block.offset(), seen));
    CHECK(seen == picture);
    REQUIRE(scene.device.free(scene.next, handle));
  }
}
