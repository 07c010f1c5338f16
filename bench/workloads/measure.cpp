#include "measure.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "../text.hpp"

namespace freestone::bench::workloads {

namespace {

constexpr unsigned all_rounds = 7;
constexpr unsigned quick_rounds = 3;

using Rounds = std::vector<std::vector<Row>>;  // of one subject

std::optional<double> median_of(const Rounds& rounds, std::size_t phase, std::optional<double> Row::*figure) {
  std::vector<double> values;
  for (const auto& rows : rounds) {
    if (const auto& value = rows[phase].*figure) values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Row median_row(const Rounds& rounds, std::size_t phase) {
  Row row = rounds.front()[phase];
  for (const auto figure : {&Row::ns, &Row::p50, &Row::p99, &Row::p999, &Row::mops, &Row::refused})
    row.*figure = median_of(rounds, phase, figure);
  for (const auto& rows : rounds) row.done = std::min(row.done, rows[phase].done);
  return row;
}

// Each sentence once, with all that it is true of.
void note(const std::string& sentence, const std::string& of_what, Report& report) {
  for (std::string& known : report.notes) {
    if (known.starts_with(sentence)) return (void)(known += ", " + of_what);
  }
  report.notes.push_back(sentence + of_what);
}

std::string label_of(const Record& record) {
  std::string label(record.setting.name);
  if (!record.row.phase.empty()) label += " " + record.row.phase;
  if (record.setting.kind == Kind::threads) label += fmt::format(" {}T", record.row.threads);
  return label;
}

void note_slowness(const Record& record, Report& report) {
  const Row& row = record.row;
  if (row.done >= row.planned) return;
  note(fmt::format("{}: above 2 us an operation, so that it did fewer: ", record.subject->shown()),
       fmt::format("{} ({} of {} a round)", label_of(record), human_count(row.done), human_count(row.planned)), report);
}

void measure_one(const Setting& setting, const std::vector<const Subject*>& subjects, bool quick, const Timer& timer,
                 Progress& progress, Report& report) {
  const unsigned count = setting.kind == Kind::occupancy ? 1 : quick ? quick_rounds : all_rounds;
  std::vector<Rounds> rounds(subjects.size());
  for (unsigned round = 0; round < count; ++round) {
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      progress.step(fmt::format("{}/{} {}", round + 1, count, subjects[i]->shown()));
      rounds[i].push_back(subjects[i]->round(setting, quick ? setting.quick_steps : setting.steps, timer));
    }
  }
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    for (std::size_t phase = 0; phase < rounds[i].front().size(); ++phase) {
      report.records.push_back({subjects[i], setting, median_row(rounds[i], phase), subjects[i]->metadata(setting)});
      note_slowness(report.records.back(), report);
    }
  }
}

}  // namespace

void measure(const Subjects& subjects, const std::vector<Setting>& settings, bool quick, const Timer& timer,
             Progress& progress, Report& report) {
  for (const Setting& setting : settings) {
    progress.begin(std::string(setting.name), "drawing");
    std::vector<const Subject*> there;
    for (const auto& subject : subjects) {
      if (const auto reason = subject->obstacle(setting)) {
        note(fmt::format("{}: {}: not on ", subject->shown(), *reason), std::string(setting.name), report);
      } else {
        there.push_back(subject.get());
      }
    }
    measure_one(setting, there, quick, timer, progress, report);
  }
}

}  // namespace freestone::bench::workloads
