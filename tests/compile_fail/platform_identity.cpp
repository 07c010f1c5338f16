// expects: A Platform must have process() noexcept, whose result can be compared.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_platform::Identity;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_platform::Copy, parts::of_platform::Map, parts::of_platform::Log {};

static_assert(freestone::check_platform<Mine>());
