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

}  // namespace freestone::bench
