#include <memory_resource>
#include <freestone/zone/zone.hpp>
#include <freestone/strategy/buddy.hpp>  // planted: an adaptor sees core, zone and heap
