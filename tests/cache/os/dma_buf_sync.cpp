#include <freestone/cache/os/dma_buf_sync.hpp>

#include <doctest/doctest.h>
#include <linux/dma-buf.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

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

TEST_CASE("a write says that it reads too, at both ends; what is cleaned outside of a bracket does not") {
  struct Kernel {
    static std::vector<std::uint64_t>& calls() {
      static std::vector<std::uint64_t> all;
      return all;
    }
    static int sync(int, std::uint64_t flags) noexcept { return calls().push_back(flags), 0; }
  };
  cache::BasicDmaBufSync<Kernel> policy;
  const auto asked = [&](auto act) {
    Kernel::calls().clear();
    CHECK(act(CacheView{.size = 100, .fd = 3}));
    return Kernel::calls();
  };
  using Flags = std::vector<std::uint64_t>;
  const std::uint64_t end = DMA_BUF_SYNC_END, read = DMA_BUF_SYNC_READ, write = DMA_BUF_SYNC_WRITE;
  for (const Access access : {Access::write, Access::read_write}) {
    CHECK(asked([&](const CacheView& view) { return policy.begin(view, access); }) == Flags{read | write});
    CHECK(asked([&](const CacheView& view) { return policy.end(view, access); }) == Flags{end | read | write});
  }
  CHECK(asked([&](const CacheView& view) { return policy.begin(view, Access::read); }) == Flags{read});
  CHECK(asked([&](const CacheView& view) { return policy.end(view, Access::read); }) == Flags{end | read});
  CHECK(asked([&](const CacheView& view) { return policy.clean(view); }) == Flags{write, end | write});
  CHECK(asked([&](const CacheView& view) { return policy.invalidate(view); }) == Flags{read, end | read});
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
