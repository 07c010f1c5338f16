// A heap of buffers that become files: what ION's and dma-heap's have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/deferred_free.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/heap_use.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// One heap of the Device D, whose extra is a HeapBuffer. It stays where it is, and outlives its buffers.
template <class D, class L>
class FileHeap : private D::Extra::Heap {
  using Base = typename D::Extra::Heap;
  friend HeapBuffer<typename D::Platform::Memory, L>;

 public:
  using Later = DeferredFree<D, L>;
  using Pools = PagePools<L>;
  using Ref = typename D::Ref;
  static constexpr std::uint64_t all = Pools::all;

  // Where buffers wait to be freed (its own, if it defers that), and what it keeps: both outlive it, and may be none.
  FileHeap(D& device, const HeapInfo& info, Later* later = nullptr, Pools* pools = nullptr) noexcept
      : Base(info), device_(&device), later_(later), pools_(pools) {}
  FileHeap(const FileHeap&) = delete;
  FileHeap& operator=(const FileHeap&) = delete;
  ~FileHeap() {
    if (later_ != nullptr) later_->drain(mask());
  }

  const HeapInfo& info() const noexcept { return Base::info; }
  typename HeapUse<L>::Figures use() noexcept { return Base::use.figures(); }
  // What its buffers know of it.
  Base& base() noexcept { return *this; }

  // A buffer of whole pages (`size`), zeros, in the name of that client. What it fails for may be held by buffers that
  // wait to be freed, of whichever heap: then these are freed, and it is tried once more. Errors: the Device's; the
  // platform's; those of the base's admit.
  Result<Ref> allocate(ClientId client, Bytes size) noexcept { return allocate(client, Wanted{.size = size}); }
  struct Wanted {
    Bytes size = {};
    Bytes align = {};
    std::uint32_t flags = 0;  // the buffer's
    std::optional<Cacheability> seen = {};
    Lifetime lifetime = Lifetime::unknown;
    const char* name = "";  // in reports
  };
  Result<Ref> allocate(ClientId client, const Wanted& wanted) noexcept {
    if (info().largest != 0 && wanted.size > info().largest) {
      return Error{.code = ErrorCode::no_space, .asked = wanted.size.value(), .available = info().largest.value()};
    }
    auto admission = Base::admit(wanted.size, wanted.flags);
    if (!admission) return admission.error();
    auto buffer = make(client, wanted);
    if (!buffer && make_room()) buffer = make(client, wanted);
    if (buffer) buffer->extra().keep(*std::move(admission));
    return buffer;
  }

  // Bytes of dead buffers that wait to be freed, where it defers that.
  std::optional<Bytes> waiting() noexcept { return defers() ? std::optional(later_->waiting(info().id)) : std::nullopt; }
  // What it keeps; null: nothing.
  Pools* pools() const noexcept { return pools_; }

  // Does anything wait or stay here that shrink could take?
  bool can_shrink() const noexcept { return defers() || pools_ != nullptr; }
  // When memory is wanted: that many pages go back to the zone, or `all`: of dead buffers first, of which the pools get
  // nothing, then of what the pools keep. How many pages went; of 0, how many could.
  std::uint64_t shrink(std::uint64_t pages) noexcept {
    if (pages == 0) return later_ == nullptr ? kept_pages() : later_->at_rest([this] { return waiting_pages() + kept_pages(); });
    const std::uint64_t gone = pages_of(free_waiting(mask(), bytes_of(pages)));
    return gone >= pages || pools_ == nullptr ? gone : gone + pools_->shrink(pages - gone);
  }

 private:
  bool defers() const noexcept { return later_ != nullptr && defers_free(info().type); }
  HeapMask mask() const noexcept { return HeapMask::of(info().id); }
  static Bytes bytes_of(std::uint64_t pages) noexcept { return pages > all >> 12 ? all : pages << 12; }
  std::uint64_t waiting_pages() noexcept { return pages_of(later_->waiting(info().id)); }
  std::uint64_t kept_pages() noexcept { return pools_ == nullptr ? 0 : pools_->kept(); }

  Result<Ref> make(ClientId client, const Wanted& wanted) noexcept {
    const Constraints constraints{.size = wanted.size,
                                  .align = wanted.align,
                                  .heaps = mask(),
                                  .contiguous = !is_scattered(info().type),
                                  .lifetime = wanted.lifetime};
    const auto handle = device_->allocate(client, constraints, wanted.flags, wanted.seen, [&](const auto&) { return extra(wanted); });
    if (!handle) return handle.error();
    auto buffer = device_->share(client, *handle);
    static_cast<void>(device_->free(client, *handle));
    return buffer;
  }
  Result<typename D::Extra> extra(const Wanted& wanted) noexcept {
    auto memory = device_->platform().memory(wanted.size);
    if (!memory) return memory.error();
    typename D::Extra extra(*this, *std::move(memory), wanted.size);
    extra.set_name(wanted.name);
    return extra;
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

  void bury(DeadBuffer<D>&& dead) noexcept {
    if (!defers() || !later_->add(info().id, dead)) return;
    if constexpr (requires { device_->platform().dead_waits(); }) device_->platform().dead_waits();
  }

  D* device_;
  Later* later_;
  Pools* pools_;
};

// A length as these systems round it; empty where nothing is left of it, or it wraps.
constexpr std::optional<Bytes> whole_pages(std::uint64_t length) noexcept {
  const std::uint64_t rounded = bits::align_up(length, page_size.value());
  return rounded == 0 ? std::nullopt : std::optional<Bytes>(rounded);
}

}  // namespace freestone::device
