// freestone-run BOARD.toml INTERPOSER [NAME=SIZE...] -- PROGRAM ARGS...: runs a program on the devices of a board, some of whose
// heaps may have their sizes from here (heap/os/size_words.hpp). The program is an ordinary one, and knows nothing of it. Its exit
// status is this one's (128 + N where signal N killed it); what it left open is told on stderr. ./dev run-with finds the first two
// arguments by itself.
#include <elf.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <freestone/core/os/describe.hpp>
#include <freestone/platform/linux_user/server.hpp>

#include "serve.hpp"

using namespace freestone;
using namespace freestone::linux_user;

namespace {

volatile sig_atomic_t child = 0;  // 0: there is none (any more)

int fail(const std::string& what) {
  std::fprintf(stderr, "freestone: %s\n", what.c_str());
  return 2;
}

constexpr int first_size = 3;  // the first argument that may be NAME=SIZE
// The first behind it that is none.
int end_of_sizes(int argc, char** argv) {
  int end = first_size;
  while (end < argc && std::strchr(argv[end], '=') != nullptr) ++end;
  return end;
}

// Where execvp would find it; empty where nowhere.
std::string found_in_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0 ? program : "";
  const char* const path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (true) {
    const std::size_t end = rest.find(':');
    const std::string one = std::string(rest.substr(0, end)) + '/' + program;
    if (::access(one.c_str(), X_OK) == 0) return one;
    if (end == std::string_view::npos) return "";
    rest.remove_prefix(end + 1);
  }
}

// Is the file an ELF program that asks for no dynamic loader, into which nothing can be loaded?
template <class Header, class Segment>
bool is_static(const std::vector<char>& file) {
  Header header;
  if (file.size() < sizeof header) return false;
  std::memcpy(&header, file.data(), sizeof header);
  for (std::size_t at = 0; at < header.e_phnum; ++at) {
    Segment segment;
    if (header.e_phoff > file.size()) return false;
    const std::size_t place = static_cast<std::size_t>(header.e_phoff) + at * sizeof segment;
    if (place + sizeof segment > file.size()) return false;
    std::memcpy(&segment, file.data() + place, sizeof segment);
    if (segment.p_type == PT_INTERP) return false;
  }
  return true;
}
// The file's first bytes.
std::vector<char> start_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> start(64 * 1024);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(file.gcount()));
  return start;
}
// What a script's first line names, or nothing.
std::string interpreter_of(const std::vector<char>& file) {
  const std::string_view all(file.data(), file.size());
  if (!all.starts_with("#!")) return "";
  const std::string_view line = all.substr(2, all.find('\n') == std::string_view::npos ? 0 : all.find('\n') - 2);
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(line.substr(first, line.find_first_of(" \t", first) - first));
}
bool is_static(const std::string& path) {
  std::vector<char> start = start_of(path);
  if (const std::string interpreter = interpreter_of(start); !interpreter.empty()) start = start_of(interpreter);
  if (start.size() < EI_NIDENT || std::memcmp(start.data(), ELFMAG, SELFMAG) != 0) return false;
  return start[EI_CLASS] == ELFCLASS32 ? is_static<Elf32_Ehdr, Elf32_Phdr>(start) : is_static<Elf64_Ehdr, Elf64_Phdr>(start);
}

[[noreturn]] void become(const std::string& program, char** arguments, const std::string& interposer, const std::string& socket,
                         const rlimit& file_limit) {
  if (file_limit.rlim_max != 0) ::setrlimit(RLIMIT_NOFILE, &file_limit);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const char* const before = std::getenv("LD_PRELOAD");
  const std::string preload = before != nullptr && *before != '\0' ? interposer + ':' + before : interposer;
  ::setenv("LD_PRELOAD", preload.c_str(), 1);
  ::setenv(server_variable, socket.c_str(), 1);
  ::execv(program.c_str(), arguments);
  std::fprintf(stderr, "freestone: %s: %s\n", program.c_str(), std::strerror(errno));
  std::_Exit(127);
}

// Signals that somebody sends to this process are the program's. Those of a terminal come to it anyway.
void forward_signals() {
  struct sigaction action {};
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = [](int number, siginfo_t* what, void*) {
    if (what->si_code <= 0 && child != 0) ::kill(child, number);
  };
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) ::sigaction(number, &action, nullptr);
}

int status_of(pid_t pid) {
  // Until it can be waited for its number is nobody else's.
  siginfo_t what{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &what, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  child = 0;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

int main(int argc, char** argv) {
  const int end = end_of_sizes(argc, argv);
  if (end + 1 >= argc || std::string_view(argv[end]) != "--") {
    return fail("usage: freestone-run BOARD.toml INTERPOSER [NAME=SIZE...] -- PROGRAM ARGS...");
  }
  char** const arguments = argv + end + 1;
  const std::string program = found_in_path(arguments[0]);
  if (program.empty()) return fail(std::string(arguments[0]) + ": no such program");
  if (is_static(program)) {
    return fail(program + ": is linked statically, so the interposer cannot be loaded into it; link it dynamically "
                          "(without -static), or use a kernel that has the devices (./dev vm)");
  }
  std::string why;
  const auto board = load_board(argv[1], {argv + first_size, static_cast<std::size_t>(end - first_size)}, why);
  if (board == nullptr) return fail(why);
  const rlimit file_limit = raise_file_limit();
  const std::string socket = new_socket_name();
  auto server = Server::create(board->tree(), socket);
  if (!server) return fail(describe(server.error()));
  board->look_after((*server)->files());

  const pid_t pid = ::fork();
  if (pid < 0) return fail(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) become(program, arguments, argv[2], socket, file_limit);
  child = pid;
  forward_signals();
  std::thread serving([&] { (*server)->run(); });
  const int status = status_of(pid);
  (*server)->files().reap();
  const auto left = (*server)->files().left_by_process();
  for (const auto& one : left) {
    std::fprintf(stderr, "freestone: process %llu left open at its end: %zu buffers of %llu bytes, %zu other files\n",
                 static_cast<unsigned long long>(one.process), one.buffers, static_cast<unsigned long long>(one.bytes), one.others);
  }
  (*server)->stop();
  serving.join();
  return status;
}
