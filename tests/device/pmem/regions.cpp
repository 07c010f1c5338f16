// PMEM's registration: what is refused, and that nothing is left of it (shared/spec: PMEM 2; rows 2, 22).
#include <freestone/device/pmem/regions.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/file_heap.hpp>
#include <freestone/lock/os/futex.hpp>

#include "support/device_scene.hpp"
#include "support/pmem_alone.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

// Counts what regions have taken; the step of that number, from 1 on, fails.
struct Parts {
  static constexpr int steps = 6;  // notes, report, node, reservation, window, page

  int fails_at = 0;
  int taken = 0;
  bool is_in_use = false;
  std::string heard = "";
  PmemSettings last = {};
};
class Region {
 public:
  explicit Region(Parts& platform) : platform_(platform) {}
  ~Region() { platform_.taken -= taken_; }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  bool begin(unsigned id, const PmemSetup& setup, PmemSettings& settings) noexcept {
    platform_.heard += 'b' + std::to_string(id);
    for (int step = 1; step <= Parts::steps; ++step) {
      if (step == platform_.fails_at) return false;
      ++platform_.taken, ++taken_;
    }
    if (setup.start == 0) settings.base = 0x9000'0000;
    return true;
  }
  void open(const PmemSettings& settings) noexcept {
    platform_.heard += 'o';
    platform_.last = settings;
  }
  bool end() noexcept { return !platform_.is_in_use; }

 private:
  Parts& platform_;
  int taken_ = 0;
};
using Regions = PmemRegions<Region, lock::Futex>;

const char* const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"};
constexpr PmemSetup good{.name = "pmem", .size = 1_MiB};

struct Bench {
  PmemRefusal refusal(const PmemSetup& setup) { return regions.setup(setup, platform).refusal; }
  Parts platform = {};
  Regions regions;
};

// As `good`, but for what change does to it.
template <class Change>
PmemSetup but(Change change) {
  PmemSetup setup = good;
  change(setup);
  return setup;
}

}  // namespace

TEST_CASE("row 3: a region's settings: bitmap and pages unless said; what begins wherever it was reserved") {
  Bench bench;
  const auto registered = bench.regions.setup(good, bench.platform);
  CHECK(registered.refusal == PmemRefusal::none);
  CHECK(registered.id == 0);
  CHECK(bench.platform.heard == "b0o");
  const PmemSettings& settings = bench.platform.last;
  CHECK(std::string(settings.name) == "pmem");
  CHECK(settings.allocator == PmemAllocator::bitmap);
  CHECK(settings.quantum == 4096);
  CHECK(settings.base == 0x9000'0000);
  CHECK(settings.size == 1_MiB);
  CHECK(!settings.is_mapped_on_demand);
  for (unsigned allocator = 0; allocator < 4; ++allocator) {
    const PmemSetup setup{.name = names[allocator], .allocator = allocator, .start = 0x4000'0000, .size = 1_MiB, .quantum = 64_KiB};
    CHECK(bench.refusal(setup) == PmemRefusal::none);
    CHECK(static_cast<unsigned>(bench.platform.last.allocator) == allocator);
    CHECK(bench.platform.last.base == 0x4000'0000);
    CHECK(bench.platform.last.quantum == 64_KiB);
  }
}

TEST_CASE("row 2: each thing that is wrong is refused, a thousand times, and nothing is left; whatever was looked at first is told") {
  // Each has all that is wrong with those behind it, too.
  const auto wrong = [](PmemRefusal from) {
    PmemSetup setup = good;
    if (from <= PmemRefusal::unknown_allocator) setup.allocator = 4;
    if (from <= PmemRefusal::size_not_multiple) setup.size = 5000;
    if (from <= PmemRefusal::start_not_multiple) setup.start = 0x4000'0100;
    if (from <= PmemRefusal::quantum_not_power_of_two) setup.quantum = 12288;
    if (from <= PmemRefusal::quantum_below_page) setup.quantum = 2047;
    if (from <= PmemRefusal::zero_size) setup.size = 0;
    return setup;
  };
  Parts platform;
  for (const auto refusal : {PmemRefusal::zero_size, PmemRefusal::quantum_below_page, PmemRefusal::quantum_not_power_of_two,
                             PmemRefusal::start_not_multiple, PmemRefusal::size_not_multiple, PmemRefusal::unknown_allocator}) {
    for (int i = 0; i < 1000; ++i) {
      Regions regions;
      if (regions.setup(wrong(refusal), platform).refusal != refusal) FAIL(static_cast<int>(refusal), " was not told");
      if (regions.count() != 0 || !platform.heard.empty()) FAIL("something is left of ", static_cast<int>(refusal));
    }
  }
  Bench bench;
  CHECK(bench.refusal(but([](auto& setup) { setup.name = nullptr; })) == PmemRefusal::bad_name);
  CHECK(bench.refusal(but([](auto& setup) { setup.name = ""; })) == PmemRefusal::bad_name);
  CHECK(bench.refusal(but([](auto& setup) { setup.quantum = 2048; })) == PmemRefusal::quantum_below_page);
  CHECK(bench.refusal(but([](auto& setup) { setup.quantum = 8192, setup.start = 4096; })) == PmemRefusal::start_not_multiple);
  CHECK(bench.refusal(but([](auto& setup) { setup.quantum = 1_MiB; })) == PmemRefusal::none);
}

TEST_CASE("row 2: what has no size takes no id; every other refusal takes one; ten are given, and then there are none") {
  Bench bench;
  for (int i = 0; i < 1000; ++i) {
    const auto registered = bench.regions.setup(but([](auto& setup) { setup.size = 0; }), bench.platform);
    if (registered.refusal != PmemRefusal::zero_size || registered.id != Regions::most) FAIL("an id was given");
  }
  CHECK(bench.regions.setup(good, bench.platform).id == 0);
  CHECK(bench.regions.setup(but([](auto& setup) { setup.quantum = 1; }), bench.platform).id == 1);
  CHECK(bench.regions.setup(good, bench.platform).refusal == PmemRefusal::duplicate_name);
  bench.platform.fails_at = 1;
  CHECK(bench.regions.setup(but([](auto& setup) { setup.name = "other"; }), bench.platform).id == 3);
  bench.platform.fails_at = 0;
  for (unsigned id = 4; id < 10; ++id) CHECK(bench.regions.setup(but([&](auto& setup) { setup.name = names[id]; }), bench.platform).id == id);
  for (int i = 0; i < 1000; ++i) {
    const auto registered = bench.regions.setup(but([](auto& setup) { setup.name = "late", setup.size = 0; }), bench.platform);
    if (registered.refusal != PmemRefusal::too_many || registered.id != Regions::most) FAIL("there was room");
  }
  CHECK(bench.regions.count() == 7);
  CHECK(bench.platform.taken == 7 * Parts::steps);
}

TEST_CASE("row 2: the kernel's arenas come on top of ten, once each, and are not cached; neither refusal takes an id") {
  Bench bench;
  const PmemSetup ebi1 = but([](auto& setup) { setup.name = "pmem_kernel_ebi1"; }), smi = but([](auto& setup) { setup.name = "pmem_kernel_smi"; });
  for (const char* name : names) static_cast<void>(bench.refusal(but([&](auto& setup) { setup.name = name; })));
  PmemSetup cached = ebi1;
  cached.is_cached = true;
  for (int i = 0; i < 1000; ++i) {
    if (bench.refusal(cached) != PmemRefusal::cached_arena) FAIL("a cached arena");
  }
  CHECK(bench.regions.setup(ebi1, bench.platform).id == 10);
  for (int i = 0; i < 1000; ++i) {
    if (bench.refusal(ebi1) != PmemRefusal::duplicate_arena) FAIL("a second one");
  }
  CHECK(bench.refusal(cached) == PmemRefusal::cached_arena);
  CHECK(bench.regions.setup(smi, bench.platform).id == 11);
  CHECK(bench.regions.count() == 12);
  CHECK(arena_kind_of("pmem_kernel_ebi1") == PmemArenaKind::ebi1);
  CHECK(arena_kind_of("pmem_kernel_smi") == PmemArenaKind::smi);
  for (const char* name : {"pmem_kernel_smi2", "pmem_kernel_sm", "", "pmem"}) CHECK(arena_kind_of(name) == PmemArenaKind::none);
  CHECK(bench.regions.remove(10) == Errno::none);
  CHECK(bench.refusal(smi) == PmemRefusal::duplicate_arena);
  CHECK(bench.refusal(ebi1) == PmemRefusal::too_many);  // ids are given once
}

TEST_CASE("row 2: whichever step fails, all before it is undone, and no hook is called") {
  static int calls;
  for (int step = 1; step <= Parts::steps; ++step) {
    for (int i = 0; i < 1000; ++i) {
      Bench bench;
      calls = 0;
      bench.platform.fails_at = step;
      const PmemSetup setup{.name = "pmem", .size = 1_MiB, .setup = []() noexcept -> void* { return ++calls, nullptr; }};
      if (bench.refusal(setup) != PmemRefusal::no_resources) FAIL("step ", step, " did not fail");
      if (bench.platform.taken != 0 || bench.regions.count() != 0 || calls != 0 || bench.platform.heard != "b0") FAIL("step ", step, " left something");
      bench.platform.fails_at = 0;
      if (bench.refusal(setup) != PmemRefusal::none || calls != 1) FAIL("the name was not free");
    }
  }
}

TEST_CASE("SYSTEM is refused where memory may be unplugged") {
  Parts platform;
  Regions regions({.takes_system = false});
  const auto system = but([](auto& setup) { setup.allocator = 1; });
  CHECK(regions.setup(system, platform).refusal == PmemRefusal::unknown_allocator);
  CHECK(regions.setup(good, platform).refusal == PmemRefusal::none);
}

TEST_CASE("removal is by the region's own id; one in use stays; its name may be had again, its id not") {
  Bench bench;
  CHECK(bench.refusal(but([](auto& setup) { setup.quantum = 1; })) == PmemRefusal::quantum_below_page);
  CHECK(bench.regions.setup(good, bench.platform).id == 1);
  CHECK(bench.regions.remove(0) == Errno::invalid);  // its id by the order of boards' devices
  CHECK(bench.regions.remove(12) == Errno::invalid);
  CHECK(bench.regions.remove(~0U) == Errno::invalid);
  bench.platform.is_in_use = true;
  CHECK(bench.regions.remove(1) == Errno::busy);
  CHECK(bench.regions.with(1, [](Region&) {}));
  CHECK(bench.platform.taken == Parts::steps);
  bench.platform.is_in_use = false;
  CHECK(bench.regions.remove(1) == Errno::none);
  CHECK(bench.regions.remove(1) == Errno::invalid);
  CHECK(!bench.regions.with(1, [](Region&) {}));
  CHECK(bench.platform.taken == 0);
  CHECK(bench.regions.setup(good, bench.platform).id == 2);
}

namespace {

// A PmemRegion over a board's heap, with hooks that write down what they hear.
struct Hooked {
  int request_result = 0;
  std::string heard = "";
};
Hooked hooked;

using Pmem = PmemRegion<DeviceScene::Shared, lock::Futex, few_allocations>;
class BoardRegion {
 public:
  explicit BoardRegion(DeviceScene& scene) : scene_(scene) {}
  bool begin(unsigned, const PmemSetup&, PmemSettings& settings) noexcept { return settings.base = pmem_base, true; }
  void open(const PmemSettings& settings) noexcept { region_.emplace(scene_.device, scene_.heap("pmem"), scene_.zone("pmem"), settings); }
  bool end() noexcept { return region_->active() == 0; }
  Pmem& region() { return *region_; }

 private:
  DeviceScene& scene_;
  std::optional<Pmem> region_;
};

struct HookBench {
  HookBench(bool is_on_demand, bool is_reusable) {
    hooked = {};
    const PmemSetup setup{.name = "pmem",
                          .size = 64_KiB,
                          .is_mapped_on_demand = is_on_demand,
                          .is_reusable = is_reusable,
                          .hooks = {.request = [](void* of) noexcept { return note(of, '+'), hooked.request_result; },
                                    .release = [](void* of) noexcept { return note(of, '-'), 0; }},
                          .setup = []() noexcept -> void* { return hooked.heard += 's', &hooked; }};
    REQUIRE(regions.setup(setup, scene).refusal == PmemRefusal::none);
    regions.with(0, [&](BoardRegion& one) { region = &one.region(); });
  }
  static void note(void* of, char what) { static_cast<Hooked*>(of)->heard += what; }
  Pmem::Hold allocate(std::uint64_t length = 4096) { return region->allocate(client, length, 4096); }
  void free(const Pmem::Hold& hold) { region->free(hold, screen); }

  DeviceScene scene{pmem_heap_board};
  PmemRegions<BoardRegion, lock::Futex> regions;
  ClientId client = *scene.device.open();
  Pmem* region = nullptr;
  NoScreen screen = {};
};

}  // namespace

TEST_CASE("row 22: hooks get what setup gave, on 0 to 1 and 1 to 0 only; a reusable region is mapped on demand whatever its board says") {
  for (const bool is_reusable : {false, true}) {
    HookBench bench(!is_reusable, is_reusable);
    CHECK(bench.region->settings().is_mapped_on_demand);
    CHECK(hooked.heard == "s");
    for (int round = 0; round < 3; ++round) {
      hooked.heard = "";
      auto first = bench.allocate(), second = bench.allocate();
      CHECK(bench.region->active() == 2);
      CHECK(bench.regions.remove(0) == Errno::busy);
      bench.free(first);
      CHECK(hooked.heard == "+");
      bench.free(second);
      CHECK(hooked.heard == "+-");
      CHECK(bench.region->active() == 0);
    }
    CHECK(bench.regions.remove(0) == Errno::none);
  }
}

TEST_CASE("row 22: a request that fails fails the allocation, and the count stays; one for which there is no room ends as it began") {
  HookBench bench(true, false);
  hooked.request_result = 5;
  for (int i = 0; i < 3; ++i) CHECK(!bench.allocate());
  CHECK(hooked.heard == "s+++");
  CHECK(bench.region->active() == 0);
  CHECK(bench.region->room().total == 65536);
  hooked.request_result = 0;
  hooked.heard = "";
  auto whole = bench.allocate(65536);
  CHECK(whole);
  hooked.request_result = 5;  // nobody asks where it is there
  CHECK(!bench.allocate());
  CHECK(bench.region->active() == 1);
  CHECK(hooked.heard == "+");
  bench.free(whole);
  CHECK(hooked.heard == "+-");
}

TEST_CASE("row 22: what is not mapped on demand is asked for once, and never given back") {
  HookBench bench(false, false);
  for (int i = 0; i < 3; ++i) bench.free(bench.allocate());
  CHECK(hooked.heard == "s+");
  CHECK(bench.region->active() == 0);
}
