#include <freestone/core/cacheability.hpp>

#include <doctest/doctest.h>

using namespace freestone;

TEST_CASE("two ways that a CPU sees bytes") { CHECK(Cacheability::cached != Cacheability::uncached); }
