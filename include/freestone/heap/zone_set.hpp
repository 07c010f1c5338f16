// What combinators of zones have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/tuple.hpp>

#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/zone/owned.hpp>

namespace freestone {

template <class Z>
concept has_data = requires(Z& zone) {
  zone.data(Block());
};

// Several zones that look like one: blocks are told apart by their zones' tags. `D` says which zone is asked: it has
// allocate(const Request&). It moves as long as nobody holds anything of it; who may call at once is its zones' matter.
// A ZoneSet may be a zone of another; it has no tag of its own, so `has_tag` tells whether a block is of one inside.
template <class D, class... Zs>
class ZoneSet {
 public:
  static constexpr std::size_t count = sizeof...(Zs);

  constexpr Result<Block> allocate(Bytes size) noexcept { return self().allocate(Request{.size = size}); }
  // As allocate, as a block that goes back by itself.
  constexpr Result<Owned<D>> allocate_owned(const Request& request) noexcept {
    const auto block = self().allocate(request);
    if (!block) return block.error();
    return Owned<D>(self(), *block);
  }

  // Gives it back to the zone that it is of. Errors: that zone's; foreign_block where it is of none of them.
  constexpr Result<void> deallocate(const Block& block) noexcept {
    Result<void> done = Error{.code = ErrorCode::foreign_block, .asked = block.offset().value()};
    bool is_found = false;  // two may be handles of one shared zone
    for_each([&](auto& zone) {
      if (is_found || !holds(zone, block.zone_tag())) return;
      is_found = true;
      done = zone.deallocate(block);
    });
    return done;
  }
  constexpr bool owns(const Block& block) noexcept {
    bool owned = false;
    for_each([&](auto& zone) { owned = owned || zone.owns(block); });
    return owned;
  }
  constexpr std::span<std::byte> data(const Block& block) noexcept
    requires(has_data<Zs> && ...)
  {
    std::span<std::byte> bytes;
    for_each([&](auto& zone) {
      if (holds(zone, block.zone_tag())) bytes = zone.data(block);
    });
    return bytes;
  }

  constexpr bool has_tag(std::uint32_t tag) noexcept {
    bool found = false;
    for_each([&](auto& zone) { found = found || holds(zone, tag); });
    return found;
  }

  // Of all together; largest_free is that of one. (Of a shared zone with two handles in here, twice.)
  constexpr Stats stats() noexcept {
    Stats all;
    for_each([&](auto& zone) {
      const Stats one = zone.stats();
      all.capacity = all.capacity + one.capacity;
      all.used = all.used + one.used;
      all.free = all.free + one.free;
      all.largest_free = one.largest_free > all.largest_free ? one.largest_free : all.largest_free;
      all.blocks += one.blocks;
      all.metadata = all.metadata + one.metadata;
    });
    return all;
  }
  constexpr Bytes free() noexcept {
    Bytes all;
    for_each([&](auto& zone) { all = all + zone.free(); });
    return all;
  }

  template <std::size_t place>
  constexpr auto& zone() noexcept {
    return boost::hana::at_c<place>(zones_);
  }
  // visit(zone) for each.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) noexcept {
    for_each_of(visit, std::index_sequence_for<Zs...>());
  }

 protected:
  constexpr explicit ZoneSet(Zs... zones) noexcept : zones_(std::move(zones)...) {}

 private:
  constexpr D& self() noexcept { return static_cast<D&>(*this); }

  template <class Z>
  static constexpr bool holds(Z& zone, std::uint32_t tag) noexcept {
    if constexpr (requires { zone.has_tag(tag); }) {
      return zone.has_tag(tag);
    } else {
      return zone.tag() == tag;
    }
  }

  template <class Visitor, std::size_t... places>
  constexpr void for_each_of(Visitor& visit, std::index_sequence<places...>) noexcept {
    (visit(boost::hana::at_c<places>(zones_)), ...);
  }

  boost::hana::tuple<Zs...> zones_;
};

}  // namespace freestone
