// What a device server has, as a file system of FUSE's: its directories, its reports, and its nodes, which can be seen
// only, for no ioctl gets through FUSE to them.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "client.hpp"
#include "fs_fuse.hpp"

namespace freestone::linux_user {

// Nothing is kept of what the server said: it is asked each time. For one thread.
class ServerView {
 public:
  explicit ServerView(Client client) noexcept : client_(std::move(client)) {}

  const Client& client() const noexcept { return client_; }

  // Of a file system whose private data is the view.
  static fuse_operations calls() noexcept {
    fuse_operations calls{};
    calls.init = [](fuse_conn_info*, fuse_config* config) -> void* {
      config->use_ino = 1;
      config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
      return &view();
    };
    calls.getattr = [](const char* path, struct stat* to, fuse_file_info*) { return view().get_status(path, *to); };
    calls.readdir = [](const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
                       fuse_readdir_flags) {
      return view().list(path, [&](const char* name, const struct stat& status) {
        fill(buffer, name, &status, 0, FUSE_FILL_DIR_PLUS);
      });
    };
    calls.open = [](const char* path, fuse_file_info* file) { return view().open(path, *file); };
    calls.read = [](const char*, char* to, std::size_t length, off_t offset, fuse_file_info* file) {
      return view().read(static_cast<int>(file->fh), to, length, offset);
    };
    calls.write = [](const char*, const char* from, std::size_t length, off_t, fuse_file_info* file) {
      return view().write(static_cast<int>(file->fh), {from, length});
    };
    calls.release = [](const char*, fuse_file_info* file) { return view().opened_.erase(file->fh), 0; };
    calls.truncate = [](const char*, off_t, fuse_file_info*) { return 0; };  // the shell's > before a write
    calls.mkdir = refuse;
    calls.mknod = refuse;
    calls.unlink = refuse;
    calls.rmdir = refuse;
    calls.symlink = refuse;
    calls.rename = refuse;
    calls.link = refuse;
    calls.chmod = refuse;
    calls.chown = refuse;
    calls.utimens = refuse;
    return calls;
  }

 private:
  static ServerView& view() noexcept { return *static_cast<ServerView*>(fuse_get_context()->private_data); }
  template <class... Arguments>
  static int refuse(Arguments...) {
    return -EPERM;
  }
  // What FUSE is told: -errno.
  static int failure(const Error& error) noexcept {
    return error.code == ErrorCode::connection_ended || error.os_error <= 0 ? -EIO : -error.os_error;
  }

  int get_status(std::string_view path, struct stat& to) noexcept {
    const auto status = look_up(path);
    if (!status) return failure(status.error());
    fill(to, *status);
    return 0;
  }
  Result<FileStatus> look_up(std::string_view path) noexcept {
    if (path == "/") return FileStatus{.kind = FileKind::directory, .mode = S_IFDIR | 0755, .inode = 1};
    return client_.look_up(path);
  }
  // Files have a length of 0, as debugfs's have: how long a text is, only its reader learns.
  void fill(struct stat& to, const FileStatus& status) const noexcept {
    to = {};
    to.st_mode = status.mode;
    to.st_nlink = 1;  // of a directory: unknown
    to.st_uid = ::getuid();
    to.st_gid = ::getgid();
    to.st_rdev = makedev(status.major, status.minor);
    to.st_ino = static_cast<ino_t>(status.inode);
    to.st_atime = to.st_mtime = to.st_ctime = began_;
  }

  // each(name, status) for all that is in a directory. 0, or -errno.
  template <class Each>
  int list(const std::string& path, Each each) {
    const auto text = path == "/" ? client_.paths() : client_.list(path);
    if (!text) return failure(text.error());
    struct stat status {};
    for (const char* name : {".", ".."}) status.st_mode = S_IFDIR, each(name, status);
    for (const std::string& name : names_in(*text)) {
      if (get_status((path == "/" ? path : path + '/') + name, status) == 0) each(name.c_str(), status);
    }
    return 0;
  }
  // The first name of each line.
  static std::set<std::string> names_in(std::string_view text) {
    std::set<std::string> names;
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (line.starts_with('/')) line.remove_prefix(1);
      line = line.substr(0, line.find('/'));
      if (!line.empty()) names.emplace(line);
    }
    return names;
  }

  int open(std::string_view path, fuse_file_info& file) {
    const auto status = look_up(path);
    if (!status) return failure(status.error());
    if (status->kind != FileKind::report) return -ENXIO;
    auto opened = client_.open(path, file.flags & (O_ACCMODE | O_NONBLOCK));
    if (!opened) return failure(opened.error());
    file.fh = static_cast<std::uint64_t>(opened->get());
    opened_.emplace(file.fh, *std::move(opened));
    file.direct_io = 1;  // it is read until there is no more, and every read is asked for here
    return 0;
  }
  int read(int fd, char* to, std::size_t length, off_t offset) noexcept {
    if (offset == 0) {
      const auto made = client_.ask({.ask = Ask::refresh}, {}, fd);
      if (!made) return failure(made.error());
    }
    const ssize_t read = ::pread(fd, to, length, offset);
    return read < 0 ? -errno : static_cast<int>(read);
  }
  // As many bytes as go at once; whoever has more writes again.
  int write(int fd, std::string_view bytes) noexcept {
    const auto taken = client_.ask({.ask = Ask::write}, std::as_bytes(std::span(bytes.substr(0, most_payload))), fd);
    return taken ? static_cast<int>(taken->result) : failure(taken.error());
  }

  Client client_;
  std::map<std::uint64_t, backing::OwnedFd> opened_;  // by their numbers
  std::time_t began_ = std::time(nullptr);
};

}  // namespace freestone::linux_user
