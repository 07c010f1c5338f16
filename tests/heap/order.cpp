#include <freestone/heap/order.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

template <class O>
std::vector<unsigned> asked(const std::vector<unsigned>& ids) {
  std::vector<HeapTraits> heaps;
  for (const unsigned id : ids) heaps.push_back({.id = id});
  std::vector<std::uint8_t> places(ids.size());
  arrange<O>(heaps, places);
  std::vector<unsigned> out;
  for (const std::uint8_t place : places) out.push_back(ids[place]);
  return out;
}

// Each heap once, lower ranks first, and equals as they were declared.
template <class O>
bool is_an_order(const std::vector<unsigned>& ids) {
  std::vector<HeapTraits> heaps;
  for (const unsigned id : ids) heaps.push_back({.id = id});
  std::vector<std::uint8_t> places(ids.size());
  arrange<O>(heaps, places);
  std::vector<std::uint8_t> sorted = places;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != i) return false;
  }
  for (std::size_t i = 1; i < places.size(); ++i) {
    const auto before = O::rank(heaps[places[i - 1]], places[i - 1]);
    const auto after = O::rank(heaps[places[i]], places[i]);
    if (before > after || (before == after && places[i - 1] > places[i])) return false;
  }
  return true;
}

struct EvenFirst {
  static constexpr std::uint64_t rank(const HeapTraits& heap, std::size_t) noexcept { return heap.id % 2; }
};

}  // namespace

TEST_CASE("the orders of the four systems") {
  const std::vector<unsigned> ids = {20, 28, 3, 63, 0};
  CHECK(asked<order::Declared>(ids) == ids);
  CHECK(asked<order::AscendingId>(ids) == std::vector<unsigned>{0, 3, 20, 28, 63});
  CHECK(asked<order::DescendingId>(ids) == std::vector<unsigned>{63, 28, 20, 3, 0});
  CHECK(asked<order::NewestFirst>(ids) == std::vector<unsigned>{0, 63, 3, 28, 20});
  CHECK(asked<EvenFirst>(ids) == std::vector<unsigned>{20, 28, 0, 3, 63});
}

TEST_CASE("laws of every order") {
  Random random(seed());
  for (int round = 0; round < 500; ++round) {
    std::vector<unsigned> ids(static_cast<std::size_t>(random.below(65)));
    for (unsigned& id : ids) id = static_cast<unsigned>(random.below(64));
    CHECK(is_an_order<order::Declared>(ids));
    CHECK(is_an_order<order::AscendingId>(ids));
    CHECK(is_an_order<order::DescendingId>(ids));
    CHECK(is_an_order<order::NewestFirst>(ids));
    CHECK(is_an_order<EvenFirst>(ids));
  }
}
