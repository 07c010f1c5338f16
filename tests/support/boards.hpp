// A device with memory behind it and a client, for tests of what stands beside a device.
#pragma once

#include <cstdint>
#include <utility>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/platforms.hpp"

namespace freestone::tests {

template <class L>
using Pages = Zone<backing::Anonymous, strategy::Bitmap, L, cache::Coherent>;

constexpr ShareLimits few{.clients = 8, .owners = 8, .buffers = 16, .handles = 16, .blocks = 1};
template <class L, class Locks = PlainLocks<L>>
using Shared = Device<Pages<L>, MinimalPlatform, few, scrub::Zero, Locks>;

// Its zone's lock is L, its device's are of Locks. It stays where it is.
template <class L = lock::None, class Locks = PlainLocks<L>>
struct Board {
  using Device = Shared<L, Locks>;
  Pages<L> zone;
  MinimalPlatform platform;
  Device device{zone, platform, TagKey{3, 4}};
  ClientId client = *device.open_for(1);

  explicit Board(Bytes size = 1 << 20) : zone(std::move(*Pages<L>::create({.name = "pages", .size = size}))) {}

  // One that nobody else has.
  typename Device::Ref buffer(Bytes size = 4096) {
    const Handle handle = *device.allocate(client, {.size = size});
    auto ref = *device.share(client, handle);
    CHECK(device.free(client, handle));
    return ref;
  }
  std::uint64_t buffers() { return zone.stats().blocks; }
};

}  // namespace freestone::tests
