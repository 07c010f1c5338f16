#include <freestone/share/os/ranked.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/wait.h>

#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/child.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

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

struct Four {
  Own<LockRank::clients> clients;
  Own<LockRank::client> client;
  Own<LockRank::buffers> buffers;
  Own<LockRank::accounts> accounts;
};

template <class A, class B>
bool may_follow(A& first, B& second) {
  return last_words([&] {
           const typename A::Turn one(first);
           const typename B::Turn other(second);
         }) == "lived";
}

}  // namespace

TEST_CASE("locks in their order, and each order that is none is caught with a sentence") {
  Four all;
  Four others;
  CHECK(may_follow(all.clients, all.client));
  CHECK(may_follow(all.clients, all.accounts));
  CHECK(may_follow(all.client, all.buffers));
  CHECK(may_follow(all.buffers, all.accounts));
  CHECK(!may_follow(all.client, all.clients));
  CHECK(!may_follow(all.accounts, all.clients));
  CHECK(!may_follow(all.accounts, all.buffers));
  CHECK(!may_follow(all.client, others.client));  // of one rank one at a time: whoever holds another's may come the other way
  CHECK(!may_follow(all.clients, others.clients));
  const std::string words = last_words([&] {
    const Own<LockRank::buffers>::Turn one(all.buffers);
    const Own<LockRank::clients>::Turn other(all.clients);
  });
  CHECK(words ==
        "freestone: a thread that holds the lock 'buffers' takes 'clients': that is not the order of LockRank "
        "(share/locks.hpp)\n");
  const std::string given = last_words([&] {
    std::uint64_t space[Looking::At<LockRank::client>::words];
    auto lock = Looking::At<LockRank::client>::format(space);
    lock.unlock();
  });
  CHECK(given == "freestone: a thread gives back the lock 'client', which it does not hold\n");
}

TEST_CASE("what was given back may be taken again, and threads do not see each other's") {
  Four all;
  for (int round = 0; round < 3; ++round) {
    { const Own<LockRank::accounts>::Turn one(all.accounts); }
    const Own<LockRank::clients>::Turn other(all.clients);
    std::thread([&] { const Own<LockRank::client>::Turn mine(all.client); }).join();
    std::thread([&] { Four own; const Own<LockRank::clients>::Turn mine(own.clients); }).join();
  }
  CHECK(detail::held_ranks == 0);
}

TEST_CASE("a device under threads keeps the order") {
  using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::Mutex, cache::Coherent>;
  constexpr ShareLimits few{.clients = 6, .owners = 4, .buffers = 32, .handles = 16, .blocks = 2};
  using D = Device<Pages, MinimalPlatform, few, scrub::Zero, Looking>;
  auto zone = Pages::create({.name = "pages", .size = 512_KiB});
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
