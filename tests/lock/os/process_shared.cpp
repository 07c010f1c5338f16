#include <freestone/lock/os/process_shared.hpp>

#include <doctest/doctest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/concept.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/child.hpp"

using namespace freestone;

namespace {

using Words = std::array<std::uint64_t, lock::ProcessShared::words>;

// A thread that ends inside.
void die_inside(std::uint64_t* words) {
  std::thread([=] { lock::ProcessShared::attach(words).lock(); }).join();
}
void die_inside(Words& words) { die_inside(words.data()); }

using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;
using Unshared = Zone<backing::Borrowed, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;
constexpr ZoneOptions options{.name = "robust", .size = 64_KiB};
constexpr auto keep_all = [](std::uint8_t) { return true; };

template <class R>
ErrorCode code_of(const R& result) {
  return result ? ErrorCode::none : result.error().code;
}

// What the two calls that take a zone up both say.
ErrorCode refusal(const backing::MemoryFile::Source& source) {
  const ErrorCode code = code_of(Shared::attach(options, source));
  CHECK(code_of(Shared::attach_and_recover(options, source, keep_all)) == code);
  return code;
}

std::uint64_t* lock_words(std::span<std::uint64_t> notes) { return notes.data() + 8; }

// Does predicate() hold, in a process that is the first of a new PID namespace? 1 where there may be none, else 0 or 2.
template <class Predicate>
int answer_in_another_namespace(Predicate predicate) {
  const pid_t between = fork();
  if (between == 0) {
    alarm(20);
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) _exit(1);
    const pid_t first = fork();
    if (first == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(getpid() == 1 && predicate() ? 0 : 2);
    }
    int status = 0;
    _exit(first < 0 ? 1 : waitpid(first, &status, 0) == first && WIFEXITED(status) ? WEXITSTATUS(status) : 2);
  }
  int status = 0;
  return waitpid(between, &status, 0) == between && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

}  // namespace

TEST_CASE("one at a time, through any view of the words") {
  static_assert(Lock<lock::ProcessShared> && reports_death<lock::ProcessShared> && lock::ProcessShared::process_shared);
  Words words{};
  lock::ProcessShared::format(words.data());
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      lock::ProcessShared mine = lock::ProcessShared::attach(words.data());
      for (int i = 0; i < 20'000; ++i) {
        mine.lock();
        ++counter;
        mine.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter == 80'000);
}

TEST_CASE("a thread that ends inside is a dead holder, each time anew") {
  Words words{};
  lock::ProcessShared mine = lock::ProcessShared::format(words.data());
  for (int i = 0; i < 100; ++i) {
    die_inside(words);
    CHECK(mine.lock() == LastHolder::died);
    mine.unlock();
    CHECK(mine.lock() == LastHolder::left);
    mine.unlock();
  }
}

TEST_CASE("of those who wait while the holder dies exactly one is told, and all get in") {
  Words words{};
  lock::ProcessShared::format(words.data());
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> is_held = false;
    std::atomic<int> waiting = 0;
    std::atomic<int> told = 0;
    std::thread holder([&] {
      lock::ProcessShared::attach(words.data()).lock();
      is_held = true;
      while (waiting != 2) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    while (!is_held) std::this_thread::yield();
    const auto wait = [&] {
      lock::ProcessShared mine = lock::ProcessShared::attach(words.data());
      ++waiting;
      if (mine.lock() == LastHolder::died) ++told;
      mine.unlock();
    };
    std::thread one(wait), other(wait);
    holder.join(), one.join(), other.join();
    CHECK(told == 1);
  }
}

TEST_CASE("its words are no lock for another PID namespace, in which the same numbers are other threads") {
  auto zone = Shared::create(options);
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const int answer = answer_in_another_namespace([&] {
    auto own = Shared::create(options);
    return !lock::ProcessShared::is_mine(lock_words(zone->backing().notes())) &&
           code_of(Shared::attach(options, source)) == ErrorCode::wrong_lock &&
           code_of(Shared::attach_and_recover(options, source, keep_all)) == ErrorCode::wrong_lock && own &&
           Shared::attach(options, backing::MemoryFile::Source{own->backing().fd()});
  });
  if (answer == 1) MESSAGE("no new PID namespace may be made here");
  CHECK(answer != 2);
  std::uint64_t& number = lock_words(zone->backing().notes())[lock::ProcessShared::words - 1];
  CHECK(number != 0);
  for (const std::uint64_t other : {number + 1, std::uint64_t{0}}) {
    const std::uint64_t own = std::exchange(number, other);
    CHECK(refusal(source) == ErrorCode::wrong_lock);
    number = own;
  }
  CHECK(zone->owns(*block));
  CHECK(refusal(source) == ErrorCode::none);
}

// Tried without waiting: a word that names a holder who is none would hang.
TEST_CASE("a flipped bit makes it a lock that nobody takes up, or one that never ends its users") {
  Words words{};
  lock::ProcessShared::format(words.data());
  const Words whole = words;
  std::set<std::size_t> refused;
  for (std::size_t bit = 0; bit < 64 * words.size(); ++bit) {
    words = whole;
    words[bit / 64] ^= std::uint64_t{1} << bit % 64;
    if (!lock::ProcessShared::is_mine(words.data())) {
      refused.insert(bit);
      continue;
    }
    CAPTURE(bit);
    auto* mutex = reinterpret_cast<pthread_mutex_t*>(words.data());
    const int error = pthread_mutex_trylock(mutex);
    CHECK((error == 0 || error == EOWNERDEAD || error == EBUSY));
    if (error == EOWNERDEAD) CHECK(pthread_mutex_consistent(mutex) == 0);
    if (error != EBUSY) CHECK(pthread_mutex_unlock(mutex) == 0);
  }
  CHECK(refused.size() == 32 + 64);  // the cell of the kind, and the namespace
  words = whole;
  CHECK(lock::ProcessShared::is_mine(words.data()));
}

TEST_CASE("a zone over a mutex of another kind is refused") {
  auto zone = Shared::create(options);
  REQUIRE(zone);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
  std::memcpy(lock_words(zone->backing().notes()), &plain, sizeof plain);
  CHECK(refusal(source) == ErrorCode::wrong_lock);
}

TEST_CASE("the first call after a death may be an attach, and is told") {
  auto zone = Shared::create(options);
  REQUIRE(zone);
  REQUIRE(zone->allocate(8_KiB));
  const backing::MemoryFile::Source source{zone->backing().fd()};
  auto other = Shared::attach(options, source);
  REQUIRE(other);
  die_inside(lock_words(zone->backing().notes()));
  CHECK(code_of(Shared::attach(options, source)) == ErrorCode::holder_died);
  CHECK(code_of(other->allocate(4_KiB)) == ErrorCode::holder_died);
  CHECK(code_of(Shared::attach(options, source)) == ErrorCode::holder_died);
  Recovery found{.lost = 42};
  CHECK(Shared::attach_and_recover(options, source, keep_all, &found));
  CHECK((found.kept == 1 && found.dropped == 0 && found.lost == 0));
  CHECK(Shared::attach(options, source));
  CHECK(Shared::attach_and_recover(
      options, source, [](std::uint8_t) { return false; }, &found));
  CHECK((found.kept == 0 && found.dropped == 1 && found.lost == 0));
  const Recovery before = found;
  CHECK_FALSE(Shared::attach_and_recover({.size = 32_KiB}, source, keep_all, &found));
  CHECK(found.dropped == before.dropped);  // a call that fails writes nothing
}

TEST_CASE("attach beside recoveries finds a zone, or one that is being recovered") {
  auto zone = Shared::create(options);
  REQUIRE(zone);
  REQUIRE(zone->allocate(8_KiB));
  const backing::MemoryFile::Source source{zone->backing().fd()};
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) zone->recover(keep_all);
  });
  for (int i = 0; i < 20'000; ++i) {
    const ErrorCode code = code_of(Shared::attach(options, source));
    if (code != ErrorCode::none && code != ErrorCode::holder_died) CHECK(code == ErrorCode::none);
  }
  stop = true;
  other.join();
}

TEST_CASE("in a zone that is not shared one dead thread is the end of it, whoever learns of it first") {
  std::vector<std::uint64_t> notes(Unshared::notes_words(64_KiB, 4_KiB));
  auto zone = Unshared::create(options, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  const auto attach = [&] { return code_of(Unshared::attach(options, backing::Borrowed::at(0, 64_KiB, notes))); };
  CHECK(attach() == ErrorCode::none);
  die_inside(lock_words(notes));
  for (int i = 0; i < 3; ++i) {
    CHECK(attach() == ErrorCode::holder_died);
    CHECK(code_of(zone->allocate(4_KiB)) == ErrorCode::holder_died);
    CHECK(code_of(zone->deallocate(*block)) == ErrorCode::holder_died);
    CHECK_FALSE(zone->owns(*block));
  }
  CHECK(Unshared::create(options, backing::Borrowed::at(0, 64_KiB, notes)));  // all its blocks are gone
  CHECK(attach() == ErrorCode::none);
}
