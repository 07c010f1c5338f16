#pragma once

#include <type_traits>

#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// Reads bypass the CPU's caches, writes wait in its buffers: `clean` drains them, so that a device reads them once it
// returned; what is read after `invalidate` is no older than that. Read such bytes as rarely as you can: each read is
// one of the bus.
struct WriteCombine {
  static constexpr Cacheability cacheability = Cacheability::write_combined;

  constexpr Result<void> clean(const CacheView&) noexcept {
    if (!std::is_constant_evaluated()) drain();
    return {};
  }
  constexpr Result<void> invalidate(const CacheView&) noexcept {
    if (!std::is_constant_evaluated()) __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return {};
  }

 private:
  // A fence of the compiler's orders cached memory alone on x86.
  static void drain() noexcept {
#if defined(__x86_64__) || defined(__SSE__)
    __asm__ __volatile__("sfence" ::: "memory");
#elif defined(__i386__)
    __asm__ __volatile__("lock; addl $0,0(%%esp)" ::: "memory", "cc");
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
    __asm__ __volatile__("dsb st" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
  }
};

}  // namespace freestone::cache
