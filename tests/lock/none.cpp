#include <freestone/lock/none.hpp>

#include <doctest/doctest.h>

#include <type_traits>

#include <freestone/lock/concept.hpp>

using namespace freestone;

TEST_CASE("no lock is no byte and no word") {
  static_assert(Lock<lock::None>);
  static_assert(std::is_empty_v<lock::None> && lock::None::words == 0);
  struct Holder {
    [[no_unique_address]] lock::None lock;
    int value;
  };
  CHECK(sizeof(Holder) == sizeof(int));
}
