// Fences for the laws and for what keeps them: each with how it is made to signal, the smallest legal one, an
// unpleasant one, and one for each way to be wrong.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <boost/hana/tuple.hpp>

#include <freestone/heap/epoch.hpp>
#include <freestone/heap/fence.hpp>
#include <freestone/heap/os/event_fence.hpp>
#include <freestone/heap/os/polled_fence.hpp>
#include <freestone/heap/timeline.hpp>

namespace freestone::tests {

// A fence in memory that a test signals by itself.
class Flag {
 public:
  explicit Flag(const std::atomic<bool>& flag) noexcept : flag_(&flag) {}
  bool has_signalled() const noexcept { return flag_->load(std::memory_order_acquire); }

 protected:
  const std::atomic<bool>* flag_;
};

// Legal and unpleasant: owns what it looks at, moves only, is large, and gives the core away at each look.
class Heavy {
 public:
  explicit Heavy(std::shared_ptr<std::atomic<bool>> flag) noexcept : flag_(std::move(flag)) {}
  Heavy(Heavy&&) noexcept = default;
  Heavy& operator=(Heavy&&) noexcept = default;

  bool has_signalled() const noexcept {
    sched_yield();
    return flag_->load(std::memory_order_acquire);
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
  [[maybe_unused]] unsigned char ballast_[300] = {};
};

// --- models: fence() makes one, signal() lets all of them signal, others() is what has nothing to do with them ---

template <class F>
struct OfFlag {
  using Fence = F;
  std::atomic<bool> flag = false;
  F fence() noexcept { return F(flag); }
  void signal() { flag.store(true, std::memory_order_release); }
  void others() {}
};
struct OfHeavy {
  using Fence = Heavy;
  std::shared_ptr<std::atomic<bool>> flag = std::make_shared<std::atomic<bool>>(false);
  Heavy fence() noexcept { return Heavy(flag); }
  void signal() { flag->store(true, std::memory_order_release); }
  void others() {}
};

template <std::uint64_t start>
struct OfTimeline {
  using T = Timeline<>;
  using Fence = T::Fence;
  T timeline;
  OfTimeline() { timeline.raise_to(start); }
  Fence fence() noexcept { return timeline.at(start + 3); }
  void signal() { timeline.raise_to(start + 3); }
  void others() {
    if (timeline.value() == start + 3) {
      timeline.raise_to(start + (std::uint64_t{1} << 33) - 7);
      timeline.raise();
    } else {
      timeline.raise_to(start + 2);
    }
    timeline.raise_to(1);
  }
};
struct OfDevice {
  using Fence = DeviceTimeline<>::Fence;
  static constexpr std::uint64_t point = std::uint64_t{7} << 32;
  alignas(8) std::uint64_t counter = point - 1;
  DeviceTimeline<> timeline{&counter};
  Fence fence() noexcept { return timeline.at(point); }
  void signal() { write(point); }
  void others() {
    if (counter == point) write(point + (std::uint64_t{1} << 32) - 1);
  }
  void write(std::uint64_t value) { __atomic_store_n(&counter, value, __ATOMIC_RELEASE); }
};

// A reader who is inside when the fence is made, and others who come and go.
struct OfEpoch {
  using E = Epoch<3>;
  using Fence = E::Fence;
  E epoch;
  E::Reader reader = *epoch.join();
  E::Reader other = *epoch.join();
  OfEpoch() { reader.enter(); }
  Fence fence() noexcept { return epoch.fence(); }
  void signal() { reader.leave(); }
  void others() {
    other.enter();
    static_cast<void>(epoch.fence().has_signalled());
    other.leave();
    static_cast<void>(epoch.fence().has_signalled());
  }
};

struct OfEvent {
  using Fence = EventFence;
  static constexpr bool by_kernel = true;
  EventFence event = *EventFence::create();
  EventFence fence() noexcept { return *EventFence::of(event.fd()); }
  void signal() { static_cast<void>(event.signal()); }
  void others() {}
};
// The end of a pipe stands for a sync_file: it is polled the same.
struct OfPipe {
  using Fence = PolledFence;
  static constexpr bool by_kernel = true;
  int ends[2] = {-1, -1};
  OfPipe() {
    if (pipe(ends) != 0) ends[0] = ends[1] = -1;
  }
  OfPipe(const OfPipe&) = delete;
  ~OfPipe() {
    close(ends[0]);
    close(ends[1]);
  }
  PolledFence fence() noexcept { return *PolledFence::of(ends[0]); }
  void signal() { static_cast<void>(!write(ends[1], "x", 1)); }
  void others() {}
};

inline constexpr auto all_fences =
    boost::hana::tuple_t<OfFlag<Flag>, OfHeavy, OfTimeline<0>, OfTimeline<0xFFFF'FFFD>, OfTimeline<0x1234'FFFF'FFFE>,
                         OfDevice, OfEpoch, OfEvent, OfPipe>;

// --- broken ones ---

struct TooEarly : Flag {
  using Flag::Flag;
  mutable int looks = 0;
  bool has_signalled() const noexcept { return Flag::has_signalled() || ++looks > 3; }
};
struct OnlyOnce : Flag {
  using Flag::Flag;
  mutable bool told = false;
  bool has_signalled() const noexcept { return Flag::has_signalled() && !std::exchange(told, true); }
};
struct LostWhenMoved : Flag {
  using Flag::Flag;
  bool lost = false;
  LostWhenMoved(LostWhenMoved&& other) noexcept : Flag(other), lost(true) {}
  LostWhenMoved& operator=(LostWhenMoved&&) noexcept { return lost = true, *this; }
  bool has_signalled() const noexcept { return !lost && Flag::has_signalled(); }
};
struct Deaf : Flag {
  using Flag::Flag;
  bool has_signalled() const noexcept { return false; }
};
struct WaitsForNobody : Flag {
  using Flag::Flag;
  bool wait(Timeout) const noexcept { return true; }
};
struct WaitsInVain : Flag {
  using Flag::Flag;
  bool wait(Timeout) const noexcept { return false; }
};
struct CriesWolf : Flag {
  using Flag::Flag;
  Error error() const noexcept { return {.code = ErrorCode::os_failure}; }
};

}  // namespace freestone::tests
