// What a buffer of a device's heap has beside its blocks.
#pragma once

#include <cstdint>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/heap_use.hpp>
#include <freestone/share/buffer_ref.hpp>

namespace freestone::device {

// ION's counts, of 3.10 and later; and two that only earlier ones have. (shared/spec: ION 2.1.)
enum class HeapType : std::uint32_t { system = 0, system_contig = 1, carveout = 2, chunk = 3, dma = 4, custom = 5, iommu, cp };

// A heap of several blocks a buffer, or always of one.
constexpr bool is_scattered(HeapType type) noexcept {
  return type == HeapType::system || type == HeapType::chunk || type == HeapType::iommu;
}
// A heap whose buffers are freed when there is time for it.
constexpr bool defers_free(HeapType type) noexcept {
  return type == HeapType::system || type == HeapType::chunk || type == HeapType::carveout;
}

struct HeapInfo {
  const char* name = "";
  HeapType type = HeapType::system;
  unsigned id = 0;
  Bytes size = {};
  Bytes largest = {};  // that a buffer may be; 0: as large as the heap
  Bytes granule = 4096;
  bool maps_uncached = true;  // also to processes (shared/spec: ION 3.1, 3.2)
};

// A heap as its buffers know it: a FileHeap is one of its Device's extra's.
template <class L>
struct HeapBase {
  explicit HeapBase(const HeapInfo& info) noexcept : info(info) {}

  // Before the zone is asked for a buffer's blocks: what the buffer has until they are back.
  struct Admission {};
  Result<Admission> admit(Bytes, std::uint32_t) noexcept { return Admission(); }

  const HeapInfo info;
  HeapUse<L> use;
};
template <class D, class L>
class FileHeap;

// The buffer's bytes, as the platform has them, and that it counts in its heap. A Device's extra: it is the heap that ends
// the buffer, when it likes.
template <class Memory, class L>
class HeapBuffer {
 public:
  using Heap = HeapBase<L>;

  // `size` is what callers see; the blocks may have more.
  HeapBuffer(HeapBase<L>& heap, Memory&& memory, Bytes size) noexcept
      : heap_(&heap), use_(heap.use, size), memory_(std::move(memory)), size_(size) {}

  // What its heap gave it before it had blocks. Once, before others know it.
  void keep(typename HeapBase<L>::Admission) noexcept {}

  const HeapInfo& heap() const noexcept { return heap_->info; }
  Bytes size() const noexcept { return size_; }
  Memory& memory() noexcept { return memory_; }

  // The heap counts it no more, whenever it ends.
  template <class D>
  void bury(DeadBuffer<D>&& dead) noexcept {
    static_cast<void>(typename HeapUse<L>::Share(std::move(use_)));
    static_cast<FileHeap<D, L>*>(heap_)->bury(std::move(dead));
  }

 private:
  HeapBase<L>* heap_;
  typename HeapUse<L>::Share use_;
  Memory memory_;
  Bytes size_;
};

}  // namespace freestone::device
