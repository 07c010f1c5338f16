// expects: A Backing must have the constant bool shared and static constexpr bool gives(Cacheability).
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_backing::Constants;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_backing::Range {};

static_assert(freestone::check_backing<Mine>());
