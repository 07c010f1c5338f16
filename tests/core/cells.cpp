#include <freestone/core/cells.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include <doctest/doctest.h>

using namespace freestone;

namespace {

using Words = std::array<std::uint64_t, 2>;

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
