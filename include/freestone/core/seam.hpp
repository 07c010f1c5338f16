// What a host supplies, all in one place: how to stop, how to wait a moment, what time it is, and atomics. These are
// the compiler's own, so they serve user space, a kernel and bare metal alike.
#pragma once

#include <cstdint>

namespace freestone {

namespace seam {

// A promise of the caller's. Where it is broken the program ends here, before anything is touched.
constexpr void expect(bool promise) noexcept {
  if (!promise) [[unlikely]]
    __builtin_trap();
}

// A hint to the core that it spins.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
  __asm__ __volatile__("yield" ::: "memory");
#endif
}

// A hint to the core that these bytes will be written soon.
inline void prefetch(const void* bytes) noexcept { __builtin_prefetch(bytes, 1); }

// A counter that never falls on one core, in units of its own; 0 where there is none that every mode may read.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t count;
  __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(count));
  return count;
#else
  return 0;
#endif
}

}  // namespace seam

// The atomics of lock-free code and locks. They are a parameter (`template <class Atomics>`), so that a model checker's
// fit in their place; 32 bits, so that every target has them.
struct CompilerAtomics {
  using Value = std::uint32_t;
  using Word [[gnu::may_alias]] = std::uint32_t;  // it may be half of a 64-bit word of the notes

  static Value load_relaxed(const Word& word) noexcept { return __atomic_load_n(&word, __ATOMIC_RELAXED); }
  static Value load_acquire(const Word& word) noexcept { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); }
  static void store_release(Word& word, Value value) noexcept { __atomic_store_n(&word, value, __ATOMIC_RELEASE); }
  static Value exchange_acquire(Word& word, Value value) noexcept {
    return __atomic_exchange_n(&word, value, __ATOMIC_ACQUIRE);
  }
  static Value exchange_release(Word& word, Value value) noexcept {
    return __atomic_exchange_n(&word, value, __ATOMIC_RELEASE);
  }
  // Stores `value` where `expected` was; false, and then nothing changed, where it was not.
  static bool compare_exchange_acquire(Word& word, Value expected, Value value) noexcept {
    return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
  }
  static bool compare_exchange_acq_rel(Word& word, Value expected, Value value) noexcept {
    return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
  }
  static Value fetch_or_acquire(Word& word, Value bits) noexcept {
    return __atomic_fetch_or(&word, bits, __ATOMIC_ACQUIRE);
  }
  static Value fetch_and_release(Word& word, Value bits) noexcept {
    return __atomic_fetch_and(&word, bits, __ATOMIC_RELEASE);
  }
  static Value fetch_add_relaxed(Word& word, Value n) noexcept {
    return __atomic_fetch_add(&word, n, __ATOMIC_RELAXED);
  }
  static Value fetch_add_acq_rel(Word& word, Value n) noexcept {
    return __atomic_fetch_add(&word, n, __ATOMIC_ACQ_REL);
  }
};

}  // namespace freestone
