// windows INTERPOSER PROGRAM: runs a program on a server of /dev/window, a device whose mappings change while they are
// mapped; ends as it ends, unless something of it stays behind. An open file has memory of its own (ALLOCATE), or shows
// windows of another's (CONNECT, GRANT, REVOKE), all of which go when the other ends.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/platform/linux_user/server.hpp>

using namespace freestone;
using namespace freestone::linux_user;

namespace {

struct Window {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
constexpr std::uint64_t page = 4096;

std::mutex all;  // of all files' states
Server* server = nullptr;

class WindowFile final : public OpenFile {
 public:
  WindowFile(ServedFile file, const FileStatus& status) : file_(std::move(file)), status_(status) {}
  ~WindowFile() override {
    std::vector<WindowFile*> shown;
    {
      const std::lock_guard turn(all);
      if (owner_ != nullptr) owner_->subs_.erase(this);
      for (WindowFile* sub : subs_) sub->owner_ = nullptr, sub->granted_.clear(), shown.push_back(sub);
    }
    for (WindowFile* sub : shown) look_again(*sub, {0, ~std::uint64_t{0} >> 1});
  }

  const ServedFile& served() const noexcept override { return file_; }
  FileStatus status() noexcept override { return status_; }

  device::Answer ioctl(ServerCall& call, device::Command command, std::uint64_t argument) noexcept override {
    Window window;
    const auto bytes = std::as_writable_bytes(std::span(&window, 1));
    if (command.number() != 4 && !call.copy_in(bytes, argument)) return device::Errno::fault;
    switch (command.number()) {
      case 0: return allocate(window.length);
      case 1: {
        device::Errno why = device::Errno::none;
        return connect(call.file(static_cast<std::int32_t>(window.offset), why));
      }
      case 2: return grant(window, true);
      case 3: return grant(window, false);
      case 4: return device::Answer(static_cast<std::int64_t>(server->views().count()));
      default: return device::Errno::no_such_command;
    }
  }

  device::Answer map(ServerCall&, std::uint64_t offset, std::uint64_t length, int, Kept&) noexcept override {
    const std::lock_guard turn(all);
    const std::uint64_t size = memory_ ? size_ : owner_ != nullptr ? owner_->size_ : 0;
    return offset > size || length > size - offset ? device::Answer(device::Errno::invalid) : device::done;
  }
  std::optional<MapPiece> piece(std::uint64_t at) noexcept override {
    const std::lock_guard turn(all);
    if (memory_) return piece_of(*memory_, {0, size_});
    for (const Window& one : granted_) {
      if (one.offset + one.length > at && owner_ != nullptr) return piece_of(*owner_->memory_, one);
    }
    return std::nullopt;
  }

 private:
  static void look_again(const WindowFile& file, const Window& window) {
    server->views().look_again(file, window.offset, window.length);
  }
  static std::optional<MapPiece> piece_of(const ServedFile& memory, const Window& window) {
    auto fd = memory.open(O_RDWR);
    if (!fd) return std::nullopt;
    return MapPiece{window.offset, window.length, window.offset, *std::move(fd)};
  }
  device::Answer allocate(std::uint64_t length) {
    auto memory = ServedFile::create("window", length);
    if (!memory) return device::Errno::no_memory;
    const std::lock_guard turn(all);
    memory_.emplace(*std::move(memory));
    size_ = length;
    return device::done;
  }
  device::Answer connect(const std::shared_ptr<OpenFile>& other) {
    auto* const owner = dynamic_cast<WindowFile*>(other.get());
    if (owner == nullptr || owner == this) return device::Errno::bad_file;
    const std::lock_guard turn(all);
    if (owner_ != nullptr || !owner->memory_) return device::Errno::invalid;
    owner_ = owner;
    owner->subs_.insert(this);
    return device::done;
  }
  // Ascending, and none in another.
  device::Answer grant(const Window& window, bool is_granted) {
    {
      const std::lock_guard turn(all);
      std::vector<Window> pages;
      for (const Window& one : granted_) {
        for (std::uint64_t at = one.offset; at < one.offset + one.length; at += page) {
          if (at < window.offset || at >= window.offset + window.length) pages.push_back({at, page});
        }
      }
      for (std::uint64_t at = window.offset; is_granted && at < window.offset + window.length; at += page) pages.push_back({at, page});
      std::ranges::sort(pages, {}, &Window::offset);
      granted_ = std::move(pages);
    }
    look_again(*this, window);
    return device::done;
  }

  ServedFile file_;
  FileStatus status_;
  std::optional<ServedFile> memory_;
  std::uint64_t size_ = 0;
  WindowFile* owner_ = nullptr;
  std::set<WindowFile*> subs_;
  std::vector<Window> granted_;
};

int fail(const char* what) { return std::fprintf(stderr, "windows: %s\n", what), 99; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return fail("INTERPOSER PROGRAM");
  Tree tree;
  Node node{.kind = FileKind::device, .mode = 0666, .major = 10, .minor = 99};
  node.open = [&](ServerCall&, int, device::Errno&) -> std::shared_ptr<OpenFile> {
    auto file = ServedFile::create("window", 0);
    return file ? std::make_shared<WindowFile>(*std::move(file), tree.status("/dev/window")) : nullptr;
  };
  tree.add("/dev/window", std::move(node));
  const std::string name = "@freestone-windows-" + std::to_string(::getpid());
  auto made = Server::create(tree, name);
  if (!made) return fail("no server");
  server = made->get();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setenv("LD_PRELOAD", argv[1], 1);
    ::setenv(server_variable, name.c_str(), 1);
    ::execv(argv[2], argv + 2);
    ::_exit(127);
  }
  std::thread serving([] { server->run(); });
  int status = 0;
  ::waitpid(pid, &status, 0);
  const auto is_gone = [] {
    server->files().reap();
    return server->files().count() == 0 && server->views().count() == 0;
  };
  for (int turn = 0; turn < 1000 && !is_gone(); ++turn) ::usleep(10'000);
  const bool is_clean = is_gone();
  server->stop();
  serving.join();
  if (!is_clean) return fail("a file or a view stays behind");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
