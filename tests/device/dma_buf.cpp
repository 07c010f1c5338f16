#include <freestone/device/dma_buf.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "support/device_calls.hpp"
#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "16M"});

constexpr std::uint64_t argument = Caller::start;
constexpr Command sync_command{0x40086200};
constexpr Command set_name_a = Command::of(Direction::write, 'b', 1, 4);
constexpr Command set_name_b = Command::of(Direction::write, 'b', 1, 8);

struct Opened {
  Answer sync(std::uint64_t flags) {
    caller.put(0, flags);
    return buffer.ioctl(caller, sync_command, argument);
  }
  Answer name(std::string_view text, std::size_t at, Command command = set_name_b) {
    for (std::size_t i = 0; i < text.size(); ++i) caller.put(at + i, text[i]);
    return buffer.ioctl(caller, command, Caller::start + at);
  }

  DeviceScene scene{board};
  Caller caller;
  ClientId client = *scene.device.open();
  DeviceScene::Buffer buffer{*scene.heap("system").allocate(client, 3 * 4096)};
};

}  // namespace

TEST_CASE("row 22, A16: brackets count, and an end without its beginning counts nothing") {
  Opened opened;
  CHECK(opened.sync(5) == done);  // an end
  CHECK(opened.buffer.open_brackets() == 0);
  CHECK(opened.sync(1) == done);
  CHECK(opened.sync(3) == done);
  CHECK(opened.buffer.open_brackets() == 2);
  for (int i = 0; i < 5; ++i) CHECK(opened.sync(7) == done);
  CHECK(opened.buffer.open_brackets() == 0);
  CHECK(opened.sync(2) == done);
  CHECK(opened.buffer.open_brackets() == 1);
  for (const std::uint64_t flags : {0ULL, 4ULL, 8ULL, 9ULL, 1ULL << 32 | 1, ~0ULL})
    CHECK(opened.sync(flags) == Errno::invalid);
  CHECK(opened.buffer.memory().synced.size() == 9);
  opened.caller.set_readable(7);
  CHECK(opened.sync(1) == Errno::fault);
}

TEST_CASE("a name has 31 characters at most, under both of its numbers; one that is refused changes nothing") {
  Opened opened;
  using namespace std::string_view_literals;
  CHECK(opened.name("camera\0"sv, 0x20) == done);
  CHECK(std::string_view(opened.buffer.name().data()) == "camera");
  CHECK(opened.name("video\0"sv, 0x20, set_name_a) == done);
  CHECK(std::string_view(opened.buffer.name().data()) == "video");
  const std::string longest(31, 'x');
  CHECK(opened.name(longest + '\0', 0x20) == done);
  CHECK(opened.name(longest + "x", 0x20) == Errno::invalid);
  CHECK(std::string_view(opened.buffer.name().data()) == longest);
  // Its end is the last byte that can be read, and the next page cannot.
  opened.caller.set_readable(0x1000);
  CHECK(opened.name("edge\0"sv, 0x1000 - 5) == done);
  CHECK(std::string_view(opened.buffer.name().data()) == "edge");
  CHECK(opened.name("gone"sv, 0x1000 - 4) == Errno::fault);
  CHECK(std::string_view(opened.buffer.name().data()) == "edge");
}

TEST_CASE("row 10: lseek tells the length, from both ends and nowhere between") {
  Opened opened;
  CHECK(opened.buffer.seek(0, Whence::end) == Answer(3 * 4096));
  CHECK(opened.buffer.seek(0, Whence::set) == done);
  CHECK(opened.buffer.seek(0, Whence::current) == Errno::invalid);
  CHECK(opened.buffer.seek(1, Whence::set) == Errno::invalid);
  CHECK(opened.buffer.seek(-1, Whence::end) == Errno::invalid);
}

TEST_CASE("A7: no byte behind the buffer's end is mapped, wherever a mapping begins and however long it is") {
  Opened opened;
  constexpr std::uint64_t edges[] = {0,         1,         4095,        4096,      2 * 4096, 3 * 4096 - 1, 3 * 4096, 3 * 4096 + 1,
                                     1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL - 4095, ~0ULL};
  for (const std::uint64_t offset : edges) {
    for (const std::uint64_t length : edges) {
      const bool fits = offset <= 3 * 4096 && length <= 3 * 4096 && offset + length <= 3 * 4096;
      CHECK(opened.buffer.map(offset, length).is_error() == !fits);
    }
  }
}

TEST_CASE("a program's mapping counts while it lives; where there are too many there is none") {
  Opened opened;
  Errno error = Errno::io;
  const auto maps = [&] { return opened.scene.device.info(opened.buffer.buffer()).cpu_maps; };
  {
    const auto map = opened.buffer.map_for_process(error);
    CHECK(map);
    CHECK(error == Errno::none);
    CHECK(maps() == 1);
  }
  CHECK(maps() == 0);
  std::uint32_t counted = 0;
  while (opened.scene.device.count(opened.buffer.buffer(), Mapper::cpu)) ++counted;
  CHECK(counted == maps());
  CHECK(!opened.buffer.map_for_process(error));
  CHECK(error == Errno::no_memory);
  CHECK(opened.scene.device.uncount(opened.buffer.buffer(), Mapper::cpu));
  CHECK(opened.buffer.map_for_process(error));
  CHECK(!opened.scene.device.uncount(opened.buffer.buffer(), Mapper::device));
}

TEST_CASE("other commands are not a buffer's: ENOTTY, however long they are and wherever they point") {
  Opened opened;
  for (const std::uint32_t code : {0xC0184900U, 0x40046200U, 0xC0086200U, 0x40086202U, 0xC0086202U, 0x40086203U, 0x40106200U,
                                   0x802C542AU, 0xFFFF6201U, 0x5401U, 0U}) {
    for (const std::uint64_t where : {argument, std::uint64_t{0}})
      CHECK(opened.buffer.ioctl(opened.caller, Command{code}, where) == Errno::no_such_command);
  }
}
