#include <freestone/core/map_header.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <doctest/doctest.h>

using namespace freestone;

// FNV-1a's published values.
static_assert(map_id("") == 0x811C9DC5 && map_id("a") == 0xE40C292C && map_id("foobar") == 0xBF9CF968);
static_assert(map_id("B", map_id("A")) == map_id("AB"));  // parts fold in

namespace {

constexpr Geometry range{.capacity = Granules(64), .granule = 4096, .origin = Granules(3)};
constexpr std::uint32_t id = map_id("Some");
constexpr std::size_t needed = map_header::words + 1;
using Words = std::array<std::uint64_t, needed>;

constexpr Words written() {
  Words words{};
  map_header::write(words, id, range);
  return words;
}

constexpr Error check(const Words& words) { return map_header::check(words, needed, id, range); }
static_assert(!check(written()));

}  // namespace

TEST_CASE("the magic is the first thing in memory") {
  const Words words = written();
  CHECK(std::memcmp(words.data(), "FRRE", 4) == 0);
}

TEST_CASE("a header that was written is taken, with all that it says") {
  const Words words = written();
  CHECK(!check(words));
  CHECK(words[map_header::granule_word] == 4096);
  CHECK(words[map_header::capacity_word] == 64);
  CHECK(words[map_header::origin_word] == 3);
  CHECK(words[map_header::words] == 0);
}

TEST_CASE("invalidated words hold no map") {
  Words words = written();
  map_header::invalidate(words);
  CHECK(check(words).code == ErrorCode::not_formatted);
  CHECK(check(Words{}).code == ErrorCode::not_formatted);
}

TEST_CASE("each field that differs is named, with both values") {
  Words words = written();
  cells::store(words.data(), map_header::version_cell, 9);
  CHECK(check(words) == Error{.code = ErrorCode::wrong_version, .asked = map_header::version, .available = 9});
  words = written();
  cells::store(words.data(), map_header::id_cell, 9);
  CHECK(check(words) == Error{.code = ErrorCode::wrong_strategy, .asked = id, .available = 9});
  words = written();
  words[map_header::granule_word] = 1024;
  CHECK(check(words) == Error{.code = ErrorCode::wrong_granule, .asked = 4096, .available = 1024});
  words = written();
  words[map_header::capacity_word] = 65;
  CHECK(check(words) == Error{.code = ErrorCode::wrong_capacity, .asked = 64, .available = 65});
  words = written();
  words[map_header::origin_word] = 4;
  CHECK(check(words) == Error{.code = ErrorCode::wrong_origin, .asked = 3, .available = 4});
}

TEST_CASE("words that are cut short, in the map or in the header") {
  const Words words = written();
  for (std::size_t length = 0; length < needed; ++length) {
    const Error error = map_header::check(std::span(words).first(length), needed, id, range);
    CHECK(error == Error{.code = ErrorCode::cut_short, .asked = needed, .available = length});
  }
}

TEST_CASE("notes that are too short or misaligned") {
  Words words{};
  CHECK(!map_header::check_notes(words, needed));
  CHECK(map_header::check_notes(words, needed + 1) ==
        Error{.code = ErrorCode::notes_too_small, .asked = needed + 1, .available = needed});
  const auto* odd = reinterpret_cast<const std::uint64_t*>(reinterpret_cast<const std::byte*>(words.data()) + 2);
  CHECK(map_header::check_notes({odd, needed - 1}, 1).code == ErrorCode::notes_misaligned);
  CHECK(map_header::check({odd, needed - 1}, 1, id, range).code == ErrorCode::notes_misaligned);
}
