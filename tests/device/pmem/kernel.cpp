// PMEM's kernel API, call by call (shared/spec: PMEM 1.6; rows 1, 21, 24).
#include <freestone/device/pmem/kernel.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>

#include "support/device_calls.hpp"
#include "support/pmem_kernel_scene.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Kernel = PmemTestKernel;
using File = PmemKernelScene::File;
constexpr PmemSetup setup{.name = "pmem", .size = 64_KiB, .is_cached = true};

struct Bench {
  explicit Bench(const PmemSetup& of = setup) { REQUIRE(kernel.setup(of) == 0); }
  ~Bench() { programs.files.clear(); }

  // A sub of that master.
  std::int32_t sub_of(std::int32_t master) {
    const std::int32_t sub = programs.open();
    CHECK(programs.at(sub).ioctl(caller, pmem::connect, static_cast<std::uint64_t>(master)) == done);
    return sub;
  }
  Errno map(const File* file, std::uint64_t offset, std::uint64_t length) { return kernel.remap(file, pmem::map, {offset, length}).error(); }
  Errno unmap(const File* file, std::uint64_t offset, std::uint64_t length) { return kernel.remap(file, pmem::unmap, {offset, length}).error(); }
  std::string take_maintained() { return std::exchange(programs.scene.platform.maintained, ""); }

  struct Program : Caller {
    explicit Program(PmemPrograms& of) : programs(of) {}
    template <class F, class Act>
    Answer with_file(std::int32_t descriptor, Act&& act) noexcept {
      return programs.with_file<F>(descriptor, act);
    }
    bool sees_physical_addresses() const noexcept { return true; }
    template <class F>
    std::optional<CallerMapping> mapping_of(std::uint64_t address, const F& file) noexcept {
      return programs.mapping_of(address, file);
    }
    PmemPrograms& programs;
  };

  PmemPrograms programs = {};
  PmemRegions<PmemBoardRegion, lock::Futex> regions;
  PmemArenas<lock::Futex> arenas;
  Kernel kernel{programs, regions, arenas};
  Program caller{programs};
};

}  // namespace

TEST_CASE("get: where a master's memory is, and a sub's, and that the file is held") {
  Bench bench;
  static_cast<void>(bench.programs.master(4096));
  const std::int32_t master = bench.programs.master(), sub = bench.sub_of(master);
  for (const std::int32_t descriptor : {master, sub}) {
    Kernel::Memory memory;
    File* file = nullptr;
    CHECK(bench.kernel.get_file(descriptor, memory, file) == 0);
    CHECK(file == &bench.programs.at(descriptor));
    CHECK(memory.start == pmem_base + 4096);
    CHECK(memory.length == 8192);
    CHECK(memory.kernel == 0x1000'0000);
    Kernel::Memory again;
    CHECK(bench.kernel.get_addr(file, again) == 0);
    CHECK(again.start == memory.start);
    CHECK(bench.kernel.get_fd(descriptor, again) == 0);
    CHECK(again.length == 8192);
    CHECK(bench.kernel.held() == 2);
    CHECK(bench.kernel.put_fd(descriptor) == 0);
    CHECK(bench.kernel.put_file(file) == 0);
  }
  CHECK(bench.kernel.held() == 0);
}

TEST_CASE("get: -1 of what is not open, is none of PMEM's or has no allocation; nothing is held then") {
  Bench bench;
  Kernel::Memory memory;
  File* file = nullptr;
  const std::int32_t empty = bench.programs.open();
  for (const std::int32_t descriptor : {-1, 1000, PmemPrograms::foreign, empty}) {
    CHECK(bench.kernel.get_file(descriptor, memory, file) == -1);
    CHECK(bench.kernel.get_fd(descriptor, memory) == -1);
    CHECK(bench.kernel.put_fd(descriptor) == -1);
  }
  CHECK(file == nullptr);
  CHECK(bench.kernel.held() == 0);
  CHECK(bench.programs.files.at(empty).use_count() == 1);
}

TEST_CASE("row 24: references balance: the last put ends the file; one too many is told and changes nothing; what nobody holds is unseen") {
  Bench bench;
  Kernel::Memory memory;
  File *file = nullptr, *other = nullptr;
  const std::int32_t master = bench.programs.master(), second = bench.programs.master(4096);
  for (int i = 0; i < 3; ++i) CHECK(bench.kernel.get_file(master, memory, file) == 0);
  CHECK(bench.kernel.get_file(second, memory, other) == 0);
  bench.programs.files.clear();  // the program is gone
  CHECK(bench.programs.region->room().total == 65536 - 12288);
  for (int i = 0; i < 3; ++i) {
    CHECK(bench.kernel.get_addr(file, memory) == 0);
    CHECK(bench.kernel.put_file(file) == 0);
  }
  CHECK(bench.programs.region->room().total == 65536 - 4096);
  ByteRange range;
  for (const File* none : {static_cast<const File*>(file), static_cast<const File*>(nullptr), reinterpret_cast<const File*>(16)}) {
    CHECK(bench.kernel.put_file(none) == -1);
    CHECK(bench.kernel.get_addr(none, memory) == -1);
    CHECK(bench.kernel.get_user_addr(none, range) == -1);
    CHECK(bench.map(none, 0, 4096) == Errno::invalid);
    CHECK(bench.kernel.cache_maint(none, pmem::clean_caches, {1, 0, 1}) == Errno::bad_file);
    bench.kernel.flush_file(none, {0, 4096});
  }
  CHECK(bench.take_maintained().empty());
  CHECK(bench.kernel.held() == 1);
  CHECK(bench.kernel.put_file(other) == 0);
  CHECK(bench.programs.region->room().total == 65536);
}

TEST_CASE("row 24: a file whose last put comes while a call of it is under way ends behind the call") {
  Bench bench;
  Kernel::Memory memory;
  File* subs = nullptr;
  const std::int32_t sub = bench.sub_of(bench.programs.master());
  REQUIRE(bench.kernel.get_file(sub, memory, subs) == 0);
  const std::weak_ptr<File> file = bench.programs.files.at(sub);
  bench.programs.files.erase(sub);
  int last = -1, more = 0;
  bool was_there = false;
  bench.programs.meanwhile = [&] {
    last = bench.kernel.put_file(subs);
    more = bench.kernel.put_file(subs);  // the call's own hold is not a driver's to give back
    was_there = !file.expired();
  };
  ByteRange range;
  CHECK(bench.kernel.get_user_addr(subs, range) == 0);
  CHECK(last == 0);
  CHECK(more == -1);
  CHECK(was_there);
  CHECK(file.expired());
  CHECK(bench.kernel.get_user_addr(subs, range) == -1);
}

TEST_CASE("row 24: drivers that get and put at once: nothing is held in the end") {
  Bench bench;
  const std::int32_t master = bench.programs.master(), sub = bench.sub_of(master);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> drivers;
  for (int driver = 0; driver < 4; ++driver) {
    drivers.emplace_back([&, descriptor = driver % 2 == 0 ? master : sub] {
      Kernel::Memory memory;
      File* file = nullptr;
      for (int i = 0; i < 300; ++i) {
        wrong += bench.kernel.get_file(descriptor, memory, file) != 0;
        wrong += bench.kernel.get_addr(file, memory) != 0 || memory.start != pmem_base;
        wrong += (i % 2 == 0 ? bench.kernel.put_file(file) : bench.kernel.put_fd(descriptor)) != 0;
      }
    });
  }
  for (std::thread& one : drivers) one.join();
  CHECK(wrong == 0);
  CHECK(bench.kernel.held() == 0);
  CHECK(bench.programs.files.at(master).use_count() == 1);
  CHECK(bench.kernel.put_fd(master) == -1);
}

TEST_CASE("drivers hold so many files at once; one that is held may be held again") {
  Bench bench;
  Kernel::Memory memory;
  std::vector<std::int32_t> all;
  for (int i = 0; i < 5; ++i) all.push_back(bench.programs.master(4096));
  for (int i = 0; i < 4; ++i) CHECK(bench.kernel.get_fd(all[static_cast<std::size_t>(i)], memory) == 0);
  CHECK(bench.kernel.get_fd(all[4], memory) == -1);
  CHECK(bench.kernel.get_fd(all[3], memory) == 0);
  CHECK(bench.kernel.put_fd(all[0]) == 0);
  CHECK(bench.kernel.put_fd(all[0]) == -1);
  CHECK(bench.kernel.get_fd(all[4], memory) == 0);
}

TEST_CASE("row 24: get_user_addr: (0, 0) of a master, mapped or not; of a sub where it is mapped; -1 once its master is closed") {
  Bench bench;
  Kernel::Memory memory;
  File *own = nullptr, *subs = nullptr;
  const std::int32_t master = bench.programs.master(), sub = bench.sub_of(master);
  REQUIRE(bench.kernel.get_file(master, memory, own) == 0);
  REQUIRE(bench.kernel.get_file(sub, memory, subs) == 0);
  ByteRange range{1, 1};
  bench.programs.mapped = own;
  CHECK(bench.kernel.get_user_addr(own, range) == 0);
  CHECK(range == ByteRange{0, 0});
  range = {1, 1};
  CHECK(bench.kernel.get_user_addr(subs, range) == 0);
  CHECK(range == ByteRange{0, 0});
  bench.programs.mapped = subs;
  CHECK(bench.kernel.get_user_addr(subs, range) == 0);
  CHECK(range == ByteRange{0x7000'0000, 8192});
  bench.programs.files.erase(master);
  CHECK(bench.kernel.get_user_addr(subs, range) == 0);  // a driver holds it
  CHECK(bench.kernel.put_file(own) == 0);
  CHECK(bench.kernel.get_user_addr(subs, range) == -1);
  CHECK(bench.kernel.get_addr(subs, memory) == -1);
  CHECK(bench.kernel.get_fd(sub, memory) == -1);
  CHECK(bench.kernel.put_file(subs) == 0);
}

TEST_CASE("row 21: flush: a master's whole allocation; of a sub the whole grant that has the range, or nothing; nothing uncached") {
  Bench bench;
  Kernel::Memory memory;
  File *own = nullptr, *subs = nullptr;
  const std::int32_t master = bench.programs.master(16384), sub = bench.sub_of(master);
  REQUIRE(bench.kernel.get_file(master, memory, own) == 0);
  REQUIRE(bench.kernel.get_file(sub, memory, subs) == 0);
  bench.kernel.flush_file(own, {4096, 1});
  bench.kernel.flush_fd(master, {1 << 20, 1});
  CHECK(bench.take_maintained() == "whole whole ");
  bench.kernel.flush_file(subs, {0, 1});
  CHECK(bench.take_maintained().empty());
  CHECK(bench.map(subs, 4096, 8192) == Errno::none);
  bench.kernel.flush_file(subs, {8000, 100});
  CHECK(bench.take_maintained().starts_with("i4096+8192/"));
  bench.kernel.flush_fd(sub, {4000, 100});
  bench.kernel.flush_fd(PmemPrograms::foreign, {0, 1});
  bench.kernel.flush_fd(1000, {0, 1});
  CHECK(bench.take_maintained().empty());
}

TEST_CASE("pmem_remap: MAP and UNMAP, with programs' answers") {
  Bench bench;
  Kernel::Memory memory;
  File* subs = nullptr;
  const std::int32_t master = bench.programs.master(), sub = bench.sub_of(master);
  REQUIRE(bench.kernel.get_file(sub, memory, subs) == 0);
  CHECK(bench.map(subs, 1, 4096) == Errno::invalid);
  CHECK(bench.map(subs, 0, 0) == Errno::none);
  CHECK(bench.map(subs, 4096, 8192) == Errno::invalid);
  CHECK(bench.unmap(subs, 0, 4096) == Errno::invalid);
  CHECK(bench.map(subs, 0, 4096) == Errno::none);
  CHECK(bench.unmap(subs, 0, 4096) == Errno::none);
  CHECK(bench.unmap(subs, 0, 4096) == Errno::invalid);
  CHECK(bench.kernel.remap(subs, pmem::get_size, {0, 4096}) == Errno::invalid);
  bench.programs.files.erase(master);
  CHECK(bench.map(subs, 0, 4096) == Errno::invalid);
}

TEST_CASE("pmem_cache_maint: programs' checks, behind the command's") {
  Bench bench;
  Kernel::Memory memory;
  File* own = nullptr;
  REQUIRE(bench.kernel.get_file(bench.programs.master(), memory, own) == 0);
  bench.programs.mapped = own;
  const std::uint64_t at = bench.programs.mapped_at;
  CHECK(bench.kernel.cache_maint(own, pmem::get_size, {at, 0, 64}) == Errno::invalid);
  CHECK(bench.kernel.cache_maint(own, pmem::clean_caches, {0, 0, 64}) == Errno::invalid);
  CHECK(bench.kernel.cache_maint(own, pmem::clean_caches, {at, 8192, 1}) == Errno::invalid);
  CHECK(bench.kernel.cache_maint(own, pmem::clean_caches, {at - 1, 0, 1}) == Errno::invalid);
  CHECK(bench.take_maintained().empty());
  std::string all = "";
  for (const Command command : {pmem::clean_caches, pmem::inv_caches, pmem::clean_inv_caches}) {
    CHECK(bench.kernel.cache_maint(own, command, {at + 64, 64, 128}) == done);
    const std::string heard = bench.take_maintained();
    CHECK(heard.find("64+128/") != std::string::npos);
    CHECK(all.find(heard) == std::string::npos);  // each its own
    all += heard;
  }
}

TEST_CASE("pmem_setup: 0 or -1; what is uncached has nothing to maintain") {
  Bench bench({.name = "pmem", .size = 64_KiB});
  CHECK(bench.kernel.setup(setup) == -1);  // its name
  CHECK(bench.kernel.setup({.name = "other", .size = 0}) == -1);
  CHECK(bench.kernel.setup({.name = "other", .size = 1_MiB}) == -1);  // the board's
  Kernel::Memory memory;
  File* own = nullptr;
  REQUIRE(bench.kernel.get_file(bench.programs.master(), memory, own) == 0);
  bench.kernel.flush_file(own, {0, 4096});
  CHECK(bench.kernel.cache_maint(own, pmem::clean_caches, {1, 1 << 20, 1}) == done);
  CHECK(bench.take_maintained().empty());
}

TEST_CASE("row 1: a command that is none of PMEM's is the region's own; and it hears of a file's end") {
  static std::vector<std::uint64_t> heard;
  heard.clear();
  static void* closed;
  PmemSetup hooked = setup;
  hooked.hooks.ioctl = [](void*, unsigned command, std::uint64_t argument) noexcept -> std::int64_t {
    heard = {command, argument};
    return argument == 7 ? -16 : 5;
  };
  hooked.hooks.close = [](void* file) noexcept { return closed = file, 0; };
  Bench bench(hooked);
  const std::int32_t descriptor = bench.programs.open();
  File& file = bench.programs.at(descriptor);
  CHECK(file.ioctl(bench.caller, pmem_command(8), 3) == Answer(std::int64_t{5}));
  CHECK(heard == std::vector<std::uint64_t>{0x40047008, 3});
  CHECK(file.ioctl(bench.caller, pmem_command(16), 7) == Errno::busy);
  heard.clear();
  CHECK(file.ioctl(bench.caller, pmem::get_size, Caller::start) == done);
  CHECK(heard.empty());
  const void* const was = &file;
  bench.programs.files.clear();
  CHECK(closed == was);
  Bench plain;
  CHECK(plain.programs.at(plain.programs.open()).ioctl(plain.caller, pmem_command(8), 3) == Errno::invalid);
}

TEST_CASE("row 24: kalloc and kfree answer as the arenas do") {
  using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::Futex, cache::Coherent>;
  auto backing = backing::OffsetSpace::create({.name = "ebi1", .size = 1_MiB, .granule = 4_KiB, .notes_words = Z::notes_words(1_MiB, 4_KiB)}, 0x5000'0000);
  auto zone = Z::create({.name = "ebi1", .size = 1_MiB, .granule = 4_KiB}, std::move(*backing));
  Bench bench;
  REQUIRE(bench.arenas.add(pmem_kernel::ebi1, {.zone = ZoneRef(*zone), .base = PhysicalAddress(0x5000'0000)}) == Errno::none);
  CHECK(bench.kernel.kalloc(4096, pmem_kernel::ebi1) == -22);
  CHECK(bench.kernel.kalloc(2 << 20, pmem_kernel::ebi1 | pmem_kernel::align_4k) == -12);
  CHECK(bench.kernel.kalloc(4096, pmem_kernel::ebi1 | pmem_kernel::align_4k) == 0x5000'0000);
  CHECK(bench.kernel.kalloc_wide(4096, pmem_kernel::ebi1 | pmem_kernel::align_4k) == 0x5000'1000);
  CHECK(bench.kernel.kalloc_wide(4096, 0) == -22);
  CHECK(bench.kernel.kfree(0x5000'1000) == 0);
  CHECK(bench.kernel.kfree(0x5000'1000) == -22);
  CHECK(bench.kernel.kfree(0x5000'0000) == 0);
}
