#include <freestone/core/cells.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include <doctest/doctest.h>

using namespace freestone;

namespace {

using Words = std::array<std::uint64_t, 2>;

constexpr Words filled_with_bytes() {
  Words words{~std::uint64_t{0}, 0};
  for (std::size_t byte = 3; byte < 14; ++byte) cells::store_byte(words.data(), byte, static_cast<unsigned char>(byte));
  return words;
}
constexpr Words bytes_at_compile_time = filled_with_bytes();
static_assert(cells::load_byte(bytes_at_compile_time.data(), 2) == 0xFF &&
              cells::load_byte(bytes_at_compile_time.data(), 3) == 3 &&
              cells::load_byte(bytes_at_compile_time.data(), 13) == 13 &&
              cells::load_byte(bytes_at_compile_time.data(), 14) == 0);

constexpr Words filled() {
  Words words{~std::uint64_t{0}, 0};
  cells::store(words.data(), 1, 0x11223344);
  cells::store(words.data(), 2, 0xFFFFFFFF);
  cells::store_in_order(words.data(), 3, 0xCAFEF00D);
  cells::prefetch(words.data(), 0);  // changes nothing
  return words;
}
constexpr Words at_compile_time = filled();
static_assert(cells::load(at_compile_time.data(), 0) == 0xFFFFFFFF &&
              cells::load(at_compile_time.data(), 1) == 0x11223344);

}  // namespace

TEST_CASE("constant evaluation and run time write the same words") {
  const volatile bool at_run_time = true;
  const Words words = at_run_time ? filled() : Words{};
  CHECK(words == at_compile_time);
  for (std::size_t cell = 0; cell < 4; ++cell) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, reinterpret_cast<const char*>(at_compile_time.data()) + 4 * cell, 4);
    CHECK(cells::load(words.data(), cell) == raw);
  }
}

TEST_CASE("a store touches its own cell only") {
  for (std::size_t cell = 0; cell < 4; ++cell) {
    Words words{};
    cells::store(words.data(), cell, 0xFFFFFFFF);
    for (std::size_t other = 0; other < 4; ++other) {
      CHECK(cells::load(words.data(), other) == (other == cell ? 0xFFFFFFFF : 0));
    }
  }
}

TEST_CASE("bytes: constant evaluation and run time write the same words, in memory's order") {
  const volatile bool at_run_time = true;
  const Words words = at_run_time ? filled_with_bytes() : Words{};
  CHECK(words == bytes_at_compile_time);
  for (std::size_t byte = 0; byte < 16; ++byte) {
    unsigned char raw = 0;
    std::memcpy(&raw, reinterpret_cast<const char*>(words.data()) + byte, 1);
    CHECK(cells::load_byte(words.data(), byte) == raw);
    CHECK(raw == (byte < 3 ? 0xFF : byte < 14 ? byte : 0));
  }
}

TEST_CASE("a store of a byte touches this byte only") {
  for (std::size_t byte = 0; byte < 16; ++byte) {
    Words words{};
    cells::store_byte(words.data(), byte, 0xFF);
    for (std::size_t other = 0; other < 16; ++other) {
      CHECK(cells::load_byte(words.data(), other) == (other == byte ? 0xFF : 0));
    }
  }
}
