#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "contestant.hpp"

namespace freestone::bench {

struct Needed {
  std::optional<std::uint64_t> bytes;
  std::string reason;  // where there is none
};

// The smallest zone that serves the whole workload, on a grid of 0.5 % steps from the peak up, found by bisection: each
// step is a replay, and the answer's own replay served. A larger zone may fail where a smaller one serves, so this is a
// border between a zone that fails and one that serves, not always the least. `step` is called once a replay.
Needed find_needed(const Contestant& contestant, const Workload& work, const std::function<void()>& step);

}  // namespace freestone::bench
