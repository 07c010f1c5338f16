// freestone-server BOARD.toml [NAME=SIZE...] [--socket NAME]: the devices of a board, some of whose heaps may have their sizes from
// here (heap/os/size_words.hpp), for programs that the interposer is loaded into (LD_PRELOAD, FREESTONE_SERVER=NAME). Prints the
// name of its socket once it can be connected to, and serves until SIGTERM or SIGINT.
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/core/os/describe.hpp>
#include <freestone/platform/linux_user/server.hpp>

#include "serve.hpp"

using namespace freestone;
using namespace freestone::linux_user;

namespace {

Server* running = nullptr;

int fail(const std::string& what) {
  std::fprintf(stderr, "freestone-server: %s\n", what.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr const char* usage = "usage: freestone-server BOARD.toml [NAME=SIZE...] [--socket NAME]";
  std::string path;
  std::vector<const char*> sizes;
  std::string socket = new_socket_name();
  for (int at = 1; at < argc; ++at) {
    const std::string_view argument = argv[at];
    if (argument == "--help") return std::puts(usage), 0;
    if (argument == "--socket" && at + 1 < argc) {
      socket = argv[++at];
    } else if (!argument.starts_with('-') && path.empty()) {
      path = argument;
    } else if (!argument.starts_with('-') && argument.find('=') != std::string_view::npos) {
      sizes.push_back(argv[at]);
    } else {
      return fail(usage);
    }
  }
  if (path.empty()) return fail(usage);
  std::string why;
  const auto board = load_board(path, sizes, why);
  if (board == nullptr) return fail(why);
  raise_file_limit();
  auto server = Server::create(board->tree(), socket);
  if (!server) return fail(socket + ": " + describe(server.error()));
  board->look_after((*server)->files());
  running = server->get();
  for (const int number : {SIGTERM, SIGINT}) std::signal(number, [](int) { running->stop(); });
  std::printf("%s\n", socket.c_str());
  std::fflush(stdout);
  (*server)->run();
  return 0;
}
