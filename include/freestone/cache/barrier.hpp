// Waits until memory has what was asked for: more than an order among the CPUs, which is all that a compiler's fence is.
#pragma once

namespace freestone::cache::barrier {

// Until all stores so far are visible to a device, those in write-combining buffers too.
inline void stores() noexcept {
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

// Until all loads, stores and cache maintenance so far are done.
inline void all() noexcept {
#if defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
  __asm__ __volatile__("dsb sy" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // x86: mfence or a locked access; both wait for clflushopt and clwb
#endif
}

}  // namespace freestone::cache::barrier
