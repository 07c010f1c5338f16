#include <freestone/share/holds.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include <freestone/share/free_places.hpp>
#include <freestone/share/map_counts.hpp>

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

TEST_CASE("mappings are counted by who maps, and fix how it is cached") {
  std::uint32_t word = 0;
  MapCounts maps(word);
  maps.begin(Cacheability::write_combined);
  CHECK(maps.cacheability() == Cacheability::write_combined);
  CHECK(maps.unmap(Mapper::cpu) == ErrorCode::not_mapped);
  CHECK(maps.set_cacheability(Cacheability::uncached) == ErrorCode::none);
  CHECK(maps.map(Mapper::device) == ErrorCode::none);
  CHECK(maps.unmap(Mapper::cpu) == ErrorCode::not_mapped);
  CHECK(maps.set_cacheability(Cacheability::cached) == ErrorCode::still_mapped);
  CHECK(maps.set_cacheability(Cacheability::uncached) == ErrorCode::none);
  for (std::uint32_t more = 0; more < MapCounts<>::most; ++more) REQUIRE(maps.map(Mapper::cpu) == ErrorCode::none);
  CHECK(maps.map(Mapper::cpu) == ErrorCode::too_many_maps);
  CHECK(maps.count(Mapper::cpu) == MapCounts<>::most);
  CHECK(maps.count(Mapper::device) == 1);
  CHECK(maps.cacheability() == Cacheability::uncached);
  CHECK(maps.unmap(Mapper::cpu, MapCounts<>::most) == ErrorCode::none);
  CHECK(maps.unmap(Mapper::device, 2) == ErrorCode::not_mapped);
  CHECK(maps.unmap(Mapper::device) == ErrorCode::none);
  CHECK(maps.unmap(Mapper::device, 0) == ErrorCode::none);
  CHECK(maps.set_cacheability(Cacheability::cached) == ErrorCode::none);
}

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
