// The connection on which the server asks, and the thread that answers: it shows what the views of this process have now.
// There is one as soon as the program has a view.
#pragma once

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "connection.hpp"
#include "views.hpp"

namespace freestone::interposer {

class ControlThread {
 public:
  // In one's turn. Where there is none yet there is one, which has all views of the table, and shows what changed since
  // the last one ended. Returns 0, or -errno.
  long begin() noexcept {
    if (file_ != nullptr && process_ == process_number()) return 0;
    state_.store(starting, std::memory_order_relaxed);
    if (!start_thread()) return -EAGAIN;
    while (state_.load(std::memory_order_acquire) == starting) {
      static_cast<void>(raw(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, starting, nullptr, nullptr, 0));
    }
    const int state = state_.load(std::memory_order_acquire);
    if (state == 0) show_changes();
    return state;
  }
  // The process is a child, and has neither the thread nor its connection.
  void forget() noexcept { file_ = nullptr; }

 private:
  // A new connection, on which the server knows all views of ours.
  long connect() noexcept {
    long error = 0;
    OwnFile* const file = connect_server(error);
    if (file == nullptr) return error;
    Talk talk(*file);
    std::size_t place = 0;
    bool is_last = false;
    while (error == 0 && !is_last) {
      std::array<std::uint64_t, linux_user::most_payload / sizeof(std::uint64_t)> numbers;
      const std::size_t count = views.numbers(place, numbers.data(), numbers.size());
      is_last = count < numbers.size();
      Request request{.ask = Ask::control, .number = is_last ? 1U : 0U};
      error = talk.send(request, numbers.data(), count * sizeof numbers[0], -1);
      if (error == 0) error = await_consent(talk);
    }
    if (error != 0) return own_files.drop(*file), error;
    file_ = file;
    process_ = process_number();
    return 0;
  }
  // The server may ask before it answers; all is shown anew after that.
  static long await_consent(Talk& talk) noexcept {
    for (;;) {
      Reply reply;
      CameFds fds;
      if (const long error = talk.receive(reply, fds); error != 0) return error;
      if (reply.step == Step::finish) return static_cast<long>(reply.result);
      if (const long error = answer(talk); error != 0) return error;
    }
  }
  static long answer(Talk& talk) noexcept {
    Request done{.ask = Ask::copied};
    return talk.send(done, nullptr, 0, -1);
  }

  bool start_thread() noexcept {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    const NoSignals none;  // they are for the program's threads
    pthread_t thread;
    const bool is_started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                            pthread_create(&thread, &attributes, &run, this) == 0;
    pthread_attr_destroy(&attributes);
    return is_started;
  }
  static void* run(void* self) { return static_cast<ControlThread*>(self)->serve(), nullptr; }

  void serve() noexcept {
    // Its own connection comes first: to have one made may take as long as the server waits for an answer.
    Reply reply;
    CameFds fds;
    static_cast<void>(ask({.ask = Ask::parts}, nullptr, 0, -1, reply, fds));
    const long error = connect();  // whoever begins has the turn, and waits
    state_.store(static_cast<int>(error), std::memory_order_release);
    static_cast<void>(raw(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0));
    while (error == 0) {
      while (serve_one()) {
      }
      // Ended: we were too slow, or there is no server. What we show may be wrong.
      const ViewTurn turn;
      own_files.drop(*file_);
      file_ = nullptr;
      if (views.is_empty()) return;
      if (connect() != 0) return views.for_each(0, ~std::uintptr_t{0}, [](const ViewRange& range) { show_nothing(range); });
      show_changes();
    }
  }
  // False where the connection has ended.
  bool serve_one() noexcept {
    pollfd ready{file_->fd.load(std::memory_order_acquire), POLLIN, 0};
    timespec pause{0, 200'000'000};
    const long came = raw(SYS_ppoll, &ready, 1UL, &pause, nullptr, 8UL);
    if (came == 0 || came == -EINTR) return end_with_program(), file_->is_open();
    // Once it has ended we were too late, and all is shown anew: before that, who sees one change would miss the next.
    if (came < 0 || (ready.revents & POLLHUP) != 0 || !file_->is_open()) return false;
    Talk talk(*file_);
    Reply reply;
    CameFds fds;
    if (talk.receive(reply, fds) != 0 || reply.step != Step::look_again) return false;
    {
      const ViewTurn turn;
      std::uint64_t changes = 0;
      std::memcpy(&changes, reply.payload.data(), sizeof changes);
      const auto view = static_cast<std::uint64_t>(reply.result);
      views.for_each_of(view, reply.address, reply.length, [](const ViewRange& range) { show(range); });
      views.note_change(view, changes);
    }
    return answer(talk) == 0;
  }

  // A program whose threads have all ended has ended (pthread_exit in main): not one more may keep it alive.
  static void end_with_program() noexcept {
    struct statx tasks;
    if (raw(SYS_statx, AT_FDCWD, "/proc/self/task", 0, STATX_NLINK, &tasks) < 0 || tasks.stx_nlink > 4) return;
    char text[512] = {};
    const long fd = raw(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    static_cast<void>(raw(SYS_read, fd, text, sizeof text - 1));
    close_descriptor(static_cast<int>(fd));
    const char* const name_end = std::strrchr(text, ')');
    if (name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'Z') std::exit(0);
  }

  static constexpr int starting = 1;

  OwnFile* file_ = nullptr;
  pid_t process_ = 0;
  std::atomic<int> state_ = 0;  // while it begins; then 0, or -errno
};
inline constinit ControlThread control_thread;

// --- fork ---

// A child has its parent's views. The parent waits until the server knows that: else a view that the parent lets go of at
// once would be nobody's.
class ForkedViews {
 public:
  void before() noexcept {
    turn_before();
    is_held_ = true;
    if (views.is_empty()) return;
    const long made = raw(SYS_pipe2, pipe_.data(), O_CLOEXEC);
    if (made < 0) pipe_ = {-1, -1};
  }
  void in_parent() noexcept {
    if (!is_held_) return;
    is_held_ = false;
    const auto pipe = std::exchange(pipe_, {-1, -1});
    if (pipe[0] >= 0) close_descriptor(pipe[1]);  // before anybody else forks, whose child would have it too
    turn_after();
    if (pipe[0] < 0) return;
    pollfd ended{pipe[0], POLLIN, 0};
    timespec longest{2, 0};
    while (raw(SYS_ppoll, &ended, 1UL, &longest, nullptr, 8UL) == -EINTR) {
    }
    close_descriptor(pipe[0]);
  }
  void in_child() noexcept {
    control_thread.forget();
    if (!is_held_) return;
    is_held_ = false;
    views.become_child();
    if (!views.is_empty() && control_thread.begin() != 0) {
      views.for_each(0, ~std::uintptr_t{0}, [](const ViewRange& range) { show_nothing(range); });
    }
    turn_after();
    for (int& fd : pipe_) {
      if (fd >= 0) close_descriptor(std::exchange(fd, -1));
    }
  }

 private:
  void turn_before() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &signals_);
    pthread_mutex_lock(&views.mutex());
  }
  void turn_after() noexcept {
    const sigset_t before = signals_;
    pthread_mutex_unlock(&views.mutex());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  sigset_t signals_ = {};
  std::array<int, 2> pipe_ = {-1, -1};
  // This thread's: others may fork too.
  static inline thread_local bool is_held_ __attribute__((tls_model("initial-exec"))) = false;
};
inline constinit ForkedViews forked_views;

}  // namespace freestone::interposer
