// What went wrong elsewhere, one class of public reports after the other, and does not here: what takes files and
// processes. (The other classes are in share/attacks.)
#include <freestone/share/os/peers.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/ranked.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/bytes.hpp"
#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = 4096;
constexpr auto to_read = FileAccess::read_only;
constexpr auto to_write = FileAccess::read_write;

using Frames = Zone<backing::DataFile, strategy::Bitmap, lock::Mutex, cache::Coherent>;
constexpr ShareLimits few{.clients = 4, .owners = 4, .buffers = 24, .handles = 24, .blocks = 1};
using Shared = Device<Frames, MinimalPlatform, few, scrub::Zero, Ranked<lock::Mutex>>;

Frames frames(Bytes size = 64 * page) {
  auto made = Frames::create({.name = "frames", .size = size});
  REQUIRE(made);
  return *std::move(made);
}

// A server: a device over one zone, what it gave out as files, and who has it.
struct Server {
  Frames zone;
  MinimalPlatform platform = {};
  Shared device{zone, platform, TagKey{1, 2}};
  ClientId client = *device.open();
  Exports<Shared, 20, lock::Mutex> exports{device};
  Peers<Shared, 4, 20, lock::Mutex> peers;

  explicit Server(Bytes size = 64 * page) : zone(frames(size)) {}

  Result<Shared::Ref> try_buffer(Bytes size) {
    const auto handle = device.allocate(client, {.size = size});
    if (!handle) return handle.error();
    auto ref = device.share(client, *handle);
    static_cast<void>(device.free(client, *handle));
    return ref;
  }
  Shared::Ref buffer(Bytes size = page) {
    auto ref = try_buffer(size);
    REQUIRE(ref);
    return *std::move(ref);
  }
  Shared::Ref another(const Shared::Ref& ref) { return *device.ref(ref.id()); }
  Result<Exported> exported(const Shared::Ref& ref, FileAccess access = to_write) {
    return export_block(zone, ref.parts().blocks[0], access);
  }
  std::span<std::byte> bytes(const Shared::Ref& ref) { return zone.data(ref.parts().blocks[0]); }

  // What no failure changes.
  std::array<std::uint64_t, 5> counts() {
    const Stats stats = zone.stats();
    return {stats.used.value(), stats.blocks, device.buffer_count(), exports.count(), peers.count()};
  }
};

backing::OwnedFd copy_of(int fd) { return backing::OwnedFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
backing::OwnedFd copy_of(const Exported& exported) { return copy_of(exported.fd.get()); }

// Another process, which does act(its end of a connection), and did well where that returns true.
class Process {
 public:
  template <class Act>
  explicit Process(Act&& act) {
    auto ends = Connection::pair();
    REQUIRE(ends);
    pid_ = fork();
    if (pid_ == 0) {
      alarm(60);
      { const Connection other = std::move(ends->here); }
      _exit(act(ends->there) ? 0 : 1);
    }
    REQUIRE(pid_ > 0);
    own_.emplace(std::move(ends->here));
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { kill(); }

  // It may be moved from, to the peers.
  Connection& connection() { return *own_; }
  backing::OwnedFd process() const { return backing::OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0))); }

  pid_t pid() const { return pid_; }

  bool did_well() {
    int status = -1;
    return pid_ > 0 && waitpid(std::exchange(pid_, -1), &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  void kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    static_cast<void>(did_well());
  }

 private:
  pid_t pid_ = -1;
  std::optional<Connection> own_;
};

using Word = std::uint64_t;
bool say(const Connection& connection, Word word = 0) { return static_cast<bool>(connection.send(word)); }
std::optional<Word> hear(const Connection& connection) {
  const auto word = connection.receive<Word>();
  return word ? std::optional<Word>(word->record) : std::nullopt;
}
Result<ImportedRange> receive_range(const Connection& connection) {
  auto message = connection.receive<ExportRecord, 1>();
  if (!message) return message.error();
  return ImportedRange::map(message->fds.take(0), message->record);
}

// How many more files this process may open. (In a child: it is not undone.)
class FdLimit {
 public:
  FdLimit() {
    getrlimit(RLIMIT_NOFILE, &usual_);
    for (int fd = 0; fd < 1000; ++fd) highest_ = fcntl(fd, F_GETFD) >= 0 ? fd : highest_;
    int filler = dup(0);
    while (filler >= 0 && filler <= highest_) filler = dup(0);
    close(filler);
  }
  void leave(rlim_t room) const { set(static_cast<rlim_t>(highest_) + 1 + room); }
  void lift() const { set(usual_.rlim_cur); }

 private:
  void set(rlim_t count) const {
    const rlimit limit{count, usual_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  rlimit usual_{};
  int highest_ = 0;
};

}  // namespace

// --- A4: an error path frees what was handed over already (vfio-pci e98137f0a874, CVE-2022-20111) ---

namespace {

// All that is done until a peer has mapped a buffer. Where a step fails, those before it are undone, each once.
ErrorCode give_to_a_peer(Server& server, const Shared::Ref& ref) {
  const auto exported = server.exported(ref);
  if (!exported) return exported.error().code;
  if (const auto put = server.exports.put(server.another(ref), *exported); !put) return put.error().code;
  const auto given = [&]() -> Result<void> {
    auto ends = Connection::pair();
    if (!ends) return ends.error();
    const auto peer = server.peers.join(std::move(ends->here));
    if (!peer) return peer.error();
    Result<void> done = server.peers.give(*peer, server.another(ref));
    if (done) done = server.peers.connection(*peer)->send(exported->record(), exported->fd);
    if (done) {
      const auto range = receive_range(ends->there);
      if (!range) done = range.error();
    }
    static_cast<void>(server.peers.dismiss(*peer));
    return done;
  }();
  server.exports.withdraw(ref.id());
  return code_of(given);
}

}  // namespace

TEST_CASE("A4: as few descriptors as may be, and each step of giving a buffer away fails once") {
  constexpr rlim_t needed = 6;  // a file to send, one that is kept, a connection's two ends, a pidfd, the file received
  Server server;
  const auto ref = server.buffer();
  for (rlim_t room = 0; room <= needed + 2; ++room) {
    CAPTURE(room);
    CHECK(holds_in_child([&] {
      const FdLimit limit;
      const std::size_t fds = open_fds();
      const auto counts = server.counts();
      limit.leave(room);
      const ErrorCode code = give_to_a_peer(server, ref);
      limit.lift();
      const bool is_right = room >= needed       ? code == ErrorCode::none
                            : room == needed - 1 ? code == ErrorCode::bad_message  // it came without its descriptor
                                                 : code == ErrorCode::limit_reached;
      return is_right && open_fds() == fds && server.counts() == counts && server.device.info(ref).holds == 1 &&
             give_to_a_peer(server, ref) == ErrorCode::none && open_fds() == fds;
    }));
  }
}
TEST_CASE("A4: what could not be put is the caller's, whole, and is put when it can be") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  CHECK(holds_in_child([&] {
    const FdLimit limit;
    limit.leave(0);
    for (int tries = 0; tries < 100; ++tries) {
      if (code_of(server.exports.put(std::move(ref), *exported)) != ErrorCode::limit_reached || !ref) return false;
    }
    if (server.device.info(ref).holds != 1 || server.exports.count() != 0) return false;
    limit.leave(1);
    return server.exports.put(std::move(ref), *exported) && !ref && server.exports.count() == 1;
  }));
}
TEST_CASE("A4: a send that fails closes nothing of the sender's, nor drops what he has") {
  Server server;
  const auto ref = server.buffer();
  const auto exported = server.exported(ref);
  const FileIdentity file = *FileIdentity::of(exported->fd.get());
  for (int tries = 0; tries < 100; ++tries) {
    auto ends = Connection::pair();
    { const Connection gone = std::move(ends->there); }
    const std::size_t fds = open_fds();
    REQUIRE(code_of(ends->here.send(exported->record(), exported->fd)) == ErrorCode::connection_ended);
    const std::array<int, 2> both = {exported->fd.get(), -1};  // the second cannot be sent, so neither is
    REQUIRE(!ends->here.send(exported->record(), both));
    REQUIRE(open_fds() == fds);
  }
  CHECK(*FileIdentity::of(exported->fd.get()) == file);
  CHECK(server.device.info(ref).holds == 1);
  auto ends = Connection::pair();
  REQUIRE(ends->here.send(exported->record(), exported->fd));
  CHECK(receive_range(ends->there));
}
TEST_CASE("A4: as many descriptors on their way as the system lets a user have") {
  Server server;
  const auto ref = server.buffer();
  const auto exported = server.exported(ref);
  auto ends = Connection::pair();
  REQUIRE(ends);
  CHECK(holds_in_child([&] {
    const FdLimit limit;
    const std::size_t fds = open_fds();
    limit.leave(8);
    if (getuid() == 0 && setuid(65534) != 0) return false;  // root may send as many as he likes
    Word sent = 0;
    Result<void> last;
    const std::array<int, 8> many = [&] {
      std::array<int, 8> all{};
      all.fill(exported->fd.get());
      return all;
    }();
    while ((last = ends->here.send(sent, many, Waiting::no))) ++sent;
    const bool is_full = last.error().code == ErrorCode::limit_reached || last.error().os_error == EAGAIN;
    const bool is_same = *FileIdentity::of(exported->fd.get()) == *FileIdentity::of(server.zone.backing().fd());
    for (Word next = 0; next < sent; ++next) {  // all that was said to be sent is there, and nothing else
      const auto got = ends->there.receive<Word, 8>(8, Waiting::no);
      if (!got || got->record != next) return false;
    }
    const bool is_over = !ends->there.receive<Word, 8>(0, Waiting::no);
    limit.lift();
    return is_full && is_same && is_over && sent > 0 && open_fds() == fds;
  }));
}
TEST_CASE("A4: full tables, and peers who are gone, take nothing from the caller") {
  Server server;
  std::vector<Exported> kept;
  std::optional<Process> reader([](const Connection& connection) { return !hear(connection); });
  const PeerId peer = *server.peers.join(std::move(reader->connection()), reader->process());
  for (int buffers = 0; buffers < 20; ++buffers) {
    auto ref = server.buffer();
    kept.push_back(*server.exported(ref));
    REQUIRE(server.exports.put(server.another(ref), kept.back()));
    REQUIRE(server.peers.give(peer, std::move(ref)));
  }
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  const auto counts = server.counts();
  const std::size_t fds = open_fds();
  CHECK(code_of(server.exports.put(std::move(ref), *exported)) == ErrorCode::too_many_holds);
  CHECK(code_of(server.peers.give(peer, std::move(ref))) == ErrorCode::too_many_holds);
  CHECK(code_of(server.peers.give({3, 7}, std::move(ref))) == ErrorCode::connection_ended);
  REQUIRE(ref);
  CHECK(server.device.info(ref).holds == 1);
  CHECK(server.counts() == counts);
  CHECK(open_fds() == fds);
  REQUIRE(server.peers.dismiss(peer));
  CHECK(code_of(server.peers.give(peer, std::move(ref))) == ErrorCode::connection_ended);
  REQUIRE(ref);
  CHECK(reader->did_well());
}

// --- A8: memory by number (CVE-2012-6422, CVE-2020-0069) ---

TEST_CASE("A8: a range outside the export, or on its edge, is nobody's") {
  Server server;
  const auto before = server.buffer();
  auto ref = server.buffer(2 * page);
  const auto after = server.buffer();
  const auto exported = server.exported(ref);
  REQUIRE(server.exports.put(server.another(ref), *exported));
  const std::uint64_t start = exported->offset.value();
  for (const std::uint64_t offset :
       {std::uint64_t{0}, start - page, start - 1, start + 1, start + page, start + 2 * page - 1, start + 2 * page,
        start + (std::uint64_t{1} << 32), start + (std::uint64_t{1} << 63), ~std::uint64_t{0}, ~std::uint64_t{0} - page + 1}) {
    CAPTURE(offset);
    CHECK(code_of(server.exports.find(exported->fd.get(), offset)) == ErrorCode::foreign_file);
  }
  CHECK(server.exports.find(exported->fd.get(), start)->buffer.id() == ref.id());
}
TEST_CASE("A8: nor does a place in one zone's file say anything of another's") {
  Server server;
  Server other;
  auto ref = server.buffer();
  auto strange = other.buffer();
  const auto exported = server.exported(ref);
  const auto foreign = other.exported(strange);
  REQUIRE(exported->offset == foreign->offset);
  REQUIRE(server.exports.put(server.another(ref), *exported));
  REQUIRE(other.exports.put(other.another(strange), *foreign));
  CHECK(code_of(server.exports.find(foreign->fd.get(), exported->offset)) == ErrorCode::foreign_file);
  CHECK(code_of(other.exports.find(exported->fd.get(), foreign->offset)) == ErrorCode::foreign_file);
  CHECK(code_of(export_block(server.zone, strange.parts().blocks[0], to_write)) == ErrorCode::foreign_block);
  CHECK(server.exports.find(exported->fd.get())->buffer.id() == ref.id());
}
TEST_CASE("A8: what is no live block of the zone's does not go out, however it is made up") {
  Server server;
  const auto ref = server.buffer(2 * page);
  const Block real = ref.parts().blocks[0];
  const std::uint64_t tag = server.zone.tag();
  for (const std::uint64_t offset : {std::uint64_t{0}, page, 2 * page, 63 * page, 64 * page, ~std::uint64_t{0} - page + 1}) {
    for (const std::uint64_t size : {page, 2 * page, 64 * page, 65 * page, ~std::uint64_t{0} - page + 1}) {
      CAPTURE(offset);
      CAPTURE(size);
      const Block made_up{offset, size, static_cast<decltype(server.zone.tag())>(tag)};
      if (made_up == real) continue;
      CHECK(code_of(export_block(server.zone, made_up, to_write)) == ErrorCode::foreign_block);
    }
  }
  CHECK(export_block(server.zone, real, to_write));
}
TEST_CASE("A8: a buffer with a file of its own shows nobody another's, whatever range is asked for") {
  Frames own = frames(2 * page);
  Frames next = frames(2 * page);
  const auto exported = export_zone(own, to_write);
  std::ranges::fill(next.data(*next.allocate(2 * page)), std::byte{0x5a});
  Random random(seed());
  for (int tries = 0; tries < 2'000; ++tries) {
    const auto any = [&] { return random.chance(50) ? page * random.below(5) : random.next() >> random.below(64); };
    const ExportRecord said{any(), any(), random.below(3)};
    const auto range = ImportedRange::map(copy_of(*exported), said);
    const bool is_inside = said.size != 0 && said.offset <= 2 * page && said.size <= 2 * page - said.offset &&
                           said.offset % page == 0 && said.size % page == 0 && said.access < 2;
    REQUIRE(static_cast<bool>(range) == is_inside);
    if (range) REQUIRE(all_are(range->bytes(), 0));
  }
  const auto look_at = [&](std::size_t at) {  // with no help of ours
    const void* const all = mmap(nullptr, 8 * page, PROT_READ, MAP_SHARED, exported->fd.get(), 0);
    return holds_in_child([&] { return static_cast<const volatile char*>(all)[at] == 0; });
  };
  CHECK(look_at(2 * page - 1));
  CHECK(!look_at(2 * page));
}

// --- A10: memory that was not cleared (CVE-2015-8950, "Android ION Hazard") ---

namespace {

// Says of each buffer that comes how many bytes are not zero, leaves a secret in it, and lets it go.
bool leave_secrets(const Connection& connection) {
  for (;;) {
    const auto range = receive_range(connection);
    if (!range) return range.error().code == ErrorCode::connection_ended;
    const auto bytes = range->bytes();
    const Word left = bytes.size() - static_cast<std::size_t>(std::ranges::count(bytes, std::byte{0}));
    std::ranges::fill(range->writable(), std::byte{0xee});
    if (!say(connection, left)) return false;
  }
}

}  // namespace

TEST_CASE("A10: no process finds what another left in a buffer") {
  Server server(8 * page);
  Process processes[] = {Process(leave_secrets), Process(leave_secrets)};
  Random random(seed());
  for (int round = 0; round < 600; ++round) {
    const auto ref = server.buffer(page * random.from_to(1, 8));
    const auto exported = server.exported(ref);
    const Connection& connection = processes[round % 2].connection();
    REQUIRE(connection.send(exported->record(), exported->fd));
    REQUIRE(hear(connection) == Word{0});
    REQUIRE(all_are(server.bytes(ref), 0xee));
  }
}
TEST_CASE("A10: nor does one who may only read, though the file is sealed against all writing") {
  Server server(8 * page);
  Process reader(leave_secrets);
  for (int round = 0; round < 300; ++round) {
    const auto ref = server.buffer(page * (1 + static_cast<std::uint64_t>(round) % 8));
    const auto exported = server.exported(ref, to_read);
    REQUIRE(exported);
    REQUIRE(reader.connection().send(exported->record(), exported->fd));
    REQUIRE(hear(reader.connection()) == Word{0});
    REQUIRE(all_are(server.bytes(ref), 0));
    std::ranges::fill(server.bytes(ref), std::byte{0xee});  // the server's own secret
  }
}
TEST_CASE("A10: who is killed while he writes writes nothing into the next owner's buffer") {
  Server server(page);
  for (int round = 0; round < 60; ++round) {
    Process writer([](const Connection& connection) {
      const auto range = receive_range(connection);
      if (!range || !say(connection)) return false;
      volatile std::byte* const bytes = range->writable().data();
      for (;;) {
        bytes[0] = std::byte{0xee};
        bytes[page - 1] = std::byte{0xee};
      }
    });
    auto ref = server.buffer();
    const auto exported = server.exported(ref);
    REQUIRE(writer.connection().send(exported->record(), exported->fd));
    REQUIRE(hear(writer.connection()));
    const auto peer = server.peers.join(std::move(writer.connection()), writer.process());
    REQUIRE(server.peers.give(*peer, std::move(ref)));
    REQUIRE(::kill(writer.pid(), SIGKILL) == 0);  // it is not waited for: he may still be dying
    CHECK(server.peers.reap(Timeout::forever()) == 1);
    const auto next = server.buffer();  // there is no other place
    for (int looks = 0; looks < 200; ++looks) REQUIRE(all_are(server.bytes(next), 0));
    writer.kill();
    REQUIRE(all_are(server.bytes(next), 0));
  }
}
TEST_CASE("A10: who keeps the file of a buffer's own sees and writes nothing of the next") {
  std::vector<ImportedRange> kept;
  for (int owner = 0; owner < 20; ++owner) {
    Server server(page);
    const auto ref = server.buffer();
    CHECK(all_are(server.bytes(ref), 0));
    const auto exported = server.exported(ref);
    kept.push_back(*ImportedRange::map(copy_of(*exported), exported->record()));
    for (const ImportedRange& range : kept) std::ranges::fill(range.writable(), std::byte{0xee});
    std::ranges::fill(server.bytes(ref), static_cast<std::byte>(owner));
    for (std::size_t at = 0; at + 1 < kept.size(); ++at) CHECK(all_are(kept[at].bytes(), 0xee));
    CHECK(all_are(kept.back().bytes(), owner));
  }
}

// --- A12: a write through a read-only share (CVE-2021-39793, CVE-2021-28664, CVE-2022-22706) ---

namespace {

// By which of many ways may who has this descriptor change the file? nullptr: by none.
const char* way_to_write(int fd, off_t offset) {
  const auto open_as = [&](int flags) { return open(path_of(fd).c_str(), flags | O_CLOEXEC); };
  void* const shown = mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, offset);
  if (shown == MAP_FAILED) return "it cannot even be read";
  if (mprotect(shown, page, PROT_READ | PROT_WRITE) == 0) return "mprotect";
  for (const int one : {fd, open_as(O_RDONLY), open_as(O_RDWR), open_as(O_WRONLY)}) {
    if (mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, one, offset) != MAP_FAILED) return "mmap";
    if (mmap(nullptr, page, PROT_WRITE, MAP_SHARED, one, offset) != MAP_FAILED) return "mmap, to write only";
    if (pwrite(one, "x", 1, offset) == 1) return "pwrite";
    if (fallocate(one, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, page) == 0) return "a hole";
    if (ftruncate(one, 0) == 0) return "cut";
  }
  if (open_as(O_RDWR | O_TRUNC) >= 0) return "cut when opened";
  return nullptr;
}

}  // namespace

TEST_CASE("A12: whoever gets a read-only file writes it in no way, nor does whom he gives it") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref, to_read);
  REQUIRE(exported);
  const auto offset = static_cast<off_t>(exported->offset.value());
  Process first([&](const Connection& connection) {
    auto got = connection.receive<ExportRecord, 1>();
    const auto fd = got->fds.take(0);
    Process second([&](const Connection& next) {
      auto passed = next.receive<ExportRecord, 1>();
      return passed && way_to_write(passed->fds[0], offset) == nullptr;
    });
    return way_to_write(fd.get(), offset) == nullptr && second.connection().send(got->record, fd) && second.did_well();
  });
  REQUIRE(first.connection().send(exported->record(), exported->fd));
  CHECK(first.did_well());
  CHECK(all_are(server.bytes(ref), 0));
  Server writable;  // the ways are ways
  const auto open = writable.exported(writable.buffer());
  CHECK(holds_in_child([&] { return std::string(way_to_write(open->fd.get(), 0)) == "mprotect"; }));
}
TEST_CASE("A12: a file that went out read-only goes out in no other way, nor does a block beside it") {
  Server server;
  const auto ref = server.buffer();
  const auto beside = server.buffer();
  REQUIRE(server.exported(ref, to_read));
  CHECK(code_of(server.exported(ref)) == ErrorCode::read_only);
  CHECK(code_of(server.exported(beside)) == ErrorCode::read_only);
  CHECK(code_of(export_zone(server.zone, to_write)) == ErrorCode::read_only);
  CHECK(server.exported(beside, to_read));
}
TEST_CASE("A12: what somebody may write is promised to nobody as read-only") {
  Server server;
  const auto ref = server.buffer();
  const auto exported = server.exported(ref);
  const auto writer = ImportedRange::map(copy_of(*exported), exported->record());
  CHECK(code_of(server.exported(ref, to_read)) == ErrorCode::not_sealed);
  CHECK(code_of(export_zone(server.zone, to_read)) == ErrorCode::not_sealed);
  Exported claimed{copy_of(*exported), exported->offset, exported->size, to_read};
  CHECK(code_of(server.exports.put(server.another(ref), claimed)) == ErrorCode::not_sealed);
  CHECK(server.exports.count() == 0);
  writer->writable()[0] = std::byte{1};
  CHECK(server.bytes(ref)[0] == std::byte{1});
}
TEST_CASE("A12: whatever the message says, and however the file is opened again, read-only it stays") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref, to_read);
  REQUIRE(server.exports.put(std::move(ref), *exported));
  for (const int flags : {O_RDONLY, O_RDWR, O_RDWR | O_APPEND}) {
    const auto again = [&] { return backing::OwnedFd(open(path_of(exported->fd.get()).c_str(), flags | O_CLOEXEC)); };
    CHECK(server.exports.find(again().get())->access == to_read);
    ExportRecord said = exported->record();
    CHECK(ImportedRange::map(again(), said)->writable().empty());
    said.access = static_cast<Word>(to_write);
    CHECK(code_of(ImportedRange::map(again(), said)) == ErrorCode::read_only);
  }
}

// --- A13: one kind of file, or one name, taken for another (CVE-2016-5340, CVE-2023-20768) ---

namespace {

// act(kind, fd) for each of many kinds of files that are no buffer's.
template <class Act>
void for_each_kind(const Server& server, Act&& act) {
  auto kinds = kinds_of_files("frames", 64 * page);
  CHECK(kinds.size() >= 12);
  auto ends = Connection::pair();
  kinds.push_back({"our own connection", copy_of(ends->here.fd())});
  const Frames twin = frames();
  kinds.push_back({"another zone of that name and size", copy_of(twin.backing().fd())});
  const std::string own = path_of(server.zone.backing().fd());
  kinds.push_back({"a path to our file", backing::OwnedFd(open(own.c_str(), O_PATH | O_CLOEXEC))});
  kinds.push_back({"our file, to write only", backing::OwnedFd(open(own.c_str(), O_WRONLY | O_CLOEXEC))});
  kinds.push_back({"none", backing::OwnedFd(-1)});
  for (KindOfFile& one : kinds) {
    const char* const kind = one.kind;
    CAPTURE(kind);
    act(std::string(kind), one.fd);
  }
}

}  // namespace

TEST_CASE("A13: no other kind of file is a buffer's") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  REQUIRE(server.exports.put(std::move(ref), *exported));
  const auto counts = server.counts();
  for_each_kind(server, [&](const std::string&, const backing::OwnedFd& fd) {
    const std::size_t fds = open_fds();
    CHECK(code_of(server.exports.find(fd.get())) == ErrorCode::foreign_file);
    CHECK(code_of(server.exports.find(fd.get(), exported->offset)) == ErrorCode::foreign_file);
    CHECK(open_fds() == fds);
  });
  CHECK(server.counts() == counts);
  CHECK(server.exports.find(exported->fd.get()));
}
TEST_CASE("A13: nor when another process sends it, and all that it sends is closed") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  REQUIRE(server.exports.put(std::move(ref), *exported));
  const std::size_t fds = open_fds();
  for_each_kind(server, [&](const std::string& kind, const backing::OwnedFd& fd) {
    if (kind == "none") return;
    Process sender([&](const Connection& connection) { return connection.send(exported->record(), fd) && !hear(connection); });
    auto got = sender.connection().receive<ExportRecord, 1>();
    REQUIRE(got);
    CHECK(code_of(server.exports.find(got->fds[0], Bytes(got->record.offset))) == ErrorCode::foreign_file);
    { const Connection closed = std::move(sender.connection()); }
    CHECK(sender.did_well());
  });
  CHECK(open_fds() == fds);
}
TEST_CASE("A13: what is mapped is a file that nobody can cut, or nothing") {
  Server server;
  for_each_kind(server, [&](const std::string& kind, backing::OwnedFd& fd) {
    const bool is_one = kind == "memfd of our name, length and seals" || kind == "another zone of that name and size";
    for (const auto access : {to_read, to_write}) {
      const ExportRecord said{0, page, static_cast<Word>(access)};
      CHECK(static_cast<bool>(ImportedRange::map(copy_of(fd.get()), said)) == is_one);
    }
  });
}
TEST_CASE("A13: none of them is a connection, nor is it put among the exports as another's") {
  Server server;
  auto ref = server.buffer();
  const auto counts = server.counts();
  for_each_kind(server, [&](const std::string& kind, backing::OwnedFd& fd) {
    const bool is_one = kind == "memfd of our name, length and seals" || kind == "another zone of that name and size";
    CHECK(static_cast<bool>(Connection::of(copy_of(fd.get()))) == (kind == "our own connection"));
    if (is_one) return;  // the server says itself what it puts
    CHECK(!server.exports.put(std::move(ref), {copy_of(fd.get()), 0, page, to_write}));
    CHECK(ref);
  });
  CHECK(server.counts() == counts);
}
TEST_CASE("A13: a file that comes after ours is gone is not ours, though all that it is called is the same") {
  std::optional<Server> server(std::in_place);
  auto ref = server->buffer();
  const BufferId id = ref.id();
  std::optional<Exported> exported = *server->exported(ref);
  const Bytes offset = exported->offset;
  REQUIRE(server->exports.put(std::move(ref), *exported));
  exported.reset();  // the table keeps one open itself
  for (int files = 0; files < 200; ++files) {
    const Frames twin = frames();
    REQUIRE(code_of(server->exports.find(twin.backing().fd(), offset)) == ErrorCode::foreign_file);
  }
  CHECK(server->exports.find(server->zone.backing().fd(), offset)->buffer.id() == id);
  REQUIRE(server->exports.withdraw(id) == 1);
  CHECK(code_of(server->exports.find(server->zone.backing().fd(), offset)) == ErrorCode::foreign_file);
}

// --- A15: everything is somebody's in the end (syzkaller #1267, raspberrypi/linux #3220, "ION Hazard") ---

TEST_CASE("A15: who takes all that he gets is stopped at his quota, and it comes back when he dies") {
  Server server;
  const ClientId greedy = *server.device.open_for(7, {.quota = {.bytes = 16 * page}});
  const auto before = server.counts();
  const std::size_t fds = open_fds();
  for (int round = 0; round < 20; ++round) {
    Process hoarder([](const Connection& connection) {
      std::vector<ImportedRange> kept;
      for (auto range = receive_range(connection); range; range = receive_range(connection)) kept.push_back(*std::move(range));
      return false;
    });
    const PeerId peer = *server.peers.join(std::move(hoarder.connection()), hoarder.process());
    Word got = 0;
    for (;; ++got) {
      const auto handle = server.device.allocate(greedy, {.size = page});
      if (!handle) break;
      auto ref = server.device.share(greedy, *handle);
      const auto exported = server.exported(*ref);
      REQUIRE(server.peers.connection(peer)->send(exported->record(), exported->fd));
      REQUIRE(server.peers.give(peer, *std::move(ref)));
      REQUIRE(server.device.free(greedy, *handle));
    }
    CHECK(got == 16);
    CHECK(server.buffer(40 * page));  // there is enough for others
    hoarder.kill();
    CHECK(server.peers.reap(Timeout::forever()) == 1);
    CHECK(server.counts() == before);
    CHECK(server.device.usage(greedy)->bytes == 0);
    CHECK(open_fds() == fds);
  }
}
TEST_CASE("A15: who never reads keeps nobody waiting, and what was on its way to him is closed") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  Process mute([](const Connection&) { return pause(), false; });
  Process other([](const Connection& connection) { return static_cast<bool>(receive_range(connection)); });
  const PeerId peer = *server.peers.join(std::move(mute.connection()), mute.process());
  int pipe[2];  // which only we have, and what is on its way
  REQUIRE(pipe2(pipe, O_CLOEXEC) == 0);
  const backing::OwnedFd reading(pipe[0]);
  std::optional<backing::OwnedFd> writing(pipe[1]);
  const std::array<int, 2> both = {exported->fd.get(), writing->get()};
  Result<void> sent;
  Word count = 0;
  while ((sent = server.peers.connection(peer)->send(exported->record(), both, Waiting::no))) ++count;
  CHECK(count > 0);
  CHECK((sent.error().os_error == EAGAIN || sent.error().code == ErrorCode::limit_reached));
  REQUIRE(other.connection().send(exported->record(), exported->fd));
  CHECK(other.did_well());
  writing.reset();
  pollfd last{reading.get(), POLLIN, 0};
  CHECK(poll(&last, 1, 0) == 0);  // some are still on their way
  REQUIRE(server.peers.give(peer, std::move(ref)));
  mute.kill();
  CHECK(server.peers.reap(Timeout::forever()) == 1);
  CHECK(poll(&last, 1, 10'000) == 1);  // none is
  CHECK(server.device.buffer_count() == 0);
}
TEST_CASE("A15: who sends descriptors without end fills no table of the server's") {
  Server server;
  auto ref = server.buffer();
  const auto exported = server.exported(ref);
  REQUIRE(server.exports.put(std::move(ref), *exported));
  const std::size_t fds = open_fds();
  {
    Process flood([](const Connection& connection) {
      const backing::OwnedFd memory(memfd_create("frames", MFD_CLOEXEC));
      const std::vector<int> many(Connection::most_fds, memory.get());
      for (Word count = 0;; ++count) {
        const std::span<const int> all(many);
        if (!connection.send(count, all.first(static_cast<std::size_t>(count % 254)))) return false;
      }
    });
    for (int messages = 0; messages < 1'000; ++messages) {
      const auto got = flood.connection().receive<ExportRecord, 1>(0);
      REQUIRE(code_of(got) == ErrorCode::bad_message);
    }
    CHECK(open_fds() == fds + 1);  // the connection
    CHECK(server.exports.find(exported->fd.get()));
  }
  CHECK(open_fds() == fds);
}
TEST_CASE("A15: who goes but lives on, and keeps the file, keeps none of the server's counts") {
  Server server;
  std::vector<std::unique_ptr<Process>> keepers;
  const auto before = server.counts();
  for (int round = 0; round < 10; ++round) {
    auto ref = server.buffer();
    const auto exported = server.exported(ref);
    keepers.push_back(std::make_unique<Process>([](Connection& connection) {
      const auto range = receive_range(connection);
      { const Connection closed = std::move(connection); }
      return pause(), static_cast<bool>(range);
    }));
    const PeerId peer = *server.peers.join(std::move(keepers.back()->connection()), keepers.back()->process());
    REQUIRE(server.peers.connection(peer)->send(exported->record(), exported->fd));
    REQUIRE(server.peers.give(peer, std::move(ref)));
    CHECK(server.peers.reap(Timeout::forever()) == 1);
    CHECK(server.counts() == before);
  }
  for (auto& keeper : keepers) CHECK(::kill(keeper->pid(), 0) == 0);
}

// --- A17: memory that is mapped while what it is of ends (CVE-2024-0582) ---

TEST_CASE("A17: a zone ends while others have it mapped: the bytes stay theirs, and nothing of the server's") {
  const std::size_t fds = open_fds();
  {
    auto server = std::make_unique<Server>();
    auto holder = [](const Connection& connection) {
      const auto range = receive_range(connection);
      if (!range || !say(connection) || !hear(connection)) return false;  // the zone has ended
      if (!all_are(range->bytes(), 0x5a)) return false;
      std::ranges::fill(range->writable(), std::byte{1});
      return all_are(range->bytes(), 1);
    };
    Process holders[] = {Process(holder), Process(holder)};
    std::vector<Shared::Ref> refs;
    for (Process& one : holders) {
      refs.push_back(server->buffer(4 * page));
      std::ranges::fill(server->bytes(refs.back()), std::byte{0x5a});
      const auto exported = server->exported(refs.back());
      REQUIRE(one.connection().send(exported->record(), exported->fd));
      REQUIRE(hear(one.connection()));
    }
    refs.clear();
    server.reset();
    CHECK(open_fds() == fds + 2);  // the connections
    for (Process& one : holders) {
      REQUIRE(say(one.connection()));
      CHECK(one.did_well());
    }
  }
  CHECK(open_fds() == fds);
}
TEST_CASE("A17: so do they when the server is killed") {
  Process killed([](const Connection& connection) {
    Server server;
    const auto ref = server.buffer();
    std::ranges::fill(server.bytes(ref), std::byte{0x5a});
    const auto exported = server.exported(ref);
    static_cast<void>(connection.send(exported->record(), exported->fd));
    return pause(), false;
  });
  const auto range = receive_range(killed.connection());
  REQUIRE(range);
  killed.kill();
  CHECK(killed.connection().has_ended());
  CHECK(all_are(range->bytes(), 0x5a));
  range->writable()[0] = std::byte{1};
  CHECK(range->bytes()[0] == std::byte{1});
}
TEST_CASE("A17: a device does not retire while another process has a buffer, or its file is known") {
  Server server;
  Process holder([](const Connection& connection) { return receive_range(connection) && !hear(connection); });
  const PeerId peer = *server.peers.join(std::move(holder.connection()), holder.process());
  auto ref = server.buffer();
  const BufferId id = ref.id();
  const auto exported = server.exported(ref);
  REQUIRE(server.exports.put(server.another(ref), *exported));
  REQUIRE(server.peers.connection(peer)->send(exported->record(), exported->fd));
  REQUIRE(server.peers.give(peer, std::move(ref)));
  REQUIRE(server.device.close(server.client));
  CHECK(server.device.retire().error() == Error{.code = ErrorCode::still_used, .asked = 0, .available = 1});
  holder.kill();
  CHECK(server.peers.reap(Timeout::forever()) == 1);
  CHECK(code_of(server.device.retire()) == ErrorCode::still_used);
  auto found = server.exports.find(exported->fd.get());
  REQUIRE(server.exports.withdraw(id) == 1);
  CHECK(code_of(server.device.retire()) == ErrorCode::still_used);  // who found it in time has it
  CHECK(server.zone.owns(found->buffer.parts().blocks[0]));
  { const Shared::Ref last = std::move(found->buffer); }
  CHECK(server.device.retire());
}
TEST_CASE("A17: nobody takes the file from under those who have it mapped") {
  Server server;
  const auto ref = server.buffer(4 * page);
  std::ranges::fill(server.bytes(ref), std::byte{0x5a});
  const auto exported = server.exported(ref);
  Process hostile([](const Connection& connection) {
    auto got = connection.receive<ExportRecord, 1>();
    const int fd = got->fds[0];
    bool is_cut = false;
    for (const off_t length : {off_t{0}, off_t{1}, off_t{page}, off_t{63 * page}}) is_cut |= ftruncate(fd, length) == 0;
    is_cut |= open(path_of(fd).c_str(), O_RDWR | O_TRUNC) >= 0;
    is_cut |= fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, page) == 0;
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page);  // zeros: that he may
    return !is_cut;
  });
  REQUIRE(hostile.connection().send(exported->record(), exported->fd));
  CHECK(hostile.did_well());
  const auto bytes = server.bytes(ref);
  CHECK(holds_in_child([&] { return all_are(bytes.first(page), 0) && all_are(bytes.subspan(page), 0x5a); }));
  std::ranges::fill(bytes, std::byte{1});
  CHECK(all_are(bytes, 1));
}
