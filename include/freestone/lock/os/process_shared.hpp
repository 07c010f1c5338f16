#pragma once

#include <pthread.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>

#include <freestone/core/map_header.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/lock/concept.hpp>

namespace freestone::lock {

// The C library's mutex for several processes, robust: when its holder dies, by a signal or by the end of his thread,
// the kernel lets the next one in, and lock() tells him. It is mended at once, so it never stays shut and never becomes
// unusable. (Whoever dies after that and before unlock() is a holder that died again.)
//
// Its words are those of one C library and one word size: programs of 32 and of 64 bits have no such lock in common,
// and a zone's attach says wrong_lock. The kernel knows of holders while it runs: in a file that outlives it, one who
// was inside when the machine stopped leaves it shut. There take a lock that recovery makes anew (Futex, Spin).
class ProcessShared {
 public:
  static constexpr std::size_t words = (sizeof(pthread_mutex_t) + 7) / 8;
  static constexpr bool process_shared = true;
  static constexpr std::uint32_t id = map_id("ProcessShared");

  static ProcessShared format(std::uint64_t* words) noexcept {
    auto* mutex = ::new (static_cast<void*>(words)) pthread_mutex_t;
    pthread_mutexattr_t attributes;
    seam::expect(pthread_mutexattr_init(&attributes) == 0);
    seam::expect(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    seam::expect(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    seam::expect(pthread_mutex_init(mutex, &attributes) == 0);
    pthread_mutexattr_destroy(&attributes);
    return ProcessShared(mutex);
  }
  static ProcessShared attach(std::uint64_t* words) noexcept {
    return ProcessShared(reinterpret_cast<pthread_mutex_t*>(words));
  }

  LastHolder lock() noexcept {
    const int error = pthread_mutex_lock(mutex_);
    if (error != EOWNERDEAD) [[likely]]
      return seam::expect(error == 0), LastHolder::left;
    seam::expect(pthread_mutex_consistent(mutex_) == 0);
    return LastHolder::died;
  }
  void unlock() noexcept { pthread_mutex_unlock(mutex_); }

 private:
  explicit ProcessShared(pthread_mutex_t* mutex) noexcept : mutex_(mutex) {}

  pthread_mutex_t* mutex_;
};

}  // namespace freestone::lock
