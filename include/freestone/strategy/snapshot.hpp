// A map as it was, kept and put back. A map is words that mean the same wherever they lie, so a snapshot is a copy of
// them, as many as `S::footprint(capacity)`; it may be written to a file and read by another process.
//
// For strategies that place; of the others the memory itself would be missing. The calls below are for whoever has the
// map to himself meanwhile. Words that hold no such map are refused as attach refuses them, and then nothing changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/cells.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// Copies the map to the first words of `out`. Errors: attach's; notes_too_small. Cost: O(words of the map), as restore.
template <class S>
  requires S::places
constexpr Result<void> snapshot(std::span<std::uint64_t> map, const Geometry& geometry,
                                std::span<std::uint64_t> out) noexcept {
  const std::size_t words = S::footprint(geometry.capacity);
  if (const auto attached = S::attach(map, geometry); !attached) return attached.error();
  if (const Error error = map_header::check_notes(out, words); error) return error;
  for (std::size_t i = 0; i < words; ++i) out[i] = map[i];
  return {};
}

// Makes the map what it was at the snapshot, so that all calls answer as they would have then. Objects over the map
// stay good; the words may have held none. Errors: attach's, of the snapshot; notes_too_small. Whoever is killed in
// here leaves words that hold no map.
template <class S>
  requires S::places
constexpr Result<void> restore(std::span<std::uint64_t> map, const Geometry& geometry,
                               std::span<std::uint64_t> snapshot) noexcept {
  const std::size_t words = S::footprint(geometry.capacity);
  if (const auto attached = S::attach(snapshot, geometry); !attached) return attached.error();
  if (const Error error = map_header::check_notes(map, words); error) return error;
  map_header::invalidate(map);
  for (std::size_t i = words; i-- > 1;) map[i] = snapshot[i];
  cells::store(map.data(), map_header::version_cell, map_header::version);
  cells::store_in_order(map.data(), map_header::magic_cell, map_header::magic);
  return {};
}

// What became of a block from one map to a later one.
enum class Change : std::uint8_t { went, came };

// visit(Extent, Change) for each block that is in one map only, lowest first; of two that start together the one that
// went. A block that was made longer or shorter went and came. Errors: attach's, of either. Cost: O(granules).
template <class S, class Visitor>
  requires S::places
constexpr Result<void> diff(std::span<std::uint64_t> before, std::span<std::uint64_t> after, const Geometry& geometry,
                            Visitor&& visit) noexcept {
  const auto old_map = S::attach(before, geometry);
  if (!old_map) return old_map.error();
  const auto new_map = S::attach(after, geometry);
  if (!new_map) return new_map.error();
  for (Granules first; first < geometry.capacity; first += Granules(1)) {
    const Granules old_count = old_map->length_of(first);
    const Granules new_count = new_map->length_of(first);
    if (old_count == new_count) continue;
    if (old_count != Granules(0)) visit(Extent{first, old_count}, Change::went);
    if (new_count != Granules(0)) visit(Extent{first, new_count}, Change::came);
  }
  return {};
}

}  // namespace freestone::strategy
