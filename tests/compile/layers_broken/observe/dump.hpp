#include <freestone/heap/heap.hpp>  // planted: a sibling
