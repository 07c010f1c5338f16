#pragma once

namespace freestone {

// Both are texts that end, or not there; what is not there is no text's equal, nor its own.
constexpr bool is_same_text(const char* a, const char* b) noexcept {
  if (a == nullptr || b == nullptr) return false;
  for (; *a != '\0' && *a == *b; ++a, ++b) {
  }
  return *a == *b;
}

}  // namespace freestone
