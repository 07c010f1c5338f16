#include <freestone/device/os/report_text.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

using freestone::device::detail::low;
using freestone::device::detail::print;

TEST_CASE("row 23, row 24: what is printed comes behind what there is") {
  std::string text;
  print(text, "%s", "");
  CHECK(text.empty());
  print(text, "no number\n");
  print(text, "%16.16s|%4d|%#x\n", "seventeen_letters", -1, 255U);
  CHECK(text == "no number\nseventeen_letter|  -1|0xff\n");
}

TEST_CASE("row 23, row 24: a text of any length is whole, and ends with its last letter") {
  for (const std::size_t length : {1U, 15U, 16U, 22U, 23U, 31U, 4095U, 4096U, 100'000U}) {
    const std::string long_one(length, 'x');
    std::string text = "before ";
    print(text, "%s!", long_one.c_str());
    CHECK(text == "before " + long_one + '!');
    print(text, "%d", 7);
    CHECK(text.size() == length + 9);
    CHECK(text.back() == '7');
  }
}

TEST_CASE("row 23, row 24: of a number the lower 32 bits") {
  static_assert(low(0x1'0000'0007) == 7 && low(~std::uint64_t{0}) == 0xffff'ffff && low(0) == 0);
  std::string text;
  print(text, "%u %u", low(0xffff'ffff), low(std::uint64_t{1} << 63));
  CHECK(text == "4294967295 0");
}
