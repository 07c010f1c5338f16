#include <freestone/core/stats.hpp>

#include <doctest/doctest.h>

using namespace freestone;

TEST_CASE("stats are told apart by each field") {
  const Stats stats{.capacity = 6, .used = 5, .free = 4, .largest_free = 3, .blocks = 2, .metadata = 1};
  const auto with = [&](auto change) {
    Stats other = stats;
    change(other);
    return other;
  };
  CHECK(stats == with([](Stats&) {}));
  CHECK(stats != with([](Stats& s) { s.capacity = 0; }));
  CHECK(stats != with([](Stats& s) { s.used = 0; }));
  CHECK(stats != with([](Stats& s) { s.free = 0; }));
  CHECK(stats != with([](Stats& s) { s.largest_free = 0; }));
  CHECK(stats != with([](Stats& s) { s.blocks = 0; }));
  CHECK(stats != with([](Stats& s) { s.metadata = 0; }));
}
