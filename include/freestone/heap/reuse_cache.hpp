// Blocks that were given back are kept for the next who asks for such a size: the page pools of ION's system heap,
// for any zone.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/heap/block_source.hpp>
#include <freestone/heap/leaving.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/zone_ref.hpp>

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

namespace detail {

// Is there a layer in Z that must see each call, and does more than to scrub?
template <class Z>
inline constexpr bool misses_calls = layers::must_see_each_call<Z>;
template <class Z>
inline constexpr bool misses_calls<layers::Scrub<Z>> = layers::must_see_each_call<Z>;

// What a zone's type says of itself. That of a ZoneRef says nothing.
template <class Z>
struct PartsOf {};
template <class Z>
  requires has_own_backing<Z>
struct PartsOf<Z> {
  using Backing = typename Z::Backing;
  using Strategy = typename Z::Strategy;
  using CachePolicy = typename Z::CachePolicy;
};

}  // namespace detail

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
// scrubbed, nor while the zone is asked for a block: so the zone must bear several callers too.
//
// A fork copies it. Where parent and child share the zone's memory, what is kept is the parent's still: in the child
// the copy is not called, and its destructor does not run (it leaves by exec or _exit). Where the child has a copy of
// the zone too, both are its own.
//
// It can itself be taken for a zone, by NamedBlocks, Deferred or a ZoneRef. (Layers that must see each call are
// refused; behind a ZoneRef nobody can see them.)
template <class Z, class Sizes, std::size_t most, class S = scrub::Zero, class L = lock::None>
class ReuseCache : public detail::PartsOf<Z> {
  static constexpr bool is_over_ref = std::is_same_v<Z, ZoneRef>;
  static_assert(most != 0, "ReuseCache: there must be room for one block at least.");
  static_assert(Sizes::ascend(), "ReuseCache: the sizes of blocks must ascend, and none may be 0.");
  static_assert(has_own_backing<Z> || is_over_ref,
                "ReuseCache: it is over one zone, layers round one, or a ZoneRef. Several zones (Fallback, Heaps) have "
                "one each; and Deferred goes round it.");
  static_assert(!detail::misses_calls<Z>,
                "ReuseCache: a layer behind it must see each call, and sees none that is served from what is kept: "
                "no Annotated, Canaries, Quarantine or Limit with Tags may be there, and a Scrub only next to it.");
  static_assert(
      can_scrub<S, Z>,
      "ReuseCache: the blocks of this zone cannot be scrubbed so. Where there is no cpu_write (the CPU does not "
      "see the bytes, or it is a ZoneRef), give a type with Result<void> operator()(Z&, const Block&) noexcept, "
      "or scrub::Nothing.");
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Lock = L;

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

  // As the zone's, which is asked at once: what is kept may lie anywhere.
  Result<Block> allocate_high(const Request& request) noexcept
    requires requires(Z& zone) { zone.allocate_high(request); }
  {
    return ask_zone([&] { return zone_.allocate_high(request); });
  }
  Result<Block> allocate_within(const Request& request, const Bounds& bounds) noexcept
    requires requires(Z& zone) { zone.allocate_within(request, bounds); }
  {
    return ask_zone([&] { return zone_.allocate_within(request, bounds); });
  }

  // Keeps the block for the next, and where there is no room for it, the oldest go back. Errors: double_release of
  // one that is kept; access_open as the zone's; the scrubber's (scrub::Zero: see there); the zone's. Then the block is
  // still the caller's. Cost: a look through the table, and the scrubber's.
  Result<void> deallocate(const Block& block) noexcept {
    Turn turn(lock_);
    if (is_on_its_way(block)) return twice(block);
    if (!is_worth_keeping(block)) return zone_.deallocate(block);
    if (const auto scrubbed = scrub_it(turn, block); !scrubbed) return scrubbed;
    return keep(block);
  }
  // Straight to the zone, with what is in it: when memory is wanted (ION's shrinker does so).
  Result<void> deallocate_to_zone(const Block& block) noexcept {
    const Turn turn(lock_);
    return is_on_its_way(block) ? twice(block) : zone_.deallocate(block);
  }

  // deallocate in two steps, for who has a lock of his own that is not to be held while bytes are scrubbed (Deferred).
  // He sees to it that nobody gives the block back in between. Errors: deallocate's.
  Result<void> scrub(const Block& block) noexcept {
    Turn turn(lock_);
    if (is_on_its_way(block)) return twice(block);
    return is_worth_keeping(block) ? scrub_it(turn, block) : Result<void>();
  }
  Result<void> deallocate_scrubbed(const Block& block) noexcept {
    const Turn turn(lock_);
    if (is_on_its_way(block)) return twice(block);
    return is_worth_keeping(block) ? keep(block) : zone_.deallocate(block);
  }

  // Gives the oldest back until that many bytes have gone, and says how many; shrink(0) says how many could go.
  Bytes shrink(Bytes bytes) noexcept {
    const Turn turn(lock_);
    if (bytes == 0) return bytes_;
    Bytes gone;
    for (std::size_t at = 0; at < count_ && gone < bytes;) {
      const Bytes size = entries_[at].size();
      if (give_back(at)) {
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

  // --- what else a zone has; the rest zone() has ---

  // Is it somebody's?
  bool owns(const Block& block) noexcept {
    const Turn turn(lock_);
    return !is_on_its_way(block) && zone_.owns(block);
  }
  // The block of somebody's that begins there, and that the byte is in.
  std::optional<Block> find(Bytes offset) noexcept { return if_owned(zone_.find(offset)); }
  std::optional<Block> find_containing(Bytes offset) noexcept
    requires requires(Z& zone) { zone.find_containing(offset); }
  {
    return if_owned(zone_.find_containing(offset));
  }
  // The zone's, but what is kept is free. `largest_free` is the zone's.
  Stats stats() noexcept {
    const Turn turn(lock_);
    Stats all = zone_.stats();
    if (all.blocks < count_ || all.used < bytes_) return all;  // a holder died
    all.blocks -= count_;
    all.used = all.used - bytes_;
    all.free = all.free + bytes_;
    return all;
  }
  Bytes free() noexcept {
    const Turn turn(lock_);
    return zone_.free() + bytes_;
  }
  bool is_whole() noexcept
    requires requires(Z& zone) { zone.is_whole(); }
  {
    return zone_.is_whole();
  }

  std::span<std::byte> data(const Block& block) const noexcept
    requires requires(Z& zone) { zone.data(block); }
  {
    return zone_.data(block);
  }
  template <bool is_checked = accesses_are_checked>
  auto cpu_write(const Block& block) noexcept
    requires requires(Z& zone) { zone.template cpu_write<is_checked>(block); }
  {
    return zone_.template cpu_write<is_checked>(block);
  }
  Result<void> clean(const Block& block) noexcept
    requires requires(Z& zone) { zone.clean(block); }
  {
    return zone_.clean(block);
  }
  std::optional<PhysicalAddress> physical_address(const Block& block) const noexcept
    requires requires(Z& zone) { zone.physical_address(block); }
  {
    return zone_.physical_address(block);
  }
  std::optional<DeviceAddress> device_address(const Block& block) const noexcept
    requires requires(Z& zone) { zone.device_address(block); }
  {
    return zone_.device_address(block);
  }

  Bytes size() const noexcept { return zone_.size(); }
  Bytes granule() const noexcept { return zone_.granule(); }
  Bytes base() const noexcept {
    if constexpr (is_over_ref) {
      return zone_.base();
    } else {
      return zone_.backing().base();
    }
  }
  const char* name() const noexcept { return zone_.name(); }
  std::uint32_t tag() const noexcept { return zone_.tag(); }
  ZoneAbilityFlags abilities() const noexcept {
    ZoneAbilityFlags can;
    if constexpr (is_over_ref) {
      can = zone_.abilities();
    } else {
      can = abilities_of<Z>();
    }
    can.allocates_lists = false;
    return can;
  }
  static consteval bool allocates_lists() noexcept { return false; }
  auto& backing() noexcept
    requires has_own_backing<Z>
  {
    return zone_.backing();
  }
  Z& zone() noexcept { return zone_; }

 private:
  static Error twice(const Block& block) noexcept {
    return {.code = ErrorCode::double_release, .asked = block.offset().value()};
  }

  // --- under the lock ---

  // Where it is in the table; count_ where it is not.
  std::size_t place_of(const Block& block) const noexcept {
    std::size_t at = 0;
    while (at != count_ && !detail::begin_at_one_place(entries_[at], block)) ++at;
    return at;
  }
  // Is it kept, or about to be?
  bool is_on_its_way(const Block& block) const noexcept {
    return place_of(block) != count_ || leaving_.contains(block);
  }
  void remove(std::size_t place) noexcept {
    bytes_ = bytes_ - entries_[place].size();
    --count_;
    for (std::size_t at = place; at != count_; ++at) entries_[at] = entries_[at + 1];
  }
  // False where it cannot go back now.
  bool give_back(std::size_t place) noexcept {
    if (!zone_.deallocate(entries_[place])) return false;
    remove(place);
    return true;
  }

  // Is it a live block that may be kept? (Where the CPU sees less of it than was granted, a layer has notes in it.)
  bool is_worth_keeping(const Block& block) noexcept {
    if (!Sizes::contains(block.size()) || block.size() > most_bytes_ || !zone_.owns(block)) return false;
    if constexpr (is_over_ref) {
      const std::span<std::byte> bytes = zone_.data(block);
      return bytes.empty() || bytes.size() == block.size().value();
    }
    return true;
  }
  bool is_touched(const Block& block) noexcept {
    if constexpr (requires { zone_.template is_touched<accesses_are_checked>(block.offset()); }) {
      return zone_.template is_touched<accesses_are_checked>(block.offset());
    } else {
      return false;
    }
  }
  // But not under it while that goes on.
  Result<void> scrub_it(Turn& turn, const Block& block) noexcept {
    if (is_touched(block)) {
      return Error{.code = ErrorCode::access_open, .asked = block.offset().value(), .zone = name()};
    }
    detail::LeavingBlocks::Entry leaving{block};
    leaving_.add(leaving);
    const auto scrubbed = turn.let_others([&] { return scrub_(zone_, block); });
    leaving_.remove(leaving);
    return scrubbed;
  }
  bool has_room_for(Bytes size) const noexcept {
    return count_ != most && bytes_ <= most_bytes_ && size <= most_bytes_ - bytes_;
  }
  // In the table, where there is room or can be made, else in the zone.
  Result<void> keep(const Block& block) noexcept {
    for (std::size_t at = 0; at < count_ && !has_room_for(block.size());) {
      if (!give_back(at)) ++at;
    }
    if (!has_room_for(block.size())) return zone_.deallocate(block);
    entries_[count_++] = block;
    bytes_ = bytes_ + block.size();
    return {};
  }

  // --- not under it ---

  template <class Ask>
  Result<Block> ask_zone(Ask&& ask) noexcept {
    const auto got = ask();
    if (got || !is_want_of_space(got.error().code)) return got;
    return shrink(bits::all) == 0 ? got : ask();
  }

  std::optional<Block> take(const Request& request) noexcept {
    if (!Sizes::contains(request.size)) return std::nullopt;
    const Turn turn(lock_);
    for (std::size_t at = 0; at < count_; ++at) {
      const Block block = entries_[at];
      if (block.size() != request.size || !is_aligned(block, request.align)) continue;
      remove(at);
      return block;
    }
    return std::nullopt;
  }
  std::optional<Block> if_owned(const std::optional<Block>& found) noexcept {
    const Turn turn(lock_);
    return found && is_on_its_way(*found) ? std::nullopt : found;
  }

  // Alignments that the zone would refuse, or that nobody can tell here, are the zone's matter.
  bool is_aligned(const Block& block, Bytes align) const noexcept {
    if (align == 0) return true;
    const ZoneAbilityFlags can = abilities();
    return can.places && align <= size() &&
           detail::is_aligned(can, granule(), (base() + block.offset()).value(), align);
  }

  Z& zone_;
  Bytes most_bytes_;
  [[no_unique_address]] S scrub_;
  OwnLock<L> lock_;
  detail::LeavingBlocks leaving_;
  Block entries_[most] = {};  // in the order in which they came
  std::size_t count_ = 0;
  Bytes bytes_ = {};
};

}  // namespace freestone
