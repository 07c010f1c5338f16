// MMZ's zones: which of them a request may have, and what each makes of it. (shared/spec: MMZ 2.4, 3.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/same_text.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/mmz/sharing.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/mmz_generation.hpp>
#include <freestone/share/client.hpp>
#include <freestone/zone/layers/sized.hpp>

namespace freestone::device {

// A zone; its name and size are its heap's.
template <class D, class L>
struct MmzZone {
  FileHeap<D, L>* heap = nullptr;
  std::uint64_t base = 0;  // of its first byte, physical
  std::uint64_t gfp = 0;
  std::uint64_t type = 0;  // of ALLOC_V2's blocks: 1 powers of two, 2 multiples of block_align, others: pages
  Bytes block_align = {};
};

enum class MmzOrder : std::uint32_t { low_to_high = 0, high_to_low = 1 };

struct MmzWanted {
  std::uint64_t size = 0;
  std::uint64_t align = 0;  // any number; 0: a page
  std::uint64_t gfp = 0;    // 0: any
  const char* zone = "";    // empty: "anonymous"
  const char* name = "";    // the block's
  bool is_v2 = false;       // ALLOC_V2
  MmzOrder order = MmzOrder::low_to_high;
};

// What a block's memory does for caches, where it has any that others do not see.
template <class Ref, class Part>
void maintain(const Ref& buffer, const Part& part, CacheCommand command) noexcept {
  auto& memory = buffer.extra().memory();
  if constexpr (requires { memory.maintain(part, command); }) memory.maintain(part, command);
}

// What is to be seen beside a file's own blocks.
struct MmzVisible {
  std::span<const MmzWindow> windows = {};  // apart from each other, and from all zones; they outlive whoever is told of them
  bool isolates_processes = true;           // blocks are their owners', until these share them
};

// Of the Device D, whose heaps they are. Any thread; it stays where it is, and outlives its files.
template <class D, class L>
class MmzZones {
 public:
  using Zone = MmzZone<D, L>;
  using Ref = typename D::Ref;
  using Sharing = MmzSharing<L, D::most_buffers>;

  // `zones`: in the order of registration; they outlive it.
  MmzZones(D& device, std::span<const Zone> zones, MmzAllocator allocator, const MmzVisible& visible = {}) noexcept
      : device_(device), zones_(zones), allocator_(allocator), windows_(visible.windows), sharing_(visible.isolates_processes) {
    for (const Zone& zone : zones) {
      if (zone.heap->info().size > limit_) limit_ = zone.heap->info().size;
    }
  }
  MmzZones(const MmzZones&) = delete;
  MmzZones& operator=(const MmzZones&) = delete;

  D& device() const noexcept { return device_; }

  // A block, zeros, in the name of that client: of the newest zone that has room, of those of the name and gfp; cma asks the first
  // of these only. Empty: there is none, for whatever reason (ENOMEM).
  Ref allocate(ClientId client, const MmzWanted& wanted) const noexcept {
    const bool is_v2s = wanted.is_v2 && allocator_ == MmzAllocator::hisi;
    const std::uint64_t limit = is_v2s ? least_limit.value() : limit_.value();
    if (wanted.size == 0 || wanted.size > limit || wanted.order > MmzOrder::high_to_low) return {};
    for (std::size_t place = zones_.size(); place-- != 0;) {
      const Zone& zone = zones_[place];
      if (!is_wanted(zone, wanted)) continue;
      if (Ref made = allocate_in(zone, client, wanted)) return made;
      if (allocator_ == MmzAllocator::cma) break;
    }
    return {};
  }

  // Of the block's first byte; not of an empty one.
  std::uint64_t physical_of(const Ref& block) const noexcept {
    for (const Zone& zone : zones_) {
      if (zone.heap->info().id == block.parts().heap) return zone.base + block.parts().list()[0].offset().value();
    }
    return 0;
  }
  // Is that byte some block's, whoever has it? Cost: O(buffers).
  bool has_block(std::uint64_t physical) const noexcept {
    bool is_found = false;
    device_.for_each_buffer([&](const auto& shown) {
      const std::uint64_t start = physical_of(shown.buffer);
      is_found |= physical >= start && physical - start < shown.buffer.parts().size.value();
    });
    return is_found;
  }
  // Are all of these bytes in one zone?
  bool has_range(std::uint64_t physical, std::uint64_t size) const noexcept {
    for (const Zone& zone : zones_) {
      if (MmzWindow{zone.base, zone.heap->info().size.value()}.has(physical, size)) return true;
    }
    return false;
  }
  // The window that has all of these bytes; null: none has.
  const MmzWindow* window_of(std::uint64_t physical, std::uint64_t size) const noexcept {
    for (const MmzWindow& window : windows_) {
      if (window.has(physical, size)) return &window;
    }
    return nullptr;
  }

  // Which blocks are whose.
  Sharing& sharing() const noexcept { return sharing_; }
  // A hold on the block that has that byte, where the process may have it. Empty: it may not, or nothing has.
  Ref shared_with(std::int32_t process, std::uint64_t physical) const noexcept {
    const auto block = sharing_.at(physical);
    if (!block || !block->may_have(process)) return {};
    auto hold = device_.ref(block->buffer);
    return hold ? *std::move(hold) : Ref();
  }
  // Of all zones together.
  struct Room {
    Bytes total = {};
    Bytes free = {};
  };
  Room room() const noexcept {
    Room room;
    for (const Zone& zone : zones_) {
      room.total = room.total + zone.heap->info().size;
      room.free = room.free + (zone.heap->info().size - zone.heap->use().bytes);
    }
    return room;
  }
  // All that there is in caches goes to memory. Cost: O(buffers), and the memory's.
  void flush_all() const noexcept {
    device_.for_each_buffer([](const auto& shown) { maintain(shown.buffer, WholeBuffer{}, CacheCommand::clean_invalidate); });
  }

 private:
  static constexpr Bytes least_limit = std::uint64_t{1} << 30;
  static constexpr std::uint64_t most_cma_align = std::uint64_t{1} << 20;  // what kernels are configured to

  static bool is_wanted(const Zone& zone, const MmzWanted& wanted) noexcept {
    if (wanted.gfp != 0 && wanted.gfp != zone.gfp) return false;
    return is_same_text(zone.heap->info().name, *wanted.zone == '\0' ? "anonymous" : wanted.zone);
  }

  Ref allocate_in(const Zone& zone, ClientId client, const MmzWanted& wanted) const noexcept {
    const std::uint64_t length = length_in(zone, wanted);
    const std::uint64_t align = allocator_ == MmzAllocator::cma ? natural_align(length) : align_of(wanted.align);
    if (length == 0 || align == 0) return {};
    const bool is_high = allocator_ == MmzAllocator::hisi && wanted.order == MmzOrder::high_to_low;
    auto made = zone.heap->allocate(client, {.size = length,
                                             .align = align,
                                             .seen = Cacheability::write_combined,
                                             .lifetime = is_high ? Lifetime::scratch : Lifetime::unknown,
                                             .name = wanted.name});
    return made ? *std::move(made) : Ref();
  }
  // In whole pages; 0: the zone makes nothing of it. What one zone makes of it is nothing to the next.
  static std::uint64_t length_in(const Zone& zone, const MmzWanted& wanted) noexcept {
    const std::uint64_t pages = bits::align_up(wanted.size, page_size.value());
    const layers::EqualBlocks blocks{zone.block_align};
    if (!wanted.is_v2 || pages == 0) return pages;
    if (zone.type == 1) return layers::PowerOfTwoSizes()(pages).value();
    if (zone.type != 2) return pages;
    return blocks.check() == ErrorCode::none ? bits::align_up(blocks(pages).value(), page_size.value()) : 0;
  }
  // 0: there is no such.
  static std::uint64_t align_of(std::uint64_t align) noexcept {
    return align == 0 ? page_size.value() : bits::align_up(align, page_size.value());
  }
  static std::uint64_t natural_align(std::uint64_t length) noexcept {
    return length >= most_cma_align ? most_cma_align : layers::PowerOfTwoSizes()(length).value();
  }

  D& device_;
  const std::span<const Zone> zones_;
  const MmzAllocator allocator_;
  const std::span<const MmzWindow> windows_;
  mutable Sharing sharing_;
  Bytes limit_ = least_limit;  // of ALLOC
};

}  // namespace freestone::device
