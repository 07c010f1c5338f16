// The same of those that serve whole boards.
#include "unit.hpp"

#include "../support/device_scene_over.hpp"
