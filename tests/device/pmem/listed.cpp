// What a region lists of its allocations (shared/spec: PMEM 6).
#include <freestone/device/pmem/region.hpp>

#include <cstddef>
#include <functional>
#include <utility>

#include <doctest/doctest.h>

#include "support/device_scene.hpp"
#include "support/pmem_alone.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

// Memory, whose end is told.
struct TellingPlatform {
  struct Memory {
    TellingPlatform* platform = nullptr;

    explicit Memory(TellingPlatform& of) noexcept : platform(&of) {}
    Memory(Memory&& other) noexcept : platform(std::exchange(other.platform, nullptr)) {}
    ~Memory() {
      if (platform != nullptr) platform->ends();
    }
    void sync(std::uint64_t) noexcept {}
  };

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes) noexcept { return Memory(*this); }
  void dead_waits() noexcept {}

  std::function<void()> ends;
};
using Scene = SceneOver<TellingPlatform, scene_limits>;

}  // namespace

TEST_CASE("an allocation whose memory goes back is no longer listed, so that no two listed ones lie in one place") {
  Scene scene(*read_toml(pmem_heap_board));
  PmemRegion<Scene::Shared, lock::Futex> region(scene.device, scene.heap("pmem"), scene.zone("pmem"), {.name = "pmem", .size = 64_KiB});
  const auto listed = [&] {
    std::size_t count = 0;
    region.for_each_allocation([&](const PmemPlace&) { ++count; });
    return count;
  };
  std::size_t ended = 0, listed_then = 99;
  scene.platform.ends = [&] { ++ended, listed_then = listed(); };
  {
    const auto hold = region.allocate(*scene.device.open(), 4096, 4096);
    REQUIRE(hold);
    CHECK(listed() == 1);
    NoScreen screen;
    region.free(hold, screen);
    CHECK(listed() == 0);
  }
  CHECK(ended == 1);
  CHECK(listed_then == 0);
}
