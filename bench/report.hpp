// The three ways to show what was found.
#pragma once

#include <string>
#include <vector>

#include "result.hpp"

namespace freestone::bench {

struct Report {
  std::vector<TraceResult> results;
  std::vector<std::string> heaps;     // of which each result is; none: they are of no board
  std::vector<std::string> left_out;  // shipped traces that --quick does not run, with their number of events
  double timer_overhead = 0;          // nanoseconds, taken off every figure
  double timer_resolution = 0;
};

std::string text_report(const Report& report);
std::string json_report(const Report& report);
std::string html_report(const Report& report);

}  // namespace freestone::bench
