// Who looks on while a workload runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../timer.hpp"

namespace freestone::bench::workloads {

// What a round found. Times are nanoseconds an operation; shares are 0 to 1.
struct Row {
  std::string phase = {};
  unsigned threads = 1;
  std::optional<double> ns = {};
  std::optional<double> p50 = {};
  std::optional<double> p99 = {};
  std::optional<double> p999 = {};
  std::optional<double> mops = {};         // millions of operations a second, of all threads together
  std::optional<double> refused = {};      // of the allocations
  std::optional<double> utilisation = {};  // of the zone: what was asked for when a fill, a refill, a churn ended
  std::optional<double> refilled = {};
  std::optional<double> churn = {};
  std::uint64_t done = 0;  // operations, and how many they were to be
  std::uint64_t planned = 0;
};

// A part of a workload, and the calls that a step of it is made of.
struct Phase {
  std::string_view name;
  unsigned allocations = 1;
  unsigned deallocations = 1;

  unsigned operations() const { return allocations + deallocations; }
};

// Does that many steps, and says how many allocations were refused.
using Steps = std::function<std::uint64_t(std::uint64_t count)>;

// Of this thread alone: another's turn on the core does not count.
double processor_nanoseconds();

// An allocator that takes longer than this for an operation does fewer of them: for as long as that share of the
// planned ones would take at this pace. What comes before the measured ones has a time of its own, because there a zone
// gets worn.
inline constexpr double most_nanoseconds = 2'000;
inline constexpr unsigned slow_share = 10;
inline constexpr double slow_warm_up = 300e6;  // nanoseconds

class Meter {
 public:
  virtual ~Meter() = default;

  // The steps, measured; a phase that comes again adds to what it had. Returns how many were done: fewer than planned
  // where they are slow.
  virtual std::uint64_t measure(const Phase& phase, std::uint64_t planned, const Steps& steps) = 0;
  // The same, not measured.
  virtual std::uint64_t warm_up(const Phase& phase, std::uint64_t planned, const Steps& steps) {
    return run(phase, planned, steps, slow_warm_up).done;
  }

  const std::vector<Row>& rows() const { return rows_; }

 protected:
  struct Run {
    std::uint64_t done = 0;
    std::uint64_t refused = 0;
  };

  // `most_when_slow` is in nanoseconds.
  static Run run(const Phase& phase, std::uint64_t planned, const Steps& steps, double most_when_slow);
  static Run run_measured(const Phase& phase, std::uint64_t planned, const Steps& steps);
  Row& row_of(const Phase& phase);
  static void add(Row& row, const Phase& phase, std::uint64_t planned, const Run& run);

 private:
  std::vector<Row> rows_;
};

// The processor time of the steps together. (The clock is also read once a slice, to see who is slow.)
class MeanMeter final : public Meter {
 public:
  std::uint64_t measure(const Phase& phase, std::uint64_t planned, const Steps& steps) override;
};

// Each call by itself: for `Timed` targets that write into the same ticks.
class LatencyMeter final : public Meter {
 public:
  LatencyMeter(const Timer& timer, std::vector<std::uint32_t>& ticks) : timer_(timer), ticks_(ticks) {}

  std::uint64_t measure(const Phase& phase, std::uint64_t planned, const Steps& steps) override;

 private:
  double percentile(std::vector<std::uint32_t>& ticks, double share) const;

  const Timer& timer_;
  std::vector<std::uint32_t>& ticks_;
  std::map<std::string_view, std::vector<std::uint32_t>> phases_;
};

}  // namespace freestone::bench::workloads
