#include <freestone/share/map_counts.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

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

TEST_CASE("who says how he wants it cached maps it so, or not at all") {
  std::uint32_t word = 0;
  MapCounts maps(word);
  maps.begin(Cacheability::cached);
  CHECK(maps.map(Mapper::device, Cacheability::uncached) == ErrorCode::none);
  CHECK(maps.cacheability() == Cacheability::uncached);
  CHECK(maps.map(Mapper::cpu, Cacheability::cached) == ErrorCode::still_mapped);
  CHECK(maps.count(Mapper::cpu) == 0);
  CHECK(maps.map(Mapper::cpu, Cacheability::uncached) == ErrorCode::none);
  CHECK(maps.map(Mapper::cpu) == ErrorCode::none);
  CHECK(maps.count(Mapper::cpu) == 2);
  CHECK(maps.count(Mapper::device) == 1);
}

TEST_CASE("a number that is no cacheability changes nothing") {
  for (const int number : {3, 4, 5, 7, 128, 255}) {
    const auto bad = static_cast<Cacheability>(number);
    CHECK(!is_known(bad));
    std::uint32_t word = 0;
    MapCounts maps(word);
    maps.begin(Cacheability::uncached);
    const std::uint32_t before = word;
    CHECK(maps.set_cacheability(bad) == ErrorCode::bad_cacheability);
    CHECK(maps.map(Mapper::cpu, bad) == ErrorCode::bad_cacheability);
    CHECK(word == before);
  }
}

TEST_CASE("a new buffer is not mapped, whatever lay in its place, and as its maker says") {
  for (const Cacheability seen : {Cacheability::cached, Cacheability::write_combined, Cacheability::uncached}) {
    std::uint32_t word = ~std::uint32_t{0};
    MapCounts maps(word);
    maps.begin(seen);
    CHECK(maps.cacheability() == seen);
    CHECK(maps.count(Mapper::cpu) == 0);
    CHECK(maps.count(Mapper::device) == 0);
    CHECK(maps.map(Mapper::device) == ErrorCode::none);
    MapCounts another(word);  // a view of the same
    CHECK(another.count(Mapper::device) == 1);
  }
}

TEST_CASE("whoever maps and unmaps however often at once, the counts are the model's, and a failure changes none") {
  Random random(seed());
  for (int round = 0; round < 10; ++round) {
    std::uint32_t word = 0;
    MapCounts maps(word);
    maps.begin(Cacheability::cached);
    Cacheability seen = Cacheability::cached;
    std::uint32_t counts[2] = {0, 0};
    const std::uint64_t liking = random.from_to(1, 9);  // for mapping: so both ends come
    for (int step = 0; step < 50'000; ++step) {
      const auto mapper = static_cast<Mapper>(random.below(2));
      std::uint32_t& count = counts[static_cast<int>(mapper)];
      const auto what = random.below(12);
      if (what < liking && random.chance(10)) {
        const auto wanted = static_cast<Cacheability>(random.below(3));
        const bool may = wanted == seen || counts[0] + counts[1] == 0;
        const bool can = may && count < MapCounts<>::most;
        REQUIRE(maps.map(mapper, wanted) == (can ? ErrorCode::none : may ? ErrorCode::too_many_maps : ErrorCode::still_mapped));
        seen = can ? wanted : seen;
        count += can;
      } else if (what < liking) {
        const bool can = count < MapCounts<>::most;
        REQUIRE(maps.map(mapper) == (can ? ErrorCode::none : ErrorCode::too_many_maps));
        count += can;
      } else if (what < 10) {
        const auto most = random.chance(1) ? MapCounts<>::most : std::uint32_t{3};
        const auto times = static_cast<std::uint32_t>(random.below(most + 1));
        const bool can = times <= count;
        REQUIRE(maps.unmap(mapper, times) == (can ? ErrorCode::none : ErrorCode::not_mapped));
        count -= can ? times : 0;
      } else {
        const auto wanted = static_cast<Cacheability>(random.below(3));
        const bool can = wanted == seen || counts[0] + counts[1] == 0;
        REQUIRE(maps.set_cacheability(wanted) == (can ? ErrorCode::none : ErrorCode::still_mapped));
        seen = can ? wanted : seen;
      }
      REQUIRE(maps.count(Mapper::cpu) == counts[0]);
      REQUIRE(maps.count(Mapper::device) == counts[1]);
      REQUIRE(maps.cacheability() == seen);
    }
  }
}
