#include <freestone/share/os/ranked.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/fenced_holds.hpp>
#include <freestone/share/names.hpp>
#include <freestone/share/view.hpp>
#include "support/boards.hpp"
#include "support/child.hpp"
#include "support/fences.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Looking = Ranked<lock::Mutex, true>;
template <LockRank rank>
using Own = OwnLock<Looking::At<rank>>;

static_assert(Lock<Looking::At<LockRank::client>>);
static_assert(std::is_same_v<Ranked<lock::Mutex, false>::At<LockRank::client>, lock::Mutex>);
static_assert(sizeof(OwnLock<Looking::At<LockRank::client>>) == sizeof(OwnLock<lock::Mutex>));
static_assert(std::is_empty_v<Ranked<lock::None, true>::At<LockRank::client>>);
static_assert(ranks_are_checked == !std::is_same_v<Ranked<lock::Mutex>::At<LockRank::client>, lock::Mutex>);

// What a child that does this says on stderr, and whether it was ended.
template <class Act>
std::string last_words(Act&& act) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = fork();
  if (child == 0) {
    for (const int number : {SIGABRT, SIGILL, SIGTRAP, SIGSEGV}) signal(number, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    alarm(10);
    act();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  for (char byte = 0; read(ends[0], &byte, 1) == 1;) words += byte;
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? words : "lived";
}

struct All {
  Own<LockRank::views> views;
  Own<LockRank::names> names;
  Own<LockRank::clients> clients;
  Own<LockRank::client> client;
  Own<LockRank::buffers> buffers;
  Own<LockRank::accounts> accounts;
  Own<LockRank::fences> fences;
  Own<LockRank::exports> exports;
  Own<LockRank::peers> peers;
};

// act(lock, where it comes) for each, in the order in which they may be taken.
template <class Act>
void for_each(All& all, Act&& act) {
  int at = 0;
  const auto each = [&](auto&... locks) { (act(locks, at++), ...); };
  each(all.views, all.names, all.clients, all.client, all.buffers, all.accounts, all.fences, all.exports, all.peers);
}

template <class A, class B>
bool may_follow(A& first, B& second) {
  return last_words([&] {
           const typename A::Turn one(first);
           const typename B::Turn other(second);
         }) == "lived";
}

using D = Shared<lock::Mutex, Looking>;

// What a platform shows and hides is nothing here.
struct Blank {
  template <class V>
  Result<void> show(V&, const ByteRange&) noexcept {
    return {};
  }
  template <class V>
  void hide(V&, const ByteRange&) noexcept {}
};

}  // namespace

TEST_CASE("locks in their order, and each order that is none is caught with a sentence") {
  All all;
  All others;
  for_each(all, [&](auto& first, int held) {
    // Of one rank one at a time: whoever holds another's may come the other way.
    for_each(others, [&](auto& second, int taken) {
      INFO(held << " and then " << taken);
      CHECK(may_follow(first, second) == (held < taken));
    });
  });
  const std::string words = last_words([&] {
    const Own<LockRank::buffers>::Turn one(all.buffers);
    const Own<LockRank::clients>::Turn other(all.clients);
  });
  CHECK(words ==
        "freestone: a thread that holds the lock 'buffers' takes 'clients': that is not the order of LockRank "
        "(share/locks.hpp)\n");
  const std::string of_others = last_words([&] {
    const Own<LockRank::views>::Turn one(all.views);
    const Own<LockRank::fences>::Turn held(all.fences);
    const Own<LockRank::names>::Turn other(all.names);
  });
  CHECK(of_others ==
        "freestone: a thread that holds the lock 'fences' takes 'names': that is not the order of LockRank "
        "(share/locks.hpp)\n");
  const std::string given = last_words([&] {
    std::uint64_t space[Looking::At<LockRank::client>::words];
    auto lock = Looking::At<LockRank::client>::format(space);
    lock.unlock();
  });
  CHECK(given == "freestone: a thread gives back the lock 'client', which it does not hold\n");
}

TEST_CASE("what was given back may be taken again, and threads do not see each other's") {
  All all;
  for (int round = 0; round < 3; ++round) {
    { const Own<LockRank::accounts>::Turn one(all.accounts); }
    const Own<LockRank::clients>::Turn other(all.clients);
    std::thread([&] { const Own<LockRank::client>::Turn mine(all.client); }).join();
    std::thread([&] { All own; const Own<LockRank::clients>::Turn mine(own.clients); }).join();
  }
  CHECK(detail::held_ranks == 0);
}

TEST_CASE("a device under threads keeps the order") {
  auto zone = Pages<lock::Mutex>::create({.name = "pages", .size = 512_KiB});
  REQUIRE(zone);
  {
    MinimalPlatform platform;
    D device(*zone, platform, TagKey{3, 4});
    const ClientId common = *device.open();
    const Handle root = *device.allocate(common, {.size = 4_KiB});
    const auto shared = device.share(common, root);
    std::vector<std::thread> threads;
    for (std::uint64_t at = 0; at < 4; ++at) {
      threads.emplace_back([&, at] {
        Random random(seed() + at);
        for (int round = 0; round < 60; ++round) {
          const auto mine = device.open({.quota = {.bytes = 400_KiB}});
          if (!mine) continue;
          std::vector<Handle> handles;
          for (int step = 0; step < 60; ++step) {
            const ClientId who = random.chance(80) ? *mine : common;
            const Handle handle = handles.empty() ? root : handles[static_cast<std::size_t>(random.below(handles.size()))];
            switch (random.below(8)) {
              case 0:
              case 1:
                if (const auto got = device.allocate(who, {.size = 4_KiB}); got && who == *mine) handles.push_back(*got);
                else if (got) static_cast<void>(device.free(common, *got));
                break;
              case 2: static_cast<void>(device.free(*mine, handle)); break;
              case 3:
                if (auto ref = device.share(who, handle)) {
                  static_cast<void>(device.import(common, *ref));
                  static_cast<void>(device.map(*ref, Mapper::cpu));
                }
                break;
              case 4: static_cast<void>(device.import(*mine, *shared)); break;
              case 5: static_cast<void>(device.map(who, handle, Mapper::device)); break;
              case 6: static_cast<void>(device.unmap(who, handle, Mapper::device)); break;
              default: static_cast<void>(device.usage(who)), static_cast<void>(device.info(who, handle)); break;
            }
          }
          static_cast<void>(device.close(*mine));
        }
        CHECK(detail::held_ranks == 0);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(device.client_count() == 1);
  }
  CHECK(zone->stats().used == 0);
}

TEST_CASE("what stands beside a device keeps the order, with the device's own locks inside and before its own") {
  Board<lock::Mutex, Looking> board;
  using Known = Names<D, 4, Looking::At<LockRank::names>>;
  using Waiting = FencedHolds<D, Flag, 4, Looking::At<LockRank::fences>>;
  Known names(board.device);
  Waiting waiting(board.device);
  std::array<std::atomic<bool>, 2> signalled = {};
  const auto work = [&](std::size_t number) {
    Random random(seed() + number);
    const int owner = static_cast<int>(number) + 2;
    const ClientId client = *board.device.open_for(owner);
    for (int step = 0; step < 2'000; ++step) {
      const BlockName<> name = random.chance(50) ? BlockName<>("one") : BlockName<>("other");
      const auto what = random.below(10);
      if (what < 4) {
        const auto handle = waiting.allocate(client, Constraints{.size = 4096});
        if (!handle) continue;
        if (auto ref = board.device.share(client, *handle)) {
          static_cast<void>(names.publish(owner, name, *ref, static_cast<NamePolicy>(random.below(2))));
          static_cast<void>(waiting.hold_until(*std::move(ref), Flag(signalled[number])));
        }
        static_cast<void>(board.device.free(client, *handle));
      } else if (what < 6) {
        if (auto ref = names.open(name)) static_cast<void>(waiting.hold_until(*std::move(ref), Flag(signalled[number])));
      } else if (what < 7) {
        static_cast<void>(names.withdraw(owner, name));
      } else if (what < 8) {
        names.for_each([&](const Known::Published& one) { static_cast<void>(names.withdraw(owner, one.name)); });
      } else {
        signalled[number] = !signalled[number];
        static_cast<void>(waiting.collect());
      }
    }
    signalled[number] = true;
    static_cast<void>(board.device.close(client));
    CHECK(detail::held_ranks == 0);
  };
  std::thread one(work, 0), other(work, 1);
  one.join();
  other.join();
  for (const char* left : {"one", "other"}) static_cast<void>(names.withdraw_any(*BlockName<>::of(left)));
  static_cast<void>(waiting.collect());
  CHECK(waiting.count() == 0);
  CHECK(board.buffers() == 0);
}

TEST_CASE("views' turn comes first: under it the owner lets go, and the buffer ends") {
  Board<lock::Mutex, Looking> board;
  Own<LockRank::views> lock;
  Blank screen;
  Views<D> views(board.buffer(), 4096);
  View<D> view;
  const auto in_turn = [&](auto&& act) {
    const Own<LockRank::views>::Turn turn(lock);
    return act();
  };
  CHECK(in_turn([&] { return views.connect(view, *board.device.ref(views.buffer().id())); }));
  CHECK(in_turn([&] { return views.grant(view, {0, 4096}, screen); }));
  CHECK(in_turn([&] { return view.map(4096, screen); }));
  in_turn([&] { views.revoke(screen); });
  CHECK(board.buffers() == 1);
  CHECK(in_turn([&] { return view.unmap(); }));
  CHECK(board.buffers() == 0);
  CHECK(detail::held_ranks == 0);
}
