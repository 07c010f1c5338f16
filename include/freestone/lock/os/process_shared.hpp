#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>

#include <freestone/core/cells.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/lock/concept.hpp>

namespace freestone::lock {

// The C library's mutex for several processes, robust: when its holder dies, by a signal or by the end of his thread,
// the kernel lets the next one in, and lock() tells him. It is mended at once, so it never stays shut and never becomes
// unusable. (Whoever dies after that and before unlock() is a holder that died again.)
//
// Its users are threads of ONE PID namespace, of programs with one C library and one word size: its word is the
// holder's thread number as his own namespace counts, and the kernel, cleaning up after a WAITER that was killed, would
// take the main processes of two containers (1 in both) for each other and let a second holder in. A zone's attach says
// wrong_lock to all others; a handle must not go along into a new namespace by fork. (Processes that see no
// /proc/self/ns/pid meet each other only, and nobody then sees whether their namespace is one.)
//
// The kernel knows of holders while it runs: in a file, one who was inside when the machine stopped leaves it shut for
// ever, and attach and recovery hang too. For a file that must survive that, take a lock that recovery makes anew
// (Futex, Spin). Damaged words hang in the same way where they name a holder; a mutex of another kind is wrong_lock.
//
// A zone that is not shared keeps no ledger to recover from: there one thread that ends inside makes it unusable for
// good.
class ProcessShared {
  static constexpr std::size_t mutex_words = (sizeof(pthread_mutex_t) + 7) / 8;

 public:
  static constexpr std::size_t words = mutex_words + 1;  // the last: the users' PID namespace
  static constexpr bool process_shared = true;
  static constexpr std::uint32_t id = map_id("ProcessShared");

  static ProcessShared format(std::uint64_t* words) noexcept {
    words[mutex_words] = pid_namespace();
    return ProcessShared(make_mutex(words));
  }
  static ProcessShared attach(std::uint64_t* words) noexcept {
    return ProcessShared(reinterpret_cast<pthread_mutex_t*>(words));
  }

  // A mutex of this kind, for threads of the caller's PID namespace? Cost: one call of the system.
  static bool is_mine(const std::uint64_t* words) noexcept {
    return words[mutex_words] == pid_namespace() && is_of_this_kind(words);
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

  static pthread_mutex_t* make_mutex(std::uint64_t* words) noexcept {
    auto* mutex = ::new (static_cast<void*>(words)) pthread_mutex_t;
    pthread_mutexattr_t attributes;
    seam::expect(pthread_mutexattr_init(&attributes) == 0);
    seam::expect(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    seam::expect(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    seam::expect(pthread_mutex_init(mutex, &attributes) == 0);
    pthread_mutexattr_destroy(&attributes);
    return mutex;
  }

  // What is not 0 in a new mutex is its kind, in whatever cell the C library keeps it, and never changes.
  static bool is_of_this_kind(const std::uint64_t* words) noexcept {
    std::uint64_t fresh[mutex_words] = {};
    pthread_mutex_t* const mutex = make_mutex(fresh);
    bool is_same = true;
    for (std::size_t cell = 0; cell < 2 * mutex_words; ++cell) {
      const auto kind = cells::load(fresh, cell);
      if (kind != 0 && cells::load(words, cell) != kind) is_same = false;
    }
    pthread_mutex_destroy(mutex);
    return is_same;
  }

  // Its number; 0 where it cannot be had.
  static std::uint64_t pid_namespace() noexcept {
    struct stat found;
    return stat("/proc/self/ns/pid", &found) == 0 ? std::uint64_t{found.st_ino} : 0;
  }

  pthread_mutex_t* mutex_;
};

}  // namespace freestone::lock
