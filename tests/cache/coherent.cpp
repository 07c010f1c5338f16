#include <freestone/cache/coherent.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace freestone;

TEST_CASE("coherent is no byte, and a constant expression that does nothing") {
  static_assert(CachePolicy<cache::Coherent> && std::is_empty_v<cache::Coherent>);
  constexpr bool done = [] {
    cache::Coherent policy;
    const CacheView nothing;
    return policy.clean(nothing) && policy.invalidate(nothing);
  }();
  CHECK(done);
}
