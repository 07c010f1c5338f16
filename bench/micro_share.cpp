// What sharing costs, beside the zone that buffers come from and the system calls that take a file over a socket.
#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/fd_message.hpp>
#include <freestone/share/view.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone::bench {

namespace {

using namespace freestone::literals;

// One process, in which nothing is copied and nothing is shown.
struct OneProcess {
  struct Mapping {};
  Result<void> copy_in(std::span<std::byte>, std::uint64_t) noexcept { return {}; }
  Result<void> copy_out(std::uint64_t, std::span<const std::byte>) noexcept { return {}; }
  Result<void> map(Mapping&, Block) noexcept { return {}; }
  void revoke(Block) noexcept {}
  int process() noexcept { return 1; }
  void log(const char*) noexcept {}
};

constexpr ShareLimits limits{.clients = 4, .owners = 4, .buffers = 256, .handles = 256, .blocks = 1};
constexpr Constraints frame{.size = 16_KiB};

template <class L = lock::None, class S = scrub::Nothing>
struct Board {
  using Frames = Zone<backing::DataFile, strategy::Bitmap, L, cache::Coherent>;
  using Shared = Device<Frames, OneProcess, limits, S, PlainLocks<L>>;
  using Ref = typename Shared::Ref;

  Frames zone = std::move(*Frames::create({.name = "frames", .size = 64_MiB}));
  OneProcess platform;
  Shared device{zone, platform, TagKey{1, 2}};
  ClientId camera = *device.open();
  ClientId display = *device.open();

  Handle buffer() { return *device.allocate(camera, frame); }
  Ref shared(Handle handle) { return std::move(*device.share(camera, handle)); }
};

// --- a buffer and back ---

template <class L>
void pairs_of_zone(benchmark::State& state, bool is_zeroed = false) {
  Board<L> board;
  for (auto _ : state) {
    auto block = board.zone.allocate(Request{.size = 16_KiB});
    if (is_zeroed) std::memset(board.zone.data(*block).data(), 0, 16 << 10);
    benchmark::DoNotOptimize(block);
    benchmark::DoNotOptimize(board.zone.deallocate(*block));
  }
}
template <class L, class S = scrub::Nothing>
void pairs_of_device(benchmark::State& state, int others = 0) {
  Board<L, S> board;
  for (int i = 0; i < others; ++i) benchmark::DoNotOptimize(board.buffer());
  for (auto _ : state) {
    auto handle = board.device.allocate(board.camera, frame);
    benchmark::DoNotOptimize(handle);
    benchmark::DoNotOptimize(board.device.free(board.camera, *handle));
  }
}

void share_zone_itself(benchmark::State& state) { pairs_of_zone<lock::None>(state); }
void share_allocate(benchmark::State& state) { pairs_of_device<lock::None>(state); }
void share_allocate_beside_200(benchmark::State& state) { pairs_of_device<lock::None>(state, 200); }
void share_zone_itself_mutex(benchmark::State& state) { pairs_of_zone<lock::Mutex>(state); }
void share_allocate_mutexes(benchmark::State& state) { pairs_of_device<lock::Mutex>(state); }
// Zeroed by whoever allocates it: most of it is the zeroing.
void share_zone_itself_zeroed(benchmark::State& state) { pairs_of_zone<lock::None>(state, true); }
void share_allocate_zeroed(benchmark::State& state) { pairs_of_device<lock::None, scrub::Zero>(state); }

// --- between clients ---

void share_client(benchmark::State& state) {
  Board board;
  for (auto _ : state) {
    auto client = board.device.open();
    benchmark::DoNotOptimize(client);
    benchmark::DoNotOptimize(board.device.close(*client));
  }
}
void share_to_another(benchmark::State& state) {
  Board board;
  const Handle handle = board.buffer();
  for (auto _ : state) {
    auto seen = board.device.import(board.display, board.shared(handle));
    benchmark::DoNotOptimize(seen);
    benchmark::DoNotOptimize(board.device.free(board.display, *seen));
  }
}
// He has it already: one reference more, and back.
void share_import_again(benchmark::State& state) {
  Board board;
  const auto shared = board.shared(board.buffer());
  benchmark::DoNotOptimize(board.device.import(board.display, shared));
  for (auto _ : state) {
    auto seen = board.device.import(board.display, shared);
    benchmark::DoNotOptimize(seen);
    benchmark::DoNotOptimize(board.device.free(board.display, *seen));
  }
}
void share_map(benchmark::State& state) {
  Board board;
  const Handle handle = board.buffer();
  for (auto _ : state) {
    benchmark::DoNotOptimize(board.device.map(board.camera, handle, Mapper::device));
    benchmark::DoNotOptimize(board.device.unmap(board.camera, handle, Mapper::device));
  }
}
void share_map_of_nobody(benchmark::State& state) {
  Board board;
  const auto shared = board.shared(board.buffer());
  for (auto _ : state) {
    auto map = board.device.map(shared, Mapper::cpu);
    benchmark::DoNotOptimize(map);
  }
}

// --- parts of a buffer ---

using Viewed = Board<>::Shared;
using OneView = View<Viewed>;

// What a platform would do is not counted.
struct NoScreen {
  Result<void> show(OneView&, const ByteRange&) noexcept { return {}; }
  void hide(OneView&, const ByteRange&) noexcept {}
};

// One page of four, of a view that was granted another already.
void share_grant(benchmark::State& state) {
  Board board;
  const auto buffer = board.shared(board.buffer());
  Views<Viewed, 16> views(*board.device.ref(buffer.id()), 4_KiB);
  OneView view;
  NoScreen screen;
  benchmark::DoNotOptimize(views.connect(view, *board.device.ref(buffer.id())));
  benchmark::DoNotOptimize(view.map(16_KiB, screen));
  benchmark::DoNotOptimize(views.grant(view, {0, 4_KiB}, screen));
  for (auto _ : state) {
    benchmark::DoNotOptimize(views.grant(view, {8_KiB, 4_KiB}, screen));
    benchmark::DoNotOptimize(views.withdraw(view, {8_KiB, 4_KiB}, screen));
  }
  views.revoke(screen);
  benchmark::DoNotOptimize(view.unmap());
}
// All of a view's life.
void share_view(benchmark::State& state) {
  Board board;
  const auto buffer = board.shared(board.buffer());
  Views<Viewed, 16> views(*board.device.ref(buffer.id()), 4_KiB);
  NoScreen screen;
  for (auto _ : state) {
    OneView view;
    benchmark::DoNotOptimize(views.connect(view, *board.device.ref(buffer.id())));
    benchmark::DoNotOptimize(view.map(16_KiB, screen));
    benchmark::DoNotOptimize(views.grant(view, {8_KiB, 4_KiB}, screen));
    benchmark::DoNotOptimize(views.revoke(view, screen));
    benchmark::DoNotOptimize(view.unmap());
  }
  views.revoke(screen);
}

// --- over a socket, to this process itself ---

struct BareMessage {
  ExportRecord record = {};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control = {};
  iovec bytes = {&record, sizeof record};
  msghdr message = {};

  BareMessage() {
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  BareMessage(const BareMessage&) = delete;

  bool send(int socket, int fd) {
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) > 0;
  }
  int receive(int socket) {
    int fd = -1;
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return fd;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
  }
};

int sent_bare(const Connection::Ends& ends, int fd) {
  BareMessage sent;
  if (!sent.send(ends.here.fd(), fd)) return -1;
  BareMessage got;
  return got.receive(ends.there.fd());
}

// The floor: a memfd goes over, and what came is closed.
void share_fd_bare(benchmark::State& state) {
  Board board;
  const auto ends = Connection::pair();
  for (auto _ : state) {
    const int got = sent_bare(*ends, board.zone.backing().fd());
    if (got < 0) return state.SkipWithError("no descriptor came");
    close(got);
  }
}
// The same of a descriptor of its own, and what came is mapped: all that must be done, and nothing is looked at.
void share_fd_bare_mapped(benchmark::State& state) {
  Board board;
  const auto ends = Connection::pair();
  for (auto _ : state) {
    const int own = fcntl(board.zone.backing().fd(), F_DUPFD_CLOEXEC, 0);
    const int got = sent_bare(*ends, own);
    void* const at = mmap(nullptr, 16 << 10, PROT_READ | PROT_WRITE, MAP_SHARED, got, 0);
    if (at == MAP_FAILED) return state.SkipWithError("no mapping");
    munmap(at, 16 << 10);
    close(got);
    close(own);
  }
}
void share_fd(benchmark::State& state) {
  Board board;
  const auto ends = Connection::pair();
  const auto block = board.zone.allocate(16_KiB);
  for (auto _ : state) {
    const auto exported = export_block(board.zone, *block, FileAccess::read_write);
    if (!exported || !ends->here.send(exported->record(), exported->fd)) return state.SkipWithError("not sent");
    auto message = ends->there.receive<ExportRecord, 1>();
    auto range = ImportedRange::map(message->fds.take(0), message->record);
    if (!range) return state.SkipWithError("not imported");
    benchmark::DoNotOptimize(range);
  }
}
void share_export(benchmark::State& state) {
  Board board;
  const auto block = board.zone.allocate(16_KiB);
  for (auto _ : state) {
    auto exported = export_block(board.zone, *block, FileAccess::read_write);
    benchmark::DoNotOptimize(exported);
  }
}
// A file that came back is the client's buffer again: he has it once more, and lets go.
void share_fd_back(benchmark::State& state) {
  Board board;
  Exports<Board<>::Shared, 64, lock::None> exports(board.device);
  auto buffer = board.shared(board.buffer());
  const auto exported = export_block(board.zone, buffer.parts().blocks[0], FileAccess::read_write);
  if (!exports.put(std::move(buffer), *exported)) return state.SkipWithError("not exported");
  for (auto _ : state) {
    auto found = exports.find(exported->fd.get(), exported->offset);
    if (!found) return state.SkipWithError("not found");
    auto seen = board.device.import(board.display, found->buffer);
    benchmark::DoNotOptimize(board.device.free(board.display, *seen));
  }
}

BENCHMARK(share_zone_itself);
BENCHMARK(share_allocate);
BENCHMARK(share_allocate_beside_200);
BENCHMARK(share_zone_itself_mutex);
BENCHMARK(share_allocate_mutexes);
BENCHMARK(share_zone_itself_zeroed);
BENCHMARK(share_allocate_zeroed);
BENCHMARK(share_client);
BENCHMARK(share_to_another);
BENCHMARK(share_import_again);
BENCHMARK(share_map);
BENCHMARK(share_map_of_nobody);
BENCHMARK(share_grant);
BENCHMARK(share_view);
BENCHMARK(share_fd_bare);
BENCHMARK(share_fd_bare_mapped);
BENCHMARK(share_fd);
BENCHMARK(share_export);
BENCHMARK(share_fd_back);

}  // namespace

}  // namespace freestone::bench
