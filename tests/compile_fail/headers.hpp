// What most of these programs include.
#include <freestone/freestone.hpp>
#include <freestone/heap/heaps.hpp>
