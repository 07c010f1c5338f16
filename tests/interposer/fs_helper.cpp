// What fs.sh needs beside shell: somebody who holds a buffer, one who reads twice, and a server with reports that a
// board does not have. All wait for the end of their standard input.
#include <fcntl.h>
#include <linux/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/server.hpp>

#include "../../examples/interposer/client.hpp"

using namespace freestone;
using namespace freestone::linux_user;

namespace {

int failed(const char* what) { return std::fprintf(stderr, "fs_helper: %s\n", what), 1; }

void wait_for_end() {
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

// ION's ALLOC (4.12 on).
struct Allocation {
  std::uint64_t length = 0;
  std::uint32_t heap_mask = 0;
  std::uint32_t flags = 0;
  std::uint32_t fd = 0;
  std::uint32_t unused = 0;
};

// A buffer of the system heap.
int hold(const char* server, const char* bytes) {
  auto client = Client::connect(server, std::chrono::seconds(10));
  if (!client) return failed("no server");
  const auto ion = client->open("/dev/ion", O_RDWR);
  if (!ion) return failed("no /dev/ion");
  const Allocation wanted{.length = std::strtoull(bytes, nullptr, 0), .heap_mask = 1};
  const auto command = _IOWR('I', 0, Allocation);
  const auto buffer = client->ask({.ask = Ask::ioctl, .number = command, .address = 0x1000},
                                  std::as_bytes(std::span(&wanted, 1)), ion->get());
  if (!buffer || buffer->fd.get() < 0) return failed("no buffer");
  std::puts("held");
  std::fflush(stdout);
  return wait_for_end(), 0;
}

// The first bytes of a file, and after each byte of the standard input the same once more, all from the start.
int reread(const char* path) {
  const backing::OwnedFd file(::open(path, O_RDONLY));
  std::array<char, 64> text;
  char byte = 0;
  do {
    const ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
    if (length < 0) return failed(path);
    std::fwrite(text.data(), 1, static_cast<std::size_t>(length), stdout);
    std::fflush(stdout);
  } while (::read(STDIN_FILENO, &byte, 1) > 0);
  return 0;
}

// Below /proc/fs_helper: `written`, what was written to it last, `long`, and `empty`.
int serve(const char* name) {
  Tree tree;
  std::string written = "nothing yet\n";
  const auto add = [&](const std::string& path, std::uint32_t mode, ReportFile::Report said) {
    Node node{.kind = FileKind::report, .mode = mode};
    const auto report = std::make_shared<const ReportFile::Report>(std::move(said));
    node.open = [&tree, report, path](ServerCall&, int, device::Errno&) -> std::shared_ptr<OpenFile> {
      auto served = ServedFile::create_text("report");
      return served ? std::make_shared<ReportFile>(*std::move(served), report, tree.status(path)) : nullptr;
    };
    tree.add(path, std::move(node));
  };
  const ReportFile::Report keeps{.text = [&] { return written; },
                                 .write =
                                     [&](std::string_view text) {
                                       written = text;
                                       return device::Answer(static_cast<std::int64_t>(text.size()));
                                     }};
  const ReportFile::Report is_long{.text = [] {
    std::string text;
    for (int line = 0; line < 60000; ++line) text += std::to_string(line) + '\n';
    return text;
  }};
  const ReportFile::Report is_empty{.text = [] { return std::string(); }};
  add("/proc/fs_helper/written", 0644, keeps);
  add("/proc/fs_helper/long", 0444, is_long);
  add("/proc/fs_helper/empty", 0444, is_empty);
  auto server = Server::create(tree, name);
  if (!server) return failed("no server can be made");
  std::thread ending([&] { wait_for_end(), (*server)->stop(); });
  std::puts(name);
  std::fflush(stdout);
  (*server)->run();
  ending.join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  if (what == "hold" && argc == 4) return hold(argv[2], argv[3]);
  if (what == "reread") return reread(argv[2]);
  if (what == "serve") return serve(argv[2]);
  return failed("hold SERVER BYTES, reread FILE or serve SERVER");
}
