// Which areas a system has: from the parameter `cma=`, from its device tree, or from a driver's call at boot; and which of them a request
// for memory that devices see goes to. (shared/spec: MSYS 6.1 to 6.3.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/cma_area.hpp>

namespace freestone {

// An area as it is asked for; in bytes.
struct CmaWanted {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::uint64_t limit = 0;      // its end lies below; 0: anywhere
  std::uint64_t alignment = 0;  // a power of two, or 0: the least that there is
  unsigned order_per_bit = 0;
  bool is_fixed = false;        // at `base`, and nowhere else; else at `base` or above
};

// Why there is no such area, in the order in which it is looked for.
enum class CmaRefusal : std::uint8_t {
  none,
  no_slot,                     // ENOSPC
  zero_size,                   // EINVAL, as those that follow
  alignment_not_power_of_two,
  base_misaligned,
  size_not_whole_bits,
  crosses_high_memory,
  beyond_limit,
  taken,                       // EBUSY: somebody has some of it, or it is no memory
  no_room,                     // ENOMEM
};
// As Linux numbers it: 0, or less.
constexpr int cma_errno(CmaRefusal refusal) noexcept {
  switch (refusal) {
    case CmaRefusal::none: return 0;
    case CmaRefusal::no_slot: return -28;
    case CmaRefusal::taken: return -16;
    case CmaRefusal::no_room: return -12;
    default: return -22;
  }
}

// A node of a device tree's /reserved-memory. Where both are said, `reg` counts.
struct ReservedNode {
  bool is_shared_dma_pool = false;  // compatible
  bool is_reusable = false;
  bool is_no_map = false;
  bool is_cma_default = false;             // linux,cma-default
  std::optional<CmaRange> reg = {};        // in pages
  std::uint64_t size = 0;                  // bytes
  std::uint64_t alignment = 0;             // bytes
  std::span<const CmaRange> ranges = {};   // alloc-ranges, in pages; none: anywhere
};

// What became of one.
enum class ReservedUse : std::uint8_t {
  reserved,      // nobody's
  area,          // CMA's
  private_pool,  // coherent memory of the devices that it is bound to
};

// A system's memory at boot. Up to `most` areas and reservations; for one caller, before anything runs.
template <std::size_t most = 64>
class CmaPlan {
 public:
  static constexpr std::uint64_t page = 4096;

  // Memory, as ranges of pages; those from `high_page` on the kernel does not see always. `minimum`: what an area's base and size are
  // multiples of at least (a pageblock), in bytes.
  CmaPlan(std::span<const CmaRange> memory, std::uint64_t minimum, std::uint64_t high_page = ~std::uint64_t{0}) noexcept
      : memory_(memory), minimum_(minimum), high_page_(high_page) {}

  struct Area {
    CmaRange range = {};
    unsigned order_per_bit = 0;
  };
  struct Declared {
    CmaRefusal refusal = CmaRefusal::none;
    Area area = {};
  };
  // Takes its pages; one that may lie anywhere lies as high as it can. Errors: nothing changed.
  Declared declare(const CmaWanted& wanted) noexcept { return declare(wanted, {}); }

  // Somebody else's; false: there is no room for one more.
  bool reserve(const CmaRange& range) noexcept {
    if (count_ == most) return false;
    return taken_[count_++] = range, true;
  }

  // A device tree's; where its node says that it is the default and `cma=` was given, that is EBUSY.
  struct Reserved {
    CmaRefusal refusal = CmaRefusal::none;
    ReservedUse use = ReservedUse::reserved;
    CmaRange range = {};
    bool is_default = false;
  };
  Reserved add(const ReservedNode& node, bool has_parameter) noexcept {
    Reserved made;
    if (node.is_shared_dma_pool && node.is_reusable && !node.is_no_map) made.use = ReservedUse::area;
    if (node.is_shared_dma_pool && node.is_no_map) made.use = ReservedUse::private_pool;
    made.is_default = made.use == ReservedUse::area && node.is_cma_default;
    if (made.is_default && has_parameter) return made.refusal = CmaRefusal::taken, made;
    const bool is_area = made.use == ReservedUse::area;
    const CmaWanted wanted{.base = node.reg ? node.reg->first_page * page : 0,
                           .size = node.reg ? node.reg->pages * page : node.size,
                           .alignment = node.alignment,
                           .is_fixed = node.reg.has_value()};
    if (is_area && (wanted.base | wanted.size) % minimum_ != 0) return made.refusal = CmaRefusal::base_misaligned, made;
    const Declared declared = is_area ? declare(wanted, node.ranges) : take(wanted, page, node.ranges);
    made.refusal = declared.refusal;
    made.range = declared.area.range;
    return made;
  }

 private:
  Declared declare(const CmaWanted& wanted, std::span<const CmaRange> within) noexcept {
    const auto refuse = [](CmaRefusal refusal) { return Declared{refusal, {}}; };
    const std::uint64_t bit = page << wanted.order_per_bit;
    if (count_ == most) return refuse(CmaRefusal::no_slot);
    if (wanted.size == 0) return refuse(CmaRefusal::zero_size);
    if (wanted.alignment != 0 && !bits::is_power_of_two(wanted.alignment)) return refuse(CmaRefusal::alignment_not_power_of_two);
    const std::uint64_t alignment = wanted.alignment > minimum_ ? wanted.alignment : minimum_;
    if (wanted.is_fixed && wanted.base % alignment != 0) return refuse(CmaRefusal::base_misaligned);
    CmaWanted rounded = wanted;
    rounded.base = bits::align_up(wanted.base, alignment);
    rounded.size = bits::align_up(wanted.size, alignment);
    rounded.limit = wanted.limit / alignment * alignment;
    if (rounded.size == 0 || rounded.size % bit != 0) return refuse(CmaRefusal::size_not_whole_bits);
    const std::uint64_t high = high_page_ * page;
    const bool is_high_known = high_page_ < ~std::uint64_t{0} / page;
    if (wanted.is_fixed && is_high_known && rounded.base < high && rounded.size > high - rounded.base) return refuse(CmaRefusal::crosses_high_memory);
    const std::uint64_t limit = rounded.limit == 0 ? end_of_memory() : rounded.limit;
    if (rounded.base > limit || rounded.size > limit - rounded.base) return refuse(CmaRefusal::beyond_limit);
    return take(rounded, alignment, within);
  }

  // Checked but for room.
  Declared take(const CmaWanted& wanted, std::uint64_t alignment, std::span<const CmaRange> within) noexcept {
    if (count_ == most) return {CmaRefusal::no_slot, {}};
    const std::uint64_t pages = (wanted.size + page - 1) / page;
    const auto found = wanted.is_fixed ? fixed({wanted.base / page, pages}) : highest(wanted, pages, alignment / page, within);
    if (!found) return {wanted.is_fixed ? CmaRefusal::taken : CmaRefusal::no_room, {}};
    reserve(*found);
    return {CmaRefusal::none, {*found, wanted.order_per_bit}};
  }
  std::optional<CmaRange> fixed(const CmaRange& range) const noexcept {
    return range.pages != 0 && is_memory(range) && blocker(range) == nullptr ? std::optional(range) : std::nullopt;
  }
  std::optional<CmaRange> highest(const CmaWanted& wanted, std::uint64_t pages, std::uint64_t step, std::span<const CmaRange> within) const noexcept {
    std::optional<CmaRange> best;
    const CmaRange all{0, end_of_memory() / page};
    const std::span<const CmaRange> windows = within.empty() ? std::span(&all, 1) : within;
    for (const CmaRange& window : windows) {
      for (const CmaRange& memory : memory_) {
        const auto found = highest_in(memory, window, wanted, pages, step);
        if (found && (!best || found->first_page > best->first_page)) best = found;
      }
    }
    return best;
  }
  std::optional<CmaRange> highest_in(const CmaRange& memory, const CmaRange& window, const CmaWanted& wanted, std::uint64_t pages,
                                     std::uint64_t step) const noexcept {
    std::uint64_t end = memory.end() < window.end() ? memory.end() : window.end();
    if (wanted.limit != 0 && wanted.limit / page < end) end = wanted.limit / page;
    std::uint64_t low = memory.first_page > window.first_page ? memory.first_page : window.first_page;
    if (wanted.base / page > low) low = wanted.base / page;
    while (pages != 0 && pages <= end) {
      const CmaRange place{(end - pages) / step * step, pages};
      if (place.first_page < low) break;
      const CmaRange* const other = blocker(place);
      const bool is_across = place.first_page < high_page_ && place.end() > high_page_;
      if (other == nullptr && !is_across) return place;
      end = other != nullptr ? other->first_page : high_page_;
    }
    return std::nullopt;
  }
  const CmaRange* blocker(const CmaRange& range) const noexcept {
    const CmaRange* lowest = nullptr;
    for (std::size_t at = 0; at < count_; ++at) {
      if (taken_[at].overlaps(range) && (lowest == nullptr || taken_[at].first_page < lowest->first_page)) lowest = &taken_[at];
    }
    return lowest;
  }
  bool is_memory(const CmaRange& range) const noexcept {
    for (const CmaRange& memory : memory_) {
      if (memory.has(range)) return true;
    }
    return false;
  }
  std::uint64_t end_of_memory() const noexcept {
    std::uint64_t end = 0;
    for (const CmaRange& memory : memory_) end = memory.end() > end ? memory.end() : end;
    return end * page;
  }

  const std::span<const CmaRange> memory_;
  const std::uint64_t minimum_;
  const std::uint64_t high_page_;
  CmaRange taken_[most] = {};
  std::size_t count_ = 0;
};

// Where a device's coherent memory comes from; those that are null are not there.
template <class Area>
struct DmaAreas {
  Area* device = nullptr;    // its own, bound by memory-region
  Area* node = nullptr;      // of the memory that is near
  Area* standard = nullptr;  // the default one
  unsigned most_align_order = 8;
};
template <class Area>
struct DmaPages {
  std::uint64_t first_page = 0;
  std::uint64_t pages = 0;
  Area* area = nullptr;  // null: of the buddy's
};

// Pages of the device's area; where it has none, and there is more than one page, of the near or the default area; else what
// buddy(order) -> Result<first page> gives. `may_wait`: not in an interrupt handler, say: then the buddy's only. Errors: zero_size; the
// buddy's.
template <class Area, class Buddy>
Result<DmaPages<Area>> allocate_dma(const DmaAreas<Area>& areas, std::uint64_t pages, bool may_wait, Buddy&& buddy) noexcept {
  if (pages == 0) return Error{.code = ErrorCode::zero_size};
  const unsigned order = page_order(pages), align = order < areas.most_align_order ? order : areas.most_align_order;
  const bool is_single = pages == 1;
  Area* const asked[] = {areas.device, is_single ? nullptr : areas.node, is_single ? nullptr : areas.standard};
  for (std::size_t at = 0; at < 3 && may_wait; ++at) {
    if (asked[at] == nullptr) continue;
    const auto made = asked[at]->allocate(pages, align);
    if (made) return DmaPages<Area>{*made, pages, asked[at]};
    if (at == 0) break;  // who has an area of his own has no part of the others
  }
  const auto made = buddy(order);
  if (!made) return made.error();
  return DmaPages<Area>{*made, pages, nullptr};
}

}  // namespace freestone
