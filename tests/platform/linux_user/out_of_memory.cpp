// A server that has no memory: each of its allocations fails in turn. Who asked is told, nobody else notices, and afterwards
// all is as before. A program of its own, for it has an operator new of its own.
#include <freestone/platform/linux_user/out_of_memory.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/platform/linux_user/pmem_files.hpp>
#include <freestone/platform/linux_user/views.hpp>

#include "support/server_client.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;

namespace {

constexpr std::int64_t all = INT64_MAX;
std::atomic<std::int64_t> granted = all;  // so many, then one is refused
std::atomic<bool> is_for_good = false;    // and all behind it
std::atomic<int> refused = 0;
thread_local bool is_spared = false;  // the test's own thread

bool is_refused() noexcept {
  if (is_spared) return false;
  const std::int64_t before = granted.fetch_sub(1);
  const bool is_last = before == 0 || (before < 0 && is_for_good);
  if (is_last) ++refused;
  return is_last;
}
void* block_of(std::size_t size) {
  void* const block = is_refused() ? nullptr : std::malloc(size + (size == 0 ? 1 : 0));
  return block != nullptr ? block : throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return block_of(size); }
void* operator new[](std::size_t size) { return block_of(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace {

// What a program does. False where its connection ended; all that it is answered is done, or no memory.
bool use(const std::string& name) {
  ServerClient client(name);
  bool is_well = true;
  const auto ask = [&](const Request& request, int fd = -1) {
    Answered got = client.ask(request, fd);
    is_well = is_well && !got.has_ended;
    if (!got.has_ended && got.result < 0) CHECK(got.result == -ENOMEM);
    return got;
  };
  const auto path = [](Ask what, const char* where, int flags = 0) {
    return ServerClient::with_path(what, where, static_cast<std::uint64_t>(flags));
  };
  ask({.ask = Ask::hello, .number = protocol_version});
  ask(path(Ask::list, "/sys/kernel/debug/ion/carveout"));
  ask(path(Ask::look_up, "/dev/dma_heap/carveout"));
  ask(path(Ask::access, "/dev/dma_heap/carveout", R_OK));
  const auto ion = ask(path(Ask::open, "/dev/ion", O_RDWR));
  const auto heap = ask(path(Ask::open, "/dev/dma_heap/carveout", O_RDWR));
  const auto report = ask(path(Ask::open, "/sys/kernel/debug/ion/carveout/num_of_alloc_bytes", O_RDONLY));
  if (report.fd.get() >= 0) ask({.ask = Ask::refresh}, report.fd.get());
  const IonAllocation wanted{.length = 4096, .mask = 1};
  const DmaHeapAllocation wanted_of_heap{.length = 8192};
  Answered first, second;
  if (ion.fd.get() >= 0) first = client.ioctl(ion.fd.get(), ion_alloc, &wanted);
  if (heap.fd.get() >= 0) second = client.ioctl(heap.fd.get(), dma_heap_alloc, &wanted_of_heap);
  for (const Answered* one : {&first, &second}) {
    is_well = is_well && !one->has_ended;
    if (one->result < 0 && !one->has_ended) CHECK(one->result == -ENOMEM);
    if (one->fd.get() >= 0) ask({.ask = Ask::who}, one->fd.get());
  }
  ask({.ask = Ask::leaving});
  return is_well;
}
// The same of a node that has clients with files of their own, which come and go.
bool use_with_reports(const std::string& name, const std::string& folder) {
  ServerClient client(name);
  bool is_well = true;
  const auto ask = [&](const Request& request, int fd = -1) {
    Answered got = client.ask(request, fd);
    is_well = is_well && !got.has_ended;
    if (!got.has_ended && got.result < 0) CHECK((got.result == -ENOMEM || got.result == -ENOENT));
    return got;
  };
  const auto open = [&](const std::string& path, int flags) {
    return ask(ServerClient::with_path(Ask::open, path, static_cast<std::uint64_t>(flags)));
  };
  const auto ion = open("/dev/ion", O_RDWR);
  std::array<std::uint64_t, 4> wanted = {4096, 0, 2, 0};  // heap 1
  const auto allocated = ion.fd.get() < 0 ? Answered() : client.ioctl(ion.fd.get(), 0xC0204900, wanted.data());
  is_well = is_well && !allocated.has_ended;
  ask(ServerClient::with_path(Ask::list, folder));
  const std::string self = std::to_string(::getpid());
  for (const auto& path : {"/" + self, "/clients/" + self + "-0", std::string("/heaps/carveout"), std::string("/carveout")}) {
    const auto report = open(folder + path, O_RDONLY);
    if (report.fd.get() >= 0) ask({.ask = Ask::refresh}, report.fd.get());
  }
  return is_well;
}

}  // namespace

TEST_CASE("each allocation of a server's fails once, or all from it on: who asks is told, and nothing stays") {
  is_spared = true;
  const RunningServer host;
  ServerClient witness(host.name);
  REQUIRE(witness.hello().result > 0);
  for (const bool for_good : {false, true}) {
    is_for_good = for_good;
    int turns = 0;
    for (refused = 1; refused != 0 && turns < 1000; ++turns) {
      CAPTURE(turns);
      CAPTURE(for_good);
      refused = 0;
      granted = turns;
      const bool is_well = use(host.name);
      const bool is_refused_one = refused != 0;
      granted = all;
      if (!is_well) CHECK(is_refused_one);
      CHECK(witness.hello().result > 0);
      if (host.server->files().count() != 0) CHECK(soon([&] { return host.server->files().count() == 0; }));
      CHECK(host.board->device().client_count() == 0);
      CHECK(witness.number("system/num_of_buffers") == 0);
      CHECK(witness.number("carveout/num_of_alloc_bytes") == 0);
      const auto node = witness.open("/dev/ion");
      CHECK(witness.allocate(node.fd.get(), 1 << 20, 2).result == 0);  // all that there is
    }
    CHECK(turns > 10);
    CHECK(turns < 1000);
  }
}

TEST_CASE("a node whose clients have reports, the same: a client is there with all that is his, or not at all") {
  is_spared = true;
  const std::string folder = "/sys/kernel/debug/ion";
  for (const char* generation : {"ion-g1", "ion-g3"}) {
    std::string board(server_board);
    board.erase(board.rfind("[[node]]"));
    board.replace(board.find("ion-g4"), 6, generation);
    const RunningServer host(unused_name(), board);
    ServerClient witness(host.name);
    REQUIRE(witness.hello().result > 0);
    const auto files = [&] { return host.board->tree().list(folder) + host.board->tree().list(folder + "/clients"); };
    const std::string before = files();
    for (const bool for_good : {false, true}) {
      is_for_good = for_good;
      int turns = 0;
      for (refused = 1; refused != 0 && turns < 1000; ++turns) {
        CAPTURE(turns);
        CAPTURE(for_good);
        refused = 0;
        granted = turns;
        const bool is_well = use_with_reports(host.name, folder);
        const bool is_refused_one = refused != 0;
        granted = all;
        if (!is_well) CHECK(is_refused_one);
        CHECK(witness.hello().result > 0);
        CHECK(soon([&] { return host.server->files().count() == 0 && host.board->device().client_count() == 0; }));
        CHECK(soon([&] { return host.board->device().buffer_count() == 0; }));  // it is freed when there is time for it
        CHECK(files() == before);
      }
      CHECK(turns > 10);
      CHECK(turns < 1000);
    }
  }
}

TEST_CASE("the same of ION's handles and views: no handle that its caller was not told of, no view, nothing that stays") {
  is_spared = true;
  const RunningServer host(unused_name(), R"(
[[heap]]
name = "carveout"
id = 1
type = "carveout"
size = "1M"
base = 0x6000_0000
[[node]]
system = "ion-g1"
)");
  // ION's of the first generation, for callers of 64 bits.
  struct Allocation {
    std::uint64_t length, align;
    std::uint32_t mask, unused;
    std::uint64_t handle;
  };
  struct Shared {
    std::uint64_t handle;
    std::int32_t fd, unused;
  };
  const auto use_handles = [&] {
    bool is_well = true;
    ServerClient control(host.name), client(host.name);
    const auto note = [&](const Answered& got) {
      is_well = is_well && !got.has_ended;
      if (!got.has_ended && got.result < 0) CHECK(got.result == -ENOMEM);
      return !got.has_ended && got.result >= 0;
    };
    const bool has_control = note(control.ask({.ask = Ask::control, .number = 1}));
    const auto node = client.open("/dev/ion");
    if (!note(node)) return is_well;
    Allocation wanted{.length = 1 << 20, .align = 0, .mask = 2, .unused = 0, .handle = 0};
    if (!note(client.ioctl(node.fd.get(), 0xC0204900, &wanted))) return is_well;
    Shared shared{.handle = wanted.handle, .fd = -1, .unused = 0};
    const auto buffer = client.ioctl(node.fd.get(), 0xC0104904, &shared);
    if (!note(buffer)) return is_well;
    if (has_control) note(client.ask({.ask = Ask::map, .number = 3, .length = 4096}, buffer.fd.get()));
    return is_well;
  };
  for (const bool for_good : {false, true}) {
    is_for_good = for_good;
    int turns = 0;
    for (refused = 1; refused != 0 && turns < 1000; ++turns) {
      CAPTURE(turns);
      CAPTURE(for_good);
      refused = 0;
      granted = turns;
      const bool is_well = use_handles();
      const bool is_refused_one = refused != 0;
      granted = all;
      if (!is_well) CHECK(is_refused_one);
      auto& device = host.board->device();
      CHECK(soon([&] {
        return host.server->connection_count() == 0 && host.server->files().count() == 0 && host.server->views().count() == 0 &&
               device.client_count() == 0 && device.buffer_count() == 0;
      }));
    }
    CHECK(turns > 10);
    CHECK(turns < 1000);
    CHECK(use_handles());
  }
}

namespace {

constexpr std::uint64_t page = 4096;

// Only its address matters.
class NoFile final : public OpenFile {
 public:
  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return {}; }

 private:
  ServedFile served_ = *ServedFile::create("none", 0);
};

// A process that answers, and what it was asked.
class Viewer {
 public:
  Viewer(Views& views, std::uint64_t process) : views_(views), control_(std::make_shared<Control>(ends_.here, process)) {
    views.add(control_, {});
    thread_ = std::thread([this] {
      is_spared = true;
      for (auto came = ends_.there.receive<Reply>(); came; came = ends_.there.receive<Reply>()) {
        CHECK(asked_.insert(static_cast<std::uint64_t>(came->record.result)).second);
        static_cast<void>(ends_.there.send(Request{.ask = Ask::copied}));
      }
    });
  }
  ~Viewer() {
    views_.forget(control_->process());
    control_->end();
    if (thread_.joinable()) thread_.join();
  }
  std::uint64_t open(const std::shared_ptr<OpenFile>& file, std::uint64_t at, std::uint64_t length) {
    return static_cast<std::uint64_t>(views_.open(file, at, length, false, control_->process()).value());
  }
  bool has_ended() const { return ends_.there.has_ended(); }
  // Once it is asked no more.
  std::set<std::uint64_t> asked() {
    control_->end();
    thread_.join();
    return std::exchange(asked_, {});
  }

 private:
  Views& views_;
  freestone::Connection::Ends ends_ = *freestone::Connection::pair();
  std::shared_ptr<Control> control_;
  std::set<std::uint64_t> asked_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("what is hidden of a window is hidden from each process that has a view of it, with no memory too") {
  is_spared = true;
  for (const bool for_good : {false, true}) {
    is_for_good = for_good;
    int turns = 0;
    for (refused = 1; refused != 0 && turns < 1000; ++turns) {
      CAPTURE(turns);
      CAPTURE(for_good);
      Views views;
      const auto file = std::make_shared<NoFile>(), other = std::make_shared<NoFile>();
      WindowScreen screen(*file, &views, 4);
      Viewer first(views, 1), second(views, 2);
      std::set<std::uint64_t> wanted[2];
      for (std::uint64_t at = 0; at < 3; ++at) {
        wanted[0].insert(first.open(file, at * page, 4 * page));
        wanted[1].insert(second.open(file, at * page, 4 * page));
        static_cast<void>(first.open(other, 0, page)), static_cast<void>(first.open(file, 8 * page, page));
      }
      refused = 0;
      std::thread([&] {
        granted = turns;
        screen.hide({3 * page, page});
        granted = all;
      }).join();
      CHECK_FALSE(first.has_ended());
      CHECK_FALSE(second.has_ended());
      CHECK(first.asked() == wanted[0]);
      CHECK(second.asked() == wanted[1]);
    }
    CHECK(turns > 3);
    CHECK(turns < 1000);
  }
}
