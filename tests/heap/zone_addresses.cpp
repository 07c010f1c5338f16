#include <freestone/heap/zone_addresses.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/system.hpp>
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {
using Plain = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
using Window = Zone<backing::Reserved, strategy::Bitmap, lock::None, cache::Coherent>;
using Booked = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
}  // namespace

TEST_CASE("each kind of address by itself, both ends") {
  static std::uint64_t words[256];
  auto plain = Plain::create({.name = "plain", .size = 64_KiB});
  auto numbers = Numbers<strategy::Bitmap>::create({.name = "numbers", .size = 64_KiB}, Bytes(0x4000'0000));
  auto window = Window::create({.name = "window", .size = 32_KiB},
                               backing::Reserved({.physical = PhysicalAddress(0x4000'0000), .size = 32_KiB}, words));
  auto booked = Booked::create({.name = "booked", .size = 64_KiB});
  REQUIRE((plain && numbers && window && booked));
  ZoneAddresses<4> addresses;
  addresses.add(*plain, 7);
  addresses.add(*numbers, 8);
  addresses.add(*window, 9);
  addresses.add(*booked, 10);

  const std::byte* first = *plain->backing().cpu_pointer(0);
  REQUIRE(addresses.find(first + 65535));
  CHECK(addresses.find(first + 65535)->heap == 7);
  CHECK(addresses.find(first + 65535)->offset == Bytes(65535));
  CHECK(!addresses.find(first - 1));
  CHECK(!addresses.find(first + 65536));
  REQUIRE(addresses.find(PhysicalAddress(0x4000'7fff)));
  CHECK(addresses.find(PhysicalAddress(0x4000'7fff))->heap == 9);
  CHECK(!addresses.find(PhysicalAddress(0x4000'8000)));
  CHECK(!addresses.find(PhysicalAddress(0x3fff'ffff)));
  CHECK(!addresses.find(DeviceAddress(0x4000'0000)));  // numbers are nobody's addresses
}

TEST_CASE("what a heap is, as its zone's type says it") {
  auto plain = Plain::create({.name = "plain", .size = 64_KiB});
  auto numbers = Numbers<strategy::Bitmap>::create({.name = "numbers", .size = 64_KiB}, Bytes(0x4000'0000));
  REQUIRE((plain && numbers));
  const HeapTraits of_plain = detail::traits_of(*plain, {.name = "plain", .id = 3, .reserve = 4_KiB});
  CHECK(of_plain.id == 3);
  CHECK(of_plain.size == 64_KiB);
  CHECK(of_plain.reserve == 4_KiB);
  CHECK(!of_plain.base);
  CHECK(detail::traits_of(*numbers, {.name = "numbers", .id = 4}).base == 0x4000'0000);
}
