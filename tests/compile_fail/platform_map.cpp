// expects: A Platform must have a type Mapping, Result<void> map(Mapping&, Block) noexcept and revoke(Block) noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_platform::Map;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_platform::Copy, parts::of_platform::Identity, parts::of_platform::Log {};

static_assert(freestone::check_platform<Mine>());
