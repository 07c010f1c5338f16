// Where a buffer's memory lies.
#pragma once

#include <span>

#include <freestone/core/address.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/units.hpp>

namespace freestone::device {

struct PhysicalPiece {
  PhysicalAddress address = PhysicalAddress(0);
  Bytes length = {};

  friend constexpr bool operator==(const PhysicalPiece&, const PhysicalPiece&) noexcept = default;
};

// visit(const PhysicalPiece&) for each of the blocks of a heap that begins at `base`, in order, until there are `size` bytes: none
// is longer than `entry`. Cost: O(pieces).
template <class Visit>
constexpr void for_each_piece(PhysicalAddress base, std::span<const Block> blocks, Bytes size, Bytes entry, Visit&& visit) noexcept {
  Bytes left = size;
  for (const Block& block : blocks) {
    const Bytes here = block.size() < left ? block.size() : left;
    for (Bytes at = 0; at < here;) {
      const Bytes length = here - at < entry ? here - at : entry;
      visit(PhysicalPiece{base + (block.offset() + at), length});
      at = at + length;
    }
    left = left - here;
  }
}
template <class Visit>
constexpr void for_each_piece(PhysicalAddress base, std::span<const Block> blocks, Bytes size, Visit&& visit) noexcept {
  for_each_piece(base, blocks, size, size, visit);
}

}  // namespace freestone::device
