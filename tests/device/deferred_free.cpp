// What waits to be freed: in which order it goes, and that it can be had meanwhile (shared/spec: ION 4.5, row 17).
#include <freestone/device/deferred_free.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/core/result.hpp>

#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

// A buffer's bytes that tell when they end.
struct ToldMemory {
  std::uint64_t size = 0;
  std::shared_ptr<void> end = {};

  void sync(std::uint64_t) noexcept {}
};
struct TellingPlatform {
  using Memory = ToldMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    auto told = [this, number = ++made](void*) { ended.push_back(number), during_end(); };
    return Memory{size.value(), std::shared_ptr<void>(this, told)};
  }
  int made = 0;
  std::vector<int> ended = {};  // in their order, by the number with which they were made
  std::function<void()> during_end = [] {};
};

const std::string board = board_of(HeapText{"system", 0, "system", "16M"}, HeapText{"carveout", 2, "carveout", "1M"},
                                   HeapText{"cma", 4, "cma", "2M"});

constexpr ShareLimits limits{.clients = 4, .owners = 4, .buffers = 8, .handles = 8, .blocks = 64};
using Telling = SceneOver<TellingPlatform, limits>;

struct Scene : Telling {
  Scene() : Telling(*read_toml(board), Freeing::later) {}

  auto buffer(std::string_view name, Bytes size = 4096) { return *heap(name).allocate(client, size); }
  // One that is let go at once.
  void dead(std::string_view name, Bytes size = 4096) { static_cast<void>(buffer(name, size)); }

  ClientId client = *device.open();
};

}  // namespace

TEST_CASE("row 17: who lets go frees nothing; the last one goes first, one at a time") {
  Scene scene;
  for (int number = 0; number < 3; ++number) scene.dead("carveout", 4096 << number);
  CHECK(scene.platform.ended.empty());
  CHECK(scene.heap("carveout").use().buffers == 0);
  CHECK(scene.device.buffer_count() == 3);
  CHECK(scene.later.waiting(2) == 7 * 4096);
  CHECK(scene.later.waiting(0) == 0);
  CHECK(scene.free_bytes("carveout") == (1 << 20) - 7 * 4096);
  CHECK(scene.later.work());
  CHECK(scene.platform.ended == std::vector{3});
  CHECK(scene.later.waiting(2) == 3 * 4096);
  scene.dead("carveout");
  while (scene.later.work()) {
  }
  CHECK(scene.platform.ended == std::vector{3, 4, 2, 1});
  CHECK(scene.later.waiting(2) == 0);
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.free_bytes("carveout") == 1 << 20);
}

TEST_CASE("row 17: drain frees as many bytes as are wanted, of those heaps only") {
  Scene scene;
  for (int number = 0; number < 3; ++number) scene.dead("carveout", 8192);
  scene.dead("system", 64 << 10);
  CHECK(scene.later.drain(HeapMask::of(4)) == 0);
  CHECK(scene.later.drain(HeapMask::of(2), 0) == 0);
  CHECK(scene.later.drain(HeapMask::of(2), 8193) == 16384);
  CHECK(scene.platform.ended == std::vector{3, 2});
  CHECK(scene.later.drain(HeapMask::of(2)) == 8192);
  CHECK(scene.later.waiting(0) == 64 << 10);
  CHECK(scene.later.drain(HeapMask::all()) == 64 << 10);
  CHECK(scene.platform.ended == std::vector{3, 2, 1, 4});
}

TEST_CASE("row 17: buffers of a heap that defers nothing go at once; so do all where nobody works, or there is no room") {
  Scene scene;
  scene.dead("cma");
  CHECK(scene.platform.ended == std::vector{1});
  scene.dead("system");
  scene.later.end();  // what waits goes
  CHECK(scene.platform.ended == std::vector{1, 2});
  scene.dead("system");
  CHECK(scene.platform.ended == std::vector{1, 2, 3});
  CHECK(scene.device.buffer_count() == 0);
  scene.later.begin();

  using Later = Scene::Later;
  std::vector<Later::Place> one(1);
  Later small(one);
  Scene::Heap heap(scene.device, {.name = "carveout", .type = HeapType::carveout, .id = 2, .size = 1 << 20}, &small);
  small.begin();
  const auto client = *scene.device.open();
  static_cast<void>(*heap.allocate(client, 4096));
  CHECK(scene.platform.ended.size() == 3);
  static_cast<void>(*heap.allocate(client, 4096));
  CHECK(scene.platform.ended == std::vector{1, 2, 3, 5});
  CHECK(small.waiting(2) == 4096);
  CHECK(small.work());
  CHECK(!small.work());
  CHECK(scene.platform.ended == std::vector{1, 2, 3, 5, 4});
}

TEST_CASE("a buffer's bytes end when nobody waits for them: its blocks are free by then") {
  Scene scene;
  scene.dead("carveout", 1 << 20);
  bool is_free = false;
  scene.platform.during_end = [&] {
    is_free = scene.free_bytes("carveout") == 1 << 20 && scene.later.drain(HeapMask::all()) == 0;
  };
  CHECK(scene.later.work());
  CHECK(is_free);
}

TEST_CASE("row 17, 25: threads allocate, let go, work and shrink at once; no allocation fails for what waits") {
  // One thread's buffer at a time, of more than half of what there is: it fits only once the last one is free.
  DeviceScene scene(board, Freeing::later);
  std::atomic<int> running = 1;
  std::atomic<int> failed = 0;
  std::thread worker([&] {
    while (running.load() != 0) {
      if (!scene.later.work()) std::this_thread::yield();
    }
  });
  std::thread shrinker([&] {
    while (running.load() != 0) {
      scene.heap("system").shrink(20), scene.heap("carveout").shrink(Scene::Heap::all);
      std::this_thread::yield();
    }
  });
  std::thread other([&] {
    const auto client = *scene.device.open();
    for (int round = 0; round < 300; ++round) static_cast<void>(scene.heap("system").allocate(client, 4096 << (round % 9)));
  });
  const auto client = *scene.device.open();
  for (int round = 0; round < 300; ++round) failed += !scene.heap("carveout").allocate(client, (1 << 20) - 4096 * (round % 5));
  other.join();
  running = 0;
  worker.join();
  shrinker.join();
  CHECK(failed.load() == 0);
  scene.later.end();
  scene.heap("system").shrink(Scene::Heap::all);
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.free_bytes("system") == 16 << 20);
  CHECK(scene.free_bytes("carveout") == 1 << 20);
}
