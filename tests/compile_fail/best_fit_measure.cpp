// expects: Measure::aligned is a rule for the low end only.
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = strategy::BestFitBy<strategy::End::low, strategy::Measure::aligned>;
#else
using Mine = strategy::BestFitBy<strategy::End::high, strategy::Measure::aligned>;
#endif

static_assert(check_strategy<Mine>());
