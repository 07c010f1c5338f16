#include <fmt/format.h>

#include <map>

#include "advice.hpp"
#include "report.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

std::string share_of(const std::optional<double>& share) {
  if (!share) return "-";
  const double percent = 100 * *share;
  return percent > 0 && percent < 0.05 ? "<0.1 %" : fmt::format("{:.1f} %", percent);
}

std::string latency_of(const std::optional<Latency>& latency) {
  if (!latency) return fmt::format("{:>6}{:>6}{:>6}{:>6}{:>7}", "-", "-", "-", "-", "-");
  const auto text = human_nanoseconds;
  return fmt::format("{:>6}{:>6}{:>6}{:>6}{:>7}", text(latency->mean), text(latency->p50), text(latency->p99),
                     text(latency->p999), text(latency->max));
}

std::string line_of(const Record& record) {
  const auto bytes = [](const std::optional<std::uint64_t>& value) {
    return value ? human_bytes(*value) : std::string("-");
  };
  return fmt::format("  {:<16}{:>10}{:>8}{:>9} |{} |{} |{:>9}{:>8}{:>8}\n", record.contender().name,
                     bytes(record.needed_bytes),
                     record.needed_ratio ? fmt::format("{:.3f}", *record.needed_ratio) : "-", share_of(record.refused),
                     latency_of(record.allocate), latency_of(record.deallocate), bytes(record.metadata_bytes),
                     share_of(record.internal_fragmentation), share_of(record.external_fragmentation));
}

std::string head_of(const TraceResult& result) {
  const Workload& work = result.work;
  return fmt::format(
      "{}: {}, {}, at most {} live, in granules of {}\n"
      "  refusals are those of a zone of {} ({})\n",
      work.name, counted(work.events.size(), "event"), counted(work.allocations(), "block"), human_bytes(work.peak),
      human_bytes(work.granule), human_bytes(result.zone_bytes),
      result.zone_given ? "given by --zone" : "what the thriftiest need; --zone takes another");
}

std::string columns() {
  const auto latency = fmt::format("{:>6}{:>6}{:>6}{:>6}{:>7}", "mean", "p50", "p99", "p99.9", "max");
  return fmt::format("  {:<43} |{:>31} |{:>31} |{:>25}\n  {:<16}{:>10}{:>8}{:>9} |{} |{} |{:>9}{:>8}{:>8}\n", "",
                     "allocate, ns", "deallocate, ns", "lost to fragments", "strategy", "needed", "/ peak", "refused",
                     latency, latency, "metadata", "inside", "outside");
}

std::string block_of(const TraceResult& result) {
  std::string text = head_of(result) + columns();
  for (const Record& record : result.records) text += line_of(record);
  for (const Record& record : result.records) {
    if (!record.reason.empty()) text += fmt::format("  - {}: {}\n", record.contender().name, record.reason);
  }
  return text + fmt::format("  => {}\n\n", result.advice.reason);
}

// Each line to paste once, with the traces that it is for.
std::string paste_block(const Report& report) {
  std::map<std::string, std::string> traces;
  std::map<std::string, const Record*> records;
  for (const TraceResult& result : report.results) {
    const std::string& policy = result.advice.policy;
    if (policy.empty()) continue;
    traces[policy] += (traces[policy].empty() ? "" : ", ") + result.work.name;
    records[policy] = result.advice.record;
  }
  std::string text;
  for (const auto& [policy, names] : traces) {
    text += fmt::format("Advice for {}\n\n", names);
    for (const std::string& include : includes_for(*records[policy])) text += "    " + include + "\n";
    text += fmt::format("    {}\n\n", policy);
  }
  return text;
}

std::string board_block(const Report& report) {
  const BoardAdvice board = advise_board(report.heaps, report.results);
  if (board.line.empty()) return board.reason + "\n\n";
  std::string text = "Board\n\n";
  for (const std::string& include : board.includes) text += "    " + include + "\n";
  return text + fmt::format("    {}\n\n", board.line);
}

}  // namespace

std::string text_report(const Report& report) {
  std::string text;
  for (const TraceResult& result : report.results) text += block_of(result);
  text += report.heaps.empty() ? paste_block(report) : board_block(report);
  text += fmt::format("Times are medians of rounds, in steps of {:.2g} ns; the clock's own {:.1f} ns are taken off.\n",
                      report.timer_resolution, report.timer_overhead);
  for (const std::string& trace : report.left_out) text += fmt::format("Left out by --quick: {}\n", trace);
  return text;
}

}  // namespace freestone::bench
