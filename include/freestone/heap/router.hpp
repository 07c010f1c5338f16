// Several zones as one, told apart by the size of what is asked for.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/zone_set.hpp>

namespace freestone {

// A request goes to the first zone whose border it does not exceed: up to `borders[0]` bytes to the first zone, up to
// borders[1] to the second, ..., all else to the last. No zone takes what is another's; for that, put a Fallback in.
template <class... Zs>
class Router : public ZoneSet<Router<Zs...>, Zs...> {
  static_assert(sizeof...(Zs) >= 2, "Router takes at least two zones.");
  using Base = ZoneSet<Router, Zs...>;

 public:
  using Borders = std::array<Bytes, sizeof...(Zs) - 1>;
  using Base::allocate;

  // Errors: borders_not_ascending.
  static constexpr Result<Router> create(const Borders& borders, Zs... zones) noexcept {
    for (std::size_t i = 1; i < borders.size(); ++i) {
      if (borders[i] <= borders[i - 1]) {
        return Error{.code = ErrorCode::borders_not_ascending, .asked = borders[i].value(),
                     .available = borders[i - 1].value()};
      }
    }
    return Router(borders, std::move(zones)...);
  }

  // Errors: those of the zone that the size belongs to. Cost: that zone's, and a comparison a zone.
  constexpr Result<Block> allocate(const Request& request) noexcept {
    std::size_t place = 0;
    while (place < borders_.size() && request.size > borders_[place]) ++place;
    Result<Block> got = ErrorCode::no_space;
    this->for_each([&](auto& zone) {
      if (place-- == 0) got = zone.allocate(request);
    });
    return got;
  }

 private:
  constexpr Router(const Borders& borders, Zs... zones) noexcept : Base(std::move(zones)...), borders_(borders) {}

  Borders borders_;
};

}  // namespace freestone
