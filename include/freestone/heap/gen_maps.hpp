// What of a pool's chunk is taken (heap/gen_pool.hpp), kept in one of two ways: GenBitmap finds a place in a few words, under a lock;
// GenBits walks over its bits, and takes no lock: a call may come in the middle of another one, from a handler too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/extent.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/release_range.hpp>

namespace freestone {

// What a chunk is asked for. Places count from its first granule.
struct GenSearch {
  std::uint64_t count = 0;
  std::uint64_t align = 1;     // a power of two; of the granule's number in the space of all addresses
  bool is_by_order = false;    // a multiple of the power of two that holds `count`, from the chunk's first granule on
  bool is_best = false;        // in the smallest hole that holds it, `align` or not
};

// Of up to 2^63 granules; 2.3 bits each.
template <class L>
class GenBitmap {
  using Turn = typename OwnLock<L>::Turn;

 public:
  static constexpr std::size_t footprint(std::uint64_t capacity) noexcept { return strategy::Bitmap::footprint(Granules(capacity)); }

  // `words`: footprint(capacity) of them, which it formats. `origin`: the first granule's number in the space of all addresses.
  GenBitmap(std::span<std::uint64_t> words, std::uint64_t capacity, std::uint64_t origin) noexcept
      : map_(*strategy::Bitmap::format(words, {.capacity = Granules(capacity), .granule = 1, .origin = Granules(origin)})),
        capacity_(capacity) {}

  // Takes a place. Empty: there is none.
  std::optional<std::uint64_t> place(const GenSearch& wanted) noexcept {
    const Turn turn(lock_);
    const strategy::BitmapRule rule{.fit = wanted.is_best ? strategy::Fit::best : strategy::Fit::first,
                                    .start = wanted.is_by_order ? strategy::Start::order : strategy::Start::any};
    const auto placed = map_.place_by(rule, Granules(wanted.count), Granules(wanted.is_best ? 1 : wanted.align));
    return placed ? std::optional(placed->first.value()) : std::nullopt;
  }
  // Takes that very place; false: some of it is taken, or outside.
  bool place_at(std::uint64_t first, std::uint64_t count) noexcept {
    const Turn turn(lock_);
    return map_.place_at({Granules(first), Granules(count)}).has_value();
  }
  // False, and nothing changed: not all of it is taken.
  bool release(std::uint64_t first, std::uint64_t count) noexcept {
    const Turn turn(lock_);
    return strategy::release_range(map_, {Granules(first), Granules(count)});
  }

  std::uint64_t capacity() const noexcept { return capacity_; }
  std::uint64_t free() noexcept {
    const Turn turn(lock_);
    return map_.free_granules().value();
  }
  // The first granule from there on that is free, or taken; capacity(): none is. As it is at that moment.
  std::uint64_t next_free(std::uint64_t from) noexcept {
    const Turn turn(lock_);
    while (const auto block = map_.containing(Granules(from))) from = block->end().value();
    return from < capacity_ ? from : capacity_;
  }
  std::uint64_t next_taken(std::uint64_t from) noexcept {
    const Turn turn(lock_);
    const auto hole = map_.hole_containing(Granules(from));
    return hole ? hole->end().value() : from < capacity_ ? from : capacity_;
  }

 private:
  OwnLock<L> lock_;
  strategy::Bitmap map_;
  const std::uint64_t capacity_;
};

// A bit each, of fewer than 2^32 granules. Any thread, interrupt handlers too; lock-free: whoever fails to take a place has lost it to
// another who took it.
template <class Atomics = CompilerAtomics>
class GenBits {
  using Word = typename Atomics::Word;

 public:
  static constexpr std::size_t footprint(std::uint64_t capacity) noexcept {
    return capacity >> 32 == 0 ? bits::words_for(capacity) : SIZE_MAX;
  }

  // As GenBitmap. Words that are zeros are only read, so that memory which is not there yet need not be.
  GenBits(std::span<std::uint64_t> words, std::uint64_t capacity, std::uint64_t origin) noexcept
      : words_(reinterpret_cast<Word*>(words.data())), capacity_(capacity), origin_(origin), free_(static_cast<Word>(capacity)) {
    for (std::uint64_t& word : words.first(footprint(capacity))) {
      if (word != 0) word = 0;
    }
  }
  GenBits(const GenBits&) = delete;
  GenBits& operator=(const GenBits&) = delete;

  std::optional<std::uint64_t> place(const GenSearch& wanted) noexcept {
    if (wanted.count == 0 || wanted.count > free()) return std::nullopt;
    for (std::uint64_t from = 0;;) {
      const std::uint64_t found = wanted.is_best ? find_best(wanted) : find(wanted, from);
      if (found == capacity_) return std::nullopt;
      if (place_at(found, wanted.count)) return found;
      from = found;  // another had some of it first
    }
  }
  bool place_at(std::uint64_t first, std::uint64_t count) noexcept {
    if (count == 0 || count > capacity_ || first > capacity_ - count) return false;
    for (std::uint64_t at = first; at != first + count; at = end_of_word(at, first + count)) {
      if (take(at, mask(at, first + count))) continue;
      clear(first, at);
      return false;
    }
    Atomics::fetch_add_acq_rel(free_, 0U - static_cast<Word>(count));
    return true;
  }
  // (Where two give back parts of the same range at once, one of them is told so; what he has given back already is.)
  bool release(std::uint64_t first, std::uint64_t count) noexcept {
    if (count == 0 || count > capacity_ || first > capacity_ - count) return false;
    if (next_free(first) < first + count) return false;
    const std::uint64_t end = clear(first, first + count);
    Atomics::fetch_add_acq_rel(free_, static_cast<Word>(end - first));
    return end == first + count;
  }

  std::uint64_t capacity() const noexcept { return capacity_; }
  // As it is at that moment; who takes what another has just given back may count it before him: then it is told as none.
  std::uint64_t free() const noexcept {
    const std::uint64_t count = Atomics::load_acquire(free_);
    return count <= capacity_ ? count : 0;
  }
  std::uint64_t next_free(std::uint64_t from) const noexcept { return next(from, ~Word{0}); }
  std::uint64_t next_taken(std::uint64_t from) const noexcept { return next(from, 0); }

 private:
  static constexpr unsigned word_bits = 32;

  static constexpr std::uint64_t end_of_word(std::uint64_t at, std::uint64_t end) noexcept {
    const std::uint64_t behind = (at | (word_bits - 1)) + 1;
    return behind < end ? behind : end;
  }
  // Of the word that `at` is in: the bits from there on, up to `end`.
  static constexpr Word mask(std::uint64_t at, std::uint64_t end) noexcept {
    const std::uint64_t count = end_of_word(at, end) - at;
    return static_cast<Word>((count == word_bits ? ~Word{0} : (Word{1} << count) - 1) << (at % word_bits));
  }
  Word& word_of(std::uint64_t at) const noexcept { return words_[at / word_bits]; }

  bool take(std::uint64_t at, Word wanted) noexcept {
    for (;;) {
      const Word seen = Atomics::load_relaxed(word_of(at));
      if ((seen & wanted) != 0) return false;
      if (Atomics::compare_exchange_acquire(word_of(at), seen, seen | wanted)) return true;
    }
  }
  // As far as they are taken: up to the word that is not.
  std::uint64_t clear(std::uint64_t first, std::uint64_t end) noexcept {
    for (std::uint64_t at = first; at != end; at = end_of_word(at, end)) {
      if (!give(at, mask(at, end))) return at;
    }
    return end;
  }
  bool give(std::uint64_t at, Word gone) noexcept {
    for (;;) {
      const Word seen = Atomics::load_relaxed(word_of(at));
      if ((seen & gone) != gone) return false;
      if (Atomics::compare_exchange_acq_rel(word_of(at), seen, seen & ~gone)) return true;
    }
  }

  // The first bit from there on that differs from `passed`'s, which are all alike.
  std::uint64_t next(std::uint64_t from, Word passed) const noexcept {
    for (std::uint64_t at = from; at < capacity_; at = end_of_word(at, capacity_)) {
      const Word other = (Atomics::load_acquire(word_of(at)) ^ passed) & mask(at, capacity_);
      if (other != 0) return at / word_bits * word_bits + bits::lowest_bit(other);
    }
    return capacity_;
  }
  // The first place from there on; capacity_: none.
  std::uint64_t find(const GenSearch& wanted, std::uint64_t from) const noexcept {
    const std::uint64_t grid = wanted.is_by_order ? std::uint64_t{1} << bits::ceil_log2(wanted.count) : wanted.align;
    const std::uint64_t origin = wanted.is_by_order ? 0 : origin_;
    for (;;) {
      const std::uint64_t free = next_free(from);
      const std::uint64_t pad = (0 - (free + origin)) & (grid - 1);
      if (wanted.count > capacity_ || free > capacity_ - wanted.count || pad > capacity_ - wanted.count - free) return capacity_;
      const std::uint64_t first = free + pad, taken = next_taken(first);
      if (taken - first >= wanted.count) return first;
      from = taken;
    }
  }
  // In the smallest hole that holds it, the first of these; the first one of just that length is it.
  std::uint64_t find_best(const GenSearch& wanted) const noexcept {
    std::uint64_t best = capacity_, least = ~std::uint64_t{0};
    for (std::uint64_t hole = next_free(0); hole < capacity_;) {
      const std::uint64_t end = next_taken(hole), length = end - hole;
      if (length == wanted.count) return hole;
      if (length > wanted.count && length < least) best = hole, least = length;
      hole = next_free(end);
    }
    return best;
  }

  Word* const words_;
  const std::uint64_t capacity_;
  const std::uint64_t origin_;
  Word free_;
};

}  // namespace freestone
