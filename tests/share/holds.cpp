#include <freestone/share/holds.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using namespace freestone;

TEST_CASE("the last of several takes it apart, and nobody gets it after that") {
  std::uint32_t word = 0;
  Holds holds(word);
  const std::uint32_t first = holds.begin();
  CHECK(holds.count() == 1);
  CHECK(holds.take(first) == Holds<>::Taken::yes);
  CHECK(holds.take(first + 1) == Holds<>::Taken::gone);
  CHECK(!holds.drop());
  CHECK(holds.drop());
  CHECK(holds.take(first) == Holds<>::Taken::gone);
  const std::uint32_t second = holds.begin();
  CHECK(second != first);
  CHECK(holds.take(first) == Holds<>::Taken::gone);
  CHECK(holds.take(second) == Holds<>::Taken::yes);
}

TEST_CASE("full is full, and generations go round") {
  std::uint32_t word = 0;
  Holds holds(word);
  const std::uint32_t generation = holds.begin();
  for (std::uint32_t more = 1; more < Holds<>::most; ++more) REQUIRE(holds.take(generation) == Holds<>::Taken::yes);
  CHECK(holds.take(generation) == Holds<>::Taken::full);
  CHECK(holds.count() == Holds<>::most);
  for (std::uint32_t less = 1; less < Holds<>::most; ++less) REQUIRE(!holds.drop());
  REQUIRE(holds.drop());
  for (std::uint32_t again = 1; again < Holds<>::most_generations; ++again) {
    REQUIRE(holds.begin() != generation);
    REQUIRE(holds.drop());
  }
  CHECK(holds.begin() == generation);
}
