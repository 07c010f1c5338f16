// What a device takes whose clients are all in its own process: its Platform, where they see its memory as it does, and
// chance for its key.
#pragma once

#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include <freestone/core/platform.hpp>
#include <freestone/share/keyed_tag.hpp>

struct OneProcess {
  struct Mapping {};

  freestone::Result<void> copy_in(std::span<std::byte> to, std::uint64_t user) noexcept {
    return std::memcpy(to.data(), reinterpret_cast<const void*>(static_cast<std::uintptr_t>(user)), to.size()),
           freestone::ErrorCode::none;
  }
  freestone::Result<void> copy_out(std::uint64_t user, std::span<const std::byte> from) noexcept {
    return std::memcpy(reinterpret_cast<void*>(static_cast<std::uintptr_t>(user)), from.data(), from.size()),
           freestone::ErrorCode::none;
  }
  freestone::Result<void> map(Mapping&, freestone::Block) noexcept { return {}; }
  void revoke(freestone::Block) noexcept {}
  pid_t process() noexcept { return getpid(); }
  void log(const char* line) noexcept { std::fprintf(stderr, "%s\n", line); }
};

inline freestone::TagKey fresh_key() {
  freestone::TagKey key;
  if (getrandom(&key, sizeof key, 0) != sizeof key) std::abort();  // so few bytes come whole (getrandom(2))
  return key;
}
