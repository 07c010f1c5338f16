// The types of heaps that devices tell apart, as zones for RuntimeHeaps.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <variant>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/zone_kinds.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/from_start.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone::device {

// Where a buffer lies is numbers; its bytes are the platform's. (Orders 8, 4, 0 and what each type is: shared/spec,
// ION 3.) A chunk heap's chunks need not be neighbours; such as are go together, for a buffer has only so many blocks.
template <class S>
using HeapZone = Zone<backing::OffsetSpace, S, lock::Futex, cache::Coherent>;
using StockKinds = ZoneKinds<ZoneKind<"system", "numbers", HeapZone<strategy::OrderList<strategy::Buddy, 8, 4, 0>>>,
                             ZoneKind<"system_contig", "numbers", HeapZone<strategy::TrimmedBuddy>>,
                             ZoneKind<"carveout", "numbers", HeapZone<strategy::Bitmap>>,
                             ZoneKind<"chunk", "numbers", HeapZone<strategy::OrderList<strategy::Bitmap, 6, 4, 2, 0>>>,
                             ZoneKind<"cma", "numbers", HeapZone<strategy::Bitmap>>,
                             ZoneKind<"iommu", "numbers", HeapZone<strategy::OrderList<strategy::Buddy, 8, 4, 0>>>,
                             ZoneKind<"cp", "numbers", HeapZone<strategy::Bitmap>>,
                             ZoneKind<"bitmap", "numbers", HeapZone<strategy::Bitmap>>,
                             ZoneKind<"buddy", "numbers", HeapZone<strategy::FromStart<strategy::Buddy>>>,
                             ZoneKind<"all_or_nothing", "numbers", HeapZone<strategy::AllOrNothing>>,
                             ZoneKind<"best_fit_mmz", "numbers", HeapZone<strategy::BestFitMmz>>>;

// In HeapType's order.
inline constexpr std::string_view heap_type_words[] = {"system", "system_contig", "carveout", "chunk", "cma", "custom", "iommu", "cp"};

constexpr bool is_heap_type(std::string_view word) noexcept { return std::ranges::count(heap_type_words, word) != 0; }
// Of a word that is none: custom.
constexpr HeapType heap_type_of(std::string_view word) noexcept {
  const auto found = std::ranges::find(heap_type_words, word);
  return found == std::end(heap_type_words) ? HeapType::custom : static_cast<HeapType>(found - std::begin(heap_type_words));
}

// A heap of a board, as a device has it. `heap` outlives it. Where buffers of the system's memory are limited, they have half
// of it at most; in ION's first generation such buffers are only mapped cached (shared/spec: ION 3.1, 3.2).
inline HeapInfo heap_info_of(const BoardHeap& heap, bool is_limited = true, bool is_ion_g1 = false) noexcept {
  HeapInfo info{.name = heap.name.c_str(), .type = heap_type_of(heap.type), .id = heap.id, .size = heap.size};
  if (is_limited && info.type == HeapType::system) info.largest = heap.size.value() / 2;
  info.maps_uncached = !is_ion_g1 || (info.type != HeapType::system && info.type != HeapType::system_contig);
  if (heap.granule != 0) info.granule = heap.granule;
  return info;
}

// A heap of the system's own memory: numbers that are nobody else's.
inline void take_numbers(BoardHeap& heap) {
  heap.backing = "numbers";
  heap.base = (std::uint64_t{1} << 48) + (std::uint64_t{heap.id} << 40);
  heap.may_be_outside = true;
}

// PMEM's regions in these words: each has one block for an allocation but the system's, whose numbers are nobody else's.
inline bool is_pmem(const BoardHeap& heap) noexcept { return std::holds_alternative<PmemPart>(heap.part); }
inline void take_pmem_types(BoardTable& board) {
  for (BoardHeap& heap : board.heaps) {
    if (!is_pmem(heap)) continue;
    heap.type = heap.strategy == "system" ? "system" : "custom";
    if (heap.type == "system") take_numbers(heap);
    heap.cache.reset();  // the region's matter
  }
}
// MMZ's zones in these words: each block is one, placed as the zone's allocator does.
inline bool is_mmz(const BoardHeap& heap) noexcept { return std::holds_alternative<MmzPart>(heap.part); }
inline void take_mmz_types(BoardTable& board) {
  for (BoardHeap& heap : board.heaps) {
    if (is_mmz(heap)) heap.type = "custom";
  }
}
// What ION's own tables say (heap/os/board_ion.hpp, Qualcomm's family) in these words; where a heap's buffers lie is numbers.
inline void take_ion_types(BoardTable& board) {
  constexpr std::string_view words[] = {"system", "system_contig", "carveout", "iommu", "cp"};
  for (BoardHeap& heap : board.heaps) {
    const IonPart* const part = std::get_if<IonPart>(&heap.part);
    if (part == nullptr || part->type >= std::size(words)) continue;
    heap.type = words[part->type];
    if (heap.backing == "numbers") continue;
    take_numbers(heap);
  }
}

// A region of a board's, as nodes of those numbers have it. `heap` outlives it.
inline PmemSettings pmem_settings_of(const BoardHeap& heap, PmemNumbers numbers) noexcept {
  constexpr std::string_view words[] = {"bitmap", "system", "all_or_nothing", "buddy"};  // in PmemAllocator's order
  const PmemPart& part = std::get<PmemPart>(heap.part);
  return {.name = heap.name.c_str(),
          .id = part.id,
          .numbers = numbers,
          .allocator = static_cast<PmemAllocator>(std::ranges::find(words, heap.strategy) - std::begin(words)),
          .base = heap.base.value_or(0),
          .size = heap.size,
          .quantum = heap.granule,
          .is_cached = part.cached,
          .is_buffered = part.buffered,
          .is_mapped_on_demand = part.map_on_demand};
}

// Each heap becomes what its type says; a custom one what its strategy says, of those that the program's ZoneKinds have. Errors: a heap without one, or with one that there is not; a name that no file has.
inline TextError take_types(BoardTable& board) {
  for (BoardHeap& heap : board.heaps) {
    if (heap.type.empty()) return freestone::detail::wrong(heap, "type", TextFault::missing_field);
    if (!is_heap_type(heap.type)) {
      return freestone::detail::wrong(heap, "type", TextFault::unknown_word, heap.type);
    }
    if (heap.name == "." || heap.name == ".." || heap.name.find('/') != std::string::npos) {
      return freestone::detail::wrong(heap, "name", TextFault::bad_name, heap.name);
    }
    if (heap_type_of(heap.type) != HeapType::custom) heap.strategy = heap.type;
  }
  return {};
}

}  // namespace freestone::device
