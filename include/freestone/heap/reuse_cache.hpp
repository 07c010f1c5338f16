// Blocks that were given back are kept for the next who asks for such a size: the page pools of ION's system heap,
// for any zone.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/layers/bytes.hpp>

namespace freestone {

// How a block that is to be kept is scrubbed: Result<void> operator()(Z&, const Block&) noexcept, of several threads
// at once, each with a block of its own.
template <class S, class Z>
concept can_scrub = requires(S& scrub, Z& zone, const Block& block) {
  { scrub(zone, block) } noexcept -> std::same_as<Result<void>>;
};

namespace scrub {

// The CPU writes zeros, between the brackets that the zone's cache policy wants: so a device sees them too. Fails
// where an access to the block has not ended (in builds that look after that), and as Zone::cpu_write does.
struct Zero {
  template <class Z>
    requires requires(Z& zone, const Block& block) { zone.cpu_write(block); }
  Result<void> operator()(Z& zone, const Block& block) const noexcept {
    auto access = zone.cpu_write(block);
    if (!access) return access.error();
    layers::bytes::fill(access->bytes(), 0);
    return access->end();
  }
};

// Nothing: for users who trust each other.
struct Nothing {
  template <class Z>
  Result<void> operator()(Z&, const Block&) const noexcept {
    return {};
  }
};

}  // namespace scrub

// Sizes of which blocks are kept, in bytes, ascending: BlockSizes<4 << 10, 64 << 10, 1 << 20>. They are sizes that
// the zone grants to the byte: whole granules, of a buddy powers of two of them.
template <std::uint64_t... bytes>
struct BlockSizes {
  static constexpr std::array<std::uint64_t, sizeof...(bytes)> values = {bytes...};

  static consteval bool ascend() noexcept {
    std::uint64_t before = 0;
    return ((bytes > before && (before = bytes, true)) && ...);
  }
  static constexpr bool contains(Bytes size) noexcept { return ((size == bytes) || ...); }

  // The smallest that is large enough, if it is less than twice as large; else 0.
  static constexpr Bytes size_for(Bytes size) noexcept {
    for (const std::uint64_t value : values) {
      if (value >= size.value()) return value / 2 < size.value() ? value : 0;
    }
    return 0;
  }
};

// Over Z, which is a zone, layers round one or a ZoneRef, and outlives this: up to `most` blocks, and no more than
// `most_bytes` in all, of the sizes that `Sizes` says (BlockSizes). A request is made as large as the smallest of
// these that holds it and is less than twice its size, and gets the block of that size that was kept for longest
// (first in, first out, as ION's page pools). Where none is kept, and for all other requests, the zone is asked.
//
// Nobody gets a former owner's bytes from here: a block is scrubbed before it is kept. What comes from the zone is as
// the zone gives it (layers::Scrub). To the zone, and in its stats, kept blocks are live; a request that fails for
// want of space has all of them go back, and is tried once more.
//
// Who gives a block back twice is told so while it is kept; but not one who goes to the zone itself. When this ends
// all go back. Threads take turns at the lock, which is held while blocks go to the zone, but not while bytes are
// scrubbed.
template <class Z, class Sizes, std::size_t most, class S = scrub::Zero, class L = lock::None>
class ReuseCache {
  static_assert(most != 0, "ReuseCache: there must be room for one block at least.");
  static_assert(Sizes::ascend(), "ReuseCache: the sizes of blocks must ascend, and none may be 0.");
  static_assert(
      can_scrub<S, Z>,
      "ReuseCache: the blocks of this zone cannot be scrubbed so. Where there is no cpu_write (the CPU does not "
      "see the bytes, or it is a ZoneRef), give a type with Result<void> operator()(Z&, const Block&) noexcept, "
      "or scrub::Nothing.");
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit ReuseCache(Z& zone, Bytes most_bytes = bits::all, S scrub = S()) noexcept
      : zone_(zone), most_bytes_(most_bytes), scrub_(std::move(scrub)) {}
  ReuseCache(const ReuseCache&) = delete;
  ReuseCache& operator=(const ReuseCache&) = delete;
  ~ReuseCache() { static_cast<void>(shrink(bits::all)); }

  // Errors: the zone's. Cost: a look through the table, or the zone's.
  Result<Block> allocate(const Request& request) noexcept {
    Request whole = request;
    whole.size = Sizes::size_for(request.size);
    if (whole.size == 0) whole.size = request.size;
    if (const auto kept = take(whole)) return *kept;
    const auto got = zone_.allocate(whole);
    if (got) return got;
    const bool was_full = is_want_of_space(got.error().code);
    if (was_full) static_cast<void>(shrink(bits::all));
    return was_full || whole.size != request.size ? zone_.allocate(request) : got;
  }
  Result<Block> allocate(Bytes size) noexcept { return allocate(Request{.size = size}); }

  // Keeps the block for the next, and where there is no room for it, the oldest go back. Errors: double_release of
  // one that is kept; the scrubber's (scrub::Zero: see there); the zone's. Then the block is still the caller's.
  // Cost: a look through the table, and the scrubber's.
  Result<void> deallocate(const Block& block) noexcept {
    if (const auto passed = reserve(block)) return *passed;
    const auto scrubbed = scrub_(zone_, block);
    const Turn turn(lock_);
    Entry& entry = entries_[find(block)];
    if (scrubbed) {
      entry.is_scrubbed = true;
    } else {
      remove(entry);
    }
    return scrubbed;
  }
  // Straight to the zone, with what is in it: when memory is wanted (ION's shrinker does so).
  Result<void> deallocate_to_zone(const Block& block) noexcept {
    const Turn turn(lock_);
    return find(block) != count_ ? twice(block) : zone_.deallocate(block);
  }

  // Gives the oldest back until that many bytes have gone, and says how many; shrink(0) says how many could go.
  Bytes shrink(Bytes bytes) noexcept {
    const Turn turn(lock_);
    if (bytes == 0) return scrubbed_bytes();
    Bytes gone;
    for (std::size_t at = 0; at < count_ && gone < bytes;) {
      const Bytes size = entries_[at].block.size();
      if (give_back(entries_[at])) {
        gone = gone + size;
      } else {
        ++at;
      }
    }
    return gone;
  }

  struct Kept {
    std::uint64_t blocks = 0;
    Bytes bytes = {};

    friend constexpr bool operator==(const Kept&, const Kept&) noexcept = default;
  };
  Kept kept() noexcept {
    const Turn turn(lock_);
    return {count_, bytes_};
  }

  // Is it somebody's?
  bool owns(const Block& block) noexcept {
    const Turn turn(lock_);
    return find(block) == count_ && zone_.owns(block);
  }
  const char* name() const noexcept { return zone_.name(); }
  std::uint32_t tag() const noexcept { return zone_.tag(); }
  Z& zone() noexcept { return zone_; }

 private:
  struct Entry {
    Block block = {};
    bool is_scrubbed = false;  // else somebody is at it: nobody gets it yet
  };

  static Error twice(const Block& block) noexcept {
    return {.code = ErrorCode::double_release, .asked = block.offset().value()};
  }

  // --- under the lock ---

  // Where it is in the table; count_ where it is not.
  std::size_t find(const Block& block) const noexcept {
    std::size_t at = 0;
    const auto is_it = [&](const Block& kept) {
      return kept.offset() == block.offset() && kept.zone_tag() == block.zone_tag();
    };
    while (at != count_ && !is_it(entries_[at].block)) ++at;
    return at;
  }
  void remove(Entry& entry) noexcept {
    bytes_ = bytes_ - entry.block.size();
    --count_;
    for (Entry* at = &entry; at != entries_ + count_; ++at) *at = at[1];
  }
  // False where it cannot go back now.
  bool give_back(Entry& entry) noexcept {
    if (!entry.is_scrubbed || !zone_.deallocate(entry.block)) return false;
    remove(entry);
    return true;
  }
  bool has_room_for(Bytes size) const noexcept {
    return count_ != most && bytes_ <= most_bytes_ && size <= most_bytes_ - bytes_;
  }
  Bytes scrubbed_bytes() const noexcept {
    Bytes bytes;
    for (std::size_t at = 0; at < count_; ++at) {
      if (entries_[at].is_scrubbed) bytes = bytes + entries_[at].block.size();
    }
    return bytes;
  }
  // Is it a live block that may be kept, and is there room for it, or can it be made?
  bool can_keep(const Block& block) noexcept {
    if (!Sizes::contains(block.size()) || block.size() > most_bytes_ || !zone_.owns(block)) return false;
    for (std::size_t at = 0; at < count_ && !has_room_for(block.size());) {
      if (!give_back(entries_[at])) ++at;
    }
    return has_room_for(block.size());
  }

  // --- not under it ---

  // A place in the table, so that nobody gives the block back a second time while it is scrubbed. Else what came of
  // giving it to the zone.
  std::optional<Result<void>> reserve(const Block& block) noexcept {
    const Turn turn(lock_);
    if (find(block) != count_) return twice(block);
    if (!can_keep(block)) return zone_.deallocate(block);
    entries_[count_++] = {block, false};
    bytes_ = bytes_ + block.size();
    return std::nullopt;
  }

  std::optional<Block> take(const Request& request) noexcept {
    if (!Sizes::contains(request.size)) return std::nullopt;
    const Turn turn(lock_);
    for (std::size_t at = 0; at < count_; ++at) {
      const Entry entry = entries_[at];
      if (!entry.is_scrubbed || entry.block.size() != request.size || !is_aligned(entry.block, request.align)) continue;
      remove(entries_[at]);
      return entry.block;
    }
    return std::nullopt;
  }

  // Alignments that the zone would refuse, or that nobody can tell here, are the zone's matter.
  bool is_aligned(const Block& block, Bytes align) const noexcept {
    if (align == 0) return true;
    if (!places() || !bits::is_power_of_two(align.value()) || align > zone_.size()) return false;
    return ((base() + block.offset()).value() & (align.value() - 1)) == 0;
  }
  Bytes base() const noexcept {
    if constexpr (requires { zone_.base(); }) {
      return zone_.base();
    } else {
      return zone_.backing().base();
    }
  }
  bool places() const noexcept {
    if constexpr (requires { zone_.abilities(); }) {
      return zone_.abilities().places;
    } else {
      return Z::Strategy::places;
    }
  }

  Z& zone_;
  Bytes most_bytes_;
  [[no_unique_address]] S scrub_;
  OwnLock<L> lock_;
  Entry entries_[most] = {};  // in the order in which they came
  std::size_t count_ = 0;
  Bytes bytes_ = {};
};

}  // namespace freestone
