#include "compare.hpp"

#include <algorithm>

#include "advice.hpp"
#include "latency.hpp"
#include "needed.hpp"

namespace freestone::bench {

namespace {

void fill_needed(Record& record, const Workload& work, Progress& progress) {
  if (!record.contender().places)
    return record.because("places nothing, the host does: no zone is needed, and none is cut up");
  const Needed needed = find_needed(*record.contestant, work, [&] { progress.step(record.contender().name); });
  if (!needed.bytes) return record.because(needed.reason);
  record.needed_bytes = needed.bytes;
  record.needed_ratio = static_cast<double>(*needed.bytes) / static_cast<double>(work.peak);
}

// The smallest zone in which one of the thriftiest serves everything; 1.25 times the peak where nobody does.
std::uint64_t default_zone(const Workload& work, const std::vector<Record>& records) {
  std::uint64_t least = UINT64_MAX;
  for (const Record& record : records) least = std::min(least, record.needed_bytes.value_or(UINT64_MAX));
  if (least == UINT64_MAX) return work.rounded(std::min(work.peak + work.peak / 4, std::uint64_t{1} << 63));
  std::uint64_t zone = least;
  for (const Record& record : records) {
    const std::uint64_t needed = record.needed_bytes.value_or(0);
    if (static_cast<double>(needed) <= static_cast<double>(least) * equally_thrifty) zone = std::max(zone, needed);
  }
  return zone;
}

void fill_refused(Record& record, const Workload& work, std::uint64_t zone_bytes) {
  if (const auto obstacle = record.contestant->obstacle(work, zone_bytes)) {
    if (record.reason.find(*obstacle) == std::string::npos) record.because(*obstacle);
    return;
  }
  const auto refused = record.contestant->refused(work, zone_bytes);
  const auto count = std::count(refused.begin(), refused.end(), true);
  record.refused = static_cast<double>(count) / static_cast<double>(work.allocations());
}

// A zone in which the record's strategy serves everything: the given one if it does, for all strategies alike.
std::optional<std::uint64_t> serving_zone(const Record& record, const Workload& work, std::uint64_t zone_bytes) {
  if (record.refused == 0.0) return zone_bytes;
  if (record.contender().places) return record.needed_bytes;
  if (record.contestant->obstacle(work, work.peak) || record.contestant->first_refusal(work, work.peak))
    return std::nullopt;
  return work.peak;
}

void fill_fragmentation(Record& record, const Workload& work, std::uint64_t zone_bytes,
                        const std::optional<std::uint64_t>& serving) {
  if (const auto zone = record.needed_bytes ? record.needed_bytes : serving) {
    const Snapshot peak = record.contestant->at_peak(work, *zone);
    record.metadata_bytes = peak.metadata;
    record.internal_fragmentation = peak.internal_fragmentation;
    if (record.contender().places) record.external_fragmentation = peak.external_fragmentation;
  } else if (!record.contestant->obstacle(work, zone_bytes)) {
    record.metadata_bytes = record.contestant->metadata(work, zone_bytes);
  }
}

}  // namespace

TraceResult compare(Workload work, const Contestants& contestants, const CompareOptions& options, const Timer& timer,
                    Progress& progress) {
  TraceResult result{
      .work = std::move(work), .zone_given = options.zone_bytes.has_value(), .records = {}, .advice = {}};
  progress.begin(result.work.name, "reading");
  for (const auto& contestant : contestants) {
    Record record;
    record.contestant = contestant.get();
    fill_needed(record, result.work, progress);
    result.records.push_back(std::move(record));
  }
  result.zone_bytes = options.zone_bytes.value_or(0);
  if (!result.zone_given) result.zone_bytes = default_zone(result.work, result.records);
  std::vector<TimedRun> runs;
  for (Record& record : result.records) {
    progress.step(record.contender().name);
    fill_refused(record, result.work, result.zone_bytes);
    const auto serving = serving_zone(record, result.work, result.zone_bytes);
    fill_fragmentation(record, result.work, result.zone_bytes, serving);
    if (serving) runs.push_back({.record = &record, .zone_bytes = *serving});
    if (!serving && record.reason.empty()) record.because("the host refuses blocks, so nothing was timed");
    if (result.work.frees() == 0) record.because("the trace frees nothing");
  }
  measure_latencies(result.work, runs, options.rounds, timer, [&] { progress.step("timing"); });
  result.advice = advise(result);
  return result;
}

}  // namespace freestone::bench
