// expects: A Platform must have log(const char*) noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_platform::Log;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_platform::Copy, parts::of_platform::Map, parts::of_platform::Identity {};

static_assert(freestone::check_platform<Mine>());
