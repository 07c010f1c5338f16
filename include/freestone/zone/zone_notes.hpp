#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <freestone/core/bits.hpp>
#include <freestone/core/cells.hpp>
#include <freestone/core/extent.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/core/result.hpp>
#include <freestone/lock/concept.hpp>
#include <freestone/strategy/ledger.hpp>
#include <freestone/zone/zone_tag.hpp>

namespace freestone {

// Whether a zone's words are written, taken up as they are, or taken up to be rebuilt from the ledger.
enum class ZoneOpening : std::uint8_t { create, attach, recover };

// How a zone's notes are laid out, written and taken up: for the zone's own use. `KeepsLedger` where another process
// may hold the words.
template <class S, class L, bool KeepsLedger>
class ZoneNotes {
  struct NoLedger {
    static constexpr Result<NoLedger> format(std::span<std::uint64_t>, const Geometry&, std::uint32_t) noexcept {
      return NoLedger{};
    }
    static constexpr Result<NoLedger> attach(std::span<std::uint64_t>, const Geometry&, std::uint32_t) noexcept {
      return NoLedger{};
    }
  };

 public:
  using Ledger = std::conditional_t<KeepsLedger, strategy::Ledger<>, NoLedger>;

  // Where the parts of the notes begin: the tag and the seal, the lock on a line of its own, the map, the ledger.
  struct Layout {
    static constexpr std::size_t line = 8;
    static constexpr std::size_t lock = line;
    static constexpr std::size_t map = L::words == 0 ? 1 : lock + (L::words + line - 1) / line * line;
    std::size_t ledger;
    std::size_t words;

    constexpr explicit Layout(std::uint64_t capacity) noexcept
        : ledger(bits::add_saturating(map, S::footprint(Granules(capacity)))), words(ledger) {
      if constexpr (KeepsLedger) words = bits::add_saturating(words, Ledger::footprint(Granules(capacity)));
    }
  };

  // What the words hold, taken up.
  struct Parts {
    S strategy;
    L lock;
    Ledger ledger;
    std::uint32_t tag;
  };

  // Fails with what the words lack or hold instead. `name` is the zone's.
  static constexpr Result<Parts> open(std::span<std::uint64_t> notes, const Geometry& geometry, ZoneOpening how,
                                      const char* name) noexcept {
    const Layout layout(geometry.capacity.value());
    if (how == ZoneOpening::create) return format(notes, layout, geometry, name);
    if constexpr (KeepsLedger) {
      if (how == ZoneOpening::recover) return attach_ledger(notes, layout, geometry);
    }
    return attach(notes, layout, geometry);
  }

  // There is a seal only while all the other words are whole. It says which strategy and which lock they are for.
  static constexpr std::uint32_t whole =
      (map_id("Zone", S::id) ^ lock_id<L>() ^ static_cast<std::uint32_t>(2 * L::words + L::process_shared)) | 1U << 31;
  // What is there instead while they may be half written. A lock that tells of a dead holder stays in use meanwhile, so
  // there it still says which lock that is.
  static constexpr std::uint32_t unsealed = reports_death<L> ? whole & ~(1U << 31) : 0;

  static constexpr void set_seal(std::span<std::uint64_t> notes, std::uint32_t seal) noexcept {
    cells::store_in_order(notes.data(), seal_cell, seal);
  }

  static constexpr bool has_seal(std::span<const std::uint64_t> notes, std::uint32_t seal) noexcept {
    return cells::load(notes.data(), seal_cell) == seal;
  }

  static constexpr std::uint64_t* lock_of(std::span<std::uint64_t> notes) noexcept {
    return notes.data() + (L::words == 0 ? 0 : Layout::lock);
  }
  static constexpr std::span<std::uint64_t> map_of(std::span<std::uint64_t> notes) noexcept {
    return notes.subspan(Layout::map);
  }

 private:
  static constexpr std::size_t tag_cell = 0;  // the two halves of the first word
  static constexpr std::size_t seal_cell = 1;
  static constexpr std::uint32_t ledger_kind = map_id("Ledger", S::id);

  // In an order in which whoever is killed leaves words that nobody takes up: what was there ends first, the seal comes
  // last.
  static constexpr Result<Parts> format(std::span<std::uint64_t> notes, const Layout& layout, const Geometry& geometry,
                                        const char* name) noexcept {
    if (const Error error = map_header::check_notes(notes, layout.words); error) return error;
    notes[0] = 0;
    if constexpr (KeepsLedger) map_header::invalidate(notes.subspan(layout.ledger));
    map_header::invalidate(map_of(notes));
    cells::store(notes.data(), tag_cell, detail::new_zone_tag(notes.data(), name));
    const L lock = L::format(lock_of(notes));
    const auto ledger = Ledger::format(notes.subspan(layout.ledger), geometry, ledger_kind);
    if (!ledger) return ledger.error();
    auto parts = parts_of(notes, S::format(map_of(notes), geometry), lock, *ledger);
    if (parts) set_seal(notes, whole);
    return parts;
  }

  static constexpr Result<Parts> attach(std::span<std::uint64_t> notes, const Layout& layout,
                                        const Geometry& geometry) noexcept {
    const std::size_t before_map = notes.size() < Layout::map ? notes.size() : Layout::map;
    auto strategy = S::attach(notes.subspan(before_map), geometry);
    if (!strategy && strategy.error().code == ErrorCode::not_formatted) return why_unsealed(notes);
    if (!strategy) return strategy.error();
    if (!has_seal(notes, whole)) return why_unsealed(notes);
    if (notes.size() < layout.words) return cut_short(notes, layout);
    const auto ledger = Ledger::attach(notes.subspan(layout.ledger), geometry, ledger_kind);
    if (!ledger) return ledger.error();
    return parts_of(notes, strategy, L::attach(lock_of(notes)), *ledger);
  }

  // The strategy's map may be half written: a fresh one serves until `recover` fills it, and nobody else takes it up.
  static constexpr Result<Parts> attach_ledger(std::span<std::uint64_t> notes, const Layout& layout,
                                               const Geometry& geometry) noexcept {
    if (notes.size() < layout.words) return cut_short(notes, layout);
    const auto ledger = Ledger::attach(notes.subspan(layout.ledger), geometry, ledger_kind);
    if (!ledger) return ledger.error();
    if (!has_seal(notes, whole) && !has_seal(notes, unsealed)) return why_unsealed(notes);
    if constexpr (reports_death<L>) {
      return attach_among_others(notes, geometry, *ledger);
    } else {
      set_seal(notes, unsealed);
      return parts_of(notes, S::format(map_of(notes), geometry), L::attach(lock_of(notes)), *ledger);
    }
  }

  // The same where the lock is good, whoever died: others may be at work. Only a map that its writer left without its
  // magic is made anew.
  static constexpr Result<Parts> attach_among_others(std::span<std::uint64_t> notes, const Geometry& geometry,
                                                     const Ledger& ledger) noexcept {
    L lock = L::attach(lock_of(notes));
    if (lock.lock() == LastHolder::died) set_seal(notes, unsealed);
    auto strategy = S::attach(map_of(notes), geometry);
    if (!strategy) {
      set_seal(notes, unsealed);
      strategy = S::format(map_of(notes), geometry);
    }
    lock.unlock();
    return parts_of(notes, strategy, lock, ledger);
  }

  // Of words that hold no map, or no seal of this zone's.
  static constexpr ErrorCode why_unsealed(std::span<const std::uint64_t> notes) noexcept {
    if (reports_death<L> && has_seal(notes, unsealed)) return ErrorCode::holder_died;
    return has_seal(notes, 0) || has_seal(notes, whole) ? ErrorCode::not_formatted : ErrorCode::wrong_lock;
  }

  static constexpr Error cut_short(std::span<std::uint64_t> notes, const Layout& layout) noexcept {
    return {.code = ErrorCode::cut_short, .asked = layout.words, .available = notes.size()};
  }

  static constexpr Result<Parts> parts_of(std::span<std::uint64_t> notes, const Result<S>& strategy, L lock,
                                          const Ledger& ledger) noexcept {
    if (!strategy) return strategy.error();
    return Parts{*strategy, lock, ledger, cells::load(notes.data(), tag_cell)};
  }
};

}  // namespace freestone
