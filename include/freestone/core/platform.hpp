// What a personality (device/) needs of the system that it runs in. A platform binds these and decides nothing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// Copies between a caller's memory and ours. A fault is an error of the call and nothing more: bytes before it may have
// been copied, nothing is left locked.
template <class P>
concept can_copy = requires(P& p, std::uint64_t user, std::span<std::byte> to, std::span<const std::byte> from) {
  { p.copy_in(to, user) } noexcept -> std::same_as<Result<void>>;
  { p.copy_out(user, from) } noexcept -> std::same_as<Result<void>>;
};

// Shows a block to the process that calls, and takes it back from every process that still sees it: after `revoke`
// no access through an old mapping reaches the block's bytes.
template <class P>
concept can_map = requires(P& p, typename P::Mapping& mapping, Block block) {
  { p.map(mapping, block) } noexcept -> std::same_as<Result<void>>;
  { p.revoke(block) } noexcept;
};

// Who calls, told apart for as long as he lives: equal only for one and the same process.
template <class P>
concept can_identify = requires(P& p) {
  { p.process() } noexcept -> std::equality_comparable;
};

// A line for the system's log. Never fails, may be dropped.
template <class P>
concept can_log = requires(P& p, const char* line) {
  { p.log(line) } noexcept;
};

template <class P>
concept Platform = can_copy<P> && can_map<P> && can_identify<P> && can_log<P>;

// For those who ask a platform nothing but who calls.
template <class P>
consteval bool check_identity() {
  static_assert(can_identify<P>, "A Platform must have process() noexcept, whose result can be compared.");
  return can_identify<P>;
}

template <class P>
consteval bool check_platform() {
  static_assert(can_copy<P>,
                "A Platform must have Result<void> copy_in(std::span<std::byte>, std::uint64_t) noexcept and "
                "copy_out(std::uint64_t, std::span<const std::byte>) noexcept.");
  static_assert(can_map<P>,
                "A Platform must have a type Mapping, Result<void> map(Mapping&, Block) noexcept and "
                "revoke(Block) noexcept.");
  static_assert(can_log<P>, "A Platform must have log(const char*) noexcept.");
  return check_identity<P>() && Platform<P>;
}

}  // namespace freestone
