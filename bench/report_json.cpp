#include <nlohmann/json.hpp>

#include "advice.hpp"
#include "report.hpp"

namespace freestone::bench {

namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json or_null(const std::optional<Latency>& latency) {
  if (!latency) return nullptr;
  return {{"mean", latency->mean},
          {"p50", latency->p50},
          {"p99", latency->p99},
          {"p999", latency->p999},
          {"max", latency->max}};
}

Json record_of(const TraceResult& result, const Record& record) {
  return {{"trace", result.work.name},
          {"strategy", record.contender().name},
          {"granule", result.work.granule},
          {"zone_bytes", result.zone_bytes},
          {"needed_bytes", or_null(record.needed_bytes)},
          {"needed_ratio", or_null(record.needed_ratio)},
          {"refused", or_null(record.refused)},
          {"metadata_bytes", or_null(record.metadata_bytes)},
          {"allocate_ns", or_null(record.allocate)},
          {"deallocate_ns", or_null(record.deallocate)},
          {"internal_fragmentation", or_null(record.internal_fragmentation)},
          {"external_fragmentation", or_null(record.external_fragmentation)},
          {"reason", or_null(record.reason)}};
}

}  // namespace

std::string json_report(const Report& report) {
  Json results = Json::array();
  Json advice = Json::array();
  for (const TraceResult& result : report.results) {
    for (const Record& record : result.records) results.push_back(record_of(result, record));
    advice.push_back(
        {{"trace", result.work.name}, {"policy", or_null(result.advice.policy)}, {"reason", result.advice.reason}});
  }
  Json all = {{"schema", 1}, {"results", results}, {"advice", advice}};
  if (!report.heaps.empty()) all["board"] = or_null(advise_board(report.heaps, report.results).line);
  return all.dump(2) + "\n";
}

}  // namespace freestone::bench
