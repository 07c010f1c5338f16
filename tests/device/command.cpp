#include <freestone/device/command.hpp>

#include <doctest/doctest.h>

#include <linux/ioctl.h>

#include <cstdint>
#include <initializer_list>

using namespace freestone::device;

TEST_CASE("a command is as the system's own header has it") {
  CHECK(Command::of(Direction::none, 'r', 30, 0).code == _IO('r', 30));
  CHECK(Command::of(Direction::read, 'm', 11, 104).code == _IOC(_IOC_READ, 'm', 11, 104));
  CHECK(Command::of(Direction::write, 'd', 50, 24).code == _IOC(_IOC_WRITE, 'd', 50, 24));
  CHECK(Command::of(Direction::both, '\xf0', 255, 16383).code == _IOC(_IOC_READ | _IOC_WRITE, 0xf0, 255, 16383));
}

TEST_CASE("and it is taken apart again") {
  for (const Direction direction : {Direction::none, Direction::write, Direction::read, Direction::both}) {
    for (const std::uint32_t length : {0U, 1U, 255U, 256U, 16383U}) {
      const Command command = Command::of(direction, '\xf0', 255, length);
      CHECK(command.magic() == '\xf0');
      CHECK(command.number() == 255);
      CHECK(command.length() == length);
      CHECK(command.hands_in() == (direction == Direction::write || direction == Direction::both));
      CHECK(command.gets_back() == (direction == Direction::read || direction == Direction::both));
    }
  }
}
