#include <freestone/core/word_claim.hpp>

#include <cstdint>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone;
using Claim = WordClaim<CompilerAtomics>;

TEST_CASE("32 things, each to one owner") {
  std::uint32_t word = 0;
  Claim claim(word);
  for (unsigned i = 0; i < 32; ++i) CHECK(claim.claim() == i);
  CHECK(!claim.claim());
  CHECK(claim.release(17));
  CHECK(!claim.release(17));
  CHECK(word == ~(std::uint32_t{1} << 17));
  CHECK(claim.claim() == 17);
}

TEST_CASE("threads never hold the same one") {
  std::uint32_t word = 0;
  std::uint32_t holders[32] = {};
  std::uint32_t clashes = 0;
  const auto work = [&] {
    Claim claim(word);
    for (int round = 0; round < 20'000; ++round) {
      const auto mine = claim.claim();
      if (!mine) continue;
      if (__atomic_fetch_add(&holders[*mine], 1, __ATOMIC_RELAXED) != 0)
        __atomic_fetch_add(&clashes, 1, __ATOMIC_RELAXED);
      __atomic_fetch_sub(&holders[*mine], 1, __ATOMIC_RELAXED);
      if (!claim.release(*mine)) __atomic_fetch_add(&clashes, 1, __ATOMIC_RELAXED);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  CHECK(clashes == 0);
  CHECK(word == 0);
}
