// W8: threads that share a target, and the wall clock.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <thread>
#include <vector>

#include "drive.hpp"

namespace freestone::bench::workloads {

namespace detail {

using WallClock = std::chrono::steady_clock;

struct Shift {
  WallClock::time_point start, end;
  std::uint64_t steps = 0;
  std::uint64_t refused = 0;
  bool too_slow = false;
};

// A thread's own blocks, filled and worn before anybody's clock starts. Who is through first, or slow, ends the shift
// for all, so that nobody is measured alone.
template <class T>
void work(T& target, const Script& script, std::barrier<>& ready, std::atomic<bool>& over, Shift& shift) {
  static constexpr std::uint64_t slice = 1024;
  Population<T> population(target, script);
  const std::uint64_t warm_up = script.steps.size() / warm_up_share;
  const std::uint64_t planned = script.steps.size() - warm_up;
  population.replace_some(warm_up);
  ready.arrive_and_wait();
  shift.start = WallClock::now();
  const double begin = processor_nanoseconds();
  while (shift.steps < planned && !shift.too_slow && !over) {
    const auto count = std::min(slice, planned - shift.steps);
    shift.refused += population.replace_some(count);
    shift.steps += count;
    const auto may_take = 2 * most_nanoseconds * static_cast<double>(std::max(shift.steps, planned / slow_share));
    shift.too_slow = processor_nanoseconds() - begin > may_take;
  }
  over = true;
  shift.end = WallClock::now();
}

inline Row row_of(const std::vector<Shift>& shifts, std::uint64_t planned) {
  WallClock::time_point start = shifts.front().start;
  WallClock::time_point end = shifts.front().end;
  std::uint64_t steps = 0;
  std::uint64_t refused = 0;
  bool too_slow = false;
  for (const Shift& shift : shifts) {
    start = std::min(start, shift.start);
    end = std::max(end, shift.end);
    steps += shift.steps;
    refused += shift.refused;
    too_slow = too_slow || shift.too_slow;
  }
  const double microseconds = std::chrono::duration<double, std::micro>(end - start).count();
  return {.threads = static_cast<unsigned>(shifts.size()),
          .mops = static_cast<double>(2 * steps) / microseconds,
          .refused = static_cast<double>(refused) / static_cast<double>(steps),
          .done = 2 * (too_slow ? steps : planned),  // who is ended by another's end was not slow
          .planned = 2 * planned};
}

}  // namespace detail

// A script for each thread.
template <class T>
Row drive_threads(T& target, const std::vector<Script>& scripts) {
  const std::uint64_t planned = scripts.front().steps.size();
  std::vector<detail::Shift> shifts(scripts.size());
  std::barrier ready(static_cast<std::ptrdiff_t>(scripts.size()));
  std::atomic<bool> over = false;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < scripts.size(); ++i)
      threads.emplace_back([&, i] { detail::work(target, scripts[i], ready, over, shifts[i]); });
  }
  return detail::row_of(shifts, planned * scripts.size());
}

}  // namespace freestone::bench::workloads
