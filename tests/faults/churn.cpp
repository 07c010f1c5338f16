// F7: clients that come, allocate, share and are killed. A server has a device over one zone; eight processes at a time
// connect to it, each opens a client, gets buffers as files, maps and writes them, gives some to others, who import
// them, and is killed (SIGKILL) by a timer of its own, whatever it and the server are at just then. 10,000 of them, or
// FREESTONE_TEST_STEPS; with --long as many of one server as FREESTONE_LONG_MINUTES let (a million take half an hour).
// Each time that none of them lives, the server has exactly what it had at the start: bytes, buffers, handles, clients,
// exports, peers, descriptors, threads; no child is left; all of the zone can be had, and is zeros. And no client ever
// found, in a new buffer, a byte that somebody had left there, or, in one that he has, another byte than its maker's.
#include <poll.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/peers.hpp>
#include <freestone/share/os/ranked.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/fault_line.hpp"
#include "support/fds.hpp"
#include "support/long.hpp"
#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

FaultLine f7{.name = "F7"};

constexpr std::uint64_t page = 4096;
constexpr std::size_t at_once = 8;
constexpr std::size_t most_peers = 2 * at_once;  // who died may be found gone a little later than somebody else came

using Frames = Zone<backing::DataFile, strategy::Bitmap, lock::Mutex, cache::Coherent>;
constexpr ShareLimits limits{.clients = most_peers + 1, .owners = 2 * most_peers, .buffers = 40, .handles = 16, .blocks = 1};
using Shared = Device<Frames, MinimalPlatform, limits, scrub::Zero, Ranked<lock::Mutex>>;

// --- what they say to each other ---

enum class What : std::uint32_t {
  allocate,  // asked: a buffer of that size. Answered with its file
  offer,     // asked: give my buffer to somebody. Said to him, with its file: he has it, but has no handle to it yet
  import,    // asked, with the file that was offered: a handle to it
  drop,      // asked: I have this buffer once less
  refused,   // answered: no
};

struct Ask {
  What what = What::refused;
  std::uint32_t handle = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
  std::uint64_t mark = 0;  // what the buffer's bytes are
};
struct Answer {
  What what = What::refused;
  std::uint32_t handle = 0;
  ExportRecord range = {};
  std::uint64_t mark = 0;
};
static_assert(MessageRecord<Ask> && MessageRecord<Answer>);

// Where the server listens: a name that the kernel chose, in no folder.
class Door {
 public:
  Door() {
    address_.sun_family = AF_UNIX;
    static_cast<void>(bind(socket_.get(), address(), length_));
    length_ = sizeof address_;
    static_cast<void>(getsockname(socket_.get(), address(), &length_));
    static_cast<void>(listen(socket_.get(), most_peers));
  }
  int fd() const { return socket_.get(); }

  Result<Connection> accept() const {
    return Connection::of(backing::OwnedFd(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
  Result<Connection> connect() {
    backing::OwnedFd own(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    static_cast<void>(::connect(own.get(), address(), length_));
    return Connection::of(std::move(own));
  }

 private:
  sockaddr* address() { return reinterpret_cast<sockaddr*>(&address_); }

  backing::OwnedFd socket_{socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  sockaddr_un address_{};
  socklen_t length_ = sizeof(sa_family_t);
};

// --- a client ---

// Why a client ended by himself. None should.
enum Wrong : int { no_timer = 1, no_server, bad_answer, no_mapping, former_bytes, other_bytes, lived_on };
constexpr const char* wrong_text[] = {"it returned", "no timer", "no connection", "an answer that was not asked for",
                                      "a file that cannot be mapped", "a former owner's byte",
                                      "another byte than its maker's", "it was not killed"};

class Client {
 public:
  Client(Connection connection, std::uint64_t start) : connection_(std::move(connection)), random_(start) {}

  // Until it is killed.
  [[noreturn]] void live() {
    for (;;) {
      const std::uint64_t chance = random_.below(100);
      if (!offers_.empty()) take_offer();
      else if (mine_.size() < 2 || (mine_.size() < 5 && chance < 45)) allocate();
      else if (chance < 75) offer();
      else drop();
    }
  }

 private:
  struct Buffer {
    std::uint32_t handle;
    std::byte mark;
    ImportedRange range;
  };
  struct Offer {
    std::byte mark;
    std::uint64_t offset;
    ImportedRange range;
  };

  void allocate() {
    auto got = ask({.what = What::allocate, .size = page * random_.from_to(1, 4)}, 1);
    if (got.record.what == What::refused) return;
    ImportedRange range = map(got);
    for (const std::byte byte : range.bytes()) end_if(byte != std::byte{0}, former_bytes);
    const auto mark = static_cast<std::byte>(random_.from_to(1, 255));
    std::ranges::fill(range.writable(), mark);
    mine_.push_back({got.record.handle, mark, std::move(range)});
  }

  void offer() {
    const Buffer& one = any();
    static_cast<void>(ask({.what = What::offer, .handle = one.handle, .mark = std::to_integer<std::uint64_t>(one.mark)}));
  }
  void take_offer() {
    Offer one = std::move(offers_.back());
    offers_.pop_back();
    look(one.range, one.mark);
    const int fd = one.range.fd();
    const auto got = ask({.what = What::import, .offset = one.offset}, 0, std::span<const int>(&fd, 1));
    if (got.record.what == What::refused) return;  // he does not have it any more
    mine_.push_back({got.record.handle, one.mark, std::move(one.range)});
  }

  void drop() {
    std::swap(any(), mine_.back());
    const std::uint32_t handle = mine_.back().handle;
    look(mine_.back().range, mine_.back().mark);
    mine_.pop_back();  // it is not mapped any more before it is given back
    static_cast<void>(ask({.what = What::drop, .handle = handle}));
  }

  Buffer& any() { return mine_[static_cast<std::size_t>(random_.below(mine_.size()))]; }

  // The answer, with `least` descriptors where it is a yes. What is offered meanwhile is for later.
  Message<Answer, 1> ask(const Ask& question, std::size_t least = 0, std::span<const int> fds = {}) {
    end_if(!connection_.send(question, fds), no_server);
    for (;;) {
      auto got = connection_.receive<Answer, 1>(0);
      end_if(!got, no_server);
      const What what = got->record.what;
      const bool is_offer = what == What::offer && got->fds.size() == 1;
      if (is_offer) {
        offers_.push_back({static_cast<std::byte>(got->record.mark), got->record.range.offset, map(*got)});
        continue;
      }
      end_if(what != question.what && what != What::refused, bad_answer);
      end_if(what != What::refused && got->fds.size() != least, bad_answer);
      return *std::move(got);
    }
  }

  static ImportedRange map(Message<Answer, 1>& message) {
    auto range = ImportedRange::map(message.fds.take(0), message.record.range);
    end_if(!range, no_mapping);
    return *std::move(range);
  }
  static void look(const ImportedRange& range, std::byte mark) {
    for (const std::byte byte : range.bytes()) end_if(byte != mark, other_bytes);
  }
  static void end_if(bool is_wrong, Wrong what) {
    if (is_wrong) _exit(what);
  }

  Connection connection_;
  Random random_;
  std::vector<Buffer> mine_;
  std::vector<Offer> offers_;
};

bool is_killed_after(std::uint64_t nanoseconds) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer{};
  itimerspec when{};
  when.it_value.tv_nsec = static_cast<long>(nanoseconds + 1);
  return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &when, nullptr) == 0;
}

// --- the server ---

// What it has. Whenever no client lives it is the same.
constexpr const char* counted[] = {"bytes",   "blocks", "buffers",     "handles", "clients",
                                   "exports", "peers",  "descriptors", "threads"};
using Counts = std::array<std::uint64_t, std::size(counted)>;

class Server {
 public:
  Server() {
    backing::DataFile& data = zone_.backing();
    madvise(*data.cpu_pointer(0), static_cast<std::size_t>(data.size().value()), MADV_DONTFORK);  // clients get files
    kept_ = *device_.allocate(own_, {.size = 3 * page});
    std::ranges::fill(bytes_of(kept_), std::byte{0x5a});
  }

  // That many clients live and die. False where they stop doing so.
  bool run(std::uint64_t clients) {
    const std::uint64_t imported = done_[2];
    if (!run_all(clients)) return false;
    const bool is_short = done_[2] - imported < clients;  // they live too short here to get far
    if (is_short && longest_life_ < 400'000'000) longest_life_ *= 2;
    return true;
  }

  Counts counts() {
    const Stats stats = zone_.stats();
    return {stats.used.value(), stats.blocks,     device_.buffer_count(), device_.usage(own_)->handles, device_.client_count(),
            exports_.count(),   peers_.count(),   open_fds(),             threads()};
  }

  // While no client lives: nothing is left of any, and the server goes on.
  void check(const Counts& before) {
    const Counts now = counts();
    for (std::size_t at = 0; at < now.size(); ++at) {
      if (now[at] != before[at]) f7.note(f7.leaked, "server", counted[at]);
    }
    if (waitpid(-1, nullptr, WNOHANG) != -1) f7.note(f7.leaked, "server", "a child");
    if (!is_all(bytes_of(kept_), std::byte{0x5a})) f7.note(f7.corrupt, "server", "its own buffer");
    const auto rest = device_.allocate(own_, {.size = zone_.stats().free});
    if (!rest) return f7.note(f7.unusable, "server", "not all of the zone is to be had");
    if (!is_all(bytes_of(*rest), std::byte{0})) f7.note(f7.corrupt, "server", "a new buffer is not zeros");
    static_cast<void>(device_.free(own_, *rest));
  }

  // What they did until they were killed.
  void print() const {
    if (done_[2] == 0 && f7.runs >= 1'000) f7.note(f7.unusable, "server", "nobody imported anything");
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("  %llu clients connected; %llu buffers, %llu offered, %llu imported, %llu dropped; refused %llu\n",
                number(welcomed_), number(done_[0]), number(done_[1]), number(done_[2]), number(done_[3]), number(done_[4]));
  }

 private:
  using Clients = Peers<Shared, most_peers, 48, lock::Mutex>;
  struct Guest {
    PeerId peer;
    ClientId client;
  };
  static constexpr time_t most_idle = 60;  // seconds

  bool run_all(std::uint64_t clients) {
    std::uint64_t left = clients;
    for (time_t last_death = time(nullptr); left != 0 || living_ != 0;) {
      for (; living_ < at_once && left != 0; --left) start();
      const std::uint64_t died = f7.runs;
      wait();
      turn();
      if (f7.runs != died) last_death = time(nullptr);
      if (time(nullptr) - last_death > most_idle) return f7.note(f7.unusable, "server", "no client dies any more"), false;
    }
    turn();  // those who connected just before they died
    return true;
  }

  void start() {
    const std::uint64_t life = random_.below(longest_life_);
    const std::uint64_t number = random_.next();
    const pid_t child = fork();
    if (child != 0) return child > 0 ? void(++living_) : f7.note(f7.unusable, "server", "no process");
    if (!is_killed_after(life)) _exit(no_timer);
    syscall(SYS_close_range, 3U, ~0U, 0U);
    auto connection = door_.connect();
    if (!connection) _exit(no_server);
    Client(*std::move(connection), number).live();
  }

  void wait() {
    std::array<pollfd, most_peers + 1> all{};
    nfds_t count = 0;
    all[count++] = {door_.fd(), POLLIN, 0};
    for (const auto& guest : guests_) {
      if (guest) all[count++] = {peers_.connection(guest->peer)->fd(), POLLIN, 0};
    }
    static_cast<void>(poll(all.data(), count, living_ == at_once ? 10 : 1));
  }
  void turn() {
    part();
    welcome();
    for (const auto& guest : guests_) {
      if (guest) serve(*guest);
    }
    part();
    bury();
  }

  void welcome() {
    while (auto connection = door_.accept()) {
      auto who = connection->peer();
      if (!who) continue;  // he died meanwhile
      const auto peer = peers_.join(*std::move(connection), std::move(who->process));
      if (!peer) return f7.note(f7.unusable, "server", "no place for a peer");
      const auto client = device_.open_for(who->pid, {.quota = {.bytes = 20 * page}});
      if (!client) return f7.note(f7.unusable, "server", "no client");
      guests_[peer->place] = Guest{*peer, *client};
      ++welcomed_;
    }
  }

  // Whoever is gone leaves what he had.
  void part() {
    std::vector<BufferId> returned;
    peers_.reap(
        Timeout::milliseconds(0), [&](const Clients::Departure&, Shared::Ref ref) { returned.push_back(ref.id()); },
        [&](const Clients::Departure& departure, std::size_t) {
          auto& guest = guests_[departure.peer.place];
          if (guest && !device_.close(guest->client)) f7.note(f7.corrupt, "server", "a client was closed already");
          guest.reset();
        });
    for (const BufferId id : returned) forget(id);
  }

  void bury() {
    int status = 0;
    while (waitpid(-1, &status, WNOHANG) > 0) {
      --living_;
      ++f7.runs;
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) continue;
      f7.note(f7.corrupt, "client", WIFEXITED(status) ? wrong_text[WEXITSTATUS(status) % std::size(wrong_text)] : "a signal");
    }
  }

  // One question of his, if there is one.
  void serve(const Guest& guest) {
    const Connection& connection = *peers_.connection(guest.peer);
    auto asked = connection.receive<Ask, 1>(0, Waiting::no);
    if (!asked) return;
    const Ask& ask = asked->record;
    const bool is_done = ask.what == What::allocate ? allocate(guest, ask)
                         : ask.what == What::offer  ? offer(guest, ask)
                         : ask.what == What::import ? import(guest, ask, asked->fds[0])
                                                    : drop(guest, ask);
    ++done_[is_done ? static_cast<std::size_t>(ask.what) : 4];
    if (!is_done) answer(guest.peer, {});
  }

  bool allocate(const Guest& guest, const Ask& ask) {
    const auto handle = device_.allocate(guest.client, {.size = ask.size});
    if (!handle) return false;
    const auto exported = give(guest.peer, device_.share(guest.client, *handle));
    if (!exported) return static_cast<void>(device_.free(guest.client, *handle)), false;
    return answer(guest.peer, {What::allocate, handle->value(), exported->record(), 0}, exported->fd);
  }

  // To somebody else, whoever comes next in the list.
  bool offer(const Guest& guest, const Ask& ask) {
    for (std::size_t step = 1; step < most_peers; ++step) {
      const auto& other = guests_[(guest.peer.place + step) % most_peers];
      if (!other) continue;
      const auto exported = give(other->peer, device_.share(guest.client, Handle(ask.handle)));
      if (!exported) return false;
      answer(other->peer, {What::offer, 0, exported->record(), ask.mark}, exported->fd);
      return answer(guest.peer, {What::offer, 0, {}, 0});
    }
    return false;
  }

  bool import(const Guest& guest, const Ask& ask, int fd) {
    const auto found = exports_.find(fd, ask.offset);
    if (!found) return f7.note(f7.corrupt, "server", "a file that somebody has is not known"), false;
    const auto handle = device_.import(guest.client, found->buffer);
    if (handle) return answer(guest.peer, {What::import, handle->value(), {}, 0});
    take_back(guest.peer, found->buffer.id());
    return false;
  }

  bool drop(const Guest& guest, const Ask& ask) {
    const auto ref = device_.share(guest.client, Handle(ask.handle));
    if (!ref || !device_.free(guest.client, Handle(ask.handle))) {
      return f7.note(f7.corrupt, "server", "a handle that somebody has is not known"), false;
    }
    take_back(guest.peer, ref->id());
    return answer(guest.peer, {What::drop, 0, {}, 0});
  }

  // The buffer is his too, be it told to him or not, until he gives it back or is gone; and its file is known.
  Result<Exported> give(PeerId to, Result<Shared::Ref> buffer) {
    if (!buffer) return buffer.error();
    const BufferId id = buffer->id();
    auto exported = export_block(zone_, buffer->parts().blocks[0], FileAccess::read_write);
    auto more = device_.ref(id);
    if (!exported || !more) return f7.note(f7.unusable, "server", "no export"), ErrorCode::no_buffer;
    const auto put = exports_.put(*std::move(more), *exported);
    const auto given = put ? peers_.give(to, *std::move(buffer)) : put;
    if (!given) return forget(id), given.error();
    return exported;
  }
  void take_back(PeerId from, BufferId id) {
    if (!peers_.take_back(from, id)) f7.note(f7.corrupt, "server", "he does not have what he gave back");
    forget(id);
  }
  // Its file is not known any more once no peer has it.
  void forget(BufferId id) {
    std::size_t holders = 0;
    peers_.for_each_holder(id, [&](PeerId, std::uint32_t) { ++holders; });
    if (holders == 0) exports_.withdraw(id);
  }

  // Whoever does not read, or is gone, does not get it. (true)
  bool answer(PeerId to, const Answer& said, const backing::OwnedFd& fd) {
    static_cast<void>(peers_.connection(to)->send(said, fd, Waiting::no));
    return true;
  }
  bool answer(PeerId to, const Answer& said) {
    static_cast<void>(peers_.connection(to)->send(said, {}, Waiting::no));
    return true;
  }

  std::span<std::byte> bytes_of(Handle handle) { return zone_.data(device_.share(own_, handle)->parts().blocks[0]); }
  static bool is_all(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
  }

  Frames zone_ = std::move(*Frames::create({.name = "frames", .size = 96 * page}));
  MinimalPlatform platform_;
  Shared device_{zone_, platform_, TagKey{seed(), 7}};
  ClientId own_ = *device_.open();
  Handle kept_;
  Exports<Shared, limits.buffers, lock::Mutex> exports_{device_};
  Clients peers_;
  Door door_;
  std::array<std::optional<Guest>, most_peers> guests_;  // by the peer's place
  std::uint64_t living_ = 0;                             // children that were not waited for
  std::uint64_t welcomed_ = 0;
  std::array<std::uint64_t, 5> done_{};                  // as What counts
  std::uint64_t longest_life_ = 2'000'000;               // of a client, in nanoseconds
  Random random_{seed()};
};

// All of one server, so that what wears out with use does; a look after each 500.
int run_long() {
  const auto server = std::make_unique<Server>();
  const Counts before = server->counts();
  const int status = go_on("clients", 0, [&](std::uint64_t) -> std::uint64_t {
    if (server->run(500)) server->check(before);
    if (f7.is_good()) return 500;
    f7.print();
    std::exit(1);
  });
  if (f7.runs != 0) server->print();
  return status;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) return run_long();
  const std::uint64_t clients = environment("FREESTONE_TEST_STEPS", 10'000);
  const std::uint64_t between = std::max<std::uint64_t>(clients / 20, 1);  // a look that often
  static_cast<void>(seed());
  const std::uint64_t fds = open_fds();
  {
    const auto server = std::make_unique<Server>();
    const Counts before = server->counts();
    while (f7.runs < clients && server->run(std::min(between, clients - f7.runs))) server->check(before);
    server->print();
  }
  if (open_fds() != fds) f7.note(f7.leaked, "the program", "a descriptor");
  return f7.print() ? 0 : 1;
}
