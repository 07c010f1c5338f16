#include <freestone/cache/os/dma_buf_sync.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>

#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using namespace freestone::literals;
using cache::DmaBufSync;

TEST_CASE("a file that is no dma-buf says so, and a bracket on it does not begin") {
  static_assert(CachePolicy<DmaBufSync> && std::is_empty_v<DmaBufSync> && has_bracket<DmaBufSync> &&
                needs_file<DmaBufSync>);
  using Z = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, DmaBufSync>;
  auto zone = Z::create({.name = "z", .size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  const auto refused = [](const Error& error) {
    return error.code == ErrorCode::node_failure && error.os_error == ENOTTY &&
           std::string(error.node()) == "dma-buf" && std::string(error.zone) == "z";
  };
  CHECK(refused(zone->clean(*block).error()));
  CHECK(refused(zone->invalidate(*block).error()));
  CHECK(refused(zone->cpu_write(*block).error()));
  CHECK(refused(zone->cpu_write(*block).error()));  // and is not open
  CHECK(zone->owns(*block));
}

TEST_CASE("a dma-buf is told of both ends") {
  using Z = Zone<backing::DmaHeap, strategy::Bitmap, lock::None, DmaBufSync>;
  auto zone = Z::create({.name = "frames", .size = 1_MiB}, backing::DmaHeap::Settings{});
  if (!zone) {
    REQUIRE_MESSAGE(std::getenv("FREESTONE_VM") == nullptr, "this is the guest, which has dma-heaps");
    MESSAGE("no dma-heap here (./dev vm has one)");
    return;
  }
  const auto block = zone->allocate(64_KiB);
  REQUIRE(block);
  {
    auto frame = zone->cpu_write(*block);
    REQUIRE(frame);
    std::memset(frame->data(), 0x5A, frame->size());
    CHECK(frame->end());
  }
  CHECK(zone->clean(*block));
  CHECK(zone->invalidate(*block));
  const auto seen = zone->cpu_read(*block);
  REQUIRE(seen);
  CHECK(seen->bytes()[65535] == std::byte{0x5A});
}
