// expects: A Strategy must have the constants std::uint32_t id, bool exact_release, bool places.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_strategy::Constants;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Footprint, parts::of_strategy::Format<Mine>, parts::of_strategy::Place,
              parts::of_strategy::Release, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
