// A board's say in when a carve-out is used: before it is first mapped, and after it was last. (shared/spec: ION 3.3.)
#pragma once

#include <concepts>
#include <cstdint>

#include <freestone/device/answer.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// What a board does to a range that is about to be mapped (it powers a memory, it tells a bus), and no more is. Each may
// be missing. `none`: it is done; else nothing has changed. They do not call back, and may take their time. (What
// setup_region gave to the original's is theirs to keep.)
template <class H>
concept can_request_region = requires(H& hooks) {
  { hooks.request_region() } noexcept -> std::same_as<Errno>;
};
template <class H>
concept can_release_region = requires(H& hooks) {
  { hooks.release_region() } noexcept -> std::same_as<Errno>;
};

// How often a carve-out is mapped, by the kernel and by programs together; H is called where that leaves 0 and where it
// is 0 again. H outlives it. Any thread, as L lets them. L is held while H is called: whoever maps beside the first one
// has no mapping before the region is there, and whoever maps again after the last waits until it is gone.
template <class H, class L>
class RegionHooks {
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit RegionHooks(H& hooks) noexcept : hooks_(hooks) {}
  RegionHooks(const RegionHooks&) = delete;
  RegionHooks& operator=(const RegionHooks&) = delete;

  // One more, before it is made. Errors, and then it is not counted: request_region's own for the kernel, and for a
  // program EINVAL whatever that is.
  Answer map_kernel() noexcept { return Answer(map()); }
  Answer map_user() noexcept { return map() == Errno::none ? done : Answer(Errno::invalid); }

  // One less, after it is gone; whose it was does not matter. Errors: EINVAL, there is none. release_region's own, worth
  // a line in a log: the last is gone all the same, and the next asks for the region again.
  Answer unmap() noexcept {
    const Turn turn(lock_);
    if (maps_ == 0) return Errno::invalid;
    if (--maps_ != 0) return done;
    if constexpr (can_release_region<H>) return hooks_.release_region();
    return done;
  }

  std::uint64_t maps() noexcept {
    const Turn turn(lock_);
    return maps_;
  }

 private:
  Errno map() noexcept {
    const Turn turn(lock_);
    if constexpr (can_request_region<H>) {
      const Errno error = maps_ == 0 ? hooks_.request_region() : Errno::none;
      if (error != Errno::none) return error;
    }
    ++maps_;
    return Errno::none;
  }

  H& hooks_;
  OwnLock<L> lock_;
  std::uint64_t maps_ = 0;  // so wide that nobody counts it full
};

}  // namespace freestone::device
