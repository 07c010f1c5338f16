#include <freestone/share/handle_table.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("whatever comes and goes, each handle leads to its buffer and no other number does") {
  Random random(seed());
  HandleTable<7> table;
  for (int client = 0; client < 30; ++client) {
    table.begin({random.next(), random.next()});
    std::map<std::uint32_t, BufferId> live;
    std::vector<std::uint32_t> old;
    for (int step = 0; step < 500; ++step) {
      const BufferId buffer{static_cast<std::uint32_t>(random.below(20)), 1, random.below(2)};
      auto* const had = table.find(buffer);
      if (random.chance(50)) {
        if (had != nullptr) continue;
        auto* const entry = table.insert(buffer);
        REQUIRE((entry == nullptr) == (live.size() == 7));
        if (entry == nullptr) continue;
        CHECK(entry->references == 0);
        CHECK(entry->handle);
        CHECK(entry->handle.value() < 0x8000'0000U);
        CHECK(live.emplace(entry->handle.value(), buffer).second);
      } else if (had != nullptr) {
        CHECK(live.at(had->handle.value()) == buffer);
        live.erase(had->handle.value());
        old.push_back(had->handle.value());
        table.erase(*had);
        CHECK(table.find(buffer) == nullptr);
      }
      REQUIRE(table.count() == live.size());
      for (const auto& [value, wanted] : live) REQUIRE(table.find(Handle(value))->buffer == wanted);
      for (const std::uint32_t value : old) REQUIRE((live.count(value) == 1) == (table.find(Handle(value)) != nullptr));
    }
    CHECK(table.find(Handle()) == nullptr);
    std::set<std::uint32_t> visited;
    table.for_each([&](auto& entry) {
      visited.insert(entry.handle.value());
      table.erase(entry);
    });
    CHECK(visited.size() == live.size());
    CHECK(table.count() == 0);
  }
}

TEST_CASE("a table of one") {
  HandleTable<1> table;
  table.begin({1, 2});
  auto* const entry = table.insert({3, 4, 5});
  REQUIRE(entry != nullptr);
  CHECK(table.insert({4, 4, 5}) == nullptr);
  const Handle handle = entry->handle;
  table.erase(*entry);
  CHECK(table.find(handle) == nullptr);
  CHECK(table.insert({3, 4, 5})->handle != handle);
}

TEST_CASE("the same uses of two clients give no number twice") {
  HandleTable<16> one, other;
  one.begin(derived_key({1, 2}, 1));
  other.begin(derived_key({1, 2}, 2));
  std::set<std::uint32_t> seen;
  for (std::uint32_t buffer = 0; buffer < 16; ++buffer) {
    seen.insert(one.insert({buffer, 1, 1})->handle.value());
    seen.insert(other.insert({buffer, 1, 1})->handle.value());
  }
  CHECK(seen.size() == 32);
}
