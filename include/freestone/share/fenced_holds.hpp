// Buffers that a device still uses: it holds them as clients do, and lets go when its fences say so.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/heap/fence.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/handle_table.hpp>

namespace freestone {

// Up to `most` holds on buffers of D, a device of share/device.hpp that outlives this, each until a fence of its own has
// signalled. So a buffer whose last client left while it was used ends after that, and not before: until then it is
// nobody else's, and counts as its maker's. One buffer may wait for several fences.
//
// Nothing watches the fences: who calls looks at them (collect, and calls that need room). Any thread, as L lets them;
// while L is held fences are looked at, but no zone is asked and no other lock taken: it is of LockRank::fences.
template <class D, class F, std::size_t most, class L = lock::None>
  requires(check_fence<F>())
class FencedHolds {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Ref = BufferRef<D>;

  explicit FencedHolds(D& device) noexcept : device_(device) {}
  FencedHolds(const FencedHolds&) = delete;
  FencedHolds& operator=(const FencedHolds&) = delete;
  // All fences have signalled by then, or let_go_now was called: a buffer that may still be written to goes to nobody.
  ~FencedHolds() {
    static_cast<void>(collect());
    seam::expect(count() == 0);
  }

  // Holds the buffer until the fence has signalled; where it has, nothing is to be done. `ref` is moved from only where
  // it waits. Errors: no_buffer of an empty ref; too_many_holds, where as many wait and none can end.
  Result<void> hold_until(Ref&& ref, F fence) noexcept {
    if (!ref) return ErrorCode::no_buffer;
    if (fence.has_signalled() || put(ref, fence)) return {};
    if (collect() != 0 && put(ref, fence)) return {};
    return Error{.code = ErrorCode::too_many_holds, .asked = most + 1, .available = most};
  }

  // D's allocate with these arguments. Where that fails for want of space, places or quota, buffers whose fences have
  // signalled end, and it is tried once more. Errors: D's.
  template <class... Arguments>
  Result<Handle> allocate(const Arguments&... arguments) noexcept {
    auto got = device_.allocate(arguments...);
    if (got || !is_want_of_space(got.error().code) || collect() == 0) return got;
    return device_.allocate(arguments...);
  }

  // Ends the holds whose fences have signalled, and says how many. Cost: a look at each fence, and the ends of buffers
  // that nobody else holds.
  std::size_t collect() noexcept {
    return end_each([](const Entry& entry) { return entry.fence->has_signalled(); });
  }
  // Again and again, until nothing waits or go_on() is false: it is called in between, to pause and to count. True:
  // nothing waits.
  template <class GoOn>
    requires(std::is_nothrow_invocable_r_v<bool, GoOn&>)
  bool drain(GoOn&& go_on) noexcept {
    for (;;) {
      static_cast<void>(collect());
      if (count() == 0) return true;
      if (!go_on()) return false;
    }
  }
  // Ends the holds on that buffer, whatever their fences say, and says how many: the caller knows that no device uses it
  // any more (it was reset).
  std::size_t let_go_now(BufferId buffer) noexcept {
    return end_each([&](const Entry& entry) { return entry.ref.id() == buffer; });
  }

  // How many holds wait.
  std::size_t count() noexcept {
    std::size_t waiting = 0;
    for_each([&](const Ref&, const F&) { ++waiting; });
    return waiting;
  }
  // visit(const Ref&, const F&) for each that waits, under the lock.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    const Turn turn(lock_);
    for (const Entry& entry : entries_) {
      if (entry.ref) visit(entry.ref, *entry.fence);
    }
  }

 private:
  struct Entry {
    Ref ref = {};  // empty: nothing waits here
    std::optional<F> fence = {};
  };

  // Moves from both. False, and then from neither: there is no room.
  bool put(Ref& ref, F& fence) noexcept {
    const Turn turn(lock_);
    for (Entry& entry : entries_) {
      if (entry.ref) continue;
      entry.fence.emplace(std::move(fence));
      entry.ref = std::move(ref);
      return true;
    }
    return false;
  }

  // Those of which is(entry) is true.
  template <class Is>
  std::size_t end_each(Is&& is) noexcept {
    std::size_t ended = 0;
    for (Entry& entry : entries_) ended += end_if(entry, is);
    return ended;
  }
  template <class Is>
  bool end_if(Entry& entry, Is&& is) noexcept {
    Ref last;  // it goes when the lock is not held any more
    const Turn turn(lock_);
    if (!entry.ref || !is(entry)) return false;
    last = std::move(entry.ref);
    entry.fence.reset();
    return true;
  }

  D& device_;
  OwnLock<L> lock_;
  std::array<Entry, most> entries_ = {};
};

}  // namespace freestone
