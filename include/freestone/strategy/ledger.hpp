#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/cells.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// How the ledger's stores reach the words. Tests count, log and stop at them through a policy of their own.
struct DirectStores {
  static constexpr void store(std::uint64_t* words, std::size_t cell, cells::Cell value) noexcept {
    cells::store_in_order(words, cell, value);
  }
};

// The truth about a zone's granules: which are used, where blocks start, who owns them. A strategy's map is an index of
// it, and can be rebuilt from it. A zone that another process may hold keeps one, because its users may die at any
// instruction: the truth changes by single 32-bit stores, in an order in which a prefix of them is always a state
// that `repair` brings back to the one before or the one after.
//
// Place: the owner, the start bit, then the used bits from the last cell down; the store of the cell that holds the
// first granule commits. Release: that cell first, then the others upwards, then the start bit. Resize: the used bits
// behind the old end or the new one alone, in the same two orders. A block reaches from a used start over used granules
// up to the next start; used granules that no such block reaches are nobody's.
//
// Map: two bits and an owner byte a granule. Cost: place, release O(cells of the block), resize O(cells that come or
// go); repair, for_each_block O(granules / 32) where nothing is half done.
template <class Stores = DirectStores>
class Ledger {
 public:
  using Owner = std::uint8_t;
  static constexpr std::uint32_t id = map_id("Ledger");

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    const std::size_t bitmap = bits::words_for(capacity.value());
    const std::uint64_t n = capacity.value();
    const std::uint64_t owner_words = (n >> 3) + ((n & 7) != 0);
    const std::size_t owners = owner_words > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(owner_words);
    return bits::add_saturating(bits::add_saturating(bitmap, bitmap), bits::add_saturating(owners, first_word));
  }

  // `kind` may say more: whose truth it is.
  static constexpr Result<Ledger> format(std::span<std::uint64_t> words, const Geometry& geometry,
                                         std::uint32_t kind = id) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(first_word, footprint(geometry.capacity) - first_word)) word = 0;
    map_header::write(words, kind, geometry);
    return Ledger(words.data(), geometry);
  }

  static constexpr Result<Ledger> attach(std::span<std::uint64_t> words, const Geometry& geometry,
                                         std::uint32_t kind = id) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), kind, geometry); error) return error;
    return Ledger(words.data(), geometry);
  }

  // `extent` is not empty, lies in the range, and is free.
  constexpr void place(Extent extent, Owner owner) noexcept {
    write_owner(extent.first, owner);
    set_start(extent.first);
    set_used_downwards(extent);
  }

  // `extent` is a block.
  constexpr void release(Extent extent) noexcept {
    clear_used_upwards(extent);
    clear_start(extent.first);
  }

  // `extent` is a block, `count` is not 0, and what is more than its own lies in the range and is free.
  constexpr void resize(Extent extent, Granules count) noexcept {
    if (count > extent.count) set_used_downwards({extent.end(), count - extent.count});
    if (count < extent.count) clear_used_upwards({extent.first + count, extent.count - count});
  }

  // Drops what a killed user left half placed or half released. May be killed itself, and run again.
  constexpr void repair() noexcept {
    bool reached = false;  // does the block before reach the next granule?
    for (std::size_t cell = 0; cell < cells_; ++cell) {
      const cells::Cell used = load(used_, cell);
      const cells::Cell starts = load(starts_, cell);
      const cells::Cell kept = reachable(used, starts, reached);
      if (kept != used) store(used_, cell, kept);
      if ((starts & ~kept) != 0) store(starts_, cell, starts & kept);
    }
  }

  // Each block, lowest first; half-done ones are not among them. visit(Extent, Owner).
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t start = bits::first_set(start_words(), 0, capacity_); start < capacity_;) {
      const std::uint64_t next = bits::first_set(start_words(), start + 1, capacity_);
      const std::uint64_t end = bits::first_clear(used_words(), start, next);
      if (end != start) visit(Extent{Granules(start), Granules(end - start)}, owner_of(Granules(start)));
      start = next;
    }
  }

  // Of the block that starts at `first`.
  constexpr Owner owner_of(Granules first) const noexcept {
    return static_cast<Owner>(load(owners_, owner_cell(first)) >> owner_shift(first));
  }

 protected:  // the single steps, for tests that put them in another order
  constexpr void write_owner(Granules first, Owner owner) noexcept {
    const cells::Cell others = load(owners_, owner_cell(first)) & ~(cells::Cell{0xFF} << owner_shift(first));
    store(owners_, owner_cell(first), others | (cells::Cell{owner} << owner_shift(first)));
  }
  constexpr void set_start(Granules first) noexcept {
    store(starts_, cell_of(first), load(starts_, cell_of(first)) | bit_of(first));
  }
  constexpr void clear_start(Granules first) noexcept {
    store(starts_, cell_of(first), load(starts_, cell_of(first)) & ~bit_of(first));
  }
  constexpr void set_used(std::size_t cell, Extent extent) noexcept {
    store(used_, cell, load(used_, cell) | mask_within(cell, extent));
  }
  constexpr void clear_used(std::size_t cell, Extent extent) noexcept {
    store(used_, cell, load(used_, cell) & ~mask_within(cell, extent));
  }
  constexpr void set_used_downwards(Extent extent) noexcept {
    for (std::size_t cell = last_cell(extent); cell > first_cell(extent); --cell) set_used(cell, extent);
    set_used(first_cell(extent), extent);
  }
  constexpr void clear_used_upwards(Extent extent) noexcept {
    for (std::size_t cell = first_cell(extent); cell <= last_cell(extent); ++cell) clear_used(cell, extent);
  }
  static constexpr std::size_t first_cell(Extent extent) noexcept { return cell_of(extent.first); }
  static constexpr std::size_t last_cell(Extent extent) noexcept { return cell_of(extent.end() - Granules(1)); }

 private:
  static constexpr std::size_t first_word = map_header::words;
  static constexpr cells::Cell all = ~cells::Cell{0};

  constexpr Ledger(std::uint64_t* words, const Geometry& geometry) noexcept
      : words_(words),
        capacity_(geometry.capacity.value()),
        cells_(2 * bits::words_for(capacity_)),
        starts_(used_ + cells_),
        owners_(starts_ + cells_) {}

  static constexpr std::size_t cell_of(Granules granule) noexcept {
    return static_cast<std::size_t>(granule.value() >> 5);
  }
  static constexpr cells::Cell bit_of(Granules granule) noexcept { return cells::Cell{1} << (granule.value() & 31); }
  static constexpr std::size_t owner_cell(Granules granule) noexcept {
    return static_cast<std::size_t>(granule.value() >> 2);
  }
  static constexpr unsigned owner_shift(Granules granule) noexcept {
    return 8U * static_cast<unsigned>(granule.value() & 3);
  }

  static constexpr cells::Cell mask_within(std::size_t cell, Extent extent) noexcept {
    cells::Cell mask = all;
    if (cell == first_cell(extent)) mask &= all << (extent.first.value() & 31);
    if (cell == last_cell(extent)) mask &= all >> (31 - ((extent.end().value() - 1) & 31));
    return mask;
  }

  // The used granules of one cell that a block reaches; `reached` goes in and out for the neighbour.
  static constexpr cells::Cell reachable(cells::Cell used, cells::Cell starts, bool& reached) noexcept {
    if (used == 0) return reached = false, used;
    if (used == all && reached) return used;
    cells::Cell kept = 0;
    for (cells::Cell bit = 1; bit != 0; bit <<= 1) {
      reached = (used & bit) != 0 && (reached || (starts & bit) != 0);
      if (reached) kept |= bit;
    }
    return kept;
  }

  constexpr const std::uint64_t* used_words() const noexcept { return words_ + used_ / 2; }
  constexpr const std::uint64_t* start_words() const noexcept { return words_ + starts_ / 2; }

  // Scans read the cells as 64-bit words, whose low half is cell 0 here and cell 1 on a big-endian target.
  static constexpr std::size_t low_half = std::endian::native == std::endian::little ? 0 : 1;

  constexpr cells::Cell load(std::size_t table, std::size_t cell) const noexcept {
    return cells::load(words_, table + (cell ^ low_half));
  }
  constexpr void store(std::size_t table, std::size_t cell, cells::Cell value) noexcept {
    Stores::store(words_, table + (cell ^ low_half), value);
  }

  std::uint64_t* words_;
  std::uint64_t capacity_;
  std::size_t cells_;                  // of one bit table
  std::size_t used_ = 2 * first_word;  // the tables, as numbers of their first cells
  std::size_t starts_;
  std::size_t owners_;
};

}  // namespace freestone::strategy
