#include <freestone/lock/ticket_spin.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>
#include "support/locks.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

// A word whose next ticket is `first`.
struct Tickets {
  explicit Tickets(std::uint32_t first) : halves{first, first} {}
  lock::TicketSpin plain() { return {halves[0], halves[1]}; }
  YieldingTicketSpin yielding() { return {halves[0], halves[1]}; }
  std::uint32_t drawn() const { return CompilerAtomics::load_acquire(halves[0]); }
  std::uint32_t called() const { return CompilerAtomics::load_acquire(halves[1]); }

  CompilerAtomics::Word halves[2];
};

constexpr std::uint32_t last_ticket = ~std::uint32_t{0};

}  // namespace

TEST_CASE("one at a time, through any view of the word") {
  static_assert(Lock<lock::TicketSpin> && !reports_death<lock::TicketSpin>);
  std::uint64_t word = ~std::uint64_t{0};
  YieldingTicketSpin::format(&word);
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      YieldingTicketSpin mine = YieldingTicketSpin::attach(&word);
      for (int i = 0; i < 5'000; ++i) {
        mine.lock();
        ++counter;
        mine.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter == 20'000);
}

TEST_CASE("whoever came first is first inside, also where the tickets begin again at 0") {
  constexpr unsigned waiters = 4;
  Tickets tickets(last_ticket - 1);
  std::vector<unsigned> order;  // of entering; guarded by the lock
  std::vector<std::thread> threads;
  lock::TicketSpin mine = tickets.plain();
  mine.lock();
  for (unsigned i = 0; i < waiters; ++i) {
    threads.emplace_back([&, i] {
      YieldingTicketSpin his = tickets.yielding();
      his.lock();
      order.push_back(i);
      his.unlock();
    });
    while (tickets.drawn() != last_ticket + i + 1) std::this_thread::yield();  // he has his number
  }
  CHECK(tickets.called() == last_ticket - 1);
  mine.unlock();
  for (std::thread& thread : threads) thread.join();
  CHECK(order == std::vector<unsigned>{0, 1, 2, 3});
}

TEST_CASE("the tickets count on beyond 2^32") {
  Tickets tickets(last_ticket);
  lock::TicketSpin lock = tickets.plain();
  for (std::uint32_t turn = 0; turn < 3; ++turn) {
    lock.lock();
    CHECK(tickets.drawn() == turn);
    CHECK(tickets.called() == last_ticket + turn);
    lock.unlock();
    CHECK(tickets.called() == turn);
  }
}
