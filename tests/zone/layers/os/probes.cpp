#include <freestone/zone/layers/os/probes.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/sized.hpp>

#include "support/zones.hpp"

using namespace freestone;
using layers::PowerOfTwoSizes;
using layers::Probes;
using layers::Sized;
using tests::code_of;
using tests::Numbers;

static_assert(sizeof(Probes<Numbers<strategy::Bitmap>>) == sizeof(Numbers<strategy::Bitmap>));
#ifdef FREESTONE_PROBE
#error "the macro is the header's own"
#endif

namespace {

// The layer changes nothing.
template <class Z>
void check_life(Result<Z> zone) {
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 5000, .tag = 3});
  REQUIRE(block);
  CHECK(block->size() == 8_KiB);
  Z moved = std::move(*zone);
  REQUIRE(moved.deallocate(*block));
  CHECK(tests::code_of_unchanging(moved, [&] { return moved.deallocate(*block); }) != ErrorCode::none);
  CHECK(tests::code_of_unchanging(moved, [&] { return moved.allocate(0); }) == ErrorCode::zero_size);
}

}  // namespace

TEST_CASE("a zone with probes is the zone, over any strategy and backing, in and round another layer") {
  const ZoneOptions options{.size = 1_MiB};
  const PowerOfTwoSizes rule;
  check_life(Probes<Numbers<strategy::Bitmap>>::create(options));
  check_life(Probes<Numbers<strategy::Buddy>>::create(options));
  check_life(Probes<Numbers<strategy::Segregated>>::create(options));
  check_life(Probes<Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>>::create(options));
  check_life(Probes<Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>>::create(options));
  check_life(Probes<Sized<Numbers<strategy::Bitmap>, PowerOfTwoSizes>>::create(options, rule));
  check_life(Sized<Probes<Numbers<strategy::Bitmap>>, PowerOfTwoSizes>::create(options, rule));
}

TEST_CASE("resize, lists and recoveries too") {
  auto zone = Probes<Numbers<strategy::BestFit>>::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(1);
  REQUIRE(block);
  CHECK(zone->resize(*block, 5000)->size() == 8_KiB);
  CHECK(code_of(zone->resize(*block, 1_MiB)) == ErrorCode::size_beyond_zone);
  auto lists = Probes<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>>::create({.size = 64_KiB});
  REQUIRE(lists);
  std::array<Block, 8> out;
  CHECK(lists->allocate_list({.size = 20_KiB}, out)->size() == 3);
  CHECK(code_of(lists->allocate_list({.size = 20_KiB}, {})) == ErrorCode::list_too_short);
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto shared = Probes<Shared>::create({.size = 64_KiB});
  REQUIRE(shared);
  REQUIRE(shared->allocate(1));
  CHECK(shared->recover([](auto) { return false; }).dropped == 1);
  CHECK(code_of(shared->deallocate_at(0)) == ErrorCode::double_release);
}

TEST_CASE("this program lists each probe, where the compiler found <sys/sdt.h>") {
  std::ifstream file("/proc/self/exe", std::ios::binary | std::ios::ate);
  std::string program(static_cast<std::size_t>(file.tellg()), '\0');
  REQUIRE(file.seekg(0).read(program.data(), static_cast<std::streamsize>(program.size())));
  for (const char* name : {"allocate", "deallocate", "resize", "refused"}) {
    // In its .note.stapsdt: provider, name, and the arguments, first of which is a pointer.
    const std::string note = std::string("freestone") + '\0' + name + '\0' + (sizeof(void*) == 8 ? "8@" : "4@");
    const bool is_listed = memmem(program.data(), program.size(), note.data(), note.size()) != nullptr;
    CHECK(is_listed == Probes<Numbers<strategy::Bitmap>>::are_there);
  }
}
