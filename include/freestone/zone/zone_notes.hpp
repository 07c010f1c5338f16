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

namespace detail {
constexpr std::uint32_t halved(std::uint32_t id) noexcept { return (id ^ id >> 16) & 0xFFFF; }
}  // namespace detail

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
    return how == ZoneOpening::create ? format(notes, layout, geometry, name) : take_up(notes, layout, geometry, how);
  }

  // There is this seal only while all the other words are whole. It says which lock (its lower half) and which strategy
  // they are for.
  static constexpr std::uint32_t whole =
      1U << 31 | detail::halved(map_id("Zone", S::id)) << 16 |
      detail::halved(lock_id<L>() ^ static_cast<std::uint32_t>(2 * L::words + L::process_shared));
  // What is there instead while they may be half written: it still says for which.
  static constexpr std::uint32_t unsealed = whole & ~(1U << 31);

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

  // Attach and recovery refuse the same words, with the same error.
  static constexpr Result<Parts> take_up(std::span<std::uint64_t> notes, const Layout& layout, const Geometry& geometry,
                                         ZoneOpening how) noexcept {
    if (const Error error = map_header::check_notes(notes, 1); error) {
      return error.code == ErrorCode::notes_too_small ? cut_short(notes, layout) : error;
    }
    if (const ErrorCode code = check_seal(cells::load(notes.data(), seal_cell), how); code != ErrorCode::none) {
      return code == ErrorCode::wrong_strategy ? error_of_map(notes, geometry, {.code = code}) : Error{.code = code};
    }
    if (notes.size() < Layout::map) return cut_short(notes, layout);
    if constexpr (can_refuse<L>) {
      if (!L::is_mine(lock_of(notes))) return Error{.code = ErrorCode::wrong_lock};
    }
    const Result<Ledger> ledger = notes.size() < layout.words
                                      ? cut_short(notes, layout)
                                      : Ledger::attach(notes.subspan(layout.ledger), geometry, ledger_kind);
    if (!ledger) return error_of_map(notes, geometry, ledger.error());
    const L lock = L::attach(lock_of(notes));
    return parts_of(notes, take_up_map(notes, geometry, lock, how), lock, *ledger);
  }

  // Why words with that seal are not taken up. Without any, only a recovery tries, and only where it makes the lock
  // anew: the zone's making was cut off.
  static constexpr ErrorCode check_seal(std::uint32_t seal, ZoneOpening how) noexcept {
    const bool recovers = how == ZoneOpening::recover;
    if (seal == whole || (seal == 0 && recovers && !reports_death<L>)) return ErrorCode::none;
    if (seal == 0) return ErrorCode::not_formatted;
    if (((seal ^ whole) & 0xFFFF) != 0) return ErrorCode::wrong_lock;
    if (seal != unsealed) return ErrorCode::wrong_strategy;
    if (recovers) return ErrorCode::none;
    return reports_death<L> ? ErrorCode::holder_died : ErrorCode::not_formatted;
  }

  // How the map differs from what is asked for; where it does not say so, `otherwise`.
  static constexpr Error error_of_map(std::span<std::uint64_t> notes, const Geometry& geometry,
                                      const Error& otherwise) noexcept {
    if (notes.size() < Layout::map) return otherwise;
    const auto strategy = S::attach(map_of(notes), geometry);
    return strategy || strategy.error().code == ErrorCode::not_formatted ? otherwise : strategy.error();
  }

  // Under the lock where that is good, whoever died: others may be at work, and whoever comes first after a death may
  // come here. There a recovery makes anew only a map that its writer left without its magic. Elsewhere the map may be
  // half written: a fresh one serves until `recover` fills it, and nobody else takes it up.
  static constexpr Result<S> take_up_map(std::span<std::uint64_t> notes, const Geometry& geometry, L lock,
                                         ZoneOpening how) noexcept {
    const bool recovers = how == ZoneOpening::recover;
    if constexpr (reports_death<L>) {
      if (lock.lock() == LastHolder::died) set_seal(notes, unsealed);
      auto strategy = S::attach(map_of(notes), geometry);
      if (!strategy && recovers) {
        set_seal(notes, unsealed);
        strategy = S::format(map_of(notes), geometry);
      }
      if (!recovers && !has_seal(notes, whole)) strategy = Error{.code = ErrorCode::holder_died};
      lock.unlock();
      return strategy;
    } else {
      if (!recovers) return S::attach(map_of(notes), geometry);
      set_seal(notes, unsealed);
      return S::format(map_of(notes), geometry);
    }
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
