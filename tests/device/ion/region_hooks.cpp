// When a carve-out's board is asked, and told (shared/spec: ION 3.3, row 16).
#include <freestone/device/ion/region_hooks.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>

using namespace freestone;
using namespace freestone::device;

namespace {

struct ToldHooks {
  Errno request_region() noexcept { return calls += '+', request; }
  Errno release_region() noexcept { return calls += '-', release; }

  Errno request = Errno::none;
  Errno release = Errno::none;
  std::string calls = "";
};

// Knows whether the region is there; a call beside another, or out of turn, is a wrong one.
struct AtomicHooks {
  Errno request_region() noexcept { return change(false); }
  Errno release_region() noexcept { return change(true); }
  Errno change(bool was_there) noexcept {
    wrong += is_called.exchange(true);
    std::this_thread::yield();
    wrong += is_there.exchange(!was_there) != was_there;
    ++calls;
    const bool fails = !was_there && calls % 3 == 0;
    if (fails) is_there = false;
    is_called = false;
    return fails ? Errno::io : Errno::none;
  }

  std::atomic<bool> is_called = false;
  std::atomic<bool> is_there = false;
  std::atomic<int> calls = 0;
  std::atomic<int> wrong = 0;
};

}  // namespace

TEST_CASE("row 16: the kernel's and programs' mappings are one count; the first asks, the last tells") {
  for (int first_is_user = 0; first_is_user < 2; ++first_is_user) {
    ToldHooks hooks;
    RegionHooks<ToldHooks, lock::None> region(hooks);
    CHECK((first_is_user != 0 ? region.map_user() : region.map_kernel()) == done);
    CHECK(hooks.calls == "+");
    CHECK((first_is_user != 0 ? region.map_kernel() : region.map_user()) == done);
    CHECK(region.map_user() == done);
    CHECK(region.maps() == 3);
    CHECK(region.unmap() == done);
    CHECK(region.unmap() == done);
    CHECK(hooks.calls == "+");
    CHECK(region.unmap() == done);
    CHECK(hooks.calls == "+-");
    CHECK(region.map_user() == done);
    CHECK(hooks.calls == "+-+");
  }
}

TEST_CASE("row 16, 28: where the board says no a program hears EINVAL, the kernel why; and it is not counted") {
  ToldHooks hooks{.request = Errno::io};
  RegionHooks<ToldHooks, lock::None> region(hooks);
  CHECK(region.map_user() == Errno::invalid);
  CHECK(region.map_kernel() == Errno::io);
  CHECK(region.maps() == 0);
  CHECK(hooks.calls == "++");
  hooks.request = Errno::none;
  CHECK(region.map_user() == done);
  hooks.request = Errno::io;
  CHECK(region.map_kernel() == done);  // nobody is asked
  CHECK(region.maps() == 2);
  CHECK(hooks.calls == "+++");
}

TEST_CASE("row 16, 28: a region that cannot be released is not mapped any more, and is asked for again") {
  ToldHooks hooks{.release = Errno::io};
  RegionHooks<ToldHooks, lock::None> region(hooks);
  CHECK(region.map_user() == done);
  CHECK(region.unmap() == Errno::io);
  CHECK(region.maps() == 0);
  CHECK(region.map_user() == done);
  CHECK(hooks.calls == "+-+");
}

TEST_CASE("row 16, 28: every sequence of six mappings and ends, each of whose calls may fail, against a count") {
  constexpr unsigned acts = 6, steps = 6, sequences = acts * acts * acts * acts * acts * acts;
  int wrong = 0;
  for (unsigned sequence = 0; sequence < sequences; ++sequence) {
    ToldHooks hooks;
    RegionHooks<ToldHooks, lock::None> region(hooks);
    unsigned left = sequence, count = 0;
    std::string calls;
    for (unsigned step = 0; step < steps; ++step, left /= acts) {
      const bool fails = left % 2 == 1, is_called = left % acts / 2 != 2 ? count == 0 : count == 1;
      const bool is_user = left % acts / 2 == 0, is_unmap = left % acts / 2 == 2;
      hooks.request = hooks.release = fails ? Errno::io : Errno::none;
      const Answer answer = is_unmap ? region.unmap() : is_user ? region.map_user() : region.map_kernel();
      const bool is_refused = is_unmap ? count == 0 : is_called && fails;
      const Errno why = is_user || (is_unmap && count == 0) ? Errno::invalid : Errno::io;
      wrong += answer != ((is_called && fails) || is_refused ? Answer(why) : done);
      if (is_called) calls += is_unmap ? '-' : '+';
      if (!is_refused) count += is_unmap ? ~0U : 1;
      wrong += region.maps() != count || hooks.calls != calls;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("row 16: who unmaps what is not mapped changes nothing") {
  ToldHooks hooks;
  RegionHooks<ToldHooks, lock::None> region(hooks);
  CHECK(region.unmap() == Errno::invalid);
  CHECK(region.maps() == 0);
  CHECK(hooks.calls.empty());
  CHECK(region.map_user() == done);
  CHECK(hooks.calls == "+");
}

TEST_CASE("a board may have none of the hooks, or one") {
  struct {
  } nothing;
  RegionHooks<decltype(nothing), lock::None> region(nothing);
  CHECK(region.map_user() == done);
  CHECK(region.maps() == 1);
  CHECK(region.unmap() == done);
  struct OnlyRelease {
    Errno release_region() noexcept { return ++calls, Errno::none; }
    int calls = 0;
  } only;
  RegionHooks<OnlyRelease, lock::None> half(only);
  CHECK(half.map_kernel() == done);
  CHECK(half.unmap() == done);
  CHECK(only.calls == 1);
}

TEST_CASE("row 16, 25: threads map and unmap at once; each finds the region there, and the board is asked in turn") {
  AtomicHooks hooks;
  RegionHooks<AtomicHooks, lock::Futex> region(hooks);
  std::atomic<int> not_there = 0;
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      for (int round = 0; round < 2000; ++round) {
        if ((number % 2 == 0 ? region.map_user() : region.map_kernel()).is_error()) continue;
        not_there += !hooks.is_there;
        if (region.unmap().is_error()) ++not_there;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(not_there == 0);
  CHECK(hooks.wrong == 0);
  CHECK(hooks.calls >= 2);
  CHECK(region.maps() == 0);
  CHECK(!hooks.is_there);
}
