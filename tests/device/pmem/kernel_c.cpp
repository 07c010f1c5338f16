// PMEM's kernel API in C: a driver that knows nothing but kernel.h (shared/spec: PMEM 1.6; rows 1, 21, 22, 24).
#include <freestone/device/pmem/kernel_c.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>

#include "support/device_calls.hpp"
#include "support/pmem_kernel_scene.hpp"

using namespace freestone::tests;

namespace {

using Zone = freestone::Zone<freestone::backing::OffsetSpace, freestone::strategy::Bitmap, freestone::lock::Futex, freestone::cache::Coherent>;
constexpr std::uint64_t ebi1_base = 0x7fff'f000, mib = 1 << 20;

Zone make_zone() {
  auto backing = freestone::backing::OffsetSpace::create(
      {.name = "ebi1", .size = mib, .granule = 4096, .notes_words = Zone::notes_words(mib, 4096)}, ebi1_base);
  return std::move(*Zone::create({.name = "ebi1", .size = mib, .granule = 4096}, std::move(*backing)));
}

struct Module {
  ~Module() { programs.files.clear(); }
  PmemPrograms programs = {};
  Zone zone = make_zone();
  freestone::device::PmemRegions<PmemBoardRegion, freestone::lock::Futex> regions;
  freestone::device::PmemArenas<freestone::lock::Futex> arenas;
  PmemTestKernel kernel{programs, regions, arenas};
};
std::optional<Module> loaded;
std::string heard;

android_pmem_platform_data good() {
  android_pmem_platform_data data{};
  data.name = "pmem";
  data.size = 65536;
  data.cached = 1;
  data.map_on_demand = 1;
  data.request_region = [](void* of) noexcept { return heard += *static_cast<const char*>(of), heard += '+', 0; };
  data.release_region = [](void*) noexcept { return heard += '-', 0; };
  data.setup_region = []() noexcept -> void* {
    static char mine = 'm';
    return &mine;
  };
  return data;
}
// The module is there while this is, with its region.
struct Load {
  Load() {
    loaded.emplace();
    heard.clear();
    const android_pmem_platform_data data = good();
    const pmem_ioctl_hook ioctl = [](void*, unsigned command, std::uint64_t) noexcept -> std::int64_t { return command == 0x40047008 ? 4 : -25; };
    const pmem_release_hook release = [](void*) noexcept { return heard += 'c', 0; };
    REQUIRE(pmem_setup(&data, ioctl, release) == 0);
  }
  ~Load() { loaded.reset(); }
};
PmemPrograms& programs() { return loaded->programs; }

}  // namespace

FREESTONE_PMEM_KERNEL_C(loaded->kernel)

TEST_CASE("pmem_setup: 0 or -1, and the hooks are the board's") {
  const Load module;
  android_pmem_platform_data data = good();
  CHECK(pmem_setup(nullptr, nullptr, nullptr) == -1);
  CHECK(pmem_setup(&data, nullptr, nullptr) == -1);  // its name
  data.name = "other";
  data.allocator_type = 4;
  CHECK(pmem_setup(&data, nullptr, nullptr) == -1);
  data.allocator_type = PMEM_ALLOCATORTYPE_BITMAP;
  data.quantum = 2048;
  CHECK(pmem_setup(&data, nullptr, nullptr) == -1);
  const std::int32_t master = programs().master();
  CHECK(heard == "m+");
  Caller caller;
  CHECK(programs().region->settings().hooks.ioctl(&programs().at(master), 0x40047008, 0) == 4);
  programs().files.clear();
  CHECK(heard == "m+-c");
}

TEST_CASE("row 24: gets and puts: where memory is, and that a put too many is told") {
  const Load module;
  const std::int32_t master = programs().master();
  unsigned long start = 0, vstart = 0, len = 0;
  struct file* file = nullptr;
  CHECK(get_pmem_file(1000, &start, &vstart, &len, &file) == -1);
  CHECK(get_pmem_fd(PmemPrograms::foreign, &start, &len) == -1);
  CHECK(file == nullptr);
  REQUIRE(get_pmem_file(master, &start, &vstart, &len, &file) == 0);
  CHECK(start == pmem_base);
  CHECK(vstart == 0x1000'0000);
  CHECK(len == 8192);
  start = vstart = len = 0;
  CHECK(get_pmem_addr(file, &start, &vstart, &len) == 0);
  CHECK(start + vstart + len == pmem_base + 0x1000'0000 + 8192);
  start = len = 7;
  CHECK(get_pmem_user_addr(file, &start, &len) == 0);
  CHECK(start + len == 0);
  CHECK(get_pmem_fd(master, &start, &len) == 0);
  CHECK(start == pmem_base);
  CHECK(len == 8192);
  CHECK(put_pmem_fd(master) == 0);
  CHECK(put_pmem_file(file) == 0);
  CHECK(put_pmem_file(file) == -1);
  CHECK(put_pmem_fd(master) == -1);
  CHECK(get_pmem_addr(file, &start, &vstart, &len) == -1);
  CHECK(get_pmem_user_addr(file, &start, &len) == -1);
  CHECK(put_pmem_file(nullptr) == -1);
}

TEST_CASE("row 21: flush, caches, MAP and UNMAP by their numbers") {
  const Load module;
  const std::int32_t master = programs().master(), sub = programs().open();
  CHECK(programs().at(sub).map(0, 4096, 1) == freestone::device::done);  // a master, too
  unsigned long start = 0, vstart = 0, len = 0;
  struct file* file = nullptr;
  REQUIRE(get_pmem_file(master, &start, &vstart, &len, &file) == 0);
  const std::string& maintained = programs().scene.platform.maintained;
  flush_pmem_file(file, 0, 1);
  CHECK(maintained == "whole ");
  flush_pmem_fd(sub, 0, 1);
  CHECK(maintained == "whole whole ");
  flush_pmem_file(nullptr, 0, 1);
  CHECK(maintained == "whole whole ");

  programs().mapped = &programs().at(master);
  const auto at = static_cast<unsigned long>(programs().mapped_at);
  pmem_addr range{at + 64, 64, 128};
  for (const unsigned command : {PMEM_CLEAN_INV_CACHES, PMEM_CLEAN_CACHES, PMEM_INV_CACHES}) {
    CHECK(pmem_cache_maint(file, command, &range) == 0);
  }
  CHECK(maintained.find("64+128/") != std::string::npos);
  CHECK(pmem_cache_maint(nullptr, PMEM_CLEAN_CACHES, &range) == -9);
  CHECK(pmem_cache_maint(file, PMEM_MAP, &range) == -22);
  range.length = 8192;
  CHECK(pmem_cache_maint(file, PMEM_CLEAN_CACHES, &range) == -22);

  const pmem_region whole{0, 8192}, beyond{4096, 8192}, unaligned{1, 4096};
  CHECK(pmem_remap(&unaligned, file, PMEM_MAP) == -22);
  CHECK(pmem_remap(&beyond, file, PMEM_MAP) == -22);
  CHECK(pmem_remap(&whole, file, PMEM_UNMAP) == -22);
  CHECK(pmem_remap(&whole, file, PMEM_MAP) == 0);
  CHECK(pmem_remap(&whole, file, PMEM_UNMAP) == 0);
  CHECK(pmem_remap(&whole, nullptr, PMEM_MAP) == -22);
  CHECK(pmem_remap(&whole, file, PMEM_CLEAN_CACHES) == -22);
}

TEST_CASE("row 24: kalloc and kfree: what an int cannot tell from an error is given by the wide call only") {
  const Load module;
  CHECK(pmem_kalloc(4096, PMEM_MEMTYPE_EBI1 | PMEM_ALIGNMENT_4K) == -22);
  REQUIRE(loaded->arenas.add(freestone::device::pmem_kernel::ebi1,
                             {.zone = freestone::ZoneRef(loaded->zone), .base = freestone::PhysicalAddress(ebi1_base)}) == freestone::device::Errno::none);
  CHECK(pmem_kalloc(4096, PMEM_MEMTYPE_EBI1) == -22);
  CHECK(pmem_kalloc(8192, PMEM_MEMTYPE_EBI1 | PMEM_ALIGNMENT_4K) == -12);
  CHECK(pmem_kalloc(4096, PMEM_MEMTYPE_EBI1 | PMEM_ALIGNMENT_4K) == 0x7fff'f000);
  CHECK(pmem_kalloc(4096, PMEM_MEMTYPE_EBI1 | PMEM_ALIGNMENT_4K) == -12);
  CHECK(pmem_kalloc_wide(4096, PMEM_MEMTYPE_EBI1 | PMEM_ALIGNMENT_4K) == 0x8000'0000);
  CHECK(pmem_kfree(-4096) == -22);
  CHECK(pmem_kfree(0x7fff'f000) == 0);
  CHECK(pmem_kfree(0x7fff'f000) == -22);
  CHECK(pmem_kfree_wide(0x8000'0000) == 0);
  CHECK(pmem_kfree_wide(0x8000'0000) == -22);
}
