// What the server and the runner have in common: a board read, its devices made, and a name to reach them by.
#pragma once

#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/tree.hpp>

namespace freestone::linux_user {

template <class T>
T chance() {
  T value{};
  if (::getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) std::abort();
  return value;
}

// Nobody else's, and hard to guess.
inline std::string new_socket_name() {
  char text[64];
  std::snprintf(text, sizeof text, "@freestone-%d-%016llx", static_cast<int>(::getpid()), chance<unsigned long long>());
  return text;
}

// Each open file of each program takes a descriptor of the server. Returns the limit as it was.
inline rlimit raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return limit;
  const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &raised);
  return limit;
}

// A board's devices. What they are made of is compiled once, in serve.cpp.
class ServedBoard {
 public:
  virtual ~ServedBoard() = default;

  virtual const Tree& tree() const noexcept = 0;
  // Of the server that serves the tree; before it runs.
  virtual void look_after(OpenFiles& files) = 0;
};

// The board of that file, with sizes that a command line has for it (NAME=SIZE); or nothing, and `why` says which line or word is
// wrong.
std::unique_ptr<ServedBoard> load_board(const std::string& path, std::span<const char* const> sizes, std::string& why);

}  // namespace freestone::linux_user
