#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace freestone::bench {

namespace {

std::optional<std::uint64_t> parse_digits(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The power of 1024 that a suffix means.
std::optional<unsigned> parse_unit(std::string_view suffix) {
  static constexpr std::string_view units = "KMGTPE";
  if (suffix.empty() || suffix == "B" || suffix == "b") return 0;
  const auto unit = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(suffix.front()))));
  const std::string_view rest = suffix.substr(1);
  const bool closes = rest.empty() || rest == "iB" || rest == "ib" || rest == "B" || rest == "b" || rest == "i";
  if (unit == std::string_view::npos || !closes) return std::nullopt;
  return static_cast<unsigned>(unit) + 1;
}

// Three figures that count.
std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) { return parse_digits(text, 10); }

std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_digits(text.substr(2), 16);
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto value = parse_number(text.substr(0, digits));
  const auto unit = parse_unit(text.substr(digits));
  if (!value || !unit || (*unit != 0 && *value > (UINT64_MAX >> (10 * *unit)))) return std::nullopt;
  return *value << (10 * *unit);
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1023.5 && unit + 1 < units.size(); ++unit) value /= 1024;
  const bool whole = value == std::floor(value);
  return fmt::format("{} {}", whole ? fmt::format("{:.0f}", value) : three_digits(value), units[unit]);
}

std::string human_count(std::uint64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string human_nanoseconds(double time) {
  if (time < 9.95) return fmt::format("{:.1f}", time);
  if (time < 9999.5) return fmt::format("{:.0f}", time);
  const double thousands = time / 1000;
  return thousands < 999.5 ? fmt::format("{:.0f}k", thousands) : fmt::format("{:.1f}M", thousands / 1000);
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", human_count(count), noun, count == 1 ? "" : "s");
}

}  // namespace freestone::bench
