#include <sys/mman.h>
#include <freestone/core/os/describe.hpp>
#include <freestone/cache/concept.hpp>  // planted: a sibling
