// Export and import of real dma-bufs: those of a heap and those of udmabuf. Where a machine has neither it is said; the
// guest of ./dev vm has both.
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/peers.hpp>

#include <doctest/doctest.h>

#include <linux/dma-heap.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/backing/os/udmabuf.hpp>
#include <freestone/cache/os/dma_buf_sync.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/fd_message.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/child.hpp"
#include "support/dma_bufs.hpp"
#include "support/fds.hpp"
#include "support/platforms.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t KiB = 1024;
constexpr const char* heap_node = "/dev/dma_heap/system";

template <class B>
constexpr const char* node_of() {
  return std::is_same_v<B, backing::DmaHeap> ? heap_node : "/dev/udmabuf";
}

template <class B>
using Frames = Zone<B, strategy::Bitmap, lock::Mutex, cache::DmaBufSync>;

template <class B>
Frames<B> zone_of(Bytes size = 256_KiB) {
  auto made = Frames<B>::create({.name = "frames", .size = size});
  if (!made) FAIL(describe(made.error()));
  return *std::move(made);
}

bool is_all(std::span<const std::byte> bytes, std::byte value) {
  return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}

// The descriptor again, as if it had come from somebody.
backing::OwnedFd copy_of(const Exported& exported) { return backing::OwnedFd(dup(exported.fd.get())); }

// What CPUs do to imported bytes: with it the kernel is told when that begins and ends.
CacheView view_of(const ImportedRange& range) {
  return {.data = range.writable().data(), .size = range.bytes().size(), .fd = range.fd()};
}

constexpr ShareLimits few{.clients = 2, .owners = 2, .buffers = 16, .handles = 16, .blocks = 1};

// A device over a dma-buf, whose buffers go out as its file.
template <class B>
struct World {
  using D = Device<Frames<B>, MinimalPlatform, few, scrub::Zero, PlainLocks<lock::Mutex>>;
  using Ref = typename D::Ref;

  Frames<B> zone = zone_of<B>();
  MinimalPlatform platform = {};
  D device{zone, platform, TagKey{1, 2}};
  ClientId client = *device.open();
  Exports<D, 8, lock::Mutex> exports{device};

  Ref buffer(Bytes size) {
    const Handle handle = *device.allocate(client, {.size = size});
    Ref ref = std::move(*device.share(client, handle));
    REQUIRE(device.free(client, handle));
    return ref;
  }
  Exported exported(const Ref& ref) {
    auto made = export_block(zone, ref.parts().blocks[0], FileAccess::read_write);
    REQUIRE(made);
    return *std::move(made);
  }
};

}  // namespace

TEST_CASE_TEMPLATE("a dma-buf and a block of it arrive in another process", B, backing::DmaHeap, backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  const std::size_t before = open_fds();
  {
    auto frames = std::optional(zone_of<B>());
    REQUIRE(frames->allocate(8 * KiB));
    const Block block = *frames->allocate(12 * KiB);
    std::ranges::fill(frames->data(block), std::byte{0x5A});
    const auto all = export_zone(*frames, FileAccess::read_write);
    const auto one = export_block(*frames, block, FileAccess::read_write);
    REQUIRE(all);
    REQUIRE(one);
    CHECK(is_dma_buf(one->fd.get()));
    CHECK(one->offset == 8 * KiB);
    CHECK(one->size == 12 * KiB);
    CHECK((fcntl(one->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    auto ends = Connection::pair();
    REQUIRE(ends->here.send(one->record(), one->fd));
    CHECK(holds_in_child([&] {
      auto message = ends->there.receive<ExportRecord, 1>();
      auto range = ImportedRange::map(message->fds.take(0), message->record);
      if (!range || range->bytes().size() != 12 * KiB || !is_all(range->bytes(), std::byte{0x5A})) return false;
      range->writable()[1] = std::byte{0x77};
      return ftruncate(range->fd(), 0) != 0 && is_dma_buf(range->fd());  // nobody can cut it
    }));
    CHECK(frames->data(block)[1] == std::byte{0x77});
    const auto whole = ImportedRange::map(copy_of(*all), all->record());
    REQUIRE(whole);
    CHECK(whole->bytes().size() == 256 * KiB);
    CHECK(whole->bytes()[8 * KiB + 1] == std::byte{0x77});
    frames.reset();
    CHECK(whole->bytes()[8 * KiB + 1] == std::byte{0x77});  // whoever has it mapped keeps it
  }
  CHECK(open_fds() == before);
}

TEST_CASE_TEMPLATE("that a dma-buf is only read cannot be promised, and is not", B, backing::DmaHeap, backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  auto frames = zone_of<B>();
  const Block block = *frames.allocate(8 * KiB);
  const std::size_t before = open_fds();
  CHECK(code_of(export_zone(frames, FileAccess::read_only)) == ErrorCode::not_sealed);
  CHECK(code_of(export_block(frames, block, FileAccess::read_only)) == ErrorCode::not_sealed);
  CHECK(open_fds() == before);
  const auto exported = export_block(frames, block, FileAccess::read_write);
  REQUIRE(exported);
  ExportRecord said = exported->record();
  said.access = static_cast<std::uint64_t>(FileAccess::read_only);  // he only wants to read
  const auto range = ImportedRange::map(copy_of(*exported), said);
  REQUIRE(range);
  CHECK(range->writable().empty());
}

TEST_CASE("a dma-buf that was made to be read only is never mapped to be written") {
  if (!is_there(heap_node)) return;
  const backing::OwnedFd heap(open(heap_node, O_RDONLY | O_CLOEXEC));
  dma_heap_allocation_data data{};
  data.len = 16 * KiB;
  data.fd_flags = O_RDONLY | O_CLOEXEC;
  REQUIRE(ioctl(heap.get(), DMA_HEAP_IOCTL_ALLOC, &data) == 0);
  const backing::OwnedFd reader(static_cast<int>(data.fd));
  const auto map = [&](FileAccess access) {
    return ImportedRange::map(backing::OwnedFd(dup(reader.get())), {0, 16 * KiB, static_cast<std::uint64_t>(access)});
  };
  CHECK(code_of(map(FileAccess::read_write)) == ErrorCode::read_only);
  const auto range = map(FileAccess::read_only);
  REQUIRE(range);
  CHECK(range->writable().empty());
  CHECK(is_all(range->bytes(), std::byte{0}));
  CHECK(mprotect(const_cast<std::byte*>(range->bytes().data()), 16 * KiB, PROT_READ | PROT_WRITE) != 0);
  CHECK(open(path_of(reader.get()).c_str(), O_RDWR | O_CLOEXEC) < 0);  // nor does he make himself another
}

TEST_CASE_TEMPLATE("only what there is of a dma-buf is mapped", B, backing::DmaHeap, backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  auto frames = zone_of<B>(64_KiB);
  const auto exported = export_zone(frames, FileAccess::read_write);
  REQUIRE(exported);
  const std::size_t before = open_fds();
  const std::uint64_t page = 4 * KiB;
  const std::uint64_t edges[] = {0, 1, page, page + 1, 60 * KiB, 64 * KiB - 1, 64 * KiB, 68 * KiB, 1ULL << 31,
                                 (1ULL << 32) + page, 1ULL << 63, ~0ULL - page + 1, ~0ULL};
  for (const std::uint64_t offset : edges) {
    for (const std::uint64_t size : edges) {
      CAPTURE(offset);
      CAPTURE(size);
      const bool is_inside = size != 0 && offset <= 64 * KiB && size <= 64 * KiB - offset;
      const bool is_whole = offset % page == 0 && size % page == 0;
      CHECK(code_of(ImportedRange::map(copy_of(*exported), {offset, size, 1})) == (size == 0    ? ErrorCode::zero_size
                                                                                   : !is_inside ? ErrorCode::cut_short
                                                                                   : !is_whole  ? ErrorCode::not_pages
                                                                                                : ErrorCode::none));
      CHECK(open_fds() == before);
    }
  }
}

TEST_CASE_TEMPLATE("a dma-buf is known by what it is: not by its name, its length or its kind", B, backing::DmaHeap,
                   backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  const std::size_t before = open_fds();
  {
    World<B> world;
    auto first = world.buffer(8_KiB);
    auto second = world.buffer(4_KiB);
    const BufferId ids[] = {first.id(), second.id()};
    const Exported exported[] = {world.exported(first), world.exported(second)};
    REQUIRE(ioctl(exported[0].fd.get(), DMA_BUF_SET_NAME, "frames") == 0);
    REQUIRE(world.exports.put(std::move(first), exported[0]));
    REQUIRE(world.exports.put(std::move(second), exported[1]));

    // By whichever descriptor of it, also one that went through another process.
    auto ends = Connection::pair();
    REQUIRE(ends->here.send(exported[1].record(), exported[1].fd));
    CHECK(holds_in_child([&] {
      auto message = ends->there.receive<ExportRecord, 1>();
      return message && ends->there.send(message->record, message->fds.take(0));
    }));
    auto back = ends->here.receive<ExportRecord, 1>();
    REQUIRE(back);
    const auto found = world.exports.find(back->fds[0], back->record.offset);
    REQUIRE(found);
    CHECK(found->buffer.id() == ids[1]);
    CHECK(found->access == FileAccess::read_write);
    CHECK(world.exports.find(exported[1].fd.get(), 0)->buffer.id() == ids[0]);
    CHECK(code_of(world.exports.find(exported[0].fd.get(), 4_KiB)) == ErrorCode::foreign_file);
    CHECK(code_of(world.exports.find(exported[0].fd.get())) == ErrorCode::foreign_file);  // it has two

    // Another of the same heap, length and name; one of the other kind; and what is none at all.
    auto other = zone_of<B>();
    REQUIRE(ioctl(other.backing().fd(), DMA_BUF_SET_NAME, "frames") == 0);
    CHECK(code_of(world.exports.find(other.backing().fd(), 0)) == ErrorCode::foreign_file);
    CHECK_FALSE(*FileIdentity::of(other.backing().fd()) == *FileIdentity::of(exported[0].fd.get()));
    using Other = std::conditional_t<std::is_same_v<B, backing::DmaHeap>, backing::Udmabuf, backing::DmaHeap>;
    if (const auto one = Frames<Other>::create({.name = "frames", .size = 256_KiB})) {
      CHECK(code_of(world.exports.find(one->backing().fd(), 0)) == ErrorCode::foreign_file);
    }
    std::size_t kinds = 0;
    for (const auto& one : kinds_of_files("frames", 256 * KiB)) {
      const char* const kind = one.kind;
      CAPTURE(kind);
      CHECK_FALSE(is_dma_buf(one.fd.get()));
      CHECK(code_of(world.exports.find(one.fd.get(), 0)) == ErrorCode::foreign_file);
      ++kinds;
    }
    CHECK(kinds >= 12);

    // Its descriptor is kept while one of its buffers is known, so its identity is nobody else's.
    CHECK(world.exports.withdraw(ids[0]) == 1);
    CHECK(code_of(world.exports.find(exported[0].fd.get(), 0)) == ErrorCode::foreign_file);
    CHECK(world.exports.find(exported[0].fd.get())->buffer.id() == ids[1]);
    CHECK(world.exports.withdraw(ids[1]) == 1);
  }
  CHECK(open_fds() == before);
}

TEST_CASE_TEMPLATE("what a process had of a dma-buf comes back when it is killed, and nobody sees it", B,
                   backing::DmaHeap, backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  const std::size_t before = open_fds();
  {
    World<B> world;
    Peers<typename World<B>::D, 2, 8, lock::Mutex> peers;
    auto ends = Connection::pair();
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      auto message = ends->there.template receive<ExportRecord, 1>();
      auto range = ImportedRange::map(message->fds.take(0), message->record);
      if (!range || !is_all(range->bytes(), std::byte{0})) _exit(1);
      if (!cache::DmaBufSync().begin(view_of(*range), Access::write)) _exit(2);  // whose end never comes
      std::ranges::fill(range->writable(), std::byte{0x5A});
      static_cast<void>(ends->there.send(std::uint64_t{1}));
      for (;;) pause();
    }
    REQUIRE(child > 0);
    { const Connection his = std::move(ends->there); }
    backing::OwnedFd process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    const auto peer = peers.join(std::move(ends->here), std::move(process));
    REQUIRE(peer);
    auto buffer = world.buffer(64_KiB);
    const BufferId id = buffer.id();
    const Exported exported = world.exported(buffer);
    REQUIRE(peers.give(*peer, std::move(buffer)));
    REQUIRE(peers.connection(*peer)->send(exported.record(), exported.fd));
    REQUIRE(peers.connection(*peer)->template receive<std::uint64_t>());
    CHECK(world.device.buffer_count() == 1);
    CHECK(peers.reap(Timeout::milliseconds(0)) == 0);
    CHECK(kill(child, SIGKILL) == 0);
    std::vector<BufferId> returned;
    CHECK(peers.reap(
              Timeout::milliseconds(20'000), [&](const auto&, auto ref) { returned.push_back(ref.id()); },
              [](const auto&, std::size_t count) { CHECK(count == 1); }) == 1);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(returned == std::vector<BufferId>{id});
    CHECK(world.device.buffer_count() == 0);
    CHECK(world.zone.stats().used == 0);
    const auto next = world.buffer(256_KiB);
    CHECK(is_all(world.zone.data(next.parts().blocks[0]), std::byte{0}));
  }
  CHECK(open_fds() == before);
}

TEST_CASE_TEMPLATE("whoever imported a dma-buf tells the kernel when he begins and ends", B, backing::DmaHeap,
                   backing::Udmabuf) {
  if (!is_there(node_of<B>())) return;
  auto frames = zone_of<B>();
  const Block block = *frames.allocate(16 * KiB);
  const auto exported = export_block(frames, block, FileAccess::read_write);
  REQUIRE(exported);
  auto ends = Connection::pair();
  REQUIRE(ends->here.send(exported->record(), exported->fd));
  CHECK(holds_in_child([&] {
    auto message = ends->there.receive<ExportRecord, 1>();
    auto range = ImportedRange::map(message->fds.take(0), message->record);
    cache::DmaBufSync sync;
    if (!range || !sync.begin(view_of(*range), Access::write)) return false;
    std::ranges::fill(range->writable(), std::byte{0x5A});
    return sync.end(view_of(*range), Access::write) && sync.clean(view_of(*range)) && sync.invalidate(view_of(*range));
  }));
  {
    const auto seen = frames.cpu_read(block);
    REQUIRE(seen);
    CHECK(is_all(seen->bytes(), std::byte{0x5A}));
  }
  // Of a file that is none the kernel is told nothing, and says so.
  using Plain = Zone<backing::DataFile, strategy::Bitmap, lock::None, cache::Coherent>;
  auto plain = Plain::create({.name = "plain", .size = 64_KiB});
  REQUIRE(plain);
  const auto file = export_zone(*plain, FileAccess::read_write);
  auto range = ImportedRange::map(copy_of(*file), file->record());
  REQUIRE(range);
  const auto refused = cache::DmaBufSync().begin(view_of(*range), Access::read);
  CHECK(code_of(refused) == ErrorCode::node_failure);
  CHECK(refused.error().os_error == ENOTTY);
}
