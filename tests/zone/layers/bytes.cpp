#include <freestone/zone/layers/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone;
namespace bytes = layers::bytes;

namespace {

constexpr std::uint64_t pattern = 0x8877'6655'4433'2211;
constexpr std::byte neighbour{0xEE};

// The pattern's byte with that number, as it lies in memory.
std::byte of_pattern(std::size_t number) {
  std::array<std::byte, 8> each{};
  std::memcpy(each.data(), &pattern, sizeof pattern);
  return each[number % 8];
}

// So many bytes, the first of them `skew` behind a multiple of 8, between neighbours.
struct Filled {
  Filled(std::size_t skew, std::size_t size) : all(size + 64, neighbour), part(from_multiple_of_8(skew), size) {
    bytes::fill(part, pattern);
  }

  std::vector<std::byte> all;
  std::span<std::byte> part;

  bool neighbours_are_whole() const {
    for (const std::byte& one : all) {
      const bool is_inside = &one >= part.data() && &one < part.data() + part.size();
      if (!is_inside && one != neighbour) return false;
    }
    return true;
  }

 private:
  std::byte* from_multiple_of_8(std::size_t skew) {
    const auto address = reinterpret_cast<std::uintptr_t>(all.data() + 16);
    return all.data() + 16 + (0 - address % 8) % 8 + skew;
  }
};

constexpr std::array<std::size_t, 20> sizes{0,   1,   7,   8,   9,   15,  16,  63,   64,   100,
                                            511, 512, 513, 519, 520, 521, 531, 1024, 4096, 16391};

}  // namespace

TEST_CASE("each byte is the pattern's, wherever the first one lies, and no other is touched") {
  for (const std::size_t size : sizes) {
    for (std::size_t skew = 0; skew < 8; ++skew) {
      CAPTURE(size);
      CAPTURE(skew);
      const Filled one(skew, size);
      std::size_t right = 0;
      while (right < size && one.part[right] == of_pattern(right)) ++right;
      CHECK(right == size);
      CHECK(one.neighbours_are_whole());
      CHECK(bytes::first_other(one.part, pattern) == size);
      if (size >= 8) CHECK(bytes::load(one.part) == pattern);
    }
  }
}

TEST_CASE("the first byte that is another's is found, and only inside") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{8}, std::size_t{29}, std::size_t{600}}) {
    for (std::size_t skew = 0; skew < 8; ++skew) {
      Filled one(skew, size);
      for (std::size_t at = size; at-- > 0;) {
        one.part[at] ^= std::byte{1};
        REQUIRE(bytes::first_other(one.part, pattern) == at);  // those behind it are others' too
      }
    }
  }
}
