// A fence says WHEN: it has signalled once nobody uses a thing any more (a device is through, every reader has left),
// and from then on for ever. Not its job: what is done then (heap/deferred.hpp), and who makes it signal.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include <freestone/core/error.hpp>

namespace freestone {

// How long somebody waits at most.
class Timeout {
 public:
  static constexpr Timeout nanoseconds(std::uint64_t count) noexcept { return Timeout(count); }
  static constexpr Timeout milliseconds(std::uint32_t count) noexcept {
    return Timeout(std::uint64_t{count} * 1'000'000);
  }
  static constexpr Timeout forever() noexcept { return Timeout(~std::uint64_t{0}); }

  constexpr bool is_forever() const noexcept { return nanoseconds_ == ~std::uint64_t{0}; }
  constexpr std::uint64_t nanoseconds() const noexcept { return nanoseconds_; }

 private:
  constexpr explicit Timeout(std::uint64_t nanoseconds) noexcept : nanoseconds_(nanoseconds) {}

  std::uint64_t nanoseconds_;
};

// Has it signalled? A look: it does not wait for that, and any thread may look at any time (at an EpochFence under its
// lock's rules). Once true it stays true, also after a move. What was done before it signalled is seen by whoever saw
// that it has. False where nobody can tell (can_break).
template <class F>
concept can_tell_signal = requires(const F& fence) {
  { fence.has_signalled() } noexcept -> std::same_as<bool>;
};

// It is kept in a table until it has signalled.
template <class F>
concept can_be_kept =
    std::movable<F> && std::is_nothrow_move_constructible_v<F> && std::is_nothrow_move_assignable_v<F>;

// An ability, found by presence: sleeps until it has signalled (true), the timeout is over, or it is known that it
// never will (false). Any thread, several at once.
template <class F>
concept can_wait = requires(const F& fence, Timeout timeout) {
  { fence.wait(timeout) } noexcept -> std::same_as<bool>;
};

// An ability, found by presence: why it will never signal; code none where it has, or may.
template <class F>
concept can_break = requires(const F& fence) {
  { fence.error() } noexcept -> std::same_as<Error>;
};

template <class F>
concept Fence = can_tell_signal<F> && can_be_kept<F>;

template <class F>
consteval bool check_fence() {
  static_assert(can_tell_signal<F>, "A Fence must have bool has_signalled() const noexcept.");
  static_assert(can_be_kept<F>, "A Fence must be movable, and noexcept: it is kept until it has signalled.");
  return Fence<F>;
}

// Why this fence will never signal; code none where it may, or has, or cannot tell.
template <Fence F>
constexpr Error error_of(const F& fence) noexcept {
  if constexpr (can_break<F>) {
    return fence.error();
  } else {
    return static_cast<void>(fence), Error{};
  }
}

}  // namespace freestone
