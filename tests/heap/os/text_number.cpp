#include <freestone/heap/os/text_number.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("numbers of a table") {
  CHECK(parse_number("0").value == 0);
  CHECK(parse_number("4096").value == 4096);
  CHECK(parse_number("64M").value == 64 << 20);
  CHECK(parse_number("3g").value == std::uint64_t{3} << 30);
  CHECK(parse_number("2T").value == std::uint64_t{2} << 40);
  CHECK(parse_number("0x10K").value == 16 << 10);
  CHECK(parse_number("0x8000'0000").value == 0x8000'0000);
  CHECK(parse_number("0xffff_ffff_ffff_ffff").value == ~std::uint64_t{0});
  CHECK(parse_number("18446744073709551615").value == ~std::uint64_t{0});
  CHECK(parse_number("18446744073709551616").fault == TextFault::out_of_range);
  CHECK(parse_number("0x1_0000_0000_0000_0000").fault == TextFault::out_of_range);
  CHECK(parse_number("16777216T").fault == TextFault::out_of_range);
  CHECK(parse_number("16777215T").fault == TextFault::none);
}

TEST_CASE("what is none") {
  for (const char* text : {"", " ", "M", "0x", "0xg", "-1", "+1", "1 ", " 1", "1MB", "1.5M", "64Q", "010", "00", "1__0", "_1", "1_", "1_M",
                           "0x_1", "nan", "99999999999999999999999999999999999"}) {
    CAPTURE(text);
    CHECK(parse_number(text).fault != TextFault::none);
  }
}

TEST_CASE("numbers as the kernel reads them") {
  CHECK(parse_c_number("0x42000000", "KM").value == 0x4200'0000);
  CHECK(parse_c_number("96M", "KM").value == 96 << 20);
  CHECK(parse_c_number("96m", "KM").value == 96 << 20);
  CHECK(parse_c_number("010", "KM").value == 8);
  CHECK(parse_c_number("010k", "KM").value == 8192);
  CHECK(parse_c_number("2G", "KM").value == 2);  // no such suffix: ignored
  CHECK(parse_c_number("2G", "KMG").value == std::uint64_t{2} << 30);
  CHECK(parse_c_number("5MB or so", "KM").value == 5 << 20);
  CHECK(parse_c_number("5\n", "KM").value == 5);
  CHECK(parse_c_number("", "KM").value == 0);
  CHECK(parse_c_number("-5", "KM").value == 0);
  CHECK(parse_c_number("M", "KM").value == 0);
  CHECK(parse_c_number("0x", "KM").value == 0);
  CHECK(parse_c_number("08", "KM").value == 0);
  CHECK(parse_c_number("0xffffffffffffffff", "KM").value == ~std::uint64_t{0});
  CHECK(parse_c_number("0xffffffffffffffffM", "KM").fault == TextFault::out_of_range);
  CHECK(parse_c_number("0x10000000000000000", "KM").fault == TextFault::out_of_range);
}

TEST_CASE("as strtoull has it, by chance") {
  Random random(seed());
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(9); n != 0; --n) text += "0123456789abcfx07"[random.below(17)];
    CAPTURE(text);
    try_exactly(text, [&](std::string_view exact) { CHECK(parse_c_number(exact, "").value == std::strtoull(text.c_str(), nullptr, 0)); });
  }
}
