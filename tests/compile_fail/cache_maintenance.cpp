// expects: A CachePolicy must have Result<void> clean(const CacheView&) noexcept and Result<void> invalidate(const CacheView&) noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_cache::Maintenance;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_cache::Constants {};

static_assert(freestone::check_cache_policy<Mine>());
