// freestone-fs [SOCKET] MOUNTPOINT: the reports of a device server as files, for cat, watch and whatever else reads,
// with no interposer. It ends with the server, and leaves no mount.
#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <freestone/core/os/describe.hpp>

#include "client.hpp"
#include "fs_mount.hpp"
#include "fs_view.hpp"

using namespace freestone;
using namespace freestone::linux_user;

namespace {

constexpr std::chrono::seconds patience{10};
constexpr int wrong = 2, no_fuse = 3;

constexpr const char* usage = "usage: freestone-fs [--background] [SOCKET] MOUNTPOINT";
constexpr const char* help =
    "Shows the reports of a device server below MOUNTPOINT, an empty directory, at their own paths:\n"
    "MOUNTPOINT/sys/kernel/debug/ion/system/num_of_buffers. Each open and each read from the start is of that moment.\n"
    "Device nodes are listed, but only programs run with the interposer can open them.\n"
    "\n"
    "  SOCKET        the server's name, which it prints when it starts; else FREESTONE_SERVER tells it\n"
    "  --background  return once it is mounted\n"
    "\n"
    "Ends, and unmounts, when the server ends or answers nothing for 10 s, on SIGTERM, SIGINT or\n"
    "SIGHUP, or when somebody unmounts it.\n"
    "Status: 0; 2: wrong arguments, or no server; 3: FUSE cannot be had.";

int fail(const std::string& what, int status = wrong) {
  std::fprintf(stderr, "freestone-fs: %s\n", what.c_str());
  return status;
}

struct Wanted {
  std::string server;
  std::string place;
  bool in_background = false;
};

// False, where `status` is what to end with.
bool read_arguments(int argc, char** argv, Wanted& wanted, int& status) {
  std::vector<std::string> names;
  for (int at = 1; at < argc; ++at) {
    const std::string_view argument = argv[at];
    if (argument == "--help") return std::printf("%s\n%s\n", usage, help), status = 0, false;
    if (argument == "--background") {
      wanted.in_background = true;
    } else if (argument.starts_with('-')) {
      return status = fail(std::string(argument) + ": no such option\n" + usage), false;
    } else {
      names.emplace_back(argument);
    }
  }
  const char* const server = std::getenv(server_variable);
  if (names.size() == 1 && server != nullptr) names.insert(names.begin(), server);
  if (names.size() == 2) return wanted.server = names[0], wanted.place = names[1], true;
  const std::string what = names.size() == 1 ? "no server: name its socket, or set FREESTONE_SERVER\n" : "";
  return status = fail(what + usage), false;
}

// The place to mount on, absolute; empty, and `why`, where it is none.
std::string mount_point(const std::string& place, std::string& why) {
  struct stat status {};
  const bool is_there = ::stat(place.c_str(), &status) == 0;
  if (!is_there && errno == ENOTCONN) {
    return why = place + ": is left of a file system that was killed: umount it first (fusermount3 -u, umount)", "";
  }
  if (!is_there) return why = place + ": " + std::strerror(errno) + "; an empty directory was expected (mkdir)", "";
  if (!S_ISDIR(status.st_mode)) return why = place + ": is no directory; an empty one was expected", "";
  std::error_code error;
  const bool is_empty = std::filesystem::directory_iterator(place, error) == std::filesystem::directory_iterator();
  if (error) return why = place + ": " + error.message(), "";
  if (!is_empty) return why = place + ": is not empty, and what is in it would be hidden: name an empty directory", "";
  const std::unique_ptr<char, void (*)(void*)> whole(::realpath(place.c_str(), nullptr), std::free);
  return whole != nullptr ? whole.get() : (why = place + ": " + std::strerror(errno), "");
}

std::string why_no_server(const std::string& server, const Error& error) {
  switch (error.code) {
    case ErrorCode::no_device:
      return server + ": no server there: freestone-server BOARD.toml starts one, and prints its name";
    case ErrorCode::bad_name: return server + ": no name of a socket: 1 to 107 bytes were expected";
    case ErrorCode::wrong_version: return server + ": speaks another version of the protocol: build both anew";
    case ErrorCode::connection_ended:
      return server + ": that server does not answer: is it another user's? Only he and root may ask it";
    default: return server + ": " + describe(error);
  }
}

// Why FUSE cannot be had here; empty where it can.
std::string why_no_fuse() {
  const backing::OwnedFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.get() >= 0) return "";
  const bool is_missing = errno == ENOENT || errno == ENODEV || errno == ENXIO;
  const std::string in_container = "; in a container, start that with --device /dev/fuse --cap-add SYS_ADMIN";
  return std::string("/dev/fuse: ") + std::strerror(errno) +
         (is_missing ? ": load it (modprobe fuse)" : ": run this as its owner, or let others open it") + in_container;
}

// Signals that end it, as a file: from here on they do nothing else.
backing::OwnedFd ending_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t ending;
  sigemptyset(&ending);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, number);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  return backing::OwnedFd(::signalfd(-1, &ending, SFD_CLOEXEC));
}

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  int status = 0;
  if (!read_arguments(argc, argv, wanted, status)) return status;
  std::string why;
  const std::string place = mount_point(wanted.place, why);
  if (place.empty()) return fail(why);
  auto client = Client::connect(wanted.server, patience);
  if (!client) return fail(why_no_server(wanted.server, client.error()));
  if (why = why_no_fuse(); !why.empty()) return fail(why, no_fuse);

  const auto signals = ending_signals();
  ServerView view(*std::move(client));
  const auto mount = Mount::create(view, place);
  if (mount == nullptr) {
    return fail(place + ": cannot be mounted on: it takes root (CAP_SYS_ADMIN) or fusermount3 (package fuse3)",
                no_fuse);
  }
  std::printf("%s\n", place.c_str());
  std::fflush(stdout);
  if (wanted.in_background && fuse_daemonize(0) != 0) return fail("cannot go into the background");
  switch (mount->serve(signals.get())) {
    case MountEnd::asked: break;
    case MountEnd::unmounted: std::fprintf(stderr, "freestone-fs: %s: was unmounted\n", place.c_str()); break;
    case MountEnd::server_gone:
      std::fprintf(stderr, "freestone-fs: the server %s has ended, or is mute: unmounting %s\n", wanted.server.c_str(),
                   place.c_str());
  }
  return 0;
}
