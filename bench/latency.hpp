#pragma once

#include <functional>
#include <vector>

#include "result.hpp"
#include "timer.hpp"

namespace freestone::bench {

// Who is timed, and in which zone: one that serves everything.
struct TimedRun {
  Record* record = nullptr;
  std::uint64_t zone_bytes = 0;
};

// Fills in the latencies. The rounds go round the strategies, so that a busy moment of the machine meets all of them; a
// figure is the median of its rounds. A short trace is replayed several times a round. `step` is called once a round
// and strategy.
void measure_latencies(const Workload& work, const std::vector<TimedRun>& runs, unsigned rounds, const Timer& timer,
                       const std::function<void()>& step);

}  // namespace freestone::bench
