// An allocator in the comparison, whatever its type.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>

#include "meter.hpp"
#include "occupancy.hpp"
#include "script.hpp"
#include "setting.hpp"
#include "threads.hpp"

namespace freestone::bench::workloads {

class Subject {
 public:
  Subject(std::string name, std::string shown) : name_(std::move(name)), shown_(std::move(shown)) {}
  virtual ~Subject() = default;

  const std::string& name() const { return name_; }    // the full one
  const std::string& shown() const { return shown_; }  // in a table

  // Why it does not take part in that workload; empty when it does.
  virtual std::optional<std::string> obstacle(const Setting& setting) const = 0;

  // One round on a fresh zone: a row for each phase. The rest is for workloads that no obstacle forbids.
  virtual std::vector<Row> round(const Setting& setting, std::uint64_t steps, const Timer& timer) const = 0;

  // A workload of one thread, seen by a meter of the caller's.
  virtual void observe(const Setting& setting, std::uint64_t steps, Meter& meter) const = 0;

  virtual std::optional<std::uint64_t> metadata(const Setting& setting) const = 0;

 private:
  std::string name_;
  std::string shown_;
};

using Subjects = std::vector<std::unique_ptr<Subject>>;

// A family is an allocator under any lock: `Target<Lock>`. With `shares_itself` it needs none of ours; with `bounded`
// it manages a range that can be full.
template <class Family>
class SubjectOf : public Subject {
  using Alone = typename Family::template Target<lock::None>;
  static_assert(Target<Alone>);

 public:
  using Subject::Subject;

  std::optional<std::string> obstacle(const Setting& setting) const override {
    if (setting.kind == Kind::occupancy && !Family::bounded) return "it manages no range that could be full";
    return Family::obstacle(setting);
  }

  std::vector<Row> round(const Setting& setting, std::uint64_t steps, const Timer& timer) const override {
    if (setting.kind == Kind::occupancy) return {measure_occupancy<Alone>(setting)};
    if (setting.kind == Kind::threads) return threads(setting, steps);
    MeanMeter mean;
    observe(setting, steps, mean);
    return merged(mean.rows(), latencies(setting, steps, timer));
  }

  void observe(const Setting& setting, std::uint64_t steps, Meter& meter) const override {
    const Script script = script_for(setting, steps);
    Alone target(setting.zone_bytes);
    drive(target, setting, script, steps, meter);
  }

  std::optional<std::uint64_t> metadata(const Setting& setting) const override {
    if constexpr (requires { Alone::metadata(setting.zone_bytes); }) return Alone::metadata(setting.zone_bytes);
    return std::nullopt;
  }

 private:
  static Script script_for(const Setting& setting, std::uint64_t steps) {
    const bool random = setting.kind == Kind::random;
    return {setting, random ? steps + steps / warm_up_share : 0, 1};
  }

  static std::vector<Row> latencies(const Setting& setting, std::uint64_t steps, const Timer& timer) {
    const Script script = script_for(setting, steps);
    Ticks ticks;
    LatencyMeter meter(timer, ticks);
    Timed<Alone> target(setting.zone_bytes, ticks);
    drive(target, setting, script, steps, meter);
    return meter.rows();
  }

  static std::vector<Row> merged(std::vector<Row> rows, const std::vector<Row>& latencies) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].p50 = latencies[i].p50;
      rows[i].p99 = latencies[i].p99;
      rows[i].p999 = latencies[i].p999;
    }
    return rows;
  }

  static std::vector<Row> threads(const Setting& setting, std::uint64_t steps) {
    std::vector<Script> scripts;
    for (unsigned seed = 1; seed <= 2; ++seed) scripts.emplace_back(setting, steps, seed);
    const std::vector<Script> one(scripts.begin(), scripts.begin() + 1);
    std::vector<Row> rows = {share<lock::None>("none", setting, one)};
    if constexpr (Family::shares_itself) {
      rows.push_back(share<lock::None>("none", setting, scripts));
    } else {
      for (const auto& some : {one, scripts}) {
        rows.push_back(share<lock::Spin>("spin", setting, some));
        rows.push_back(share<lock::Mutex>("mutex", setting, some));
      }
    }
    return rows;
  }

  template <class L>
  static Row share(std::string_view lock, const Setting& setting, const std::vector<Script>& scripts) {
    typename Family::template Target<L> target(setting.zone_bytes);
    Row row = drive_threads(target, scripts);
    row.phase = lock;
    return row;
  }
};

}  // namespace freestone::bench::workloads
