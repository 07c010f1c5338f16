// ION of generation G4, row by row of the specification's checklist (shared/spec: ION 8).
#include <freestone/device/ion.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "support/device_calls.hpp"
#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "16M"}, HeapText{"contig", 1, "system_contig", "4M"},
                                   HeapText{"carveout", 2, "carveout", "1M"}, HeapText{"chunk", 3, "chunk", "1M", "64K"},
                                   HeapText{"cma", 4, "cma", "2M"});

constexpr Command alloc{0xC0184900};
constexpr Command query{0xC0184908};
constexpr std::uint64_t argument = Caller::start + 0x100;
constexpr std::size_t place = 0x100;

struct Allocation {
  std::uint64_t length;
  std::uint32_t mask;
  std::uint32_t flags = 0;
  std::uint32_t fd = 0x55555555;
  std::uint32_t unused = 0x66666666;
};
struct Query {
  std::uint32_t count = 0;
  std::uint32_t reserved0 = 0;
  std::uint64_t heaps = 0;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
};
struct Record {
  char name[32];
  std::uint32_t type, id, reserved[3];
};
static_assert(sizeof(Record) == 52);

using Buffer = DeviceScene::Buffer;

struct Opened {
  explicit Opened(WordSize word = WordSize::bits64) : caller(word) {}

  Answer allocate(std::uint64_t length, std::uint32_t mask) {
    caller.put(place, Allocation{length, mask});
    return ion.ioctl(caller, alloc, argument);
  }
  std::string_view heap_of_last() {
    const auto& file = *static_cast<Buffer*>(caller.files.back().file.get());
    for (auto& heap : scene.heaps) {
      if (heap.info().id == file.buffer().parts().heap) return heap.info().name;
    }
    return "";
  }
  Answer ask(const Query& wanted) {
    caller.put(place, wanted);
    return ion.ioctl(caller, query, argument);
  }

  DeviceScene scene{board};
  Caller caller;
  DeviceScene::Ion ion = scene.open_ion();
};

}  // namespace

TEST_CASE("row 1: numbers; unknown ones are ENOTTY, too long ones EINVAL, both after the copy's EFAULT as they come") {
  Opened opened;
  auto& caller = opened.caller;
  for (const std::uint32_t code : {0xC0184901U, 0xC0104900U, 0xC0144900U, 0xC0184800U, 0x80184900U, 0x40184900U, 0U,
                                   0xC0044905U, 0xC0084902U, 0xC0084904U, 0xC0084907U, 0xC0104906U})
    CHECK(opened.ion.ioctl(caller, Command{code}, argument) == Errno::no_such_command);
  CHECK(opened.ion.ioctl(caller, Command{0xC0204900}, argument) == Errno::invalid);  // ALLOC of older generations
  CHECK(opened.ion.ioctl(caller, Command{0xC0194900}, argument) == Errno::invalid);
  CHECK(opened.ion.ioctl(caller, Command{0xFFFF4900}, argument) == Errno::invalid);
  CHECK(opened.ion.ioctl(caller, Command{0xC0184901}, 0) == Errno::fault);
  CHECK(opened.ion.ioctl(caller, Command{0x80184901}, 0) == Errno::no_such_command);  // nothing is handed in
  CHECK(caller.copies_out == 0);
}

TEST_CASE("row 2: the probe of user-space libraries, FREE of handle 0, is ENOTTY") {
  Opened opened;
  opened.caller.put(place, std::uint32_t{0});
  CHECK(opened.ion.ioctl(opened.caller, Command{0xC0044901}, argument) == Errno::no_such_command);
}

TEST_CASE("row 5: of several heaps the one with the highest id is asked first, then the next; none is ENODEV") {
  Opened opened;
  const auto all = 0x1fU;
  REQUIRE(opened.allocate(1 << 20, all) == done);
  CHECK(opened.heap_of_last() == "cma");
  REQUIRE(opened.allocate(1 << 20, all) == done);
  CHECK(opened.heap_of_last() == "cma");
  REQUIRE(opened.allocate(1 << 20, all) == done);
  CHECK(opened.heap_of_last() == "chunk");
  REQUIRE(opened.allocate(1 << 20, all) == done);
  CHECK(opened.heap_of_last() == "carveout");
  REQUIRE(opened.allocate(1 << 20, 0b101) == done);
  CHECK(opened.heap_of_last() == "system");
  CHECK(opened.allocate(1 << 20, 0b11100) == Errno::no_memory);
  CHECK(opened.allocate(1 << 20, 0) == Errno::no_device);
  CHECK(opened.allocate(1 << 20, 0xffffffe0U) == Errno::no_device);
  CHECK(opened.allocate(1 << 20, 0xffffffffU) == done);
}

TEST_CASE("row 6: lengths are rounded up to pages first; 0 and what wraps are EINVAL, what no heap has ENOMEM") {
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    Opened opened(word);
    for (const std::uint64_t length : {0ULL, ~0ULL, ~0ULL - 4094})
      CHECK(opened.allocate(length, 0x1f) == Errno::invalid);
    for (const std::uint64_t length : {~0ULL - 4095, 1ULL << 63, 1ULL << 32, (8ULL << 20) + 1, 4ULL << 30})
      CHECK(opened.allocate(length, 0x1f) == Errno::no_memory);
    CHECK(opened.caller.files.empty());
    CHECK(opened.scene.device.buffer_count() == 0);
    REQUIRE(opened.allocate(1, 1) == done);
    CHECK(static_cast<Buffer*>(opened.caller.files[0].file.get())->size() == 4096);
    CHECK(opened.caller.get<Allocation>(place).length == 1);  // goes back as it came
    CHECK(opened.caller.get<Allocation>(place).unused == 0x66666666);
    CHECK(opened.caller.get<Allocation>(place).fd == Caller::first_fd);
    CHECK(opened.caller.files[0].flags.closes_on_exec());
    CHECK(opened.caller.files[0].flags.access() == OpenFlags::read_write);
  }
}

TEST_CASE("the system heap's blocks go down in orders 8, 4, 0; the others' are one, or of one size") {
  Opened opened;
  REQUIRE(opened.allocate((1 << 20) + (64 << 10) + (12 << 10), 1) == done);  // the specification's example, ION 3.1
  const auto blocks = static_cast<Buffer*>(opened.caller.files[0].file.get())->buffer().parts().list();
  REQUIRE(blocks.size() == 5);
  const std::uint64_t sizes[] = {1 << 20, 64 << 10, 4096, 4096, 4096};
  for (std::size_t at = 0; at < 5; ++at) CHECK(blocks[at].size() == sizes[at]);
  REQUIRE(opened.allocate(200 << 10, 1 << 3) == done);  // 64K each, as many as it takes
  const auto& chunks = static_cast<Buffer*>(opened.caller.files[1].file.get())->buffer().parts();
  CHECK(chunks.size == 256 << 10);
  REQUIRE(opened.allocate(200 << 10, 1 << 2) == done);
  CHECK(static_cast<Buffer*>(opened.caller.files[2].file.get())->buffer().parts().list().size() == 1);
}

TEST_CASE("the chunk heap's blocks need not be neighbours: what is free in pieces is given (ION 3.6)") {
  Opened opened;
  for (int chunk = 0; chunk < 16; ++chunk) REQUIRE(opened.allocate(64 << 10, 1 << 3) == done);
  for (std::size_t chunk = 0; chunk < 16; chunk += 2) opened.caller.files[chunk].file.reset();
  CHECK(opened.allocate((512 << 10) + 1, 1 << 3) == Errno::no_memory);
  REQUIRE(opened.allocate(512 << 10, 1 << 3) == done);
  CHECK(static_cast<Buffer*>(opened.caller.files.back().file.get())->buffer().parts().list().size() == 8);
  CHECK(opened.scene.free_bytes("chunk") == 0);
  opened.caller.files.clear();
  CHECK(opened.scene.free_bytes("chunk") == 1 << 20);
}

TEST_CASE("row 7, 28: when a buffer's file ends its memory is free at once; so it is when the platform has none") {
  Opened opened;
  REQUIRE(opened.allocate(1 << 20, 1 << 2) == done);
  CHECK(opened.scene.free_bytes("carveout") == 0);
  CHECK(opened.scene.heap("carveout").use().bytes == 1 << 20);
  opened.caller.files.clear();
  CHECK(opened.scene.free_bytes("carveout") == 1 << 20);
  CHECK(opened.scene.heap("carveout").use().buffers == 0);
  CHECK(opened.scene.heap("carveout").use().most_bytes == 1 << 20);
  opened.scene.platform.has_memory = false;
  CHECK(opened.allocate(1 << 20, 1 << 2) == Errno::no_memory);
  CHECK(opened.scene.free_bytes("carveout") == 1 << 20);
  opened.scene.platform.has_memory = true;
  CHECK(opened.allocate(1 << 20, 1 << 2) == done);
}

TEST_CASE("A5: a caller whose struct cannot be written, or who has no descriptor left, has nothing, and nobody has") {
  Opened opened;
  for (std::size_t written = 0; written < sizeof(Allocation); ++written) {
    opened.caller.set_writable(place + written);
    CHECK(opened.allocate(1 << 20, 1 << 2) == Errno::fault);
    CHECK(opened.caller.files.empty());
    CHECK(opened.scene.device.buffer_count() == 0);
    CHECK(opened.scene.free_bytes("carveout") == 1 << 20);
  }
  opened.caller.set_writable(Caller::length);
  opened.caller.most_files = 0;
  CHECK(opened.allocate(1 << 20, 1 << 2) == Errno::too_many_files);
  CHECK(opened.scene.device.buffer_count() == 0);
  opened.caller.set_readable(place + 23);
  CHECK(opened.allocate(1 << 20, 1 << 2) == Errno::fault);
}

TEST_CASE("row 21: HEAP_QUERY counts, lists as many as there is room for, and takes no reserved field") {
  Opened opened;
  REQUIRE(opened.ask({}) == done);
  CHECK(opened.caller.get<Query>(place).count == 5);
  REQUIRE(opened.ask({.count = 77}) == done);
  CHECK(opened.caller.get<Query>(place).count == 5);
  const std::uint64_t to = Caller::start + 0x1000;
  CHECK(opened.ask({.heaps = to}) == Errno::invalid);
  CHECK(opened.ask({.count = 5, .reserved0 = 1, .heaps = to}) == Errno::invalid);
  CHECK(opened.ask({.count = 5, .heaps = to, .reserved1 = 1}) == Errno::invalid);
  CHECK(opened.ask({.count = 5, .heaps = to, .reserved2 = 1}) == Errno::invalid);
  CHECK(opened.ask({.count = 5, .heaps = 8}) == Errno::fault);
  for (std::uint32_t room = 1; room <= 6; ++room) {
    opened.caller.fill(std::byte{0xaa});
    REQUIRE(opened.ask({.count = room, .heaps = to}) == done);
    const std::uint32_t filled = room < 5 ? room : 5;
    CHECK(opened.caller.get<Query>(place).count == filled);
    const char* const names[] = {"cma", "chunk", "carveout", "contig", "system"};
    for (std::uint32_t at = 0; at < filled; ++at) {
      const auto record = opened.caller.get<Record>(0x1000 + at * sizeof(Record));
      CHECK(std::string_view(record.name) == names[at]);
      CHECK(record.type == 4 - at);
      CHECK(record.id == 4 - at);
      CHECK(record.reserved[0] + record.reserved[1] + record.reserved[2] == 0);
      for (std::size_t c = std::strlen(record.name); c < 32; ++c) CHECK(record.name[c] == '\0');
    }
    CHECK(opened.caller.get<std::uint32_t>(0x1000 + filled * sizeof(Record)) == 0xaaaaaaaaU);
  }
}

TEST_CASE("ABI_VERSION is Android's: a board has it or not") {
  Opened opened;
  CHECK(opened.ion.ioctl(opened.caller, Command{0x80044909}, argument) == Errno::no_such_command);
  opened.scene.ion_heaps.abi_version = 2;
  CHECK(opened.ion.ioctl(opened.caller, Command{0x80044909}, argument) == done);
  CHECK(opened.caller.get<std::uint32_t>(place) == 2);
}

TEST_CASE("A18: what goes back to callers has no byte but those that the specification names") {
  Opened opened;
  opened.caller.fill(std::byte{0xaa});
  REQUIRE(opened.allocate(4096, 1) == done);
  for (std::size_t at = 0; at < Caller::length; ++at) {
    const bool is_struct = at >= place && at < place + sizeof(Allocation);
    if (!is_struct) CHECK(opened.caller.get<std::byte>(at) == std::byte{0xaa});
  }
}

TEST_CASE("who closes /dev/ion keeps his buffers; and as many may be open as the device has clients") {
  Opened opened;
  REQUIRE(opened.allocate(4096, 1) == done);
  {
    const auto gone = std::move(opened.ion);
  }
  CHECK(opened.scene.device.client_count() == 0);
  CHECK(opened.scene.device.buffer_count() == 1);
  for (std::size_t at = 0; at < scene_limits.clients; ++at) CHECK(opened.scene.device.open());
  CHECK(opened.scene.device.open().error().code == ErrorCode::too_many_clients);
}

TEST_CASE("row 25, 29: threads allocate and let go in all heaps at once, and nothing is left") {
  DeviceScene scene(board);
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&scene, number] {
      Caller caller;
      auto ion = scene.open_ion();
      for (unsigned round = 0; round < 300; ++round) {
        caller.put(place, Allocation{4096U << (round + number) % 7, 0x1f});
        if (ion.ioctl(caller, alloc, argument).is_error() || caller.files.size() == 6) caller.files.clear();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.device.client_count() == 0);
  for (auto& heap : scene.heaps) CHECK(scene.free_bytes(heap.info().name) == heap.info().size.value());
}
