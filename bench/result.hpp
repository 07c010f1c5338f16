// What a comparison found. A figure that does not exist is empty, and `reason` says why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contestant.hpp"
#include "workload.hpp"

namespace freestone::bench {

struct Latency {  // nanoseconds
  double mean = 0;
  double p50 = 0;
  double p99 = 0;
  double p999 = 0;
  double max = 0;
};

struct Record {
  const Contestant* contestant = nullptr;
  std::optional<std::uint64_t> needed_bytes;  // the smallest zone found that serves the whole trace
  std::optional<double> needed_ratio;         // over the trace's peak
  std::optional<double> refused;              // share of the allocations, in the given zone
  std::optional<std::uint64_t> metadata_bytes;
  std::optional<Latency> allocate;
  std::optional<Latency> deallocate;
  std::optional<double> internal_fragmentation;
  std::optional<double> external_fragmentation;
  std::string reason;

  const Contender& contender() const { return contestant->contender(); }
  void because(const std::string& text) { reason += (reason.empty() ? "" : "; ") + text; }
};

struct Advice {
  const Record* record = nullptr;  // none: nothing serves the trace
  std::string policy;              // the line to paste; empty when there is none
  std::string reason;
};

struct TraceResult {
  Workload work;
  std::uint64_t zone_bytes = 0;  // of the refusals
  bool zone_given = false;
  std::vector<Record> records;
  Advice advice;
};

}  // namespace freestone::bench
