#include "laws/strategy.hpp"

#include "laws/abilities.hpp"

#include <doctest/doctest.h>
#include <boost/hana/concat.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include "support/effort.hpp"
#include "support/models.hpp"
#include "support/strategies.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

template <>
inline constexpr bool laws::holds_back<strategy::AllOrNothing> = true;
template <>
inline constexpr bool laws::remembers_order<strategy::Segregated> = true;
template <class Inner>
struct laws::StartRule<strategy::Eighths<Inner>> {
  static bool allows(const Geometry& range, Extent extent) {
    std::uint64_t eighth = 1;
    while (8 * eighth < extent.count.value()) eighth *= 2;
    return (range.origin + extent.first).value() % eighth == 0;
  }
};
template <>
struct laws::StartRule<strategy::BitmapBy<strategy::BitmapRule{.start = strategy::Start::order}>> {
  static bool allows(const Geometry&, Extent extent) {
    std::uint64_t whole = 1;
    while (whole < extent.count.value()) whole *= 2;
    return extent.first.value() % whole == 0;
  }
};

namespace {

constexpr auto all_laws =
    hana::tuple_t<laws::GrantsWhatWasAsked, laws::AFailedPlaceChangesNothing, laws::AReleaseGivesBackWhatWasPlaced,
                  laws::GranulesAreConserved, laws::FullReleaseLeadsBackToTheStart, laws::TwoObjectsAgree,
                  laws::AttachSeesWhatIsThere, laws::FormatIsFreshAndStaysInside, laws::AWrongReleaseIsRefused,
                  laws::PlaceAtRestores, laws::BlocksAreTold, laws::LargestFreeIsExact, laws::ResizeKeepsTheRest,
                  laws::PlaceHighIsHighest, laws::ReserveTakesExactly, laws::GrowAndShrink, laws::SnapshotRestores,
                  laws::DiffTells, laws::ContainingTells>;

struct Always {
  static bool is_next() { return true; }
};

// Over ranges of every awkward length and beginning, of which each is tried whose turn it is.
template <class Law, class S>
bool holds_for(auto&& turns) {
  std::uint64_t start = seed();
  for (const std::uint64_t capacity : {1U, 2U, 13U, 64U, 65U, 100U}) {
    for (const std::uint64_t origin : {0U, 1U, 3U, 1'000'003U}) {
      ++start;
      if (turns.is_next() && !Law::template holds<S>(geometry(capacity, origin), start)) return false;
    }
  }
  return true;
}

template <class Law, class... Broken>
bool catches() {
  static_assert((check_strategy<Broken>() && ...));
  return (!holds_for<Law, Broken>(Always()) && ...);
}

}  // namespace

TEST_CASE("every strategy keeps every law") {
  Turns turns;
  hana::for_each(hana::concat(all_strategies, variants), [&](auto model) {
    using S = typename decltype(model)::type;
    static_assert(check_strategy<S>());
    hana::for_each(all_laws, [&](auto law) {
      using Law = typename decltype(law)::type;
      INFO(names_of<Law, S>());
      CHECK(holds_for<Law, S>(turns));
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
  CHECK(catches<ResizeKeepsTheRest, ResizesElsewhere, NeverBecomesLonger, FailsToResizeAndCuts>());
  CHECK(catches<PlaceHighIsHighest, PlacesLowAsHigh>());
  CHECK(catches<ReserveTakesExactly, ReservesEvenly, ReservesInSilence, ReservesHalfAndFails>());
  CHECK(catches<GrowAndShrink, GrowsInNameOnly, ShrinksInNameOnly, ShrinksOverBlocks>());
  CHECK(catches<SnapshotRestores, KeepsToItself>());
  CHECK(catches<DiffTells, ForgetsLengths>());
  CHECK(catches<ContainingTells, FindsStartsOnly, FindsHolesToo>());
}
