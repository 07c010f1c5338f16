#include <freestone/backing/reserved.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>

#include <freestone/cache/uncached.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using backing::Reserved;

namespace {

using BoardZone = Zone<Reserved, strategy::Bitmap, lock::None, cache::Uncached>;

// As a board has it: no code runs before main for it.
std::array<std::uint64_t, BoardZone::notes_words(1_MiB, 4_KiB)> words;
constinit Reserved carve_out({.physical = PhysicalAddress(0x1'2000'0000), .size = 1_MiB, .cpu = 0x2000'0000}, words);

}  // namespace

TEST_CASE("a window has a physical address, and a pointer where the CPU sees it") {
  CHECK(carve_out.base() == 0x1'2000'0000);
  CHECK(carve_out.size() == 1_MiB);
  CHECK(carve_out.notes().data() == words.data());
  CHECK(carve_out.physical_address(5) == PhysicalAddress(0x1'2000'0005));
  CHECK(carve_out.cpu_pointer(5) == reinterpret_cast<CpuPointer>(std::uintptr_t{0x2000'0005}));
  const Reserved unseen({.physical = PhysicalAddress(0), .size = 4_KiB}, words);
  CHECK_FALSE(unseen.cpu_pointer(0));
  const Reserved at_zero({.physical = PhysicalAddress(4096), .size = 4_KiB, .cpu = 0}, words);
  CHECK(at_zero.cpu_pointer(0));
}

TEST_CASE("a zone over it gives views of both kinds, aligned as the physical address is") {
  alignas(4096) static std::array<std::byte, 16384> memory{};
  const Reserved::Window window{.physical = PhysicalAddress(0x9000'1000),
                                .size = memory.size(),
                                .cpu = reinterpret_cast<std::uintptr_t>(memory.data())};
  auto zone = BoardZone::create({.name = "camera"}, Reserved(window, words));
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 4096, .align = 8192});
  REQUIRE(block);
  CHECK(zone->physical_address(*block) == PhysicalAddress(0x9000'2000));
  CHECK(zone->data(*block).data() == memory.data() + 4096);
  zone->data(*block)[0] = std::byte{7};
  CHECK(memory[4096] == std::byte{7});
}

static_assert([] {
  std::array<std::uint64_t, 100> notes{};
  const Reserved window({.physical = PhysicalAddress(0x8000'0000), .size = 8_MiB, .cpu = 0x8000'0000}, notes);
  auto zone = Zone<Reserved, strategy::Bitmap, lock::None, cache::Uncached>::create({.granule = 1_MiB}, window);
  if (!zone || !zone->allocate(3_MiB)) return false;
  const auto block = zone->allocate({.size = 2_MiB, .align = 4_MiB});
  return block && zone->physical_address(*block) == PhysicalAddress(0x8040'0000);
}());
