#include "workload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "failure.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr std::uint64_t largest_zone = std::uint64_t{1} << 63;

std::uint64_t median_size(const Trace& trace) {
  std::vector<std::uint64_t> sizes;
  sizes.reserve(trace.asked.size());
  for (const Asked& asked : trace.asked) sizes.push_back(asked.size);
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  return *middle;
}

std::uint64_t multiples_of(std::uint64_t granule, const Trace& trace) {
  return static_cast<std::uint64_t>(std::count_if(trace.asked.begin(), trace.asked.end(),
                                                  [&](const Asked& asked) { return asked.size % granule == 0; }));
}

void find_peak(Workload& work) {
  std::uint64_t live = 0;
  for (std::size_t event = 0; event < work.events.size(); ++event) {
    const std::uint64_t size = work.requests[work.events[event].id].size.value();
    if (work.events[event].frees) {
      live -= work.rounded(size);
      continue;
    }
    if (work.rounded(size) > largest_zone - live) {
      throw BadInput(fmt::format(
          "{}: its live blocks, rounded up to granules of {}, take more than 2^63 bytes: give a smaller --granule",
          work.name, human_bytes(work.granule)));
    }
    live += work.rounded(size);
    if (live <= work.peak) continue;
    work.peak = live;
    work.peak_event = event;
  }
}

}  // namespace

std::uint64_t choose_granule(const Trace& trace) {
  if (median_size(trace) < 512) return 16;
  const bool all_of_1k = multiples_of(1024, trace) == trace.asked.size();
  return all_of_1k && multiples_of(4096, trace) * 2 < trace.asked.size() ? 1024 : 4096;
}

Workload make_workload(Trace trace, std::optional<std::uint64_t> granule, bool ignore_align) {
  Workload work;
  work.granule = granule ? *granule : choose_granule(trace);
  work.requests.reserve(trace.asked.size());
  for (const Asked& asked : trace.asked)
    work.requests.push_back({.size = asked.size, .align = ignore_align ? 0 : asked.align});
  work.name = std::move(trace.name);
  work.events = std::move(trace.events);
  find_peak(work);
  return work;
}

}  // namespace freestone::bench
