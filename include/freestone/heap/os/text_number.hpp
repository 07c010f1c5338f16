// Numbers as boards' texts write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <freestone/heap/os/board_text.hpp>

namespace freestone {

// `fault`: none, bad_number, or out_of_range where it leaves 64 bits.
struct TextNumber {
  std::uint64_t value = 0;
  TextFault fault = TextFault::none;
};

namespace detail {

constexpr unsigned digit_of(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return 99;
}

// Takes the digits at the front of `text` away.
constexpr TextNumber take_digits(std::string_view& text, unsigned base) noexcept {
  constexpr std::uint64_t most = ~std::uint64_t{0};
  TextNumber number{0, text.empty() || digit_of(text[0]) >= base ? TextFault::bad_number : TextFault::none};
  for (; !text.empty() && digit_of(text[0]) < base; text.remove_prefix(1)) {
    const unsigned digit = digit_of(text[0]);
    if (number.value > (most - digit) / base) number.fault = TextFault::out_of_range;
    number.value = number.value * base + digit;
  }
  return number;
}

// The power of 1024 that a letter stands for; 0 for none.
constexpr unsigned power_of(char letter, std::string_view letters) noexcept {
  for (std::size_t at = 0; at < letters.size(); ++at) {
    if (letters[at] == letter || letters[at] - 'A' + 'a' == letter) return static_cast<unsigned>(at) + 1;
  }
  return 0;
}
constexpr TextNumber times_1024(TextNumber number, unsigned power) noexcept {
  const unsigned shift = 10 * power;
  if (number.fault == TextFault::none && number.value > (~std::uint64_t{0} >> shift))
    number.fault = TextFault::out_of_range;
  number.value <<= shift;
  return number;
}

}  // namespace detail

// 64M, 4096, 0x8000'0000: decimal or hexadecimal, ' and _ between digits, K, M, G or T behind, and nothing else. A
// decimal that begins with 0 could be taken for an octal, and is refused.
constexpr TextNumber parse_number(std::string_view text) noexcept {
  char digits[32] = {};
  std::size_t length = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool is_between =
        at != 0 && at + 1 < text.size() && detail::digit_of(text[at - 1]) < 16 && detail::digit_of(text[at + 1]) < 16;
    if ((text[at] == '\'' || text[at] == '_') && is_between) continue;
    if (length == sizeof digits) return {0, TextFault::bad_number};
    digits[length++] = text[at];
  }
  std::string_view left(digits, length);
  const bool is_hex = left.size() > 2 && left[0] == '0' && (left[1] == 'x' || left[1] == 'X');
  if (is_hex) left.remove_prefix(2);
  if (!is_hex && left.size() > 1 && left[0] == '0' && detail::digit_of(left[1]) < 10) return {0, TextFault::bad_number};
  TextNumber number = detail::take_digits(left, is_hex ? 16 : 10);
  if (left.size() == 1) {
    const unsigned power = detail::power_of(left[0], "KMGT");
    if (power == 0) return {0, TextFault::bad_number};
    return detail::times_1024(number, power);
  }
  return left.empty() ? number : TextNumber{0, TextFault::bad_number};
}

// As the kernel reads one (strtoul and memparse): 0x.., 0.. for octal, or decimal; no digits are 0; one of `letters`
// (powers of 1024) behind; all that follows is ignored.
constexpr TextNumber parse_c_number(std::string_view text, std::string_view letters) noexcept {
  unsigned base = 10;
  if (!text.empty() && text[0] == '0') {
    const bool is_hex = text.size() > 2 && (text[1] == 'x' || text[1] == 'X') && detail::digit_of(text[2]) < 16;
    base = is_hex ? 16 : 8;
    if (is_hex) text.remove_prefix(2);
  }
  TextNumber number = detail::take_digits(text, base);
  if (number.fault == TextFault::bad_number) return {};
  return text.empty() ? number : detail::times_1024(number, detail::power_of(text[0], letters));
}

}  // namespace freestone
