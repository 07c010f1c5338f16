#pragma once

#include <cstdint>

namespace freestone {

// How the CPU sees the bytes. A backing states which of these it can give, a cache policy which it is for.
enum class Cacheability : std::uint8_t { cached, uncached };

}  // namespace freestone
