// A region of PMEM's with files under numbers, for its kernel side: what is held, maintained and hooked is written down.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <freestone/device/pmem/file.hpp>
#include <freestone/device/pmem/kernel.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/lock/os/futex.hpp>

#include "support/device_scene_over.hpp"
#include "support/pmem_alone.hpp"

namespace freestone::tests {

struct PmemBytes {
  std::string* maintained = nullptr;
  std::byte* at = nullptr;

  void sync(std::uint64_t) noexcept {}
  std::byte* kernel_address() const noexcept { return at; }
  void maintain(device::WholeBuffer, device::CacheCommand) noexcept { *maintained += "whole "; }
  void maintain(const device::InnerRange& range, device::CacheCommand command) noexcept { note('i', range.offset, range.length, command); }
  void maintain(const device::OuterRange& range, device::CacheCommand command) noexcept {
    note('o', range.start.value() - pmem_base, range.length, command);
  }
  void note(char what, Bytes start, Bytes length, device::CacheCommand command) {
    *maintained += what + std::to_string(start.value()) + '+' + std::to_string(length.value()) + '/' + std::to_string(static_cast<int>(command)) + ' ';
  }
};
struct PmemKernelPlatform {
  using Memory = PmemBytes;
  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes) noexcept { return Memory{&maintained, reinterpret_cast<std::byte*>(std::uintptr_t{0x1000'0000})}; }
  std::string maintained = "";
};
inline constexpr ShareLimits pmem_share_limits{.clients = 16, .owners = 4, .buffers = 16, .handles = 8, .blocks = 64};

struct PmemKernelScene : SceneOver<PmemKernelPlatform, pmem_share_limits> {
  using Region = device::PmemRegion<Shared, lock::Futex, few_allocations>;
  using File = device::PmemFile<Shared, lock::Futex, NoScreen, few_allocations>;

  PmemKernelScene() : SceneOver(*read_toml(pmem_heap_board)) {}
};

// The files of a program, and the region of a board.
struct PmemPrograms {
  struct Held {
    std::shared_ptr<void> keeps;
    PmemKernelScene::File* file = nullptr;
    PmemKernelScene::File* pmem() noexcept { return file; }
  };
  static constexpr std::int32_t foreign = 99;  // open, and none of PMEM's

  // The number of a new one.
  std::int32_t open() {
    files.emplace(++last, std::make_shared<PmemKernelScene::File>(*region, *scene.device.open(), device::OpenFlags{2}, screen));
    return last;
  }
  PmemKernelScene::File& at(std::int32_t descriptor) { return *files.at(descriptor); }
  std::int32_t master(std::uint64_t length = 8192) {
    const std::int32_t made = open();
    static_cast<void>(at(made).map(0, length, 1));
    return made;
  }

  std::optional<Held> get(std::int32_t descriptor) noexcept {
    if (descriptor == foreign) return Held{};
    const auto found = files.find(descriptor);
    if (found == files.end()) return std::nullopt;
    return Held{found->second, found->second.get()};
  }
  template <class F, class Act>
  device::Answer with_file(std::int32_t descriptor, Act&& act) noexcept {
    const auto held = get(descriptor);
    if (!held) return device::Errno::bad_file;
    return held->file == nullptr ? device::Answer(device::Errno::invalid) : act(*held->file);
  }
  std::optional<device::CallerMapping> mapping_of(std::uint64_t address, const PmemKernelScene::File& file) noexcept {
    if (mapped != &file || address < mapped_at || address >= mapped_at + 8192) return std::nullopt;
    return device::CallerMapping{mapped_at, mapped_at + 8192, 0};
  }
  ByteRange user_range(const PmemKernelScene::File& file) noexcept {
    const ByteRange range = mapped == &file ? ByteRange{mapped_at, 8192} : ByteRange();
    if (meanwhile) meanwhile();
    return range;
  }

  PmemKernelScene scene = {};
  NoScreen screen = {};
  std::optional<PmemKernelScene::Region> region = {};
  std::map<std::int32_t, std::shared_ptr<PmemKernelScene::File>> files = {};
  std::int32_t last = 2;
  const PmemKernelScene::File* mapped = nullptr;
  std::uint64_t mapped_at = 0x7000'0000;
  std::function<void()> meanwhile = {};  // while a driver asks for it
};

class PmemBoardRegion {
 public:
  explicit PmemBoardRegion(PmemPrograms& programs) noexcept : programs_(programs) {}
  bool begin(unsigned, const device::PmemSetup& setup, device::PmemSettings& settings) noexcept {
    settings.base = pmem_base;
    return setup.size == 64_KiB;
  }
  void open(const device::PmemSettings& settings) noexcept {
    programs_.region.emplace(programs_.scene.device, programs_.scene.heap("pmem"), programs_.scene.zone("pmem"), settings);
  }
  bool end() noexcept { return programs_.files.empty(); }

 private:
  PmemPrograms& programs_;
};
using PmemTestKernel = device::PmemKernel<PmemKernelScene::File, PmemPrograms, PmemBoardRegion, lock::Futex, 4>;

}  // namespace freestone::tests
