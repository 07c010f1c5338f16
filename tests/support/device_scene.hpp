// A board's heaps as devices have them, for the tests of device/.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <string_view>
#include <vector>

#include <freestone/device/file_heap.hpp>
#include <freestone/device/ion.hpp>
#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/share/device.hpp>

#include "support/device_calls.hpp"

namespace freestone::tests {

inline constexpr ShareLimits scene_limits{.clients = 8, .owners = 4, .buffers = 64, .handles = 8, .blocks = 64};

template <class P, ShareLimits limits>
class SceneOver {
 public:
  using Heaps = RuntimeHeaps<void, device::StockKinds>;
  using Shared = Device<Heaps, P, limits, scrub::Nothing, PlainLocks<lock::Futex>>;
  using Heap = device::FileHeap<Shared, lock::Futex>;
  using Ion = device::IonFile<Shared, lock::Futex>;

  explicit SceneOver(std::string_view toml) : zones_(heaps_of(toml)), device(zones_, platform, TagKey{1, 2}) {
    for (std::size_t place = 0; place < zones_.count(); ++place) {
      const BoardHeap& heap = zones_.text(place);
      heaps.emplace_back(device,
                         device::HeapInfo{heap.name.c_str(), device::heap_type_of(heap.type), heap.id, heap.size});
      walk_.push_back(&heaps.back());
    }
    std::ranges::sort(walk_, [](const Heap* a, const Heap* b) { return a->info().id > b->info().id; });
    ion_heaps = {.device = &device, .heaps = walk_};
  }

  Heap& heap(std::string_view name) {
    return *std::ranges::find_if(heaps, [&](Heap& one) { return one.info().name == name; });
  }
  std::uint64_t free_bytes(const char* name) { return zones_.zone(name)->stats().free.value(); }
  Ion open_ion() { return Ion(ion_heaps, *device.open()); }

 private:
  static Heaps heaps_of(std::string_view toml) {
    auto board = read_toml(toml);
    static_cast<void>(device::take_types(*board));
    return *Heaps::create(*std::move(board));
  }

  Heaps zones_;
  std::vector<Heap*> walk_ = {};

 public:
  P platform = {};
  Shared device;
  std::list<Heap> heaps = {};
  device::IonHeaps<Shared, lock::Futex> ion_heaps = {};
};
using DeviceScene = SceneOver<DevicePlatform, scene_limits>;

}  // namespace freestone::tests
