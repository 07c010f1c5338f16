// expects: A CachePolicy must have the constant Cacheability cacheability.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_cache::Constants;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_cache::Maintenance {};

static_assert(freestone::check_cache_policy<Mine>());
