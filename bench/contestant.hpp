// A strategy in the comparison, whatever its type. Behind each call lies a whole replay through a real zone.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/zone.hpp>

#include "host_heap.hpp"
#include "replay.hpp"
#include "text.hpp"

namespace freestone::bench {

struct Contender {
  std::string name;    // the bare one
  std::string type;    // as it is written in a program
  std::string header;  // "freestone/strategy/bitmap.hpp", or the path of the user's own
  bool places = true;
  bool recoverable = true;  // may serve a shared backing
};

struct Refusal {
  std::size_t event = 0;
  std::uint64_t live = 0;  // blocks
};

struct Snapshot {
  std::uint64_t metadata = 0;
  double internal_fragmentation = 0;  // 1 - asked / granted
  double external_fragmentation = 0;  // 1 - largest free / free; 0 where nothing is free
};

class Contestant {
 public:
  explicit Contestant(Contender contender) : contender_(std::move(contender)) {}
  virtual ~Contestant() = default;

  const Contender& contender() const { return contender_; }

  // Why there can be no zone of that size; empty when there can.
  virtual std::optional<std::string> obstacle(const Workload& work, std::uint64_t zone_bytes) const = 0;

  // The rest is for zones that no obstacle forbids.
  virtual std::optional<Refusal> first_refusal(const Workload& work, std::uint64_t zone_bytes) const = 0;
  virtual std::vector<bool> refused(const Workload& work, std::uint64_t zone_bytes) const = 0;
  virtual Snapshot at_peak(const Workload& work, std::uint64_t zone_bytes) const = 0;
  virtual std::uint64_t metadata(const Workload& work, std::uint64_t zone_bytes) const = 0;
  virtual void time(const Workload& work, std::uint64_t zone_bytes, Samples& samples) const = 0;
  virtual std::vector<Life> lives(const Workload& work, std::uint64_t zone_bytes) const = 0;

 private:
  Contender contender_;
};

template <class S>
class Model final : public Contestant {
  using Backing = std::conditional_t<S::places, backing::OffsetSpace, HostHeap>;
  using MeasuredZone = Zone<Backing, S, lock::None, cache::Coherent>;

 public:
  using Contestant::Contestant;

  // Notes are zeroed when they are made: past this the machine would be measured, not the strategy.
  static constexpr std::uint64_t most_notes = std::uint64_t{1} << 30;

  std::optional<std::string> obstacle(const Workload& work, std::uint64_t zone_bytes) const override {
    const std::uint64_t words = S::footprint(Granules(zone_bytes / work.granule));
    if (words <= most_notes / 8) return std::nullopt;
    const std::uint64_t notes = words > UINT64_MAX / 8 ? UINT64_MAX : words * 8;
    return "a map of " + human_bytes(zone_bytes) + " takes " + human_bytes(notes) + " of notes, more than the " +
           human_bytes(most_notes) + " that are measured: give a larger --granule";
  }

  std::optional<Refusal> first_refusal(const Workload& work, std::uint64_t zone_bytes) const override {
    auto zone = make(work, zone_bytes);
    UntilRefused observer;
    replay(zone, work, observer);
    if (observer.served()) return std::nullopt;
    return Refusal{.event = observer.refused_event, .live = observer.live};
  }

  std::vector<bool> refused(const Workload& work, std::uint64_t zone_bytes) const override {
    auto zone = make(work, zone_bytes);
    WhichRefused observer(work);
    replay(zone, work, observer);
    return observer.ids;
  }

  Snapshot at_peak(const Workload& work, std::uint64_t zone_bytes) const override {
    auto zone = make(work, zone_bytes);
    UntilPeak observer(work);
    replay(zone, work, observer);
    const Stats stats = zone.stats();
    return {.metadata = stats.metadata.value(),
            .internal_fragmentation = missing_share(observer.asked, observer.granted_bytes),
            .external_fragmentation = missing_share(stats.largest_free.value(), stats.free.value())};
  }

  std::uint64_t metadata(const Workload& work, std::uint64_t zone_bytes) const override {
    return make(work, zone_bytes).stats().metadata.value();
  }

  void time(const Workload& work, std::uint64_t zone_bytes, Samples& samples) const override {
    auto zone = make(work, zone_bytes);
    Timed observer(samples);
    replay(zone, work, observer);
  }

  std::vector<Life> lives(const Workload& work, std::uint64_t zone_bytes) const override {
    auto zone = make(work, zone_bytes);
    Lives observer(work);
    replay(zone, work, observer);
    return std::move(observer.all);
  }

 private:
  static MeasuredZone make(const Workload& work, std::uint64_t zone_bytes) {
    auto zone = MeasuredZone::create({.name = "bench", .size = zone_bytes, .granule = work.granule});
    if (!zone) throw std::runtime_error(work.name + ": " + describe(zone.error()));
    return *std::move(zone);
  }

  static double missing_share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : 1 - static_cast<double>(part) / static_cast<double>(whole);
  }
};

template <class S>
std::unique_ptr<Contestant> make_contestant(std::string name, std::string type, std::string header) {
  return std::make_unique<Model<S>>(Contender{.name = std::move(name),
                                              .type = std::move(type),
                                              .header = std::move(header),
                                              .places = S::places,
                                              .recoverable = can_place_at<S>});
}

}  // namespace freestone::bench
