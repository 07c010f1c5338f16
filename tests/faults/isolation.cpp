// F19: nobody sees a byte of a former owner's. Clients of a device fill their buffers, as a CPU and, behind a modelled
// cache, as a device, and let go of them; whoever gets the memory next finds zeros, as a CPU and as a device. Over every
// strategy and every cache policy, 100,000 buffers in all, or FREESTONE_TEST_STEPS.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/share/device.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/fault_line.hpp"
#include "support/models.hpp"
#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

namespace hana = boost::hana;

FaultLine f19{.name = "F19"};

constexpr ShareLimits limits{.clients = 3, .owners = 2, .buffers = 8, .handles = 4, .blocks = 8};

template <class S>
constexpr bool has_own_memory = !S::places;  // the books only: the memory is the backing's to obtain
template <class S, class C>
using ZoneOf = Zone<std::conditional_t<has_own_memory<S>, backing::Anonymous, backing::Borrowed>, S, lock::None, C>;

template <class S, class C>
class Isolation {
  using Z = ZoneOf<S, C>;
  using Shared = Device<Z, MinimalPlatform, limits>;

 public:
  Isolation() : data_(65536 + 4096), words_(4096) {
    std::memset(data_.data(), 0xdb, data_.size());  // what was there before the zone was
  }

  void run(std::uint64_t buffers) {
    auto zone = make();
    if (!zone) return f19.note(f19.unusable, name(), "no zone");
    MinimalPlatform platform;
    const auto device = std::make_unique<Shared>(*zone, platform, TagKey{seed(), 7});
    Random random(seed());
    ClientId one = *device->open();
    ClientId other = *device->open();
    for (std::uint64_t buffer = 0; buffer < buffers; ++buffer) {
      auto got = device->allocate(one, {.size = random.from_to(1, 12'000), .contiguous = false});
      if (!got) {  // they have all that there is, or as many as they may
        static_cast<void>(device->close(one));
        static_cast<void>(device->close(other));
        one = *device->open();
        other = *device->open();
        got = device->allocate(one, {.size = 4096});
      }
      if (!got) return f19.note(f19.unusable, name(), "no buffer");
      ++f19.runs;
      leave_secret(*zone, *device->share(one, *got));
      if (random.chance(50)) static_cast<void>(device->free(one, *got));
      std::swap(one, other);
    }
    static_cast<void>(device->close(one));
    static_cast<void>(device->close(other));
    if (zone->stats().blocks != 0) f19.note(f19.leaked, name(), "a block is left");
  }

 private:
  static const char* name() {
    static const std::string name = names_of<S, C>();
    return name.c_str();
  }
  auto make() {
    if constexpr (has_own_memory<S>) {
      return Z::create({.name = "shared", .size = 64_KiB});
    } else {
      const std::size_t over = reinterpret_cast<std::uintptr_t>(data_.data()) % 4096;
      return Z::create({.name = "shared", .size = 64_KiB},
                       backing::Borrowed(std::span(data_).subspan(4096 - over, 65536), words_, 0));
    }
  }

  // Looks at all of it first: as a CPU that got the buffer does, and as a device.
  void leave_secret(Z& zone, const typename Shared::Ref& buffer) {
    for (const Block& block : buffer.parts().list()) {
      if constexpr (std::is_same_v<C, cache::Modelled>) {
        std::vector<std::byte> seen(static_cast<std::size_t>(block.size().value()));
        static_cast<void>(zone.cache().device_read(block.offset(), seen));
        look(seen, "a device sees");
      }
      {
        const auto access = zone.cpu_read(block);
        if (!access) return f19.note(f19.unusable, name(), "no access");
        look(access->bytes(), "a CPU sees");
      }
      {
        auto access = zone.cpu_write(block);
        if (!access) return f19.note(f19.unusable, name(), "no access");
        std::memset(access->bytes().data(), 0xa5, access->bytes().size());
      }
      if constexpr (std::is_same_v<C, cache::Modelled>) {
        const std::vector<std::byte> secret(static_cast<std::size_t>(block.size().value()), std::byte{0x5a});
        static_cast<void>(zone.cache().device_write(block.offset(), secret));
      }
    }
  }
  void look(std::span<const std::byte> bytes, const char* who) {
    const bool is_clean = std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
    if (!is_clean) f19.note(f19.corrupt, name(), who);
  }

  std::vector<std::byte> data_;
  std::vector<std::uint64_t> words_;
};

constexpr auto strategies = hana::tuple_t<strategy::Bitmap, strategy::Buddy, strategy::AllOrNothing, strategy::TrimmedBuddy,
                                          strategy::OrderList<strategy::Buddy, 2, 0>, strategy::Segregated, strategy::BestFit>;
constexpr auto caches =
    hana::tuple_t<cache::Coherent, cache::Uncached, cache::WriteCombine, cache::WriteBack, cache::Modelled>;
constexpr std::uint64_t combinations = 7 * 5 + 11 + 1;

}  // namespace

int main() {
  const std::uint64_t each = environment("FREESTONE_TEST_STEPS", 100'000) / combinations + 1;
  hana::for_each(strategies, [&](auto strategy) {
    hana::for_each(caches, [&](auto cache) {
      using S = typename decltype(strategy)::type;
      using C = typename decltype(cache)::type;
      std::make_unique<Isolation<S, C>>()->run(each);
    });
  });
  hana::for_each(variants, [&](auto strategy) {
    using S = typename decltype(strategy)::type;
    std::make_unique<Isolation<S, cache::Coherent>>()->run(each);
  });
  std::make_unique<Isolation<strategy::System, cache::Coherent>>()->run(each);
  return f19.print() ? 0 : 1;
}
