// In which order heaps are asked. A policy gives each heap a rank: the lowest is asked first, and of equals the one that
// was declared first.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/heap/constraints.hpp>

namespace freestone {

// rank(heap, place): where the heap that was declared as the place-th (from 0) stands.
template <class O>
concept HeapOrder = requires(const HeapTraits& heap, std::size_t place) {
  { O::rank(heap, place) } noexcept -> std::same_as<std::uint64_t>;
};

namespace order {

struct Declared {
  static constexpr std::uint64_t rank(const HeapTraits&, std::size_t place) noexcept { return place; }
};
// ION up to 3.4: a small id is asked first.
struct AscendingId {
  static constexpr std::uint64_t rank(const HeapTraits& heap, std::size_t) noexcept { return heap.id; }
};
// ION from 3.10 on.
struct DescendingId {
  static constexpr std::uint64_t rank(const HeapTraits& heap, std::size_t) noexcept { return most_heaps - heap.id; }
};
// MMZ: the zone that was registered last is asked first.
struct NewestFirst {
  static constexpr std::uint64_t rank(const HeapTraits&, std::size_t place) noexcept { return ~std::uint64_t{place}; }
};

}  // namespace order

// The heaps' places, in the order that O asks them in: out[0] first. `out` is as long as `heaps`. Cost: O(n^2), n <= 64.
template <HeapOrder O>
constexpr void arrange(std::span<const HeapTraits> heaps, std::span<std::uint8_t> out) noexcept {
  for (std::size_t place = 0; place < heaps.size(); ++place) {
    std::size_t at = place;
    for (; at != 0 && O::rank(heaps[place], place) < O::rank(heaps[out[at - 1]], out[at - 1]); --at) out[at] = out[at - 1];
    out[at] = static_cast<std::uint8_t>(place);
  }
}

}  // namespace freestone
