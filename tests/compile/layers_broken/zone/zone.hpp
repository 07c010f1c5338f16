#include <freestone/strategy/concept.hpp>
#include <freestone/strategy/ledger.hpp>
#include <freestone/strategy/bitmap.hpp>  // planted: a policy, not its concept
#include <freestone/heap/heap.hpp>        // planted: upwards
