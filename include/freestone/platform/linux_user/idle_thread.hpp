// A thread that works when hardly anybody else wants the processor. (It is of the lowest nice value and not SCHED_IDLE: it
// holds locks that others wait for, and where all processors are busy that one may stand still for a second.)
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>

namespace freestone::linux_user {

// It stays where it is.
class IdleThread {
 public:
  IdleThread() = default;
  IdleThread(const IdleThread&) = delete;
  IdleThread& operator=(const IdleThread&) = delete;
  // Waits until the work under way is done.
  ~IdleThread() {
    if (!is_started_) return;
    {
      const std::lock_guard turn(mutex_);
      is_ending_ = true;
    }
    woken_.notify_one();
    ::pthread_join(thread_, nullptr);
  }

  // Calls work(), each time that it is woken, until it returns false. Once. False where there can be no thread more.
  bool start(std::function<bool()> work) {
    work_ = std::move(work);
    // Whoever's signals come to this process, it is others that they disturb.
    sigset_t every, before;
    ::sigfillset(&every);
    ::pthread_sigmask(SIG_SETMASK, &every, &before);
    is_started_ = ::pthread_create(&thread_, nullptr, &run, this) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return is_started_;
  }
  // There is something to do. Any thread.
  void wake() noexcept {
    {
      const std::lock_guard turn(mutex_);
      is_woken_ = true;
    }
    woken_.notify_one();
  }

 private:
  static void* run(void* self) {
    ::setpriority(PRIO_PROCESS, 0, 19);  // of this thread alone; it works without, too
    static_cast<IdleThread*>(self)->work_until_end();
    return nullptr;
  }
  void work_until_end() {
    while (wait()) {
      while (!is_ending() && work_()) {
      }
    }
  }
  // False: it is to end.
  bool wait() {
    std::unique_lock turn(mutex_);
    woken_.wait(turn, [&] { return is_woken_ || is_ending_; });
    is_woken_ = false;
    return !is_ending_;
  }
  bool is_ending() {
    const std::lock_guard turn(mutex_);
    return is_ending_;
  }

  std::function<bool()> work_;
  std::mutex mutex_;
  std::condition_variable woken_;
  pthread_t thread_{};
  bool is_started_ = false;
  bool is_woken_ = false;
  bool is_ending_ = false;
};

}  // namespace freestone::linux_user
