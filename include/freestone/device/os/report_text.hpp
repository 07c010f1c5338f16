// How texts that a kernel would print are put together. Like the kernel, `%u`, `%x` and `%d` print the lower 32 bits; long and
// size_t are 64 bits, whatever the caller's word.
#pragma once

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
constexpr std::uint32_t low(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value); }

}  // namespace freestone::device::detail
