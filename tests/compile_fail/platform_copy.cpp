// expects: A Platform must have Result<void> copy_in(std::span<std::byte>, std::uint64_t) noexcept and copy_out(std::uint64_t, std::span<const std::byte>) noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_platform::Copy;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_platform::Map, parts::of_platform::Identity, parts::of_platform::Log {};

static_assert(freestone::check_platform<Mine>());
