#include <freestone/backing/borrowed.hpp>

#include <doctest/doctest.h>

#include <array>

using namespace freestone;

TEST_CASE("borrowed memory has its pointer as base, unless told otherwise") {
  std::array<std::byte, 64> data{};
  std::array<std::uint64_t, 4> notes{};
  backing::Borrowed own(data, notes);
  CHECK(own.base() == reinterpret_cast<std::uintptr_t>(data.data()));
  CHECK(own.size() == 64);
  CHECK(own.notes().data() == notes.data());
  CHECK(own.cpu_pointer(3) == data.data() + 3);
  const backing::Borrowed shared(data, notes, 0);
  CHECK(shared.base() == 0);
  CHECK(shared.cpu_pointer(3) == data.data() + 3);
}

TEST_CASE("a number alone is no pointer") {
  std::array<std::uint64_t, 4> notes{};
  const auto numbers = backing::Borrowed::at(0x8000'0000, 1_GiB, notes);
  CHECK(numbers.base() == 0x8000'0000);
  CHECK(numbers.size() == 1_GiB);
  CHECK_FALSE(numbers.cpu_pointer(0));
}
