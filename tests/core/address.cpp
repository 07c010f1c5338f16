#include <freestone/core/address.hpp>

#include <concepts>

#include <doctest/doctest.h>

using namespace freestone;

// No way from one kind of address to another.
static_assert(!std::constructible_from<PhysicalAddress, DeviceAddress> &&
              !std::constructible_from<DeviceAddress, PhysicalAddress>);
static_assert(!std::constructible_from<PhysicalAddress, CpuPointer> &&
              !std::constructible_from<CpuPointer, PhysicalAddress>);
static_assert(!std::convertible_to<std::uint64_t, PhysicalAddress> &&
              !std::convertible_to<PhysicalAddress, std::uint64_t>);
static_assert(!std::equality_comparable_with<PhysicalAddress, DeviceAddress>);
static_assert(!std::default_initializable<PhysicalAddress>);  // "no address" is an empty optional

TEST_CASE("an address moves by bytes, and 0 is a good one") {
  const PhysicalAddress start(0);
  CHECK(start.value() == 0);
  CHECK((start + 0x3000).value() == 0x3000);
  CHECK(start + 1 > start);
  CHECK(DeviceAddress(7) == DeviceAddress(7));
}
