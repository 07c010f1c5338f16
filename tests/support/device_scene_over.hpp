// A board's heaps as devices have them, over a platform and with limits of the test's.
#pragma once

#include <algorithm>
#include <functional>
#include <list>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/device/deferred_free.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/ion.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/device/pooled_heaps.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/share/device.hpp>

#include "../../examples/interposer/stock_heaps.hpp"

namespace freestone::tests {

// at_once: the buffers' memory is its heap's again when their last holder lets go. later: when somebody calls
// later.work(), or needs it; and heaps of the type system keep pages.
enum class Freeing : bool { at_once, later };

template <class P, ShareLimits limits, class X = device::HeapBuffer<typename P::Memory, lock::Futex>>
class SceneOver {
 public:
  using Heaps = linux_user::StockHeaps;
  using Pooled = device::PooledHeaps<Heaps, lock::Futex>;
  using Extra = X;
  using Shared = Device<Pooled, P, limits, scrub::Nothing, PlainLocks<lock::Futex>, CompilerAtomics, Extra>;
  using Later = device::DeferredFree<Shared, lock::Futex>;
  using Heap = device::FileHeap<Shared, lock::Futex>;
  using Buffer = device::DmaBuf<Shared, lock::Futex>;
  using Ion = device::IonFile<Shared, lock::Futex>;

  explicit SceneOver(BoardTable board, Freeing freeing = Freeing::at_once, bool is_limited = true)
      : zones_(heaps_of(std::move(board))), pooled_(zones_), device(pooled_, platform, TagKey{1, 2}) {
    if (freeing == Freeing::later) later.begin();
    for (std::size_t place = 0; place < zones_.count(); ++place) {
      const BoardHeap& heap = zones_.text(place);
      const device::HeapInfo info = device::heap_info_of(heap, is_limited);
      const bool has_pools = freeing == Freeing::later && info.type == device::HeapType::system;
      heaps.emplace_back(device, info, &later, has_pools ? add_pools(info.id) : nullptr);
      walk_.push_back(&heaps.back());
    }
    ion_heaps = {.device = &device, .heaps = walk_};
    std::ranges::sort(walk_, [](const Heap* a, const Heap* b) { return a->info().id > b->info().id; });
  }

  Heap& heap(std::string_view name) {
    return *std::ranges::find_if(heaps, [&](Heap& one) { return one.info().name == name; });
  }
  const Heaps& zones() const noexcept { return zones_; }
  ZoneRef zone(const char* name) { return *zones_.zone(name); }
  std::uint64_t free_bytes(const char* name) { return zones_.zone(name)->stats().free.value(); }
  Ion open_ion() { return Ion(ion_heaps, *device.open()); }
  // One of a generation with handles, with these of open's flags.
  template <device::IonGeneration generation>
  auto open_ion(std::uint32_t flags = 2) {
    const auto id = [](const Heap* heap) { return heap->info().id; };
    is_msm(generation) ? std::ranges::sort(walk_, std::less(), id) : std::ranges::sort(walk_, std::greater(), id);
    ion_heaps = {.device = &device, .heaps = walk_, .generation = generation};
    return device::IonHandleFile<Shared, lock::Futex, generation>(ion_heaps, *device.open(), cookies, device::OpenFlags{flags});
  }

 private:
  static Heaps heaps_of(BoardTable&& board) {
    static_cast<void>(device::take_types(board));
    return *Heaps::create(std::move(board));
  }

  typename Pooled::Pools* add_pools(unsigned heap) {
    pools_.emplace_back(*zones_.zone(heap), pool_room_);
    pooled_.add(heap, pools_.back());
    return &pools_.back();
  }

  Heaps zones_;
  std::vector<device::KeptBlocks::Place> pool_room_ = std::vector<device::KeptBlocks::Place>(512);
  std::list<typename Pooled::Pools> pools_ = {};  // of one heap at most
  Pooled pooled_;
  std::vector<Heap*> walk_ = {};

 public:
  P platform = {};
  Shared device;

 private:
  std::vector<typename Later::Place> dead_room_ = std::vector<typename Later::Place>(limits.buffers);

 public:
  Later later{dead_room_};
  std::list<Heap> heaps = {};
  device::IonHeaps<Shared, lock::Futex> ion_heaps = {};
  device::IonCookies<lock::Futex> cookies = {};
};

}  // namespace freestone::tests
