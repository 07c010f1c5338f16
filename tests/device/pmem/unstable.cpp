// Regions whose memory comes and goes (shared/spec: PMEM 2.1, row 28).
#include <freestone/device/pmem/unstable.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/pmem/file.hpp>
#include <freestone/lock/os/futex.hpp>

#include "support/device_scene.hpp"
#include "support/pmem_alone.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

constexpr PhysicalAddress block(0x8000'0000), elsewhere(0xC000'0000);

struct Member {
  bool arm(PhysicalAddress at) noexcept {
    if (can_arm) base = at.value(), ++armed;
    return can_arm;
  }
  void disarm() noexcept { --armed; }

  bool can_arm = true;
  int armed = 0;
  std::uint64_t base = 0;
};

struct Bench {
  Bench() {
    for (const Bytes size : {1_MiB, 2_MiB, 4_KiB}) {
      CHECK(unstable.add(members[added++], {.size = size}) == Errno::none);
    }
  }
  std::vector<std::uint64_t> bases() const { return {members[0].base, members[1].base, members[2].base}; }
  bool all_are(PmemState state) {
    bool are = true;
    for (Member& member : members) are = are && unstable.state(member) == state;
    return are;
  }

  Member members[3] = {};
  std::size_t added = 0;
  PmemUnstable<Member, lock::Futex, 3> unstable = {};
};
constexpr auto with_memory = PmemState::unstable_with_memory, no_memory = PmemState::unstable_no_memory;

}  // namespace

TEST_CASE("SYSTEM has no place, and is refused; a region is there once; there is room for so many") {
  PmemUnstable<Member, lock::Futex, 2> unstable;
  Member members[3] = {};
  CHECK(unstable.add(members[0], {.allocator = PmemAllocator::system, .size = 1_MiB}) == Errno::invalid);
  CHECK(unstable.state(members[0]) == PmemState::stable);
  CHECK(unstable.add(members[0], {.allocator = PmemAllocator::buddy, .size = 1_MiB}) == Errno::none);
  CHECK(unstable.add(members[0], {.size = 1_MiB}) == Errno::invalid);
  CHECK(unstable.add(members[1], {.size = 1_MiB}) == Errno::none);
  CHECK(unstable.add(members[2], {.size = 1_MiB}) == Errno::no_memory);
}

TEST_CASE("row 28: before a block is online nothing is opened; then bases follow each other, as regions were registered") {
  Bench bench;
  Member stable;
  CHECK(bench.all_are(no_memory));
  CHECK(bench.unstable.state(stable) == PmemState::stable);
  for (const Member& member : bench.members) CHECK(bench.unstable.open(member) == Errno::no_device);
  CHECK(bench.unstable.open(stable) == Errno::none);
  CHECK(bench.unstable.offline(block, 1_GiB) == Errno::none);
  bench.unstable.online(block, 16_MiB);
  CHECK(bench.all_are(with_memory));
  CHECK(bench.bases() == std::vector<std::uint64_t>{block.value(), block.value() + (1 << 20), block.value() + (3 << 20)});
  for (const Member& member : bench.members) CHECK(bench.unstable.open(member) == Errno::none);
  bench.unstable.online(elsewhere, 16_MiB);  // they have theirs
  CHECK(bench.bases()[0] == block.value());
  for (const Member& member : bench.members) CHECK(member.armed == 1);
}

TEST_CASE("row 28: a block stays while any file of any region is open; another may go; a stable region's file keeps nothing") {
  Bench bench;
  Member stable;
  bench.unstable.online(block, 16_MiB);
  CHECK(bench.unstable.open(stable) == Errno::none);
  for (const Member& member : bench.members) {
    CHECK(bench.unstable.open(member) == Errno::none);
    CHECK(bench.unstable.open(member) == Errno::none);
    CHECK(bench.unstable.offline(block, 16_MiB) == Errno::try_again);
    CHECK(bench.unstable.offline(elsewhere, 16_MiB) == Errno::none);
    bench.unstable.close(member);
    CHECK(bench.unstable.offline(block, 16_MiB) == Errno::try_again);
    CHECK(bench.all_are(with_memory));
    bench.unstable.close(member);
  }
  CHECK(bench.unstable.offline(block, 16_MiB) == Errno::none);
  CHECK(bench.all_are(no_memory));
  for (const Member& member : bench.members) CHECK(member.armed == 0);
  CHECK(bench.unstable.open(bench.members[0]) == Errno::no_device);
  CHECK(bench.unstable.offline(block, 16_MiB) == Errno::none);
  for (const Member& member : bench.members) CHECK(member.armed == 0);
}

TEST_CASE("row 28: what went offline comes online again, wherever the next block is") {
  Bench bench;
  for (const PhysicalAddress start : {block, elsewhere, block}) {
    bench.unstable.online(start, 16_MiB);
    CHECK(bench.all_are(with_memory));
    CHECK(bench.bases() == std::vector<std::uint64_t>{start.value(), start.value() + (1 << 20), start.value() + (3 << 20)});
    CHECK(bench.unstable.open(bench.members[2]) == Errno::none);
    CHECK(bench.unstable.offline(start, 16_MiB) == Errno::try_again);
    bench.unstable.close(bench.members[2]);
    CHECK(bench.unstable.offline(start, 16_MiB) == Errno::none);
  }
}

TEST_CASE("a region for which a block has no room, or that cannot have it, takes none of it") {
  Bench bench;
  bench.unstable.online(block, (1 << 20) + 4096);  // the second does not fit
  CHECK(bench.unstable.state(bench.members[0]) == with_memory);
  CHECK(bench.unstable.state(bench.members[1]) == no_memory);
  CHECK(bench.unstable.open(bench.members[1]) == Errno::no_device);
  CHECK(bench.members[2].base == block.value() + (1 << 20));
  CHECK(bench.unstable.offline(block, 4096) == Errno::none);  // a part of it is enough
  CHECK(bench.members[1].armed == 0);

  bench.unstable.online(block, 100);  // nobody's: the next may be
  bench.members[0].can_arm = false;
  bench.unstable.online(elsewhere, 16_MiB);
  CHECK(bench.unstable.state(bench.members[0]) == no_memory);
  CHECK(bench.members[1].base == elsewhere.value());
}

namespace {

using Opened = PmemFile<DeviceScene::Shared, lock::Futex, NoScreen, few_allocations>;

// There is a PmemRegion only while it has memory.
class BoardRegion {
 public:
  bool arm(PhysicalAddress base) noexcept {
    PmemSettings armed = settings;
    armed.base = base.value();
    region.emplace(scene.device, scene.heap("pmem"), scene.zone("pmem"), armed);
    return true;
  }
  void disarm() noexcept { region.reset(); }

  PmemSettings settings{.name = "pmem", .size = 64_KiB};
  DeviceScene scene{pmem_heap_board};
  std::optional<Opened::Region> region = {};
};

// Sees physical addresses, and has nobody's files.
struct Kernel : Caller {
  bool sees_physical_addresses() const noexcept { return true; }
  template <class F, class Act>
  Answer with_file(std::int32_t, Act&&) noexcept {
    return Errno::bad_file;
  }
  std::optional<CallerMapping> mapping_of(std::uint64_t, Opened&) noexcept { return std::nullopt; }
};

}  // namespace

TEST_CASE("row 28: a region whose file allocates, on one block and then on another") {
  BoardRegion region;
  NoScreen screen;
  Kernel caller;
  PmemUnstable<BoardRegion, lock::Futex> unstable;
  REQUIRE(unstable.add(region, region.settings) == Errno::none);
  for (const PhysicalAddress start : {block, elsewhere}) {
    CHECK(unstable.open(region) == Errno::no_device);
    unstable.online(start, 1_MiB);
    REQUIRE(unstable.open(region) == Errno::none);
    {
      Opened file(*region.region, *region.scene.device.open(), OpenFlags{2}, screen);
      CHECK(!file.ioctl(caller, pmem::allocate, 8192).is_error());
      CHECK(file.ioctl(caller, pmem::get_phys, Caller::start) == done);
      CHECK(caller.get<std::uint64_t>(0) == start.value());
      CHECK(unstable.offline(start, 1_MiB) == Errno::try_again);
    }
    unstable.close(region);
    CHECK(unstable.offline(start, 1_MiB) == Errno::none);
    CHECK(region.scene.free_bytes("pmem") == 65536);
  }
}
