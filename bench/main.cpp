#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "compare.hpp"
#include "failure.hpp"
#include "options.hpp"
#include "output.hpp"
#include "report.hpp"
#include "text.hpp"
#include "workloads/run.hpp"

namespace freestone::bench {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_quick_events = 100'000;
constexpr unsigned rounds = 7;
constexpr unsigned quick_rounds = 3;

bool is_trace(const fs::path& file) {
  return file.extension() == ".csv" || (file.extension() == ".gz" && file.stem().extension() == ".csv");
}

// Where they were when this was built, or in the checkout that we are in.
std::vector<fs::path> shipped_traces() {
  for (const fs::path folder : {FREESTONE_TRACES, "bench/traces"}) {
    std::error_code error;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (is_trace(entry.path())) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    if (!found.empty()) return found;
  }
  throw BadInput(
      fmt::format("no traces in {} or bench/traces, expected those that ship, or a TRACE", FREESTONE_TRACES));
}

void check_zone(const Workload& work, std::uint64_t zone_bytes) {
  if (zone_bytes < work.granule) {
    throw BadInput(fmt::format("--zone: {} is below a granule, expected at least {} for {}", human_bytes(zone_bytes),
                               human_bytes(work.granule), work.name));
  }
  if (work.rounded(zone_bytes) != zone_bytes) {
    throw BadInput(fmt::format("--zone: {} bytes is no multiple of the granule, expected one of {} for {}", zone_bytes,
                               human_bytes(work.granule), work.name));
  }
}

std::vector<Workload> read_workloads(const Options& options, Report& report) {
  std::vector<Workload> works;
  for (const fs::path& file : options.traces.empty() ? shipped_traces() : options.traces) {
    Trace trace = read_trace(file);
    if (options.traces.empty() && options.quick && trace.events.size() > most_quick_events) {
      report.left_out.push_back(fmt::format("{} ({})", trace.name, counted(trace.events.size(), "event")));
      continue;
    }
    works.push_back(make_workload(std::move(trace), options.granule, options.ignore_align));
    if (options.zone_bytes) check_zone(works.back(), *options.zone_bytes);
  }
  return works;
}

void replay_traces(const Options& options) {
  const Contestants contestants = pick_contestants(options.strategies);
  Output json("--json", options.json);
  Output html("--html", options.html);
  const Timer timer;
  Report report{
      .results = {}, .heaps = options.heaps, .left_out = {}, .timer_overhead = timer.overhead(), .timer_resolution = timer.resolution()};
  std::vector<Workload> works = read_workloads(options, report);
  {
    Progress progress(works.size());
    const CompareOptions how{.zone_bytes = options.zone_bytes, .rounds = options.quick ? quick_rounds : rounds};
    for (Workload& work : works) report.results.push_back(compare(std::move(work), contestants, how, timer, progress));
  }
  fmt::print("{}", text_report(report));
  if (json.wanted()) json.write(json_report(report));
  if (html.wanted()) html.write(html_report(report));
}

void run(const Options& options) { options.runs_workloads() ? workloads::run(options) : replay_traces(options); }

}  // namespace

}  // namespace freestone::bench

int main(int argc, char** argv) {
  mallopt(M_PERTURB,
          0);  // test runners ask malloc to overwrite all that is freed: that is not the host's call timed here
  try {
    const auto options = freestone::bench::parse_options(argc, argv);
    if (options) freestone::bench::run(*options);
    return 0;
  } catch (const freestone::bench::BadInput& error) {
    fmt::print(stderr, "freestone-bench: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "freestone-bench: {}\n", error.what());
    return 1;
  }
}
