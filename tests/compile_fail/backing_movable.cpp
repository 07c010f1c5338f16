// expects: A Backing must be movable: the zone keeps it.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::Nothing;
#else
using Part = parts::NotMovable;
#endif

struct Mine : Part, parts::of_backing::Constants, parts::of_backing::Range {};

static_assert(freestone::check_backing<Mine>());
