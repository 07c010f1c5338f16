#include "laws/cache_policy.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>

#include "support/child.hpp"
#include "support/models.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("every cache policy keeps every law") {
  boost::hana::for_each(all_caches, [](auto model) {
    using C = typename decltype(model)::type;
    static_assert(check_cache_policy<C>());
    INFO(names_of<C>());
    CHECK(laws::BytesStayAsTheyAre::holds<C>());
    CHECK(laws::AnEmptyViewIsNoWork::holds<C>());
  });
}

namespace {

// Wrong as soon as it is one of some bytes, and not before.
struct ModelledCleansNothing : cache::Modelled {
  static Result<ModelledCleansNothing> over(const CacheView& all) noexcept {
    ModelledCleansNothing made;
    static_cast<cache::Modelled&>(made) = *Modelled::over(all);
    return made;
  }
  Result<void> clean(const CacheView&) noexcept { return {}; }
};

}  // namespace

TEST_CASE("what breaks a law is caught by it") {
  CHECK(!laws::BytesStayAsTheyAre::holds<InvalidateZeroes>());
  CHECK(!laws::BytesStayAsTheyAre::holds<CleansTheNextByteToo>());
  CHECK(!laws::BytesStayAsTheyAre::holds<ModelledCleansNothing>());
  CHECK(!holds_in_child([] { return laws::AnEmptyViewIsNoWork::holds<TouchesEmptyViews>(); }));
}
