#include <freestone/share/os/peers.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/ranked.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/listener.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Frames = Zone<backing::DataFile, strategy::Bitmap, lock::Mutex, cache::Coherent>;
constexpr ShareLimits few{.clients = 4, .owners = 4, .buffers = 64, .handles = 64, .blocks = 1};
using D = Device<Frames, MinimalPlatform, few, scrub::Zero, Ranked<lock::Mutex>>;
using Few = Peers<D, 4, 24, Ranked<lock::Mutex>::At<LockRank::peers>>;

struct World {
  Frames zone = std::move(*Frames::create({.name = "frames", .size = 512_KiB}));
  MinimalPlatform platform = {};
  D device{zone, platform, TagKey{1, 2}};
  ClientId client = *device.open();

  Result<D::Ref> try_buffer(Bytes size) {
    const auto handle = device.allocate(client, {.size = size});
    if (!handle) return handle.error();
    auto ref = device.share(client, *handle);
    static_cast<void>(device.free(client, *handle));
    return ref;
  }
  D::Ref buffer(Bytes size = 4_KiB) {
    auto ref = try_buffer(size);
    REQUIRE(ref);
    return *std::move(ref);
  }
};

backing::OwnedFd pidfd_of(pid_t pid) { return backing::OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

// A process that does what is said, with its end of a connection; and our end.
struct Child {
  pid_t pid;
  Connection connection;
};
template <class Act>
Child child_with(Act&& act) {
  auto ends = Connection::pair();
  REQUIRE(ends);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(60);
    { const Connection other = std::move(ends->here); }
    act(ends->there);
    _exit(0);
  }
  REQUIRE(pid > 0);
  return {pid, std::move(ends->here)};
}
void wait_for(Connection& connection) { static_cast<void>(connection.receive<std::uint64_t>()); }

struct Seen {
  std::vector<Few::Departure> departures;
  std::vector<std::size_t> counts;
  std::vector<BufferId> returned;
};
std::size_t reap(Few& peers, Timeout timeout, Seen& seen) {
  return peers.reap(
      timeout, [&](const Few::Departure&, D::Ref ref) { seen.returned.push_back(ref.id()); },
      [&](const Few::Departure& departure, std::size_t count) {
        seen.departures.push_back(departure);
        seen.counts.push_back(count);
      });
}

}  // namespace

TEST_CASE("what a process had comes back when it dies, and it is said whose and which") {
  const std::size_t before = open_fds();
  {
    World world;
    Few peers;
    Child child = child_with(wait_for);
    const auto peer = peers.join(std::move(child.connection), pidfd_of(child.pid));
    REQUIRE(peer);
    auto one = world.buffer();
    auto other = world.buffer();
    const BufferId ids[] = {one.id(), other.id()};
    auto more = world.device.ref(ids[0]);
    REQUIRE(peers.give(*peer, std::move(one)));
    REQUIRE(peers.give(*peer, std::move(other)));
    REQUIRE(peers.give(*peer, *std::move(more)));
    CHECK(peers.held_by(*peer) == 2);
    std::uint32_t times = 0;
    peers.for_each_holder(ids[0], [&](PeerId who, std::uint32_t often) { times += who == *peer ? often : 100; });
    CHECK(times == 2);
    Seen seen;
    CHECK(reap(peers, Timeout::milliseconds(0), seen) == 0);
    CHECK(world.device.buffer_count() == 2);
    REQUIRE(kill(child.pid, SIGKILL) == 0);
    CHECK(reap(peers, Timeout::forever(), seen) == 1);
    REQUIRE(waitpid(child.pid, nullptr, 0) == child.pid);
    REQUIRE(seen.departures.size() == 1);
    CHECK(seen.departures[0].peer == *peer);
    CHECK(seen.departures[0].how != PeerEnd::dismissed);
    CHECK(seen.counts[0] == 2);
    CHECK(seen.returned == std::vector<BufferId>(ids, ids + 2));
    CHECK(world.device.buffer_count() == 0);
    CHECK(world.zone.stats().used == 0);
    CHECK(peers.count() == 0);
    CHECK(code_of(peers.take_back(*peer, ids[0])) == ErrorCode::connection_ended);
    CHECK(code_of(peers.give(*peer, world.buffer())) == ErrorCode::connection_ended);
    CHECK(peers.connection(*peer) == nullptr);
  }
  CHECK(open_fds() == before);
}

TEST_CASE("what was given twice is taken back twice, and no more often") {
  World world;
  Few peers;
  auto ends = Connection::pair();
  auto others = Connection::pair();
  const PeerId peer = *peers.join(std::move(ends->here));
  const PeerId other = *peers.join(std::move(others->here));
  auto ref = world.buffer();
  const BufferId id = ref.id();
  auto again = world.device.ref(id);
  auto third = world.device.ref(id);
  CHECK(code_of(peers.give(peer, D::Ref())) == ErrorCode::no_buffer);
  REQUIRE(peers.give(peer, std::move(ref)));
  REQUIRE(peers.give(peer, *std::move(again)));
  REQUIRE(peers.give(other, *std::move(third)));
  CHECK(peers.take_back(peer, id));
  CHECK(peers.take_back(peer, id));
  CHECK(code_of(peers.take_back(peer, id)) == ErrorCode::no_buffer);  // the other's he does not get
  CHECK(world.device.buffer_count() == 1);
  CHECK(peers.take_back(other, id));
  CHECK(world.device.buffer_count() == 0);
  CHECK(code_of(peers.take_back({9, 1}, id)) == ErrorCode::connection_ended);
  CHECK(code_of(peers.take_back({}, id)) == ErrorCode::connection_ended);
}

TEST_CASE("the end of the connection is enough, and so is the death of the process") {
  const std::size_t before = open_fds();
  {
    World world;
    Few peers;
    // He lives on without it.
    std::uint64_t go = 0;
    auto guard = Connection::pair();
    Child quiet = child_with([&](Connection& connection) {
      { const Connection closed = std::move(connection); }
      wait_for(guard->there);
    });
    const PeerId first = *peers.join(std::move(quiet.connection), pidfd_of(quiet.pid));
    REQUIRE(peers.give(first, world.buffer()));
    Seen seen;
    CHECK(reap(peers, Timeout::forever(), seen) == 1);
    CHECK(seen.departures[0].how == PeerEnd::connection_ended);
    CHECK(seen.returned.size() == 1);
    CHECK(kill(quiet.pid, 0) == 0);
    REQUIRE(guard->here.send(go));
    REQUIRE(waitpid(quiet.pid, nullptr, 0) == quiet.pid);

    // He sends his own end to us, so that it does not end with him.
    Child sly = child_with([](Connection& connection) {
      const int own = connection.fd();
      static_cast<void>(connection.send(std::uint64_t{1}, std::span<const int>(&own, 1)));
    });
    const PeerId second = *peers.join(std::move(sly.connection), pidfd_of(sly.pid));
    REQUIRE(peers.give(second, world.buffer()));
    CHECK(reap(peers, Timeout::forever(), seen) == 1);
    CHECK(seen.departures[1].how == PeerEnd::process_died);
    CHECK(seen.departures[1].peer == second);
    REQUIRE(waitpid(sly.pid, nullptr, 0) == sly.pid);
    CHECK(world.device.buffer_count() == 0);
  }
  CHECK(open_fds() == before);
}

TEST_CASE("the peers are full, or the table of what they have is, and nothing changes") {
  World world;
  Few peers;
  std::vector<Connection> far;
  std::vector<PeerId> ids;
  for (int at = 0; at < 4; ++at) {
    auto ends = Connection::pair();
    far.push_back(std::move(ends->there));
    ids.push_back(*peers.join(std::move(ends->here)));
  }
  auto ends = Connection::pair();
  const std::size_t before = open_fds();
  CHECK(code_of(peers.join(std::move(ends->here))) == ErrorCode::too_many_peers);
  CHECK(ends->here.fd() >= 0);
  CHECK(open_fds() == before);
  for (std::size_t at = 0; at < 24; ++at) REQUIRE(peers.give(ids[at % 4], world.buffer()));
  auto ref = world.buffer();
  CHECK(code_of(peers.give(ids[0], std::move(ref))) == ErrorCode::too_many_holds);
  CHECK(ref);
  CHECK(peers.dismiss(ids[1]));
  CHECK(code_of(peers.dismiss(ids[1])) == ErrorCode::connection_ended);
  CHECK(far[1].has_ended());
  CHECK(world.device.buffer_count() == 19);
  const auto next = peers.join(std::move(ends->here));
  REQUIRE(next);
  CHECK(next->place == ids[1].place);
  CHECK(code_of(peers.give(ids[1], std::move(ref))) == ErrorCode::connection_ended);
  CHECK(peers.give(*next, std::move(ref)));
  CHECK(peers.held_by(*next) == 1);
  CHECK(peers.held_by(ids[1]) == 0);
}

TEST_CASE("whoever is told of what comes back may keep it, and call") {
  World world;
  Few peers;
  auto ends = Connection::pair();
  auto others = Connection::pair();
  const PeerId peer = *peers.join(std::move(ends->here));
  const PeerId other = *peers.join(std::move(others->here));
  for (int at = 0; at < 3; ++at) REQUIRE(peers.give(peer, world.buffer()));
  { const Connection gone = std::move(ends->there); }
  std::vector<D::Ref> kept;
  CHECK(peers.reap(
            Timeout::forever(),
            [&](const Few::Departure& departure, D::Ref ref) {
              CHECK(code_of(peers.give(departure.peer, *world.device.ref(ref.id()))) == ErrorCode::connection_ended);
              CHECK(peers.give(other, *world.device.ref(ref.id())));
              kept.push_back(std::move(ref));
            },
            [](const Few::Departure&, std::size_t count) { CHECK(count == 3); }) == 1);
  CHECK(world.device.buffer_count() == 3);
  CHECK(peers.dismiss(other));
  CHECK(world.device.buffer_count() == 3);
  kept.clear();
  CHECK(world.device.buffer_count() == 0);
}

TEST_CASE("reap waits as long as it is told, and no longer than until somebody is gone") {
  World world;
  Few peers;
  Seen seen;
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
  };
  const std::int64_t begin = now();
  CHECK(reap(peers, Timeout::milliseconds(30), seen) == 0);
  CHECK(now() - begin >= 29);
  Child child = child_with([](Connection&) { usleep(50'000); });
  REQUIRE(peers.join(std::move(child.connection), pidfd_of(child.pid)));
  CHECK(reap(peers, Timeout::milliseconds(30'000), seen) == 1);
  CHECK(now() - begin < 20'000);
  REQUIRE(waitpid(child.pid, nullptr, 0) == child.pid);
}

TEST_CASE("who reads no more is gone, though his connection has not ended and he lives") {
  const std::size_t before = open_fds();
  {
    World world;
    Few peers;
    Seen seen;
    auto ends = Connection::pair();
    const PeerId peer = *peers.join(std::move(ends->here), backing::OwnedFd(-1));
    REQUIRE(peers.give(peer, world.buffer()));
    REQUIRE(peers.send(peer, std::uint64_t{1}));
    CHECK(ends->there.receive<std::uint64_t>()->record == 1);
    CHECK(reap(peers, Timeout::milliseconds(0), seen) == 0);
    REQUIRE(shutdown(ends->there.fd(), SHUT_RD) == 0);
    CHECK(reap(peers, Timeout::milliseconds(0), seen) == 0);  // nobody has told it
    CHECK(code_of(peers.send(peer, std::uint64_t{2})) == ErrorCode::connection_ended);
    CHECK(peers.held_by(peer) == 1);  // what he had is there until he is reaped
    CHECK(peers.connection(peer) != nullptr);
    CHECK(reap(peers, Timeout::forever(), seen) == 1);
    CHECK(seen.departures[0].peer == peer);
    CHECK(seen.departures[0].how == PeerEnd::connection_ended);
    CHECK(world.device.buffer_count() == 0);
    CHECK(code_of(peers.send(peer, std::uint64_t{3})) == ErrorCode::connection_ended);
    CHECK(code_of(peers.send(PeerId(), std::uint64_t{3})) == ErrorCode::connection_ended);

    // The next in that place starts afresh.
    auto others = Connection::pair();
    const PeerId next = *peers.join(std::move(others->here), backing::OwnedFd(-1));
    CHECK(next.place == peer.place);
    CHECK(reap(peers, Timeout::milliseconds(0), seen) == 0);
    CHECK(peers.dismiss(next));
  }
  CHECK(open_fds() == before);
}

TEST_CASE("who reads nothing keeps no server waiting, and is still a peer") {
  World world;
  Few peers;
  auto ends = Connection::pair();
  const PeerId peer = *peers.join(std::move(ends->here), backing::OwnedFd(-1));
  const auto exported = export_zone(world.zone, FileAccess::read_write);
  Result<void> sent;
  while ((sent = peers.send(peer, exported->record(), exported->fd))) {
  }
  CHECK(sent.error().os_error == EAGAIN);
  CHECK(peers.reap(Timeout::milliseconds(0)) == 0);
  CHECK(ends->there.receive<ExportRecord, 1>());
  CHECK(peers.dismiss(peer));
}

TEST_CASE("one wait is for what they send and for who is gone") {
  World world;
  Few peers;
  Seen seen;
  peers.wait(Timeout::milliseconds(1));  // nobody is there
  auto ends = Connection::pair();
  const PeerId peer = *peers.join(std::move(ends->here), backing::OwnedFd(-1));
  Child child = child_with(wait_for);
  const PeerId mortal = *peers.join(std::move(child.connection), pidfd_of(child.pid));

  std::vector<std::pair<int, short>> events;
  peers.for_each_event([&](int fd, short what) { events.emplace_back(fd, what); });
  REQUIRE(events.size() == 3);  // two connections and a process
  CHECK(events[0].first == peers.connection(peer)->fd());
  CHECK(events[1].first == peers.connection(mortal)->fd());
  for (const auto& [fd, what] : events) CHECK((fd >= 0 && (what & POLLIN) != 0));

  std::thread sender([&] { usleep(20'000), static_cast<void>(ends->there.send(std::uint64_t{9})); });
  peers.wait(Timeout::forever());
  CHECK(peers.connection(peer)->receive<std::uint64_t>(0, Waiting::no)->record == 9);
  sender.join();
  CHECK(reap(peers, Timeout::milliseconds(0), seen) == 0);
  std::thread killer([&] { usleep(20'000), kill(child.pid, SIGKILL); });
  peers.wait(Timeout::forever());
  killer.join();
  CHECK(reap(peers, Timeout::milliseconds(0), seen) == 1);
  CHECK(seen.departures[0].peer == mortal);
  REQUIRE(waitpid(child.pid, nullptr, 0) == child.pid);
  { const Connection gone = std::move(ends->there); }
  peers.wait(Timeout::forever());
  CHECK(reap(peers, Timeout::milliseconds(0), seen) == 1);
}

TEST_CASE("reap waits for many peers without processes where few files may be open") {
  CHECK(holds_in_child([] {
    using Many = Peers<D, 64, 4, lock::Mutex>;
    const auto peers = std::make_unique<Many>();
    std::vector<Connection> far;
    for (int at = 0; at < 40; ++at) {
      auto ends = Connection::pair();
      far.push_back(std::move(ends->there));
      if (!peers->join(std::move(ends->here), backing::OwnedFd(-1))) return false;
    }
    const rlimit few_files{60, 60};
    setrlimit(RLIMIT_NOFILE, &few_files);
    timespec begin{}, end{};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const bool is_nobody_gone = peers->reap(Timeout::milliseconds(100)) == 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    return is_nobody_gone && (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1'000'000 >= 99;
  }));
}

TEST_CASE("whoever is told who goes may let others go, and others come") {
  World world;
  Few peers;
  std::vector<Connection> far;
  std::vector<PeerId> ids;
  const auto come = [&] {
    auto ends = Connection::pair();
    const auto peer = peers.join(std::move(ends->here), backing::OwnedFd(-1));
    if (!peer) return false;
    far.push_back(std::move(ends->there));
    ids.push_back(*peer);
    return static_cast<bool>(peers.give(*peer, world.buffer()));
  };
  for (int at = 0; at < 3; ++at) REQUIRE(come());
  REQUIRE(peers.give(ids[0], world.buffer()));
  const PeerId gone = ids[0], other = ids[2];
  { const Connection end = std::move(far[0]); }
  int told = 0;
  CHECK(peers.reap(
            Timeout::forever(),
            [&](const Few::Departure& departure, D::Ref) {
              CHECK(departure.peer == gone);
              CHECK(code_of(peers.dismiss(gone)) == ErrorCode::connection_ended);
              if (told == 0) CHECK(peers.dismiss(other));
              ++told;
              CHECK(come());
            },
            [&](const Few::Departure& departure, std::size_t count) {
              CHECK(departure.peer == gone);
              CHECK(count == 2);
              CHECK(come());  // in his place
              CHECK(ids.back().place == gone.place);
            }) == 1);
  CHECK(told == 2);
  CHECK(peers.count() == 4);
  CHECK(world.device.buffer_count() == 4);
  CHECK(peers.held_by(ids.back()) == 1);
  CHECK(peers.reap(Timeout::milliseconds(0)) == 0);
}

TEST_CASE("whoever joins, is given, gives back and goes: the counts are the model's") {
  Random random(seed());
  const std::size_t before = open_fds();
  for (int round = 0; round < 10; ++round) {
    World world;
    Few peers;
    struct Model {
      std::optional<Connection> far = {};
      std::map<std::uint32_t, std::pair<BufferId, std::uint32_t>> held = {};
    };
    std::map<std::uint32_t, std::pair<PeerId, Model>> model;  // by place
    const auto entries = [&] {
      std::size_t count = 0;
      for (const auto& [place, one] : model) count += one.second.held.size();
      return count;
    };
    const auto live = [&] {
      std::map<std::uint32_t, int> ids;
      for (const auto& [place, one] : model) {
        for (const auto& [buffer, held] : one.second.held) ++ids[buffer];
      }
      return ids.size();
    };
    for (int step = 0; step < 1'000; ++step) {
      const auto what = random.below(100);
      auto at = model.begin();
      if (!model.empty()) std::advance(at, static_cast<int>(random.below(model.size())));
      if (model.empty() || what < 8) {
        auto ends = Connection::pair();
        const auto peer = peers.join(std::move(ends->here));
        CHECK(static_cast<bool>(peer) == (model.size() < 4));
        if (!peer) continue;
        auto& one = model[peer->place];
        one.first = *peer;
        one.second.far.emplace(std::move(ends->there));
      } else if (what < 50) {
        auto& [peer, one] = at->second;
        D::Ref ref;
        const auto& from = model[random.chance(50) ? at->first : model.begin()->first].second.held;
        if (!from.empty() && random.chance(50)) ref = *world.device.ref(from.begin()->second.first);
        else ref = world.buffer();
        const BufferId id = ref.id();
        const bool fits = one.held.contains(id.place) || entries() < 24;
        CHECK(static_cast<bool>(peers.give(peer, std::move(ref))) == fits);
        CHECK(static_cast<bool>(ref) == !fits);
        if (fits) one.held.try_emplace(id.place, id, 0).first->second.second++;
      } else if (what < 90) {
        auto& [peer, one] = at->second;
        auto& other = std::next(at) == model.end() ? model.begin()->second.second : std::next(at)->second.second;
        if (other.held.empty()) continue;
        const BufferId id = other.held.begin()->second.first;
        const bool has = one.held.contains(id.place);
        CHECK(code_of(peers.take_back(peer, id)) == (has ? ErrorCode::none : ErrorCode::no_buffer));
        if (has && --one.held[id.place].second == 0) one.held.erase(id.place);
      } else {
        std::vector<BufferId> expected;
        for (const auto& [place, held] : at->second.second.held) expected.push_back(held.first);
        Seen seen;
        if (what < 95) {
          at->second.second.far.reset();
          CHECK(reap(peers, Timeout::forever(), seen) == 1);
          CHECK(seen.departures[0].peer == at->second.first);
          CHECK(seen.counts[0] == expected.size());
          std::ranges::sort(seen.returned, {}, &BufferId::place);
          CHECK(seen.returned == expected);
        } else {
          CHECK(peers.dismiss(at->second.first));
        }
        model.erase(at);
      }
      CHECK(peers.count() == model.size());
      for (const auto& [place, one] : model) CHECK(peers.held_by(one.first) == one.second.held.size());
      CHECK(world.device.buffer_count() == live());
    }
  }
  CHECK(open_fds() == before);
}

TEST_CASE("threads give and take back while the server reaps, and nothing is lost or counted twice") {
  const std::size_t before = open_fds();
  {
    World world;
    Few peers;
    std::uint32_t current[2] = {~0U, 0};  // the peer that threads use
    const auto load = [&] {
      return PeerId{__atomic_load_n(&current[0], __ATOMIC_ACQUIRE), __atomic_load_n(&current[1], __ATOMIC_ACQUIRE)};
    };
    std::uint32_t ends_now = 0;
    std::vector<std::thread> workers;
    for (int at = 0; at < 3; ++at) {
      workers.emplace_back([&] {
        while (__atomic_load_n(&ends_now, __ATOMIC_ACQUIRE) == 0) {
          auto ref = world.try_buffer(4_KiB);
          if (!ref) continue;
          const PeerId peer = load();
          const BufferId id = ref->id();
          if (!peers.give(peer, *std::move(ref))) continue;
          if (id.place % 2 == 0) static_cast<void>(peers.take_back(peer, id));
        }
      });
    }
    for (int round = 0; round < 200; ++round) {
      auto ends = Connection::pair();
      const auto peer = peers.join(std::move(ends->here));
      REQUIRE(peer);
      __atomic_store_n(&current[1], peer->generation, __ATOMIC_RELEASE);
      __atomic_store_n(&current[0], peer->place, __ATOMIC_RELEASE);
      usleep(200);
      { const Connection gone = std::move(ends->there); }
      CHECK(peers.reap(Timeout::forever()) == 1);
    }
    __atomic_store_n(&ends_now, 1U, __ATOMIC_RELEASE);
    for (std::thread& worker : workers) worker.join();
    CHECK(world.device.buffer_count() == 0);
  }
  CHECK(open_fds() == before);
}

// --- processes that are killed whenever it happens ---

namespace {

struct Ask {
  std::uint64_t what = 0;  // 0 a new buffer, 1 one that somebody has, 2 take this one back
  std::uint64_t size = 0;
  BufferId buffer = {};
};
struct Given {
  ExportRecord range = {};
  BufferId buffer = {};
  std::uint64_t is_new = 0;
};
static_assert(MessageRecord<Ask> && MessageRecord<Given>);

// Asks for buffers and gives back for ever. Its exit status is 0, or what is wrong.
int live(Connection& connection, std::uint64_t start) {
  Random random(start);
  std::vector<std::pair<BufferId, ImportedRange>> mine;
  for (std::uint64_t left = random.below(400); left != 0; --left) {
    if (mine.size() > 3 || (!mine.empty() && random.chance(40))) {
      const BufferId id = mine.back().first;
      mine.pop_back();
      if (!connection.send(Ask{2, 0, id})) return 2;
      continue;
    }
    if (!connection.send(Ask{random.below(2), 4096 * random.from_to(1, 4)})) return 2;
    auto got = connection.receive<Given, 1>(0);
    if (!got) return 3;
    if (got->fds.size() == 0) continue;
    auto range = ImportedRange::map(got->fds.take(0), got->record.range);
    if (!range) return 4;
    for (const std::byte byte : range->bytes()) {
      if (got->record.is_new != 0 && byte != std::byte{0}) return 5;  // a former owner's
    }
    if (got->record.is_new != 0) std::ranges::fill(range->writable(), std::byte{0xAA});  // (the others look)
    mine.emplace_back(got->record.buffer, *std::move(range));
  }
  return 0;
}

class Server {
 public:
  World world;
  Peers<D, 6, 48, lock::Mutex> peers;
  Exports<D, 64, lock::Mutex> exports{world.device};
  std::map<std::uint32_t, std::pair<PeerId, pid_t>> children;  // by place
  std::size_t departed = 0;
  int worst = 0;  // status of a child

  // A child that has the other end of a pair, or one that connects and whom the kernel names.
  void start(std::uint64_t number) {
    if (number % 2 == 0) {
      Child child = child_with([&](Connection& connection) { _exit(live(connection, number)); });
      return join(peers.join(std::move(child.connection), pidfd_of(child.pid)), child.pid);
    }
    const Listener listener;
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(60);
      auto connection = Connection::of(backing::OwnedFd(listener.connect()));
      _exit(connection ? live(*connection, number) : 6);
    }
    auto connection = listener.accept();
    REQUIRE(connection);
    CHECK(connection->peer()->pid == pid);
    join(peers.join(*std::move(connection)), pid);
  }
  void join(Result<PeerId> peer, pid_t pid) {
    REQUIRE(peer);
    children[peer->place] = {*peer, pid};
  }

  void serve(PeerId peer) {
    const Connection* const connection = peers.connection(peer);
    const auto ask = connection->receive<Ask>(0, Waiting::no);
    if (!ask) return;
    if (ask->record.what == 2) {
      CHECK(peers.take_back(peer, ask->record.buffer));
      return forget(ask->record.buffer);
    }
    if (!give(peer, ask->record)) static_cast<void>(connection->send(Given{}, {}, Waiting::no));
  }

  bool give(PeerId peer, const Ask& ask) {
    auto ref = ask.what == 0 ? world.try_buffer(ask.size) : shared();
    if (!ref || !*ref) return false;
    const BufferId id = ref->id();
    const auto exported = export_block(world.zone, ref->parts().blocks[0], FileAccess::read_write);
    REQUIRE(exported);
    REQUIRE(exports.put(*world.device.ref(id), *exported));
    const bool is_given = static_cast<bool>(peers.give(peer, *std::move(ref)));
    const Given said{exported->record(), id, ask.what == 0};
    if (is_given) static_cast<void>(peers.connection(peer)->send(said, exported->fd, Waiting::no));
    last_ = id;
    if (!is_given) forget(id);
    return is_given;
  }
  Result<D::Ref> shared() { return world.device.ref(last_); }

  // Nobody has it any more?
  void forget(BufferId id) {
    int holders = 0;
    peers.for_each_holder(id, [&](PeerId, std::uint32_t) { ++holders; });
    if (holders == 0) static_cast<void>(exports.withdraw(id));
  }

  std::size_t reap(Timeout timeout) {
    using Departure = decltype(peers)::Departure;
    std::vector<BufferId> returned;
    const std::size_t gone = peers.reap(
        timeout, [&](const Departure&, D::Ref ref) { returned.push_back(ref.id()); },
        [&](const Departure& departure, std::size_t) {
          const pid_t pid = children.at(departure.peer.place).second;
          int status = 0;
          CHECK(waitpid(pid, &status, 0) == pid);
          if (WIFEXITED(status)) worst = std::max(worst, WEXITSTATUS(status));
          children.erase(departure.peer.place);
          ++departed;
        });
    for (const BufferId id : returned) forget(id);
    return gone;
  }

 private:
  BufferId last_ = {};
};

}  // namespace

TEST_CASE("processes that are killed at any moment leave nothing: no buffer, no descriptor, no byte") {
  const std::size_t fds_before = open_fds();
  const std::size_t threads_before = threads();
  {
    Server server;
    Random random(seed());
    std::uint64_t started = 0;
    while (server.departed < 150) {
      while (server.children.size() < 5) server.start(random.next()), ++started;
      for (int turns = static_cast<int>(random.below(40)); turns > 0; --turns) {
        std::vector<PeerId> all;
        for (const auto& [place, child] : server.children) all.push_back(child.first);
        for (const PeerId peer : all) server.serve(peer);
      }
      usleep(static_cast<useconds_t>(random.below(300)));
      auto victim = server.children.begin();
      std::advance(victim, static_cast<int>(random.below(server.children.size())));
      kill(victim->second.second, SIGKILL);
      server.reap(random.chance(50) ? Timeout::milliseconds(0) : Timeout::milliseconds(1));
    }
    for (const auto& [place, child] : server.children) kill(child.second, SIGKILL);
    while (!server.children.empty()) server.reap(Timeout::forever());
    CHECK(server.departed == started);
    CHECK(server.worst == 0);
    CHECK(server.peers.count() == 0);
    CHECK(server.exports.count() == 0);
    CHECK(server.world.device.buffer_count() == 0);
    CHECK(server.world.zone.stats().used == 0);
  }
  CHECK(open_fds() == fds_before);
  CHECK(threads() == threads_before);
}
