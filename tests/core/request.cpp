#include <freestone/core/request.hpp>

#include <doctest/doctest.h>

using namespace freestone;

TEST_CASE("what is not said constrains nothing") {
  constexpr Request request{.size = 100};
  CHECK(request.size == 100);
  CHECK(request.align == 0);
  CHECK(Request().size == 0);
}
