#include "laws/platform.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include "support/models.hpp"
#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

namespace {
constexpr auto all_laws =
    hana::tuple_t<laws::CopiesArrive, laws::AFaultIsAnError, laws::RevokedIsNoLongerSeen, laws::AProcessIsItself>;
}

TEST_CASE("every platform keeps every law") {
  hana::for_each(hana::tuple_t<MinimalPlatform, HostilePlatform>, [](auto model) {
    using P = typename decltype(model)::type;
    static_assert(check_platform<P>());
    hana::for_each(all_laws, [](auto law) {
      using Law = typename decltype(law)::type;
      INFO(names_of<Law, P>());
      CHECK(Law::template holds<P>());
    });
  });
}

TEST_CASE("what breaks a law is caught by it") {
  static_assert(Platform<CopiesTheWrongWay> && Platform<HidesFaults> && Platform<RevokesNothing> &&
                Platform<NobodyIsHimself>);
  CHECK(!laws::CopiesArrive::holds<CopiesTheWrongWay>());
  CHECK(!laws::AFaultIsAnError::holds<HidesFaults>());
  CHECK(!laws::RevokedIsNoLongerSeen::holds<RevokesNothing>());
  CHECK(!laws::AProcessIsItself::holds<NobodyIsHimself>());
}
