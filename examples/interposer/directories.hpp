// Listings of directories in which the server has something: its names, behind the host's where the host has that
// directory too.
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "files.hpp"
#include "paths.hpp"

namespace freestone::interposer {

// What the program takes for a DIR. They lie in one table, so that one is told from libc's by its address.
class Directory {
 public:
  // Either may be missing: the host's, or the list of names (a descriptor that becomes the directory's).
  void start(DIR* host, int list, std::string_view path) noexcept {
    host_ = host;
    list_ = list;
    dots_ = 0;
    is_in_list_ = host == nullptr;
    offset_ = 0;
    place_ = 0;
    path_length_ = path.size();
    std::memcpy(path_.data(), path.data(), path.size());
  }
  DIR* host() const noexcept { return host_; }
  int list() const noexcept { return list_; }
  long place() const noexcept { return place_; }
  void count() noexcept { ++place_; }
  bool is_in_list() const noexcept { return is_in_list_; }
  void go_on_with_list() noexcept { is_in_list_ = true; }
  void rewind() noexcept {
    dots_ = 0;
    is_in_list_ = host_ == nullptr;
    offset_ = 0;
    place_ = 0;
  }

  // The next of the server's names; false at the end. Names that the host has too were there already.
  bool next_name(struct dirent64& entry, int host_fd) noexcept {
    if (host_ == nullptr && dots_ < 2) {  // "." and "..", which the host's has already
      std::memcpy(entry.d_name, "..", 3);
      entry.d_name[++dots_] = '\0';
      return describe(entry, true), true;
    }
    for (;;) {
      std::array<char, 256 + 2> text;
      const long length = read_at(list_, text.data(), text.size(), offset_);
      if (length <= 0) return false;
      std::string_view name(text.data(), static_cast<std::size_t>(length));
      name = name.substr(0, name.find('\n'));
      offset_ += name.size() + 1;
      const bool is_directory = name.ends_with('/');
      if (is_directory) name.remove_suffix(1);
      if (name.empty() || name.size() >= sizeof entry.d_name) continue;
      std::memcpy(entry.d_name, name.data(), name.size());
      entry.d_name[name.size()] = '\0';
      if (host_fd >= 0 && raw(SYS_faccessat, host_fd, entry.d_name, F_OK) == 0) continue;
      return describe(entry, is_directory), true;
    }
  }

 private:
  void describe(struct dirent64& entry, bool is_directory) noexcept {
    entry.d_off = static_cast<decltype(entry.d_off)>(place_ + 1);
    entry.d_reclen = sizeof entry;
    entry.d_type = is_directory ? DT_DIR : DT_UNKNOWN;
    entry.d_ino = 1;
    const std::size_t name_length = std::strlen(entry.d_name);
    if (path_length_ + name_length + 2 > path_.size()) return;
    std::array<char, 512 + 256> path;
    std::memcpy(path.data(), path_.data(), path_length_);
    path[path_length_] = '/';
    std::memcpy(path.data() + path_length_ + 1, entry.d_name, name_length + 1);
    FileStatus status;
    if (look_up(Path(AT_FDCWD, path.data()), status) != 0) return;
    entry.d_ino = static_cast<decltype(entry.d_ino)>(status.inode);
    entry.d_type = static_cast<unsigned char>(IFTODT(status.mode));
  }

  DIR* host_ = nullptr;
  int list_ = -1;
  bool is_in_list_ = false;
  std::size_t dots_ = 0;
  std::uint64_t offset_ = 0;
  long place_ = 0;
  std::size_t path_length_ = 0;
  std::array<char, 512> path_ = {};

 public:
  struct dirent64 entry = {};  // what readdir returned last
  struct dirent narrow = {};
};

class Directories {
 public:
  Directory* take() noexcept {
    for (std::size_t at = 0; at < most; ++at) {
      if (!taken_[at].exchange(true)) return &directories_[at];
    }
    return nullptr;
  }
  void give_back(Directory* directory) noexcept {
    taken_[static_cast<std::size_t>(directory - directories_.data())] = false;
  }
  // Null where it is libc's.
  Directory* find(DIR* directory) noexcept {
    auto* const ours = reinterpret_cast<Directory*>(directory);
    return ours >= directories_.data() && ours < directories_.data() + most ? ours : nullptr;
  }

 private:
  static constexpr std::size_t most = 32;
  std::array<Directory, most> directories_ = {};
  std::array<std::atomic<bool>, most> taken_ = {};
};
inline constinit Directories directories;

// A listing of them; null and errno where there is no room, and then both are still the caller's.
inline DIR* make_directory(DIR* host, int list, std::string_view path) noexcept {
  Directory* const made = path.size() < 512 ? directories.take() : nullptr;
  if (made == nullptr) return errno = EMFILE, nullptr;
  made->start(host, list, path);
  return reinterpret_cast<DIR*>(made);
}

}  // namespace freestone::interposer
