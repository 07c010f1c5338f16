// A heap's buffers from allocation to the shrinker (shared/spec: ION 3, 4.5, 6; rows 17, 18, 20).
#include <freestone/device/file_heap.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "4M"}, HeapText{"contig", 1, "system_contig", "1M"},
                                   HeapText{"carveout", 2, "carveout", "1M"}, HeapText{"chunk", 3, "chunk", "1M", "64K"},
                                   HeapText{"cma", 4, "cma", "1M"});

// Memory, but only while so few buffers have some.
struct ScarcePlatform {
  struct Memory {
    ScarcePlatform* platform = nullptr;

    explicit Memory(ScarcePlatform& of) noexcept : platform(&of) { ++of.used; }
    Memory(Memory&& other) noexcept : platform(std::exchange(other.platform, nullptr)) {}
    ~Memory() {
      if (platform != nullptr) --platform->used;
    }
    void sync(std::uint64_t) noexcept {}
  };

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes) noexcept {
    ++asked;
    if (used < most) return Memory(*this);
    return ErrorCode::limit_reached;
  }
  void dead_waits() noexcept { ++told; }

  int used = 0;
  int most = 1000;
  int asked = 0;
  int told = 0;
};
constexpr ShareLimits limits{.clients = 4, .owners = 4, .buffers = 6, .handles = 8, .blocks = 64};
using Scarce = SceneOver<ScarcePlatform, limits>;

struct Scene : Scarce {
  explicit Scene(Freeing freeing = Freeing::later) : Scarce(*read_toml(board), freeing) {}

  void dead(std::string_view name, Bytes size) { CHECK(heap(name).allocate(client, size)); }

  ClientId client = *device.open();
};

constexpr std::uint64_t all = Scene::Heap::all;

}  // namespace

TEST_CASE("whole pages; none and those that wrap are none") {
  CHECK(whole_pages(1) == Bytes(4096));
  CHECK(whole_pages(4096) == Bytes(4096));
  CHECK(!whole_pages(0));
  CHECK(!whole_pages(~std::uint64_t{0}));
  CHECK(pages_of(8192) == 2);
}

TEST_CASE("a buffer has the name that its maker gave it, of up to 31 letters") {
  Scene scene;
  const std::string longest(31, 'n');
  for (const std::string& name : {std::string(), std::string("block"), longest, longest + "more"}) {
    const auto buffer = scene.heap("carveout").allocate(scene.client, {.size = 4096, .name = name.c_str()});
    REQUIRE(buffer);
    CHECK(std::string(buffer->extra().name().data()) == name.substr(0, 31));
  }
  CHECK(scene.heap("carveout").allocate(scene.client, 4096)->extra().name()[0] == '\0');
}

TEST_CASE("row 17, 20: of each heap all is to be had again at once, though it waits to be freed") {
  Scene scene;
  for (const char* name : {"contig", "carveout", "chunk", "cma"}) {
    for (int round = 0; round < 3; ++round) scene.dead(name, 1 << 20);
  }
  for (int round = 0; round < 5; ++round) scene.dead("system", 2 << 20);
  CHECK(scene.platform.used == 1);  // the last; each time that there was no room all went
  CHECK(scene.platform.told == 3 + 3 + 5);
}

TEST_CASE("row 17, 20: buffers of other heaps that wait are freed, where it is the device or its platform that is full") {
  Scene scene;
  for (int round = 0; round < 6; ++round) scene.dead("system", 4096);
  CHECK(scene.device.buffer_count() == 6);  // as many as there may be
  CHECK(scene.heap("cma").allocate(scene.client, 4096));
  CHECK(scene.device.buffer_count() == 0);
  scene.dead("carveout", 4096);
  scene.platform.most = 1;
  CHECK(scene.heap("cma").allocate(scene.client, 4096));
  CHECK(scene.platform.used == 0);
}

TEST_CASE("row 28: where that does not help either, it fails as it did first, and nothing is left of it") {
  Scene scene;
  scene.platform.most = 0;
  CHECK(scene.heap("carveout").allocate(scene.client, 4096).error().code == ErrorCode::limit_reached);
  CHECK(scene.platform.asked == 2);
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.free_bytes("carveout") == 1 << 20);
  CHECK(scene.heap("system").allocate(scene.client, (2 << 20) + 1).error().code == ErrorCode::no_space);
  CHECK(scene.heap("system").use().buffers == 0);
}

TEST_CASE("row 18: what could go is counted in pages: what waits, and what the pools keep") {
  Scene scene;
  auto& system = scene.heap("system");
  CHECK(system.can_shrink());
  CHECK(scene.heap("carveout").can_shrink());
  CHECK(!scene.heap("cma").can_shrink());
  CHECK(!scene.heap("contig").can_shrink());
  scene.dead("system", (64 << 10) + 4096);
  scene.dead("system", 4096);
  scene.dead("carveout", 12 << 10);
  CHECK(system.shrink(0) == 18);
  CHECK(scene.heap("carveout").shrink(0) == 3);
  CHECK(scene.later.work());  // the system heap's last one, into a pool
  CHECK(scene.later.waiting(0) == 17 * 4096);
  CHECK(system.shrink(0) == 18);
  CHECK(scene.free_bytes("system") == (4 << 20) - 18 * 4096);
  CHECK(scene.platform.used == 2);
}

TEST_CASE("row 18: dead buffers go first, past the pools, then what the pools keep; and no more than was wanted") {
  Scene scene;
  auto& system = scene.heap("system");
  scene.dead("system", 64 << 10);
  CHECK(scene.later.work());  // 16 pages are in a pool
  scene.dead("system", 8192);
  scene.dead("system", 4096);
  CHECK(system.shrink(1) == 1);
  CHECK(system.shrink(0) == 18);
  CHECK(scene.free_bytes("system") == (4 << 20) - 18 * 4096);  // what was dead is the zone's
  CHECK(system.shrink(3) == 18);                               // a block is not cut
  CHECK(scene.free_bytes("system") == 4 << 20);
  CHECK(system.shrink(0) == 0);
  CHECK(system.shrink(all) == 0);
  scene.dead("carveout", 8192);
  CHECK(scene.heap("carveout").shrink(all) == 2);
  CHECK(scene.free_bytes("carveout") == 1 << 20);
}

TEST_CASE("row 18: a page is counted once, whether it waits, is kept, or is just on its way from one to the other") {
  Scene scene;
  std::atomic<bool> is_running = true;
  std::thread worker([&] {
    while (is_running.load()) {
      if (!scene.later.work()) std::this_thread::yield();
    }
  });
  auto& system = scene.heap("system");
  for (int round = 0; round < 200; ++round) {
    scene.dead("system", 17 * 4096);
    for (int look = 0; look < 5; ++look) CHECK(system.shrink(0) == 17);
    CHECK(system.shrink(all) <= 17);
    CHECK(system.shrink(0) == 0);
  }
  is_running = false;
  worker.join();
  CHECK(scene.free_bytes("system") == 4 << 20);
}

TEST_CASE("row 17: a heap that is removed leaves nothing of its own waiting, and others' as it is") {
  Scene scene;
  scene.dead("carveout", 4096);
  {
    Scene::Heap chunk(scene.device, {.name = "chunk", .type = HeapType::chunk, .id = 3, .size = 1 << 20}, &scene.later);
    CHECK(chunk.allocate(scene.client, 64 << 10));
    CHECK(scene.later.waiting(3) == 64 << 10);
  }
  CHECK(scene.later.waiting(3) == 0);
  CHECK(scene.free_bytes("chunk") == 1 << 20);
  CHECK(scene.later.waiting(2) == 4096);
}

TEST_CASE("a heap with nothing round it frees at once") {
  Scene scene(Freeing::at_once);
  scene.dead("carveout", 1 << 20);
  CHECK(scene.free_bytes("carveout") == 1 << 20);
  CHECK(scene.heap("carveout").shrink(0) == 0);
  CHECK(scene.platform.told == 0);
}
