// Which paths are the server's, and whose the directories above them are.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "connection.hpp"
#include "known_files.hpp"
#include "slot.hpp"
#include "system.hpp"

namespace freestone::interposer {

enum class Place { host, merged, served };  // merged: a directory of the host's, in which the server has something

// The paths that the server said it has, a line each, asked for once in a process and its children.
class PathList {
 public:
  // Where it cannot be told, it is the host's, and `error` says why: -EMFILE...
  Place place(std::string_view path, long& error) noexcept {
    const char* const text = find_text(error);
    if (text == nullptr) return Place::host;
    bool is_there = false, has_more = false;
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
      if (line.empty()) continue;
      if (line.back() == '/') {
        const std::string_view folder = line.substr(0, line.size() - 1);
        if (path == folder || path.starts_with(line)) return Place::served;
      }
      is_there = is_there || line == path;
      has_more = has_more || (line.size() > path.size() && line.starts_with(path) && line[path.size()] == '/');
    }
    return has_more ? Place::merged : is_there ? Place::served : Place::host;
  }

 private:
  const char* find_text(long& error) noexcept {
    if (const char* const text = text_.load(std::memory_order_acquire)) return text;
    Reply reply;
    CameFds fds;
    const Request hello{.ask = Ask::hello, .number = linux_user::protocol_version};
    error = static_cast<long>(ask(hello, nullptr, 0, -1, reply, fds));
    if (error < 0 || fds.size() != 1) return nullptr;
    const OpenDescriptor there = look_at(fds[0]);
    char* const text = static_cast<char*>(memory(static_cast<std::size_t>(there.size) + 1));
    if (text == nullptr) return nullptr;
    if (read_at(fds[0], text, static_cast<std::size_t>(there.size), 0) != static_cast<long>(there.size)) return nullptr;
    const char* first = nullptr;
    return text_.compare_exchange_strong(first, text) ? text : first;  // what a second thread read at once stays unused
  }
  static void* memory(std::size_t size) noexcept {
#ifdef SYS_mmap2
    constexpr long number = SYS_mmap2;
#else
    constexpr long number = SYS_mmap;
#endif
    const long at = raw(number, 0L, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
    return at < 0 && at > -4096 ? nullptr : reinterpret_cast<void*>(at);
  }

  std::atomic<const char*> text_ = nullptr;
};
inline constinit PathList path_list;

// A directory that only the server has, opened: its descriptor is of the list of its names.
class OpenDirectories {
 public:
  struct Entry {
    Identity identity;
    std::array<char, 216> path;
  };
  // False where the path is too long to be kept.
  bool put(const Identity& identity, std::string_view path) noexcept {
    Entry entry{identity, {}};
    if (path.size() >= entry.path.size()) return false;
    std::memcpy(entry.path.data(), path.data(), path.size());
    const std::uint32_t at = next_.fetch_add(1, std::memory_order_relaxed);
    return entries_[at % entries_.size()].write(entry);
  }
  bool find(int fd, Entry& entry) const noexcept {
    if (!marked.is_marked(fd)) return false;
    const OpenDescriptor there = look_at(fd);
    for (const Slot<Entry>& slot : entries_) {
      if (slot.read(entry) && entry.identity == there.identity) return true;
    }
    return false;
  }

 private:
  std::array<Slot<Entry>, 32> entries_ = {};
  std::atomic<std::uint32_t> next_ = 0;
};
inline constinit OpenDirectories open_directories;

// A path as the server names it: absolute, with no "." and "..", no slash twice nor at the end. (It goes by the
// letters: symbolic links on the way are not followed.)
class Path {
 public:
  Path(int directory, const char* path) noexcept {
    if (path == nullptr || *path == '\0' || !is_on()) return;
    if (*path == '/' ? !may_be_ours(path) : !put_base(directory)) return;
    if (!append(path)) return;
    if (!is_in("/dev") && !is_in("/proc") && !is_in("/sys")) return;
    place_ = path_list.place(text(), error_);
  }

  Place place() const noexcept { return place_; }
  bool is_served() const noexcept { return place_ == Place::served; }
  bool is_merged() const noexcept { return place_ == Place::merged; }
  // Of a call whose host's answer is `error`: where the program has no room to ask whether the path is the server's, and the
  // host does not have it, that is why.
  int error_or(int error) const noexcept {
    const bool is_unknown = error_ == -EMFILE || error_ == -ENFILE || error_ == -ENOMEM;
    return is_unknown && error == ENOENT ? static_cast<int>(-error_) : error;
  }
  std::string_view text() const noexcept { return {text_.data(), length_}; }
  const char* c_str() const noexcept { return text_.data(); }
  // Of one of the file systems in which the server's are: a descriptor opened by such a name may be one of the
  // server's.
  bool is_near() const noexcept { return length_ != 0; }

 private:
  // Most paths are told from ours by their first letters.
  static bool may_be_ours(const char* path) noexcept {
    const std::string_view start(path, ::strnlen(path, 5));
    return start.starts_with("/dev") || start.starts_with("/proc") || start.starts_with("/sys") ||
           start.starts_with("//") || start.starts_with("/.") || std::strstr(path, "/..") != nullptr;
  }
  bool is_in(std::string_view folder) noexcept {
    const std::string_view all = text();
    if (all.starts_with(folder) && (all.size() == folder.size() || all[folder.size()] == '/')) return true;
    return false;
  }
  bool put_base(int directory) noexcept {
    OpenDirectories::Entry entry;
    if (directory == AT_FDCWD) {
      const long length = raw(SYS_getcwd, text_.data(), text_.size());
      length_ = length > 1 && text_[0] == '/' ? static_cast<std::size_t>(length) - 1 : 0;
      if (length_ == 1) length_ = 0;
      return length > 1 && text_[0] == '/';
    }
    if (open_directories.find(directory, entry)) return append(entry.path.data());
    char link[32];
    number_path(link, directory);
    const long length = raw(SYS_readlinkat, AT_FDCWD, link, text_.data(), text_.size() - 1);
    length_ = length > 1 ? static_cast<std::size_t>(length) : 0;
    return length >= 1 && text_[0] == '/';
  }
  static void number_path(char (&link)[32], int fd) noexcept {
    std::memcpy(link, "/proc/self/fd/", 15);
    char digits[12];
    std::size_t count = 0;
    for (unsigned rest = static_cast<unsigned>(fd); count == 0 || rest != 0; rest /= 10) {
      digits[count++] = static_cast<char>('0' + rest % 10);
    }
    for (std::size_t at = 0; at < count; ++at) link[14 + at] = digits[count - 1 - at];
    link[14 + count] = '\0';
  }
  bool append(const char* path) noexcept {
    while (*path != '\0') {
      const std::size_t size = ::strcspn(path, "/");
      const std::string_view part(path, size);
      path += size;
      while (*path == '/') ++path;
      if (part.empty() || part == ".") continue;
      if (part == "..") {
        while (length_ != 0 && text_[--length_] != '/') {
        }
        continue;
      }
      if (length_ + size + 2 > text_.size()) return length_ = 0, false;
      text_[length_++] = '/';
      std::memcpy(text_.data() + length_, part.data(), size);
      length_ += size;
    }
    text_[length_] = '\0';
    return true;
  }

  std::array<char, PATH_MAX + 64> text_;
  std::size_t length_ = 0;
  Place place_ = Place::host;
  long error_ = 0;
};

// A question about a path. -errno, or what the server answers; paths longer than a request holds are not there.
inline std::int64_t ask_path(Ask what, std::string_view path, std::uint64_t number, Reply& reply,
                             CameFds& fds) noexcept {
  if (path.size() > linux_user::most_payload) return -ENAMETOOLONG;
  return ask({.ask = what, .number = number}, path.data(), path.size(), -1, reply, fds);
}

// What stat is to say of it; -errno.
inline long look_up(const Path& path, FileStatus& status) noexcept {
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask_path(Ask::look_up, path.text(), 0, reply, fds);
  if (result < 0) return static_cast<long>(result);
  if (reply.payload_length != sizeof status) return -ENODEV;
  std::memcpy(&status, reply.payload.data(), sizeof status);
  return 0;
}

// The names in a directory of the server's, as a file; -errno.
inline long open_list(std::string_view path) noexcept {
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask_path(Ask::list, path, 0, reply, fds);
  if (result < 0) return static_cast<long>(result);
  return fds.size() == 1 ? fds.take() : -EMFILE;
}

}  // namespace freestone::interposer
