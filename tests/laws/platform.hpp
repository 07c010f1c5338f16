// What holds for every platform. The models' process has memory at `memory_start`, and none at 0; their mapping says
// which block it shows.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include <freestone/core/platform.hpp>

namespace freestone::laws {

// What was copied out is what comes in again, and its neighbours are not touched.
struct CopiesArrive {
  template <class P>
  static bool holds() {
    P platform;
    const std::array sent{std::byte{1}, std::byte{2}, std::byte{3}};
    std::array<std::byte, 5> back{};
    back.fill(std::byte{9});
    const std::uint64_t user = P::memory_start + 4;
    if (!platform.copy_out(user, sent) || !platform.copy_in(std::span(back).subspan(1, 3), user)) return false;
    if (back != std::array{std::byte{9}, sent[0], sent[1], sent[2], std::byte{9}}) return false;
    return platform.copy_in(std::span(back).subspan(1, 1), user - 1) && back[1] == std::byte{0};
  }
};

// A fault is an error of the call, and the next call is served.
struct AFaultIsAnError {
  template <class P>
  static bool holds() {
    P platform;
    std::array<std::byte, 3> bytes{};
    if (platform.copy_in(bytes, 0) || platform.copy_out(0, bytes)) return false;
    if (platform.copy_in(bytes, ~std::uint64_t{0}) || platform.copy_out(~std::uint64_t{0}, bytes)) return false;
    return platform.copy_in(bytes, P::memory_start) && platform.copy_out(P::memory_start, bytes);
  }
};

// A block is seen from map to revoke, and may be mapped again.
struct RevokedIsNoLongerSeen {
  template <class P>
  static bool holds() {
    P platform;
    const Block block(4096, 8192, 1);
    for (int i = 0; i < 2; ++i) {
      typename P::Mapping mapping;
      if (!platform.map(mapping, block) || mapping.block != block) return false;
      platform.revoke(Block(0, 4096, 1));
      if (mapping.block != block) return false;
      platform.revoke(block);
      if (mapping.block) return false;
    }
    return true;
  }
};

struct AProcessIsItself {
  template <class P>
  static bool holds() {
    P platform;
    const auto first = platform.process();
    platform.log("between two calls");
    return first == platform.process();
  }
};

}  // namespace freestone::laws
