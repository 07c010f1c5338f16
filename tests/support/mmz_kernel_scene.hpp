// MMZ's zones with a driver's beside, and what the kernel has of memory, for the tests of MMZ's kernel API.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/mmz/kernel.hpp>

#include "support/mmz_scene.hpp"

namespace freestone::tests {

inline constexpr std::uint64_t mmz_base = 0x46000000, mmz_spare = 0x47000000, mmz_window = 0xe0000000;

// Of the kernel: the memory of the zone "spare" while nobody has it, and windows, wherever they are.
class MmzKernelBytes {
 public:
  using Heap = MmzScene::Heap;

  // The zone is nobody's from here on.
  explicit MmzKernelBytes(MmzScene& scene) : heap_(scene.heap("spare")) {
    device::MmzZone<MmzScene::Shared, lock::Futex>* spare = nullptr;
    scene.mmz().for_each([&](auto& zone) { spare = zone.heap == &heap_ ? &zone : spare; });
    REQUIRE(scene.mmz().remove(*spare));
  }

  Heap* begin(const device::MmzZoneSettings& zone) noexcept {
    if (is_taken || zone.start != mmz_spare || std::string_view(zone.name) != heap_.info().name) return nullptr;
    is_taken = true;
    return &heap_;
  }
  void end(Heap*) noexcept { is_taken = false; }
  void* map(std::uint64_t physical, std::uint64_t length, Cacheability seen) noexcept {
    if (!has_map) return nullptr;
    const std::uintptr_t at = 0xd000'0000 + 0x10'0000 * maps++;
    log.push_back(std::to_string(physical - mmz_window) + '+' + std::to_string(length) + (seen == Cacheability::cached ? " cached" : ""));
    return reinterpret_cast<void*>(at);
  }
  void unmap(void*, std::uint64_t length) noexcept { log.push_back("-" + std::to_string(length)); }

  bool is_taken = false;
  bool has_map = true;
  std::uintptr_t maps = 0;
  std::vector<std::string> log = {};

 private:
  Heap& heap_;
};

struct MmzKernelScene : MmzScene {
  using Kernel = device::MmzKernel<Zones, lock::Futex, MmzKernelBytes, 8, 4, 3>;

  MmzKernelScene() : MmzScene("mmz=anonymous,0,0x46000000,64K:jpeg,3,0x48000000,32K:spare,7,0x47000000,32K mmz_allocator=hisi") {}

  std::vector<device::MmzMisuse> take_misuses() { return std::exchange(platform.misuses, {}); }
  std::vector<std::string> take_done() { return std::exchange(*platform.done, {}); }

  MmzKernelBytes bytes{*this};
  std::array<MmzWindow, 2> windows = {{{mmz_window, 1 << 20}, {0xf0000100, 0x80}}};
  Kernel kernel{mmz(), *device.open(), bytes, windows, MmzGeneration::g4};
};

}  // namespace freestone::tests
