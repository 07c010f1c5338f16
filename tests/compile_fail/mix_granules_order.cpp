// expects: from 'freestone::Granules' to 'freestone::Order'
#include <freestone/core/units.hpp>

using namespace freestone;

Order larger(Order order) { return Order(order.value() + 1); }

#ifdef ACCEPT
Order next = larger(Order(3));
#else
Order next = larger(Granules(8));
#endif
