// How texts that a kernel would print are put together. Like the kernel, `%u`, `%x` and `%d` print the lower 32 bits; long and
// size_t are 64 bits, whatever the caller's word.
#pragma once

#include <cinttypes>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace freestone::device::detail {

[[gnu::format(printf, 2, 3)]] inline void print(std::string& text, const char* format, ...) {
  std::va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  const std::size_t end = text.size();
  const auto length = static_cast<std::size_t>(std::vsnprintf(nullptr, 0, format, values));
  text.resize(end + length);
  std::vsnprintf(text.data() + end, length + 1, format, again);
  va_end(again);
  va_end(values);
}
// `%p` of kernels before 4.15, of which an address has so many digits.
inline void print_pointer(std::string& text, std::uint64_t address, int digits) {
  if (address == 0) return print(text, "%*s", digits, "(null)");
  print(text, "%0*" PRIx64, digits, address);
}
constexpr std::uint32_t low(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value); }

}  // namespace freestone::device::detail
