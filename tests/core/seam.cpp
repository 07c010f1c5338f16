#include <freestone/core/seam.hpp>

#include <doctest/doctest.h>

#include "support/child.hpp"

using namespace freestone;

TEST_CASE("a broken promise ends the program") {
  CHECK(tests::ends_the_program([] { seam::expect(false); }));
  CHECK(!tests::ends_the_program([] { seam::expect(true); }));
}

TEST_CASE("a hint touches nothing, so it may be about any address") {
  CHECK(!tests::ends_the_program([] { seam::prefetch(nullptr); }));
}

TEST_CASE("ticks do not fall") {
  const std::uint64_t before = seam::ticks();
  seam::pause();
  CHECK(seam::ticks() >= before);
}

TEST_CASE("the compiler's atomics do what they are called") {
  CompilerAtomics::Word word = 5;
  CHECK(CompilerAtomics::load_relaxed(word) == 5);
  CHECK(CompilerAtomics::load_acquire(word) == 5);
  CompilerAtomics::store_release(word, 1);
  CHECK(CompilerAtomics::exchange_acquire(word, 6) == 1);
  CHECK(CompilerAtomics::exchange_release(word, 7) == 6);
  CHECK_FALSE(CompilerAtomics::compare_exchange_acquire(word, 8, 9));
  CHECK(CompilerAtomics::compare_exchange_acquire(word, 7, 6));
  CHECK(CompilerAtomics::fetch_or_acquire(word, 9) == 6);
  CHECK(CompilerAtomics::fetch_and_release(word, 12) == 15);
  CHECK(CompilerAtomics::fetch_add_relaxed(word, 3) == 12);
  CHECK(word == 15);
}
