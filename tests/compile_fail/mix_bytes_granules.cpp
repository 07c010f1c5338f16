// expects: from 'freestone::Bytes' to 'freestone::Granules'
#include <freestone/core/units.hpp>

using namespace freestone;

Granules take(Granules count) { return count; }

#ifdef ACCEPT
Granules taken = take(Granules(4096 >> 12));
#else
Granules taken = take(4096_B);
#endif
