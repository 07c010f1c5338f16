// expects: A ZoneRef is of a zone, or of a layer round one: of several zones that look like one, take one each.
#include <freestone/heap/fallback.hpp>
#include <freestone/zone/zone_ref.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
ZoneRef of(Fallback<Numbers, Numbers>& both) { return both.zone<0>(); }
#else
ZoneRef of(Fallback<Numbers, Numbers>& both) { return both; }
#endif
