// The first words of every map: what it is and what it describes. Words and numbers only, so that the same map is valid
// in another process at another address, in a kernel, in a file, and on a 32-bit target of the same byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <freestone/core/cells.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/extent.hpp>

namespace freestone {

// A map's kind as a constant: the name's hash (FNV-1a). What is combined of parts folds theirs in.
consteval std::uint32_t map_id(const char* name, std::uint32_t part = 2166136261U) {
  for (; *name != '\0'; ++name) part = (part ^ static_cast<unsigned char>(*name)) * 16777619U;
  return part;
}

namespace map_header {

inline constexpr std::uint32_t magic = 0x45525246;  // "FRRE" in memory on a little-endian target
inline constexpr std::uint32_t version = 3;

enum Field : std::size_t {
  magic_cell = 0,
  version_cell = 1,
  id_cell = 2,
  granule_word = 2,
  capacity_word = 3,
  origin_word = 4
};
inline constexpr std::size_t words = 5;

// Why no map of `needed` words can be written to `notes`; code none when it can.
constexpr Error check_notes(std::span<const std::uint64_t> notes, std::size_t needed) noexcept {
  if (!std::is_constant_evaluated() && reinterpret_cast<std::uintptr_t>(notes.data()) % alignof(std::uint64_t) != 0) {
    return {.code = ErrorCode::notes_misaligned};
  }
  if (notes.size() < needed) return {.code = ErrorCode::notes_too_small, .asked = needed, .available = notes.size()};
  return {};
}

// First of all: from here on the words hold no map, whatever they held.
constexpr void invalidate(std::span<std::uint64_t> notes) noexcept {
  cells::store_in_order(notes.data(), magic_cell, 0);
}

// Last of all: the magic is the store that makes it a map.
constexpr void write(std::span<std::uint64_t> notes, std::uint32_t id, const Geometry& geometry) noexcept {
  cells::store(notes.data(), version_cell, version);
  notes[1] = 0;
  cells::store(notes.data(), id_cell, id);
  notes[granule_word] = geometry.granule.value();
  notes[capacity_word] = geometry.capacity.value();
  notes[origin_word] = geometry.origin.value();
  cells::store_in_order(notes.data(), magic_cell, magic);
}

// Why `notes` hold no whole map of kind `id` over `geometry`; code none when they do. Only looks.
constexpr Error check(std::span<const std::uint64_t> notes, std::size_t needed, std::uint32_t id,
                      const Geometry& geometry) noexcept {
  const auto differs = [](ErrorCode code, std::uint64_t asked, std::uint64_t found) {
    return Error{.code = code, .asked = asked, .available = found};
  };
  if (const Error error = check_notes(notes, words); error) {
    return error.code == ErrorCode::notes_too_small ? differs(ErrorCode::cut_short, needed, notes.size()) : error;
  }
  const std::uint64_t* w = notes.data();
  if (cells::load(w, magic_cell) != magic) return {.code = ErrorCode::not_formatted};
  if (const auto found = cells::load(w, version_cell); found != version) {
    return differs(ErrorCode::wrong_version, version, found);
  }
  if (const auto found = cells::load(w, id_cell); found != id) return differs(ErrorCode::wrong_strategy, id, found);
  if (w[granule_word] != geometry.granule.value()) {
    return differs(ErrorCode::wrong_granule, geometry.granule.value(), w[granule_word]);
  }
  if (w[capacity_word] != geometry.capacity.value()) {
    return differs(ErrorCode::wrong_capacity, geometry.capacity.value(), w[capacity_word]);
  }
  if (w[origin_word] != geometry.origin.value()) {
    return differs(ErrorCode::wrong_origin, geometry.origin.value(), w[origin_word]);
  }
  if (notes.size() < needed) return differs(ErrorCode::cut_short, needed, notes.size());
  return {};
}

}  // namespace map_header

}  // namespace freestone
