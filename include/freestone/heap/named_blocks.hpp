// Blocks under names: whoever asks for a name again gets the block that is kept under it. These are the rules of MSYS's
// dmem, but that names are compared as wholes, nobody loses what he holds, and nobody gets less than he asked for
// (but where KeptPolicy::keep is chosen).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/heap/block_name.hpp>
#include <freestone/heap/block_source.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/name_table.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/concept.hpp>
#include <freestone/lock/none.hpp>

namespace freestone {

// What happens where a name is asked for again, and the block that is kept under it is not what is asked for now.
enum class KeptPolicy : std::uint8_t {
  refuse,      // kept_unfit, where it is too short or lies where it must not
  keep,        // it is given as it is, however short (MSYS with realloc off)
  reallocate,  // where its length is another, or it lies where it must not, a new one takes its place (MSYS with
               // realloc on); but for a pinned name: then as refuse
};

// What is in a new block: zeros where the CPU sees it, or whatever was there.
enum class Fresh : std::uint8_t { zeroed, as_found };

// What came of a release, or of a holder's leaving.
enum class ReleaseOutcome : std::uint8_t {
  gone,    // the block went back
  held,    // others hold it
  pinned,  // nobody holds it, but its name is pinned
  kept,    // nobody holds it, but it is kept until it is released
};

// A try that failed for want of room, and what it was for.
struct FailedTry {
  const char* name;
  const Constraints& wanted;
  Error why;
  unsigned number;  // 1: of the first try
};
// Makes room where it can; false: it is no use to try again. No lock is held: it may call the zone, and the table.
using Compaction = bool (*)(void* context, const FailedTry& failed) noexcept;
// Lets so many milliseconds go by; 0: gives others a turn.
using Wait = void (*)(void* context, std::uint32_t milliseconds) noexcept;

struct NamedSettings {
  KeptPolicy kept = KeptPolicy::refuse;
  bool pins_hold = true;       // false: pins are remembered, and hold nothing (MSYS begins so)
  unsigned retries = 16;       // how often a request is tried again, where there is a `compact` or a `wait`
  std::uint32_t delay = 1000;  // milliseconds before each of these
  Compaction compact = nullptr;
  Wait wait = nullptr;
  void* context = nullptr;  // the first argument of both
};

namespace detail {
// A zone, or a layer round one, for one caller at a time.
template <class Z>
concept is_of_one_caller = requires { requires std::is_same_v<typename Z::Lock, lock::None>; };
}  // namespace detail

// A table of up to `most_blocks` blocks of the zone, layer, ReuseCache, ZoneRef, Heaps or RuntimeHeaps Z, which must
// outlive it and stay where it is; others may ask Z for blocks without names. The table stays where it is too, gives
// nothing back at its end, and allocates nothing.
//
// L decides who may call at once. It is held while a block goes back (and a ReuseCache scrubs it), but not while a
// request waits, Z is asked for a block, or one is zeroed: so where there are several callers Z must bear them too.
// What Z calls while it is asked (Limit's retry) may call the table; but a request for the very name that is being made
// is in_use with lock::None, and with any other lock waits for itself for ever.
//
// A block has a holder for each request that was granted it, until a release or a leave ends that. The last one gives
// it back, unless its name is pinned, or it is kept until it is released and he just leaves. A release where nobody
// holds it gives it back too. Whoever releases what he does not hold takes a hold from another: to know who holds what
// is for clients and handles.
//
// Names have `most_length` bytes at most. A ZoneRef has no way to bytes that minds their caches, so over one, and over
// RuntimeHeaps, Fresh must be as_found. Cost of each call: O(most_blocks), the lock's, and what it asks of Z.
template <class Z, class L = lock::None, std::size_t most_blocks = 64, Fresh fresh = Fresh::zeroed,
          std::size_t most_length = 15>
class NamedBlocks {
  static constexpr bool is_of_one_caller = std::is_same_v<L, lock::None>;
  static constexpr bool is_zeroed = fresh == Fresh::zeroed && detail::BlockSource<Z>::can_zero;

  static_assert(detail::BlockSource<Z>::is_source,
                "NamedBlocks takes a zone, a layer round one, a ReuseCache, a ZoneRef or heaps: of a Fallback or a "
                "Router take one of its zones, of a Deferred what lies behind it.");
  static_assert(is_of_one_caller || !detail::is_of_one_caller<Z>,
                "NamedBlocks with a Lock is for several threads, and asks its zone outside it: so the zone needs a "
                "Lock too.");
  static_assert(most_blocks != 0, "NamedBlocks has room for 1 block at least.");
  static_assert(!reports_death<L>,
                "NamedBlocks lies in one process: a Lock that tells of dead holders is for several.");
  static_assert(fresh == Fresh::as_found || detail::BlockSource<Z>::can_zero,
                "NamedBlocks over a ZoneRef, or over RuntimeHeaps, which are such, cannot zero what it grants: say "
                "Fresh::as_found, and zero it yourself.");

 public:
  using Name = BlockName<most_length>;
  using Kept = KeptBlock<Name>;

  // What a request got.
  struct Granted {
    Block block = {};
    Bytes length = {};  // what its maker asked for
    unsigned heap = most_heaps;
    bool is_fresh = false;               // made for this request; else kept
    std::optional<Block> replaced = {};  // whose place it took: gone back, or without a name now and its holders'
    unsigned retries = 0;
  };

  explicit NamedBlocks(Z& zone, const NamedSettings& settings = {}) noexcept : source_(zone), settings_(settings) {}
  NamedBlocks(const NamedBlocks&) = delete;
  NamedBlocks& operator=(const NamedBlocks&) = delete;

  // The block that is kept under the name, as it is, or a new one; either way with one holder more. Errors: bad_name
  // (the empty one), zero_size, size_beyond_zone, kept_unfit (available: its length), too_many_names (what takes the
  // place of another needs one beside it), in_use (see above); the zone's, or the code of the heaps', after the retries
  // where room might have come; the cache policy's, access_open. Then nothing changed, and what the new one was to
  // replace is as it was. (A new one that could not be zeroed, and that the zone does not take back either, is in the
  // table without a name and a holder until a later request for a new one finds that it can go.)
  //
  // Of several that ask for one name at once one makes the block, and the others get it when it is zeroed. While a
  // request waits for its next try, everybody does as he likes, with this name too; no room is kept for it.
  Result<Granted> request(const Name& name, const Constraints& wanted,
                          KeptUntil until = KeptUntil::nobody_holds) noexcept {
    if (const Error error = check(name, wanted); error) return error;
    for (unsigned tries = 1;; ++tries) {
      bool may_change = false;
      auto granted = try_once(name, wanted, until, may_change);
      if (granted) {
        granted->retries = tries - 1;
        return granted;
      }
      if (!may_change || !may_retry({name.c_str(), wanted, granted.error(), tries})) return granted;
    }
  }
  Result<Granted> request(const Name& name, Bytes size, KeptUntil until = KeptUntil::nobody_holds) noexcept {
    return request(name, Constraints{.size = size}, until);
  }

  // One holder less, who wants the block no more: of the block under that name, or of that very block, with or without
  // a name. (MSYS asks for the name, and where there is none for the address.) Errors: unknown_name; the zone's. Then
  // nothing changed; but a block that had gone back by another way (double_release, inner_release) is out of the table.
  Result<ReleaseOutcome> release(const Name& name) noexcept {
    const Turn turn(lock_);
    return let_go(table_.find(name), true);
  }
  Result<ReleaseOutcome> release(const Block& block) noexcept {
    const Turn turn(lock_);
    return let_go(table_.find(block), true);
  }
  // One holder less, because he is gone: what is kept until it is released stays. Errors: release's.
  Result<ReleaseOutcome> leave(const Block& block) noexcept {
    const Turn turn(lock_);
    return let_go(table_.find(block), false);
  }

  // The block under that name, now or later, stays when its last holder leaves or releases it. Twice is once. Errors:
  // bad_name (the empty one), too_many_names where most_blocks names are pinned; then nothing changed.
  Result<void> pin(const Name& name) noexcept {
    if (name.is_empty()) return source_.fail(ErrorCode::bad_name, 0, 0);
    const Turn turn(lock_);
    if (!pins_.add(name)) return too_many_names();
    return {};
  }
  // Was it pinned? Nothing goes back by this: where nobody holds the block, the next release gives it back.
  bool unpin(const Name& name) noexcept {
    const Turn turn(lock_);
    return pins_.erase(name);
  }

  std::optional<Kept> find(const Name& name) noexcept {
    const Turn turn(lock_);
    return shown(table_.find(name));
  }
  std::optional<Kept> find(const Block& block) noexcept {
    const Turn turn(lock_);
    return shown(table_.find(block));
  }
  // By a byte of it, as far as it was asked for: the zone, and the offset there.
  std::optional<Kept> find_containing(std::uint32_t zone_tag, Bytes offset) noexcept {
    const Turn turn(lock_);
    return shown(table_.find_containing(zone_tag, offset));
  }
  std::optional<Kept> find_containing(Bytes offset) noexcept
    requires(!detail::BlockSource<Z>::has_heaps)
  {
    return find_containing(source_.tag(), offset);
  }
  // Empty where another took its place.
  std::optional<Name> name_of(const Block& block) noexcept {
    const auto found = find(block);
    return found ? std::optional(found->name) : std::nullopt;
  }

  // visit(const Kept&) for each, newest first, under the lock: what is there at one moment. It calls nothing of the
  // table. Those whose place another took are there too, without a name, while they are held.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    const Turn turn(lock_);
    table_.for_each([&](const Kept& kept) { visit(static_cast<const Kept&>(shown(kept))); });
  }
  // visit(const Name&) for each name that is pinned, newest first, in the same way.
  template <class Visitor>
  void for_each_pin(Visitor&& visit) noexcept {
    const Turn turn(lock_);
    pins_.for_each(visit);
  }

  NamedSettings settings() noexcept {
    const Turn turn(lock_);
    return settings_;
  }
  // change(NamedSettings&) under the lock. It holds from the next try on, of requests that wait too.
  template <class Change>
  void change_settings(Change&& change) noexcept {
    const Turn turn(lock_);
    change(settings_);
  }

 private:
  using Table = detail::KeptTable<Name, most_blocks>;
  using Entry = typename Table::Entry;
  using Turn = typename OwnLock<L>::Turn;

  // --- each takes its turn ---

  // Again where the name was pinned while a new block was made for it: then as refuse.
  Result<Granted> try_once(const Name& name, const Constraints& wanted, KeptUntil until, bool& may_change) noexcept {
    for (;;) {
      auto granted = take_or_reserve(name, wanted, until);
      if (!granted || !granted->is_fresh) return granted;
      const auto made = make(name, wanted, may_change);
      if (!made) return made.error();
      granted->block = made->block;
      granted->heap = made->heap;
      if (make_ready(name, *made, granted->replaced)) return granted;
    }
  }

  // The kept one; or a fresh one that is to be made yet, with a place in the table: when nobody else makes one of that
  // name.
  Result<Granted> take_or_reserve(const Name& name, const Constraints& wanted, KeptUntil until) noexcept {
    for (;;) {
      {
        const Turn turn(lock_);
        if (table_.find_unready(name) == nullptr) {
          Entry* const entry = table_.find(name);
          if (entry == nullptr || is_to_be_replaced(*entry, wanted)) return reserve(name, wanted, until);
          if (!serves(*entry, wanted)) return source_.fail(ErrorCode::kept_unfit, wanted.size, entry->kept.length);
          return take(*entry, until);
        }
      }
      if (is_of_one_caller) return source_.fail(ErrorCode::in_use, wanted.size, 0);
      give_others_a_turn();
    }
  }

  // A new block, whose name has a place. Errors: then the place is gone; `may_change` where it may be granted later.
  Result<HeapBlock> make(const Name& name, const Constraints& wanted, bool& may_change) noexcept {
    const auto made = source_.allocate(wanted, may_change);
    if (!made) return give_up(name, Block()), made.error();
    if constexpr (is_zeroed) {
      if (const auto zeroed = source_.zero(made->block); !zeroed) return give_up(name, made->block), zeroed.error();
    }
    return *made;
  }
  void give_up(const Name& name, const Block& block) noexcept {
    const Turn turn(lock_);
    drop(name, block);
  }

  // The new block is the one under its name now; `replaced`: whose place it took. False where that one was pinned
  // meanwhile: then the new one is dropped.
  bool make_ready(const Name& name, const HeapBlock& made, std::optional<Block>& replaced) noexcept {
    const Turn turn(lock_);
    if (Entry* const old = table_.find(name); old != nullptr) {
      if (is_pinned(name)) return drop(name, made.block), false;
      replaced = old->kept.block;
      retire(*old);
    }
    Entry& entry = *table_.find_unready(name);
    entry.kept.block = made.block;
    entry.kept.heap = made.heap;
    entry.is_ready = true;
    return true;
  }

  // After the compaction and the delay, which have no lock round them.
  bool may_retry(const FailedTry& failed) noexcept {
    const NamedSettings now = settings();
    if (failed.number > now.retries || (now.compact == nullptr && now.wait == nullptr)) return false;
    if (now.compact != nullptr && !now.compact(now.context, failed)) return false;
    if (now.wait != nullptr) now.wait(now.context, now.delay);
    return true;
  }
  void give_others_a_turn() noexcept {
    const NamedSettings now = settings();
    if (now.wait != nullptr) {
      now.wait(now.context, 0);
    } else {
      seam::pause();
    }
  }

  // --- within a turn ---

  Result<Granted> reserve(const Name& name, const Constraints& wanted, KeptUntil until) noexcept {
    sweep();
    if (table_.is_full()) return too_many_names();
    table_.add({.name = name, .length = wanted.size, .holders = 1, .until = until});
    return Granted{.length = wanted.size, .is_fresh = true};
  }
  // The place of what could not be made, or of that block. (It is of no zone where there is none.)
  void drop(const Name& name, const Block& block) noexcept {
    Entry& entry = *table_.find_unready(name);
    if (block == Block()) return table_.erase(entry);
    entry.kept.block = block;
    entry.kept.holders = 0;
    entry.is_ready = true;
    retire(entry);
  }
  // What has no name and no holder, for the zone did not take it back at once, goes where it takes it now.
  void sweep() noexcept {
    table_.erase_if([&](const Entry& entry) {
      const bool is_left = entry.is_ready && entry.kept.name.is_empty() && entry.kept.holders == 0;
      return is_left && is_gone(source_.deallocate(entry.kept.block));
    });
  }
  Granted take(Entry& entry, KeptUntil until) noexcept {
    ++entry.kept.holders;
    if (until == KeptUntil::released) entry.kept.until = until;
    return {.block = entry.kept.block, .length = entry.kept.length, .heap = entry.kept.heap};
  }

  bool serves(const Entry& entry, const Constraints& wanted) noexcept {
    return settings_.kept == KeptPolicy::keep || (wanted.size <= entry.kept.length && lies_well(entry, wanted));
  }
  bool is_to_be_replaced(const Entry& entry, const Constraints& wanted) noexcept {
    if (settings_.kept != KeptPolicy::reallocate || is_pinned(entry.kept.name)) return false;
    return wanted.size != entry.kept.length || !lies_well(entry, wanted);
  }
  bool lies_well(const Entry& entry, const Constraints& wanted) noexcept {
    return source_.meets({.block = entry.kept.block, .heap = entry.kept.heap}, wanted);
  }

  Result<ReleaseOutcome> let_go(Entry* entry, bool for_good) noexcept {
    if (entry == nullptr) return source_.fail(ErrorCode::unknown_name, 0, 0);
    KeptBlock<Name>& kept = entry->kept;
    if (kept.holders > 1) return --kept.holders, ReleaseOutcome::held;
    const bool is_held_fast = is_pinned(kept.name);
    if (is_held_fast || (!for_good && kept.until == KeptUntil::released)) {
      kept.holders = 0;
      return is_held_fast ? ReleaseOutcome::pinned : ReleaseOutcome::kept;
    }
    if (const auto done = give_back(*entry); !done) return done.error();
    return ReleaseOutcome::gone;
  }
  // It loses its name, and goes back where nobody holds it. (Where the zone refuses it now, a sweep may later.)
  void retire(Entry& entry) noexcept {
    entry.kept.name = Name();
    entry.kept.until = KeptUntil::nobody_holds;
    if (entry.kept.holders == 0) static_cast<void>(give_back(entry));
  }
  Result<void> give_back(Entry& entry) noexcept {
    const auto done = source_.deallocate(entry.kept.block);
    if (is_gone(done)) table_.erase(entry);
    return done;
  }
  // Now, or by another way before?
  static bool is_gone(const Result<void>& done) noexcept {
    const ErrorCode code = done.error().code;
    return done || code == ErrorCode::double_release || code == ErrorCode::inner_release;
  }

  bool is_pinned(const Name& name) const noexcept { return settings_.pins_hold && pins_.contains(name); }
  Kept shown(const Kept& kept) const noexcept {
    Kept shown = kept;
    shown.is_pinned = is_pinned(kept.name);
    return shown;
  }
  std::optional<Kept> shown(const Entry* entry) const noexcept {
    return entry == nullptr ? std::nullopt : std::optional(shown(entry->kept));
  }

  // --- neither ---

  Error check(const Name& name, const Constraints& wanted) noexcept {
    if (name.is_empty()) return source_.fail(ErrorCode::bad_name, 0, 0);
    if (wanted.size == 0) return source_.fail(ErrorCode::zero_size, 0, 0);
    const Bytes most = source_.most();
    return wanted.size > most ? source_.fail(ErrorCode::size_beyond_zone, wanted.size, most) : Error();
  }
  Error too_many_names() noexcept { return source_.fail(ErrorCode::too_many_names, most_blocks + 1, most_blocks); }

  detail::BlockSource<Z> source_;
  OwnLock<L> lock_;
  NamedSettings settings_;
  Table table_;
  detail::PinnedNames<Name, most_blocks> pins_;
};

}  // namespace freestone
