#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/cache/barrier.hpp>
#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// What one line of this CPU's caches is, and what can be done to it. `wait` returns when all of it is done.
struct HostLines {
  // Is there anything that this program may do? (Not on 32-bit Arm: there only the kernel may.)
  static constexpr bool there_are =
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
      true;
#else
      false;
#endif

  // Bytes; a power of two.
  static std::uintptr_t size() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    return features() & line_mask;
#elif defined(__aarch64__)
    std::uint64_t type;
    __asm__("mrs %0, ctr_el0" : "=r"(type));
    return std::uintptr_t{4} << (type >> 16 & 15);
#else
    return 64;
#endif
  }

  static void clean(std::byte* line) noexcept {
#if defined(__x86_64__) || defined(__i386__)
    if ((features() & has_clwb) != 0) {
      __asm__ __volatile__("clwb %0" : "+m"(*line)::"memory");
    } else {
      clean_and_invalidate(line);
    }
#elif defined(__aarch64__)
    __asm__ __volatile__("dc cvac, %0" ::"r"(line) : "memory");
#else
    static_cast<void>(line);
#endif
  }
  static void clean_and_invalidate(std::byte* line) noexcept {
#if defined(__x86_64__) || defined(__i386__)
    if ((features() & has_clflushopt) != 0) {
      __asm__ __volatile__("clflushopt %0" : "+m"(*line)::"memory");
    } else {
      __asm__ __volatile__("clflush %0" : "+m"(*line)::"memory");
    }
#elif defined(__aarch64__)
    __asm__ __volatile__("dc civac, %0" ::"r"(line) : "memory");
#else
    static_cast<void>(line);
#endif
  }
  // Neither x86 nor a program on Arm can drop a line that was written: it goes back first. That is the safe thing, for
  // the line's other bytes may be a neighbour's.
  static void invalidate(std::byte* line) noexcept { clean_and_invalidate(line); }

  static void wait() noexcept { barrier::all(); }

 private:
#if defined(__x86_64__) || defined(__i386__)
  static constexpr std::uintptr_t line_mask = 0xFFF;
  static constexpr std::uintptr_t has_clflushopt = 1U << 12;
  static constexpr std::uintptr_t has_clwb = 1U << 13;

  // Asked of the CPU once: a hypervisor may have to answer.
  static std::uintptr_t features() noexcept {
    static constinit std::uintptr_t known = 0;
    std::uintptr_t features = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (features == 0) __atomic_store_n(&known, features = ask(), __ATOMIC_RELAXED);
    return features;
  }
  static std::uintptr_t ask() noexcept {
    std::uint32_t a = 0, b = 0, c = 0, d = 0;
    const auto cpuid = [&](std::uint32_t leaf) {
      __asm__ __volatile__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(leaf), "2"(0));
      return b;
    };
    std::uintptr_t features = (cpuid(1) >> 8 & 0xFF) * 8;  // CLFLUSH line size, in 8 bytes
    if (features == 0) features = 64;
    if (cpuid(0), a >= 7) {
      const std::uint32_t more = cpuid(7);
      if ((more >> 23 & 1) != 0) features |= has_clflushopt;
      if ((more >> 24 & 1) != 0) features |= has_clwb;
    }
    return features;
  }
#endif
};

// The CPU caches the bytes and a device does not see its caches: lines are written back and dropped. A range is rounded
// out to whole lines; lines that ranges of a list share are done once, where it is sorted by where they begin.
//
// Cost: one instruction a line and one wait a call, for as long as memory takes.
template <class Lines>
class BasicWriteBack {
 public:
  static constexpr Cacheability cacheability = Cacheability::cached;

  Result<void> clean(const CacheView& view) noexcept { return clean({&view, 1}); }
  Result<void> invalidate(const CacheView& view) noexcept { return invalidate({&view, 1}); }
  Result<void> clean_and_invalidate(const CacheView& view) noexcept {
    return each_line({&view, 1}, [](std::byte* line) { Lines::clean_and_invalidate(line); });
  }
  Result<void> clean(std::span<const CacheView> views) noexcept {
    return each_line(views, [](std::byte* line) { Lines::clean(line); });
  }
  Result<void> invalidate(std::span<const CacheView> views) noexcept {
    return each_line(views, [](std::byte* line) { Lines::invalidate(line); });
  }

 private:
  template <class Do>
  static Result<void> each_line(std::span<const CacheView> views, Do&& act) noexcept {
    static_assert(Lines::there_are, "WriteBack: a program may not touch the caches of this target.");
    const std::uintptr_t step = Lines::size();
    std::uintptr_t first = 0, last = 0;  // the lines done last, these two among them: a range may end where addresses do
    bool any = false;
    for (const CacheView& view : views) {
      if (view.data == nullptr || view.size == 0) continue;
      const auto begin = reinterpret_cast<std::uintptr_t>(view.data);
      const std::uintptr_t end = (begin + static_cast<std::uintptr_t>(view.size.value() - 1)) & ~(step - 1);
      std::uintptr_t line = begin & ~(step - 1);
      if (any && first <= line && line <= last) {
        if (end <= last) continue;
        line = last + step;
      } else {
        first = line;
      }
      for (last = end; act(reinterpret_cast<std::byte*>(line)), line != end;) line += step;
      any = true;
    }
    if (any) Lines::wait();
    return {};
  }
};

using WriteBack = BasicWriteBack<HostLines>;

}  // namespace freestone::cache
