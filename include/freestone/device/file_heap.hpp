// A heap whose buffers are files from the start: what ION since 4.12 and dma-heap have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/heap_use.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

inline constexpr Bytes page_size = 4096;

// ION's counts; 3.10 and later (shared/spec: ION 2.1).
enum class HeapType : std::uint32_t { system = 0, system_contig = 1, carveout = 2, chunk = 3, dma = 4, custom = 5 };

// A heap of several blocks a buffer, or always of one.
constexpr bool is_scattered(HeapType type) noexcept { return type == HeapType::system || type == HeapType::chunk; }

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
  using Buffer = DmaBuf<D, typename HeapUse<L>::Share, L>;

  FileHeap(D& device, const HeapInfo& info) noexcept : device_(&device), info_(info) {}
  FileHeap(const FileHeap&) = delete;
  FileHeap& operator=(const FileHeap&) = delete;

  const HeapInfo& info() const noexcept { return info_; }
  typename HeapUse<L>::Figures use() noexcept { return use_.figures(); }

  // A buffer of whole pages (`size`), zeros, in the name of that client. Errors: the Device's; the platform's. A buffer
  // of the system heap has no more than half of the heap (shared/spec: ION 3.1): no_space.
  Result<Buffer> allocate(ClientId client, Bytes size) noexcept {
    if (info_.type == HeapType::system && size > Bytes(info_.size.value() / 2)) {
      return Error{.code = ErrorCode::no_space, .asked = size.value(), .available = (Bytes(info_.size.value() / 2)).value()};
    }
    const Constraints wanted{
        .size = size, .heaps = HeapMask::of(info_.id), .contiguous = !is_scattered(info_.type)};
    auto handle = device_->allocate(client, wanted);
    if constexpr (requires { device_->platform().reclaim(); }) {
      if (!handle) device_->platform().reclaim(), handle = device_->allocate(client, wanted);
    }
    if (!handle) return handle.error();
    auto buffer = device_->share(client, *handle);
    static_cast<void>(device_->free(client, *handle));
    if (!buffer) return buffer.error();
    auto memory = device_->platform().memory(size);
    if (!memory) return memory.error();
    return Buffer(*std::move(buffer), *std::move(memory), size, typename HeapUse<L>::Share(use_, size));
  }

 private:
  D* device_;
  const HeapInfo info_;
  HeapUse<L> use_;
};

// A length as these systems round it; empty where nothing is left of it, or it wraps.
constexpr std::optional<Bytes> whole_pages(std::uint64_t length) noexcept {
  const std::uint64_t rounded = bits::align_up(length, page_size.value());
  return rounded == 0 ? std::nullopt : std::optional<Bytes>(rounded);
}

}  // namespace freestone::device
