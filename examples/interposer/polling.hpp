// epoll on buffers. A dma-buf can be waited for, and is ready where no device is at work on it; the kernel refuses to
// watch a memfd, which is ready too. So an eventfd that is always ready is watched in its place.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "known_files.hpp"
#include "own_files.hpp"

namespace freestone::interposer {

class StandIns {
 public:
  // As epoll_ctl of a buffer, where host(epoll, operation, fd, event) is the host's.
  template <class Host>
  int control(int epoll, int operation, int fd, struct epoll_event* event, Host host) noexcept {
    StandIn* there = find(epoll, fd);
    if (operation == EPOLL_CTL_ADD) {
      if (there != nullptr) return errno = EEXIST, -1;
      return add(epoll, fd, event, host);
    }
    if (there == nullptr) return errno = ENOENT, -1;
    const int result = host(epoll, operation, there->file.load()->fd.load(), event);
    if (result == 0 && operation == EPOLL_CTL_DEL) drop(*there);
    return result;
  }
  // That number is being closed: whatever waits with it, or for it, waits no more.
  void forget(int fd) noexcept {
    if (count_.load(std::memory_order_relaxed) == 0) return;
    for (StandIn& one : stand_ins_) {
      if (one.file.load() != nullptr && (one.fd == fd || one.epoll == fd)) drop(one);
    }
  }

 private:
  struct StandIn {
    std::atomic<bool> is_taken = false;
    int epoll = -1;
    int fd = -1;
    std::atomic<OwnFile*> file = nullptr;  // set last
  };

  StandIn* find(int epoll, int fd) noexcept {
    for (StandIn& one : stand_ins_) {
      if (one.file.load() == nullptr || one.epoll != epoll || one.fd != fd) continue;
      if (one.file.load()->is_open()) return &one;
      drop(one);
    }
    return nullptr;
  }
  template <class Host>
  int add(int epoll, int fd, struct epoll_event* event, Host host) noexcept {
    const long made = raw(SYS_eventfd2, 1U, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0) return static_cast<int>(returned(made));
    OwnFile* const file = own_files.keep(static_cast<int>(made));
    StandIn* const place = file != nullptr ? take() : nullptr;
    if (place == nullptr) {
      if (file != nullptr) own_files.drop(*file);
      return errno = ENOSPC, -1;
    }
    place->epoll = epoll;
    place->fd = fd;
    place->file.store(file);
    const int result = host(epoll, EPOLL_CTL_ADD, file->fd.load(), event);
    if (result != 0) {
      const KeptErrno kept;
      drop(*place);
    }
    return result;
  }
  StandIn* take() noexcept {
    for (StandIn& one : stand_ins_) {
      if (!one.is_taken.exchange(true)) return ++count_, &one;
    }
    return nullptr;
  }
  void drop(StandIn& one) noexcept {
    OwnFile* const file = one.file.exchange(nullptr);
    if (file == nullptr) return;
    own_files.drop(*file);
    --count_;
    one.is_taken.store(false);
  }

  std::array<StandIn, 256> stand_ins_ = {};
  std::atomic<int> count_ = 0;
};
inline constinit StandIns stand_ins;

}  // namespace freestone::interposer
