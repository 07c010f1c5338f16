#include <nlohmann/json.hpp>

#include "report.hpp"

namespace freestone::bench::workloads {

namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json percent_or_null(const std::optional<double>& share) { return share ? Json(100 * *share) : Json(nullptr); }

std::optional<double> number_or_nothing(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

Json record_of(const Record& record) {
  const Row& row = record.row;
  return {{"allocator", record.subject->name()},
          {"workload", record.setting.name},
          {"phase", row.phase},
          {"threads", row.threads},
          {"ns", or_null(row.ns)},
          {"p50_ns", or_null(row.p50)},
          {"p99_ns", or_null(row.p99)},
          {"p999_ns", or_null(row.p999)},
          {"mops", or_null(row.mops)},
          {"refused", or_null(row.refused)},
          {"utilisation", percent_or_null(row.utilisation)},
          {"churn", percent_or_null(row.churn)},
          {"metadata_bytes", or_null(record.metadata)}};
}

Json instructions_of(const Instructions& found) {
  return {{"allocator", found.subject->name()},
          {"workload", found.setting.name},
          {"instructions", found.instructions},
          {"d1_misses", found.misses},
          {"mispredicts", found.mispredicts}};
}

}  // namespace

std::string json_report(const Report& report) {
  Json results = Json::array();
  for (const Record& record : report.records) results.push_back(record_of(record));
  Json json{{"schema", 1}, {"results", results}, {"notes", report.notes}};
  if (report.instructions.empty()) return json.dump(2) + "\n";
  for (const Instructions& found : report.instructions) json["instructions"].push_back(instructions_of(found));
  return json.dump(2) + "\n";
}

std::string rows_to_json(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows) {
    list.push_back({row.phase, row.threads, or_null(row.ns), or_null(row.p50), or_null(row.p99), or_null(row.p999),
                    or_null(row.mops), or_null(row.refused), row.done, row.planned});
  }
  return list.dump();
}

std::vector<Row> rows_from_json(const std::string& text) {
  std::vector<Row> rows;
  for (const Json& row : Json::parse(text)) {
    rows.push_back({.phase = row[0],
                    .threads = row[1],
                    .ns = number_or_nothing(row[2]),
                    .p50 = number_or_nothing(row[3]),
                    .p99 = number_or_nothing(row[4]),
                    .p999 = number_or_nothing(row[5]),
                    .mops = number_or_nothing(row[6]),
                    .refused = number_or_nothing(row[7]),
                    .done = row[8],
                    .planned = row[9]});
  }
  return rows;
}

}  // namespace freestone::bench::workloads
