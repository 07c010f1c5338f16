// A board for ION's kernel side: heaps with everything that a board may say of them, each part of which can be told to fail, and
// writes down what it hears.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/device/ion/handle_file.hpp>
#include <freestone/device/ion/kernel.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

#include "support/device_scene_over.hpp"

namespace freestone::tests {

inline constexpr std::uint64_t page = 4096;

// What fails, and what must never be.
struct BoardFaults {
  bool monitor = false, first = false, last = false, request = false, release = false, memory = false, kernel_map = false;
  std::uint64_t mmu_call = 0;  // that one of the page tables', from 1 on
};
struct Board {  // any thread
  BoardFaults faults = {};
  std::mutex lock = {};
  std::string heard = "";  // + - of the monitor, ( ) first and last of a CP heap, [ ] a region, k u the kernel's mapping; ! failed
  std::atomic<int> wrong = 0;
  std::atomic<std::uint64_t> kernel_maps = 0;
  std::vector<device::IommuMap> leaked = {};
  std::vector<std::string> maintained = {};
  void* kernel_view = reinterpret_cast<void*>(std::uintptr_t{0x1000'0000});  // where the kernel sees whatever it maps

  std::string take_heard() { return std::exchange(heard, ""); }
  device::Errno note(char what, bool fails) {
    const std::scoped_lock turn(lock);
    heard += what;
    if (fails) heard += '!';
    return fails ? device::Errno::io : device::Errno::none;
  }
};

struct TestMonitor {
  device::Errno call(const device::MonitorCallV1& call) noexcept { return change(call.start, call.end, call.lock); }
  device::Errno call(const device::MonitorCallV2& call) noexcept {
    return change(call.start, call.start + Bytes(call.blocks << 20), call.lock);
  }
  device::Errno change(PhysicalAddress start, PhysicalAddress end, bool lock) noexcept {
    const device::Errno error = board.note(lock ? '+' : '-', board.faults.monitor);
    if (error != device::Errno::none) return error;
    const std::scoped_lock turn(board.lock);
    const auto was = locked.find(start.value());
    board.wrong += lock == (was != locked.end());
    lock ? locked.emplace(start.value(), end.value()) : std::pair(locked.erase(was), false);
    return error;
  }
  Board& board;
  std::map<std::uint64_t, std::uint64_t> locked = {};
};

struct TestHooks {
  device::Errno first_allocation() noexcept { return change('(', is_taken, true, board.faults.first); }
  device::Errno last_free() noexcept { return change(')', is_taken, false, board.faults.last); }
  device::Errno request_region() noexcept { return change('[', is_requested, true, board.faults.request); }
  device::Errno release_region() noexcept { return is_requested = false, board.note(']', board.faults.release); }
  void leaked(const device::IommuMap& map) noexcept {
    const std::scoped_lock turn(board.lock);
    board.leaked.push_back(map);
  }

  device::Errno change(char what, bool& is, bool to, bool fails) noexcept {
    board.wrong += is == to;
    const device::Errno error = board.note(what, fails);
    if (error == device::Errno::none) is = to;
    return error;
  }
  Board& board;
  bool is_taken = false, is_requested = false;
};

struct TestMmu {
  Result<void> map(std::uint32_t domain, DeviceAddress iova, PhysicalAddress physical, Bytes length, std::uint32_t) noexcept {
    const std::scoped_lock turn(board.lock);
    if (++calls == board.faults.mmu_call) return ErrorCode::injected;
    for (std::uint64_t at = 0; at < length.value(); at += page)
      board.wrong += !pages.emplace(std::pair(domain, iova.value() + at), physical.value() + at).second;
    return {};
  }
  void unmap(std::uint32_t domain, DeviceAddress iova, Bytes length) noexcept {
    const std::scoped_lock turn(board.lock);
    for (std::uint64_t at = 0; at < length.value(); at += page) board.wrong += pages.erase({domain, iova.value() + at}) != 1;
  }
  Board& board;
  std::uint64_t calls = 0;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> pages = {};
};

struct TestBoard {
  using Monitor = TestMonitor;
  using Hooks = TestHooks;
  using Mmu = TestMmu;
};
using TestOps = device::IonHeapOps<TestBoard, lock::Futex>;

// Bytes of a buffer that the kernel may map.
struct KernelMemory {
  Board* board = nullptr;
  std::uint64_t size = 0;
  bool is_mapped = false;

  void sync(std::uint64_t) {}
  Result<void*> map_kernel(Cacheability) noexcept {
    if (board->note('k', board->faults.kernel_map) != device::Errno::none) return ErrorCode::out_of_memory;
    board->wrong += std::exchange(is_mapped, true);
    ++board->kernel_maps;
    return board->kernel_view;
  }
  void unmap_kernel() noexcept {
    static_cast<void>(board->note('u', false));
    board->wrong += !std::exchange(is_mapped, false);
    --board->kernel_maps;
  }
  void maintain(const device::InnerRange& range, device::CacheCommand) noexcept {
    board->maintained.push_back("inner " + std::to_string(range.offset.value()) + " " + std::to_string(range.length.value()));
  }
  void maintain(const device::OuterRange& range, device::CacheCommand) noexcept {
    board->maintained.push_back("outer " + std::to_string(range.start.value()) + " " + std::to_string(range.length.value()));
  }
  void maintain(device::WholeBuffer, device::CacheCommand) noexcept { board->maintained.push_back("whole"); }
};
struct KernelPlatform {
  using Memory = KernelMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    if (board->faults.memory) return ErrorCode::out_of_memory;
    return Memory{board, size.value()};
  }
  Board* board = nullptr;
};

inline constexpr std::string_view kernel_board = R"(
[[heap]]
name = "system"
id = 0
type = "system"
size = "16M"
base = 0x4000_0000
[[heap]]
name = "contig"
id = 1
type = "system_contig"
size = "1M"
base = 0x5000_0000
[[heap]]
name = "carveout"
id = 2
type = "carveout"
size = "1M"
base = 0x6000_0000
[[heap]]
name = "bare"
id = 3
type = "carveout"
size = "1M"
base = 0x7000_0000
[[heap]]
name = "mm"
id = 8
type = "cp"
size = "4M"
base = 0x9000_0000
[[heap]]
name = "mfc"
id = 12
type = "cp"
size = "1M"
base = 0xA000_0000
[[heap]]
name = "iommu"
id = 25
type = "iommu"
size = "16M"
base = 0xB000_0000
)";
namespace heap_bit {
inline constexpr std::uint32_t system = 1, contig = 2, carveout = 4, bare = 8, mm = 1 << 8, mfc = 1 << 12, iommu = 1 << 25;
}
inline constexpr std::uint64_t carveout_base = 0x6000'0000, mm_base = 0x9000'0000, mfc_base = 0xA000'0000;
inline constexpr PhysicalAddress dummy_page(0xD000'0000);

// What there is of the board's beside the heaps: it outlives these. Of `bare` the board says nothing; devices do not see contig.
struct KernelBoard {
  using Addresses = Zone<backing::OffsetSpace, strategy::Bitmap, lock::Futex, cache::Coherent>;

  static Addresses make_addresses() {
    const Bytes size = 64_MiB, granule = page;
    auto backing = backing::OffsetSpace::create(
        {.name = "iova", .size = size, .granule = granule, .notes_words = Addresses::notes_words(size, granule)}, 0x1000'0000);
    return std::move(*Addresses::create({.name = "iova", .size = size, .granule = granule}, std::move(*backing)));
  }
  static device::SecureHeapInfo secured(std::uint64_t base, Bytes size) {
    return {.secured = {PhysicalAddress(base), size}, .permission = 1};
  }

  Board board = {};
  TestMonitor monitor{board};
  TestHooks mm_hooks{board}, mfc_hooks{board}, region_hooks{board};
  TestMmu mmu{board};
  Addresses first = make_addresses(), second = make_addresses();
  device::Iommu<TestMmu>::Partition partitions[2] = {{{0, 0}, first}, {{1, 0}, second}};
  device::Iommu<TestMmu> devices{mmu, partitions, dummy_page};
  TestOps::Secure mm_secure{secured(mm_base, 4_MiB), monitor, mm_hooks};
  TestOps::Secure mfc_secure{secured(mfc_base, 1_MiB), monitor, mfc_hooks};
  TestOps::Region region{region_hooks}, mfc_region{mfc_hooks};
  TestOps::Whole whole{devices, {.base = PhysicalAddress(mfc_base), .size = 1_MiB}};
  TestOps system{{.base = PhysicalAddress(0x4000'0000), .devices = &devices, .hooks = &mm_hooks}};
  TestOps contig{{.base = PhysicalAddress(0x5000'0000)}};
  TestOps carveout{{.base = PhysicalAddress(carveout_base), .has_outer_cache = true, .region = &region, .devices = &devices, .hooks = &mm_hooks}};
  TestOps mm{{.base = PhysicalAddress(mm_base), .secure = &mm_secure, .devices = &devices, .hooks = &mm_hooks}};
  TestOps mfc{{.base = PhysicalAddress(mfc_base), .secure = &mfc_secure, .region = &mfc_region, .whole = &whole, .hooks = &mfc_hooks}};
  TestOps iommu{{.base = PhysicalAddress(0xB000'0000), .devices = &devices, .hooks = &mm_hooks}};
};

inline constexpr ShareLimits kernel_limits{.clients = 8, .owners = 4, .buffers = 64, .handles = 8, .blocks = 64};
using KernelExtra = device::IonBuffer<KernelMemory, lock::Futex, TestOps>;

struct KernelScene : KernelBoard, SceneOver<KernelPlatform, kernel_limits, KernelExtra> {
  using Over = SceneOver<KernelPlatform, kernel_limits, KernelExtra>;
  using Kernel = device::IonKernel<Over::Shared, lock::Futex, 4, 8>;

  explicit KernelScene(device::IonGeneration generation = device::IonGeneration::g1) : Over(*read_toml(kernel_board)) {
    platform.board = &board;
    const std::pair<const char*, TestOps*> all[] = {{"system", &system}, {"contig", &contig}, {"carveout", &carveout},
                                                    {"mm", &mm},         {"mfc", &mfc},       {"iommu", &iommu}};
    for (const auto& [name, ops] : all) heap(name).base().ops = ops;
    if (generation == device::IonGeneration::g1) static_cast<void>(open_ion<device::IonGeneration::g1>());
    if (generation == device::IonGeneration::g2) static_cast<void>(open_ion<device::IonGeneration::g2>());
    if (generation == device::IonGeneration::g3) static_cast<void>(open_ion<device::IonGeneration::g3>());
  }
  // Nothing of any buffer's is left, and nothing was ever done twice, or undone that was not done.
  bool is_clean() {
    return device.buffer_count() == 0 && board.kernel_maps == 0 && mmu.pages.empty() && monitor.locked.empty() && !region_hooks.is_requested && !mfc_hooks.is_requested &&
           !mm_hooks.is_taken && !mfc_hooks.is_taken && first.stats().blocks == 0 && second.stats().blocks == 0 &&
           mm_secure.state() == TestOps::Secure::State() && mfc_secure.state() == TestOps::Secure::State() && region.maps() == 0 && mfc_region.maps() == 0 &&
           board.wrong == 0;
  }
};

}  // namespace freestone::tests
