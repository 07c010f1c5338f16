// dma-heap (generation G5), row 23 of the specification's checklist (shared/spec: ION 1.5, 8).
#include <freestone/device/dma_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "support/device_calls.hpp"
#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "16M"}, HeapText{"reserved", 1, "cma", "1M"});

struct Allocation {
  std::uint64_t length;
  std::uint32_t fd = 0;
  std::uint32_t fd_flags = OpenFlags::close_on_exec | OpenFlags::read_write;
  std::uint64_t heap_flags = 0;
};

constexpr std::size_t place = 0x100;
constexpr std::uint64_t argument = Caller::start + place;
using File = DmaHeapFile<DeviceScene::Shared, lock::Futex>;
using Buffer = File::Buffer;

struct Opened {
  explicit Opened(WordSize word = WordSize::bits64) : caller(word) {}
  Answer allocate(const Allocation& wanted, Command command = {0xC0184800}) {
    caller.put(place, wanted);
    return file.ioctl(caller, command, argument);
  }

  DeviceScene scene{board};
  Caller caller;
  File file{scene.device, scene.heap("reserved"), *scene.device.open()};
};

// Lengths of the struct in the command's number, from 0 on.
constexpr Command with_length(std::uint32_t length) { return Command::of(Direction::both, 'H', 0, length); }

}  // namespace

TEST_CASE("row 23: what is asked for must be pages, known flags and no descriptor") {
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    Opened opened(word);
    CHECK(opened.allocate({.length = 0}) == Errno::invalid);
    CHECK(opened.allocate({.length = ~0ULL}) == Errno::invalid);
    CHECK(opened.allocate({.length = ~0ULL - 4094}) == Errno::invalid);
    CHECK(opened.allocate({.length = 4096, .fd = 3}) == Errno::invalid);
    CHECK(opened.allocate({.length = 4096, .heap_flags = 1}) == Errno::invalid);
    CHECK(opened.allocate({.length = 4096, .heap_flags = 1ULL << 63}) == Errno::invalid);
    for (unsigned bit = 0; bit < 32; ++bit) {
      const bool is_known = bit < 2 || bit == 19;  // O_ACCMODE, O_CLOEXEC
      CHECK(opened.allocate({.length = 4096, .fd_flags = 1U << bit}).is_error() == !is_known);
    }
    CHECK(opened.allocate({.length = ~0ULL - 4095}) == Errno::no_memory);
    CHECK(opened.allocate({.length = (1 << 20) + 1}) == Errno::no_memory);
    opened.caller.files.clear();
    CHECK(opened.allocate({.length = 1}) == done);
    CHECK(opened.caller.get<Allocation>(place).fd == Caller::first_fd);
    CHECK(opened.caller.files[0].flags.access() == OpenFlags::read_write);
    CHECK(static_cast<Buffer*>(opened.caller.files[0].file.get())->size() == 4096);
  }
}

TEST_CASE("row 23: of a command just the number counts") {
  Opened opened;
  for (unsigned number = 1; number < 256; ++number)
    CHECK(opened.allocate({.length = 4096}, Command::of(Direction::both, 'H', number, 24)) == Errno::invalid);
  CHECK(opened.allocate({.length = 4096}, Command::of(Direction::both, 'I', 0, 24)) == done);
  CHECK(opened.allocate({.length = 4096}, Command::of(Direction::both, '\0', 0, 40)) == done);
}

TEST_CASE("row 1: a shorter struct is filled with zeros, a longer one's rest stays as it is") {
  for (std::uint32_t length = 0; length <= 32; ++length) {
    Opened opened;
    opened.caller.fill(std::byte{0xaa});
    const Answer answer = opened.allocate({.length = 4096}, with_length(length));
    // With no length there is nothing to allocate: 4096 has its bit in the second byte of a PC. With nothing behind it,
    // there are no flags, and there is no room for the descriptor.
    CHECK(answer == (length < 2 ? Answer(Errno::invalid) : done));
    const auto back = opened.caller.get<Allocation>(place);
    if (length >= 12) CHECK(back.fd == Caller::first_fd);
    if (length < 12) CHECK(back.fd == 0);
    CHECK(back.length == 4096);
    CHECK(opened.caller.get<std::uint64_t>(place + 24) == 0xaaaaaaaaaaaaaaaaU);
  }
}

TEST_CASE("the struct goes back even where the command fails; where it cannot, that is what is told") {
  Opened opened;
  CHECK(opened.allocate({.length = 4096, .fd = 9}) == Errno::invalid);
  CHECK(opened.caller.copies_out == 1);
  CHECK(opened.caller.get<Allocation>(place).fd == 9);
  opened.caller.set_writable(place);
  CHECK(opened.allocate({.length = 4096, .fd = 9}) == Errno::fault);
}

TEST_CASE("A5: who cannot be told of his descriptor has none") {
  Opened opened;
  for (std::size_t written = 0; written < sizeof(Allocation); ++written) {
    opened.caller.set_writable(place + written);
    CHECK(opened.allocate({.length = 1 << 20}) == Errno::fault);
    CHECK(opened.caller.files.empty());
    CHECK(opened.scene.free_bytes("reserved") == 1 << 20);
  }
}

TEST_CASE("a node is of its heap alone") {
  Opened opened;
  CHECK(opened.allocate({.length = 1 << 20}) == done);
  CHECK(opened.allocate({.length = 4096}) == Errno::no_memory);
  CHECK(opened.scene.free_bytes("system") == 16 << 20);
}
