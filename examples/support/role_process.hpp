// A program that is several processes: the same one again, in another role.
#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/share/os/fd_message.hpp>

// This very program as a process of its own, `PROGRAM ROLE FD`: it has one end of a connection and nothing else that
// was open here. It does not outlive the object, and no other process is ever ended.
class RoleProcess {
 public:
  explicit RoleProcess(const char* role) : role_(role) {}
  RoleProcess(const RoleProcess&) = delete;
  RoleProcess& operator=(const RoleProcess&) = delete;
  ~RoleProcess() {
    kill();
    if (is_there()) static_cast<void>(has_ended_well());
  }

  // Our end of its connection. (Not while it is there.)
  freestone::Result<freestone::Connection> start() {
    auto ends = freestone::Connection::pair();
    if (!ends) return ends.error();
    pid_ = fork();
    if (pid_ == 0) {
      const std::string inherited = std::to_string(dup(ends->there.fd()));  // unlike all others it stays open
      execl("/proc/self/exe", "example", role_, inherited.c_str(), nullptr);
      _exit(127);
    }
    if (pid_ < 0) return pid_ = 0, freestone::Error{.code = freestone::ErrorCode::os_failure, .os_error = errno};
    return std::move(ends->here);
  }

  // From its start until somebody has waited for its end.
  bool is_there() const { return pid_ != 0; }
  // To be waited for; -1 where the system has none.
  freestone::backing::OwnedFd pidfd() const {
    return freestone::backing::OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  }

  // True where that is what ends it, unless it ends by itself just now.
  bool kill() {
    const bool is_first = is_there() && !is_killed_;
    if (is_first) is_killed_ = ::kill(pid_, SIGKILL) == 0;
    return is_first;
  }
  // Waits for its end: it was killed here, or has found nothing wrong. Says so on stderr where it was otherwise.
  bool has_ended_well() {
    int status = -1;
    const bool has_ended = waitpid(std::exchange(pid_, 0), &status, 0) > 0;
    const bool was_killed = std::exchange(is_killed_, false);
    const bool is_well = has_ended && (status == 0 || (was_killed && WIFSIGNALED(status)));
    if (!is_well) say(status);
    return is_well;
  }

 private:
  void say(int status) const {
    if (WIFSIGNALED(status)) {
      std::fprintf(stderr, "the %s was ended by signal %d\n", role_, WTERMSIG(status));
    } else {
      std::fprintf(stderr, "the %s ended with %d\n", role_, WEXITSTATUS(status));
    }
  }

  const char* role_;
  pid_t pid_ = 0;
  bool is_killed_ = false;
};

// Of this process.
inline std::size_t open_files() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}
inline bool has_children() { return waitpid(-1, nullptr, WNOHANG) >= 0; }
