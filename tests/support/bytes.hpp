// What stands in many bytes.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace freestone::tests {

// By one comparison with themselves, a byte further: where nothing is optimised, and under a sanitizer, a loop takes ages.
inline bool all_are(std::span<const std::byte> bytes, int value) {
  return bytes.empty() || (bytes[0] == static_cast<std::byte>(value) &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace freestone::tests
