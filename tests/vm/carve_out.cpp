// What only a machine with a carve-out can show: memory that the kernel left alone (memmap= of its command line) under
// a zone, through the real /dev/mem.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <freestone/backing/os/reserved.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using backing::DevMem;

namespace {

std::uint64_t carve_out() {
  std::ifstream file("/proc/cmdline");
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  const std::size_t base = line.find('$');
  REQUIRE(base != std::string::npos);
  return std::strtoull(line.c_str() + base + 1, nullptr, 0);
}

}  // namespace

TEST_CASE("a zone over a carve-out, and its blocks under their physical addresses") {
  const std::uint64_t base = carve_out();
  auto zone = Zone<DevMem, strategy::Bitmap, lock::None, cache::Uncached>::create(
      {.name = "carve-out", .size = 1_MiB}, DevMem::Settings{.base = PhysicalAddress(base)});
  if (!zone) FAIL(describe(zone.error()));
  REQUIRE(zone->allocate({.size = 4096}));
  auto block = zone->allocate({.size = 8192, .align = 64_KiB});
  REQUIRE(block);
  const auto address = zone->physical_address(*block);
  REQUIRE(address == PhysicalAddress(base + 65'536));
  for (std::byte& byte : zone->data(*block)) byte = std::byte{0x5A};
  auto again = DevMem::create({.size = 8192, .granule = 4096}, {.base = *address});
  REQUIRE(again);
  CHECK(*again->cpu_pointer(0) != zone->data(*block).data());
  CHECK(**again->cpu_pointer(0) == std::byte{0x5A});
  CHECK(**again->cpu_pointer(8191) == std::byte{0x5A});
  CHECK(zone->deallocate(*block));
}

TEST_CASE("what the kernel uses itself is no zone's") {
  const auto made =
      DevMem::create({.name = "kernel", .size = 4096, .granule = 4096}, {.base = PhysicalAddress(carve_out() - 4096)});
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::no_access);
  CHECK(made.error().node() == std::string("/dev/mem"));
}
