#include "needed.hpp"

#include <fmt/format.h>

#include <cmath>

#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr double grid = 1.005;
constexpr unsigned most_times_peak = 64;

class Search {
 public:
  Search(const Contestant& contestant, const Workload& work, const std::function<void()>& step)
      : contestant_(contestant), work_(work), step_(step) {}

  Needed run() {
    if (serves(0)) return {.bytes = zone(0), .reason = {}};
    if (!reason_.empty()) return {.bytes = std::nullopt, .reason = reason_};
    unsigned fails = 0;
    for (unsigned times = 2; times <= most_times_peak; times *= 2) {
      const auto point = static_cast<unsigned>(std::ceil(std::log(times) / std::log(grid)));
      if (serves(point)) return {.bytes = zone(bisect(fails, point)), .reason = {}};
      if (!reason_.empty()) return {.bytes = std::nullopt, .reason = reason_};
      fails = point;
    }
    return {.bytes = std::nullopt, .reason = hopeless()};
  }

 private:
  std::uint64_t zone(unsigned point) const {
    const double granules = static_cast<double>(work_.peak / work_.granule) * std::pow(grid, point);
    return static_cast<std::uint64_t>(std::ceil(granules)) * work_.granule;
  }

  bool serves(unsigned point) {
    if (static_cast<double>(work_.peak) * std::pow(grid, point) > 0x1p63) {
      reason_ = "serves it in no zone of up to 2^63 bytes";
      return false;
    }
    if (const auto obstacle = contestant_.obstacle(work_, zone(point))) {
      reason_ = *obstacle;
      return false;
    }
    step_();
    const auto refusal = contestant_.first_refusal(work_, zone(point));
    if (refusal) last_ = *refusal;
    return !refusal;
  }

  unsigned bisect(unsigned fails, unsigned served) {
    while (served - fails > 1) {
      const unsigned middle = fails + (served - fails) / 2;
      (serves(middle) ? served : fails) = middle;
    }
    return served;
  }

  std::string hopeless() const {
    const std::uint64_t size = work_.requests[work_.events[last_.event].id].size.value();
    return fmt::format("{}: it refuses line {} ({} beside {}) in every zone tried, up to {} times the peak",
                       last_.live == 1 ? "holds one block, and two are live at once" : "cannot hold them all",
                       work_.line_of(last_.event), human_bytes(size), counted(last_.live, "live block"),
                       most_times_peak);
  }

  const Contestant& contestant_;
  const Workload& work_;
  const std::function<void()>& step_;
  Refusal last_;
  std::string reason_;
};

}  // namespace

Needed find_needed(const Contestant& contestant, const Workload& work, const std::function<void()>& step) {
  return Search(contestant, work, step).run();
}

}  // namespace freestone::bench
