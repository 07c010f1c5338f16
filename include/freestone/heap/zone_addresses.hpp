// What is known of heaps once their zones are made: what each is, and where it lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

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

// The most ranges that the addresses of a zone may be in: one, or with gaps as many as its backing says.
template <class Z>
inline constexpr std::size_t most_ranges_of = [] {
  if constexpr (has_gaps<typename Z::Backing>) {
    return Z::Backing::most_ranges;
  } else {
    return std::size_t{1};
  }
}();
}  // namespace detail

// The addresses of zones in up to `most` ranges, each kind by itself. A zone that does not place has none here.
template <std::size_t most>
class ZoneAddresses {
 public:
  using Found = typename AddressMap<most>::Found;

  // `place` is what find gives back. The zone stays where it is mapped. False where there are more ranges than `most`.
  template <class Z>
  constexpr bool add(const Z& zone, std::size_t place) noexcept {
    bool has_room = true;
    if constexpr (Z::Strategy::places) {
      for_each_range(zone, [&](Bytes offset, Bytes size) {
        has_room = add_range(zone.backing(), offset, size, place) && has_room;
      });
    }
    return has_room;
  }

  // Which zone the address is in, and where in it. Cost: O(log ranges).
  std::optional<Found> find(const void* address) const noexcept {
    return cpu_.find(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(address)));
  }
  constexpr std::optional<Found> find(PhysicalAddress address) const noexcept {
    return physical_.find(address.value());
  }
  constexpr std::optional<Found> find(DeviceAddress address) const noexcept { return device_.find(address.value()); }

 private:
  // visit(offset, size) for what lies between the gaps, lowest first.
  template <class Z, class Visitor>
  static constexpr void for_each_range(const Z& zone, Visitor&& visit) noexcept {
    const Bytes end = zone.size();  // its backing may be larger
    Bytes done = 0;
    const auto visit_until = [&](Bytes gap) {
      const Bytes last = gap < end ? gap : end;
      if (done < last) visit(done, last - done);
    };
    if constexpr (has_gaps<typename Z::Backing>) {
      zone.backing().for_each_gap([&](Bytes gap, Bytes size) {
        visit_until(gap);
        done = gap + size;
      });
    }
    visit_until(end);
  }

  template <class B>
  constexpr bool add_range(const B& backing, Bytes offset, Bytes size, std::size_t place) noexcept {
    bool has_room = true;
    if constexpr (has_cpu_pointer<B>) {
      if (!std::is_constant_evaluated()) {
        const auto first = backing.cpu_pointer(offset);
        if (first) has_room = cpu_.add(reinterpret_cast<std::uintptr_t>(*first), size, place, offset);
      }
    }
    if constexpr (has_physical_address<B>) {
      const auto first = backing.physical_address(offset);
      if (first) has_room = physical_.add(first->value(), size, place, offset) && has_room;
    }
    if constexpr (has_device_address<B>) {
      const auto first = backing.device_address(offset);
      if (first) has_room = device_.add(first->value(), size, place, offset) && has_room;
    }
    return has_room;
  }

  AddressMap<most> cpu_;
  AddressMap<most> physical_;
  AddressMap<most> device_;
};

}  // namespace freestone
