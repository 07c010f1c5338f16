// Which bytes of a zone are a live block's, told to the tools that watch a program's accesses: ASan, MSan, Valgrind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/layers/layer.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define FREESTONE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FREESTONE_ASAN 1
#elif __has_feature(memory_sanitizer)
#define FREESTONE_MSAN 1
#endif
#endif

#if defined(FREESTONE_ASAN)
#include <sanitizer/asan_interface.h>
#elif defined(FREESTONE_MSAN)
#include <sanitizer/msan_interface.h>
#elif !defined(NVALGRIND) && __has_include(<valgrind/memcheck.h>)
#define FREESTONE_MEMCHECK 1
#include <valgrind/memcheck.h>
#endif

namespace freestone::layers {

// A tool: what to say of bytes that nobody may touch, and of those that somebody may; and that what comes now is
// another layer's doing, until it is over. The functions have no state, and any thread may call.

struct NoTool {
  static void forbid(std::span<std::byte>) noexcept {}
  static void allow(std::span<std::byte>) noexcept {}
  static void look_away() noexcept {}
  static void look_again() noexcept {}
};

#if defined(FREESTONE_ASAN)
struct Asan : NoTool {
  static void forbid(std::span<std::byte> bytes) noexcept { __asan_poison_memory_region(bytes.data(), bytes.size()); }
  static void allow(std::span<std::byte> bytes) noexcept { __asan_unpoison_memory_region(bytes.data(), bytes.size()); }
};
using ToolOfThisBuild = Asan;
#elif defined(FREESTONE_MSAN)
struct Msan : NoTool {  // what is forbidden has no value, and using it is reported; writing it is not
  static void forbid(std::span<std::byte> bytes) noexcept { __msan_poison(bytes.data(), bytes.size()); }
  static void allow(std::span<std::byte> bytes) noexcept { __msan_unpoison(bytes.data(), bytes.size()); }
};
using ToolOfThisBuild = Msan;
#elif defined(FREESTONE_MEMCHECK)
struct Memcheck {  // some instructions a call where Valgrind is not running
  static void forbid(std::span<std::byte> bytes) noexcept {
    static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(bytes.data(), bytes.size()));
  }
  static void allow(std::span<std::byte> bytes) noexcept {
    static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(bytes.data(), bytes.size()));
  }
  static void look_away() noexcept { VALGRIND_DISABLE_ERROR_REPORTING; }
  static void look_again() noexcept { VALGRIND_ENABLE_ERROR_REPORTING; }
};
using ToolOfThisBuild = Memcheck;
#else
using ToolOfThisBuild = NoTool;
#endif

// Bytes that are no live block's are forbidden, so that a use after free, and an overrun into a granule that is free,
// is reported where it happens. Those of a live one are allowed, as what `data` shows, and have values: whoever had
// them before may have left some. All are allowed when the handle goes. Write it first: behind a Quarantine what that
// holds is live, and so allowed.
//
// Where the zone has no range (a strategy that keeps books only) the host's own heap is watched already, and nothing is
// said. Of a zone that other handles share, what they allocate is allowed once this one's data() shows it. Wherever it
// stands among other layers, those may touch what is forbidden: they are Freestone's. Cost: the tool's; to make one, a
// walk over the blocks (where the backing has gaps: over the granules).
template <class Z, class Tool>
class AnnotatedFor : public Layer<AnnotatedFor<Z, Tool>, Z> {
  using Base = Layer<AnnotatedFor, Z>;
  friend Base;
  static_assert(has_data<Z>, "Annotated: the CPU must see the bytes, so the Backing must have cpu_pointer, or obtain.");

 public:
  using Backing = typename Z::Backing;

  static constexpr bool sees_each_call = true;

  AnnotatedFor(AnnotatedFor&& other) noexcept
      : Base(std::move(other)), is_here_(std::exchange(other.is_here_, false)) {}
  AnnotatedFor& operator=(AnnotatedFor&& other) noexcept {
    if (this != &other) {
      allow_all();
      Base::operator=(std::move(other));
      is_here_ = std::exchange(other.is_here_, false);
    }
    return *this;
  }
  ~AnnotatedFor() { allow_all(); }

  std::span<std::byte> data(const Block& block) const noexcept {
    const auto shown = unwatched([&] { return Z::data(block); });
    if constexpr (Backing::shared) Tool::allow(shown);
    return shown;
  }

  template <bool is_checked = accesses_are_checked, class... Range>
  auto cpu_read(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<Backing>
  {
    return shown(unwatched([&] { return Z::template cpu_read<is_checked>(block, range...); }));
  }
  template <bool is_checked = accesses_are_checked, class... Range>
  auto cpu_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<Backing>
  {
    return shown(unwatched([&] { return Z::template cpu_write<is_checked>(block, range...); }));
  }
  template <bool is_checked = accesses_are_checked, class... Range>
  auto cpu_read_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<Backing>
  {
    return shown(unwatched([&] { return Z::template cpu_read_write<is_checked>(block, range...); }));
  }

  // What layers behind look at by themselves, where they are there.
  template <class... What>
  auto clean(const What&... what) noexcept {
    return unwatched([&] { return Z::clean(what...); });
  }
  template <class... What>
  auto invalidate(const What&... what) noexcept {
    return unwatched([&] { return Z::invalidate(what...); });
  }
  template <class... What>
  auto clean_and_invalidate(const What&... what) noexcept {
    return unwatched([&] { return Z::clean_and_invalidate(what...); });
  }
  Result<void> check_block(const Block& block) noexcept
    requires requires(Z& zone) { zone.check_block(block); }
  {
    return unwatched([&] { return Z::check_block(block); });
  }
  Result<void> check_all() noexcept
    requires requires(Z& zone) { zone.check_all(); }
  {
    return unwatched([&] { return Z::check_all(); });
  }
  Result<void> forgive(Bytes offset) noexcept
    requires requires(Z& zone) { zone.forgive(offset); }
  {
    const auto done = unwatched([&] { return Z::forgive(offset); });
    if (!done) return done;
    const auto block = unwatched([&] { return Z::find(offset); });
    if (block) allow(*block, 0);  // it may show more now
    return done;
  }
  Result<void> flush() noexcept
    requires requires(Z& zone) { zone.flush(); }
  {
    return unwatched([&] { return Z::flush(); });
  }

  template <class Next>
  Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    auto block = unwatched([&] { return next(request); });
    if (block) allow(*block, 0);
    return block;
  }
  template <class Next>
  Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    auto list = unwatched([&] { return next(request); });
    if (list) {
      for (const Block& block : *list) allow(block, 0);
    }
    return list;
  }
  template <class Next>
  Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    const auto before = bytes_of(block);
    const std::uint64_t kept = bits::align_up(size.value(), this->granule().value());
    const bool is_shorter = kept != 0 && kept < before.size();
    const auto leaving = before.subspan(is_shorter ? static_cast<std::size_t>(kept) : before.size());
    Tool::forbid(leaving);  // before they are another's
    auto resized = unwatched([&] { return next(block, size); });
    if (!resized) {
      Tool::allow(leaving);
      return resized;
    }
    const std::size_t stays = before.size() - leaving.size();
    allow(*resized, stays);
    const std::size_t shown = unwatched([&] { return Z::data(*resized); }).size();
    if (shown < stays) Tool::forbid(before.subspan(shown, stays - shown));  // the layer's
    return resized;
  }
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const auto bytes = bytes_of(block);
    Tool::forbid(bytes);  // before they are another's
    auto done = unwatched([&] { return next(block); });
    if (!done) Tool::allow(bytes);
    return done;
  }
  void after_recover() noexcept { tell_all(); }

 private:
  AnnotatedFor(Z&& zone, const typename Base::Settings&) noexcept : Base(std::move(zone)) { tell_all(); }

  template <class Do>
  static auto unwatched(Do&& act) noexcept {
    struct Away {
      Away() noexcept { Tool::look_away(); }
      ~Away() { Tool::look_again(); }
    } const away;
    return act();
  }

  template <class Access>
  static auto shown(Access access) noexcept {
    if constexpr (Backing::shared) {
      if (access) Tool::allow({const_cast<std::byte*>(access->data()), access->size()});
    }
    return access;
  }

  // Of a live block of a range.
  std::span<std::byte> bytes_of(const Block& block) noexcept {
    if constexpr (Z::Strategy::places) {
      return unwatched([&] {
        const auto live = live_block<Z>(*this, block);
        return live ? Z::data(*live) : std::span<std::byte>{};
      });
    }
    return {};
  }
  // From byte `from` on.
  void allow(const Block& block, std::size_t from) noexcept {
    if constexpr (Z::Strategy::places) {
      const auto shown = unwatched([&] { return Z::data(block); });
      if (from < shown.size()) Tool::allow(shown.subspan(from));
    }
  }

  void tell_all() noexcept {
    for_each_part([](std::span<std::byte> part) { Tool::forbid(part); });
    unwatched([&] { Z::for_each_block([&](const Block& block) { allow(block, 0); }); });
  }
  void allow_all() noexcept {
    if (is_here_) for_each_part([](std::span<std::byte> part) { Tool::allow(part); });
  }
  // All bytes of the range that the CPU sees, in parts that are in one piece.
  template <class Visitor>
  void for_each_part(Visitor&& visit) noexcept {
    if constexpr (Z::Strategy::places) {
      const std::uint64_t size = this->size().value();
      const std::uint64_t step = has_gaps<Backing> ? this->granule().value() : size;
      for (std::uint64_t offset = 0; offset < size; offset += step) {
        if (const auto part = this->backing().cpu_pointer(offset)) visit({*part, static_cast<std::size_t>(step)});
      }
    }
  }

  bool is_here_ = true;  // not moved away
};

// A build that no tool watches has the zone itself. So write out the types of settings where it is made: `{}` is those
// of the outermost layer, and this may be one or not.
template <class Z>
using Annotated =
    std::conditional_t<std::is_same_v<ToolOfThisBuild, NoTool>, Z, AnnotatedFor<Z, ToolOfThisBuild>>;

}  // namespace freestone::layers
