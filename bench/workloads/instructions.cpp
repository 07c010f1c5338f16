#include "instructions.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "../failure.hpp"
#include "child.hpp"

// Callgrind counts while this runs, by its name.
extern "C" [[gnu::noinline]] std::uint64_t freestone_bench_counted(const freestone::bench::workloads::Steps& steps,
                                                                   std::uint64_t count) {
  const std::uint64_t refused = steps(count);
  __asm__ __volatile__("" ::: "memory");  // no tail call: it would end here
  return refused;
}

namespace freestone::bench::workloads {

namespace {

constexpr std::uint64_t counted_steps = 20'000;

class CallgrindMeter final : public Meter {
 public:
  std::uint64_t measure(const Phase& phase, std::uint64_t planned, const Steps& steps) override {
    const std::uint64_t refused = freestone_bench_counted(steps, planned);
    add(row_of(phase), phase, planned, {.done = planned, .refused = refused});
    return planned;
  }
  std::uint64_t warm_up(const Phase&, std::uint64_t planned, const Steps& steps) override {
    steps(planned);
    return planned;
  }
};

// A name for a file that nobody has yet.
class ScratchFile {
 public:
  ScratchFile() : path_((std::filesystem::temp_directory_path() / "freestone-bench-XXXXXX").string()) {
    const int file = mkstemp(path_.data());
    if (file == -1) throw std::runtime_error("no file for callgrind in " + path_);
    close(file);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() {
    std::error_code error;
    std::filesystem::remove(path_, error);
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> words_behind(const std::string& key, const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> words;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    words.clear();
    for (std::string word; rest >> word;) words.push_back(word);
  }
  return words;
}

// The events of a callgrind file by their names; one that did not happen may not be there.
std::map<std::string, double> totals_of(const std::string& path) {
  const auto names = words_behind("events:", path);
  const auto values = words_behind("totals:", path);
  std::map<std::string, double> totals;
  for (std::size_t i = 0; i < names.size() && i < values.size(); ++i) totals[names[i]] = std::stod(values[i]);
  return totals;
}

Instructions count(const Subject& subject, const Setting& setting) {
  const ScratchFile file;
  const auto done =
      output_of({"valgrind", "--tool=callgrind", "--quiet", "--collect-atstart=no", "--cache-sim=yes",
                 "--branch-sim=yes", "--toggle-collect=freestone_bench_counted", "--callgrind-out-file=" + file.path(),
                 own_path(), "--counted", subject.name(), "--only", std::string(setting.name)});
  auto totals = totals_of(file.path());
  if (!done || done->empty() || totals["Ir"] == 0)
    throw std::runtime_error(fmt::format("{}: callgrind failed on {}", subject.shown(), setting.name));
  const double operations = std::stod(*done);
  return {.subject = &subject,
          .setting = setting,
          .instructions = totals["Ir"] / operations,
          .misses = (totals["D1mr"] + totals["D1mw"]) / operations,
          .mispredicts = (totals["Bcm"] + totals["Bim"]) / operations};
}

bool can_be_counted(const Setting& setting) {
  return setting.kind == Kind::pair || setting.kind == Kind::lifo || setting.kind == Kind::random ||
         setting.kind == Kind::rings;
}

}  // namespace

std::vector<Setting> pick_countable(const std::vector<std::string>& names) {
  auto settings = pick_settings(names.empty() ? std::vector<std::string>{"W1", "W2", "W3"} : names);
  std::erase_if(settings, [](const Setting& setting) { return !can_be_counted(setting); });
  if (settings.empty())
    throw BadInput("--instructions: none of those workloads can be counted, expected --only W1, W2, W3, W4 or W6");
  if (!output_of({"valgrind", "--version"}))
    throw BadInput("--instructions: there is no valgrind, expected the Debian package: apt-get install valgrind");
  return settings;
}

void count_instructions(const Subject& subject, const Setting& setting) {
  CallgrindMeter meter;
  subject.observe(setting, counted_steps, meter);
  fmt::print("{}", meter.rows().front().done);
}

void measure_instructions(std::span<const std::unique_ptr<Subject>> subjects, const std::vector<Setting>& settings,
                          Progress& progress, Report& report) {
  for (const Setting& setting : settings) {
    progress.begin(fmt::format("{} under callgrind", setting.name), "starting");
    Instructions own;
    std::vector<Instructions> found;
    for (const auto& subject : subjects) {
      if (subject->obstacle(setting)) continue;
      progress.step(subject->shown());
      found.push_back(count(*subject, setting));
      if (subject->name() == "peer::null") own = found.back();
    }
    for (Instructions& one : found) {
      if (one.subject == own.subject) continue;
      one.instructions -= own.instructions;
      one.misses -= own.misses;
      one.mispredicts -= own.mispredicts;
      report.instructions.push_back(one);
    }
  }
}

}  // namespace freestone::bench::workloads
