#pragma once

#include <optional>

#include "contestants.hpp"
#include "progress.hpp"
#include "result.hpp"
#include "timer.hpp"

namespace freestone::bench {

// Strategies that need at most this much more than the thriftiest count as equally thrifty.
inline constexpr double equally_thrifty = 1.02;

struct CompareOptions {
  std::optional<std::uint64_t> zone_bytes;
  unsigned rounds = 7;
};

// Every figure of every contestant on one workload, and the advice.
TraceResult compare(Workload work, const Contestants& contestants, const CompareOptions& options, const Timer& timer,
                    Progress& progress);

}  // namespace freestone::bench
