// Programs that do the same from other seeds again and again when they are called with --long.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "support/random.hpp"

namespace freestone::tests {

inline bool is_long(int count, char** arguments) { return count > 1 && std::strcmp(arguments[1], "--long") == 0; }

// round(seed) says how many of `things` it did, until FREESTONE_LONG_MINUTES are over, each time from `step` seeds on; a
// line every 30 seconds. What main returns: 77, skipped, where they are not set.
template <class Round>
int go_on(const char* things, std::uint64_t step, Round&& round) {
  using Clock = std::chrono::steady_clock;
  const std::uint64_t minutes = environment("FREESTONE_LONG_MINUTES", 0);
  if (minutes == 0) return 77;
  const auto end = Clock::now() + std::chrono::minutes(minutes);
  auto next_line = Clock::now() + std::chrono::seconds(30);
  std::uint64_t done = 0;
  for (std::uint64_t start = seed(); Clock::now() < end; start += step) {
    done += round(start);
    if (Clock::now() < next_line) continue;
    std::printf("%llu %s, next round's seed %llu\n", static_cast<unsigned long long>(done), things,
                static_cast<unsigned long long>(start + step));
    std::fflush(stdout);
    next_line += std::chrono::seconds(30);
  }
  std::printf("%llu %s in all, nothing wrong\n", static_cast<unsigned long long>(done), things);
  return 0;
}

}  // namespace freestone::tests
