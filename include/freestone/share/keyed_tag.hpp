// Numbers that nobody can tell who does not have the key.
#pragma once

#include <bit>
#include <cstdint>

namespace freestone {

// As many bits of chance as the host can get; it stays with whoever makes the numbers.
struct TagKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  // Zeros are nobody's chance: numbers that are made of them can be told by everybody.
  constexpr explicit operator bool() const noexcept { return (low | high) != 0; }
};

namespace detail {
// SipHash-1-3 of two words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
struct SipState {
  std::uint64_t a, b, c, d;

  constexpr void round() noexcept {
    a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
    c += d, d = std::rotl(d, 16) ^ c;
    a += d, d = std::rotl(d, 21) ^ a;
    c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
  }
  constexpr void take(std::uint64_t word) noexcept {
    d ^= word;
    round();
    a ^= word;
  }
};
}  // namespace detail

// The same for the same key and words, and for others as if by chance. Cost: six rounds of SipHash.
constexpr std::uint64_t keyed_tag(const TagKey& key, std::uint64_t first, std::uint64_t second) noexcept {
  detail::SipState state{key.low ^ 0x736f6d6570736575U, key.high ^ 0x646f72616e646f6dU, key.low ^ 0x6c7967656e657261U,
                         key.high ^ 0x7465646279746573U};
  state.take(first);
  state.take(second);
  state.take(std::uint64_t{16} << 56);  // the length in bytes
  state.c ^= 0xff;
  for (int rounds = 0; rounds < 3; ++rounds) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

// A key of its own for each of many, none of which tells anything of another.
constexpr TagKey derived_key(const TagKey& key, std::uint64_t number) noexcept {
  return {keyed_tag(key, number, 0), keyed_tag(key, number, 1)};
}

// A permutation of the numbers below 2^bits (1 to 32 of them), another for each `which` (below 2^62) and each key: so
// numbers that differ stay different, and nobody without the key can tell which comes next. A Feistel network of three
// rounds (Luby and Rackoff, "How to construct pseudorandom permutations from pseudorandom functions", 1988). Cost: three
// of keyed_tag.
constexpr std::uint32_t keyed_permutation(const TagKey& key, std::uint64_t which, unsigned bits, std::uint32_t number) noexcept {
  const unsigned low_bits = bits / 2;
  const auto tag = [&](unsigned round, std::uint32_t half, unsigned wanted) {
    return static_cast<std::uint32_t>(keyed_tag(key, which << 2 | round, half) & ((std::uint64_t{1} << wanted) - 1));
  };
  std::uint32_t low = number & ((std::uint32_t{1} << low_bits) - 1);
  std::uint32_t high = number >> low_bits;
  high ^= tag(0, low, bits - low_bits);
  low ^= tag(1, high, low_bits);
  high ^= tag(2, low, bits - low_bits);
  return high << low_bits | low;
}

}  // namespace freestone
