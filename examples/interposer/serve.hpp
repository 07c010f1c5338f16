// What the server and the runner have in common: a board read, its devices made, and a name to reach them by.
#pragma once

#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include <freestone/core/os/describe.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/share/keyed_tag.hpp>

#include "device_board.hpp"

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

// The board of that file; or nothing, and `why` says which line is wrong.
inline std::unique_ptr<DeviceBoard> load_board(const std::string& path, std::string& why) {
  std::ifstream file(path);
  if (!file) return why = path + ": cannot be read; a board (.toml) was expected", nullptr;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto board = DeviceBoard::create(text, chance<TagKey>());
  if (!board) return why = path + ": " + describe(board.error()), nullptr;
  return *std::move(board);
}

}  // namespace freestone::linux_user
