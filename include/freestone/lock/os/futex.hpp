#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
#include <cstdint>

#include <freestone/core/map_header.hpp>
#include <freestone/core/seam.hpp>

namespace freestone::lock {

// One word of Linux's: a compare-and-exchange where it is open, and a sleep in the kernel where it is not. For threads
// and processes alike. Not fair: a waiter that is woken may find another inside. A process that dies inside leaves it
// shut; `format`, which is what a zone's recovery does, opens it and wakes whoever sleeps.
class Futex {
 public:
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = true;
  static constexpr bool opens_as_zeros = true;  // and `format` takes a system call, for those who sleep
  static constexpr std::uint32_t id = map_id("Futex");

  static Futex format(std::uint64_t* words) noexcept {
    const Futex futex = attach(words);
    CompilerAtomics::store_release(*futex.word_, open);
    futex.call(FUTEX_WAKE, INT_MAX);
    return futex;
  }
  static Futex attach(std::uint64_t* words) noexcept { return Futex(*reinterpret_cast<CompilerAtomics::Word*>(words)); }

  void lock() noexcept {
    if (CompilerAtomics::compare_exchange_acquire(*word_, open, held)) return;
    // From here on it says that somebody waits, even if that was the last one: a wake too many does no harm.
    while (CompilerAtomics::exchange_acquire(*word_, awaited) != open) call(FUTEX_WAIT, awaited);
  }
  // Once it is open another may end it, and the memory that it lies in: only the word's address is used after that, and a
  // wake where no word is any more does no harm.
  void unlock() noexcept {
    const Futex last = *this;
    if (CompilerAtomics::exchange_release(*last.word_, open) == awaited) last.call(FUTEX_WAKE, 1);
  }

 private:
  static constexpr std::uint32_t open = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t awaited = 2;  // held, and somebody may sleep

  explicit Futex(CompilerAtomics::Word& word) noexcept : word_(&word) {}

  // FUTEX_WAIT returns at once where the word is no longer `value`, and sometimes for no reason. Without the PRIVATE
  // flag, so that other processes are woken too.
  void call(int operation, std::uint32_t value) const noexcept {
    syscall(SYS_futex, word_, operation, value, nullptr, nullptr, 0);
  }

  CompilerAtomics::Word* word_;
};

}  // namespace freestone::lock
