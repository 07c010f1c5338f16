// A server's view, mounted.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#include "fs_fuse.hpp"
#include "fs_view.hpp"

namespace freestone::linux_user {

enum class MountEnd { asked, unmounted, server_gone };

// It is there as long as this is. Other users than this one (root among them) see nothing in it, as they would be told
// nothing by the server. Nodes cannot be opened through it (nodev): theirs are numbers of the host's devices too.
class Mount {
 public:
  // None where it cannot be; libfuse has said why. The view outlives it; `path` is absolute.
  static std::unique_ptr<Mount> create(ServerView& view, const std::string& path) {
    fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
    for (const char* one : {"freestone-fs", "-o", "fsname=freestone,subtype=freestone,default_permissions"}) {
      fuse_opt_add_arg(&arguments, one);
    }
    const fuse_operations calls = ServerView::calls();
    fuse* const made = fuse_new(&arguments, &calls, sizeof calls, &view);
    fuse_opt_free_args(&arguments);
    if (made == nullptr) return nullptr;
    if (fuse_mount(made, path.c_str()) != 0) return fuse_destroy(made), nullptr;
    return std::unique_ptr<Mount>(new Mount(view, made));
  }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  // Whoever still has something open in it gets errors from here on.
  ~Mount() {
    fuse_unmount(fuse_);
    fuse_destroy(fuse_);
  }

  // Until `stop` can be read, somebody unmounts it, or the server is gone. What the kernel asks waits for the server as
  // long as the client has patience, and so does `stop`.
  MountEnd serve(int stop) {
    fuse_session* const session = fuse_get_session(fuse_);
    const int requests = fuse_session_fd(session);
    // A request can be taken back after poll has told of it.
    static_cast<void>(::fcntl(requests, F_SETFL, ::fcntl(requests, F_GETFL) | O_NONBLOCK));
    const std::unique_ptr<fuse_buf, void (*)(fuse_buf*)> buffer(new fuse_buf{}, [](fuse_buf* one) {
      std::free(one->mem);
      delete one;
    });
    std::array<pollfd, 3> ready{{{requests, POLLIN, 0}, {stop, POLLIN, 0}, {view_.client().fd(), POLLRDHUP, 0}}};
    for (;;) {
      if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return MountEnd::asked;
      if (ready[1].revents != 0) return MountEnd::asked;
      if (view_.client().has_ended()) return MountEnd::server_gone;
      if (ready[0].revents == 0) continue;
      if (fuse_session_receive_buf(session, buffer.get()) > 0) fuse_session_process_buf(session, buffer.get());
      if (fuse_session_exited(session) != 0) return MountEnd::unmounted;
    }
  }

 private:
  Mount(ServerView& view, fuse* made) noexcept : view_(view), fuse_(made) {}

  ServerView& view_;
  fuse* fuse_;
};

}  // namespace freestone::linux_user
