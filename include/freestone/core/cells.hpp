// Fields of a map that change separately are 32-bit cells of its 64-bit words: cell i is the i-th 4 bytes, in the
// target's byte order. At run time that is one copy of 4 bytes (shifting it out of the word costs 1.2x to 2.1x); in
// constant evaluation it is shifts.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <freestone/core/seam.hpp>

namespace freestone::cells {

using Cell = std::uint32_t;

namespace detail {
constexpr unsigned shift_of(std::size_t cell) noexcept {
  return ((cell & 1) != 0) == (std::endian::native == std::endian::little) ? 32U : 0U;
}
constexpr unsigned shift_of_byte(std::size_t byte) noexcept {
  const auto within = static_cast<unsigned>(byte & 7);
  return 8 * (std::endian::native == std::endian::little ? within : 7 - within);
}
using AliasingCell [[gnu::may_alias]] = Cell;
}  // namespace detail

constexpr Cell load(const std::uint64_t* words, std::size_t cell) noexcept {
  if (std::is_constant_evaluated()) return static_cast<Cell>(words[cell / 2] >> detail::shift_of(cell));
  return reinterpret_cast<const detail::AliasingCell*>(words)[cell];
}

constexpr void store(std::uint64_t* words, std::size_t cell, Cell value) noexcept {
  if (std::is_constant_evaluated()) {
    const unsigned shift = detail::shift_of(cell);
    words[cell / 2] = (words[cell / 2] & ~(std::uint64_t{0xFFFFFFFF} << shift)) | (std::uint64_t{value} << shift);
  } else {
    reinterpret_cast<detail::AliasingCell*>(words)[cell] = value;
  }
}

// Byte i of the words, as it lies in memory.
constexpr unsigned char load_byte(const std::uint64_t* words, std::size_t byte) noexcept {
  if (std::is_constant_evaluated()) return static_cast<unsigned char>(words[byte / 8] >> detail::shift_of_byte(byte));
  return reinterpret_cast<const unsigned char*>(words)[byte];
}

constexpr void store_byte(std::uint64_t* words, std::size_t byte, unsigned char value) noexcept {
  if (std::is_constant_evaluated()) {
    const unsigned shift = detail::shift_of_byte(byte);
    words[byte / 8] = (words[byte / 8] & ~(std::uint64_t{0xFF} << shift)) | (std::uint64_t{value} << shift);
  } else {
    reinterpret_cast<unsigned char*>(words)[byte] = value;
  }
}

// A hint that the cell will be written soon. It may lie beyond the words.
constexpr void prefetch(const std::uint64_t* words, std::size_t cell) noexcept {
  if (!std::is_constant_evaluated()) {
    seam::prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(words) + cell * sizeof(Cell)));
  }
}

// One store that no other store of this thread passes, in either direction: whoever finds the words after the thread
// was killed sees all that was written before it, and nothing that was to be written after.
constexpr void store_in_order(std::uint64_t* words, std::size_t cell, Cell value) noexcept {
  if (std::is_constant_evaluated()) {
    store(words, cell, value);
  } else {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&reinterpret_cast<detail::AliasingCell*>(words)[cell], value, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
  }
}

}  // namespace freestone::cells
