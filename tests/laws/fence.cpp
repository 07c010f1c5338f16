#include "laws/fence.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include <string>
#include <typeinfo>

#include "support/fences.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

TEST_CASE("every fence keeps every law") {
  hana::for_each(all_fences, [](auto model) {
    using M = typename decltype(model)::type;
    using F = typename M::Fence;
    INFO(std::string(typeid(M).name()));
    static_assert(check_fence<F>());
    CHECK(laws::SignalsOnceAndForEver::holds<M>());
    CHECK(laws::MovesAsItIs::holds<M>());
    CHECK(laws::ManyLook::holds<M>());
    if constexpr (can_wait<F>) CHECK(laws::WaitsTillItSignals::holds<M>());
    if constexpr (can_break<F>) CHECK(laws::IsWhole::holds<M>());
  });
}

TEST_CASE("what breaks a law is caught by it") {
  CHECK(!laws::SignalsOnceAndForEver::holds<OfFlag<TooEarly>>());
  CHECK(!laws::SignalsOnceAndForEver::holds<OfFlag<OnlyOnce>>());
  CHECK(!laws::SignalsOnceAndForEver::holds<OfFlag<Deaf>>());
  CHECK(!laws::MovesAsItIs::holds<OfFlag<LostWhenMoved>>());
  CHECK(!laws::WaitsTillItSignals::holds<OfFlag<WaitsForNobody>>());
  CHECK(!laws::WaitsTillItSignals::holds<OfFlag<WaitsInVain>>());
  CHECK(!laws::IsWhole::holds<OfFlag<CriesWolf>>());
}
