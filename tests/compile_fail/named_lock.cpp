// expects: NamedBlocks with a Lock is for several threads, and asks its zone outside it: so the zone needs a Lock too.
#include <freestone/heap/named_blocks.hpp>
#include <freestone/lock/spin.hpp>
#include "parts.hpp"

using namespace freestone;
#ifdef ACCEPT
using OfZone = lock::Spin;
#else
using OfZone = lock::None;
#endif
using Z = Zone<backing::OffsetSpace, strategy::Bitmap, OfZone, cache::Coherent>;

void use(NamedBlocks<Z, lock::Spin>& names) { static_cast<void>(names.find("a")); }
