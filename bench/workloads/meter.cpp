#include "meter.hpp"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace freestone::bench::workloads {

double processor_nanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// In slices that grow, so that the look at the clock costs nothing and comes in time. A slice that would take too long,
// at the pace so far, is not begun.
Meter::Run Meter::run(const Phase& phase, std::uint64_t planned, const Steps& steps, double most_when_slow) {
  const double start = processor_nanoseconds();
  Run run;
  for (std::uint64_t slice = 64; run.done < planned; slice = std::min<std::uint64_t>(slice * 4, 1 << 14)) {
    const std::uint64_t next = run.done + std::min(slice, planned - run.done);
    const double allowed = std::max(most_when_slow, most_nanoseconds * static_cast<double>(next * phase.operations()));
    const double pace = (processor_nanoseconds() - start) / static_cast<double>(std::max<std::uint64_t>(1, run.done));
    if (run.done != 0 && pace * static_cast<double>(next) > allowed) break;
    run.refused += steps(next - run.done);
    run.done = next;
  }
  return run;
}

Meter::Run Meter::run_measured(const Phase& phase, std::uint64_t planned, const Steps& steps) {
  static constexpr double least = 20e6;  // before it is said of anybody that he is slow
  const double most = most_nanoseconds * static_cast<double>(planned * phase.operations()) / slow_share;
  return run(phase, planned, steps, std::max(least, most));
}

Row& Meter::row_of(const Phase& phase) {
  const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.phase == phase.name; });
  if (found != rows_.end()) return *found;
  return rows_.emplace_back(Row{.phase = std::string(phase.name)});
}

void Meter::add(Row& row, const Phase& phase, std::uint64_t planned, const Run& run) {
  const auto before = static_cast<double>(row.done);
  const std::uint64_t operations = run.done * phase.operations();
  row.done += operations;
  row.planned += planned * phase.operations();
  if (phase.allocations == 0) return;
  const auto all = static_cast<double>(row.done);
  const auto asked = static_cast<double>(run.done * phase.allocations);
  const double share = asked == 0 ? 0 : static_cast<double>(run.refused) / asked;
  row.refused = all == 0 ? 0 : (row.refused.value_or(0) * before + share * static_cast<double>(operations)) / all;
}

std::uint64_t MeanMeter::measure(const Phase& phase, std::uint64_t planned, const Steps& steps) {
  Row& row = row_of(phase);
  const double before = row.ns.value_or(0) * static_cast<double>(row.done);
  const double start = processor_nanoseconds();
  const Run run = run_measured(phase, planned, steps);
  const double elapsed = processor_nanoseconds() - start;
  add(row, phase, planned, run);
  if (row.done != 0) row.ns = (before + elapsed) / static_cast<double>(row.done);
  return run.done;
}

std::uint64_t LatencyMeter::measure(const Phase& phase, std::uint64_t planned, const Steps& steps) {
  ticks_.clear();
  const Run run = run_measured(phase, planned, steps);
  Row& row = row_of(phase);
  add(row, phase, planned, run);
  auto& ticks = phases_[phase.name];
  ticks.insert(ticks.end(), ticks_.begin(), ticks_.end());
  if (ticks.empty()) return run.done;
  row.p50 = percentile(ticks, 0.5);
  row.p99 = percentile(ticks, 0.99);
  row.p999 = percentile(ticks, 0.999);
  return run.done;
}

// Nearest rank.
double LatencyMeter::percentile(std::vector<std::uint32_t>& ticks, double share) const {
  const auto rank = static_cast<std::ptrdiff_t>(std::ceil(share * static_cast<double>(ticks.size()))) - 1;
  std::nth_element(ticks.begin(), ticks.begin() + rank, ticks.end());
  return timer_.nanoseconds(ticks[static_cast<std::size_t>(rank)]);
}

}  // namespace freestone::bench::workloads
