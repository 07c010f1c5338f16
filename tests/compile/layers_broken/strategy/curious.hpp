#include <freestone/core/extent.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/backing/concept.hpp>  // planted: a sibling
#  include <atomic>                       // planted: hosted, spaces in the directive
