// What a served MMZ shows: rows of its zones and blocks as they are at the moment, and what its kernel would log.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <freestone/device/mmz/file.hpp>
#include <freestone/device/mmz/zones.hpp>
#include <freestone/device/os/mmz_reports.hpp>
#include <freestone/heap/os/board_mmz.hpp>
#include <freestone/heap/os/describe.hpp>

#include "reports.hpp"

namespace freestone::linux_user {

// /proc/media-mem, of zones that stay. A block that comes where one has just gone, while this looks, is shown in its place, or is not.
template <class D, class L>
std::string media_mem_of(const MmzBoard& board, const device::MmzZones<D, L>& all) {
  struct Seen {
    unsigned heap;
    std::uint64_t physical, length;
    std::array<char, 32> name;
    device::MmzSharedBlock shared;
  };
  SeenList<Seen> blocks;
  all.device().for_each_buffer([&](const auto& shown) {
    const auto& extra = shown.buffer.extra();
    const std::uint64_t physical = all.physical_of(shown.buffer);
    const device::MmzSharedBlock shared = all.sharing().at(physical).value_or(device::MmzSharedBlock());
    blocks.add({extra.heap().id, physical, shown.buffer.parts().size.value(), extra.name(), shared});
  });
  std::vector<Seen> seen = blocks.take();
  std::ranges::sort(seen, {}, &Seen::physical);
  std::vector<device::mmz_reports::ZoneRow> rows;
  SeenList<const device::MmzZone<D, L>*> zones;
  all.for_each([&](const auto& zone) { zones.add(&zone); });
  for (const auto* const zone : zones.take()) {
    const device::HeapInfo& info = zone->heap->info();
    device::mmz_reports::ZoneRow row{.name = info.name, .gfp = zone->gfp, .start = zone->base, .size = info.size.value()};
    std::uint64_t end = 0;
    for (const Seen& one : seen) {
      if (one.heap != info.id || one.physical < end) continue;
      end = one.physical + one.length;
      row.blocks.push_back({.physical = one.physical,
                            .length = one.length,
                            .name = one.name.data(),
                            .is_shared = one.shared.is_for_all,
                            .processes = one.shared.processes});
    }
    rows.push_back(std::move(row));
  }
  return device::mmz_reports::media_mem(board, rows);
}

// Of a block that was left behind, where the server's own messages go.
inline void log_leak(const device::MmzLeak& leak) noexcept {
  static_cast<void>(has_memory([&] {
    const std::string line = device::mmz_reports::leak(static_cast<std::int32_t>(leak.process),
                                                       {.physical = leak.physical, .length = leak.length, .name = leak.name});
    std::fprintf(stderr, "freestone-server: %s\n", line.c_str());
  }));
}

// Of a zone that is refused while the server runs.
inline void log_left_out(const TextError& zone) {
  std::fprintf(stderr, "freestone-server: /proc/media-mem: left out: %s\n", describe(zone).c_str());
}

}  // namespace freestone::linux_user
