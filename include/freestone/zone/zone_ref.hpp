// A zone behind a module's border: what it is made of is not to be seen, and code for it is compiled once.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>

#include <freestone/backing/concept.hpp>
#include <freestone/core/address.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone {

// What a zone can do, as its type would say.
struct ZoneAbilityFlags {
  bool places = false;         // else blocks have no offsets that mean something
  bool allocates_high = false;
  bool allocates_lists = false;
  bool has_cpu_pointers = false;
  bool has_physical_addresses = false;
  bool has_device_addresses = false;
  bool exportable = false;  // its bytes are a file's
  Cacheability cacheability = Cacheability::cached;
  Bytes most_alignment = 0;  // addresses are aligned as their numbers are up to that only; 0: as far as they go
  bool any_alignment = false;  // alignments need be no powers of two, but of granules
};

// A zone, or a layer round one: it has a name, a tag and a backing of its own. Several zones that look like one (a
// Fallback, a Router) have not.
template <class Z>
concept has_own_backing = requires {
  typename Z::Backing;
  typename Z::Strategy;
};

template <class Z>
constexpr ZoneAbilityFlags abilities_of() noexcept {
  using B = typename Z::Backing;
  using S = typename Z::Strategy;
  Bytes most_alignment = 0;
  if constexpr (has_most_alignment<B>) most_alignment = B::most_alignment;
  return {.places = S::places,
          .allocates_high = can_place_high<S>,
          .allocates_lists = Z::allocates_lists(),
          .has_cpu_pointers = has_cpu_pointer<B> || (!S::places && can_obtain<B>),
          .has_physical_addresses = has_physical_address<B>,
          .has_device_addresses = has_device_address<B>,
          .exportable = has_file<B>,
          .cacheability = Z::CachePolicy::cacheability,
          .most_alignment = most_alignment,
          .any_alignment = has_any_alignment<S> && most_alignment == 0};
}

// Two pointers: the zone (or layer round one), which must outlive it and stay where it is, and what its type can do.
// Copies are the same zone. Every call is the zone's own, through one call more; who may call is its lock's matter.
class ZoneRef {
 public:
  template <class Z>
    requires(!std::is_same_v<Z, ZoneRef>)
  constexpr ZoneRef(Z& zone) noexcept : zone_(&zone) {
    static_assert(has_own_backing<Z>,
                  "A ZoneRef is of a zone, or of a layer round one: of several zones that look like one, take one each.");
    if constexpr (has_own_backing<Z>) calls_ = &calls_of<Z>;
  }

  Result<Block> allocate(const Request& request) const noexcept { return calls_->allocate(zone_, request); }
  // Where the zone has no upper end: allocate.
  Result<Block> allocate_high(const Request& request) const noexcept { return calls_->allocate_high(zone_, request); }
  // Of a zone that does not place: nothing_within.
  Result<Block> allocate_within(const Request& request, const Bounds& bounds) const noexcept {
    return calls_->allocate_within(zone_, request, bounds);
  }
  // Where the zone has no lists: in one block; list_too_short where `out` is empty.
  Result<std::span<Block>> allocate_list(const Request& request, std::span<Block> out) const noexcept {
    return calls_->allocate_list(zone_, request, out);
  }
  Result<void> deallocate(const Block& block) const noexcept { return calls_->deallocate(zone_, block); }

  bool owns(const Block& block) const noexcept { return calls_->owns(zone_, block); }
  std::optional<Block> find(Bytes offset) const noexcept { return calls_->find(zone_, offset); }
  std::optional<Block> find_containing(Bytes offset) const noexcept { return calls_->find_containing(zone_, offset); }
  Stats stats() const noexcept { return calls_->stats(zone_); }
  Bytes free() const noexcept { return calls_->free(zone_); }

  // Empty where the zone has no such view.
  std::span<std::byte> data(const Block& block) const noexcept { return calls_->data(zone_, block); }
  std::optional<PhysicalAddress> physical_address(const Block& block) const noexcept {
    return calls_->physical_address(zone_, block);
  }
  std::optional<DeviceAddress> device_address(const Block& block) const noexcept {
    return calls_->device_address(zone_, block);
  }

  Bytes size() const noexcept { return calls_->size(zone_); }
  Bytes granule() const noexcept { return calls_->granule(zone_); }
  Bytes base() const noexcept { return calls_->base(zone_); }
  const char* name() const noexcept { return calls_->name(zone_); }
  std::uint32_t tag() const noexcept { return calls_->tag(zone_); }
  const ZoneAbilityFlags& abilities() const noexcept { return calls_->abilities; }

  // The very same zone?
  friend bool operator==(ZoneRef a, ZoneRef b) noexcept { return a.zone_ == b.zone_; }

 private:
  struct Calls {
    Result<Block> (*allocate)(void*, const Request&) noexcept;
    Result<Block> (*allocate_high)(void*, const Request&) noexcept;
    Result<Block> (*allocate_within)(void*, const Request&, const Bounds&) noexcept;
    Result<std::span<Block>> (*allocate_list)(void*, const Request&, std::span<Block>) noexcept;
    Result<void> (*deallocate)(void*, const Block&) noexcept;
    bool (*owns)(void*, const Block&) noexcept;
    std::optional<Block> (*find)(void*, Bytes) noexcept;
    std::optional<Block> (*find_containing)(void*, Bytes) noexcept;
    Stats (*stats)(void*) noexcept;
    Bytes (*free)(void*) noexcept;
    std::span<std::byte> (*data)(void*, const Block&) noexcept;
    std::optional<PhysicalAddress> (*physical_address)(void*, const Block&) noexcept;
    std::optional<DeviceAddress> (*device_address)(void*, const Block&) noexcept;
    Bytes (*size)(void*) noexcept;
    Bytes (*granule)(void*) noexcept;
    Bytes (*base)(void*) noexcept;
    const char* (*name)(void*) noexcept;
    std::uint32_t (*tag)(void*) noexcept;
    ZoneAbilityFlags abilities;
  };

  template <class Z>
  static constexpr Z& as(void* zone) noexcept {
    return *static_cast<Z*>(zone);
  }

  template <class Z>
  static Result<Block> allocate_high_of(void* zone, const Request& request) noexcept {
    if constexpr (abilities_of<Z>().allocates_high) {
      return as<Z>(zone).allocate_high(request);
    } else {
      return as<Z>(zone).allocate(request);
    }
  }
  template <class Z>
  static Result<Block> allocate_within_of(void* zone, const Request& request, const Bounds& bounds) noexcept {
    if constexpr (Z::Strategy::places) {
      return as<Z>(zone).allocate_within(request, bounds);
    } else {
      return Error{.code = ErrorCode::nothing_within, .asked = request.size.value(), .zone = as<Z>(zone).name()};
    }
  }
  template <class Z>
  static Result<std::span<Block>> allocate_list_of(void* zone, const Request& request, std::span<Block> out) noexcept {
    if constexpr (abilities_of<Z>().allocates_lists) {
      return as<Z>(zone).allocate_list(request, out);
    } else {
      if (out.empty()) {
        return Error{.code = ErrorCode::list_too_short, .asked = request.size.value(), .zone = as<Z>(zone).name()};
      }
      const auto block = as<Z>(zone).allocate(request);
      if (!block) return block.error();
      out[0] = *block;
      return out.first(1);
    }
  }

  template <class Z>
  static constexpr Calls calls_of = {
      .allocate = [](void* z, const Request& request) noexcept { return as<Z>(z).allocate(request); },
      .allocate_high = allocate_high_of<Z>,
      .allocate_within = allocate_within_of<Z>,
      .allocate_list = allocate_list_of<Z>,
      .deallocate = [](void* z, const Block& block) noexcept { return as<Z>(z).deallocate(block); },
      .owns = [](void* z, const Block& block) noexcept { return as<Z>(z).owns(block); },
      .find = [](void* z, Bytes offset) noexcept { return as<Z>(z).find(offset); },
      .find_containing =
          [](void* z, Bytes offset) noexcept {
            if constexpr (Z::Strategy::places) {
              return as<Z>(z).find_containing(offset);
            } else {
              return as<Z>(z).find(offset);
            }
          },
      .stats = [](void* z) noexcept { return as<Z>(z).stats(); },
      .free = [](void* z) noexcept { return as<Z>(z).free(); },
      .data =
          [](void* z, const Block& block) noexcept {
            if constexpr (abilities_of<Z>().has_cpu_pointers) {
              return as<Z>(z).data(block);
            } else {
              return static_cast<void>(z), static_cast<void>(block), std::span<std::byte>();
            }
          },
      .physical_address =
          [](void* z, const Block& block) noexcept {
            if constexpr (abilities_of<Z>().has_physical_addresses) {
              return as<Z>(z).physical_address(block);
            } else {
              return static_cast<void>(z), static_cast<void>(block), std::optional<PhysicalAddress>();
            }
          },
      .device_address =
          [](void* z, const Block& block) noexcept {
            if constexpr (abilities_of<Z>().has_device_addresses) {
              return as<Z>(z).device_address(block);
            } else {
              return static_cast<void>(z), static_cast<void>(block), std::optional<DeviceAddress>();
            }
          },
      .size = [](void* z) noexcept { return as<Z>(z).size(); },
      .granule = [](void* z) noexcept { return as<Z>(z).granule(); },
      .base = [](void* z) noexcept { return as<Z>(z).backing().base(); },
      .name = [](void* z) noexcept { return as<Z>(z).name(); },
      .tag = [](void* z) noexcept { return as<Z>(z).tag(); },
      .abilities = abilities_of<Z>()};

  void* zone_;
  const Calls* calls_ = nullptr;
};
static_assert(sizeof(ZoneRef) == 2 * sizeof(void*));

}  // namespace freestone
