// expects: A CachePolicy must be default-constructible and copyable.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::Nothing;
#else
using Part = parts::NotCopyable;
#endif

struct Mine : Part, parts::of_cache::Constants, parts::of_cache::Maintenance {};

static_assert(freestone::check_cache_policy<Mine>());
