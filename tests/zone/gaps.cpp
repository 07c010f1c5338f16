#include <freestone/zone/gaps.hpp>

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>

#include "support/map.hpp"

using namespace freestone;
using tests::extent;

namespace {

struct Gapped {
  template <class Visitor>
  constexpr void for_each_gap(Visitor&& visit) const {
    for (const auto& [offset, size] : gaps) visit(Bytes(offset), Bytes(size));
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps;
};

// Of a zone of 16 granules of 4 KiB.
struct Fixture {
  Gapped backing;
  ZoneGaps<Gapped> gaps{backing, Granules(16), 12};

  std::vector<Extent> seen() const {
    std::vector<Extent> all;
    gaps.for_each([&](Extent gap) { all.push_back(gap); });
    return all;
  }
};

}  // namespace

TEST_CASE("each granule that a gap touches, once, lowest first, and none behind the zone's end") {
  CHECK(Fixture{{}}.seen().empty());
  CHECK(Fixture{{{{4096, 8192}}}}.seen() == std::vector{extent(1, 2)});
  CHECK(Fixture{{{{4095, 2}}}}.seen() == std::vector{extent(0, 2)});
  CHECK(Fixture{{{{100, 5000}, {6000, 3000}, {8500, 10}}}}.seen() == std::vector{extent(0, 2), extent(2, 1)});
  CHECK(Fixture{{{{15 * 4096 + 1, 1 << 20}, {17 * 4096, 4096}}}}.seen() == std::vector{extent(15, 1)});
}

TEST_CASE("whether a granule is in one") {
  const Fixture f{{{{4096, 8192}, {40960, 1}}}};
  for (unsigned granule = 0; granule < 16; ++granule) CHECK(f.gaps.contain(Granules(granule)) == (granule == 1 || granule == 2 || granule == 10));
}

TEST_CASE("they are taken out of use, and then they are out") {
  const Fixture f{{{{4096, 3 * 4096}, {40960, 4096}}}};
  tests::Map<strategy::Bitmap> map(16);
  CHECK(!f.gaps.are_out(map.strategy()));
  CHECK(f.gaps.take_out(map.strategy()));
  CHECK(f.gaps.are_out(map.strategy()));
  CHECK(map.free() == 12);
  CHECK(map.place(6) == 4);
  CHECK(map.place(6) == std::nullopt);
  CHECK(f.gaps.are_out(map.strategy()));
}

TEST_CASE("a block across a gap, a gap that is free again, and one that was not to be had") {
  const Fixture f{{{{4096, 8192}}}};
  tests::Map<strategy::Bitmap> across(16), given_back(16);
  CHECK(across.place_at(0, 2));
  CHECK(!f.gaps.take_out(across.strategy()));
  CHECK(!f.gaps.are_out(across.strategy()));
  CHECK(f.gaps.take_out(given_back.strategy()));
  CHECK(given_back.release(1) == 2);
  CHECK(!f.gaps.are_out(given_back.strategy()));
}

TEST_CASE("a strategy that rounds has them in pieces") {
  const Fixture f{{{{4096, 3 * 4096}}}};
  tests::Map<strategy::Buddy> map(16);
  CHECK(f.gaps.take_out(map.strategy()));
  CHECK(f.gaps.are_out(map.strategy()));
  CHECK(map.free() == 13);
  CHECK(map.place(1) == 0);
}
