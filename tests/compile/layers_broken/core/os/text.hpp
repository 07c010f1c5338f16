#include <string>
#include <freestone/core/error.hpp>
#include <freestone/strategy/concept.hpp>  // planted: upwards, from os too
