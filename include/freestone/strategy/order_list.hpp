#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

namespace detail {
consteval bool are_descending_orders(std::initializer_list<unsigned> orders) {
  unsigned before = 64;
  for (const unsigned order : orders) {
    if (order >= before) return false;
    before = order;
  }
  return orders.size() != 0;
}
}  // namespace detail

// Several extents for one request, as ION's system heap takes them: each time the largest order of the list that is no
// more than what is left, and no more than the order before, as far as `Inner` has one. What is left below the last
// order is rounded up to it. A request for one extent, and all else, is as Inner does it.
//
// Map: Inner's, with nothing added and under Inner's id: each extent is a block of Inner's own, and the list is how one
// asks. So users with other lists, or with none, may share a zone. Cost: place_part a place of Inner's, and one that
// fails for each order skipped; none that failed is tried again in one request.
template <class Inner, unsigned... orders>
class OrderList : public Inner {
  static_assert(detail::are_descending_orders({orders...}),
                "OrderList takes at least one order, the largest first, each once and below 64.");

 public:
  static constexpr Result<OrderList> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return over(Inner::format(words, geometry));
  }
  static constexpr Result<OrderList> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return over(Inner::attach(words, geometry));
  }

  constexpr std::optional<Extent> place_part(Granules count, Granules align, Granules most) noexcept {
    if (count == Granules(0)) return std::nullopt;
    for (const unsigned order : list) {
      const Granules size = Order(order).granules();
      if (size > most || (size > count && order != last)) continue;
      if (const auto placed = Inner::place(size, align)) return placed;
    }
    return std::nullopt;
  }

 private:
  static constexpr unsigned list[] = {orders...};
  static constexpr unsigned last = list[sizeof...(orders) - 1];

  constexpr explicit OrderList(const Inner& inner) noexcept : Inner(inner) {}

  static constexpr Result<OrderList> over(const Result<Inner>& inner) noexcept {
    if (!inner) return inner.error();
    return OrderList(*inner);
  }
};

}  // namespace freestone::strategy
