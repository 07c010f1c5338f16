#include <fmt/format.h>

#include <algorithm>

#include "../text.hpp"
#include "report.hpp"

namespace freestone::bench::workloads {

namespace {

using Table = std::vector<const Record*>;  // of one workload, phase and number of threads

// What the table is sorted by, the best one first; below it in every sense is who has none.
double cost_of(const Row& row) {
  if (row.ns) return *row.ns;
  return -row.mops.value_or(row.churn.value_or(0));
}

bool is_null(const Record& record) { return record.subject->name() == "peer::null"; }

std::string number(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string percent(const std::optional<double>& share) {
  if (!share) return "-";
  return *share > 0 && *share < 0.0005 ? "<0.1 %" : fmt::format("{:.1f} %", 100 * *share);
}

std::string nanoseconds(const std::optional<double>& value) { return value ? human_nanoseconds(*value) : "-"; }

// Times are better small, throughput is better large: either way the ratio says how many times the other's cost.
std::string ratio(const Row& row, const Record* other) {
  if (other == nullptr) return "-";
  const bool timed = row.ns.has_value();
  const double mine = timed ? *row.ns : 1 / row.mops.value_or(1);
  const double his = timed ? other->row.ns.value_or(0) : 1 / other->row.mops.value_or(1);
  return his == 0 ? "-" : fmt::format("{:.2f}", mine / his);
}

std::string metadata_of(const Record& record) { return record.metadata ? human_bytes(*record.metadata) : "-"; }

std::string columns(const Row& row, const std::string& base) {
  if (row.utilisation) {
    return fmt::format("  {:<30}{:>12}{:>12}{:>12}{:>12}\n", "allocator", "utilisation", "refilled", "churn",
                       "metadata");
  }
  const std::string against = "/ " + base.substr(base.rfind(':') + 1);
  if (row.mops) {
    return fmt::format("  {:<30}{:>8}{:>9}{:>10}{:>24}{:>10}\n", "allocator", "lock", "Mops/s", "/ fastest", against,
                       "refused");
  }
  return fmt::format("  {:<30}{:>9}{:>10}{:>24}{:>8}{:>7}{:>7}{:>10}{:>12}\n", "allocator", "ns", "/ fastest", against,
                     "p50", "p99", "p99.9", "refused", "metadata");
}

std::string line_of(const Record& record, const Record* fastest, const Record* base) {
  const Row& row = record.row;
  const std::string& name = record.subject->shown();
  if (row.utilisation) {
    return fmt::format("  {:<30}{:>12}{:>12}{:>12}{:>12}\n", name, percent(row.utilisation), percent(row.refilled),
                       percent(row.churn), metadata_of(record));
  }
  const std::string ratios = fmt::format("{:>10}{:>24}", ratio(row, fastest), ratio(row, base));
  const char* remark = row.done < row.planned ? "  fewer operations" : "";
  if (row.mops)
    return fmt::format("  {:<30}{:>8}{:>9}{}{:>10}{}\n", name, row.phase, number(row.mops, 2), ratios,
                       percent(row.refused), remark);
  return fmt::format("  {:<30}{:>9}{}{:>8}{:>7}{:>7}{:>10}{:>12}{}\n", name, number(row.ns, 1), ratios,
                     nanoseconds(row.p50), nanoseconds(row.p99), nanoseconds(row.p999), percent(row.refused),
                     metadata_of(record), remark);
}

std::string head_of(const Record& record) {
  const Row& row = record.row;
  const bool contended = record.setting.kind == Kind::threads;
  std::string head(record.setting.name);
  if (!row.phase.empty() && !contended) head += fmt::format(", {}", row.phase);
  if (contended) head += fmt::format(", {}", counted(row.threads, "thread"));
  return fmt::format("{}: {}\n", head, record.setting.summary);
}

std::string table_of(Table table, const std::string& base) {
  std::stable_sort(table.begin(), table.end(),
                   [](const Record* a, const Record* b) { return cost_of(a->row) < cost_of(b->row); });
  const auto first = [&](auto&& is_it) -> const Record* {
    const auto found = std::find_if(table.begin(), table.end(), [&](const Record* one) { return is_it(*one); });
    return found == table.end() ? nullptr : *found;
  };
  const Record* fastest = first([](const Record& one) { return !is_null(one); });
  const Record* against = first([&](const Record& one) { return one.subject->shown() == base; });
  std::string text = head_of(*table.front()) + columns(table.front()->row, base);
  for (const Record* record : table) text += line_of(*record, fastest, against);
  return text + "\n";
}

bool belong_together(const Record& a, const Record& b) {
  const bool same_phase = a.row.phase == b.row.phase || a.setting.kind == Kind::threads;  // there it is the lock
  return a.setting.name == b.setting.name && same_phase && a.row.threads == b.row.threads;
}

std::vector<Table> tables_of(const Report& report) {
  std::vector<Table> tables;
  for (const Record& record : report.records) {
    const auto found = std::find_if(tables.begin(), tables.end(),
                                    [&](const Table& table) { return belong_together(*table.front(), record); });
    (found == tables.end() ? tables.emplace_back() : *found).push_back(&record);
  }
  return tables;
}

std::string instructions_table(const Report& report) {
  if (report.instructions.empty()) return "";
  std::string text = "Instructions: callgrind, an operation, without the workload's own\n";
  text += fmt::format("  {:<12}{:<30}{:>14}{:>12}{:>13}\n", "workload", "allocator", "instructions", "D1 misses",
                      "mispredicts");
  for (const Instructions& found : report.instructions) {
    text += fmt::format("  {:<12}{:<30}{:>14.1f}{:>12.2f}{:>13.2f}\n", found.setting.name, found.subject->shown(),
                        found.instructions, found.misses, found.mispredicts);
  }
  return text + "\n";
}

std::string legend(const Timer& timer) {
  return fmt::format(
      "ns: mean of allocate and deallocate, processor time, median of rounds that go round the allocators; a ratio "
      "above 1 "
      "is slower.\n"
      "p50, p99, p99.9: each call on the clock in a pass of its own, in steps of {:.2g} ns; the clock's own {:.1f} ns "
      "are "
      "taken off.\n"
      "refused: share of the allocations; who refuses does less and looks faster. peer::null is the workload with no "
      "allocator.\n"
      "utilisation, refilled, churn: what was asked for, of the zone, when the first block was refused.\n",
      timer.resolution(), timer.overhead());
}

}  // namespace

std::string text_report(const Report& report, const std::string& base, const Timer& timer) {
  std::string text;
  for (const Table& table : tables_of(report)) text += table_of(table, base);
  text += instructions_table(report);
  for (const std::string& note : report.notes) text += note + "\n";
  return text + (report.records.empty() ? "" : legend(timer));
}

}  // namespace freestone::bench::workloads
