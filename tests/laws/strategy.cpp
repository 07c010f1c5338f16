#include "laws/strategy.hpp"

#include <doctest/doctest.h>
#include <boost/hana/concat.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include "support/models.hpp"
#include "support/strategies.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

template <>
inline constexpr bool laws::holds_back<strategy::AllOrNothing> = true;
template <>
inline constexpr bool laws::remembers_order<strategy::Segregated> = true;

namespace {

constexpr auto all_laws =
    hana::tuple_t<laws::GrantsWhatWasAsked, laws::AFailedPlaceChangesNothing, laws::AReleaseGivesBackWhatWasPlaced,
                  laws::GranulesAreConserved, laws::FullReleaseLeadsBackToTheStart, laws::TwoObjectsAgree,
                  laws::AttachSeesWhatIsThere, laws::FormatIsFreshAndStaysInside, laws::AWrongReleaseIsRefused,
                  laws::PlaceAtRestores, laws::BlocksAreTold, laws::LargestFreeIsExact>;

// Over ranges of every awkward length and beginning.
template <class Law, class S>
bool holds_for() {
  std::uint64_t start = seed();
  for (const std::uint64_t capacity : {1U, 2U, 13U, 64U, 65U, 100U}) {
    for (const std::uint64_t origin : {0U, 1U, 3U, 1'000'003U}) {
      if (!Law::template holds<S>(geometry(capacity, origin), ++start)) return false;
    }
  }
  return true;
}

template <class Law, class... Broken>
bool catches() {
  static_assert((check_strategy<Broken>() && ...));
  return (!holds_for<Law, Broken>() && ...);
}

}  // namespace

TEST_CASE("every strategy keeps every law") {
  hana::for_each(hana::concat(all_strategies, variants), [](auto model) {
    using S = typename decltype(model)::type;
    static_assert(check_strategy<S>());
    hana::for_each(all_laws, [](auto law) {
      using Law = typename decltype(law)::type;
      INFO(names_of<Law, S>());
      CHECK(holds_for<Law, S>());
    });
  });
}

TEST_CASE("what breaks a law is caught by it") {
  using namespace laws;
  CHECK(catches<GrantsWhatWasAsked, GrantsTooLittle, Overlaps, LeavesTheRange, AlignsOffsets>());
  CHECK(catches<AFailedPlaceChangesNothing, PlacesNothingAsSomething, FailsAndKeeps>());
  CHECK(catches<AReleaseGivesBackWhatWasPlaced, ReleasesMisreported>());
  CHECK(catches<GranulesAreConserved, LosesGranules>());
  CHECK(catches<FullReleaseLeadsBackToTheStart, NeverMerges>());
  CHECK(catches<TwoObjectsAgree, KeepsToItself>());
  CHECK(catches<AttachSeesWhatIsThere, AttachFormats>());
  CHECK(catches<FormatIsFreshAndStaysInside, WritesBeyond, FormatsTheHeaderOnly>());
  CHECK(catches<AWrongReleaseIsRefused, TakesInnerReleases, MistakesFaults>());
  CHECK(catches<PlaceAtRestores, RestoresElsewhere, RestoresOverOthers>());
  CHECK(catches<BlocksAreTold, VisitsBackwards, ForgetsLengths>());
  CHECK(catches<LargestFreeIsExact, PromisesTooMuch, PromisesTooLittle>());
}
