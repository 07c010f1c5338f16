// expects: OrderList takes at least one order, the largest first, each once and below 64.
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = strategy::OrderList<strategy::Buddy, 8, 4, 0>;
#else
using Mine = strategy::OrderList<strategy::Buddy, 8, 0, 4>;
#endif

static_assert(check_strategy<Mine>());
