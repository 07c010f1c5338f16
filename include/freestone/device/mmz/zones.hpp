// MMZ's zones: which of them a request may have, and what each makes of it. (shared/spec: MMZ 2.4, 3.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

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
#include <freestone/heap/own_lock.hpp>
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
  // MmzZones' own, under its lock, while it has the zone.
  MmzZone* older = nullptr;
  std::uint32_t asked = 0;  // how many calls ask it for a block
};

enum class MmzOrder : std::uint32_t { low_to_high = 0, high_to_low = 1 };

struct MmzWanted {
  std::uint64_t size = 0;
  std::uint64_t align = 0;  // any number; 0: a page; a zone smaller than that has none
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
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Zone = MmzZone<D, L>;
  using Ref = typename D::Ref;
  using Sharing = MmzSharing<L, D::most_buffers>;

  // `zones`: in the order of registration; they outlive it, and stay where they are.
  MmzZones(D& device, std::span<Zone> zones, MmzAllocator allocator, const MmzVisible& visible = {}) noexcept
      : device_(device), allocator_(allocator), windows_(visible.windows), sharing_(visible.isolates_processes) {
    for (Zone& zone : zones) add(zone);
  }
  MmzZones(const MmzZones&) = delete;
  MmzZones& operator=(const MmzZones&) = delete;

  D& device() const noexcept { return device_; }

  // One more, the newest from here on, that is none of these: it stays where it is until it is removed.
  void add(Zone& zone) noexcept {
    const Turn turn(lock_);
    zone.older = newest_;
    newest_ = &zone;
  }
  // It gives no blocks any more. False, and nothing happened: it has blocks, or is just asked for one; it is none of these.
  bool remove(const Zone& zone) noexcept {
    const Turn turn(lock_);
    Zone** at = &newest_;
    while (*at != nullptr && *at != &zone) at = &(*at)->older;
    if (*at == nullptr || zone.asked != 0 || zone.heap->use().buffers != 0) return false;
    *at = zone.older;
    return true;
  }
  // visit(Zone&) for each, the newest first; it calls nothing here.
  template <class Visitor>
  void for_each(Visitor&& visit) const noexcept {
    const Turn turn(lock_);
    for (Zone* zone = newest_; zone != nullptr; zone = zone->older) visit(*zone);
  }

  // Is it of the request's name and gfp?
  static bool is_wanted(const Zone& zone, const MmzWanted& wanted) noexcept {
    if (wanted.gfp != 0 && wanted.gfp != zone.gfp) return false;
    return is_same_text(zone.heap->info().name, *wanted.zone == '\0' ? "anonymous" : wanted.zone);
  }

  // A block, zeros, in the name of that client: of the newest zone that has room, of those of the name and gfp; cma asks the first
  // of these only. Empty: there is none, for whatever reason (ENOMEM).
  Ref allocate(ClientId client, const MmzWanted& wanted) const noexcept {
    return allocate_where(client, wanted, [&](const Zone& zone) { return is_wanted(zone, wanted); });
  }
  // The same of that zone, whatever its name and gfp. Empty also: it is none of these.
  Ref allocate_in(const Zone& only, ClientId client, const MmzWanted& wanted) const noexcept {
    return allocate_where(client, wanted, [&](const Zone& zone) { return &zone == &only; });
  }

  // Of the block's first byte; not of an empty one. 0: it is in none of these.
  std::uint64_t physical_of(const Ref& block) const noexcept { return start_of(block).value_or(0); }
  // The block that this byte is in, whoever has it; empty: there is none. Cost: O(buffers).
  Ref block_at(std::uint64_t physical) const noexcept {
    Ref found;
    device_.for_each_buffer([&](const auto& shown) {
      const auto start = start_of(shown.buffer);
      if (!start || physical < *start || physical - *start >= shown.buffer.parts().size.value()) return;
      if (auto hold = device_.ref(shown.buffer.id())) found = *std::move(hold);
    });
    return found;
  }
  bool has_block(std::uint64_t physical) const noexcept { return static_cast<bool>(block_at(physical)); }
  // Are all of these bytes in one zone?
  bool has_range(std::uint64_t physical, std::uint64_t size) const noexcept {
    bool is_in = false;
    for_each([&](const Zone& zone) { is_in |= MmzWindow{zone.base, zone.heap->info().size.value()}.has(physical, size); });
    return is_in;
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
    for_each([&](const Zone& zone) {
      room.total = room.total + zone.heap->info().size;
      room.free = room.free + (zone.heap->info().size - zone.heap->use().bytes);
    });
    return room;
  }
  // All that there is in caches goes to memory. Cost: O(buffers), and the memory's.
  void flush_all() const noexcept {
    device_.for_each_buffer([](const auto& shown) { maintain(shown.buffer, WholeBuffer{}, CacheCommand::clean_invalidate); });
  }

 private:
  static constexpr Bytes least_limit = std::uint64_t{1} << 30;
  static constexpr std::uint64_t most_cma_align = std::uint64_t{1} << 20;  // what kernels are configured to

  std::optional<std::uint64_t> start_of(const Ref& block) const noexcept {
    std::optional<std::uint64_t> start;
    for_each([&](const Zone& zone) {
      if (zone.heap->info().id == block.parts().heap) start = zone.base + block.parts().list()[0].offset().value();
    });
    return start;
  }

  // Of the first that has room, of those that is(zone).
  template <class Is>
  Ref allocate_where(ClientId client, const MmzWanted& wanted, Is&& is) const noexcept {
    if (wanted.size == 0 || wanted.size > limit(wanted) || wanted.order > MmzOrder::high_to_low) return {};
    Turn turn(lock_);
    for (Zone* zone = newest_; zone != nullptr; zone = zone->older) {
      if (!is(*zone)) continue;
      ++zone->asked;
      Ref made = turn.let_others([&] { return make(*zone, client, wanted); });
      --zone->asked;
      if (made) return made;
      if (allocator_ == MmzAllocator::cma) break;
    }
    return {};
  }
  // As long as that a block may be.
  std::uint64_t limit(const MmzWanted& wanted) const noexcept {
    Bytes limit = least_limit;
    if (wanted.is_v2 && allocator_ == MmzAllocator::hisi) return limit.value();
    for_each([&](const Zone& zone) {
      if (zone.heap->info().size > limit) limit = zone.heap->info().size;
    });
    return limit.value();
  }

  Ref make(const Zone& zone, ClientId client, const MmzWanted& wanted) const noexcept {
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
  const MmzAllocator allocator_;
  const std::span<const MmzWindow> windows_;
  mutable Sharing sharing_;
  mutable OwnLock<L> lock_;  // of which there are
  Zone* newest_ = nullptr;
};

}  // namespace freestone::device
