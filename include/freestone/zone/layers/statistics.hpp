#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/clock.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// What one tag asked for, and has.
struct TagStats {
  std::uint64_t calls = 0;     // that ask for bytes: allocate in all its forms, resize
  std::uint64_t refusals = 0;  // of these
  std::uint64_t blocks = 0;    // live
  Bytes bytes = {};            // live, as granted
  std::uint64_t most_blocks = 0;
  Bytes most_bytes = {};         // live at once, ever
  Bytes granted = {};            // in all, ever
  std::uint64_t unfollowed = 0;  // blocks, ever, for which the table had no room: only calls and granted know these,
                                 // and of a resize neither does

  friend constexpr bool operator==(const TagStats&, const TagStats&) noexcept = default;
};

// How long calls took: calls[0] is those of less than one unit of the clock, calls[i] those from 2^(i-1) to below 2^i,
// the last one also all that took longer.
struct Histogram {
  std::array<std::uint64_t, 40> calls{};

  constexpr void add(std::uint64_t time) noexcept {
    const std::size_t longest = calls.size() - 1;
    const std::size_t i = time == 0 ? 0 : bits::floor_log2(time) + 1;
    ++calls[i < longest ? i : longest];
  }

  friend constexpr bool operator==(const Histogram&, const Histogram&) noexcept = default;
};

// What lies behind the layer, without the layer's own; refused calls too. A list is one call; resize is not in it.
struct Latency {
  Histogram allocate;
  Histogram deallocate;

  friend constexpr bool operator==(const Latency&, const Latency&) noexcept = default;
};

namespace detail {

// Live blocks by their offsets: open addressing, and holes closed when one goes, so that a look is a few slots however
// long it has been in use. Three quarters are filled at most.
template <std::size_t Slots>
class FollowedBlocks {
  static_assert(Slots >= 4 && bits::is_power_of_two(Slots), "Statistics: Slots must be a power of two, 4 or more.");

 public:
  struct Followed {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;  // 0: the slot is empty
    std::uint32_t tag = 0;

    constexpr explicit operator bool() const noexcept { return size != 0; }
  };

  // The block that begins there, or the empty slot where it would go.
  constexpr Followed& at(std::uint64_t offset) noexcept { return slots_[slot_of(offset)]; }

  constexpr bool has_room() const noexcept { return used_ < Slots / 4 * 3; }

  // `slot` is the empty one that is the block's.
  constexpr void put(Followed& slot, const Followed& block) noexcept {
    slot = block;
    ++used_;
  }

  constexpr Followed take(std::uint64_t offset) noexcept {
    std::size_t hole = slot_of(offset);
    const Followed taken = slots_[hole];
    if (!taken) return taken;
    for (std::size_t i = next(hole); slots_[i]; i = next(i)) {
      if (((i - home_of(slots_[i].offset)) & mask) < ((i - hole) & mask)) continue;  // it would lie before its home
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
    --used_;
    return taken;
  }
  // Takes all of which goes(Followed) is true; of some it is asked twice.
  template <class Goes>
  constexpr void take_if(Goes&& goes) noexcept {
    for (const Followed& slot : slots_) {
      while (slot && goes(slot)) take(slot.offset);
    }
  }

 private:
  static constexpr std::size_t mask = Slots - 1;
  static constexpr std::size_t next(std::size_t slot) noexcept { return (slot + 1) & mask; }
  static constexpr std::size_t home_of(std::uint64_t offset) noexcept {
    return static_cast<std::size_t>((offset * 0x9E3779B97F4A7C15) >> (64 - bits::floor_log2(Slots)));
  }
  constexpr std::size_t slot_of(std::uint64_t offset) const noexcept {
    std::size_t slot = home_of(offset);
    while (slots_[slot] && slots_[slot].offset != offset) slot = next(slot);
    return slot;
  }

  std::array<Followed, Slots> slots_{};
  std::size_t used_ = 0;
};

}  // namespace detail

// A zone that counts, for each Request::tag, what is asked for and what is live, and how long calls take. Tags from
// Tags - 1 on are counted together. It never refuses: blocks beyond the table's 3/4 of Slots are not followed, and
// `unfollowed` says how many there were.
//
// All of it lies in the handle, 24 bytes a slot, and is about this handle: a block of another's may be given back here,
// and changes no tag; one of this handle's that another gave back counts until its place is granted again, or this
// handle recovers the zone. In between, where threads call at once, it shows no more than is live. A move takes it
// along.
//
// Cost: some 100 instructions for an allocate and its deallocate together, and the clock twice a call; with NoClock not
// that, and no `latency`.
template <class Z, std::size_t Tags = 16, std::size_t Slots = 1024, class Clock = Ticks>
class Statistics : public Layer<Statistics<Z, Tags, Slots, Clock>, Z> {
  using Base = Layer<Statistics, Z>;
  friend Base;
  using Turn = typename Base::Turn;
  using Table = detail::FollowedBlocks<Slots>;
  using Followed = typename Table::Followed;
  static constexpr bool is_timed = !std::is_same_v<Clock, NoClock>;
  static_assert(Tags != 0, "Statistics: Tags must be 1 or more; the last one collects the rest.");
  static_assert(!is_timed || is_clock<Clock>,
                "Statistics: the Clock must be callable as std::uint64_t(), noexcept: what time it is; or be NoClock.");

 public:
  constexpr TagStats tag_stats(std::uint32_t tag) noexcept {
    const Turn turn(*this);
    return of(tag);
  }
  constexpr Latency latency() noexcept
    requires is_timed
  {
    const Turn turn(*this);
    return latency_;
  }

  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    const std::uint64_t start = now();
    const Result<Block> block = next(request);
    const std::uint64_t end = now();
    const Turn turn(*this);
    count_allocate(request.tag, bool(block), start, end);
    if (block) grant(request.tag, *block);
    return block;
  }

  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    const std::uint64_t start = now();
    const Result<std::span<Block>> blocks = next(request);
    const std::uint64_t end = now();
    const Turn turn(*this);
    count_allocate(request.tag, bool(blocks), start, end);
    if (blocks) {
      for (const Block& block : *blocks) grant(request.tag, block);
    }
    return blocks;
  }

  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    const Result<Block> resized = next(block, size);
    if (block.zone_tag() != this->tag()) return resized;
    const Turn turn(*this);
    Followed& followed = blocks_.at(block.offset().value());
    if (!followed) return resized;
    TagStats& tag = of(followed.tag);
    ++tag.calls;
    if (!resized) {
      ++tag.refusals;
    } else {
      const Bytes before = followed.size;
      if (resized->size() > before) tag.granted = tag.granted + (resized->size() - before);
      followed.size = resized->size().value();
      tag.bytes = tag.bytes - before + resized->size();
      raise(tag);
    }
    return resized;
  }

  // Its slot is another's as soon as the block is, so it is left before, and taken again where the call fails.
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const Followed followed = leave(block);
    const std::uint64_t start = now();
    const Result<void> result = next(block);
    const std::uint64_t end = now();
    if (!is_timed && (result || !followed)) return result;
    const Turn turn(*this);
    if constexpr (is_timed) latency_.deallocate.add(ticks_between(start, end));
    if (!result && followed && !blocks_.at(followed.offset)) follow(followed);
    return result;
  }

  constexpr void after_recover() noexcept {
    const Turn turn(*this);  // others wait, for once
    blocks_.take_if([this](const Followed& block) {
      const std::optional<Block> live = this->find(block.offset);
      const bool is_gone = !live || live->size() != block.size;
      if (is_gone) forget(block);
      return is_gone;
    });
  }

 private:
  constexpr Statistics(Z&& zone, const NoSettings&) noexcept : Base(std::move(zone)) {}

  static constexpr std::uint64_t now() noexcept {
    if constexpr (is_timed) {
      return Clock()();
    } else {
      return 0;
    }
  }

  constexpr TagStats& of(std::uint32_t tag) noexcept { return tags_[tag < Tags ? tag : Tags - 1]; }
  static constexpr void raise(TagStats& tag) noexcept {
    if (tag.blocks > tag.most_blocks) tag.most_blocks = tag.blocks;
    if (tag.bytes > tag.most_bytes) tag.most_bytes = tag.bytes;
  }

  constexpr void count_allocate(std::uint32_t tag, bool granted, std::uint64_t start, std::uint64_t end) noexcept {
    ++of(tag).calls;
    if (!granted) ++of(tag).refusals;
    if constexpr (is_timed) latency_.allocate.add(ticks_between(start, end));
  }

  constexpr void grant(std::uint32_t tag, const Block& block) noexcept {
    of(tag).granted = of(tag).granted + block.size();
    if (const Followed stale = blocks_.take(block.offset().value()); stale) forget(stale);  // it went round the layer
    follow({.offset = block.offset().value(), .size = block.size().value(), .tag = tag});
  }

  // Nobody has its slot.
  constexpr void follow(const Followed& block) noexcept {
    TagStats& tag = of(block.tag);
    if (!blocks_.has_room()) {
      ++tag.unfollowed;
      return;
    }
    blocks_.put(blocks_.at(block.offset), block);
    ++tag.blocks;
    tag.bytes = tag.bytes + block.size;
    raise(tag);
  }
  constexpr void forget(const Followed& block) noexcept {
    TagStats& tag = of(block.tag);
    --tag.blocks;
    tag.bytes = tag.bytes - block.size;
  }
  constexpr Followed leave(const Block& block) noexcept {
    if (block.zone_tag() != this->tag()) return {};  // the zone says so
    const Turn turn(*this);
    const Followed followed = blocks_.take(block.offset().value());
    if (followed) forget(followed);
    return followed;
  }

  struct NoLatency {};

  Table blocks_;
  std::array<TagStats, Tags> tags_{};
  [[no_unique_address]] std::conditional_t<is_timed, Latency, NoLatency> latency_{};
};

}  // namespace freestone::layers
