// Every layer, and some of them together, over a zone whose calls fail, and over a host whose calls do.
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/os/annotated.hpp>
#include <freestone/zone/layers/os/magazines.hpp>
#include <freestone/zone/layers/os/probes.hpp>
#include <freestone/zone/layers/quarantine.hpp>
#include <freestone/zone/layers/recorder.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>
#include <freestone/zone/layers/statistics.hpp>
#include "faults/script.hpp"

namespace freestone::tests {

namespace {

template <class Z, class... Settings>
Result<Z> create(const char* name, const Settings&... settings) {
  ZoneOptions options = script_options;
  options.name = name;
  return Z::create(options, settings...);
}

// What holds of most.
struct AnyLayers {
  static constexpr bool lists = true;
  static std::span<const std::string_view> hints(Step) { return {}; }
  static bool tolerates(ErrorCode) { return false; }  // a call of the zone's failed, and nobody was told
  static constexpr bool overwrites = false;           // the bytes of what should go back, though it may fail
  static constexpr bool goes_back = true;             // where the cache refuses for ever
  static constexpr bool keeps = false;                // blocks that went back, and that layers behind know of
};

struct OfStatistics : AnyLayers {
  static auto make(const char* name) { return create<layers::Statistics<Shared>>(name); }
};
struct OfRecorder : AnyLayers {
  static auto make(const char* name) {
    static std::array<Event, 256> events;
    return create<layers::Recorder<Shared>>(name, std::span(events));
  }
};
struct OfProbes : AnyLayers {
  static auto make(const char* name) { return create<layers::Probes<Shared>>(name); }
};
struct OfLimit : AnyLayers {
  static auto make(const char* name) { return create<layers::Limit<Shared>>(name, layers::LimitSettings{}); }
};
template <layers::ScrubWhen when>
struct OfScrub : AnyLayers {
  static constexpr bool overwrites = when != layers::ScrubWhen::handed_out;
  static auto make(const char* name) { return create<layers::Scrub<Shared>>(name, layers::ScrubSettings{when}); }
};
struct OfCanaries : AnyLayers {
  static constexpr bool lists = false;
  static auto make(const char* name) { return create<layers::Canaries<Shared>>(name, layers::CanarySettings{}); }
  // Once it is resized, it is so all the same.
  static std::span<const std::string_view> hints(Step step) {
    static constexpr std::string_view caches[] = {"cache"};
    const bool resizes = step == Step::grow || step == Step::shrink || step == Step::over_limit_grown;
    return {caches, resizes ? 1U : 0U};
  }
};
struct OfQuarantine : AnyLayers {
  static auto make(const char* name) {
    return create<layers::Quarantine<Shared>>(name, layers::QuarantineSettings{.blocks = 3, .bytes = 256_KiB});
  }
  static constexpr bool overwrites = true;
  static bool tolerates(ErrorCode code) { return code != ErrorCode::injected; }  // asks again with room
};
struct OfAnnotated : AnyLayers {
  static auto make(const char* name) { return create<layers::Annotated<Shared>>(name); }
};
struct OfSized : AnyLayers {
  static auto make(const char* name) {
    return create<layers::Sized<Shared, layers::PowerOfTwoSizes>>(name, layers::PowerOfTwoSizes{});
  }
};
// What it cannot keep or give back stays for later, and what the heap refuses it does without.
struct OfMagazines : AnyLayers {
  static auto make(const char* name) { return create<layers::Magazines<Private, 8, 2>>(name); }
  static std::span<const std::string_view> hints(Step) { return list; }
  static bool tolerates(ErrorCode) { return true; }
  static constexpr bool keeps = true;
  static constexpr std::string_view list[] = {"new", "calloc"};
};
struct OfLimitedSizes : AnyLayers {
  static auto make(const char* name) {
    using Z = layers::Limit<layers::Sized<Shared, layers::PowerOfTwoSizes>>;
    return create<Z>(name, layers::LimitSettings{}, layers::PowerOfTwoSizes{});
  }
};
struct OfLimitedCanaries : OfCanaries {
  static auto make(const char* name) {
    using Z = layers::Limit<layers::Canaries<Shared>>;
    return create<Z>(name, layers::LimitSettings{}, layers::CanarySettings{.before = 1});
  }
};
struct OfCanariesOverScrub : OfCanaries {
  static auto make(const char* name) {
    using Z = layers::Canaries<layers::Scrub<Shared>>;
    return create<Z>(name, layers::CanarySettings{}, layers::ScrubSettings{});
  }
};
struct OfLimitedMagazines : OfMagazines {
  static auto make(const char* name) {
    using Z = layers::Magazines<layers::Limit<Private>, 8, 2>;
    return create<Z>(name, layers::LimitSettings{.bytes = 1_MiB});
  }
};
struct OfMany : OfQuarantine {
  static constexpr bool lists = false;
  static std::span<const std::string_view> hints(Step step) { return OfCanaries::hints(step); }
  static auto make(const char* name) {
    using Z = layers::Statistics<layers::Limit<layers::Quarantine<layers::Canaries<Shared>>>>;
    return create<Z>(name, layers::LimitSettings{}, layers::QuarantineSettings{.blocks = 3, .bytes = 256_KiB},
                     layers::CanarySettings{});
  }
};
// What cannot be guarded must go back, and what cannot be filled cannot: where the cache refuses for ever a new block
// stays live, as Canaries says.
struct OfCanariesOverQuarantine : OfMany {
  static constexpr bool goes_back = false;
  static auto make(const char* name) {
    using Z = layers::Canaries<layers::Quarantine<Shared>>;
    return create<Z>(name, layers::CanarySettings{}, layers::QuarantineSettings{.blocks = 3, .bytes = 256_KiB});
  }
};

template <class Layers>
void sweep_layer(const std::string& layers) {
  const std::string name = "layer " + layers;
  if constexpr (Layers::goes_back) {
    sweep(name + ", create",
          Making([](const char* zone, bool) { return Layers::make(zone); }, {.always = Layers::hints(Step::allocate)}));
  }
  Row row{.fault = "F4"};
  const auto add = [&](const Script<Layers>& script) {
    row.unusable += script.found().unusable;
    row.leaked += script.found().leaked;
    row.corrupt += script.found().corrupt;
    row.runs += script.was_hit();
    return script.was_hit();
  };
  typename Script<Layers>::Outcome expected{};
  const auto run = [&](const ScriptFault& fault) {
    Script<Layers> script(name, fault);
    script.run(expected);
    return add(script);
  };
  run({});
  for (const bool for_ever : {false, true}) {
    for (const ErrorCode code : {ErrorCode::injected, ErrorCode::no_space, ErrorCode::out_of_memory}) {
      for (int n = 1; run({.n = n, .for_ever = for_ever, .code = code}); ++n) {
      }
    }
    if (for_ever && !Layers::goes_back) break;
    for (int n = 1; run({.is_host = true, .n = n, .for_ever = for_ever}); ++n) {
    }
  }
  f4.add(name, row);
}

}  // namespace

void sweep_layers() {
  sweep_layer<OfStatistics>("Statistics");
  sweep_layer<OfRecorder>("Recorder");
  sweep_layer<OfProbes>("Probes");
  sweep_layer<OfLimit>("Limit");
  sweep_layer<OfScrub<layers::ScrubWhen::handed_out>>("Scrub, handed out");
  sweep_layer<OfScrub<layers::ScrubWhen::both>>("Scrub, both");
  sweep_layer<OfCanaries>("Canaries");
  sweep_layer<OfQuarantine>("Quarantine");
  sweep_layer<OfAnnotated>("Annotated");
  sweep_layer<OfSized>("Sized");
  sweep_layer<OfMagazines>("Magazines");
  sweep_layer<OfLimitedSizes>("Limit<Sized>");
  sweep_layer<OfLimitedCanaries>("Limit<Canaries>");
  sweep_layer<OfCanariesOverScrub>("Canaries<Scrub>");
  sweep_layer<OfLimitedMagazines>("Magazines<Limit>");
  sweep_layer<OfCanariesOverQuarantine>("Canaries<Quarantine>");
  sweep_layer<OfMany>("Statistics<Limit<Quarantine<Canaries>>>");
}

}  // namespace freestone::tests
