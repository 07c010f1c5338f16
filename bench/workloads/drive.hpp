// The workloads of one thread, over any target. Each makes its state ready, warms up, and lets the meter see the rest.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "meter.hpp"
#include "script.hpp"
#include "target.hpp"

namespace freestone::bench::workloads {

inline constexpr unsigned warm_up_share = 10;  // a tenth of the steps comes first, unmeasured

// A slot that was refused its block is empty: nothing goes from it when its turn comes, and it asks anew.
template <class T>
bool replace(T& target, typename T::Handle& slot, const Request& request) {
  if (slot != T::none) target.deallocate(slot);
  slot = target.allocate(request);
  forget(slot);
  return slot != T::none;
}

inline constexpr std::uint64_t pair_size = 64 << 10;

// One block comes and goes. Nobody may know its size when this is compiled.
template <class T>
std::uint64_t come_and_go(T& target, std::uint64_t size, std::uint64_t count) {
  std::uint64_t refused = 0;
  for (; count != 0; --count) {
    forget(size);
    auto handle = target.allocate({.size = size});
    forget(handle);
    if (handle == T::none) {
      ++refused;
    } else {
      target.deallocate(handle);
    }
  }
  return refused;
}

// W1.
template <class T>
void drive_pair(T& target, std::uint64_t planned, Meter& meter) {
  const Steps steps = [&](std::uint64_t count) { return come_and_go(target, pair_size, count); };
  const Phase phase{.name = ""};
  meter.warm_up(phase, planned / warm_up_share, steps);
  meter.measure(phase, planned, steps);
}

// W1-lifo64.
template <class T>
void drive_lifo(T& target, std::uint64_t planned, Meter& meter) {
  std::array<typename T::Handle, 64> blocks;
  const Steps steps = [&](std::uint64_t count) {
    std::uint64_t refused = 0;
    for (; count != 0; --count) {
      for (auto& block : blocks) {
        std::uint64_t size = pair_size;
        forget(size);
        block = target.allocate({.size = size});
        forget(block);
        refused += block == T::none;
      }
      for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
        if (*block != T::none) target.deallocate(*block);
      }
    }
    return refused;
  };
  const Phase phase{.name = "", .allocations = 64, .deallocations = 64};
  meter.warm_up(phase, planned / warm_up_share, steps);
  meter.measure(phase, planned, steps);
}

// The live blocks of a script: filled to its load, then one at random goes and another comes.
template <class T>
class Population {
 public:
  Population(T& target, const Script& script) : target_(target), next_(script.steps.data()) {
    slots_.reserve(script.fill.size());
    for (const Step& step : script.fill) slots_.push_back(target.allocate(step.request()));
  }

  std::uint64_t replace_some(std::uint64_t count) {
    std::uint64_t refused = 0;
    for (const Step* end = next_ + count; next_ != end; ++next_)
      refused += !replace(target_, slots_[next_->victim], next_->request());
    return refused;
  }

 private:
  T& target_;
  const Step* next_;
  std::vector<typename T::Handle> slots_;
};

// W2, W3, W4.
template <class T>
void drive_random(T& target, const Script& script, std::uint64_t planned, Meter& meter) {
  Population<T> population(target, script);
  const Steps steps = [&](std::uint64_t count) { return population.replace_some(count); };
  const Phase phase{.name = ""};
  meter.warm_up(phase, planned / warm_up_share, steps);
  meter.measure(phase, planned, steps);
}

// W6: two rings of pictures in two sizes, which they swap every so often, and one of two small blocks a picture.
template <class T>
class Rings {
 public:
  explicit Rings(T& target) : target_(target) {
    for (auto& ring : pictures_) ring.fill(T::none);
    notes_.fill(T::none);
    show(depth);
  }

  std::uint64_t show(std::uint64_t count) {
    std::uint64_t refused = 0;
    for (; count != 0; --count) refused += show_one();
    return refused;
  }

 private:
  static constexpr std::size_t depth = 8;
  static constexpr std::uint64_t swap_every = 1'000;
  static constexpr Bytes full_hd = 1920 * 1080 * 3 / 2;   // NV12: 760 granules
  static constexpr Bytes ultra_hd = 3840 * 2160 * 3 / 2;  // 3038 granules

  std::uint64_t show_one() {
    if (until_swap_-- == 0) {
      until_swap_ = swap_every - 1;
      std::swap(sizes_[0], sizes_[1]);
    }
    const std::size_t at = turn_++ % depth;
    std::uint64_t refused = 0;
    refused += !replace(target_, pictures_[0][at], {.size = sizes_[0]});
    refused += !replace(target_, pictures_[1][at], {.size = sizes_[1]});
    refused += !replace(target_, notes_[2 * at], {.size = 64_KiB});
    refused += !replace(target_, notes_[2 * at + 1], {.size = 64_KiB});
    return refused;
  }

  T& target_;
  std::array<std::array<typename T::Handle, depth>, 2> pictures_;
  std::array<typename T::Handle, 2 * depth> notes_;
  std::array<Bytes, 2> sizes_ = {full_hd, ultra_hd};
  std::uint64_t until_swap_ = swap_every;
  std::size_t turn_ = 0;
};

template <class T>
void drive_rings(T& target, std::uint64_t planned, Meter& meter) {
  Rings<T> rings(target);
  const Steps steps = [&](std::uint64_t count) { return rings.show(count); };
  const Phase phase{.name = "", .allocations = 4, .deallocations = 4};
  meter.warm_up(phase, planned / warm_up_share, steps);
  meter.measure(phase, planned, steps);
}

// W7: frames of one size. Half of the zone comes, goes in the order in which it came, comes again and goes in any
// order, and comes again; then one comes and goes.
template <class T>
class Frames {
 public:
  Frames(T& target, const Setting& setting, std::uint64_t most)
      : target_(target),
        size_(setting.largest * granule),
        blocks_(static_cast<std::size_t>(std::min(setting.zone_bytes / 2 / size_.value(), most)), T::none) {}

  void run(std::uint64_t planned, Meter& meter) {
    std::uint64_t touched = 0;
    give_back(0, meter.warm_up({.name = "", .deallocations = 0}, blocks_.size(), from(touched, &Frames::allocate)));
    for (std::uint64_t timed = blocks_.size(); bulk(meter) && timed < at_least; timed += blocks_.size()) {
      give_back(0, blocks_.size());
    }
    const Steps steps = [&](std::uint64_t count) { return come_and_go(target_, size_.value(), count); };
    const Phase phase{.name = "repeat"};
    meter.warm_up(phase, planned / warm_up_share, steps);
    meter.measure(phase, planned, steps);
  }

 private:
  static constexpr std::uint64_t at_least = 1 << 16;  // blocks, for a phase to be long enough

  // The three phases in bulk, from an empty zone to one that is half full. Says whether they were done to the end.
  bool bulk(Meter& meter) {
    const std::uint64_t live = sweep(meter, {.name = "bulk_allocate", .deallocations = 0}, blocks_.size());
    allocate(0, sweep(meter, {.name = "bulk_deallocate", .allocations = 0}, live));
    shuffle(live);
    const std::uint64_t gone = sweep(meter, {.name = "random_deallocate", .allocations = 0}, live);
    allocate(0, gone);
    return gone == blocks_.size();
  }

  std::uint64_t sweep(Meter& meter, const Phase& phase, std::uint64_t blocks) {
    std::uint64_t at = 0;
    return meter.measure(phase, blocks, from(at, phase.allocations != 0 ? &Frames::allocate : &Frames::give_back));
  }

  // Some more of them, from `at` on.
  Steps from(std::uint64_t& at, std::uint64_t (Frames::*some)(std::uint64_t, std::uint64_t)) {
    return [this, &at, some](std::uint64_t count) {
      at += count;
      return (this->*some)(at - count, count);
    };
  }

  std::uint64_t allocate(std::uint64_t from, std::uint64_t count) {
    std::uint64_t refused = 0;
    for (auto& block : part(from, count)) {
      block = target_.allocate({.size = size_});
      forget(block);
      refused += block == T::none;
    }
    return refused;
  }
  std::uint64_t give_back(std::uint64_t from, std::uint64_t count) {
    for (auto block : part(from, count)) {
      if (block != T::none) target_.deallocate(block);
    }
    return 0;
  }

  void shuffle(std::uint64_t count) {
    Random random(count);
    for (std::uint64_t left = count; left > 1; --left)
      std::swap(blocks_[static_cast<std::size_t>(left - 1)], blocks_[static_cast<std::size_t>(random.below(left))]);
  }

  std::span<typename T::Handle> part(std::uint64_t from, std::uint64_t count) {
    return std::span(blocks_).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
  }

  T& target_;
  Bytes size_;
  std::vector<typename T::Handle> blocks_;
};

// The workload of the setting, but for those that have no steps of one thread (W5, W8).
template <class T>
void drive(T& target, const Setting& setting, const Script& script, std::uint64_t planned, Meter& meter) {
  switch (setting.kind) {
    case Kind::pair: return drive_pair(target, planned, meter);
    case Kind::lifo: return drive_lifo(target, planned, meter);
    case Kind::random: return drive_random(target, script, planned, meter);
    case Kind::rings: return drive_rings(target, planned, meter);
    case Kind::frames: return Frames<T>(target, setting, planned).run(planned, meter);
    default: return;
  }
}

}  // namespace freestone::bench::workloads
