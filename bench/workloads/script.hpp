// What a workload will do, drawn before any clock starts: the same for every allocator, on every run.
#pragma once

#include <cstdint>
#include <vector>

#include <freestone/core/request.hpp>

#include "setting.hpp"

namespace freestone::bench::workloads {

// splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next();
  std::uint64_t below(std::uint64_t limit);  // uniform but for a rest that nobody sees: limits are small
  std::uint32_t log_uniform(std::uint32_t smallest, std::uint32_t largest);

 private:
  std::uint64_t state_;
};

// One block goes, another comes into its slot.
struct Step {
  std::uint32_t victim = 0;
  std::uint16_t granules = 0;
  std::uint16_t align = 0;  // granules; 0: not asked for

  Request request() const { return {.size = granules * granule, .align = align * granule}; }
};

struct Script {
  std::vector<Step> fill;  // to the setting's load
  std::vector<Step> steps;

  // `length` steps behind the fill.
  Script(const Setting& setting, std::uint64_t length, std::uint64_t seed);
};

}  // namespace freestone::bench::workloads
