// What is known of heaps once their zones are made: what each is, and where it lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <freestone/backing/concept.hpp>
#include <freestone/core/address.hpp>
#include <freestone/heap/address_map.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/layout.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone {

namespace detail {
// The address of a backing's first byte, where its numbers are addresses: not where it has gaps, nor where its base is
// another than the address that it gives, nor where the CPU's pointers are all that it has.
template <class B>
constexpr std::optional<std::uint64_t> first_address(const B& backing) noexcept {
  const std::uint64_t base = backing.base().value();
  const auto as_base = [&](const auto& address) {
    return address && address->value() == base ? std::optional(base) : std::nullopt;
  };
  if constexpr (has_gaps<B>) {
    return std::nullopt;
  } else if constexpr (has_physical_address<B>) {
    return as_base(backing.physical_address(0));
  } else if constexpr (has_device_address<B>) {
    return as_base(backing.device_address(0));
  } else if constexpr (has_cpu_pointer<B>) {
    return backing.cpu_pointer(0) ? std::nullopt : std::optional(base);
  } else {
    return base;
  }
}

template <class Z>
constexpr HeapTraits traits_of(const Z& zone, const HeapSpec& spec) noexcept {
  constexpr ZoneAbilityFlags can = abilities_of<Z>();
  return {.name = spec.name,
          .id = spec.id,
          .size = zone.size(),
          .granule = zone.granule(),
          .any_alignment = has_any_alignment<typename Z::Strategy>,
          .base = first_address(zone.backing()),
          .cacheability = can.cacheability,
          .exportable = can.exportable,
          .reserve = spec.reserve};
}
}  // namespace detail

// The addresses of up to `most` zones, each kind by itself. A zone that does not place, or has gaps, has none here.
template <std::size_t most>
class ZoneAddresses {
 public:
  using Found = typename AddressMap<most>::Found;

  // `place` is what find gives back. The zone stays where it is mapped.
  template <class Z>
  constexpr void add(const Z& zone, std::size_t place) noexcept {
    using B = typename Z::Backing;
    if constexpr (Z::Strategy::places && !has_gaps<B>) {
      const B& backing = zone.backing();
      if constexpr (has_cpu_pointer<B>) {
        if (!std::is_constant_evaluated()) {
          const auto pointer = backing.cpu_pointer(0);
          if (pointer) cpu_.add(reinterpret_cast<std::uintptr_t>(*pointer), zone.size(), place);
        }
      }
      if constexpr (has_physical_address<B>) {
        const auto first = backing.physical_address(0);
        if (first) physical_.add(first->value(), zone.size(), place);
      }
      if constexpr (has_device_address<B>) {
        const auto first = backing.device_address(0);
        if (first) device_.add(first->value(), zone.size(), place);
      }
    }
  }

  // Which zone the address is in, and where in it. Cost: O(log zones).
  std::optional<Found> find(const void* address) const noexcept {
    return cpu_.find(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(address)));
  }
  constexpr std::optional<Found> find(PhysicalAddress address) const noexcept {
    return physical_.find(address.value());
  }
  constexpr std::optional<Found> find(DeviceAddress address) const noexcept { return device_.find(address.value()); }

 private:
  AddressMap<most> cpu_;
  AddressMap<most> physical_;
  AddressMap<most> device_;
};

}  // namespace freestone
