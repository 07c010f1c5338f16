// What a buffer of a device's heap has beside its blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/heap_use.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/map_counts.hpp>

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

// Who has a handle, as reports name him.
struct Holder {
  std::array<char, 16> task = {};  // its name, with its end
  std::uint32_t process = 0;
};

// How many clients have a handle to a buffer, and who had the last. Any thread, as L lets them; it may be moved while nobody calls.
template <class L>
class Holders {
  using Turn = typename OwnLock<L>::Turn;

 public:
  Holders() noexcept = default;
  Holders(Holders&& other) noexcept : count_(other.count_), last_(other.last_) {}  // its lock stays behind

  void add() noexcept {
    const Turn turn(lock_);
    ++count_;
  }
  // Of one that was added.
  void remove(const Holder& holder) noexcept {
    const Turn turn(lock_);
    if (--count_ == 0) last_ = holder;
  }
  // Empty while somebody has one, and where nobody ever had.
  std::optional<Holder> last() noexcept {
    const Turn turn(lock_);
    return count_ == 0 ? last_ : std::nullopt;
  }

 private:
  OwnLock<L> lock_;
  std::uint32_t count_ = 0;
  std::optional<Holder> last_ = {};
};

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
  // As reports show it: up to 31 letters, which its maker says before others know the buffer.
  const std::array<char, 32>& name() const noexcept { return name_; }
  void set_name(const char* name) noexcept {
    for (std::size_t at = 0; at + 1 < name_.size() && name[at] != '\0'; ++at) name_[at] = name[at];
  }
  Memory& memory() noexcept { return memory_; }
  Holders<L>& holders() noexcept { return holders_; }

  // A program's mapping of what `self` holds, counted while it lives. Errors: the Device's.
  template <class D>
  static std::optional<BufferMap<D>> map_program(const BufferRef<D>& self, Errno& error) noexcept {
    auto map = self.device().map(self, Mapper::cpu);
    error = map ? Errno::none : errno_of(map.error().code);
    return map ? std::optional(*std::move(map)) : std::nullopt;
  }

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
  std::array<char, 32> name_ = {};
  Holders<L> holders_;
};

}  // namespace freestone::device
