// Names of heaps: text in a type.
#pragma once

#include <cstddef>

namespace freestone {

// As long as the names of MMZ's zones may be.
inline constexpr std::size_t most_name_length = 31;

// Text as a template argument: heap<"camera">.
template <std::size_t N>
struct Text {
  char text[N] = {};

  consteval Text(const char (&from)[N]) noexcept {
    for (std::size_t i = 0; i < N; ++i) text[i] = from[i];
  }
};

}  // namespace freestone
