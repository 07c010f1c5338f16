#include <boost/hana/tuple.hpp>
#include <freestone/zone/zone.hpp>
#include <freestone/observe/dump.hpp>  // planted: a sibling
