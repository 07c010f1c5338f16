// A clock for calls that take some tens of nanoseconds: the core's own counter where user code may read it, else the
// system's steady clock. What reading it costs is measured once and taken off every interval.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace freestone::bench {

// Nothing before it is still under way, nothing behind it has begun.
inline std::uint64_t now_ticks() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_lfence();
  const std::uint64_t ticks = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return ticks;
#elif defined(__aarch64__)
  std::uint64_t ticks;
  __asm__ __volatile__("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks)::"memory");
  return ticks;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

class Timer {
 public:
  Timer() : nanoseconds_a_tick_(calibrate()) {
    std::array<std::uint64_t, 4001> empty;
    for (std::uint64_t& interval : empty) {
      const std::uint64_t start = now_ticks();
      interval = now_ticks() - start;
    }
    std::nth_element(empty.begin(), empty.begin() + empty.size() / 2, empty.end());
    overhead_ = empty[empty.size() / 2];
    resolution_ = step();
  }

  // Of an interval between two now_ticks().
  double nanoseconds(std::uint64_t ticks) const noexcept {
    return ticks <= overhead_ ? 0 : static_cast<double>(ticks - overhead_) * nanoseconds_a_tick_;
  }

  double overhead() const noexcept { return static_cast<double>(overhead_) * nanoseconds_a_tick_; }
  double resolution() const noexcept { return static_cast<double>(resolution_) * nanoseconds_a_tick_; }

 private:
  static double calibrate() noexcept {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const std::uint64_t first = now_ticks();
    while (Clock::now() - start < std::chrono::milliseconds(20)) {
    }
    const std::uint64_t last = now_ticks();
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / static_cast<double>(last - first);
  }

  // The least by which two readings differ, as far as can be seen: all differences are its multiples.
  static std::uint64_t step() noexcept {
    std::uint64_t divisor = 0;
    std::uint64_t before = now_ticks();
    for (int i = 0; i < 4000; ++i) {
      std::uint64_t a = now_ticks() - before;
      before += a;
      for (std::uint64_t b = divisor; b != 0;) {
        const std::uint64_t rest = a % b;
        a = b;
        b = rest;
      }
      divisor = a == 0 ? divisor : a;
    }
    return divisor == 0 ? 1 : divisor;
  }

  double nanoseconds_a_tick_;
  std::uint64_t overhead_ = 0;
  std::uint64_t resolution_ = 1;
};

}  // namespace freestone::bench
