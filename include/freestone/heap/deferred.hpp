// Blocks that go back when a fence says so: somebody, a device most often, still uses them when their owner is
// through.
//
// Which goes round which: next to the zone what keeps blocks that nobody uses (ReuseCache); round that Deferred, so
// that first the fence signals and then the block is scrubbed; and beside Deferred what else takes blocks from there:
//
//   ReuseCache<Z, BlockSizes<4096>, 16> cache(zone);
//   Deferred<decltype(cache), EventFence, 16> after(cache);  // after.shrink(bytes) is a shrinker for both
//   NamedBlocks<decltype(cache)> named(cache);
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/fence.hpp>
#include <freestone/heap/leaving.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/lock/none.hpp>

namespace freestone {

namespace detail {

template <class Z>
concept has_several_zones = requires(Z& z) { z.for_each([](auto&&, const auto&...) {}); };
template <class Z>
concept can_defer = requires(Z& z, const Block& block) { z.deallocate(block); } &&
                    (has_several_zones<Z> || requires(Z& z, const Block& block) { z.owns(block), z.tag(); });

struct SeenZones {
  bool has_its_tag = false;
  bool is_live = false;
  Error died = {};  // holder_died of the one that it is of
};

template <class Z>
constexpr void look_for(Z& z, const Block& block, SeenZones& seen) noexcept {
  if constexpr (has_several_zones<Z>) {
    z.for_each([&](auto&& zone, const auto&...) { look_for(zone, block, seen); });
  } else if (z.tag() == block.zone_tag()) {
    seen.has_its_tag = true;
    seen.is_live = seen.is_live || z.owns(block);
    if constexpr (requires { z.is_whole(); }) {
      if (!seen.is_live && !z.is_whole()) seen.died = {.code = ErrorCode::holder_died, .zone = z.name()};
    }
  }
}

// Is it a live block of Z, a zone or several? foreign_block where it is of another, dead_block where there is none
// there, or none of that size; holder_died where nobody knows. (Of a ZoneRef dead_block then too: it does not tell.)
template <class Z>
constexpr Error check_live(Z& z, const Block& block) noexcept {
  SeenZones seen;
  look_for(z, block, seen);
  if (seen.is_live) return {};
  if (seen.died) return seen.died;
  return {.code = seen.has_its_tag ? ErrorCode::dead_block : ErrorCode::foreign_block, .asked = block.offset().value()};
}

}  // namespace detail

// What a call gave back, or what waits. `refused` is the first error of a zone that did not take a block back, or of
// a fence that will never signal; those blocks wait on.
struct GoneBack {
  std::uint64_t blocks = 0;
  Bytes bytes = {};
  Error refused = {};

  friend constexpr bool operator==(const GoneBack&, const GoneBack&) noexcept = default;
};

// Over Z, which is a zone, layers round one, a ReuseCache, a ZoneRef, a ZoneSet or Heaps, and outlives this: up to
// `most` blocks wait, each for a fence of its own. (So a buffer of several blocks takes a fence for each: a copy, or
// where it is a descriptor one more of it, EventFence::of.) Nothing watches the fences: who calls looks at them
// (collect, and calls that need room).
//
// Until its fence is seen to have signalled a block stays live in its zone, and nobody else gets it. So what still
// waits when this ends stays live for good, and only what has signalled goes back then: memory is lost rather than
// granted to somebody while a device writes to it. Who wants otherwise drains first, or gives back by himself
// (deallocate_now).
//
// Who gives a block back twice is told so while it waits; but not one who goes to the zone itself. What the fences
// look at outlives this too.
//
// Threads take turns at the lock, which is held while fences are looked at and blocks go back, but not while one
// waits, nor while a ReuseCache scrubs, nor while Z is asked for a block: so Z must bear several callers too.
//
// A fork copies it. Where parent and child share the zone's memory, what waits is the parent's still: in the child the
// copy is not called, and its destructor does not run (it leaves by exec or _exit). Where the child has a copy of the
// zone too, both are its own.
template <class Z, class F, std::size_t most, class L = lock::None>
  requires(check_fence<F>())
class Deferred {
  static_assert(most != 0, "Deferred: there must be room for one block at least.");
  static_assert(detail::can_defer<Z>,
                "Deferred: it is over what has deallocate(Block), and owns(Block) and tag(), or for_each zone of "
                "several: a zone, a layer, a ReuseCache, a ZoneRef, a Fallback, Heaps. Names go beside it.");
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit Deferred(Z& zone) noexcept : zone_(zone) {}
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  ~Deferred() { static_cast<void>(collect()); }

  // As Z's, of a Request, Constraints or Bytes. Where that fails for want of space, blocks whose fences have
  // signalled go back to the zone, as they are (ION's heaps with deferred free do so), and it is tried once more.
  // Errors: Z's.
  template <class Wanted>
  auto allocate(const Wanted& wanted) noexcept -> decltype(std::declval<Z&>().allocate(wanted)) {
    auto got = zone_.allocate(wanted);
    if (got || !is_want_of_space(got.error().code)) return got;
    static_cast<void>(collect_unscrubbed(bits::all));
    return zone_.allocate(wanted);
  }

  // Gives the block back when the fence has signalled; at once, where it has. An rvalue is moved from only where the
  // block waits then. Errors: double_release where it waits already, or is going back; foreign_block, dead_block,
  // holder_died where it is no live block of Z; too_many_blocks where as many wait and none can go back (a drain may
  // sleep for one that has, up to 10 ms); the zone's. Then the block is still the caller's.
  template <class G>
    requires(std::is_same_v<std::remove_cvref_t<G>, F> && std::is_nothrow_constructible_v<F, G>)
  Result<void> deallocate_after(const Block& block, G&& fence) noexcept {
    Turn turn(lock_);
    if (const Error error = check(block); error) return error;
    if (fence.has_signalled()) return to_zone(turn, block);
    Entry* entry = empty_entry();
    if (entry == nullptr) {
      collect_some(turn, bits::all);
      if (const Error error = check(block); error) return error;  // others may have had their turn
      entry = empty_entry();
    }
    if (entry == nullptr) {
      return Error{.code = ErrorCode::too_many_blocks, .asked = block.size().value(), .available = most};
    }
    entry->fence.emplace(std::forward<G>(fence));
    entry->block = block;
    return {};
  }
  template <class G>
  Result<void> deallocate_after(const HeapBlock& block, G&& fence) noexcept {
    return deallocate_after(block.block, std::forward<G>(fence));
  }

  // Gives a block back that nobody else uses. Errors: double_release where it waits, or is going back; Z's.
  Result<void> deallocate(const Block& block) noexcept {
    Turn turn(lock_);
    return is_on_its_way(block) ? twice(block) : to_zone(turn, block);
  }
  // Gives a waiting block back whatever its fence says: the caller knows that nobody uses it any more (the device was
  // reset). Who drains wakes up soon after. Errors: dead_block where it does not wait; double_release where it is going
  // back now; the zone's, and then it waits on.
  Result<void> deallocate_now(const Block& block) noexcept {
    Turn turn(lock_);
    Entry* const entry = find(block);
    if (entry == nullptr) return Error{.code = ErrorCode::dead_block, .asked = block.offset().value()};
    return leaving_.contains(block) ? twice(block) : give_back(turn, *entry);
  }

  // All whose fences have signalled go back, or as many as it takes for `enough` bytes; collect(0) says how many could
  // go. Cost: a look at each fence.
  GoneBack collect(Bytes enough = bits::all) noexcept {
    Turn turn(lock_);
    return enough == 0 ? signalled() : collect_some(turn, enough);
  }

  // When memory is wanted: gives that many bytes back to the zone, of blocks whose fences have signalled (as they are),
  // then of what Z keeps (ReuseCache). Says how many went; shrink(0) says how many could go.
  Bytes shrink(Bytes bytes) noexcept {
    const Bytes gone = bytes == 0 ? collect(0).bytes : collect_unscrubbed(bytes).bytes;
    if constexpr (requires { { zone_.shrink(bytes) } -> std::same_as<Bytes>; }) {  // an elastic zone's is another
      if (bytes == 0 || gone < bytes) return gone + zone_.shrink(bytes == 0 ? bytes : bytes - gone);
    }
    return gone;
  }

  // As collect, and waits for those that have not signalled: each in its turn, `timeout` at most. What could not go
  // back waits on: pending() tells. One that goes back another way is waited for no longer, where fences can_break;
  // other fences are slept for until they signal or the timeout is over.
  GoneBack drain(Timeout timeout) noexcept
    requires can_wait<F>
  {
    GoneBack all = collect();
    for (Entry& entry : entries_) {
      if (!begin_to_wait(entry)) continue;
      await(entry, timeout);
      Turn turn(lock_);
      --entry.waiters;
      if (can_go(entry)) send(turn, entry, all);
      if (entry.is_waiting() && !all.refused) all.refused = error_of(*entry.fence);
      tidy(entry);
    }
    return all;
  }
  // The same with fences that nobody can sleep on: collects again and again, until nothing waits or go_on() is false.
  // It is called in between, under no lock: to pause, and to count.
  template <class GoOn>
    requires(std::is_nothrow_invocable_r_v<bool, GoOn&>)
  GoneBack drain(GoOn&& go_on) noexcept {
    GoneBack all = collect();
    while (pending().blocks != 0 && go_on()) add(all, collect());
    return all;
  }

  // What waits; `refused` is the error of the first fence that will never signal. Cost: a look at each fence that can
  // tell.
  GoneBack pending() noexcept {
    const Turn turn(lock_);
    GoneBack all;
    for (const Entry& entry : entries_) {
      if (!entry.is_waiting()) continue;
      add(all, {.blocks = 1, .bytes = entry.block.size(), .refused = error_of(*entry.fence)});
    }
    return all;
  }
  bool is_pending(const Block& block) noexcept {
    const Turn turn(lock_);
    return find(block) != nullptr;
  }
  // visit(Block, const F&) for each that waits, under the lock.
  template <class Visitor>
  void for_each_pending(Visitor&& visit) noexcept {
    const Turn turn(lock_);
    for (const Entry& entry : entries_) {
      if (entry.is_waiting()) visit(entry.block, std::as_const(*entry.fence));
    }
  }

 private:
  // Empty; or a block and its fence; or a fence whose block has gone back, but that somebody still waits for.
  struct Entry {
    std::optional<F> fence;
    Block block = {};  // of no zone: it has gone back
    unsigned waiters = 0;

    bool is_waiting() const noexcept { return block != Block(); }
  };

  static Error twice(const Block& block) noexcept {
    return {.code = ErrorCode::double_release, .asked = block.offset().value()};
  }
  static void add(GoneBack& all, const GoneBack& more) noexcept {
    all.blocks += more.blocks;
    all.bytes = all.bytes + more.bytes;
    if (!all.refused) all.refused = more.refused;
  }

  // --- under the lock ---

  Entry* find(const Block& block) noexcept {
    for (Entry& entry : entries_) {
      if (entry.is_waiting() && detail::begin_at_one_place(entry.block, block)) return &entry;
    }
    return nullptr;
  }
  Entry* empty_entry() noexcept {
    for (Entry& entry : entries_) {
      if (!entry.fence) return &entry;
    }
    return nullptr;
  }
  bool is_on_its_way(const Block& block) noexcept { return find(block) != nullptr || leaving_.contains(block); }
  Error check(const Block& block) noexcept {
    return is_on_its_way(block) ? twice(block) : detail::check_live(zone_, block);
  }
  bool can_go(const Entry& entry) const noexcept {
    return entry.is_waiting() && !leaving_.contains(entry.block) && entry.fence->has_signalled();
  }

  // Others have their turn while it is scrubbed, and see it in `leaving_`.
  Result<void> to_zone(Turn& turn, const Block& block) noexcept {
    if constexpr (requires { zone_.scrub(block), zone_.deallocate_scrubbed(block); }) {
      detail::LeavingBlocks::Entry leaving{block};
      leaving_.add(leaving);
      const auto scrubbed = turn.let_others([&] { return zone_.scrub(block); });
      leaving_.remove(leaving);
      return scrubbed ? zone_.deallocate_scrubbed(block) : scrubbed;
    } else {
      return static_cast<void>(turn), zone_.deallocate(block);
    }
  }
  Result<void> give_back(Turn& turn, Entry& entry) noexcept {
    const Block block = entry.block;
    if (const auto done = to_zone(turn, block); !done) return done;
    empty(entry);
    return {};
  }
  static void empty(Entry& entry) noexcept {
    entry.block = Block();
    tidy(entry);
  }
  static void tidy(Entry& entry) noexcept {
    if (!entry.is_waiting() && entry.waiters == 0) entry.fence.reset();
  }
  // Gives its block back, and counts that in `all`.
  void send(Turn& turn, Entry& entry, GoneBack& all) noexcept {
    const Bytes size = entry.block.size();
    if (const auto done = give_back(turn, entry); !done) return add(all, {.refused = done.error()});
    add(all, {.blocks = 1, .bytes = size});
  }
  GoneBack collect_some(Turn& turn, Bytes enough) noexcept {
    GoneBack all;
    for (Entry& entry : entries_) {
      if (all.bytes >= enough) break;
      if (can_go(entry)) send(turn, entry, all);
    }
    return all;
  }
  GoneBack signalled() noexcept {
    GoneBack all;
    for (const Entry& entry : entries_) {
      if (can_go(entry)) add(all, {.blocks = 1, .bytes = entry.block.size()});
    }
    return all;
  }

  // --- not under it ---

  // As collect, past what Z keeps.
  GoneBack collect_unscrubbed(Bytes enough) noexcept {
    if constexpr (requires(const Block& block) { zone_.deallocate_to_zone(block); }) {
      const Turn turn(lock_);
      GoneBack all;
      for (Entry& entry : entries_) {
        if (all.bytes >= enough) break;
        if (!can_go(entry)) continue;
        const Bytes size = entry.block.size();
        const auto done = zone_.deallocate_to_zone(entry.block);
        add(all, done ? GoneBack{.blocks = 1, .bytes = size} : GoneBack{.refused = done.error()});
        if (done) empty(entry);
      }
      return all;
    } else {
      return collect(enough);
    }
  }

  // Its fence stays there till the caller has looked. False where no block waits for it.
  bool begin_to_wait(Entry& entry) noexcept {
    const Turn turn(lock_);
    if (entry.is_waiting()) ++entry.waiters;
    return entry.is_waiting();
  }
  bool still_waits(const Entry& entry) noexcept {
    const Turn turn(lock_);
    return entry.is_waiting();
  }
  // A moment at a time, where a wait that was too short can be told from one that is no use.
  void await(const Entry& entry, Timeout timeout) noexcept {
    if constexpr (can_break<F>) {
      constexpr std::uint64_t moment = 10'000'000;  // nanoseconds
      std::uint64_t left = timeout.nanoseconds();
      while (left > moment) {
        if (entry.fence->wait(Timeout::nanoseconds(moment)) || entry.fence->error() || !still_waits(entry)) return;
        if (!timeout.is_forever()) left -= moment;
      }
      timeout = Timeout::nanoseconds(left);
    }
    static_cast<void>(entry.fence->wait(timeout));
  }

  Z& zone_;
  OwnLock<L> lock_;
  detail::LeavingBlocks leaving_;
  Entry entries_[most] = {};
};

}  // namespace freestone
