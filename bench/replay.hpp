// Replays a workload over a zone. What is done with each event is the observer's: derive from Observer.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include <freestone/core/block.hpp>
#include <freestone/core/os/describe.hpp>

#include "timer.hpp"
#include "workload.hpp"

namespace freestone::bench {

struct Observer {
  template <class Zone>
  Result<Block> allocate(Zone& zone, const Request& request) {
    return zone.allocate(request);
  }
  template <class Zone>
  Result<void> deallocate(Zone& zone, const Block& block) {
    return zone.deallocate(block);
  }
  // Says whether to go on.
  bool refused(std::size_t, std::uint32_t) { return true; }
  bool granted(std::size_t, std::uint32_t, const Block&) { return true; }
  void freed(std::size_t, std::uint32_t) {}
};

// A free of a block that was refused is skipped. Blocks that live at the end stay so.
template <class Zone, class O>
void replay(Zone& zone, const Workload& work, O& observer) {
  std::vector<Block> blocks(work.requests.size());  // of zone 0: refused
  for (std::size_t event = 0; event < work.events.size(); ++event) {
    const auto [id, frees] = work.events[event];
    Block& block = blocks[id];
    if (frees) {
      if (block.zone_tag() == 0) continue;
      if (const auto released = observer.deallocate(zone, block); !released) {
        throw std::runtime_error(work.name +
                                 ": a strategy would not take its own block back: " + describe(released.error()));
      }
      observer.freed(event, id);
    } else if (const auto granted = observer.allocate(zone, work.requests[id]); granted) {
      block = *granted;
      if (!observer.granted(event, id, block)) return;
    } else if (!observer.refused(event, id)) {
      return;
    }
  }
}

// Up to the first refusal.
struct UntilRefused : Observer {
  std::size_t refused_event = SIZE_MAX;
  std::uint64_t live = 0;

  bool refused(std::size_t event, std::uint32_t) { return refused_event = event, false; }
  bool granted(std::size_t, std::uint32_t, const Block&) { return ++live, true; }
  void freed(std::size_t, std::uint32_t) { --live; }
  bool served() const { return refused_event == SIZE_MAX; }
};

struct WhichRefused : Observer {
  std::vector<bool> ids;
  std::uint64_t count = 0;

  explicit WhichRefused(const Workload& work) : ids(work.requests.size()) {}
  bool refused(std::size_t, std::uint32_t id) { return ++count, ids[id] = true; }
};

// Up to the moment of the peak.
struct UntilPeak : Observer {
  const Workload& work;
  std::uint64_t asked = 0;
  std::uint64_t granted_bytes = 0;
  std::vector<std::uint64_t> sizes;

  explicit UntilPeak(const Workload& workload) : work(workload), sizes(workload.requests.size()) {}
  bool granted(std::size_t event, std::uint32_t id, const Block& block) {
    sizes[id] = block.size().value();
    asked += work.requests[id].size.value();
    granted_bytes += sizes[id];
    return event < work.peak_event;
  }
  void freed(std::size_t, std::uint32_t id) {
    asked -= work.requests[id].size.value();
    granted_bytes -= sizes[id];
  }
};

// Ticks that each call took.
struct Samples {
  std::vector<std::uint64_t> allocate;
  std::vector<std::uint64_t> deallocate;
};

struct Timed : Observer {
  Samples& samples;

  explicit Timed(Samples& of_round) : samples(of_round) {}

  template <class Zone>
  Result<Block> allocate(Zone& zone, const Request& request) {
    const std::uint64_t start = now_ticks();
    const auto block = zone.allocate(request);
    samples.allocate.push_back(now_ticks() - start);
    return block;
  }
  template <class Zone>
  Result<void> deallocate(Zone& zone, const Block& block) {
    const std::uint64_t start = now_ticks();
    const auto released = zone.deallocate(block);
    samples.deallocate.push_back(now_ticks() - start);
    return released;
  }
};

// A block's life: bytes [offset, offset + size) from event `born` to event `died`.
struct Life {
  std::uint32_t id = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::size_t born = 0;
  std::size_t died = 0;
};

struct Lives : Observer {
  std::vector<Life> all;
  std::vector<std::size_t> index;  // by id

  explicit Lives(const Workload& work) : index(work.requests.size()), end_(work.events.size()) {}
  bool granted(std::size_t event, std::uint32_t id, const Block& block) {
    index[id] = all.size();
    all.push_back(
        {.id = id, .offset = block.offset().value(), .size = block.size().value(), .born = event, .died = end_});
    return true;
  }
  void freed(std::size_t event, std::uint32_t id) { all[index[id]].died = event; }

 private:
  std::size_t end_;
};

}  // namespace freestone::bench
