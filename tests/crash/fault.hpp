// What a fault test counts, and the one line that it prints.
#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace freestone::crash {

struct Tally {
  std::uint64_t runs = 0;
  std::uint64_t unusable = 0;  // nobody can work on
  std::uint64_t leaked = 0;    // granules that are neither free nor anybody's block
  std::uint64_t corrupt = 0;   // a block is gone, changed, or another's

  std::uint64_t bad() const { return unusable + leaked + corrupt; }
};

inline void print(const char* fault, std::uint64_t seed, const Tally& tally, const char* more = "") {
  std::printf("fault=%s seed=%" PRIu64 " runs=%" PRIu64 "%s unusable=%" PRIu64 " leaked=%" PRIu64 " corrupt=%" PRIu64
              "\n",
              fault, seed, tally.runs, more, tally.unusable, tally.leaked, tally.corrupt);
}

// Ends the program where something is wrong that no tally counts.
inline void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::exit(1);
}

}  // namespace freestone::crash
