// W5: how much of a zone is asked for when the first block is refused. No clock: the same on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "meter.hpp"
#include "script.hpp"
#include "target.hpp"

namespace freestone::bench::workloads {

template <class T>
class Occupancy {
 public:
  Occupancy(const Setting& setting, std::uint64_t seed)
      : target_(setting.zone_bytes), setting_(setting), random_(seed) {}

  double asked() const { return static_cast<double>(asked_) / static_cast<double>(setting_.zone_bytes / granule); }

  bool fill_to(double share) {
    while (asked() < share) {
      if (!allocate(draw())) return false;
    }
    return true;
  }

  // Every other block goes, and blocks of twice their sizes come until one is refused.
  void refill() {
    std::vector<std::uint32_t> sizes;
    std::vector<Live> kept;
    for (std::size_t i = 0; i < live_.size(); ++i) {
      if (i % 2 == 0) {
        kept.push_back(live_[i]);
      } else {
        sizes.push_back(live_[i].granules);
        release(live_[i]);
      }
    }
    live_ = std::move(kept);
    for (const std::uint32_t size : sizes) {
      if (!allocate(2 * size)) return;
    }
  }

  // Steps of half a hundredth: up to it, then half of the blocks, by number, go at random and others come. Ends with
  // the first block that is refused.
  void grow_and_churn() {
    for (unsigned step = 1; fill_to(step / 200.0); ++step) {
      for (std::size_t left = live_.size() / 2; left != 0; --left) {
        if (!replace_one()) return;
      }
    }
  }

 private:
  struct Live {
    typename T::Handle handle;
    std::uint32_t granules;
  };

  std::uint32_t draw() { return random_.log_uniform(setting_.smallest, setting_.largest); }

  bool allocate(std::uint32_t granules) {
    const auto handle = target_.allocate({.size = granules * granule});
    if (handle == T::none) return false;
    live_.push_back({handle, granules});
    asked_ += granules;
    return true;
  }
  void release(const Live& block) {
    target_.deallocate(block.handle);
    asked_ -= block.granules;
  }
  bool replace_one() {
    Live& victim = live_[static_cast<std::size_t>(random_.below(live_.size()))];
    release(victim);
    victim = live_.back();
    live_.pop_back();
    return allocate(draw());
  }

  T target_;
  const Setting& setting_;
  Random random_;
  std::vector<Live> live_;
  std::uint64_t asked_ = 0;  // granules
};

template <class T>
Row measure_occupancy(const Setting& setting) {
  static constexpr unsigned fills = 6;
  static constexpr unsigned churns = 3;
  Row row{.utilisation = 0, .refilled = 0, .churn = 0};
  for (unsigned seed = 1; seed <= fills; ++seed) {
    Occupancy<T> zone(setting, seed);
    zone.fill_to(2);  // more than there is
    *row.utilisation += zone.asked() / fills;
    zone.refill();
    *row.refilled += zone.asked() / fills;
  }
  for (unsigned seed = 1; seed <= churns; ++seed) {
    Occupancy<T> zone(setting, seed);
    zone.grow_and_churn();
    *row.churn += zone.asked() / churns;
  }
  return row;
}

}  // namespace freestone::bench::workloads
