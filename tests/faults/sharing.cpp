// What goes from process to process: the connection, exports, imports, the tables of exports and of peers.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/peers.hpp>
#include <freestone/share/os/ranked.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/subjects.hpp"
#include "faults/sweep.hpp"
#include "support/platforms.hpp"

namespace freestone::tests {

namespace {

template <class B>
using ZoneOf = Zone<B, strategy::Bitmap, lock::Spin, cache::Coherent>;
using Frames = ZoneOf<backing::DataFile>;

ZoneOptions called(const char* name) { return {.name = name, .size = 256_KiB, .granule = 4_KiB}; }

// What comes back where something that no fault explains is wrong.
constexpr Error wrong{.code = ErrorCode::overrun};

// --- what is there before and after ---

constexpr ShareLimits limits{.clients = 2, .owners = 2, .buffers = 8, .handles = 8, .blocks = 1};
// A lock that an error leaves taken ends the program at the next call.
using D = Device<Frames, MinimalPlatform, limits, scrub::Zero, Ranked<lock::Spin, true>>;
using Table = Exports<D, 4, lock::Spin>;
using Group = Peers<D, 4, 4, lock::Spin>;

struct Note {
  std::uint64_t number = 0;
  std::uint64_t sum = 0;

  static Note of(std::uint64_t number) { return {number, ~number}; }
  bool is(std::uint64_t wanted) const { return number == wanted && sum == ~wanted; }
};

// Bytes that are under way to that end; below 0 where there is none.
int under_way(const Connection* end) {
  int bytes = -1;
  return end != nullptr && ioctl(end->fd(), FIONREAD, &bytes) == 0 ? bytes : -1;
}

int seals_of(int fd) { return fcntl(fd, F_GET_SEALS); }

// A device with two buffers: one that a peer has and the table knows, marked, and a spare one.
struct World {
  Frames zone = std::move(*Frames::create(called("others")));
  Frames readable = std::move(*Frames::create(called("others, to read")));
  Exported file = std::move(*export_zone(zone, FileAccess::read_write));
  Exported readable_file = std::move(*export_zone(readable, FileAccess::read_only));
  MinimalPlatform platform = {};
  D device{zone, platform, TagKey{1, 2}};
  ClientId client = *device.open();
  D::Ref known = buffer();
  D::Ref spare = buffer();
  Table table{device};
  Group peers;
  Connection::Ends ends = std::move(*Connection::pair());
  Connection::Ends others = std::move(*Connection::pair());
  PeerId peer = *peers.join(std::move(others.here));

  World() {
    const auto bytes = bytes_of(known);
    std::fill(bytes.begin(), bytes.end(), mark);
    std::memset(bytes_of(spare).data(), 0x33, static_cast<std::size_t>(bytes.size()));
    static_cast<void>(*readable.allocate(4_KiB));
    if (!table.put(another(known), *export_block(zone, block_of(known), FileAccess::read_write))) std::abort();
    if (!peers.give(peer, another(known))) std::abort();
  }

  D::Ref buffer() {
    const Handle handle = *device.allocate(client, {.size = mark_bytes});
    auto ref = device.share(client, handle);
    if (!device.free(client, handle)) std::abort();
    return *std::move(ref);
  }
  D::Ref another(const D::Ref& ref) { return std::move(*device.ref(ref.id())); }
  static const Block& block_of(const D::Ref& ref) { return ref.parts().blocks[0]; }
  std::span<std::byte> bytes_of(const D::Ref& ref) { return zone.data(block_of(ref)); }

  struct State {
    Stats stats;
    std::int64_t right = 0;
    Bytes charged = {};
    std::size_t handles = 0, buffers = 0, exports = 0, peers = 0, held = 0;
    std::uint32_t times = 0;
    std::array<std::uint32_t, 2> holds = {};  // of the buffers
    std::array<int, 4> under_way = {};
    std::array<int, 2> seals = {};
    std::uint32_t ranks = 0;

    friend bool operator==(const State&, const State&) = default;
  };
  State state() {
    State state{.stats = zone.stats()};
    const auto bytes = bytes_of(known);
    state.right = std::count(bytes.begin(), bytes.end(), mark);
    const auto usage = device.usage(client);
    state.charged = usage ? usage->bytes : 0;
    state.handles = usage ? usage->handles : 0;
    state.buffers = device.buffer_count();
    state.exports = table.count();
    state.peers = peers.count();
    state.held = peers.held_by(peer);
    peers.for_each_holder(known.id(), [&](PeerId, std::uint32_t times) { state.times += times; });
    state.holds = {device.info(known).holds, device.info(spare).holds};
    state.under_way = {under_way(&ends.here), under_way(&ends.there), under_way(peers.connection(peer)),
                       under_way(&others.there)};
    state.seals = {seals_of(zone.backing().fd()), seals_of(readable.backing().fd())};
    state.ranks = freestone::detail::held_ranks;
    return state;
  }
};

// --- what an error must say ---

// Of each of the host's calls: the code, none where it is as share/os/failure.hpp has it, and whose.
struct Rule {
  std::string_view call;
  const char* node = "";
  ErrorCode code = ErrorCode::none;

  bool fits(const Error& error, int os_error) const {
    const ErrorCode by_number = os_error == EMFILE   ? ErrorCode::limit_reached
                                : os_error == ENOMEM ? ErrorCode::out_of_memory
                                                     : ErrorCode::node_failure;
    return error.code == (code == ErrorCode::none ? by_number : code) && error.os_error == os_error &&
           std::strcmp(error.node(), node) == 0 && std::strcmp(error.zone, "") == 0 && !describe(error).empty();
  }
};

constexpr const char* connection = "connection";
constexpr const char* imported = "imported file";
constexpr Rule rules[] = {
    {"socketpair", connection},
    {"sendmsg", connection},
    {"recvmsg", connection},
    {"getsockopt", connection},
    {"poll", connection},
    {"ioctl", connection},
    {"pidfd_open", connection},
    {"fcntl of the mode", "", ErrorCode::foreign_file},
    {"statx", "", ErrorCode::foreign_file},
    {"fstatfs", "", ErrorCode::foreign_file},
    {"fcntl of seals", "", ErrorCode::not_sealed},
    {"fcntl", "exported file"},
    {"fstat", imported},
    {"lseek", imported},
    {"mmap", imported},
};
// Of a socket of which nobody knows yet what it is.
constexpr Rule rules_of_strangers[] = {
    {"getsockopt", "", ErrorCode::foreign_file},
    {"getpeername", "", ErrorCode::foreign_file},
};

template <class Act>
class Sharing : public Subject {
 public:
  Sharing(Act act, std::span<const Rule> of, Hints hints) : Subject(hints), act_(std::move(act)), rules_(of) {}
  auto state() { return world_->state(); }
  Error call() { return act_(*world_); }
  bool tells(const Error& error, std::string_view call, int os_error) const {
    return std::any_of(rules_.begin(), rules_.end(),
                       [&](const Rule& rule) { return rule.call == call && rule.fits(error, os_error); });
  }
  // A message that brings more descriptors than may be opened is refused.
  bool tells_limit(const Error& error) const {
    return error.code == ErrorCode::bad_message || (error.code == ErrorCode::limit_reached && error.os_error == EMFILE);
  }

 private:
  static std::unique_ptr<World> new_world() {
    const bool before = std::exchange(files_are_dma_bufs, false);
    auto made = std::make_unique<World>();
    files_are_dma_bufs = before;
    return made;
  }

  std::unique_ptr<World> world_ = new_world();
  Act act_;
  std::span<const Rule> rules_;
};

template <class Act>
void sharing(const std::string& what, Act act, Hints hints = {}, std::span<const Rule> of = rules) {
  const std::string name = "sharing, " + what;
  const auto subject = [&] { return Sharing<Act>(act, of, hints); };
  sweep(name, subject());
  run_out_of_files(name, subject());
}
// What the calls of a connection are in: a signal may come at each.
template <class Act>
void talking(const std::string& what, Act act, Hints hints = {}) {
  sharing(what, act, hints);
  interrupt("sharing, " + what, Sharing<Act>(act, rules, hints));
}
template <class Act>
void mapping(const std::string& what, Act act) {
  sharing(what, act);
  run_out_of_pages("sharing, " + what, Sharing<Act>(act, rules, {}));
}

constexpr std::string_view settings[] = {"setsockopt"};
constexpr std::string_view polls[] = {"poll", "ppoll"};
constexpr std::string_view kinds[] = {"statx", "fstatfs"};

// Did nothing fail, or was it a signal only? Then the call has done what it is for.
bool is_unhurt() { return host_fault.failed == 0 || host_fault.os_error == EINTR; }

// --- the connection ---

backing::OwnedFd copy_of(int fd) {
  const NoFaults here;
  return backing::OwnedFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}
bool is_same_file(int one, int other) {
  const NoFaults here;
  const auto a = FileIdentity::of(one), b = FileIdentity::of(other);
  return a && b && *a == *b;
}
Connection::Ends new_pair() {
  const NoFaults here;
  return std::move(*Connection::pair());
}

// A note with so many descriptors of the world's file.
template <std::size_t count>
Error send_note(const World& world, std::uint64_t number) {
  std::array<int, count> fds{};
  fds.fill(world.file.fd.get());
  return world.ends.here.send(Note::of(number), std::span<const int>(fds), Waiting::no).error();
}
// The same, and nothing besides.
template <std::size_t count>
Error receive_note(const World& world, std::uint64_t number, const Connection& end) {
  const auto got = end.receive<Note, count>(count, Waiting::no);
  if (!got) return got.error();
  const NoFaults here;
  if (!got->record.is(number) || under_way(&end) != 0) return wrong;
  for (std::size_t at = 0; at < count; ++at) {
    if (!is_same_file(got->fds[at], world.file.fd.get())) return wrong;
  }
  return {};
}

template <std::size_t count>
Error sends(World& world) {
  if (const Error error = send_note<count>(world, count); error) return error;  // and the state says that nothing went
  const NoFaults here;
  return receive_note<count>(world, count, world.ends.there);
}
// What was not received is there still, but for a message that is refused.
template <std::size_t count>
Error receives(World& world) {
  {
    const NoFaults here;
    if (const Error error = send_note<count>(world, count); error) return wrong;
  }
  const Error error = receive_note<count>(world, count, world.ends.there);
  const NoFaults here;
  const bool is_there = under_way(&world.ends.there) != 0;
  if (is_there != (error && error.code != ErrorCode::bad_message)) return wrong;
  if (is_there && receive_note<count>(world, count, world.ends.there)) return wrong;
  return error;
}
Error receives_end(World&) {
  auto ends = new_pair();
  { const Connection gone = std::move(ends.here); }
  const auto got = ends.there.receive<Note>();
  if (got) return wrong;
  return got.error().code == ErrorCode::connection_ended ? Error{} : got.error();
}

Error asks_peer(World& world) {
  const auto peer = world.ends.here.peer();
  if (!peer) return peer.error();
  const NoFaults here;
  return peer->pid == getpid() && peer->uid == getuid() && !peer->has_died() ? Error{} : wrong;
}
// Whose number it is nobody may believe once the connection has ended, nor where that is not known.
Error asks_number(World& world) {
  const auto process = world.ends.here.process_by_number(getpid());
  return process ? Error{} : process.error();
}
Error asks_number_late(World&) {
  auto ends = new_pair();
  { const Connection gone = std::move(ends.there); }
  const auto process = ends.here.process_by_number(getpid());
  if (process) return wrong;
  return process.error().code == ErrorCode::connection_ended ? Error{} : process.error();
}
// Of one that has died.
backing::OwnedFd dead_process() {
  const NoFaults here;
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  backing::OwnedFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (process.get() < 0 || waitpid(pid, nullptr, 0) != pid) std::abort();
  return process;
}
Error asks_death(World& world) {
  const auto alive = [&] {
    const NoFaults here;
    return std::move(*world.ends.here.peer());
  }();
  if (alive.has_died()) return wrong;
  const PeerProcess dead{.process = dead_process()};
  return dead.has_died() || !is_unhurt() ? Error{} : wrong;
}
Error asks_end(World& world) {
  if (world.ends.here.has_ended()) return wrong;
  auto ends = new_pair();
  { const Connection gone = std::move(ends.there); }
  return ends.here.has_ended() || !is_unhurt() ? Error{} : wrong;
}

void talk() {
  sharing("pair", [](World&) {
    const auto ends = Connection::pair();
    return ends ? Error{} : ends.error();
  });
  const auto becomes = [](World&) {
    auto ends = new_pair();
    const auto made = Connection::of(copy_of(ends.here.fd()));
    return made ? Error{} : made.error();
  };
  sharing("a socket becomes a connection", becomes, {.always = settings}, rules_of_strangers);
  talking("send", sends<0>);
  talking("send two files", sends<2>);
  talking("receive", receives<0>);
  talking("receive two files", receives<2>);
  talking("receive at the end", receives_end);
  sharing("peer", asks_peer);
  has_peer_pidfd = false;
  talking("peer, of an older kernel", asks_peer);
  has_peer_pidfd = true;
  talking("a process by its number", asks_number);
  talking("a process by its number, too late", asks_number_late);
  talking("has it ended", asks_end, {.always = polls});
  talking("has he died", asks_death, {.always = polls});
}

// --- files ---

Error asks_identity(World& world) {
  const auto identity = FileIdentity::of(world.file.fd.get());
  if (!identity) return identity.error();
  return is_same_file(world.file.fd.get(), world.zone.backing().fd()) ? Error{} : wrong;
}
Error asks_kind(World& world) {
  return is_dma_buf(world.file.fd.get()) == files_are_dma_bufs || host_fault.failed != 0 ? Error{} : wrong;
}

constexpr FileAccess to_read = FileAccess::read_only;
constexpr FileAccess to_write = FileAccess::read_write;

bool is_export(const Exported& made, int fd, Bytes offset, Bytes size, FileAccess access) {
  return made.fd.get() != fd && is_same_file(made.fd.get(), fd) && made.offset == offset && made.size == size &&
         made.access == access;
}
// Of a zone that was never exported. One whose export fails can be exported the other way still.
template <class Z, FileAccess access>
Error exports_zone(World&) {
  auto zone = [] {
    const NoFaults here;
    return std::move(*Z::create(called("fresh")));
  }();
  const int fd = zone.backing().fd();
  const auto seals_before = [&] { return NoFaults(), seals_of(fd); }();
  const auto made = export_zone(zone, access);
  const NoFaults here;
  if (made) return is_export(*made, fd, zone.backing().file_offset(), zone.size(), access) ? Error{} : wrong;
  return seals_of(fd) == seals_before ? made.error() : wrong;
}
template <FileAccess access>
Error exports_block(World& world) {
  Frames& zone = access == to_write ? world.zone : world.readable;
  const auto block = zone.allocate(8_KiB);
  if (!block) return wrong;
  const auto made = export_block(zone, *block, access);
  const NoFaults here;
  const bool is_right = !made || is_export(*made, zone.backing().fd(), block->offset(), 8_KiB, access);
  if (!zone.deallocate(*block) || !is_right) return wrong;
  return made ? Error{} : made.error();
}

// Maps what was exported, and sees the bytes.
template <FileAccess access>
Error imports(World& world) {
  const Exported& file = access == to_write ? world.file : world.readable_file;
  auto range = ImportedRange::map(copy_of(file.fd.get()), file.record());
  if (!range) return range.error();
  const bool is_right = range->bytes().size() == 256_KiB && range->access() == access;
  if (!is_right || range->writable().empty() != (access == to_read)) return wrong;
  if constexpr (access == to_read) return range->bytes().front() == std::byte{} ? Error{} : wrong;
  const auto offset = static_cast<std::size_t>(World::block_of(world.known).offset().value());
  return range->bytes()[offset] == mark ? Error{} : wrong;
}

// Of a file that somebody else may serve nothing is asked that he would have to answer.
Error refuses(World&) {
  const auto folder_of_all = [] {
    const NoFaults here;
    return backing::OwnedFd(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  };
  const auto range = ImportedRange::map(folder_of_all(), {.size = 4096});
  if (range) return wrong;
  return range.error().code == ErrorCode::not_sealed && range.error().os_error == 0 ? Error{} : range.error();
}

// A dma-buf's length is asked in another way, and it takes no seals.
class DmaBufs {
 public:
  explicit DmaBufs() : heap_(folder + "/heap") {
    if (FILE* const file = std::fopen(heap_.c_str(), "w")) std::fclose(file);
    files_are_dma_bufs = true;
  }
  ~DmaBufs() {
    files_are_dma_bufs = false;
    unlink(heap_.c_str());
  }
  DmaBufs(const DmaBufs&) = delete;
  DmaBufs& operator=(const DmaBufs&) = delete;

  Error exports_and_imports(World&) const {
    auto zone = [&] {
      const NoFaults here;
      return std::move(*ZoneOf<backing::DmaHeap>::create(called("fresh"), backing::DmaHeap::Settings{heap_.c_str()}));
    }();
    auto made = export_zone(zone, to_write);
    if (!made) return made.error();
    const ExportRecord record = made->record();
    auto range = ImportedRange::map(std::move(made->fd), record);
    return range ? Error{} : range.error();
  }

 private:
  std::string heap_;
};

void files() {
  sharing("identity", asks_identity);
  sharing("is it a dma-buf", asks_kind, {.always = kinds});
  sharing("export a zone", exports_zone<Frames, to_write>);
  sharing("export a zone to read", exports_zone<Frames, to_read>);
  sharing("export a zone with its notes", exports_zone<ZoneOf<backing::MemoryFile>, to_write>);
  sharing("export a block", exports_block<to_write>);
  sharing("export a block to read", exports_block<to_read>);
  sharing("import what was not exported", refuses);
  mapping("import", imports<to_write>);
  mapping("import to read", imports<to_read>);
}

void dma_bufs() {
  const DmaBufs buffers;
  sharing("is a dma-buf one", asks_kind, {.always = kinds});
  mapping("export and import a dma-buf", [&](World& world) { return buffers.exports_and_imports(world); });
}

// --- the tables ---

Exported spare_export(World& world) {
  const NoFaults here;
  return std::move(*export_block(world.zone, World::block_of(world.spare), to_write));
}
// What is not put stays the caller's.
Error puts_into(World& world, Table& table) {
  const Exported file = spare_export(world);
  D::Ref ref = world.another(world.spare);
  const Error error = table.put(std::move(ref), file).error();
  if (static_cast<bool>(ref) != static_cast<bool>(error)) return wrong;
  return error || table.withdraw(world.spare.id()) == 1 ? error : wrong;
}
Error puts_first(World& world) {
  Table table(world.device);
  const Error error = puts_into(world, table);
  return table.count() == 0 ? error : wrong;
}
Error puts_again(World& world) {
  const auto file = [&] {
    const NoFaults here;
    return std::move(*export_block(world.zone, World::block_of(world.known), to_write));
  }();
  return world.table.put(world.another(world.known), file).error();
}
template <bool by_offset>
Error finds(World& world) {
  const Bytes offset = World::block_of(world.known).offset();
  const auto found =
      by_offset ? world.table.find(world.file.fd.get(), offset) : world.table.find(world.file.fd.get());
  if (!found) return found.error();
  return found->buffer.id() == world.known.id() && found->access == to_write ? Error{} : wrong;
}

void tables() {
  sharing("put the first buffer of a file", puts_first);
  sharing("put another buffer of a file", [](World& world) { return puts_into(world, world.table); });
  sharing("put what is there", puts_again);
  sharing("find", finds<true>);
  sharing("find the only one", finds<false>);
}

// --- the peers ---

// Who does not get in still has his connection.
Error joins(World& world) {
  auto ends = new_pair();
  const auto peer = world.peers.join(std::move(ends.here));
  const NoFaults here;
  const Connection* const link = peer ? world.peers.connection(*peer) : &ends.here;
  if (link == nullptr || !link->send(Note::of(1)) || !ends.there.receive<Note>(0, Waiting::no)) return wrong;
  if (!peer) return peer.error();
  return world.peers.give(*peer, world.another(world.spare)) && world.peers.dismiss(*peer) ? Error{} : wrong;
}

Error sends_to_peer(World& world) {
  const std::array<int, 2> fds{world.file.fd.get(), world.file.fd.get()};
  const Error error = world.peers.send(world.peer, Note::of(1), std::span<const int>(fds)).error();
  if (error) return error;
  const NoFaults here;
  return receive_note<2>(world, 1, world.others.there);
}
// Nobody is gone because the kernel refused to wait.
Error waits(World& world) {
  world.peers.wait(Timeout::milliseconds(0));
  return {};
}

// A peer goes who has a buffer twice; nobody else does. He is seen, if not now then the next time, and once.
Error reaps(World& world, Connection link, backing::OwnedFd process, Timeout timeout) {
  PeerId peer;
  {
    const NoFaults here;
    peer = *world.peers.join(std::move(link), std::move(process));
    for (int times = 0; times < 2; ++times) {
      if (!world.peers.give(peer, world.another(world.spare))) return wrong;
    }
  }
  std::size_t returned = 0;
  const auto comes_back = [&](const Group::Departure& who, D::Ref ref) {
    returned += who.peer == peer && ref.id() == world.spare.id();
  };
  const auto reap = [&](Timeout until) {
    return world.peers.reap(until, comes_back, [](const Group::Departure&, std::size_t) {});
  };
  const std::size_t now = reap(timeout);
  if (now == 0 && is_unhurt()) return wrong;
  if (returned != now) return wrong;
  const NoFaults here;
  const std::size_t later = reap(Timeout::milliseconds(0));
  return now + later == 1 && returned == 1 ? Error{} : wrong;
}
template <bool waits>
Error reaps_connection(World& world) {
  auto ends = new_pair();
  { const Connection gone = std::move(ends.there); }
  const Timeout timeout = waits ? Timeout::forever() : Timeout::milliseconds(0);
  return reaps(world, std::move(ends.here), backing::OwnedFd(-1), timeout);
}
// One who left his connection to us.
Error reaps_process(World& world) {
  auto ends = new_pair();
  return reaps(world, std::move(ends.here), dead_process(), Timeout::milliseconds(0));
}

void group() {
  sharing("join", joins);
  has_peer_pidfd = false;
  talking("join, of an older kernel", joins);
  has_peer_pidfd = true;
  talking("send to a peer", sends_to_peer);
  talking("wait for peers", waits, {.always = polls});
  talking("reap whose connection ended", reaps_connection<false>, {.always = polls});
  talking("wait for whose connection ended", reaps_connection<true>, {.always = polls});
  talking("reap who died", reaps_process, {.always = polls});
}

// --- all of it ---

// From the server to a client, who writes, shows the file, and gives the buffer back.
struct Round {
  World& world;
  bool is_given = false;
  std::size_t exports = 0;

  ~Round() {
    const NoFaults here;
    if (is_given && !world.peers.take_back(world.peer, world.spare.id())) std::abort();
    if (world.table.withdraw(world.spare.id()) != exports) std::abort();
    while (under_way(&world.ends.there) > 0) static_cast<void>(world.ends.there.receive<Note, 1>(0, Waiting::no));
    while (under_way(&world.ends.here) > 0) static_cast<void>(world.ends.here.receive<Note, 1>(0, Waiting::no));
  }

  Error go_out() {
    auto file = export_block(world.zone, World::block_of(world.spare), to_write);
    if (!file) return file.error();
    if (const auto put = world.table.put(world.another(world.spare), *file); !put) return put.error();
    exports = 1;
    if (!world.peers.give(world.peer, world.another(world.spare))) return wrong;
    is_given = true;
    return world.ends.here.send(file->record(), file->fd).error();
  }
  Error use() {
    auto got = world.ends.there.receive<ExportRecord, 1>();
    if (!got) return got.error();
    const auto range = ImportedRange::map(got->fds.take(0), got->record);
    if (!range) return range.error();
    if (range->bytes().size() != mark_bytes || range->writable()[5] != std::byte{0x33}) return wrong;
    const int fd = range->fd();
    return world.ends.there.send(Note::of(got->record.offset), std::span<const int>(&fd, 1)).error();
  }
  Error come_back() {
    const auto got = world.ends.here.receive<Note, 1>();
    if (!got) return got.error();
    const auto found = world.table.find(got->fds[0], got->record.number);
    if (!found) return found.error();
    return found->buffer.id() == world.spare.id() && found->access == to_write ? Error{} : wrong;
  }
};
Error goes_round(World& world) {
  Round round{.world = world};
  Error error = round.go_out();
  if (!error) error = round.use();
  return error ? error : round.come_back();
}

// A zone over a file that has the data alone.
void data_file() {
  const auto make = [](const char* name, bool) { return Frames::create(called(name)); };
  sweep("DataFile", Making(make));
  run_out_of_files("DataFile", Making(make));
  run_out_of_pages("DataFile", Making(make));
}

}  // namespace

void sweep_sharing() {
  data_file();
  talk();
  files();
  dma_bufs();
  tables();
  group();
  talking("there and back", goes_round);
  run_out_of_pages("sharing, there and back", Sharing(goes_round, rules, {}));
}

}  // namespace freestone::tests
