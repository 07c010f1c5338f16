// expects: A Strategy must have length_of(Granules), free_granules(), largest_free(), all const noexcept and of type Granules, and for_each_block(visitor) const.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_strategy::Tell;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Format<Mine>,
              parts::of_strategy::Place, parts::of_strategy::Release {};

static_assert(freestone::check_strategy<Mine>());
