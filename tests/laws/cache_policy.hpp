// What holds for every cache policy, as far as the CPU can see: maintenance never changes what it reads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include <freestone/cache/concept.hpp>

namespace freestone::laws {

// A policy for these bytes: where it must see all of them first, it does.
template <class C>
C policy_over(std::span<std::byte> bytes) {
  if constexpr (sees_all_first<C>) {
    return *C::over({.data = bytes.data(), .size = bytes.size()});
  } else {
    return C();
  }
}

// Clean and invalidate, over any bytes and in any order after a clean, leave them, and their neighbours, as they are.
struct BytesStayAsTheyAre {
  template <class C>
  static bool holds() {
    std::array<std::byte, 300> bytes;
    bytes.fill(std::byte{0xA5});
    C policy = policy_over<C>(bytes);
    for (const std::size_t size : {1U, 63U, 64U, 65U, 200U}) {
      const CacheView view{.data = bytes.data() + 37, .size = size};
      std::fill_n(view.data, size, static_cast<std::byte>(size));
      if (!policy.clean(view) || !policy.invalidate(view) || !C(policy).clean(view)) return false;
      if constexpr (can_clean_and_invalidate<C>) {
        if (!policy.clean_and_invalidate(view)) return false;
      }
      for (const Access access : {Access::read, Access::write, Access::read_write}) {
        if (!begin_access(policy, view, access) || !end_access(policy, view, access)) return false;
      }
      const auto is = [](std::byte wanted) { return [wanted](std::byte byte) { return byte == wanted; }; };
      if (!std::all_of(view.data, view.data + size, is(static_cast<std::byte>(size)))) return false;
      if (!std::all_of(bytes.begin(), bytes.begin() + 37, is(std::byte{0xA5}))) return false;
      if (!std::all_of(bytes.begin() + 37 + size, bytes.end(), is(std::byte{0xA5}))) return false;
    }
    return true;
  }
};

struct AnEmptyViewIsNoWork {
  template <class C>
  static bool holds() {
    std::array<std::byte, 300> bytes{};
    C policy = policy_over<C>(bytes);
    const CacheView nothing;
    return policy.clean(nothing) && policy.invalidate(nothing) && begin_access(policy, nothing, Access::read_write) &&
           end_access(policy, nothing, Access::read_write);
  }
};

}  // namespace freestone::laws
