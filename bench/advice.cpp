#include "advice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "compare.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

std::vector<const Record*> candidates(const TraceResult& result) {
  std::vector<const Record*> found;
  for (const Record& record : result.records) {
    if (record.needed_bytes && record.refused == 0.0) found.push_back(&record);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Record* a, const Record* b) { return *a->needed_bytes < *b->needed_bytes; });
  return found;
}

double time_of_pair(const Record& record) {
  return (record.allocate ? record.allocate->mean : 0) + (record.deallocate ? record.deallocate->mean : 0);
}

const Record* best_of(const std::vector<const Record*>& sorted) {
  const double limit = static_cast<double>(*sorted.front()->needed_bytes) * equally_thrifty;
  const auto end = std::find_if(sorted.begin(), sorted.end(), [&](const Record* record) {
    return static_cast<double>(*record->needed_bytes) > limit;
  });
  return *std::min_element(sorted.begin(), end,
                           [](const Record* a, const Record* b) { return time_of_pair(*a) < time_of_pair(*b); });
}

const char* backing_of(const Record& record) { return record.contender().recoverable ? "MemoryFile" : "Anonymous"; }

std::string zone_of(const Record& record) {
  return fmt::format("freestone::Zone<freestone::backing::{}, {}, freestone::lock::Mutex, freestone::cache::Coherent>",
                     backing_of(record), record.contender().type);
}
std::string policy_of(const Record& record) { return fmt::format("using Heap = {};", zone_of(record)); }

std::string heap_of(const std::string& name, std::size_t id, const TraceResult& result) {
  const Record& record = *result.advice.record;
  const std::uint64_t size = result.zone_given ? result.zone_bytes : *record.needed_bytes;
  return fmt::format("heap<\"{}\">(id<{}>, zone<{}>, size<{}>, granule<{}>)", name, id, zone_of(record),
                     result.work.rounded(size), result.work.granule);
}

std::string speed_of(const Record& record) { return human_nanoseconds(record.allocate->mean) + " ns"; }

// What the next best of the others does.
std::string against(const TraceResult& result, const Record& best) {
  const Record* rival = nullptr;
  for (const Record& record : result.records) {
    if (&record == &best || !record.needed_ratio) continue;
    if (rival == nullptr || *record.needed_ratio < *rival->needed_ratio) rival = &record;
  }
  if (rival == nullptr) return fmt::format(", at {} an allocation; no other serves it from a zone", speed_of(best));
  return fmt::format(" where {} needs {:.2f}x, at {} an allocation (the other {})", rival->contender().name,
                     *rival->needed_ratio, speed_of(best), speed_of(*rival));
}

std::string why_nobody(const TraceResult& result) {
  const Record* least = nullptr;
  for (const Record& record : result.records) {
    if (!record.needed_bytes) continue;
    if (least == nullptr || *record.needed_bytes < *least->needed_bytes) least = &record;
  }
  if (least == nullptr) return "None of the strategies compared serves this trace from a zone.";
  return fmt::format("None of the strategies compared serves this trace in {}; {} needs {}.",
                     human_bytes(result.zone_bytes), least->contender().name, human_bytes(*least->needed_bytes));
}

}  // namespace

Advice advise(const TraceResult& result) {
  const auto sorted = candidates(result);
  if (sorted.empty()) return {.record = nullptr, .policy = {}, .reason = why_nobody(result)};
  const Record& best = *best_of(sorted);
  return {.record = &best,
          .policy = policy_of(best),
          .reason = fmt::format("{} needs {:.2f}x of the peak{}.", best.contender().name, *best.needed_ratio,
                                against(result, best))};
}

std::vector<std::string> includes_for(const Record& record) {
  const std::string& header = record.contender().header;
  const bool ours = header.starts_with("freestone/");
  std::vector<std::string> lines = {fmt::format("#include <freestone/backing/os/{}.hpp>",
                                                record.contender().recoverable ? "memory_file" : "anonymous"),
                                    "#include <freestone/cache/coherent.hpp>", "#include <freestone/lock/os/mutex.hpp>",
                                    "#include <freestone/zone/zone.hpp>"};
  lines.insert(lines.begin() + (ours ? 3 : 4),
               ours ? fmt::format("#include <{}>", header) : fmt::format("#include \"{}\"", header));
  return lines;
}

BoardAdvice advise_board(const std::vector<std::string>& heaps, const std::vector<TraceResult>& results) {
  std::set<std::string> includes = {"#include <freestone/heap/heaps.hpp>"};
  std::string list;
  for (std::size_t heap = 0; heap < heaps.size(); ++heap) {
    const TraceResult& result = results[heap];
    if (result.advice.record == nullptr) return {.reason = fmt::format("No board: heap {}: {}", heaps[heap], result.advice.reason)};
    for (const std::string& include : includes_for(*result.advice.record)) includes.insert(include);
    list += (heap == 0 ? "" : ", ") + heap_of(heaps[heap], heap, result);
  }
  return {.includes = {includes.begin(), includes.end()},
          .line = fmt::format("using namespace freestone::declare; constexpr auto board = heaps({});", list)};
}

}  // namespace freestone::bench
