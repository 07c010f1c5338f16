// expects: A Strategy must have std::optional<Extent> place(Granules count, Granules align) noexcept: empty when nothing fits.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_strategy::Place;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Format<Mine>,
              parts::of_strategy::Release, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
