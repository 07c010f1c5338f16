#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include <freestone/cache/concept.hpp>
#include <freestone/core/unwatched.hpp>

#if !defined(NVALGRIND) && __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define FREESTONE_LOOK_AWAY VALGRIND_DISABLE_ERROR_REPORTING
#define FREESTONE_LOOK_AGAIN VALGRIND_ENABLE_ERROR_REPORTING
#else
#define FREESTONE_LOOK_AWAY static_cast<void>(0)
#define FREESTONE_LOOK_AGAIN static_cast<void>(0)
#endif

namespace freestone::cache {

// A CPU whose caches no device sees, in software: with it a forgotten clean or invalidate fails on any machine. The
// zone's bytes are what the CPU sees; what lies in memory, where devices read and write, is a copy of its own. A line
// that was written is told by a third copy, of what it was when the CPU got it: so storing the value that the CPU had
// already is no write, and no clean brings it to memory. Whoever overwrites what a device may have changed invalidates
// first, as a bracket does.
//
// Devices are played through `device_read` and `device_write` of zone.cache(). Nothing goes to and fro by itself, so that
// what is forgotten is always seen; `evict` does what a real cache does at any moment, so that what must never happen
// (the CPU writes while a device does, two of them in one line) is seen too.
//
// Costs the zone's bytes twice over. Copies of one are one and the same; but each handle of a shared zone has a model of
// its own, and what goes through one of them is not in another's memory. Who may call: several threads, no two of them at
// bytes of one line.
class Modelled {
 public:
  static constexpr Cacheability cacheability = Cacheability::cached;
  static constexpr std::size_t line = 64;

  // Of no zone: nothing is to be done.
  Modelled() noexcept = default;

  // out_of_memory.
  static Result<Modelled> over(const CacheView& all) noexcept {
    const auto size = static_cast<std::size_t>(all.size.value());
    const bool is_too_much = all.size.value() > SIZE_MAX / 4;
    void* const room = is_too_much ? nullptr : ::operator new(sizeof(Copies) + 2 * size, std::nothrow);
    if (room == nullptr) return Error{.code = ErrorCode::out_of_memory, .asked = all.size.value()};
    Modelled made;
    made.copies_ = ::new (room) Copies;
    made.cpu_ = all.data;
    made.size_ = size;
    const LookAway away;
    copy(made.memory(0), made.cpu_, size);
    copy(made.as_it_was(0), made.memory(0), size);
    return made;
  }

  Modelled(const Modelled& other) noexcept : copies_(other.copies_), cpu_(other.cpu_), size_(other.size_) {
    if (copies_ != nullptr) ++copies_->users;
  }
  Modelled& operator=(const Modelled& other) noexcept {
    Modelled copy(other);
    std::swap(copies_, copy.copies_);
    std::swap(cpu_, copy.cpu_);
    std::swap(size_, copy.size_);
    return *this;
  }
  ~Modelled() {
    if (copies_ == nullptr || --copies_->users != 0) return;
    copies_->~Copies();
    ::operator delete(copies_);
  }

  Result<void> clean(const CacheView& view) noexcept {
    each_line(view, [this](std::size_t at, std::size_t size) { write_back(at, size); });
    return {};
  }
  // What was written and not cleaned is lost, but for lines that are not all in the range: their other bytes are
  // somebody's, so they are written back first.
  Result<void> invalidate(const CacheView& view) noexcept {
    const std::size_t begin = offset_of(view);
    const std::size_t end = begin + static_cast<std::size_t>(view.size.value());
    each_line(view, [&](std::size_t at, std::size_t size) {
      if (at < begin || at + size > end) write_back(at, size);
      fetch(at, size);
    });
    return {};
  }

  // As a device does: from memory, and into it. False, and nothing happens, where that is not all in the zone.
  bool device_read(Bytes offset, std::span<std::byte> to) const noexcept {
    if (!is_inside(offset, to.size())) return false;
    std::memcpy(to.data(), memory(static_cast<std::size_t>(offset.value())), to.size());
    return true;
  }
  bool device_write(Bytes offset, std::span<const std::byte> from) noexcept {
    if (!is_inside(offset, from.size())) return false;
    std::memcpy(memory(static_cast<std::size_t>(offset.value())), from.data(), from.size());
    return true;
  }

  // Half of the lines, by `seed`, leave the cache: written back where they were written, and read again at once.
  void evict(std::uint64_t seed) noexcept {
    const LookAway away;
    for (std::size_t at = 0; at < size_; at += line) {
      seed = seed * 6364136223846793005U + 1442695040888963407U;
      if ((seed >> 63) == 0) continue;
      const std::size_t size = std::min(line, size_ - at);
      write_back(at, size);
      fetch(at, size);
    }
  }

  // Lines that the CPU has written and nobody cleaned.
  std::size_t dirty_lines() const noexcept {
    const LookAway away;
    std::size_t dirty = 0;
    for (std::size_t at = 0; at < size_; at += line) dirty += is_dirty(at, std::min(line, size_ - at));
    return dirty;
  }

 private:
  // What is in memory, and behind it what each line was.
  struct Copies {
    std::atomic<unsigned> users = 1;
  };
  std::byte* memory(std::size_t at) const noexcept { return reinterpret_cast<std::byte*>(copies_ + 1) + at; }
  std::byte* as_it_was(std::size_t at) const noexcept { return memory(size_ + at); }

  bool is_inside(Bytes offset, std::size_t size) const noexcept {
    return offset.value() <= size_ && size <= size_ - offset.value();
  }
  std::size_t offset_of(const CacheView& view) const noexcept { return static_cast<std::size_t>(view.data - cpu_); }

  // Lines have bytes of several blocks, and some of none, which an Annotated round the zone forbids to everybody else: the
  // CPU's bytes are touched by the next two functions alone, and while a LookAway lives.
  struct LookAway {
    LookAway() noexcept { FREESTONE_LOOK_AWAY; }
    ~LookAway() { FREESTONE_LOOK_AGAIN; }
    LookAway(const LookAway&) = delete;
    LookAway& operator=(const LookAway&) = delete;
  };
  using Word [[gnu::may_alias, gnu::aligned(1)]] = std::uint64_t;

  FREESTONE_UNWATCHED static void copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
    volatile std::byte* const out = to;
    const volatile std::byte* const in = from;
    std::size_t i = 0;
    for (; size - i >= sizeof(Word); i += sizeof(Word)) {
      *reinterpret_cast<volatile Word*>(out + i) = *reinterpret_cast<const volatile Word*>(in + i);
    }
    for (; i < size; ++i) out[i] = in[i];
  }
  FREESTONE_UNWATCHED static bool differ(const std::byte* one, const std::byte* other, std::size_t size) noexcept {
    const volatile std::byte* const a = one;
    const volatile std::byte* const b = other;
    std::size_t i = 0;
    while (size - i >= sizeof(Word) &&
           *reinterpret_cast<const volatile Word*>(a + i) == *reinterpret_cast<const volatile Word*>(b + i)) {
      i += sizeof(Word);
    }
    while (i < size && a[i] == b[i]) ++i;
    return i < size;
  }

  bool is_dirty(std::size_t at, std::size_t size) const noexcept { return differ(cpu_ + at, as_it_was(at), size); }
  void write_back(std::size_t at, std::size_t size) noexcept {
    if (!is_dirty(at, size)) return;
    copy(memory(at), cpu_ + at, size);
    copy(as_it_was(at), memory(at), size);
  }
  void fetch(std::size_t at, std::size_t size) noexcept {
    copy(cpu_ + at, memory(at), size);
    copy(as_it_was(at), memory(at), size);
  }

  // act(offset, size) for each line that the view touches; of a zone that does not end with one, the last is shorter.
  template <class Act>
  void each_line(const CacheView& view, Act&& act) noexcept {
    if (view.data == nullptr || view.size == 0 || cpu_ == nullptr) return;
    const std::size_t begin = offset_of(view);
    if (!is_inside(begin, static_cast<std::size_t>(view.size.value()))) return;
    const LookAway away;
    const std::size_t end = begin + static_cast<std::size_t>(view.size.value());
    for (std::size_t at = begin & ~(line - 1); at < end; at += line) act(at, std::min(line, size_ - at));
  }

  Copies* copies_ = nullptr;
  std::byte* cpu_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace freestone::cache

#undef FREESTONE_LOOK_AWAY
#undef FREESTONE_LOOK_AGAIN
