// Policies in parts, so that each test leaves one out. Nothing here is ever called.
#pragma once

#include <freestone/freestone.hpp>

namespace parts {

using namespace freestone;

struct Nothing {};
struct NotCopyable {
  NotCopyable() = default;
  NotCopyable(const NotCopyable&) = delete;
};
struct NotMovable : NotCopyable {
  NotMovable(NotMovable&&) = delete;
};

namespace of_strategy {
struct Constants {
  static constexpr std::uint32_t id = 7;
  static constexpr bool exact_release = true;
  static constexpr bool places = true;
};
struct Footprint {
  static std::size_t footprint(Granules capacity) noexcept;
};
template <class S>
struct Format {
  static Result<S> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept;
  static Result<S> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept;
};
struct Place {
  std::optional<Extent> place(Granules count, Granules align) noexcept;
};
struct Release {
  Released release(Granules first) noexcept;
};
struct Tell {
  Granules length_of(Granules first) const noexcept;
  Granules free_granules() const noexcept;
  Granules largest_free() const noexcept;
  template <class Visitor>
  void for_each_block(Visitor&& visit) const;
};
}  // namespace of_strategy

namespace of_lock {
struct Constants {
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = true;
};
template <class L>
struct Words {
  static L format(std::uint64_t* words) noexcept;
  static L attach(std::uint64_t* words) noexcept;
};
struct Locking {
  void lock() noexcept;
  void unlock() noexcept;
};
}  // namespace of_lock

namespace of_cache {
struct Constants {
  static constexpr Cacheability cacheability = Cacheability::cached;
};
struct Maintenance {
  Result<void> clean(const CacheView& view) noexcept;
  Result<void> invalidate(const CacheView& view) noexcept;
};
}  // namespace of_cache

namespace of_backing {
struct Constants {
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }
};
struct Range {
  Bytes size() const noexcept;
  Bytes base() const noexcept;
  std::span<std::uint64_t> notes() noexcept;
};
}  // namespace of_backing

namespace of_platform {
struct Copy {
  Result<void> copy_in(std::span<std::byte> to, std::uint64_t user) noexcept;
  Result<void> copy_out(std::uint64_t user, std::span<const std::byte> from) noexcept;
};
struct Map {
  struct Mapping {};
  Result<void> map(Mapping& mapping, Block block) noexcept;
  void revoke(Block block) noexcept;
};
struct Identity {
  int process() noexcept;
};
struct Log {
  void log(const char* line) noexcept;
};
}  // namespace of_platform

}  // namespace parts
