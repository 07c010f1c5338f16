// expects: Elastic takes a Strategy that places, with a place_at that says any_extent, or with reserve.
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = strategy::Elastic<strategy::BestFit>;
#else
using Mine = strategy::Elastic<strategy::AllOrNothing>;
#endif

static_assert(check_strategy<Mine>());
