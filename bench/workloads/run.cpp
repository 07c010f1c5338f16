#include "run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "../failure.hpp"
#include "../output.hpp"
#include "instructions.hpp"
#include "measure.hpp"
#include "peers.hpp"
#include "report.hpp"
#include "zones.hpp"

namespace freestone::bench::workloads {

namespace {

void append(Subjects& subjects, Subjects more) { std::move(more.begin(), more.end(), std::back_inserter(subjects)); }

Subjects subjects_of_this_process(const std::vector<std::string>& strategies, bool peers) {
  Subjects subjects = zone_subjects(pick_contestants(strategies));
  append(subjects, null_subject());
  if (peers) append(subjects, peer_subjects());
  return subjects;
}

std::string base_among(const Subjects& subjects, const std::optional<std::string>& wanted) {
  std::string known;
  for (const auto& subject : subjects) {
    if (subject->shown() == wanted) return *wanted;
    known += (known.empty() ? "" : ", ") + subject->shown();
  }
  if (wanted) throw BadInput(fmt::format("--base: nobody here is called '{}', expected one of {}", *wanted, known));
  return "Buddy";
}

// What a child of ours does: one round, or one workload under callgrind.
void run_child(const Options& options) {
  const Setting setting = pick_settings(options.only).front();
  const std::uint64_t steps = options.quick ? setting.quick_steps : setting.steps;
  if (!options.round.empty()) {
    const auto subject = own_malloc(options.round);
    if (subject != nullptr) fmt::print("{}", rows_to_json(subject->round(setting, steps, Timer())));
    return;
  }
  for (const auto& subject : subjects_of_this_process({}, true)) {
    if (subject->name() == options.counted) count_instructions(*subject, setting);
  }
}

}  // namespace

void run(const Options& options) {
  if (!options.round.empty() || !options.counted.empty()) return run_child(options);
  const auto timed = options.workloads ? pick_settings(options.only) : std::vector<Setting>{};
  const auto counted = options.instructions ? pick_countable(options.only) : std::vector<Setting>{};
  Report report;
  Subjects subjects = subjects_of_this_process(options.strategies, options.peers);
  const std::size_t of_this_process = subjects.size();
  if (options.peers) append(subjects, malloc_subjects(options.quick, report.notes));
  const std::string base = base_among(subjects, options.base);
  Output json("--json", options.json);
  const Timer timer;
  {
    Progress progress(timed.size() + counted.size());
    measure_instructions(std::span(subjects).first(of_this_process), counted, progress, report);
    measure(subjects, timed, options.quick, timer, progress, report);
  }
  fmt::print("{}", text_report(report, base, timer));
  if (json.wanted()) json.write(json_report(report));
}

}  // namespace freestone::bench::workloads
