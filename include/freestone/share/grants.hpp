// Which ranges of a buffer somebody was granted, and which of its bytes these cover together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <freestone/core/bits.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// Bytes of a buffer, whose blocks' bytes follow each other. Nothing here looks at its end before `is_within` was asked:
// a range that a caller names may leave 64 bits.
struct ByteRange {
  Bytes offset = {};
  Bytes length = {};

  // Empty where `end` does not lie behind `first`.
  static constexpr ByteRange between(Bytes first, Bytes end) noexcept {
    return end > first ? ByteRange{first, end - first} : ByteRange{first, 0};
  }

  constexpr bool is_empty() const noexcept { return length == 0; }
  // Is it all among the first `size` bytes?
  constexpr bool is_within(Bytes size) const noexcept { return offset <= size && length <= size - offset; }
  constexpr bool is_multiple_of(Bytes granule) const noexcept {
    return ((offset.value() | length.value()) & (granule.value() - 1)) == 0;
  }

  // Of ranges that are within something.
  constexpr Bytes end() const noexcept { return offset + length; }
  constexpr ByteRange clipped_to(const ByteRange& other) const noexcept {
    return between(offset > other.offset ? offset : other.offset, end() < other.end() ? end() : other.end());
  }
  constexpr ByteRange from(Bytes first) const noexcept { return clipped_to(between(first, end())); }
  constexpr ByteRange until(Bytes last) const noexcept { return clipped_to(between(offset, last)); }

  friend constexpr bool operator==(const ByteRange&, const ByteRange&) noexcept = default;
};

// Up to `most` ranges, none of them empty; they may overlap, and each may be there several times. A byte is covered while
// one of them has it. Callers take turns. Cost of each call: O(most); of a run that several ranges make up, of each.
template <std::size_t most>
class Grants {
 public:
  constexpr std::size_t count() const noexcept { return count_; }
  constexpr bool is_full() const noexcept { return count_ == most; }

  // While it is not full.
  constexpr void add(const ByteRange& range) noexcept { ranges_[count_++] = range; }
  // One that is just this. False: there is none.
  constexpr bool remove(const ByteRange& range) noexcept {
    std::size_t at = count_;
    while (at != 0 && !(ranges_[at - 1] == range)) --at;
    if (at == 0) return false;
    for (; at < count_; ++at) ranges_[at - 1] = ranges_[at];
    --count_;
    return true;
  }
  constexpr void clear() noexcept { count_ = 0; }

  // visit(const ByteRange&) for each, newest first.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) const noexcept {
    for (std::size_t i = count_; i-- != 0;) visit(ranges_[i]);
  }

  // The first bytes of `within` that are covered, as far as that goes on. Empty: none is.
  constexpr ByteRange first_covered(const ByteRange& within) const noexcept {
    Bytes first = within.offset;
    if (covered_until(first) == first) first = next_start(first);
    return ByteRange::between(first, covered_until(first)).clipped_to(within);
  }
  // The same of those that are not.
  constexpr ByteRange first_gap(const ByteRange& within) const noexcept {
    const Bytes first = covered_until(within.offset);
    return ByteRange::between(first, next_start(first)).clipped_to(within);
  }

 private:
  // The first byte from `first` on that is not covered.
  constexpr Bytes covered_until(Bytes first) const noexcept {
    for (bool is_longer = true; is_longer;) {
      is_longer = false;
      for (std::size_t i = 0; i < count_; ++i) {
        if (ranges_[i].offset > first || ranges_[i].end() <= first) continue;
        first = ranges_[i].end();
        is_longer = true;
      }
    }
    return first;
  }
  // Of the ranges that begin behind it; beyond all of them, where none does.
  constexpr Bytes next_start(Bytes behind) const noexcept {
    Bytes least = bits::all;
    for (std::size_t i = 0; i < count_; ++i) {
      if (ranges_[i].offset > behind && ranges_[i].offset < least) least = ranges_[i].offset;
    }
    return least;
  }

  std::array<ByteRange, most> ranges_ = {};
  std::size_t count_ = 0;
};

}  // namespace freestone
