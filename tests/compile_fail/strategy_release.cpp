// expects: A Strategy must have Released release(Granules first) noexcept: what was given back, or why not.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_strategy::Release;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Format<Mine>,
              parts::of_strategy::Place, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
