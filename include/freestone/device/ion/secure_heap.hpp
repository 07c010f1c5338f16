// Who may see a heap's memory: the state of a CP heap ("content protection"), beside whatever allocates from it.
// (shared/spec: ION 1.7, 3.5.)
#pragma once

#include <concepts>
#include <cstdint>

#include <freestone/core/address.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// What V2 tells the monitor that secured memory is for.
namespace secure_usage {
inline constexpr std::uint64_t video_bitstream = 1;
inline constexpr std::uint64_t video_pixel = 2;
inline constexpr std::uint64_t video_nonpixel = 3;
inline constexpr std::uint64_t end = 4;  // from here on there are none
}  // namespace secure_usage

// The monitor's two calls: V1 takes a range of pages, V2 blocks of 1 MiB. `data` is V2's usage; V1 only remembers it.
enum class SecureVersion : std::uint32_t { v1 = 1, v2 = 2 };
struct Securing {
  SecureVersion version = SecureVersion::v1;
  std::uint64_t data = 0;

  friend constexpr bool operator==(const Securing&, const Securing&) noexcept = default;
};
inline constexpr Bytes secure_block = 1_MiB;

struct SecureRange {
  PhysicalAddress start{0};
  Bytes size = {};

  // Not empty, all of it whole, and V2's usage is one: else a monitor's answer is EINVAL before it is called.
  constexpr bool suits(const Securing& securing) const noexcept {
    const bool is_v2 = securing.version == SecureVersion::v2;
    const std::uint64_t unit = is_v2 ? secure_block.value() : page_size.value();
    const bool is_whole = ((start.value() | size.value()) & (unit - 1)) == 0;
    return size != 0 && size.value() <= ~start.value() && is_whole && (!is_v2 || securing.data < secure_usage::end);
  }
};

struct MonitorCallV1 {
  PhysicalAddress start;
  PhysicalAddress end;  // the first behind it
  std::uint32_t permission;  // the heap's, as its board has it
  bool lock;
};
struct MonitorCallV2 {
  PhysicalAddress start;
  std::uint64_t blocks;
  std::uint32_t usage;
  bool lock;

  // The list that the monitor is given: this is its entry `at`, below `blocks`.
  constexpr PhysicalAddress block(std::uint64_t at) const noexcept { return start + at * secure_block.value(); }
};

// The secure monitor: from here on nobody but secure devices sees this memory (lock), or everybody may again; where ranges
// overlap (a heap's, and a buffer's of it) while none of them is locked. `none`: so it is; else nothing has changed, and that
// is what its caller hears. It may take its time, and calls nobody back. Of the two calls it has one at least; EINVAL is the
// answer to the other.
template <class M>
concept can_call_v1 = requires(M& monitor, const MonitorCallV1& call) {
  { monitor.call(call) } noexcept -> std::same_as<Errno>;
};
template <class M>
concept can_call_v2 = requires(M& monitor, const MonitorCallV2& call) {
  { monitor.call(call) } noexcept -> std::same_as<Errno>;
};

// What a board does before a heap's first byte is wanted, and when nothing of it is any more: fmem goes to its C-state and
// back to T, CMA is asked for all of the heap (grab) and gets it back. Each may be missing; `none`: it is done, else
// nothing has changed. They may take their time, and call nobody back.
template <class H>
concept can_take_heap = requires(H& hooks) {
  { hooks.first_allocation() } noexcept -> std::same_as<Errno>;
};
template <class H>
concept can_leave_heap = requires(H& hooks) {
  { hooks.last_free() } noexcept -> std::same_as<Errno>;
};

// For such a hook: attempt() until it is true, and wait(milliseconds) between; false after as many as CMA is asked at most.
inline constexpr unsigned most_grabs = 499;
inline constexpr unsigned grab_pause = 20;  // milliseconds
template <class Attempt, class Wait>
constexpr bool grab(Attempt&& attempt, Wait&& wait) noexcept {
  for (unsigned tries = 1; !attempt(); ++tries) {
    if (tries == most_grabs) return false;
    wait(grab_pause);
  }
  return true;
}

// How long the entries are in which a buffer's memory is listed: those of a secure one as the monitor takes them.
constexpr Bytes scatter_entry(Bytes size, bool is_secure) noexcept {
  return is_secure && (size.value() & (secure_block.value() - 1)) == 0 ? secure_block : size;
}

struct SecureHeapInfo {
  SecureRange secured = {};  // what secure() is about: the heap, and what lies beside it for the same devices
  std::uint32_t permission = 0;
  bool takes_only_secure = false;
};

// Of one buffer, or of all of a heap's.
struct SecureMaps {
  std::uint64_t user = 0;
  std::uint64_t kernel_cached = 0;
  std::uint64_t kernel_uncached = 0;

  // Mappings by which a CPU reaches, or has in its cache, what it must not.
  constexpr bool hinder() const noexcept { return user != 0 || kernel_cached != 0; }
  constexpr bool are_none() const noexcept { return !hinder() && kernel_uncached == 0; }
  friend constexpr bool operator==(const SecureMaps&, const SecureMaps&) noexcept = default;
};

// A CP heap is protected or not, and so is each of its buffers that was allocated to be secure: then no program maps it, and
// the kernel does so uncached only. Beside it stand an allocator, which is asked between admit and release, and whoever
// makes the mappings, after they are counted here and until before they are not.
//
// Any thread, as L lets them. One lock, the heap's, is held for each call, and while the monitor and the hooks are
// called too: a mapping or an allocation that came between would be of memory that is just leaving the CPU's sight, and the
// monitor hears of a heap's memory in one order. So callers of this heap, and of no other, wait for a slow monitor: L
// should be one that sleeps. M and H outlive this. All counts are so wide that nobody counts them full.
//
// A call that fails has changed nothing. Where the monitor fails its error is the answer.
template <class M, class H, class L>
class SecureHeap {
  static_assert(can_call_v1<M> || can_call_v2<M>,
                "A secure monitor must have Errno call(const MonitorCallV1&) noexcept, or the same with MonitorCallV2.");
  using Turn = typename OwnLock<L>::Turn;

 public:
  // What the heap knows of a buffer, from when its memory is there until retire. It is its holder's, and looked at by the
  // heap alone.
  class Buffer {
   public:
    Buffer(const SecureRange& range, bool is_secure) noexcept : range_(range), is_secure_(is_secure) {}

   private:
    friend SecureHeap;
    std::uint64_t holds() const noexcept { return secured_ + (is_kept_ ? 1 : 0); }
    bool is_secured() const noexcept { return holds() != 0; }

    SecureRange range_;
    bool is_secure_;
    bool is_kept_ = false;  // secured until it is retired
    std::uint64_t secured_ = 0;
    Securing securing_ = {};
    SecureMaps maps_ = {};
  };

  SecureHeap(const SecureHeapInfo& info, M& monitor, H& hooks) noexcept : info_(info), monitor_(monitor), hooks_(hooks) {}
  SecureHeap(const SecureHeap&) = delete;
  SecureHeap& operator=(const SecureHeap&) = delete;

  // --- memory ---

  // Before the allocator is asked for it. Errors: ENOMEM, it is not to be secure and the heap is protected or takes no
  // such; first_allocation failed. EINVAL: it has no byte; it is to be secure, and somebody said that a mapping was copied
  // that must not be there (the original stops the system).
  Answer admit(Bytes size, bool is_secure) noexcept {
    const Turn turn(lock_);
    if (size == 0) return Errno::invalid;
    if (!is_secure && (is_protected() || info_.takes_only_secure)) return Errno::no_memory;
    if (is_protected() && maps_.hinder()) return Errno::invalid;
    if (size.value() > ~allocated_.value() || !take()) return Errno::no_memory;
    allocated_ = allocated_ + size;
    return done;
  }
  // What was admitted, after the allocator had none or has it back. Errors: EINVAL, as much was not admitted.
  Answer release(Bytes size) noexcept {
    const Turn turn(lock_);
    if (size > allocated_) return Errno::invalid;
    allocated_ = allocated_ - size;
    leave_if_unused();
    return done;
  }

  // --- the heap as a whole ---

  // Once more; the first makes it so, and of the others neither version nor data counts. Errors: EINVAL, it is mapped by
  // programs, or by the kernel and cached; the range does not suit the version. ENOMEM: first_allocation failed.
  Answer secure(const Securing& wanted) noexcept {
    const Turn turn(lock_);
    if (maps_.hinder()) return Errno::invalid;
    if (!is_protected()) {
      if (!take()) return Errno::no_memory;
      if (const Errno error = call(info_.secured, wanted, true); error != Errno::none) return leave_if_unused(), error;
      securing_ = wanted;
    }
    ++protected_;
    return done;
  }
  // Once less; the last ends it, in the version in which it began. Errors: EINVAL, it is not protected.
  Answer unsecure() noexcept {
    const Turn turn(lock_);
    if (!is_protected()) return Errno::invalid;
    if (protected_ == 1) {
      if (const Errno error = call(info_.secured, securing_, false); error != Errno::none) return error;
    }
    --protected_;
    leave_if_unused();
    return done;
  }

  // --- mappings ---

  // Errors: EAGAIN, the heap is protected or the buffer secured.
  Answer map_user(Buffer& buffer) noexcept {
    const Turn turn(lock_);
    return is_hidden(buffer) ? Answer(Errno::try_again) : count(buffer, &SecureMaps::user);
  }
  // A mapping became two (a fork, a split), as its holder hears afterwards: so there is nothing to refuse.
  void copied_user_map(Buffer& buffer) noexcept {
    const Turn turn(lock_);
    static_cast<void>(count(buffer, &SecureMaps::user));
  }
  // Errors: EAGAIN, as map_user, where it is to be cached.
  Answer map_kernel(Buffer& buffer, Cacheability seen) noexcept {
    const Turn turn(lock_);
    const bool is_refused = seen == Cacheability::cached && is_hidden(buffer);
    return is_refused ? Answer(Errno::try_again) : count(buffer, kernel_maps(seen));
  }
  // Errors of both: EINVAL, the buffer has no such mapping.
  Answer unmap_user(Buffer& buffer) noexcept { return uncount(buffer, &SecureMaps::user); }
  Answer unmap_kernel(Buffer& buffer, Cacheability seen) noexcept { return uncount(buffer, kernel_maps(seen)); }

  // --- one buffer ---

  // When unsecure may end what secure began: with the last of its calls, or never, but with the buffer.
  enum class Until : std::uint8_t { unsecured, retired };

  // Once more; `seen` is how CPUs see it. Errors: EINVAL, it was not allocated to be secure, is cached or mapped, or is
  // secured otherwise already; its range does not suit the version.
  Answer secure(Buffer& buffer, const Securing& wanted, Cacheability seen, Until until = Until::unsecured) noexcept {
    const Turn turn(lock_);
    if (!buffer.is_secure_ || seen == Cacheability::cached || !buffer.maps_.are_none()) return Errno::invalid;
    if (buffer.is_secured() && buffer.securing_ != wanted) return Errno::invalid;
    if (!buffer.is_secured()) {
      if (const Errno error = call(buffer.range_, wanted, true); error != Errno::none) return error;
      buffer.securing_ = wanted;
    }
    ++buffer.secured_;
    buffer.is_kept_ |= until == Until::retired;
    return done;
  }
  // Once less. Errors: EINVAL, it was not secured as often.
  Answer unsecure(Buffer& buffer) noexcept {
    const Turn turn(lock_);
    if (buffer.secured_ == 0) return Errno::invalid;
    if (buffer.holds() == 1) {
      if (const Errno error = call(buffer.range_, buffer.securing_, false); error != Errno::none) return error;
    }
    --buffer.secured_;
    return done;
  }

  struct Retired {
    // Not `none`: it is secured still, and as it was. Its memory must go to nobody, for no CPU can touch it. (The original
    // stops the system.)
    Errno error = Errno::none;
    // Worth a line in a log: it was secured, and not just once; it was mapped.
    bool was_unbalanced = false;
    bool was_mapped = false;
  };
  // Nobody has it any more, and its memory is to go back: it is not secured from here on, however often it was, and its
  // mappings do not count.
  Retired retire(Buffer& buffer) noexcept {
    const Turn turn(lock_);
    Retired told{.was_unbalanced = buffer.holds() > 1, .was_mapped = !buffer.maps_.are_none()};
    if (buffer.is_secured()) told.error = call(buffer.range_, buffer.securing_, false);
    if (told.error != Errno::none) return told;
    maps_.user -= buffer.maps_.user;
    maps_.kernel_cached -= buffer.maps_.kernel_cached;
    maps_.kernel_uncached -= buffer.maps_.kernel_uncached;
    buffer = Buffer(buffer.range_, buffer.is_secure_);
    return told;
  }

  // --- reports ---

  struct State {
    std::uint64_t protected_times = 0;
    Bytes allocated = {};
    SecureMaps maps = {};
    bool is_taken = false;  // first_allocation has been, and last_free has not

    friend constexpr bool operator==(const State&, const State&) noexcept = default;
  };
  State state() noexcept {
    const Turn turn(lock_);
    return {protected_, allocated_, maps_, is_taken_};
  }

 private:
  static constexpr std::uint64_t SecureMaps::*kernel_maps(Cacheability seen) noexcept {
    return seen == Cacheability::cached ? &SecureMaps::kernel_cached : &SecureMaps::kernel_uncached;
  }
  bool is_protected() const noexcept { return protected_ != 0; }
  bool is_hidden(const Buffer& buffer) const noexcept { return is_protected() || buffer.is_secured(); }

  Answer count(Buffer& buffer, std::uint64_t SecureMaps::*kind) noexcept {
    ++(maps_.*kind);
    ++(buffer.maps_.*kind);
    return done;
  }
  Answer uncount(Buffer& buffer, std::uint64_t SecureMaps::*kind) noexcept {
    const Turn turn(lock_);
    if (buffer.maps_.*kind == 0) return Errno::invalid;
    --(maps_.*kind);
    --(buffer.maps_.*kind);
    return done;
  }

  // False: the board said no.
  bool take() noexcept {
    if (is_taken_) return true;
    if constexpr (can_take_heap<H>) {
      if (hooks_.first_allocation() != Errno::none) return false;
    }
    return is_taken_ = true;
  }
  // Where the board says no it stays taken, and is asked again when it is unused the next time.
  void leave_if_unused() noexcept {
    if (!is_taken_ || allocated_ != 0 || is_protected()) return;
    if constexpr (can_leave_heap<H>) {
      if (hooks_.last_free() != Errno::none) return;
    }
    is_taken_ = false;
  }

  Errno call(const SecureRange& range, const Securing& as, bool lock) noexcept {
    if (!range.suits(as)) return Errno::invalid;
    if constexpr (can_call_v1<M>) {
      const MonitorCallV1 call{range.start, range.start + range.size, info_.permission, lock};
      if (as.version == SecureVersion::v1) return monitor_.call(call);
    }
    if constexpr (can_call_v2<M>) {
      const MonitorCallV2 call{range.start, range.size.value() >> 20, static_cast<std::uint32_t>(as.data), lock};
      if (as.version == SecureVersion::v2) return monitor_.call(call);
    }
    return Errno::invalid;
  }

  const SecureHeapInfo info_;
  M& monitor_;
  H& hooks_;
  OwnLock<L> lock_;
  bool is_taken_ = false;
  std::uint64_t protected_ = 0;
  Securing securing_ = {};
  Bytes allocated_ = {};
  SecureMaps maps_ = {};
};

}  // namespace freestone::device
