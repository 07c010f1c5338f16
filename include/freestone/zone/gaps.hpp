// What a zone must know where its backing has gaps (several ranges as one): no block may lie across a gap, so gaps are
// out of use from the zone's first moment on. For the zone's own use.
#pragma once

#include <cstdint>

#include <freestone/backing/concept.hpp>
#include <freestone/core/extent.hpp>
#include <freestone/core/units.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone {

// The granules of a zone that its backing's gaps touch. To the strategy they are blocks, to everybody else they are
// nothing: no block of the zone, not used, not free, in no ledger. A view, made when asked; all calls cost a walk over
// the gaps, `take_out` and `are_out` that and the strategy's.
template <class B>
class ZoneGaps {
 public:
  constexpr ZoneGaps(const B& backing, Granules capacity, unsigned granule_log2) noexcept
      : backing_(backing), capacity_(capacity.value()), granule_log2_(granule_log2) {}

  // visit(Extent), lowest first, no granule twice.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) const noexcept {
    std::uint64_t done = 0;
    backing_.for_each_gap([&](Bytes offset, Bytes size) {
      const std::uint64_t begin = offset.value() >> granule_log2_;
      const std::uint64_t end = ((offset + size - 1).value() >> granule_log2_) + 1;
      const std::uint64_t first = begin < done ? done : begin;
      const std::uint64_t last = end < capacity_ ? end : capacity_;
      if (first >= last) return;
      visit(Extent{Granules(first), Granules(last - first)});
      done = last;
    });
  }

  constexpr bool contain(Granules granule) const noexcept {
    bool found = false;
    for_each([&](Extent gap) { found = found || gap.contains(granule); });
    return found;
  }

  // Of a fresh strategy. False where it has not all of them to give.
  template <class S>
  constexpr bool take_out(S& strategy) const noexcept {
    bool all = true;
    for_each([&](Extent gap) { all = take_exactly(strategy, gap, [](Extent) {}) && all; });
    return all;
  }

  // Is every gap out of use, and does nothing lie across one? So it is where the zone was made over ranges like these.
  template <class S>
  constexpr bool are_out(const S& strategy) const noexcept {
    Granules open(0);
    for_each([&](Extent gap) { open = open + gap.count; });
    bool none_across = true;
    strategy.for_each_block([&](Extent block) {
      for_each([&](Extent gap) {
        if (!gap.overlaps(block)) return;
        const bool is_within = gap.contains(block.first) && block.end() <= gap.end();
        none_across = none_across && is_within;
        if (is_within) open = open - block.count;
      });
    });
    return none_across && open == Granules(0);
  }

 private:
  const B& backing_;
  std::uint64_t capacity_;
  unsigned granule_log2_;
};

}  // namespace freestone
