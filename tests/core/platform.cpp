#include <freestone/core/platform.hpp>

#include <doctest/doctest.h>

#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

// Each lacks one thing.
struct NoCopy : MinimalPlatform {
  void copy_in(std::span<std::byte>, std::uint64_t) noexcept {}
};
struct NoMapping : MinimalPlatform {
  using Mapping = void;
};
struct NoProcess : MinimalPlatform {
  void process() noexcept {}
};
struct LogMayThrow : MinimalPlatform {
  void log(const char*) {}
};

static_assert(Platform<MinimalPlatform> && Platform<HostilePlatform>);
static_assert(!can_copy<NoCopy> && !Platform<NoCopy>);
static_assert(!can_map<NoMapping> && !Platform<NoMapping>);
static_assert(!can_identify<NoProcess> && !Platform<NoProcess>);
static_assert(check_identity<MinimalPlatform>() && check_identity<NoCopy>());
static_assert(!can_log<LogMayThrow> && !Platform<LogMayThrow>);

}  // namespace

TEST_CASE("a platform is what has all four parts") {
  CHECK(check_platform<MinimalPlatform>());
  CHECK(check_platform<HostilePlatform>());
}
