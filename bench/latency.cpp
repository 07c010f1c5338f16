#include "latency.hpp"

#include <algorithm>
#include <cmath>

namespace freestone::bench {

namespace {

constexpr std::size_t events_a_round = 20'000;

// Nearest rank, of sorted samples.
double percentile(const std::vector<std::uint64_t>& sorted, double share, const Timer& timer) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return timer.nanoseconds(sorted[rank == 0 ? 0 : rank - 1]);
}

Latency summarize(std::vector<std::uint64_t>& samples, const Timer& timer) {
  std::sort(samples.begin(), samples.end());
  double sum = 0;
  for (const std::uint64_t ticks : samples) sum += timer.nanoseconds(ticks);
  return {.mean = sum / static_cast<double>(samples.size()),
          .p50 = percentile(samples, 0.5, timer),
          .p99 = percentile(samples, 0.99, timer),
          .p999 = percentile(samples, 0.999, timer),
          .max = timer.nanoseconds(samples.back())};
}

double median_of(const std::vector<Latency>& rounds, double Latency::*figure) {
  std::vector<double> values;
  for (const Latency& round : rounds) values.push_back(round.*figure);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::optional<Latency> median_of(const std::vector<Latency>& rounds) {
  if (rounds.empty()) return std::nullopt;
  return Latency{.mean = median_of(rounds, &Latency::mean),
                 .p50 = median_of(rounds, &Latency::p50),
                 .p99 = median_of(rounds, &Latency::p99),
                 .p999 = median_of(rounds, &Latency::p999),
                 .max = median_of(rounds, &Latency::max)};
}

struct Rounds {
  std::vector<Latency> allocate;
  std::vector<Latency> deallocate;
};

void add_round(const Workload& work, const TimedRun& run, const Timer& timer, Rounds& rounds) {
  const std::size_t times = std::max<std::size_t>(1, events_a_round / work.events.size());
  Samples samples;
  samples.allocate.reserve(times * work.allocations());
  samples.deallocate.reserve(times * work.frees());
  for (std::size_t i = 0; i < times; ++i) run.record->contestant->time(work, run.zone_bytes, samples);
  rounds.allocate.push_back(summarize(samples.allocate, timer));
  if (!samples.deallocate.empty()) rounds.deallocate.push_back(summarize(samples.deallocate, timer));
}

}  // namespace

void measure_latencies(const Workload& work, const std::vector<TimedRun>& runs, unsigned rounds, const Timer& timer,
                       const std::function<void()>& step) {
  std::vector<Rounds> found(runs.size());
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      add_round(work, runs[i], timer, found[i]);
      step();
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].record->allocate = median_of(found[i].allocate);
    runs[i].record->deallocate = median_of(found[i].deallocate);
  }
}

}  // namespace freestone::bench
