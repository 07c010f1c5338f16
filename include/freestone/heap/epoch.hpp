// Readers enter and leave; a fence has signalled when every reader who was inside when it was made has left. So
// whoever takes a thing out of sight first, and makes a fence then, knows when nobody looks at it any more. Readers
// never wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/seam.hpp>
#include <freestone/core/word_claim.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/heap/timeline.hpp>
#include <freestone/lock/spin.hpp>

namespace freestone {

// Signalled once the grace period of that number is over. Two words; a copy is the same fence. Who may look: whoever
// may take the epoch's lock, for which a look waits while another goes on. So with lock::Spin no interrupt handler of a
// core whose threads look or make fences too, and with lock::None one thread. Cost of a look: a few loads where it has
// signalled, else the epoch's `poll`.
template <class E>
class EpochFence {
 public:
  EpochFence(E& epoch, std::uint64_t period) noexcept : epoch_(&epoch), period_(period) {}

  bool has_signalled() const noexcept { return epoch_->poll(period_); }

 private:
  E* epoch_;
  std::uint64_t period_;
};

// Up to `most` readers at once, a cache line each. It outlives its readers and fences, and stays where it is.
//
// A reader counts his comings and goings: while the count is odd he is inside. A grace period begins with a look at
// all counts, and is over when each that was odd has changed. One is going on at a time; fences made meanwhile wait
// for the next, for its look must come after them (the rule of Linux's polled RCU grace periods). Every step on a
// count reads and writes it at once, so that of a look and an entry one always sees the other.
//
// Fences and looks take turns at the lock; readers never do. With lock::None the caller sees to it that one thread
// makes fences and looks at them.
template <std::size_t most, class L = lock::Spin, class Atomics = CompilerAtomics>
class Epoch {
  static_assert(most != 0, "Epoch: there must be room for one reader at least.");

 public:
  using Fence = EpochFence<Epoch>;

  // One of the readers: a thread's own, and used by that thread only. Leaves with its end, wherever it is.
  class Reader {
   public:
    Reader(Reader&& other) noexcept
        : epoch_(std::exchange(other.epoch_, nullptr)),
          slot_(other.slot_),
          count_(other.count_),
          depth_(std::exchange(other.depth_, 0)) {}
    Reader& operator=(Reader&& other) noexcept {
      std::swap(epoch_, other.epoch_);
      std::swap(slot_, other.slot_);
      std::swap(count_, other.count_);
      std::swap(depth_, other.depth_);
      return *this;
    }
    ~Reader() {
      if (epoch_ == nullptr) return;
      if (depth_ != 0) step_out();
      epoch_->release(slot_);
    }

    // What he finds from here on stays until he leaves. May be nested. Cost: one atomic exchange on a line of his
    // own.
    void enter() noexcept {
      if (depth_++ == 0) Atomics::exchange_acquire(epoch_->slots_[slot_].count, ++count_);
    }
    // Once for each enter().
    void leave() noexcept {
      seam::expect(depth_ != 0);
      if (--depth_ == 0) step_out();
    }

    // Inside while it lives.
    class [[nodiscard]] Stay {
     public:
      explicit Stay(Reader& reader) noexcept : reader_(reader) { reader_.enter(); }
      ~Stay() { reader_.leave(); }
      Stay(const Stay&) = delete;
      Stay& operator=(const Stay&) = delete;

     private:
      Reader& reader_;
    };
    Stay stay() noexcept { return Stay(*this); }

   private:
    friend Epoch;
    Reader(Epoch& epoch, std::size_t slot, std::uint32_t count) noexcept : epoch_(&epoch), slot_(slot), count_(count) {}

    void step_out() noexcept { Atomics::exchange_release(epoch_->slots_[slot_].count, ++count_); }

    Epoch* epoch_;
    std::size_t slot_;
    std::uint32_t count_;  // as it stands in his slot: nobody else changes it
    unsigned depth_ = 0;
  };

  Epoch() noexcept {
    if constexpr (most % 32 != 0) claims_[words - 1] = ~std::uint32_t{0} << most % 32;  // there are no such slots
  }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  // One more reader, outside. Empty where all are taken, and then nothing changed. Any thread.
  std::optional<Reader> join() noexcept {
    for (std::size_t word = 0; word < words; ++word) {
      const auto index = WordClaim<Atomics>(claims_[word]).claim();
      if (!index) continue;
      const std::size_t slot = word * 32 + *index;
      return Reader(*this, slot, Atomics::load_relaxed(slots_[slot].count));
    }
    return std::nullopt;
  }

  // Signals when all who are inside now have left; a reader who makes one inside must leave too. Cost: an atomic
  // operation a slot, where no grace period is going on.
  Fence fence() noexcept {
    const typename OwnLock<L>::Turn turn(lock_);
    finish();
    wanted_ = started_ + 1;
    begin_wanted();
    return Fence(*this, wanted_);
  }

  // Is that grace period over? Takes the one that is going on, and the one after it, as far as they come. Cost: a
  // load a slot that is waited for, and fence()'s where the next begins.
  bool poll(std::uint64_t period) noexcept {
    if (done_.has_reached(period)) return true;
    const typename OwnLock<L>::Turn turn(lock_);
    advance();
    return done_.has_reached(period);
  }

 private:
  static constexpr std::size_t words = (most + 31) / 32;

  struct alignas(64) Slot {
    typename Atomics::Word count{};  // odd: inside
    std::uint32_t awaited = 0;       // the odd count that the grace period waits for; 0: it does not
  };

  void release(std::size_t slot) noexcept {
    WordClaim<Atomics>(claims_[slot / 32]).release(static_cast<unsigned>(slot % 32));
  }

  // --- under the lock ---

  bool is_going_on() const noexcept { return !done_.has_reached(started_); }

  void advance() noexcept {
    finish();
    begin_wanted();
  }
  void begin_wanted() noexcept {
    if (wanted_ == started_ || is_going_on()) return;
    begin();
    finish();
  }

  // Who enters after the step on his count here sees all that was done before it; who entered earlier is seen here.
  // The load is for those who are outside: what they did inside is done.
  void begin() noexcept {
    ++started_;
    for (Slot& slot : slots_) {
      const std::uint32_t count = Atomics::fetch_and_release(slot.count, ~std::uint32_t{0});
      static_cast<void>(Atomics::load_acquire(slot.count));
      slot.awaited = count % 2 != 0 ? count : 0;
    }
  }
  void finish() noexcept {
    if (!is_going_on()) return;
    bool is_over = true;
    for (Slot& slot : slots_) {
      if (slot.awaited == 0) continue;
      if (Atomics::load_acquire(slot.count) == slot.awaited) {
        is_over = false;
      } else {
        slot.awaited = 0;
      }
    }
    if (is_over) done_.raise_to(started_);
  }

  Slot slots_[most];
  typename Atomics::Word claims_[words] = {};
  OwnLock<L> lock_;
  std::uint64_t started_ = 0;  // the last grace period that began
  std::uint64_t wanted_ = 0;   // the last that a fence is of: started_, or the one after it
  Timeline<lock::None, Atomics> done_;
};

}  // namespace freestone
