// What this process has open, and files of many kinds.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <freestone/backing/os/node.hpp>

namespace freestone::tests {

inline std::size_t entries_of(const char* folder) {
  std::size_t count = 0;
  DIR* const all = opendir(folder);
  while (all != nullptr && readdir(all) != nullptr) ++count;
  if (all != nullptr) closedir(all);
  return count;
}
inline std::size_t open_fds() { return entries_of("/proc/self/fd"); }
inline std::size_t threads() { return entries_of("/proc/self/task"); }

inline std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

struct KindOfFile {
  const char* kind;
  backing::OwnedFd fd;
};

// One of each kind that this machine has, none of them a zone's. The memfd and the file have that name and length.
inline std::vector<KindOfFile> kinds_of_files(const char* name, off_t length) {
  std::vector<KindOfFile> kinds;
  const auto add = [&](const char* kind, int fd) {
    if (fd >= 0) kinds.push_back({kind, backing::OwnedFd(fd)});
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) == 0) add("pipe, to read", ends[0]), add("pipe, to write", ends[1]);
  const int memory = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ftruncate(memory, length) == 0) fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  add("memfd of our name, length and seals", memory);
  add("memfd", memfd_create("another", MFD_CLOEXEC));
  add("eventfd", eventfd(0, EFD_CLOEXEC));
  add("Unix socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  add("internet socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::string folder = "/tmp/freestone_kinds_XXXXXX";
  if (mkdtemp(folder.data()) != nullptr) {
    const std::string path = folder + "/memfd:" + name;
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (ftruncate(file, length) == 0) add("file of our name and length", file);
    add("directory", open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    unlink(path.c_str());
    rmdir(folder.c_str());
  }
  add("/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC));
  add("/dev/zero", open("/dev/zero", O_RDWR | O_CLOEXEC));
  add("epoll", epoll_create1(EPOLL_CLOEXEC));
  add("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  add("inotify", inotify_init1(IN_CLOEXEC));
  sigset_t none;
  sigemptyset(&none);
  add("signalfd", signalfd(-1, &none, SFD_CLOEXEC));
  add("pidfd", static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  add("/proc/self/maps", open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  return kinds;
}

}  // namespace freestone::tests
