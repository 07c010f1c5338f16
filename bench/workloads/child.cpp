#include "child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <string_view>

namespace freestone::bench::workloads {

namespace {

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Ours, but for the one that would put another malloc under the child's.
std::vector<std::string> environment_with(const std::string& setting) {
  std::vector<std::string> all;
  for (char** one = environ; *one != nullptr; ++one) {
    if (!std::string_view(*one).starts_with("LD_PRELOAD=")) all.emplace_back(*one);
  }
  if (!setting.empty()) all.push_back(setting);
  return all;
}

struct Pipe {
  std::array<int, 2> ends = {};

  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe to a child");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(ends[0]);
    close_writer();
  }

  void close_writer() {
    if (ends[1] != -1) close(ends[1]);
    ends[1] = -1;
  }
  std::string read_all() const {
    std::string text;
    std::array<char, 4096> part;
    for (ssize_t count = 0; (count = read(ends[0], part.data(), part.size())) > 0;)
      text.append(part.data(), static_cast<std::size_t>(count));
    return text;
  }
};

std::optional<pid_t> spawn(std::vector<std::string>& command, const std::string& setting, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  auto environment = environment_with(setting);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, command.front().c_str(), &actions, nullptr, pointers_to(command).data(),
                                  pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  return failed != 0 ? std::nullopt : std::optional(child);
}

}  // namespace

std::optional<std::string> output_of(std::vector<std::string> command, const std::string& setting) {
  Pipe pipe;
  const auto child = spawn(command, setting, pipe.ends[1]);
  if (!child) return std::nullopt;
  pipe.close_writer();
  std::string text = pipe.read_all();
  int status = 0;
  waitpid(*child, &status, 0);
  return status == 0 ? std::optional(std::move(text)) : std::nullopt;
}

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace freestone::bench::workloads
