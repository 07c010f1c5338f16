#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/strategy/start_step.hpp>

namespace freestone::strategy {

// A buddy's starts with any strategy's search: a block is exactly what was asked for, and starts at a multiple of an
// eighth of the power of two that holds it, in absolute numbers. That is a buddy with its tails trimmed that demands no
// whole node. (Where one must be whole, small blocks settle in the tails of large ones, and soon none is: see
// TrimmedBuddy.) A block of up to 8 granules may lie anywhere.
//
// Map: Inner's, with nothing added and under Inner's id. The rule is place's and place_high's; all other calls are
// Inner's. Cost: Inner's with an alignment; largest_free O(blocks).
template <class Inner>
class Eighths : public Inner {
 public:
  static constexpr bool any_alignment = false;  // of two powers of two the larger is a multiple of both

  static constexpr Result<Eighths> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return over(Inner::format(words, geometry), geometry);
  }
  static constexpr Result<Eighths> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return over(Inner::attach(words, geometry), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return Inner::place(count, at_least_an_eighth(count, align));
  }
  constexpr std::optional<Extent> place_high(Granules count, Granules align) noexcept
    requires can_place_high<Inner>
  {
    return Inner::place_high(count, at_least_an_eighth(count, align));
  }

  // The largest request that place would serve.
  constexpr Granules largest_free() const noexcept {
    std::uint64_t largest = 0;
    std::uint64_t end = 0;  // of the block before
    const auto look = [&](std::uint64_t next) {
      const std::uint64_t room = next == end ? 0 : longest_on_steps(origin_ + end, next - end, finer);
      largest = room > largest ? room : largest;
    };
    Inner::for_each_block([&](Extent block) {
      look(block.first.value());
      end = block.end().value();
    });
    look(capacity_);
    return Granules(largest);
  }

 private:
  static constexpr unsigned finer = 3;  // eighths

  constexpr Eighths(const Inner& inner, const Geometry& geometry) noexcept
      : Inner(inner), capacity_(geometry.capacity.value()), origin_(geometry.origin.value()) {}

  static constexpr Result<Eighths> over(const Result<Inner>& inner, const Geometry& geometry) noexcept {
    if (!inner) return inner.error();
    return Eighths(*inner, geometry);
  }

  static constexpr Granules at_least_an_eighth(Granules count, Granules align) noexcept {
    const Granules eighth(start_step(count.value(), finer));
    return align < eighth ? eighth : align;
  }

  std::uint64_t capacity_;
  std::uint64_t origin_;
};

using BuddyEighths = Eighths<Bitmap>;  // from the low end
using BuddyEighthsTwoEnded = Eighths<BestFitTwoEnded>;

}  // namespace freestone::strategy
