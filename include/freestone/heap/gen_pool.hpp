// A pool of chunks of memory, or of numbers, that drivers cut small pieces from, as the kernel's general-purpose allocator has it
// (genalloc's gen_pool). (shared/spec: MSYS 7.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/address.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/same_text.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/gen_maps.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>

namespace freestone {

// Where in a chunk a request goes.
struct GenRule {
  enum class By : std::uint8_t {
    first_fit,              // the lowest place
    first_fit_align,        // the lowest whose address is a multiple of `data` bytes, a power of two
    fixed,                  // `data` bytes from the chunk's start
    first_fit_order_align,  // the lowest that is a multiple of the power of two of granules that holds it, from the chunk's start
    best_fit,               // in the smallest hole that holds it, the lowest of these
  };
  By by = By::first_fit;
  Bytes data = {};
};

struct GenChunk {
  std::uint64_t start = 0;        // the address of its first byte, as callers know it
  PhysicalAddress physical{0};    // of the same
  Bytes size = {};                // what is no whole granule at its end is not used
  int node = -1;                  // of which memory it is; -1: whichever
  const void* owner = nullptr;

  // Its last byte's.
  constexpr std::uint64_t last() const noexcept { return start + size.value() - 1; }
  constexpr bool has(std::uint64_t address) const noexcept { return address >= start && address - start < size.value(); }
  constexpr bool has(std::uint64_t address, Bytes length) const noexcept {
    return has(address) && length.value() <= size.value() - (address - start);
  }
};

// What an allocation got.
struct GenBlock {
  std::uint64_t address = 0;
  PhysicalAddress physical{0};
  const void* owner = nullptr;  // the chunk's
};

// Up to `most_chunks`; it stays where it is. M: GenBitmap, or GenBits, which needs no lock, of a chunk. L: who may add chunks at once;
// while one is added others allocate. Any thread, as M lets them. It gives nothing back at its end; see `check_end`.
//
// Other than genalloc: what gives back too much, twice, or what is none of its own is refused and changes nothing.
template <class M, class L = lock::None, std::size_t most_chunks = 16, class Atomics = CompilerAtomics>
class GenPool {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Map = M;

  // Granules of 2^order bytes.
  explicit GenPool(Order granule) noexcept : granule_(granule) {}
  GenPool(const GenPool&) = delete;
  GenPool& operator=(const GenPool&) = delete;

  // The words that a chunk of that size takes.
  constexpr std::size_t words_for(Bytes size) const noexcept { return Map::footprint(size.value() >> granule_.value()); }

  // A chunk more, asked before all others; its words are the pool's, and outlive it. Errors: size_beyond_zone: it is less than a granule,
  // or reaches beyond the last address; notes_too_small; foreign_block: it overlaps another one; no_space: there are most_chunks.
  Error add(const GenChunk& chunk, std::span<std::uint64_t> words) noexcept {
    const Turn turn(adding_);
    const std::size_t needed = words_for(chunk.size), count = chunks();
    if (granules_in(chunk.size) == 0 || chunk.last() < chunk.start) return {.code = ErrorCode::size_beyond_zone, .asked = chunk.size.value()};
    if (words.size() < needed) return {.code = ErrorCode::notes_too_small, .asked = needed, .available = words.size()};
    for (std::size_t place = 0; place < count; ++place) {
      const GenChunk& other = places_[place]->chunk;
      if (chunk.has(other.start) || other.has(chunk.start)) return {.code = ErrorCode::foreign_block, .asked = chunk.start};
    }
    if (count == most_chunks) return {.code = ErrorCode::no_space, .asked = most_chunks + 1, .available = most_chunks};
    places_[count].emplace(chunk, words, granules_in(chunk.size), chunk.start >> granule_.value());
    Atomics::store_release(count_, static_cast<Word>(count + 1));
    return {};
  }

  // By the pool's own rule, or another. Whole granules; empty: no chunk has such a place, or the size is 0.
  std::optional<GenBlock> allocate(Bytes size) noexcept { return allocate(size, rule_); }
  std::optional<GenBlock> allocate(Bytes size, const GenRule& rule) noexcept {
    return allocate_in(size, [&](Place& place, std::uint64_t count) { return place_by(rule, place, count); });
  }
  // choose(map, count, chunk) -> std::optional<std::uint64_t>: which granule of the chunk, of what `map` has free (Map's next_free and
  // next_taken); another may be quicker, then it is asked again.
  template <class Choose>
  std::optional<GenBlock> allocate_by(Bytes size, Choose&& choose) noexcept {
    return allocate_in(size, [&](Place& place, std::uint64_t count) -> std::optional<std::uint64_t> {
      if (count > place.map.free()) return std::nullopt;
      for (unsigned tries = 0; tries < most_tries; ++tries) {
        const std::optional<std::uint64_t> first = choose(place.map, count, place.chunk);
        if (!first || place.map.place_at(*first, count)) return first;
      }
      return std::nullopt;
    });
  }
  // The same, of zeros, where its addresses are the CPU's.
  std::optional<GenBlock> allocate_zeroed(Bytes size) noexcept { return allocate_zeroed(size, rule_); }
  std::optional<GenBlock> allocate_zeroed(Bytes size, const GenRule& rule) noexcept {
    auto block = allocate(size, rule);
    if (block) __builtin_memset(reinterpret_cast<void*>(static_cast<std::uintptr_t>(block->address)), 0, static_cast<std::size_t>(size.value()));
    return block;
  }

  // Gives back what starts there; also a part of what was allocated, or several that lie side by side. Its chunk's owner. Errors:
  // zero_size; foreign_block: not all in one chunk; inner_release: not from a granule on; double_release: not all of it is taken.
  Result<const void*> deallocate(std::uint64_t address, Bytes size) noexcept {
    Place* const place = find(address);
    const auto refuse = [&](ErrorCode code) { return Error{.code = code, .asked = address, .available = size.value()}; };
    if (size == 0) return refuse(ErrorCode::zero_size);
    if (place == nullptr || !place->chunk.has(address, size)) return refuse(ErrorCode::foreign_block);
    const std::uint64_t offset = address - place->chunk.start;
    if (offset % granule_bytes() != 0) return refuse(ErrorCode::inner_release);
    if (!place->map.release(offset >> granule_.value(), granules_of(size))) return refuse(ErrorCode::double_release);
    return place->chunk.owner;
  }

  // Of an address within a chunk. Empty: in none.
  std::optional<PhysicalAddress> physical_of(std::uint64_t address) noexcept {
    const Place* const place = find(address);
    return place == nullptr ? std::nullopt : std::optional(place->chunk.physical + Bytes(address - place->chunk.start));
  }
  // Are these bytes all in one chunk?
  bool has(std::uint64_t address, Bytes length) noexcept {
    const Place* const place = find(address);
    return place != nullptr && place->chunk.has(address, length);
  }
  Bytes available() noexcept {
    Bytes sum = 0;
    for (std::size_t place = chunks(); place-- != 0;) sum = sum + (places_[place]->map.free() << granule_.value());
    return sum;
  }
  Bytes size() noexcept {
    Bytes sum = 0;
    for_each_chunk([&](const GenChunk& chunk) { sum = sum + chunk.size; });
    return sum;
  }
  // visit(const GenChunk&), newest first.
  template <class Visit>
  void for_each_chunk(Visit&& visit) noexcept {
    for (std::size_t place = chunks(); place-- != 0;) visit(places_[place]->chunk);
  }

  // The pool's own rule; empty: first_fit. While nobody allocates.
  void set_rule(std::optional<GenRule> rule) noexcept { rule_ = rule.value_or(GenRule()); }

  // Before its end. Error: still_used, with how many bytes are (asked), of how many (available).
  Error check_end() noexcept {
    Bytes all = 0, free = 0;
    for (std::size_t place = chunks(); place-- != 0;) {
      all = all + (places_[place]->map.capacity() << granule_.value());
      free = free + (places_[place]->map.free() << granule_.value());
    }
    return all == free ? Error() : Error{.code = ErrorCode::still_used, .asked = (all - free).value(), .available = all.value()};
  }

 private:
  using Word = typename Atomics::Word;
  static constexpr unsigned most_tries = 64;

  struct Place {
    Place(const GenChunk& made_of, std::span<std::uint64_t> words, std::uint64_t capacity, std::uint64_t origin) noexcept
        : chunk(made_of), map(words, capacity, origin) {}

    const GenChunk chunk;
    Map map;
  };

  std::size_t chunks() const noexcept { return Atomics::load_acquire(count_); }
  std::uint64_t granule_bytes() const noexcept { return granule_.granules().value(); }
  std::uint64_t granules_in(Bytes size) const noexcept { return size.value() >> granule_.value(); }
  std::uint64_t granules_of(Bytes size) const noexcept { return granules_in(size) + (size.value() % granule_bytes() != 0); }

  Place* find(std::uint64_t address) noexcept {
    for (std::size_t place = chunks(); place-- != 0;) {
      if (places_[place]->chunk.has(address)) return &*places_[place];
    }
    return nullptr;
  }
  template <class Take>
  std::optional<GenBlock> allocate_in(Bytes size, Take&& take) noexcept {
    const std::uint64_t count = granules_of(size);
    for (std::size_t at = chunks(); at-- != 0 && count != 0;) {
      Place& place = *places_[at];
      const std::optional<std::uint64_t> first = take(place, count);
      if (!first) continue;
      const Bytes offset = *first << granule_.value();
      return GenBlock{place.chunk.start + offset.value(), place.chunk.physical + offset, place.chunk.owner};
    }
    return std::nullopt;
  }
  // What cannot be is no place: an alignment that is no power of two, an offset that is no granule's.
  std::optional<std::uint64_t> place_by(const GenRule& rule, Place& place, std::uint64_t count) const noexcept {
    const std::uint64_t data = granules_of(rule.data);
    switch (rule.by) {
      case GenRule::By::first_fit: return place.map.place({.count = count});
      case GenRule::By::first_fit_align:
        return bits::is_power_of_two(rule.data.value()) ? place.map.place({.count = count, .align = data}) : std::nullopt;
      case GenRule::By::fixed:
        return rule.data.value() % granule_bytes() == 0 && place.map.place_at(data, count) ? std::optional(data) : std::nullopt;
      case GenRule::By::first_fit_order_align: return place.map.place({.count = count, .is_by_order = true});
      case GenRule::By::best_fit: return place.map.place({.count = count, .is_best = true});
    }
    return std::nullopt;
  }

  const Order granule_;
  GenRule rule_ = {};
  OwnLock<L> adding_;
  Word count_ = 0;
  std::array<std::optional<Place>, most_chunks> places_ = {};
};

// Pools of devices by name, for drivers that ask for what others made. Up to `most`; for one caller at a time. Pools, devices and names
// outlive it.
template <class P, std::size_t most = 32>
class GenPoolNames {
 public:
  // Errors: kept_unfit: that device has a pool of that name; too_many_names. The name may be "".
  Error add(const void* device, const char* name, P& pool) noexcept {
    if (find(device, name) != nullptr) return {.code = ErrorCode::kept_unfit};
    if (count_ == most) return {.code = ErrorCode::too_many_names, .asked = most + 1, .available = most};
    named_[count_++] = {device, name, &pool};
    return {};
  }
  // Null: there is none.
  P* find(const void* device, const char* name) const noexcept {
    for (std::size_t at = 0; at < count_; ++at) {
      if (named_[at].device == device && is_same_text(named_[at].name, name)) return named_[at].pool;
    }
    return nullptr;
  }
  // All that the device had; it is gone.
  void remove(const void* device) noexcept {
    std::size_t kept = 0;
    for (std::size_t at = 0; at < count_; ++at) {
      if (named_[at].device != device) named_[kept++] = named_[at];
    }
    count_ = kept;
  }

 private:
  struct Named {
    const void* device;
    const char* name;
    P* pool;
  };
  std::array<Named, most> named_ = {};
  std::size_t count_ = 0;
};

}  // namespace freestone
