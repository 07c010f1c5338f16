#include <freestone/share/free_places.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("a place that went is used again after all others that are free") {
  FreePlaces<3> places;
  CHECK(*places.take() == 0);
  CHECK(*places.take() == 1);
  places.put(0);
  CHECK(*places.take() == 2);
  CHECK(*places.take() == 0);
  CHECK(!places.take());
  places.put(2);
  places.put(1);
  places.put(0);
  CHECK(places.used() == 0);
  for (const std::uint32_t wanted : {2U, 1U, 0U}) CHECK(*places.take() == wanted);
}

TEST_CASE("there may be one place, and it is all decided when it is compiled") {
  constexpr bool holds = [] {
    FreePlaces<1> one;
    if (one.used() != 0 || one.take() != std::uint32_t{0} || one.take() || one.used() != 1) return false;
    one.put(0);
    return one.used() == 0 && one.take() == std::uint32_t{0};
  }();
  static_assert(holds);
}

TEST_CASE("whatever is taken and put, the places are a queue's") {
  Random random(seed());
  for (int round = 0; round < 50; ++round) {
    FreePlaces<7> places;
    std::deque<std::uint32_t> free = {0, 1, 2, 3, 4, 5, 6};
    std::vector<std::uint32_t> taken;
    const std::uint64_t liking = random.from_to(30, 70);
    for (int step = 0; step < 500; ++step) {
      if (random.chance(liking)) {
        const auto place = places.take();
        REQUIRE(static_cast<bool>(place) == !free.empty());
        if (!place) continue;
        REQUIRE(*place == free.front());
        free.pop_front();
        taken.push_back(*place);
      } else if (!taken.empty()) {
        std::swap(taken[static_cast<std::size_t>(random.below(taken.size()))], taken.back());
        places.put(taken.back());
        free.push_back(taken.back());
        taken.pop_back();
      }
      REQUIRE(places.used() == taken.size());
    }
  }
}
