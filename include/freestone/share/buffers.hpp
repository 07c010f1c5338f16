// Buffers: memory that several hold, map and share. They live until nobody does any more.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/block.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/block_source.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/free_places.hpp>
#include <freestone/share/handle_table.hpp>
#include <freestone/share/holds.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone {

// Room for so many blocks, which nobody touches before there are any: of a table of buffers that could have very many, only
// what they have takes memory.
template <std::size_t most>
class BlockRoom {
 public:
  constexpr BlockRoom() noexcept {}

  constexpr Block* data() noexcept { return blocks_.data(); }
  constexpr const Block* data() const noexcept { return blocks_.data(); }
  static constexpr std::size_t size() noexcept { return most; }
  constexpr const Block& operator[](std::size_t at) const noexcept { return blocks_[at]; }

 private:
  union {
    std::array<Block, most> blocks_;
  };
};

// What else each buffer has: nothing.
struct NoExtra {};

// What a buffer is made of; it never changes while the buffer lives.
template <std::size_t most_blocks>
struct BufferParts {
  std::size_t count = 0;
  unsigned heap = 0;  // a single zone is heap 0
  Bytes size = {};  // of all blocks together
  std::uint32_t flags = 0;  // as its maker says; nothing here looks at them
  std::uint64_t number = 0;  // of the buffers that lay in its place
  BlockRoom<most_blocks> blocks = {};  // the first `count` of them

  std::span<const Block> list() const noexcept { return {blocks.data(), count}; }
};

// Blocks that their zone did not take back when their buffer ended, or came to nothing.
struct LostBlocks {
  std::uint64_t blocks = 0;
  Bytes bytes = {};
  Error refused = {};  // what the zone said of the last of them

  friend constexpr bool operator==(const LostBlocks&, const LostBlocks&) noexcept = default;
};

// Up to `most` buffers of the zone, layer, ZoneRef or heaps Z, each of up to `most_blocks` blocks. Whoever takes a hold
// drops it again; whoever drops the last ends it, then or later, and that gives the blocks back. No lock is held
// meanwhile. The table stays where it is. Any thread, as L lets them, and Z's lock. X is what else each buffer has.
//
// A block that Z refuses to take back is counted (`lost`) and left as it is: live in Z, where nobody else gets it, or
// gone before (double_release). Nothing here asks Z for it once more: by then it may be somebody else's. (So an access
// to a block's bytes ends before the buffer's last hold is dropped: a zone that looks after accesses takes back none that
// is open, and the block is lost.)
template <class Z, std::size_t most, std::size_t most_blocks, class L, class Atomics = CompilerAtomics, class X = NoExtra>
class Buffers {
  static_assert(detail::BlockSource<Z>::is_source,
                "Buffers are of a zone, layer, ReuseCache, ZoneRef or heaps: of several zones that look like one, make heaps.");
  using Source = detail::BlockSource<Z>;
  using Turn = typename OwnLock<L>::Turn;
  using Word = typename Atomics::Word;

 public:
  using Parts = BufferParts<most_blocks>;

  explicit Buffers(Z& zone) noexcept : source_(zone) {}

  // Blocks for a buffer, which nobody knows yet. Errors: too_many_buffers; empty_mask, also where Z is one zone and heap 0
  // is not allowed; the zone's or the heaps'.
  struct Draft {
    std::uint32_t place;
    Bytes size;
  };
  Result<Draft> draft(const Constraints& wanted) noexcept {
    if (!Source::has_heaps && !wanted.heaps.contains(0)) return ErrorCode::empty_mask;
    const auto place = take_place();
    if (!place) return Error{.code = ErrorCode::too_many_buffers, .asked = most + 1, .available = most};
    Parts& parts = places_[*place].parts;
    parts.count = 0;
    parts.size = 0;
    const auto got = source_.allocate_list(wanted, std::span(parts.blocks.data(), parts.blocks.size()));
    if (!got) return put_place(*place), got.error();
    parts.count = got->blocks.size();
    parts.heap = Source::has_heaps ? got->heap : 0;
    for (const Block& block : got->blocks) parts.size = parts.size + block.size();
    return Draft{*place, parts.size};
  }
  // Nothing came of it.
  void discard(Draft draft) noexcept {
    give_back(places_[draft.place].parts);
    put_place(draft.place);
  }
  const Parts& parts(Draft draft) const noexcept { return places_[draft.place].parts; }
  void set_extra(Draft draft, X&& extra) noexcept { places_[draft.place].extra.emplace(std::move(extra)); }
  // It is a buffer from here on, with one hold, which is the caller's. Cached as its heap is, where nothing is said. (An extra
  // that nobody set is X's first value.)
  BufferId publish(Draft draft, std::uint32_t account, std::uint32_t flags, std::optional<Cacheability> seen = {}) noexcept {
    Place& place = places_[draft.place];
    if constexpr (std::default_initializable<X>) {
      if (!place.extra) place.extra.emplace();
    }
    place.account = account;
    place.parts.flags = flags;
    place.parts.number = ++place.published;
    MapCounts<Atomics>(place.maps).begin(seen ? *seen : source_.cacheability_of(place.parts.blocks[0]));
    return {draft.place, Holds<Atomics>(place.holds).begin(), place.published};
  }

  // Zeros, or what S does, in each block. Errors: S's.
  template <class S>
  Result<void> scrub(Draft draft, S& scrubber) noexcept {
    for (const Block& block : places_[draft.place].parts.list()) {
      if (const auto done = source_.scrub(block, scrubber); !done) return done;
    }
    return {};
  }

  // A hold more. Errors: no_buffer: it is gone; too_many_holds.
  ErrorCode take(BufferId id) noexcept {
    using Taken = typename Holds<Atomics>::Taken;
    if (id.place >= most) return ErrorCode::no_buffer;
    const Taken taken = Holds<Atomics>(places_[id.place].holds).take(id.generation);
    return taken == Taken::yes ? ErrorCode::none : taken == Taken::full ? ErrorCode::too_many_holds : ErrorCode::no_buffer;
  }
  // A hold on whatever lies there. Empty: nothing does, or so many hold it that nobody can any more.
  std::optional<BufferId> take_any(std::uint32_t place) noexcept {
    const std::uint32_t generation = Holds<Atomics>(places_[place].holds).generation();
    if (take({place, generation}) != ErrorCode::none) return std::nullopt;
    return BufferId{place, generation, places_[place].parts.number};
  }
  // One's own hold less. True: it was the last, and the caller is to end the buffer, now or later; nobody gets a hold on it
  // any more.
  bool drop(BufferId id) noexcept { return Holds<Atomics>(places_[id.place].holds).drop(); }
  // The blocks go back, settle(account, size) ends what else is counted of it, and then, as the last of all, it is not
  // counted any more: whoever sees none left (count) may end this. What else it had is the caller's.
  template <class Settle>
  X end(BufferId id, Settle&& settle) noexcept {
    Place& place = places_[id.place];
    give_back(place.parts);
    settle(place.account, place.parts.size);
    X rest = std::move(*place.extra);
    place.extra.reset();
    put_place(id.place);
    return rest;
  }

  // For whoever has a hold. They take turns at `account`, which may change.
  std::uint32_t& account(BufferId id) noexcept { return places_[id.place].account; }
  const Parts& parts(BufferId id) const noexcept { return places_[id.place].parts; }
  X& extra(BufferId id) noexcept { return *places_[id.place].extra; }
  MapCounts<Atomics> maps(BufferId id) noexcept { return MapCounts<Atomics>(places_[id.place].maps); }
  std::uint32_t holds(BufferId id) noexcept { return Holds<Atomics>(places_[id.place].holds).count(); }

  std::size_t count() noexcept {
    const Turn turn(lock_);
    return free_.used();
  }
  // All there were so far.
  LostBlocks lost() noexcept {
    const Turn turn(lock_);
    return lost_;
  }

 private:
  struct Place {
    Word holds{};
    Word maps{};
    std::uint32_t account = 0;
    std::uint64_t published = 0;  // how many lay here
    Parts parts = {};
    std::optional<X> extra = {};
  };

  std::optional<std::uint32_t> take_place() noexcept {
    const Turn turn(lock_);
    return free_.take();
  }
  void put_place(std::uint32_t place) noexcept {
    const Turn turn(lock_);
    free_.put(place);
  }
  void give_back(const Parts& parts) noexcept {
    for (const Block& block : parts.list()) {
      if (const auto gone = source_.deallocate(block); !gone) note_lost(block, gone.error());
    }
  }
  void note_lost(const Block& block, const Error& refused) noexcept {
    const Turn turn(lock_);
    lost_ = {.blocks = lost_.blocks + 1, .bytes = lost_.bytes + block.size(), .refused = refused};
  }

  Source source_;
  OwnLock<L> lock_;
  std::array<Place, most> places_ = {};
  FreePlaces<most> free_;
  LostBlocks lost_;
};

}  // namespace freestone
