// Every layer over a zone whose calls fail when they are told to.
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/os/annotated.hpp>
#include <freestone/zone/layers/os/magazines.hpp>
#include <freestone/zone/layers/os/probes.hpp>
#include <freestone/zone/layers/quarantine.hpp>
#include <freestone/zone/layers/recorder.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>
#include <freestone/zone/layers/statistics.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone::tests {

using Watched = Zone<backing::MemoryFile, strategy::Segregated, lock::Spin, cache::Coherent>;
using Failing = layers::FaultInjection<Watched>;
using FailingInPrivate =
    layers::FaultInjection<Zone<backing::Anonymous, strategy::Segregated, lock::Spin, cache::Coherent>>;

inline constexpr ZoneOptions layer_options{.name = "layers", .size = 1_MiB, .granule = 4_KiB};
inline std::array<Event, 256> layer_events;

template <class Z, class... Settings>
Result<Z> make_layers(const Settings&... settings) {
  return Z::create(layer_options, settings...);
}

struct WithStatistics {
  static auto make() { return make_layers<layers::Statistics<Failing>>(); }
};
struct WithRecorder {
  static auto make() { return make_layers<layers::Recorder<Failing>>(std::span(layer_events)); }
};
struct WithProbes {
  static auto make() { return make_layers<layers::Probes<Failing>>(); }
};
struct WithLimit {
  static auto make() { return make_layers<layers::Limit<Failing>>(layers::LimitSettings{.bytes = 512_KiB}); }
};
struct WithScrub {
  static auto make() { return make_layers<layers::Scrub<Failing>>(layers::ScrubSettings{}); }
};
struct WithCanaries {
  static auto make() { return make_layers<layers::Canaries<Failing>>(layers::CanarySettings{}); }
};
struct WithQuarantine {
  static auto make() {
    return make_layers<layers::Quarantine<Failing>>(layers::QuarantineSettings{.blocks = 4, .bytes = 256_KiB});
  }
};
struct WithAnnotations {
  static auto make() { return make_layers<layers::Annotated<Failing>>(); }
};
struct WithSizes {
  static auto make() { return make_layers<layers::Sized<Failing, layers::PowerOfTwoSizes>>(layers::PowerOfTwoSizes{}); }
};
struct WithMagazines {
  static auto make() { return make_layers<layers::Magazines<FailingInPrivate>>(); }
};
struct WithMany {
  using Z = layers::Statistics<layers::Limit<layers::Canaries<layers::Quarantine<Failing>>>>;
  static auto make() {
    return make_layers<Z>(layers::LimitSettings{}, layers::CanarySettings{}, layers::QuarantineSettings{.blocks = 4});
  }
};

template <class Visit>
void for_each_layer(Visit&& visit) {
  visit.template operator()<WithStatistics>("Statistics");
  visit.template operator()<WithRecorder>("Recorder");
  visit.template operator()<WithProbes>("Probes");
  visit.template operator()<WithLimit>("Limit");
  visit.template operator()<WithScrub>("Scrub");
  visit.template operator()<WithCanaries>("Canaries");
  visit.template operator()<WithQuarantine>("Quarantine");
  visit.template operator()<WithAnnotations>("Annotated");
  visit.template operator()<WithSizes>("Sized");
  visit.template operator()<WithMagazines>("Magazines");
  visit.template operator()<WithMany>("Statistics,Limit,Canaries,Quarantine");
}

struct LayerRun {
  bool was_hit = false;
  bool failed = false;  // something failed though nothing was made to
  std::uint64_t unusable = 0;
  std::uint64_t leaked = 0;
  std::uint64_t corrupt = 0;
};

// A script of calls of which the n-th that reaches the zone fails. After each failure all is as it was; at the end
// everything can be given back, and then the zone is empty.
template <class Subject>
LayerRun run_layer(std::uint64_t n, bool for_ever) {
  LayerRun run;
  int fd = -1;
  {
    auto made = Subject::make();
    if (!made) return {.failed = true};
    auto& zone = *made;
    if constexpr (requires { zone.backing().fd(); }) fd = dup(zone.backing().fd());
    if (for_ever) {
      zone.fail_from(layers::Call::any, n);
    } else {
      zone.fail_nth(layers::Call::any, n);
    }
    struct Live {
      Block block;
      std::byte byte;
    };
    std::vector<Live> live;
    const auto is_right = [&](const Live& one) {
      const auto bytes = zone.data(one.block);
      return zone.owns(one.block) && !bytes.empty() && bytes.front() == one.byte && bytes.back() == one.byte;
    };
    const auto fill = [&](const Live& one) {
      const auto bytes = zone.data(one.block);
      std::memset(bytes.data(), static_cast<int>(one.byte), bytes.size());
    };
    for (unsigned i = 1; i <= 40; ++i) {
      const Stats before = zone.stats();
      bool done = true;
      if (i % 3 != 0 || live.empty()) {
        const auto block = zone.allocate({.size = (i * 7919) % 40'000 + 1, .align = i % 5 == 0 ? 16_KiB : 0});
        done = static_cast<bool>(block);
        if (block) live.push_back({*block, static_cast<std::byte>(i)}), fill(live.back());
      } else if (i % 2 == 0) {
        Live& one = live[i % live.size()];
        const auto block = zone.resize(one.block, 3'000);
        done = static_cast<bool>(block);
        if (block) one.block = *block;
        if (block) fill(one);
      } else {
        const Live one = live[i % live.size()];
        done = static_cast<bool>(zone.deallocate(one.block));
        if (done) live.erase(live.begin() + i % live.size());
      }
      if (!done) run.corrupt += zone.stats() != before;
      for (const Live& one : live) run.corrupt += !is_right(one);
      run.was_hit = zone.failed(layers::Call::any) != 0;
      run.failed |= !done && !run.was_hit;
    }
    zone.fail_none(layers::Call::any);
    for (const Live& one : live) run.unusable += !zone.deallocate(one.block);
    const auto again = zone.allocate(100);
    run.unusable += !again || !zone.deallocate(*again);
    run.leaked += zone.stats().used != 0;
  }
  if (fd >= 0) {  // who comes after finds nothing of it
    auto bare = Watched::attach(layer_options, backing::MemoryFile::Source{fd});
    run.leaked += !bare || bare->stats().used != 0;
    close(fd);
  }
  return run;
}

}  // namespace freestone::tests
