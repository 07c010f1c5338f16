#include <freestone/share/handle_table.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <set>
#include <unordered_set>
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

namespace {

// How often that place of a table, in which all others are used, gives handles that it has not given before.
template <std::size_t most>
std::size_t uses_until_one_comes_again(std::size_t uses) {
  static HandleTable<most> table;
  table.begin({1, 2});
  for (std::uint32_t buffer = 0; buffer + 1 < most; ++buffer) table.insert({buffer, 1, 1});
  std::unordered_set<std::uint32_t> seen;
  for (std::size_t use = 0; use < uses; ++use) {
    auto* const entry = table.insert({most, 1, use});
    const Handle handle = entry->handle;
    CHECK(table.find(handle) == entry);
    table.erase(*entry);
    if (!seen.insert(handle.value()).second) return use;
  }
  return uses;
}

}  // namespace

TEST_CASE("no handle that was freed comes back before as many others as the tag has values") {
  CHECK(uses_until_one_comes_again<40'000>(100'000) == (1U << 15) - 1);  // tags of 15 bits, but 0
  CHECK(uses_until_one_comes_again<5'000>(300'000) == (1U << 18) - 1);
  CHECK(uses_until_one_comes_again<256>(300'000) == 300'000);  // of 2^23 - 1
}

TEST_CASE("what lies in a place is there until it is erased") {
  HandleTable<3> table;
  table.begin({1, 2});
  for (std::size_t place = 0; place < 3; ++place) CHECK(table.at(place) == nullptr);
  auto* const first = table.insert({5, 1, 1});
  auto* const second = table.insert({6, 1, 1});
  CHECK(table.at(0) == first);
  CHECK(table.at(1) == second);
  CHECK(table.at(2) == nullptr);
  table.erase(*first);
  CHECK(table.at(0) == nullptr);
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
