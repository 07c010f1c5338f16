// The workloads: who lives in which zone, and what is done there. README.md says what each is for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace freestone::bench::workloads {

inline constexpr std::uint64_t granule = 4096;

enum class Kind { pair, lifo, random, occupancy, rings, frames, threads };

struct Setting {
  std::string_view name;
  std::string_view summary;
  Kind kind = Kind::pair;
  std::uint64_t zone_bytes = 0;
  std::uint32_t smallest = 1;  // granules of a block; log-uniform between the two
  std::uint32_t largest = 1;
  unsigned load_percent =
      0;                    // of the zone, asked for before the clock starts; a thread's share where there are several
  bool aligned = false;     // to a power of two of 1 to 512 granules
  std::uint64_t steps = 0;  // pairs, batches of 64, frames of video; of each phase where there are several
  std::uint64_t quick_steps = 0;
};

// Those named, in the order of the list; all where no name is given. Throws BadInput for a name that is not there.
std::vector<Setting> pick_settings(const std::vector<std::string>& names);

}  // namespace freestone::bench::workloads
