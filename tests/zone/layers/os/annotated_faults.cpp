// annotated_faults NAME: does what the tool must report; `sound`: what it must not.
#include <cstring>
#include <string_view>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/os/annotated.hpp>
#include <freestone/zone/layers/quarantine.hpp>

using namespace freestone;
using namespace freestone::layers;
using Bare = Zone<backing::Anonymous, strategy::Segregated, lock::Spin, cache::Coherent>;
#ifdef NVALGRIND  // and no sanitizer
static_assert(std::is_same_v<Annotated<Bare>, Bare> && sizeof(Annotated<Bare>) == sizeof(Bare));
#endif

template <class Z>
int run(Z& zone, std::string_view fault) {
  const auto block = zone.allocate(100);
  const auto other = zone.allocate(100);
  if (!block || !other) return 2;
  volatile std::byte* const bytes = zone.data(*block).data();
  const auto end = static_cast<std::size_t>(zone.data(*block).size());
  for (std::size_t i = 0; i < end; ++i) bytes[i] = std::byte{1};
  if (fault == "behind") bytes[end] = std::byte{2};
  if constexpr (requires { zone.check_block(*block); }) {
    if (fault != "behind" && (!zone.check_block(*block) || !zone.clean(*block, 1, 1))) return 2;
  }
  if (!zone.deallocate(*other)) return 2;
  if (fault == "behind_into_free") bytes[end] = std::byte{2};
  if (!zone.deallocate(*block)) return 3;
  if (fault == "write_dead") bytes[50] = std::byte{2};
  if (fault == "read_dead" && bytes[50] == std::byte{1}) return 4;
  const auto again = zone.allocate(100);
  if (!again) return 2;
  std::memset(zone.data(*again).data(), 1, zone.data(*again).size());
  if (!zone.deallocate(*again)) return 2;
  if constexpr (requires { zone.flush(); }) {
    if (fault == "sound" && (!zone.check_all() || !zone.forgive(again->offset()) || !zone.flush())) return 2;
  }
  return 0;
}

int main(int count, char** arguments) {
  const std::string_view fault = count > 1 ? arguments[1] : "sound";
  const ZoneOptions options{.size = 64_KiB, .granule = 64};
  if (count > 2) {
    auto zone = Annotated<Canaries<Quarantine<Bare>>>::create(options, CanarySettings{}, QuarantineSettings{});
    return zone ? run(*zone, fault) : 2;
  }
  auto zone = Annotated<Bare>::create(options);
  return zone ? run(*zone, fault) : 2;
}
