#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <new>

#include <freestone/core/seam.hpp>

namespace freestone::lock {

// The C library's mutex: sleeps while it waits. For threads of one process; a process that dies inside takes it along.
class Mutex {
 public:
  static constexpr std::size_t words = (sizeof(pthread_mutex_t) + 7) / 8;
  static constexpr bool process_shared = false;

  static Mutex format(std::uint64_t* words) noexcept {
    auto* mutex = ::new (static_cast<void*>(words)) pthread_mutex_t;
    seam::expect(pthread_mutex_init(mutex, nullptr) == 0);
    return Mutex(mutex);
  }
  static Mutex attach(std::uint64_t* words) noexcept { return Mutex(reinterpret_cast<pthread_mutex_t*>(words)); }

  void lock() noexcept { seam::expect(pthread_mutex_lock(mutex_) == 0); }
  void unlock() noexcept { pthread_mutex_unlock(mutex_); }

 private:
  explicit Mutex(pthread_mutex_t* mutex) noexcept : mutex_(mutex) {}

  pthread_mutex_t* mutex_;
};

}  // namespace freestone::lock
