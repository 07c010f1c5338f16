// What sysfs shows of PMEM's regions, to the letter, and debugfs of Google's: texts from plain rows, which whoever has a region
// fills. A text has one page at most: what is longer ends there. (shared/spec: PMEM 6.)
#pragma once

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <freestone/device/os/report_text.hpp>
#include <freestone/device/pmem/region.hpp>

namespace freestone::device::pmem_reports {

inline constexpr std::size_t most_length = 4096;

// --- which files there are ---

constexpr bool has_quanta(PmemAllocator allocator) noexcept {
  return allocator == PmemAllocator::buddy || allocator == PmemAllocator::bitmap;
}

// --- files of one line ---

// base, size
inline std::string address(std::uint64_t value) {
  std::string text;
  detail::print(text, "%" PRIu64 "(%#" PRIx64 ")\n", value, value);
  return text;
}
// allocator_type
inline std::string allocator_type(PmemAllocator allocator) {
  switch (allocator) {
    case PmemAllocator::bitmap: return "Bitmap\n";
    case PmemAllocator::system: return "System heap\n";
    case PmemAllocator::all_or_nothing: return "All or Nothing\n";
    case PmemAllocator::buddy: return "Buddy Bestfit\n";
  }
  return {};
}
// allocated
inline std::string allocated(bool is_allocated) { return is_allocated ? "is allocated\n" : "is NOT allocated\n"; }
// quantum_size
inline std::string quantum_size(std::uint64_t bytes) {
  std::string text;
  detail::print(text, "%" PRIu32 " (%#" PRIx32 ")\n", detail::low(bytes), detail::low(bytes));
  return text;
}
// total_entries: how many quanta there are
inline std::string total_entries(std::uint64_t count) { return std::to_string(count) + '\n'; }
// free_quanta
inline std::string free_quanta(std::uint64_t count) { return std::to_string(detail::low(count)) + '\n'; }

// --- mapped_regions; what Google's debugfs shows ---

inline constexpr const char mapped_header[] = "pid #: mapped regions (offset, len) (offset,len)...\n";

// A file's, whose Grants tell the newest first.
template <class Grants>
void add_file(std::string& text, std::uint32_t process, const Grants& grants) {
  detail::print(text, "pid %" PRIu32 ":", process);
  grants.for_each([&](const auto& range) {
    detail::print(text, "(%" PRIx64 ",%" PRIx64 ") ", range.offset.value(), range.length.value());
  });
  text += '\n';
}

// --- buddy_bitmap_dump ---

// 2^order quanta from that one on.
struct BuddyBlock {
  std::uint64_t index = 0;
  unsigned order = 0;
  bool is_allocated = false;

  constexpr std::uint64_t end() const noexcept { return index + (std::uint64_t{1} << order); }
  friend constexpr bool operator==(const BuddyBlock&, const BuddyBlock&) noexcept = default;
};

// visit(const BuddyBlock&) for each block of a buddy of so many quanta, ascending: those that are allocated, which `allocated` has
// ascending, and what is free between them, in the largest blocks that lie at a multiple of their length. Where nothing is
// allocated these are the set bits of `quanta`, largest first. Cost: O(blocks).
template <class Visit>
constexpr void for_each_buddy(std::uint64_t quanta, std::span<const BuddyBlock> allocated, Visit&& visit) {
  std::uint64_t at = 0;
  const auto tile = [&](std::uint64_t end) {
    while (at < end) {
      const auto most = static_cast<unsigned>(std::bit_width(end - at)) - 1;
      const BuddyBlock free{at, std::min(static_cast<unsigned>(std::countr_zero(at)), most)};
      visit(free);
      at = free.end();
    }
  };
  for (const BuddyBlock& block : allocated) {
    tile(block.index);
    visit(block);
    at = block.end();
  }
  tile(quanta);
}

inline std::string buddy_bitmap_dump(std::uint64_t quanta, std::uint64_t quantum, std::span<const BuddyBlock> allocated) {
  std::string text = "index\torder\tlength\tallocated\n";
  for_each_buddy(quanta, allocated, [&](const BuddyBlock& block) {
    if (text.size() >= most_length) return;
    detail::print(text, "%" PRIu32 "\t%u\t%" PRIu32 "\t%d\n", detail::low(block.index), block.order, detail::low(quantum << block.order),
                  block.is_allocated ? 1 : 0);
  });
  return text;
}

// --- bits_allocated ---

// Two of its headings stand for each other's columns.
inline std::string bits_header(unsigned id) {
  std::string text;
  detail::print(text, "id: %u\nbitnum\tindex\tquanta allocated\n", id);
  return text;
}
// An allocation's, by slots: the slot, the first bit, how many bits.
inline void add_bits(std::string& text, const PmemPlace& place, std::uint64_t quantum) {
  detail::print(text, "%" PRIu32 "\t%" PRIu32 "\t%" PRIu32 "\n", place.slot, detail::low(place.start / quantum),
                detail::low(place.length / quantum));
}

// --- the end of each ---

inline std::string one_page(std::string text) {
  if (text.size() > most_length) text.resize(most_length);
  return text;
}

}  // namespace freestone::device::pmem_reports
