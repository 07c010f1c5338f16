#pragma once

#include <string>

#include "measure.hpp"

namespace freestone::bench::workloads {

// `base` is whom the ratios are to, by the name that the tables show; where he is not there, there are none.
std::string text_report(const Report& report, const std::string& base, const Timer& timer);
std::string json_report(const Report& report);

// A round's rows, from one process to another.
std::string rows_to_json(const std::vector<Row>& rows);
std::vector<Row> rows_from_json(const std::string& text);

}  // namespace freestone::bench::workloads
