// A 64-bit counter that only rises, and fences that are points on it: signalled once it has come that far. Whoever
// gives a device work writes down the point at which that work is done; the device, or its interrupt handler, raises
// the counter.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <freestone/core/seam.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>

namespace freestone {

namespace detail {

// A counter as its readers see it, in 32-bit halves, for not every target reads 64 bits at once. `first` and `last`
// are both its high half: a writer stores `first`, then `low`, then `last`. (One and the same word, where all is
// written in one piece.) No look waits for a writer who is between two of these stores.
template <class Atomics>
struct CounterHalves {
  const typename Atomics::Word& first;
  const typename Atomics::Word& low;
  const typename Atomics::Word& last;

  bool has_reached(std::uint64_t point) const noexcept {
    const auto high_half = static_cast<std::uint32_t>(point >> 32);
    if (Atomics::load_acquire(first) > high_half) return true;
    if (Atomics::load_acquire(last) < high_half) return false;  // `low` may still be that of a smaller high half
    if (Atomics::load_acquire(low) >= static_cast<std::uint32_t>(point)) return true;
    return Atomics::load_acquire(first) > high_half;  // else `low` was that of a larger one
  }

  // Where a writer is on his way over a multiple of 2^32: the number before that.
  std::uint64_t value() const noexcept {
    const std::uint64_t before = Atomics::load_acquire(last);
    const std::uint64_t low_half = Atomics::load_acquire(low);
    const std::uint64_t after = Atomics::load_acquire(first);
    return before == after ? before << 32 | low_half : (after << 32) - 1;
  }
};

}  // namespace detail

// Signalled once the counter of T (Timeline, DeviceTimeline) has reached the point. Two words; a copy is the same
// fence. The counter must outlive it and stay where it is; a DeviceTimeline, which is a view of one, need not. Cost of
// a look: two to four loads.
template <class T>
class TimelineFence {
 public:
  TimelineFence(const T& timeline, std::uint64_t point) noexcept : timeline_(held(timeline)), point_(point) {}

  bool has_signalled() const noexcept {
    if constexpr (is_view) {
      return timeline_.has_reached(point_);
    } else {
      return timeline_->has_reached(point_);
    }
  }
  std::uint64_t point() const noexcept { return point_; }

 private:
  static constexpr bool is_view = std::is_copy_constructible_v<T>;
  using Held = std::conditional_t<is_view, T, const T*>;

  static Held held(const T& timeline) noexcept {
    if constexpr (is_view) {
      return timeline;
    } else {
      return &timeline;
    }
  }

  Held timeline_;
  std::uint64_t point_;
};

// A counter that threads raise, or an interrupt handler. It begins at 0 and stays where it is. Any number of readers,
// who never wait; who raises: one at a time, or with a lock other than None several (then no interrupt handler of a
// core whose threads raise it too).
template <class L = lock::None, class Atomics = CompilerAtomics>
class Timeline {
 public:
  using Fence = TimelineFence<Timeline>;

  Timeline() noexcept = default;

  // From now on it has reached `point`: what was done before is seen by whoever sees that. A point that is behind it
  // changes nothing.
  void raise_to(std::uint64_t point) noexcept {
    const typename OwnLock<L>::Turn turn(lock_);
    if (point > value()) store(point);
  }
  // The next point is reached, and is the result. (Not behind 2^64 - 1.)
  std::uint64_t raise() noexcept {
    const typename OwnLock<L>::Turn turn(lock_);
    const std::uint64_t next = value() + 1;
    store(next);
    return next;
  }

  bool has_reached(std::uint64_t point) const noexcept { return halves().has_reached(point); }
  std::uint64_t value() const noexcept { return halves().value(); }
  Fence at(std::uint64_t point) const noexcept { return Fence(*this, point); }

 private:
  detail::CounterHalves<Atomics> halves() const noexcept { return {first_, low_, last_}; }

  void store(std::uint64_t value) noexcept {
    const auto high_half = static_cast<std::uint32_t>(value >> 32);
    Atomics::store_release(first_, high_half);
    Atomics::store_release(low_, static_cast<std::uint32_t>(value));
    Atomics::store_release(last_, high_half);
  }

  typename Atomics::Word first_{};
  typename Atomics::Word low_{};
  typename Atomics::Word last_{};
  [[no_unique_address]] OwnLock<L> lock_;
};

// A counter that a device raises by itself, in memory that both see: 64 bits in this CPU's byte order, aligned to 8,
// and written in one piece. The memory must be coherent or mapped uncached, for a look drops no cache line. It is a
// view: the word must outlive it.
template <class Atomics = CompilerAtomics>
class DeviceTimeline {
 public:
  using Fence = TimelineFence<DeviceTimeline>;

  explicit DeviceTimeline(const std::uint64_t* counter) noexcept
      : halves_(reinterpret_cast<const typename Atomics::Word*>(counter)) {}

  bool has_reached(std::uint64_t point) const noexcept { return halves().has_reached(point); }
  std::uint64_t value() const noexcept { return halves().value(); }
  Fence at(std::uint64_t point) const noexcept { return Fence(*this, point); }

 private:
  static constexpr std::size_t high = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1 : 0;

  detail::CounterHalves<Atomics> halves() const noexcept { return {halves_[high], halves_[1 - high], halves_[high]}; }

  const typename Atomics::Word* halves_;
};

}  // namespace freestone
