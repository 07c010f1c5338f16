#include <freestone/share/os/export.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/backing/os/file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/shared_memory.hpp>
#include <freestone/backing/os/udmabuf.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/share/os/fd_message.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/random.hpp"
#include "support/silent_folder.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t KiB = 1024;

using Private = Zone<backing::DataFile, strategy::Bitmap, lock::None, cache::Coherent>;
using Common = Zone<backing::MemoryFile, strategy::Bitmap, lock::Futex, cache::Coherent>;

static_assert(MessageRecord<ExportRecord>);

template <class Z>
Z zone(Bytes size = 256 * KiB) {
  auto made = Z::create({.name = "frames", .size = size});
  REQUIRE(made);
  return *std::move(made);
}

// Of mappings whose line in /proc/self/maps has that in it.
std::uint64_t mapped_bytes(const std::string& part) {
  std::ifstream maps("/proc/self/maps");
  std::uint64_t bytes = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long from = 0, to = 0;
    if (line.find(part) != line.npos && std::sscanf(line.c_str(), "%llx-%llx", &from, &to) == 2) bytes += to - from;
  }
  return bytes;
}

// A descriptor of the same file, as one who holds `fd` can make himself.
int reopened(int fd, int flags) { return open(path_of(fd).c_str(), flags | O_CLOEXEC); }

// Everything by which somebody who has `fd` may try to change the file's bytes or length. What worked, or nullptr.
const char* way_to_write(int fd, std::size_t offset, std::size_t size) {
  const auto at = static_cast<off_t>(offset);
  const auto length = static_cast<off_t>(size);
  void* const shown = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, at);
  if (shown == MAP_FAILED) return "no mapping to read";
  if (mprotect(shown, size, PROT_READ | PROT_WRITE) == 0) return "mprotect";
  if (mprotect(shown, size, PROT_WRITE) == 0) return "mprotect, write only";
  if (mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at) != MAP_FAILED) return "mmap";
  if (mmap(nullptr, size, PROT_WRITE, MAP_SHARED_VALIDATE, fd, at) != MAP_FAILED) return "mmap, validate";
  if (madvise(shown, size, MADV_REMOVE) == 0) return "madvise";
  const int null = open("/dev/zero", O_RDONLY);
  if (read(null, shown, 1) == 1) return "read into the mapping";
  if (write(fd, "x", 1) == 1) return "write";
  if (pwrite(fd, "x", 1, at) == 1) return "pwrite";
  loff_t from = 0;
  loff_t to = at;
  if (copy_file_range(fd, &from, fd, &to, 1, 0) == 1) return "copy_file_range";
  int ends[2];
  if (pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && splice(ends[0], nullptr, fd, &to, 1, 0) == 1) return "splice";
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length) == 0) return "hole";
  if (fallocate(fd, FALLOC_FL_ZERO_RANGE, at, length) == 0) return "zeros";
  if (ftruncate(fd, 0) == 0) return "cut";
  if (ftruncate(fd, 1 << 30) == 0) return "grown";
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0) return "sealed";
  return nullptr;
}

bool is_kept_from(int fd, std::size_t offset, std::size_t size) {
  for (const int flags : {-1, O_RDONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_APPEND}) {
    if (flags == (O_RDWR | O_TRUNC)) {
      if (reopened(fd, flags) >= 0) return false;
      continue;
    }
    const int other = flags == -1 ? fd : reopened(fd, flags);
    if (other < 0 || way_to_write(other, offset, size) != nullptr) return false;
  }
  return true;
}

// A zone that another process works in, under a lock that tells who died inside.
using Robust = Zone<backing::MemoryFile, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;

// Allocates, marks, looks at the marks and gives back, as that owner.
class Worker {
 public:
  Worker(Robust& zone, std::byte mark, std::uint64_t start) : zone_(zone), mark_(mark), random_(start) {}

  // False: somebody wrote into a block of his, or it could not go back; and where a holder died, which is no fault.
  bool work() {
    if (blocks_.size() >= 8 || (!blocks_.empty() && random_.chance(40))) return give_back();
    const auto block = zone_.allocate(random_.from_to(1, 4) * 4 * KiB);
    if (!block) return block.error().code == ErrorCode::no_space || block.error().code == ErrorCode::holder_died;
    zone_.data(*block).front() = zone_.data(*block).back() = mark_;
    blocks_.push_back(*block);
    return true;
  }
  bool all_are_his() const {
    return std::ranges::all_of(blocks_, [&](const Block& block) { return is_marked(block); });
  }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const Block& block : blocks_) sum += block.size().value();
    return sum;
  }
  std::vector<Block>& blocks() { return blocks_; }

 private:
  bool is_marked(const Block& block) const {
    return zone_.data(block).front() == mark_ && zone_.data(block).back() == mark_;
  }
  bool give_back() {
    const auto at = blocks_.begin() + static_cast<std::ptrdiff_t>(random_.below(blocks_.size()));
    if (!is_marked(*at)) return false;
    const auto done = zone_.deallocate(*at);
    if (!done) return done.error().code == ErrorCode::holder_died;
    blocks_.erase(at);
    return true;
  }

  Robust& zone_;
  std::byte mark_;
  Random random_;
  std::vector<Block> blocks_;
};

// A process that was sent the zone: it frees the block that is told to it, tells of one of its own, and then works in the
// zone for ever, or dies with its lock after so many steps.
[[noreturn]] void work_in_what_comes(const Connection& connection, std::uint64_t start, std::uint64_t last) {
  alarm(60);
  auto message = connection.receive<ExportRecord, 1>();
  if (!message) _exit(1);
  auto zone = Robust::attach({.name = "frames", .size = message->record.size, .owner = 2},
                             backing::MemoryFile::Source{message->fds[0]});
  const auto given = connection.receive<std::uint64_t>();
  if (!zone || !given || !zone->deallocate_at(given->record)) _exit(2);
  const auto own = zone->allocate(8 * KiB);
  if (!own) _exit(3);
  std::ranges::fill(zone->data(*own), std::byte{0x22});
  if (!connection.send(own->offset().value()) || !connection.receive<std::uint64_t>()) _exit(4);
  Worker worker(*zone, std::byte{0x22}, start);
  for (std::uint64_t step = 0;; ++step) {
    if (step >= last) zone->for_each_block([](const Block&) { raise(SIGKILL); });
    if (!worker.work()) _exit(5);
  }
}

}  // namespace

TEST_CASE("a zone that came over a socket is allocated from and freed in by both, and one is killed") {
  auto zone = Robust::create({.name = "frames", .size = 128 * KiB, .owner = 1});
  REQUIRE(zone);
  Random random(8);
  Worker mine(*zone, std::byte{0x11}, 9);
  for (std::uint64_t round = 0; round < 40; ++round) {
    CAPTURE(round);
    const Block gift = *zone->allocate(4 * KiB);
    const auto exported = export_zone(*zone, FileAccess::read_write);
    auto ends = Connection::pair();
    REQUIRE(exported);
    REQUIRE(ends->here.send(exported->record(), exported->fd));
    REQUIRE(ends->here.send(gift.offset().value()));
    const bool dies_inside = round % 2 == 0;
    const std::uint64_t last = dies_inside ? random.below(300) : ~std::uint64_t{0};
    const pid_t child = fork();
    if (child == 0) work_in_what_comes(ends->there, round, last);
    REQUIRE(child > 0);
    const auto his = ends->here.receive<std::uint64_t>();
    REQUIRE(his);
    const auto block = zone->find_containing(his->record);
    REQUIRE(block);
    CHECK(block->size() == 8 * KiB);
    CHECK(zone->data(*block)[8 * KiB - 1] == std::byte{0x22});
    CHECK(zone->deallocate(*block));  // what either allocated the other may free
    REQUIRE(ends->here.send(round));
    for (std::uint64_t step = random.below(300); step != 0; --step) REQUIRE(mine.work());
    if (!dies_inside) REQUIRE(kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));

    // All of his comes back, none of ours.
    if (dies_inside) CHECK(code_of(zone->allocate(4 * KiB)) == ErrorCode::holder_died);
    const Recovery found = zone->recover([](std::uint8_t owner) { return owner == 1; });
    CHECK(found.kept == mine.blocks().size());
    CHECK(found.lost == 0);
    CHECK(zone->stats().used == mine.bytes());
    CHECK(mine.all_are_his());
    if (mine.blocks().size() > 4) {
      for (const Block& own : std::exchange(mine.blocks(), {})) CHECK(zone->deallocate(own));
    }
  }
  for (const Block& own : mine.blocks()) CHECK(zone->deallocate(own));
  CHECK(zone->allocate(zone->size()));
}

TEST_CASE("a whole zone and a block of it arrive in another process") {
  Common common = zone<Common>();
  const Block first = *common.allocate(8 * KiB);
  const Block block = *common.allocate(12 * KiB);
  std::ranges::fill(common.data(block), std::byte{0x5A});
  const std::size_t before = open_fds();
  {
    const auto all = export_zone(common, FileAccess::read_write);
    const auto one = export_block(common, block, FileAccess::read_write);
    REQUIRE(all);
    REQUIRE(one);
    CHECK(all->offset == common.backing().file_offset());
    CHECK(all->size == common.size());
    CHECK(one->offset == common.backing().file_offset() + block.offset());
    CHECK(one->size == block.size());
    CHECK((fcntl(one->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    auto ends = Connection::pair();
    REQUIRE(ends->here.send(one->record(), one->fd));
    CHECK(holds_in_child([&] {
      auto message = ends->there.receive<ExportRecord, 1>();
      auto range = ImportedRange::map(message->fds.take(0), message->record);
      if (!range || range->bytes().size() != 12 * KiB || range->bytes()[0] != std::byte{0x5A}) return false;
      range->writable()[1] = std::byte{0x77};
      return ftruncate(range->fd(), 0) != 0;
    }));
    CHECK(common.data(block)[1] == std::byte{0x77});
  }
  CHECK(open_fds() == before);
  CHECK(common.deallocate(first));
}

TEST_CASE("read-only holds against whoever has the descriptor, and for all that he makes of it") {
  Private frames = zone<Private>();
  const Block block = *frames.allocate(8 * KiB);
  std::ranges::fill(frames.data(block), std::byte{0x5A});
  const auto exported = export_block(frames, block, FileAccess::read_only);
  REQUIRE(exported);
  const auto offset = static_cast<std::size_t>(exported->offset.value());
  CHECK(holds_in_child([&] { return is_kept_from(exported->fd.get(), offset, 8 * KiB); }));

  // In a process that it was sent to, and that sends it on.
  auto ends = Connection::pair();
  auto next = Connection::pair();
  REQUIRE(ends->here.send(exported->record(), exported->fd));
  CHECK(holds_in_child([&] {
    auto message = ends->there.receive<ExportRecord, 1>();
    const auto fd = message->fds.take(0);
    if (!is_kept_from(fd.get(), offset, 8 * KiB)) return false;
    message->record.access = static_cast<std::uint64_t>(FileAccess::read_write);  // he lies
    return static_cast<bool>(next->here.send(message->record, fd));
  }));
  CHECK(holds_in_child([&] {
    auto message = next->there.receive<ExportRecord, 1>();
    auto fd = message->fds.take(0);
    if (!is_kept_from(fd.get(), offset, 8 * KiB)) return false;
    if (code_of(ImportedRange::map(backing::OwnedFd(dup(fd.get())), message->record)) != ErrorCode::read_only) return false;
    message->record.access = static_cast<std::uint64_t>(FileAccess::read_only);
    const auto range = ImportedRange::map(std::move(fd), message->record);
    return range && range->writable().empty() && range->bytes()[0] == std::byte{0x5A} &&
           mprotect(const_cast<std::byte*>(range->bytes().data()), 8 * KiB, PROT_READ | PROT_WRITE) != 0;
  }));
  // His own copy is his own.
  CHECK(holds_in_child([&] {
    void* const own = mmap(nullptr, 8 * KiB, PROT_READ | PROT_WRITE, MAP_PRIVATE, exported->fd.get(),
                           static_cast<off_t>(offset));
    return own != MAP_FAILED && (std::memset(own, 1, 8 * KiB), true);
  }));
  CHECK(std::ranges::all_of(frames.data(block), [](std::byte byte) { return byte == std::byte{0x5A}; }));

  // The zone still writes, and who reads sees it.
  const auto range = ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), exported->record());
  REQUIRE(range);
  frames.data(block)[5] = std::byte{0x11};
  CHECK(range->bytes()[5] == std::byte{0x11});
  const Block later = *frames.allocate(4 * KiB);
  frames.data(later)[0] = std::byte{0x22};
}

TEST_CASE("a file that went out in one way goes out in no other") {
  Private readers = zone<Private>();
  CHECK(export_zone(readers, FileAccess::read_only));
  CHECK(export_zone(readers, FileAccess::read_only));
  CHECK(code_of(export_zone(readers, FileAccess::read_write)) == ErrorCode::read_only);
  Private writers = zone<Private>();
  CHECK(export_zone(writers, FileAccess::read_write));
  CHECK(export_zone(writers, FileAccess::read_write));
  CHECK(code_of(export_zone(writers, FileAccess::read_only)) == ErrorCode::not_sealed);
}

TEST_CASE("of two threads that export a file in two ways one is refused") {
  int rounds = 0, both = 0;
  for (; rounds < 2'000; ++rounds) {
    Private frames = zone<Private>(4 * KiB);
    int ready = 0;
    const auto meet = [&] {
      __atomic_fetch_add(&ready, 1, __ATOMIC_ACQ_REL);
      while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) != 2) std::this_thread::yield();
    };
    bool is_written = false;
    std::thread writer([&] {
      meet();
      is_written = static_cast<bool>(export_zone(frames, FileAccess::read_write));
    });
    meet();
    const bool is_read = static_cast<bool>(export_zone(frames, FileAccess::read_only));
    writer.join();
    both += is_read && is_written;
    REQUIRE((is_read || is_written));
  }
  CHECK(both == 0);
}

TEST_CASE("what cannot be promised is an error, and the file stays as it was") {
  const std::size_t before = open_fds();
  {
    Common common = zone<Common>();
    const auto refused = export_zone(common, FileAccess::read_only);
    CHECK(code_of(refused) == ErrorCode::not_sealed);
    CHECK(refused.error().os_error == EPERM);
    CHECK(export_zone(common, FileAccess::read_write));
  }

  // Files with names can be cut and written by whoever opens them.
  using Named = Zone<backing::SharedMemory, strategy::Bitmap, lock::Futex, cache::Coherent>;
  const std::string name = "freestone_export_" + std::to_string(getpid());
  {
    auto named = Named::create({.name = name.c_str(), .size = 64 * KiB});
    REQUIRE(named);
    CHECK(code_of(export_zone(*named, FileAccess::read_only)) == ErrorCode::not_sealed);
    CHECK(code_of(export_zone(*named, FileAccess::read_write)) == ErrorCode::not_sealed);
  }
  CHECK(backing::SharedMemory::remove(name.c_str()));

  using Pinned = Zone<backing::Udmabuf, strategy::Bitmap, lock::None, cache::Coherent>;
  if (auto pinned = Pinned::create({.name = "frames", .size = 64 * KiB})) {
    CHECK(code_of(export_zone(*pinned, FileAccess::read_only)) == ErrorCode::not_sealed);
    const auto exported = export_zone(*pinned, FileAccess::read_write);
    REQUIRE(exported);
    ExportRecord said = exported->record();
    CHECK(ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), said));
    said.size += 4 * KiB;
    CHECK(code_of(ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), said)) == ErrorCode::cut_short);
  } else {
    MESSAGE("no udmabuf here");
  }
  CHECK(open_fds() == before);
}

TEST_CASE("what is no live block with its own pages is not exported") {
  auto made = Private::create({.name = "small", .size = 64 * KiB, .granule = 256});
  REQUIRE(made);
  Private& small = *made;
  const Block odd = *small.allocate(256);
  const Block other = *small.allocate({.size = 4 * KiB, .align = 4 * KiB});
  CHECK(code_of(export_block(small, odd, FileAccess::read_write)) == ErrorCode::not_pages);
  CHECK(code_of(export_block(small, {4 * KiB, 8 * KiB, small.tag()}, FileAccess::read_write)) == ErrorCode::foreign_block);
  CHECK(export_block(small, other, FileAccess::read_write));
  REQUIRE(small.deallocate(other));
  CHECK(code_of(export_block(small, other, FileAccess::read_write)) == ErrorCode::foreign_block);
  Private next = zone<Private>();
  CHECK(code_of(export_block(next, odd, FileAccess::read_write)) == ErrorCode::foreign_block);
  CHECK(holds_in_child([&] {
    const rlimit none{1, 1};
    setrlimit(RLIMIT_NOFILE, &none);
    return code_of(export_zone(next, FileAccess::read_write)) == ErrorCode::limit_reached;
  }));
}

TEST_CASE("only what nobody can cut is mapped, and only what is there") {
  Private frames = zone<Private>(64 * KiB);
  const auto exported = export_zone(frames, FileAccess::read_write);
  REQUIRE(exported);
  const std::size_t before = open_fds();
  const auto code = [&](std::uint64_t offset, std::uint64_t size, std::uint64_t access = 0) {
    const ErrorCode found = code_of(ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), {offset, size, access}));
    CHECK(open_fds() == before);
    return found;
  };
  CHECK(code(0, 64 * KiB) == ErrorCode::none);
  CHECK(code(0, 64 * KiB, 1) == ErrorCode::none);
  CHECK(code(0, 64 * KiB, 2) == ErrorCode::foreign_file);
  CHECK(code(0, 64 * KiB, ~std::uint64_t{0}) == ErrorCode::foreign_file);
  CHECK(code(0, 0) == ErrorCode::zero_size);
  CHECK(code(60 * KiB, 4 * KiB) == ErrorCode::none);

  // Each pair of the numbers at which sums wrap, and of their neighbours: 20 squared.
  const std::uint64_t page = 4 * KiB;
  const std::uint64_t edges[] = {0, 1, page - 1, page, page + 1, 60 * KiB, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1, 68 * KiB,
                                 (1ULL << 31) - page, 1ULL << 31, (1ULL << 32) - page, 1ULL << 32, (1ULL << 32) + page,
                                 (1ULL << 63) - page, 1ULL << 63, ~0ULL - 2 * page + 1, ~0ULL - page + 1, ~0ULL};
  for (const std::uint64_t offset : edges) {
    for (const std::uint64_t size : edges) {
      CAPTURE(offset);
      CAPTURE(size);
      const bool is_inside = size != 0 && offset <= 64 * KiB && size <= 64 * KiB - offset;
      const bool is_whole = offset % page == 0 && size % page == 0;
      CHECK(code(offset, size) == (size == 0    ? ErrorCode::zero_size
                                   : !is_inside ? ErrorCode::cut_short
                                   : !is_whole  ? ErrorCode::not_pages
                                                : ErrorCode::none));
    }
  }

  for (auto& one : kinds_of_files("frames", 64 * KiB)) {
    const char* const kind = one.kind;
    auto& fd = one.fd;
    CAPTURE(kind);
    const bool is_ours = std::string(kind) == "memfd of our name, length and seals";  // it may be mapped like any
    const auto range = ImportedRange::map(std::move(fd), {0, 4 * KiB, 0});
    CHECK(static_cast<bool>(range) == is_ours);
  }
  CHECK(code_of(ImportedRange::map(backing::OwnedFd(-1), {0, 4 * KiB, 0})) == ErrorCode::foreign_file);
  for (const int seals : {0, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL}) {
    backing::OwnedFd loose(memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(ftruncate(loose.get(), 64 * KiB) == 0);
    REQUIRE(fcntl(loose.get(), F_ADD_SEALS, seals) == 0);
    CHECK(code_of(ImportedRange::map(std::move(loose), {0, 4 * KiB, 0})) == ErrorCode::not_sealed);
  }
  const int reader = reopened(exported->fd.get(), O_RDONLY);
  CHECK(code_of(ImportedRange::map(backing::OwnedFd(dup(reader)), {0, 4 * KiB, 1})) == ErrorCode::read_only);
  CHECK(ImportedRange::map(backing::OwnedFd(reader), {0, 4 * KiB, 0}));
  CHECK(code_of(ImportedRange::map(backing::OwnedFd(reopened(exported->fd.get(), O_WRONLY)), {0, 4 * KiB, 1})) ==
        ErrorCode::foreign_file);
  CHECK(code_of(ImportedRange::map(backing::OwnedFd(reopened(exported->fd.get(), O_PATH)), {0, 4 * KiB, 0})) ==
        ErrorCode::foreign_file);
  CHECK(open_fds() == before);
}

// Part of a huge page is mapped and never unmapped again (munmap(2): EINVAL), and a touch may be a SIGBUS.
TEST_CASE("a file of huge pages is not mapped") {
  const std::size_t before = open_fds();
  backing::OwnedFd huge(memfd_create("frames", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (huge.get() < 0 || ftruncate(huge.get(), 1 << 30) != 0) {
    MESSAGE("not tested: this system has no huge pages");
    return;
  }
  REQUIRE(fcntl(huge.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  for (const std::uint64_t access : {0U, 1U}) {
    CHECK(code_of(ImportedRange::map(backing::OwnedFd(dup(huge.get())), {0, 4 * KiB, access})) ==
          ErrorCode::foreign_file);
  }
  huge = backing::OwnedFd(-1);
  CHECK(open_fds() == before);
}

// Whatever width this process has.
TEST_CASE("blocks of a file of 3 GiB are mapped, wherever they lie in it") {
  backing::OwnedFd big(memfd_create("frames", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr std::uint64_t length = std::uint64_t{3} << 30;
#if defined(__USE_LARGEFILE64)
  REQUIRE(ftruncate64(big.get(), length) == 0);
#else
  REQUIRE(ftruncate(big.get(), static_cast<off_t>(length)) == 0);
#endif
  REQUIRE(fcntl(big.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  const auto map = [&](std::uint64_t offset, std::uint64_t access) {
    return ImportedRange::map(backing::OwnedFd(dup(big.get())), {offset, 4 * KiB, access});
  };
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1} << 31, length - 4 * KiB}) {
    CAPTURE(offset);
    const auto range = map(offset, 1);
    REQUIRE(range);
    range->writable()[7] = static_cast<std::byte>(offset >> 12);
    CHECK(map(offset, 0)->bytes()[7] == static_cast<std::byte>(offset >> 12));
  }
  CHECK(map(0, 0)->bytes()[7] == std::byte{0});
  const auto behind = map(length, 0);
  CHECK(code_of(behind) == ErrorCode::cut_short);
  CHECK(behind.error().available == length);
}

TEST_CASE("a file that its sender serves, and of which he says nothing, keeps nobody waiting") {
  if (!holds_in_child([] { return SilentFolder().fd() >= 0; })) {
    MESSAGE("not tested: this system has no FUSE, or none for users without privileges");
    return;
  }
  for (const std::uint64_t access : {0U, 1U}) {
    CHECK(holds_in_child([&] {
      const SilentFolder folder;
      const auto refused = ImportedRange::map(backing::OwnedFd(dup(folder.fd())), {0, 4 * KiB, access});
      return code_of(refused) == ErrorCode::not_sealed;
    }));
  }
}

TEST_CASE("only the range is mapped") {
  Private frames = zone<Private>(64 * KiB);
  const auto exported = export_zone(frames, FileAccess::read_write);
  const std::uint64_t before = mapped_bytes("memfd:frames");
  auto range = ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), {4 * KiB, 4 * KiB, 1});
  REQUIRE(range);
  CHECK(mapped_bytes("memfd:frames") == before + 4 * KiB);
  const auto other = ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), {8 * KiB, 4 * KiB, 0});
  range->writable()[0] = std::byte{9};
  auto moved = std::move(*range);
  CHECK(range->bytes().empty());
  moved = *ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), {0, 8 * KiB, 1});
  CHECK(moved.bytes()[4 * KiB] == std::byte{9});
  auto kept = *ImportedRange::map(backing::OwnedFd(dup(exported->fd.get())), {0, 4 * KiB, 0});
  const std::uint64_t now = mapped_bytes("memfd:frames");
  moved = std::move(kept);  // what it was mapped to ends here, not with the other
  CHECK(mapped_bytes("memfd:frames") == now - 8 * KiB);
  CHECK(other->bytes()[0] == std::byte{0});
}
