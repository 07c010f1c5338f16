#include <freestone/core/extent.hpp>

#include <doctest/doctest.h>

using namespace freestone;

namespace {
constexpr Extent at(std::uint64_t first, std::uint64_t count) { return {Granules(first), Granules(count)}; }
}  // namespace

TEST_CASE("an extent holds its first granule, and not its end") {
  constexpr Extent extent = at(4, 3);
  CHECK(extent.end() == Granules(7));
  CHECK(!extent.contains(Granules(3)));
  CHECK(extent.contains(Granules(4)));
  CHECK(extent.contains(Granules(6)));
  CHECK(!extent.contains(Granules(7)));
  CHECK(!at(4, 0).contains(Granules(4)));
}

TEST_CASE("neighbours do not overlap") {
  CHECK(!at(0, 4).overlaps(at(4, 4)));
  CHECK(!at(4, 4).overlaps(at(0, 4)));
  CHECK(at(0, 5).overlaps(at(4, 4)));
  CHECK(at(4, 4).overlaps(at(0, 5)));
  CHECK(at(0, 10).overlaps(at(3, 1)));
  CHECK(at(3, 1).overlaps(at(0, 10)));
  CHECK(at(3, 1).overlaps(at(3, 1)));
}

TEST_CASE("geometries are told apart by each field") {
  const Geometry one{.capacity = Granules(8), .granule = 4096, .origin = Granules(1)};
  CHECK(one == Geometry{.capacity = Granules(8), .granule = 4096, .origin = Granules(1)});
  CHECK(one != Geometry{.capacity = Granules(9), .granule = 4096, .origin = Granules(1)});
  CHECK(one != Geometry{.capacity = Granules(8), .granule = 1024, .origin = Granules(1)});
  CHECK(one != Geometry{.capacity = Granules(8), .granule = 4096, .origin = Granules(0)});
}
