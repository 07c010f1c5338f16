#include "laws/lock.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include "support/child.hpp"
#include "support/models.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

namespace {

constexpr auto all_laws = hana::tuple_t<laws::OneAtATime, laws::TurnsFollowEachOther, laws::FormatOpensAndStaysInside>;

// In one of several tries: on a busy machine two seldom meet.
template <class Law, class L>
bool is_caught() {
  static_assert(check_lock<L>());
  for (int tries = 0; tries < 20; ++tries) {
    if (!holds_in_child([] { return Law::template holds<L>(); }, 2)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every lock that keeps words keeps every law") {
  hana::for_each(all_locks, [](auto model) {
    using L = typename decltype(model)::type;
    static_assert(check_lock<L>());
    if constexpr (L::words != 0) {
      hana::for_each(all_laws, [](auto law) {
        using Law = typename decltype(law)::type;
        INFO(names_of<Law, L>());
        CHECK(Law::template holds<L>());
      });
      INFO(names_of<L>());
      if constexpr (L::process_shared) CHECK(laws::OrdersProcesses::holds<L>());
      if constexpr (can_refuse<L>) CHECK(holds_in_child([] { return laws::KnowsItsWords::holds<L>(); }));
      if constexpr (reports_death<L>) CHECK(holds_in_child([] { return laws::TellsOfDeath::holds<L>(); }));
    }
  });
}

TEST_CASE("what breaks a law is caught by it") {
  CHECK(is_caught<laws::OneAtATime, LetsEverybodyIn>());
  CHECK(is_caught<laws::OneAtATime, AttachOpens>());
  CHECK(is_caught<laws::TurnsFollowEachOther, LetsEverybodyIn>());
  CHECK(is_caught<laws::TurnsFollowEachOther, NeverOpens>());
  CHECK(is_caught<laws::FormatOpensAndStaysInside, TrustsOldWords>());
  CHECK(is_caught<laws::FormatOpensAndStaysInside, LocksTheNeighbour>());
  CHECK(is_caught<laws::OrdersProcesses, KeepsToItsProcess>());
  CHECK(is_caught<laws::OrdersProcesses, WakesItsProcessOnly>());
  CHECK(is_caught<laws::KnowsItsWords, RefusesWhileHeld>());
  CHECK(is_caught<laws::KnowsItsWords, RefusesOtherProcesses>());
  CHECK(is_caught<laws::TellsOfDeath, NeverTells>());
  CHECK(is_caught<laws::TellsOfDeath, AlwaysTells>());
  CHECK(is_caught<laws::TellsOfDeath, DiesWithItsHolder>());
}
