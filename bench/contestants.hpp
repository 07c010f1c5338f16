#pragma once

#include <memory>
#include <string>
#include <vector>

#include "contestant.hpp"

namespace freestone::bench {

using Contestants = std::vector<std::unique_ptr<Contestant>>;

// Those named, in the roster's order; all where no name is given. Throws BadInput for a name that is not there.
Contestants pick_contestants(const std::vector<std::string>& names);

}  // namespace freestone::bench
