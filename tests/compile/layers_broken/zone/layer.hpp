#include <freestone/strategy/bitmap.hpp>
#include <freestone/platform/bare/board.hpp>  // planted: the platform
