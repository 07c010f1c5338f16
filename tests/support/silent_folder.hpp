// A file whose file system says nothing when it is asked.
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <freestone/backing/os/node.hpp>

namespace freestone::tests {

// A folder of a file system that a child of this process serves (FUSE). It lets the folder be opened, and answers
// nothing else: above all not how much room there is (FUSE_STATFS). For a child of one thread: it leaves the namespaces
// of users and of mounts, and nothing of it is seen outside. -1 where the system does not let it.
class SilentFolder {
 public:
  SilentFolder() {
    char folder[] = "/tmp/freestone_silent_XXXXXX";
    if (!is_apart() || mkdtemp(folder) == nullptr) return;
    const backing::OwnedFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0";
    if (device.get() >= 0 && mount("silent", folder, "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0) {
      server_ = fork();
      if (server_ == 0) serve(device.get());
      folder_ = backing::OwnedFd(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      umount2(folder, MNT_DETACH);  // it is there as long as it is open
    }
    rmdir(folder);
  }
  SilentFolder(const SilentFolder&) = delete;
  SilentFolder& operator=(const SilentFolder&) = delete;
  ~SilentFolder() {
    if (server_ > 0) kill(server_, SIGKILL);
  }

  int fd() const { return folder_.get(); }

 private:
  static bool write_line(const char* path, const std::string& line) {
    const backing::OwnedFd file(open(path, O_WRONLY | O_CLOEXEC));
    return write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }
  static bool is_apart() {
    const std::string user = "0 " + std::to_string(getuid()) + " 1", group = "0 " + std::to_string(getgid()) + " 1";
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    static_cast<void>(write_line("/proc/self/setgroups", "deny"));
    return write_line("/proc/self/uid_map", user) && write_line("/proc/self/gid_map", group) &&
           mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }

  // What it takes until the folder is open; a request that is not answered is waited for.
  [[noreturn]] static void serve(int device) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    alignas(fuse_in_header) static std::array<std::byte, 1 << 18> request;
    while (read(device, request.data(), request.size()) > 0) {
      fuse_in_header asked{};
      std::memcpy(&asked, request.data(), sizeof asked);
      Reply reply{};
      reply.head.unique = asked.unique;
      if (asked.opcode == FUSE_INIT) reply.init(sizeof(fuse_init_out));
      else if (asked.opcode == FUSE_GETATTR) reply.attributes();
      else if (asked.opcode == FUSE_OPENDIR) reply.head.len = sizeof(fuse_out_header) + sizeof(fuse_open_out);
      else continue;
      static_cast<void>(!write(device, &reply, reply.head.len));
    }
    _exit(0);
  }
  struct Reply {
    fuse_out_header head;
    union {
      fuse_init_out start;
      fuse_attr_out folder;
      fuse_open_out opened;
    };

    void init(std::size_t size) {
      start.major = FUSE_KERNEL_VERSION;
      start.minor = 31;
      start.max_write = 4096;
      head.len = static_cast<__u32>(sizeof head + size);
    }
    void attributes() {
      folder.attr.ino = 1;
      folder.attr.mode = S_IFDIR | 0755;
      folder.attr.nlink = 1;
      head.len = sizeof head + sizeof folder;
    }
  };

  pid_t server_ = -1;
  backing::OwnedFd folder_{-1};
};

}  // namespace freestone::tests
