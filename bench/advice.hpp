#pragma once

#include <string>
#include <vector>

#include "result.hpp"

namespace freestone::bench {

// Least memory first; among those within 2 % of it the quickest pair of calls. Who places nothing, who cannot serve the
// trace, and who refuses anything in a zone that the user gave is never advised.
Advice advise(const TraceResult& result);

// The headers that an advised line needs, as #include lines.
std::vector<std::string> includes_for(const Record& record);

// A board of the heaps with these names, each as its trace's result advises: the headers and the line to paste. Where
// one has no advice, `line` is empty and `reason` says whose and why.
struct BoardAdvice {
  std::vector<std::string> includes = {};
  std::string line = {};
  std::string reason = {};
};
BoardAdvice advise_board(const std::vector<std::string>& heaps, const std::vector<TraceResult>& results);

}  // namespace freestone::bench
