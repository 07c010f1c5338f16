// Three kinds of address, and no way from one to another: a CPU pointer, a physical address, a device's address.
// "No address" is an empty optional (or an empty span), never 0: 0 is a good address on many a board.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

#include <freestone/core/units.hpp>

namespace freestone {

using CpuPointer = std::byte*;

template <class Space>
class Address {
 public:
  constexpr explicit Address(std::uint64_t value) noexcept : value_(value) {}

  constexpr std::uint64_t value() const noexcept { return value_; }

  friend constexpr Address operator+(Address base, Bytes offset) noexcept {
    return Address(base.value_ + offset.value());
  }
  friend constexpr bool operator==(Address, Address) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(Address, Address) noexcept = default;

 private:
  std::uint64_t value_;
};

using PhysicalAddress = Address<struct PhysicalSpace>;  // what the memory controller sees
using DeviceAddress = Address<struct DeviceSpace>;      // what one device sees, behind its IOMMU where it has one

}  // namespace freestone
