// MMZ's zones as their module's line has them, and callers who open the node, for the tests of device/mmz/.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/mmz/file.hpp>
#include <freestone/device/mmz/kernel.hpp>
#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/heap/os/board_mmz.hpp>
#include <freestone/share/device.hpp>

#include "support/device_calls.hpp"
#include "support/device_scene_over.hpp"
#include "support/maintained_memory.hpp"

namespace freestone::tests {

inline constexpr ShareLimits mmz_scene_limits{.clients = 8, .owners = 4, .buffers = 200, .handles = 8, .blocks = 2};

// Which the kernel sees, too; nobody looks there.
struct MmzMemory : MaintainedMemory {
  std::byte* at = nullptr;
  std::byte* kernel_address() const noexcept { return at; }
};
struct MmzPlatform {
  using Memory = MmzMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    if (!has_memory) return ErrorCode::out_of_memory;
    const std::uintptr_t at = next_kernel_address.fetch_add(static_cast<std::uintptr_t>(size.value()) + 4096);
    return Memory{{size.value(), done}, has_kernel_view ? reinterpret_cast<std::byte*>(at) : nullptr};
  }
  void mmz_misused(const device::MmzWarning& warning) { misuses.push_back(warning.what); }
  void mmz_leaked(const device::MmzLeak& leak) {
    leaks.push_back(std::to_string(leak.process) + ' ' + std::to_string(leak.physical) + ' ' + std::to_string(leak.length) + ' ' +
                    leak.name + (leak.is_mapped ? " mapped" : ""));
  }
  bool has_memory = true;
  bool has_kernel_view = true;
  std::atomic<std::uintptr_t> next_kernel_address = 0xc000'0000;
  std::vector<device::MmzMisuse> misuses = {};
  std::shared_ptr<std::vector<std::string>> done = std::make_shared<std::vector<std::string>>();  // of all buffers
  std::vector<std::string> leaks = {};
};

class MmzScene : public SceneOver<MmzPlatform, mmz_scene_limits> {
  using Over = SceneOver<MmzPlatform, mmz_scene_limits>;

 public:
  using Zones = device::MmzZones<Shared, lock::Futex>;

  // `line`: the module's.
  explicit MmzScene(std::string_view line, MmzGeneration generation = MmzGeneration::g4, std::string_view kernel_zones = {})
      : MmzScene(taken(line, generation, kernel_zones)) {}

  const Zones& mmz() const noexcept { return *mmz_; }
  Zones& mmz() noexcept { return *mmz_; }

 private:
  explicit MmzScene(MmzBoard board) : Over(std::move(board.table)), windows_(std::move(board.windows)) {
    for (Heap& heap : heaps) {
      const BoardHeap& text = zones().text(list_.size());
      const MmzPart& part = std::get<MmzPart>(text.part);
      list_.push_back({&heap, text.base.value_or(0), part.gfp, part.type, part.block_align});
    }
    mmz_.emplace(device, list_, board.allocator,
                 device::MmzVisible{.windows = windows_, .isolates_processes = board.isolates_processes});
  }
  static MmzBoard taken(std::string_view line, MmzGeneration generation, std::string_view kernel_zones) {
    auto board = read_mmz(line, {.generation = generation, .kernel_zones = kernel_zones});
    REQUIRE(board);
    device::take_mmz_types(board->table);
    return *std::move(board);
  }

  std::vector<device::MmzZone<Shared, lock::Futex>> list_ = {};
  std::vector<MmzWindow> windows_;
  std::optional<Zones> mmz_ = {};
};

template <MmzGeneration generation = MmzGeneration::g4>
struct MmzOpen {
  using File = device::MmzFile<MmzScene::Shared, lock::Futex, generation, 16>;

  explicit MmzOpen(MmzScene& scene, std::uint32_t flags = 2, std::uint32_t process = 77)
      : file(scene.mmz(), *scene.device.open(), device::OpenFlags{flags}, process) {}
  File file;
};

// A process: its mappings, and memory for its structs.
template <MmzGeneration generation = MmzGeneration::g4>
struct MmzCaller : Caller {
  using Mapping = device::MmzMapping<MmzScene::Shared>;
  using Info = device::MmbInfo<generation>;
  using InfoWire = device::MmbInfoWire<generation>;
  static constexpr std::uint64_t foreign_at = 0x6000'0000;  // a page of no block's

  explicit MmzCaller(MmzScene& scene, device::WordSize word = device::WordSize::bits64, std::int32_t process = 77)
      : Caller(word), scene(scene), number(process) {}

  // --- what the personality asks ---

  std::int32_t process() const noexcept { return number; }
  device::Answer map_block(Mapping&& mapping) noexcept {
    if (map_error != device::Errno::none) return map_error;
    const std::uint64_t at = next_address;
    next_address += mapping.length + 0x1'0000;
    mappings.push_back({at, std::move(mapping)});
    return device::Answer(static_cast<std::int64_t>(at));
  }
  device::Errno unmap_block(std::uint64_t address, std::uint64_t /*physical*/, std::uint64_t length) noexcept {
    const auto found = std::ranges::find(mappings, address, &Mapped::address);
    if (found == mappings.end() || found->mapping.length != length) return device::Errno::invalid;
    mappings.erase(found);
    return device::Errno::none;
  }
  device::MmzView view_at(std::uint64_t address) const noexcept {
    if (address - foreign_at < 4096) return {.is_mapped = true, .start = foreign_at, .end = foreign_at + 4096};
    for (const Mapped& one : mappings) {
      if (address < one.address || address - one.address >= one.mapping.length) continue;
      std::optional<std::uint64_t> physical;  // none of a window's
      if (one.mapping.hold) physical = scene.mmz().physical_of(one.mapping.hold->buffer()) + one.mapping.offset + (address - one.address);
      return {.is_mapped = true,
              .physical = physical,
              .is_cached = one.mapping.seen == Cacheability::cached,
              .is_writable = (one.mapping.protection & 2) != 0,
              .start = one.address,
              .end = one.address + one.mapping.length};
    }
    return {};
  }

  // --- what a program does ---

  template <class W>
  std::int64_t call_with(auto& node, device::Command command, typename W::Struct& values, std::uint64_t at = start) {
    const std::span<std::byte> there = bytes().subspan(static_cast<std::size_t>(at - start), W::length(word()));
    W::write(values, there, word());
    const std::int64_t answer = node.file.ioctl(*this, command, at).value();
    values = W::read(there, word());
    return answer;
  }
  std::int64_t call(auto& node, device::MmzCommand command, Info& info) {
    return call_with<InfoWire>(node, device::mmz_command<generation>(command, word()), info);
  }
  std::int64_t call(auto& node, device::MmzCommand command, std::uint64_t physical, std::uint64_t bits = 0) {
    Info info{.physical = physical, .bits = bits};
    return call(node, command, info);
  }
  // 'r' and 'c': the argument is the address.
  std::int64_t refer(auto& node, device::MmzCommand command, std::uint64_t physical) {
    return node.file.ioctl(*this, device::mmz_command<generation>(command, word()), physical).value();
  }
  static Info wanted(std::uint64_t size, std::uint64_t align = 0, std::string_view zone = {}) {
    Info info{.align = align, .size = size};
    std::ranges::copy(std::string_view("block"), info.name.begin());
    std::ranges::copy(zone, info.zone.begin());
    return info;
  }
  // Where it lies, or the error.
  std::int64_t allocate(auto& node, std::uint64_t size, std::uint64_t align = 0, std::string_view zone = {}) {
    Info info = wanted(size, align, zone);
    const std::int64_t answer = call(node, device::MmzCommand::allocate, info);
    return answer < 0 ? answer : static_cast<std::int64_t>(info.physical);
  }
  std::int64_t allocate_v2(auto& node, std::uint64_t size, std::uint32_t order = 0, std::uint64_t align = 0, std::string_view zone = {}) {
    Info info = wanted(size, align, zone);
    info.order = order;
    const std::int64_t answer = call(node, device::MmzCommand::allocate_v2, info);
    return answer < 0 ? answer : static_cast<std::int64_t>(info.physical);
  }
  // At which address, or the error.
  std::int64_t remap(auto& node, std::uint64_t physical, device::MmzCommand command = device::MmzCommand::remap,
                     std::uint64_t bits = 0x103) {
    Info info{.physical = physical, .bits = bits};
    const std::int64_t answer = call(node, command, info);
    return answer < 0 ? answer : static_cast<std::int64_t>(info.mapped);
  }
  std::int64_t flush_dirty(auto& node, std::uint64_t physical, std::uint64_t address, std::uint64_t size) {
    device::MmzDirtyArea area{physical, address, size};
    return call_with<device::MmzDirtyWire>(node, device::mmz_command<generation>(device::MmzCommand::flush_dirty, word()), area);
  }
  std::int64_t call(auto& node, device::MmzCommand command, device::MmzShareCall& sharing) {
    return call_with<device::MmzShareWire>(node, device::mmz_command<generation>(command, word()), sharing);
  }
  Info attributes(auto& node, std::uint64_t physical) {
    Info info{.physical = physical};
    CHECK(call(node, device::MmzCommand::attributes, info) == 0);
    return info;
  }

  struct Mapped {
    std::uint64_t address;
    Mapping mapping;
  };
  MmzScene& scene;
  const std::int32_t number;
  std::vector<Mapped> mappings = {};
  std::uint64_t next_address = 0x7000'0000;
  device::Errno map_error = device::Errno::none;
};

}  // namespace freestone::tests
