// Several zones as one: the first that can.
#pragma once

#include <utility>

#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/zone_set.hpp>

namespace freestone {

// The first of its zones that grants the request, in the order in which they were given.
template <class... Zs>
class Fallback : public ZoneSet<Fallback<Zs...>, Zs...> {
  static_assert(sizeof...(Zs) >= 1, "Fallback takes at least one zone.");
  using Base = ZoneSet<Fallback, Zs...>;

 public:
  using Base::allocate;

  constexpr explicit Fallback(Zs... zones) noexcept : Base(std::move(zones)...) {}

  // Errors, when all refused: the first zone's that wants for space, or else the last one's; then nothing changed. Cost: that of the zones that are asked.
  constexpr Result<Block> allocate(const Request& request) noexcept {
    Result<Block> got = ErrorCode::none;
    this->for_each([&](auto& zone) {
      if (got) return;
      const auto next = zone.allocate(request);
      if (next || !is_want_of_space(got.error().code)) got = next;
    });
    return got;
  }
};

}  // namespace freestone
