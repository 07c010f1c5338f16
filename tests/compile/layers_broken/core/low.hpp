#include <cstdint>
#include <freestone/core/units.hpp>
#include <freestone/core/os/describe.hpp>  // planted: os from outside os
#include <freestone/zone/zone.hpp>         // planted: upwards
#include <string>                          // planted: hosted
#include <pthread.h>                       // planted: an operating system's
#include "freestone/core/units.hpp"        // planted: not written <freestone/...>
