// Which of several ranges an address is in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/core/units.hpp>

namespace freestone {

// Up to `most` ranges of one kind of address, none of which overlap. It keeps no state but the ranges: readers need no
// lock once all are in.
template <std::size_t most>
class AddressMap {
 public:
  struct Found {
    std::size_t heap = 0;  // as it was added
    Bytes offset = {};     // of the address, in what was added
  };

  // The range that begins at `offset` of `heap`. One of no bytes is not added. False where there are `most`. Cost:
  // O(ranges).
  constexpr bool add(std::uint64_t first, Bytes size, std::size_t heap, Bytes offset = 0) noexcept {
    if (size == 0) return true;
    if (count_ == most) return false;
    std::size_t at = count_++;
    for (; at != 0 && ranges_[at - 1].first > first; --at) ranges_[at] = ranges_[at - 1];
    ranges_[at] = {first, first + (size.value() - 1), heap, offset};
    return true;
  }

  // Both ends of the range are looked at. Cost: O(log ranges).
  constexpr std::optional<Found> find(std::uint64_t address) const noexcept {
    std::size_t low = 0;
    std::size_t end = count_;
    while (low < end) {
      const std::size_t middle = low + (end - low) / 2;
      if (ranges_[middle].last < address) {
        low = middle + 1;
      } else {
        end = middle;
      }
    }
    if (low == count_ || address < ranges_[low].first) return std::nullopt;
    return Found{ranges_[low].heap, ranges_[low].offset + (address - ranges_[low].first)};
  }

 private:
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::size_t heap = 0;
    Bytes offset = {};
  };

  std::array<Range, most> ranges_ = {};
  std::size_t count_ = 0;
};

}  // namespace freestone
