#include "script.hpp"

#include <algorithm>
#include <cmath>

namespace freestone::bench::workloads {

namespace {

Step draw_step(const Setting& setting, Random& random) {
  Step step{.granules = static_cast<std::uint16_t>(random.log_uniform(setting.smallest, setting.largest))};
  if (setting.aligned) step.align = static_cast<std::uint16_t>(1U << random.below(10));
  return step;
}

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t mixed = state_ += 0x9E3779B97F4A7C15U;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
  return mixed ^ (mixed >> 31);
}

std::uint64_t Random::below(std::uint64_t limit) { return next() % limit; }

std::uint32_t Random::log_uniform(std::uint32_t smallest, std::uint32_t largest) {
  const double share = static_cast<double>(next() >> 11) * 0x1p-53;
  const double value = smallest * std::pow((largest + 1.0) / smallest, share);
  return std::min(static_cast<std::uint32_t>(value), largest);
}

Script::Script(const Setting& setting, std::uint64_t length, std::uint64_t seed) {
  Random random(seed);
  const std::uint64_t load = setting.zone_bytes / granule * setting.load_percent / 100;
  std::uint64_t asked = 0;
  while (asked < load) {
    fill.push_back(draw_step(setting, random));
    asked += fill.back().granules;
  }
  steps.reserve(static_cast<std::size_t>(length));
  while (steps.size() < length) {
    steps.push_back(draw_step(setting, random));
    steps.back().victim = static_cast<std::uint32_t>(random.below(fill.size()));
  }
}

}  // namespace freestone::bench::workloads
