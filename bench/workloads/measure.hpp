#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../progress.hpp"
#include "subject.hpp"

namespace freestone::bench::workloads {

struct Record {
  const Subject* subject = nullptr;
  Setting setting;
  Row row;  // medians
  std::optional<std::uint64_t> metadata = {};
};

// Under a simulated processor, an operation; what the workload itself needs is taken off.
struct Instructions {
  const Subject* subject = nullptr;
  Setting setting;
  double instructions = 0;
  double misses = 0;       // of the first data cache
  double mispredicts = 0;  // of branches
};

struct Report {
  std::vector<Record> records;
  std::vector<Instructions> instructions;
  std::vector<std::string> notes;  // what took no part, or a smaller one, and why
};

// The times of every subject on every setting, into the report. The rounds go round the subjects, so that a busy moment
// of the machine meets all of them; a figure is the median of its rounds.
void measure(const Subjects& subjects, const std::vector<Setting>& settings, bool quick, const Timer& timer,
             Progress& progress, Report& report);

}  // namespace freestone::bench::workloads
