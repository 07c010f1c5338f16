// Buffers: memory that several hold, map and share. They live until nobody does any more.
#pragma once

#include <array>
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

// What a buffer is made of; it never changes while the buffer lives.
template <std::size_t most_blocks>
struct BufferParts {
  std::array<Block, most_blocks> blocks = {};  // the first `count` of them
  std::size_t count = 0;
  unsigned heap = most_heaps;
  Bytes size = {};  // of all blocks together
  std::uint32_t account = 0;
  std::uint32_t flags = 0;  // as its maker says; nothing here looks at them
  std::uint64_t number = 0;  // of the buffers that lay in its place

  std::span<const Block> list() const noexcept { return {blocks.data(), count}; }
};

// Up to `most` buffers of the zone, layer, ZoneRef or heaps Z, each of up to `most_blocks` blocks. Whoever takes a hold
// drops it again; the last one's drop gives the blocks back. No lock is held meanwhile. The table stays where it is.
// Any thread, as L lets them, and Z's lock.
template <class Z, std::size_t most, std::size_t most_blocks, class L, class Atomics = CompilerAtomics>
class Buffers {
  static_assert(detail::BlockSource<Z>::is_source,
                "Buffers are of a zone, layer, ReuseCache, ZoneRef or heaps: of several zones that look like one, make heaps.");
  using Turn = typename OwnLock<L>::Turn;
  using Word = typename Atomics::Word;

 public:
  using Parts = BufferParts<most_blocks>;

  explicit Buffers(Z& zone) noexcept : source_(zone) {}

  // Blocks for a buffer, which nobody knows yet. Errors: too_many_buffers; the zone's or the heaps'.
  struct Draft {
    std::uint32_t place;
    Bytes size;
  };
  Result<Draft> draft(const Constraints& wanted) noexcept {
    const auto place = take_place();
    if (!place) return Error{.code = ErrorCode::too_many_buffers, .asked = most + 1, .available = most};
    Parts& parts = places_[*place].parts;
    parts.count = 0;
    parts.size = 0;
    const auto got = source_.allocate_list(wanted, parts.blocks);
    if (!got) return put_place(*place), got.error();
    parts.count = got->blocks.size();
    parts.heap = got->heap;
    for (const Block& block : got->blocks) parts.size = parts.size + block.size();
    return Draft{*place, parts.size};
  }
  // Nothing came of it.
  void discard(Draft draft) noexcept { take_apart(draft.place); }
  // It is a buffer from here on, with one hold, which is the caller's.
  BufferId publish(Draft draft, std::uint32_t account, std::uint32_t flags, Cacheability seen) noexcept {
    Place& place = places_[draft.place];
    place.parts.account = account;
    place.parts.flags = flags;
    place.parts.number = ++place.published;
    MapCounts<Atomics>(place.maps).begin(seen);
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
  // One's own hold less. Where it was the last the blocks went back, and this is what the buffer was.
  struct Ended {
    Bytes size;
    std::uint32_t account;
  };
  std::optional<Ended> drop(BufferId id) noexcept {
    if (!Holds<Atomics>(places_[id.place].holds).drop()) return std::nullopt;
    const Parts& parts = places_[id.place].parts;
    const Ended ended{parts.size, parts.account};
    take_apart(id.place);
    return ended;
  }

  // For whoever has a hold.
  const Parts& parts(BufferId id) const noexcept { return places_[id.place].parts; }
  MapCounts<Atomics> maps(BufferId id) noexcept { return MapCounts<Atomics>(places_[id.place].maps); }
  std::uint32_t holds(BufferId id) noexcept { return Holds<Atomics>(places_[id.place].holds).count(); }

  std::size_t count() noexcept {
    const Turn turn(lock_);
    return free_.used();
  }

 private:
  struct Place {
    Word holds{};
    Word maps{};
    std::uint64_t published = 0;  // how many lay here
    Parts parts = {};
  };

  std::optional<std::uint32_t> take_place() noexcept {
    const Turn turn(lock_);
    return free_.take();
  }
  void put_place(std::uint32_t place) noexcept {
    const Turn turn(lock_);
    free_.put(place);
  }
  // A block that does not go back is lost; there is nobody left to tell.
  void take_apart(std::uint32_t place) noexcept {
    for (const Block& block : places_[place].parts.list()) static_cast<void>(source_.deallocate(block));
    put_place(place);
  }

  detail::BlockSource<Z> source_;
  OwnLock<L> lock_;
  std::array<Place, most> places_ = {};
  FreePlaces<most> free_;
};

}  // namespace freestone
