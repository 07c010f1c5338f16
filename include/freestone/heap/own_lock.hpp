// A lock and its words in one object, for what lies in no zone's notes.
#pragma once

#include <array>
#include <cstdint>

#include <freestone/lock/concept.hpp>

namespace freestone {

// It stays where it is. With lock::None it is empty.
template <class L>
  requires(check_lock<L>())
class OwnLock {
  static_assert(!reports_death<L>,
                "This lies in one process, and nobody here hears a Lock that tells of dead holders: take another.");

 public:
  OwnLock() noexcept : lock_(opens_as_zeros<L> ? L::attach(words_.data()) : L::format(words_.data())) {}
  OwnLock(const OwnLock&) = delete;
  OwnLock& operator=(const OwnLock&) = delete;

  // Holds it while it lives.
  class Turn {
   public:
    explicit Turn(OwnLock& own) noexcept : own_(own) { own_.lock_.lock(); }
    ~Turn() { own_.lock_.unlock(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    // What act() returns, while which others have their turn: what was seen before may be otherwise now.
    template <class Act>
    auto let_others(Act&& act) noexcept {
      own_.lock_.unlock();
      auto result = act();
      own_.lock_.lock();
      return result;
    }

   private:
    OwnLock& own_;
  };

 private:
  [[no_unique_address]] std::array<std::uint64_t, L::words> words_ = {};
  [[no_unique_address]] L lock_;
};

}  // namespace freestone
