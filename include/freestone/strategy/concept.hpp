// A strategy decides WHERE in a range a block goes. It counts in granules, never bytes or addresses, and keeps its
// notes in the words that it was given. Not its job: locking (lock/), caches (cache/), obtaining the range (backing/).
//
// A strategy object is a view: a span of words and constants. Two objects over the same words, used in turn, agree. All
// that it links is linked by number, and all its fields are words or cells (core/cells.hpp): see core/map_header.hpp.
//
// Every call is for one caller at a time; none throws, allocates or calls the host.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/extent.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// Why a release was refused; then nothing changed. `inner`: inside a live block, but not its start. `outside`: beyond
// the range. `not_live`: anywhere else.
enum class ReleaseFault : std::uint8_t { none, not_live, inner, outside };

// How many granules a release gave back (0 when it was refused), and why it was refused.
struct Released {
  Granules count = {};
  ReleaseFault fault = ReleaseFault::none;

  friend constexpr bool operator==(Released, Released) noexcept = default;
};

namespace detail {
struct AnyVisitor {
  constexpr void operator()(Extent) const noexcept {}
};
}  // namespace detail

// `id` is a constant of its own (map_id of its name), which `attach` compares. `exact_release` says that a release of
// anything but the start of a live block is always refused. `places` is false for one that keeps books only, while the
// memory itself comes from the backing block by block.
template <class S>
concept has_constants = requires {
  { S::id } -> std::convertible_to<std::uint32_t>;
  { S::exact_release } -> std::convertible_to<bool>;
  { S::places } -> std::convertible_to<bool>;
};

// How many words a map of `capacity` granules takes, wherever its origin; SIZE_MAX when no span is that long.
template <class S>
concept has_footprint = requires(Granules capacity) {
  { S::footprint(capacity) } noexcept -> std::same_as<std::size_t>;
};

// `format` writes an empty map, whatever the words held, its magic last. `attach` takes up a map as it is, and changes
// nothing. Both fail with an Error when the words are too few or misaligned; attach also when they hold another map.
template <class S>
concept can_format = requires(std::span<std::uint64_t> words, const Geometry& geometry) {
  { S::format(words, geometry) } noexcept -> std::same_as<Result<S>>;
  { S::attach(words, geometry) } noexcept -> std::same_as<Result<S>>;
};

// At least `count` granules, the first at a multiple of `align` (a power of two, or what any_alignment says; counted
// from the space's zero: origin + index). Empty when it finds no place, and then nothing changed. A count of 0 has none.
template <class S>
concept can_place = requires(S s, Granules n) {
  { s.place(n, n) } noexcept -> std::same_as<std::optional<Extent>>;
};

// Gives back the live block that starts at `first`, whole.
template <class S>
concept can_release = requires(S s, Granules first) {
  { s.release(first) } noexcept -> std::same_as<Released>;
};

// Only look: the length of the live block that starts at `first` (0 when none does), the granules that are free, and
// each live block, lowest first.
template <class S>
concept can_tell = requires(const S s, Granules first, detail::AnyVisitor visit) {
  { s.length_of(first) } noexcept -> std::same_as<Granules>;
  { s.free_granules() } noexcept -> std::same_as<Granules>;
  { s.largest_free() } noexcept -> std::same_as<Granules>;
  s.for_each_block(visit);
};

template <class S>
concept Strategy = std::copyable<S> && has_constants<S> && has_footprint<S> && can_format<S> && can_place<S> &&
    can_release<S> && can_tell<S>;

// Abilities that a strategy may have; the zone offers what is there.

// Takes exactly the place of `extent`, as `place` once gave it. Empty, and nothing changed, when any of it is taken,
// lies outside, or is no place where this strategy puts blocks. Whoever has it can be rebuilt from a ledger.
// `static constexpr bool any_extent = true` says that it takes every extent that is free, and as it is.
template <class S>
concept can_place_at = requires(S s, Extent extent) {
  { s.place_at(extent) } noexcept -> std::same_as<std::optional<Extent>>;
};

// As place, at the highest place of all where it fits.
template <class S>
concept can_place_high = requires(S s, Granules n) {
  { s.place_high(n, n) } noexcept -> std::same_as<std::optional<Extent>>;
};

// Makes the live block that starts at `first` that long, rounded as place rounds, where it lies: its tail goes back, or
// it takes what is free right behind it. So it is what a release of the block and a place_at of the new extent would
// do. Empty, and nothing changed, when no live block starts there, the count is 0, what it needs behind it is not free,
// or this strategy could not have put a block of that length there.
template <class S>
concept can_resize = requires(S s, Granules n) {
  { s.resize(n, n) } noexcept -> std::same_as<std::optional<Extent>>;
};

// Takes exactly these granules, in whatever shape this strategy's blocks have: they become live blocks, one or more,
// given back like any other, with visit(Extent) for each, lowest first. False, and nothing changed or visited, when any
// of them is taken or outside, or there are none. Who has any_extent needs no reserve.
template <class S>
concept can_reserve = requires(S s, Extent extent, detail::AnyVisitor visit) {
  { s.reserve(extent, visit) } noexcept -> std::same_as<bool>;
};

// The range's end moves, at most up to the capacity that the map was formatted for. Beyond the end there is nothing:
// `outside`. `grow`: the next `count` granules join as free ones. `shrink`: the last `count` leave. False, and nothing
// changed, when the count is 0 or more than there is, and for shrink also when one of them is not free.
template <class S>
concept can_grow = requires(S s, Granules n) {
  { s.grow(n) } noexcept -> std::same_as<bool>;
  { s.shrink(n) } noexcept -> std::same_as<bool>;
};

// One of the extents that serve one request together, each a block of its own: towards `count` granules, at a multiple
// of `align`, and no longer than `most`, the extent before it (any number for the first). Empty when nothing fits, and
// then nothing changed. Whoever asks counts what came, asks again, and gives all back when the rest cannot be had.
template <class S>
concept can_place_part = requires(S s, Granules n) {
  { s.place_part(n, n, n) } noexcept -> std::same_as<std::optional<Extent>>;
};

// The live block that `granule` lies in; empty where it lies in none, or outside. (Who has it not is asked for_each_block.)
template <class S>
concept can_tell_containing = requires(const S s, Granules granule) {
  { s.containing(granule) } noexcept -> std::same_as<std::optional<Extent>>;
};

// `static constexpr bool any_alignment = true` says that `align` may be any number of granules but 0. (Who places nothing
// hands the alignment on to the backing, which takes powers of two.)
template <class S>
concept has_any_alignment = S::places && requires { requires S::any_alignment; };

// Every extent that is free can be taken out of use.
template <class S>
concept can_take_any_extent = can_reserve<S> || (can_place_at<S> && requires { requires S::any_extent; });

// As reserve, of a strategy that has that or place_at.
template <class S, class Visitor>
constexpr bool take_exactly(S& strategy, Extent extent, Visitor&& visit) noexcept {
  if constexpr (can_reserve<S>) {
    return strategy.reserve(extent, visit);
  } else {
    const std::optional<Extent> placed = strategy.place_at(extent);
    if (placed == extent) return visit(extent), true;
    if (placed) strategy.release(placed->first);  // it was rounded
    return false;
  }
}

// One plain sentence for each part that is missing.
template <class S>
consteval bool check_strategy() {
  static_assert(has_constants<S>,
                "A Strategy must have the constants std::uint32_t id, bool exact_release, bool places.");
  static_assert(has_footprint<S>,
                "A Strategy must have static std::size_t footprint(Granules capacity) noexcept: the "
                "words that its map takes.");
  static_assert(can_format<S>,
                "A Strategy S must have static Result<S> format(std::span<std::uint64_t>, const Geometry&) "
                "noexcept and attach, the same.");
  static_assert(can_place<S>,
                "A Strategy must have std::optional<Extent> place(Granules count, Granules align) noexcept: "
                "empty when nothing fits.");
  static_assert(can_release<S>,
                "A Strategy must have Released release(Granules first) noexcept: what was given back, or "
                "why not.");
  static_assert(can_tell<S>,
                "A Strategy must have length_of(Granules), free_granules(), largest_free(), all const "
                "noexcept and of type Granules, and for_each_block(visitor) const.");
  static_assert(std::copyable<S>, "A Strategy must be copyable: it is a view of words.");
  return Strategy<S>;
}

}  // namespace freestone
