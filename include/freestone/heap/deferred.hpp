// Blocks that go back when a fence says so: somebody, a device most often, still uses them when their owner is
// through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/fence.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/lock/none.hpp>

namespace freestone {

namespace detail {

// Is it a live block of Z, a zone or several heaps? foreign_block where it is of another, dead_block where there is
// none there, or none of that size.
template <class Z>
constexpr Error check_live(Z& z, const Block& block) noexcept {
  bool is_mine = false;
  bool is_live = false;
  const auto ask = [&](auto&& zone) {
    if constexpr (requires { zone.has_tag(block.zone_tag()); }) {
      is_mine = is_mine || zone.has_tag(block.zone_tag());
    } else {
      is_mine = is_mine || zone.tag() == block.zone_tag();
    }
    is_live = is_live || zone.owns(block);
  };
  if constexpr (requires { z.owns(block); }) {
    ask(z);
  } else {
    z.for_each([&](auto&& zone, const auto&) { ask(zone); });
  }
  if (is_live) return {};
  return {.code = is_mine ? ErrorCode::dead_block : ErrorCode::foreign_block, .asked = block.offset().value()};
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

// Over Z, which is a zone, layers round one, a ZoneRef, a ZoneSet or Heaps, and outlives this: up to `most` blocks
// wait, each for a fence of its own. Nothing watches the fences: who calls looks at them (collect, and calls that
// need room).
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
// waits.
template <class Z, class F, std::size_t most, class L = lock::None>
  requires(check_fence<F>())
class Deferred {
  static_assert(most != 0, "Deferred: there must be room for one block at least.");
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit Deferred(Z& zone) noexcept : zone_(zone) {}
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  ~Deferred() { static_cast<void>(collect()); }

  // As Z's, of a Request, Constraints or Bytes. Where that fails for want of space, blocks whose fences have
  // signalled go back, and it is tried once more (as ION's heaps with deferred free do). Errors: Z's.
  template <class Wanted>
  auto allocate(const Wanted& wanted) noexcept -> decltype(std::declval<Z&>().allocate(wanted)) {
    auto got = zone_.allocate(wanted);
    if (got || !is_want_of_space(got.error().code)) return got;
    static_cast<void>(collect());
    return zone_.allocate(wanted);
  }

  // Gives the block back when the fence has signalled; at once, where it has. An rvalue is moved from only where the
  // block waits then. Errors: double_release where it waits already; foreign_block, dead_block where it is no live
  // block of Z; too_many_blocks where as many wait and none can go back; the zone's. Then the block is still the
  // caller's.
  template <class G>
    requires(std::is_same_v<std::remove_cvref_t<G>, F> && std::is_nothrow_constructible_v<F, G>)
  Result<void> deallocate_after(const Block& block, G&& fence) noexcept {
    const Turn turn(lock_);
    if (find(block) != nullptr) return twice(block);
    if (const Error error = detail::check_live(zone_, block); error) return error;
    if (fence.has_signalled()) return zone_.deallocate(block);
    Entry* entry = empty_entry();
    if (entry == nullptr) {
      collect_some(bits::all);
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

  // Gives a block back that nobody else uses. Errors: double_release where it waits; Z's.
  Result<void> deallocate(const Block& block) noexcept {
    const Turn turn(lock_);
    if (find(block) != nullptr) return twice(block);
    return zone_.deallocate(block);
  }
  // Gives a waiting block back whatever its fence says: the caller knows that nobody uses it any more (the device was
  // reset). Errors: dead_block where it does not wait; the zone's, and then it waits on.
  Result<void> deallocate_now(const Block& block) noexcept {
    const Turn turn(lock_);
    Entry* const entry = find(block);
    if (entry == nullptr) return Error{.code = ErrorCode::dead_block, .asked = block.offset().value()};
    return give_back(*entry);
  }

  // All whose fences have signalled go back, or as many as it takes for `enough` bytes. Cost: a look at each fence.
  GoneBack collect(Bytes enough = bits::all) noexcept {
    const Turn turn(lock_);
    return collect_some(enough);
  }

  // As collect, and waits for those that have not signalled: each in its turn, `timeout` at most. What could not go
  // back waits on: pending() tells.
  GoneBack drain(Timeout timeout) noexcept
    requires can_wait<F>
  {
    GoneBack all = collect();
    for (Entry& entry : entries_) {
      if (!await(entry, timeout)) continue;
      const Turn turn(lock_);
      --entry.waiters;
      if (entry.is_waiting() && entry.fence->has_signalled()) send(entry, all);
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
      ++all.blocks;
      all.bytes = all.bytes + entry.block.size();
      if (!all.refused) all.refused = error_of(*entry.fence);
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
      const bool is_there = entry.block.zone_tag() == block.zone_tag() && entry.block.offset() == block.offset();
      if (entry.is_waiting() && is_there) return &entry;
    }
    return nullptr;
  }
  Entry* empty_entry() noexcept {
    for (Entry& entry : entries_) {
      if (!entry.fence) return &entry;
    }
    return nullptr;
  }

  Result<void> give_back(Entry& entry) noexcept {
    if (const auto done = zone_.deallocate(entry.block); !done) return done;
    entry.block = Block();
    tidy(entry);
    return {};
  }
  static void tidy(Entry& entry) noexcept {
    if (!entry.is_waiting() && entry.waiters == 0) entry.fence.reset();
  }
  // Gives its block back, and counts that in `all`.
  void send(Entry& entry, GoneBack& all) noexcept {
    const Bytes size = entry.block.size();
    if (const auto done = give_back(entry); !done) return add(all, {.refused = done.error()});
    add(all, {.blocks = 1, .bytes = size});
  }
  GoneBack collect_some(Bytes enough) noexcept {
    GoneBack all;
    for (Entry& entry : entries_) {
      if (all.bytes >= enough) break;
      if (entry.is_waiting() && entry.fence->has_signalled()) send(entry, all);
    }
    return all;
  }

  // --- not under it ---

  // Waits for that fence, and keeps it there till the caller has looked. False where no block waits for it.
  bool await(Entry& entry, Timeout timeout) noexcept {
    {
      const Turn turn(lock_);
      if (!entry.is_waiting()) return false;
      ++entry.waiters;
    }
    static_cast<void>(entry.fence->wait(timeout));
    return true;
  }

  Z& zone_;
  OwnLock<L> lock_;
  Entry entries_[most] = {};
};

}  // namespace freestone
