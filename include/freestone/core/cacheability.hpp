#pragma once

#include <cstdint>

namespace freestone {

// How the CPU sees the bytes. A backing states which of these it can give, a cache policy which it is for.
enum class Cacheability : std::uint8_t {
  cached,
  uncached,
  write_combined,  // reads bypass the caches; writes are gathered, and leave in any order
};

// Is it one of these? A number from outside may be none.
constexpr bool is_known(Cacheability seen) noexcept { return seen <= Cacheability::write_combined; }

// What somebody is about to do with the bytes.
enum class Access : std::uint8_t { read = 1, write = 2, read_write = 3 };

constexpr bool writes(Access access) noexcept { return access != Access::read; }

}  // namespace freestone
