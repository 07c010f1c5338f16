// A heap whose buffers are files from the start: what ION since 4.12 and dma-heap have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/deferred_free.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/heap_use.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// ION's counts; 3.10 and later (shared/spec: ION 2.1).
enum class HeapType : std::uint32_t { system = 0, system_contig = 1, carveout = 2, chunk = 3, dma = 4, custom = 5 };

// A heap of several blocks a buffer, or always of one.
constexpr bool is_scattered(HeapType type) noexcept { return type == HeapType::system || type == HeapType::chunk; }
// A heap whose buffers are freed when there is time for it.
constexpr bool defers_free(HeapType type) noexcept { return is_scattered(type) || type == HeapType::carveout; }

struct HeapInfo {
  const char* name = "";
  HeapType type = HeapType::system;
  unsigned id = 0;
  Bytes size = {};
};

// One heap of the Device D. It stays where it is, and outlives its buffers.
template <class D, class L>
class FileHeap {
 public:
  using Later = DeferredFree<D, L>;
  using Pools = PagePools<L>;
  class Share;
  using Buffer = DmaBuf<D, Share, L>;
  static constexpr std::uint64_t all = Pools::all;

  // Where buffers wait to be freed (its own, if it defers that), and what it keeps: both outlive it, and may be none.
  FileHeap(D& device, const HeapInfo& info, Later* later = nullptr, Pools* pools = nullptr) noexcept
      : device_(&device), info_(info), later_(later), pools_(pools) {}
  FileHeap(const FileHeap&) = delete;
  FileHeap& operator=(const FileHeap&) = delete;
  ~FileHeap() {
    if (later_ != nullptr) later_->drain(mask());
  }

  const HeapInfo& info() const noexcept { return info_; }
  typename HeapUse<L>::Figures use() noexcept { return use_.figures(); }

  // A buffer of whole pages (`size`), zeros, in the name of that client. What it fails for may be held by buffers that
  // wait to be freed, of whichever heap: then these are freed, and it is tried once more. Errors: the Device's; the
  // platform's. A buffer of the system heap has no more than half of the heap (shared/spec: ION 3.1): no_space.
  Result<Buffer> allocate(ClientId client, Bytes size) noexcept {
    const Bytes half = info_.size.value() / 2;
    if (info_.type == HeapType::system && size > half) {
      return Error{.code = ErrorCode::no_space, .asked = size.value(), .available = half.value()};
    }
    auto buffer = make(client, size);
    return buffer || !make_room() ? std::move(buffer) : make(client, size);
  }

  // Does anything wait or stay here that shrink could take?
  bool can_shrink() const noexcept { return defers() || pools_ != nullptr; }
  // When memory is wanted: that many pages go back to the zone, or `all`: of dead buffers first, of which the pools get
  // nothing, then of what the pools keep. How many pages went; of 0, how many could.
  std::uint64_t shrink(std::uint64_t pages) noexcept {
    if (pages == 0) return later_ == nullptr ? kept_pages() : later_->at_rest([this] { return waiting_pages() + kept_pages(); });
    const std::uint64_t gone = pages_of(free_waiting(mask(), bytes_of(pages)));
    return gone >= pages || pools_ == nullptr ? gone : gone + pools_->shrink(pages - gone);
  }

  // What a buffer is of the heap's use; and it sees to its end.
  class Share {
   public:
    Share(FileHeap& heap, Bytes size) noexcept : heap_(&heap), use_(heap.use_, size) {}

    const HeapInfo& heap() const noexcept { return heap_->info_; }
    void end(typename D::Ref&& blocks, typename D::Platform::Memory&& memory) noexcept {
      heap_->end({std::move(blocks), std::move(memory)});
    }

   private:
    FileHeap* heap_;
    typename HeapUse<L>::Share use_;
  };

 private:
  bool defers() const noexcept { return later_ != nullptr && defers_free(info_.type); }
  HeapMask mask() const noexcept { return HeapMask::of(info_.id); }
  static Bytes bytes_of(std::uint64_t pages) noexcept { return pages > all >> 12 ? all : pages << 12; }
  std::uint64_t waiting_pages() noexcept { return pages_of(later_->waiting(info_.id)); }
  std::uint64_t kept_pages() noexcept { return pools_ == nullptr ? 0 : pools_->kept(); }

  Result<Buffer> make(ClientId client, Bytes size) noexcept {
    const auto handle = device_->allocate(client, {.size = size, .heaps = mask(), .contiguous = !is_scattered(info_.type)});
    if (!handle) return handle.error();
    auto buffer = device_->share(client, *handle);
    static_cast<void>(device_->free(client, *handle));
    if (!buffer) return buffer.error();
    auto memory = device_->platform().memory(size);
    if (!memory) return memory.error();
    return Buffer(*std::move(buffer), *std::move(memory), size, Share(*this, size));
  }

  // False: nothing here makes any. (Where something does, others may have done so since there was none: so no count of
  // what went tells whether it is worth trying again.)
  bool make_room() noexcept {
    constexpr bool reclaims = requires { device_->platform().reclaim(); };
    if constexpr (reclaims) device_->platform().reclaim();
    free_waiting(HeapMask::all(), all);
    return reclaims || later_ != nullptr;
  }
  // Nothing of it stays in the pools.
  Bytes free_waiting(HeapMask heaps, Bytes enough) noexcept {
    if (later_ == nullptr) return 0;
    std::optional<typename Pools::Skip> skip;
    if (pools_ != nullptr) skip.emplace(*pools_);
    return later_->drain(heaps, enough);
  }

  void end(DeadBuffer<D>&& dead) noexcept {
    if (!defers() || !later_->add(info_.id, dead)) return;
    if constexpr (requires { device_->platform().dead_waits(); }) device_->platform().dead_waits();
  }

  D* device_;
  const HeapInfo info_;
  HeapUse<L> use_;
  Later* later_;
  Pools* pools_;
};

// A length as these systems round it; empty where nothing is left of it, or it wraps.
constexpr std::optional<Bytes> whole_pages(std::uint64_t length) noexcept {
  const std::uint64_t rounded = bits::align_up(length, page_size.value());
  return rounded == 0 ? std::nullopt : std::optional<Bytes>(rounded);
}

}  // namespace freestone::device
