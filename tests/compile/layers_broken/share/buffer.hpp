#include <freestone/heap/heap.hpp>
#include <freestone/device/pmem.hpp>  // planted: upwards
