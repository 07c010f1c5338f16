// What a call may be about: making a zone, taking one up, using one. Each has others' bytes beside it, which must stay.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/host_calls.hpp"

namespace freestone::tests {

inline constexpr const char* subject_name = "faults";

// What of its calls may fail with nobody being told: `always`, or all of them where a fault comes once, as with who has
// another way then.
struct Hints {
  std::span<const std::string_view> always = {};
  std::span<const std::string_view> once = {};
};

class Subject {
 public:
  explicit Subject(Hints hints) : hints_(hints) {}
  std::span<const std::string_view> hints(bool for_ever) const {
    return for_ever || hints_.once.empty() ? hints_.always : hints_.once;
  }
  const char* zone() const { return subject_name; }

 private:
  Hints hints_;
};

inline constexpr std::byte mark{0x5A};
inline constexpr Bytes mark_bytes = 64_KiB;

// A zone with blocks, one of which is marked, where the CPU sees it.
template <class Z>
class Marked {
 public:
  explicit Marked(Z made) : zone(std::move(made)), block_(*zone.allocate(mark_bytes)) {
    if constexpr (requires { zone.data(block_); }) {
      const auto bytes = zone.data(block_);
      std::fill(bytes.begin(), bytes.end(), mark);
    }
  }
  struct State {
    Stats stats;
    std::int64_t right = 0;  // bytes that are as they were; -1 where nobody sees them
    bool owns = false;

    friend bool operator==(const State&, const State&) = default;
  };
  State state() {
    State state{.stats = zone.stats(), .right = -1, .owns = zone.owns(block_)};
    if constexpr (requires { zone.data(block_); }) {
      const auto bytes = zone.data(block_);
      state.right = std::count(bytes.begin(), bytes.end(), mark);
    }
    return state;
  }

  Z zone;

 private:
  Block block_;
};

// Gives a block back that is allocated for that, and written to.
template <class Z>
Error use(Z& zone) {
  const auto block = zone.allocate(8_KiB);
  if (!block) return block.error();
  if constexpr (requires { zone.data(*block); }) std::memset(zone.data(*block).data(), 0x77, 8192);
  return zone.deallocate(*block).error();
}

// Whoever holds a zone keeps it.
inline void remove_names() {
  const NoFaults here;
  for (const char* name : {subject_name, "other"}) {
    unlink((folder + "/" + name).c_str());
    unlink(("/dev/shm/" + shared_name + name).c_str());
  }
}

// Makes a zone beside another of its kind, uses it once, and lets it go: make(name, is_first).
template <class Make>
class Making : public Subject {
  using Z = typename std::remove_cvref_t<decltype(*std::declval<Make&>()("", true))>;

 public:
  explicit Making(Make make, Hints hints = {})
      : Subject(hints), make_(std::move(make)), other_(*make_("other", false)) {
    remove_names();
  }
  auto state() { return other_.state(); }
  Error call() {
    auto zone = make_(subject_name, true);
    if (!zone) return zone.error();
    const Error error = use(*zone);
    remove_names();
    host_fault.is_told = false;
    return error;
  }

 private:
  Make make_;
  Marked<Z> other_;
};

// Acts on a zone: act(Z&), which undoes itself.
template <class Z, class Act>
class Using : public Subject {
 public:
  Using(Z zone, Act act, Hints hints = {}) : Subject(hints), marked_(std::move(zone)), act_(std::move(act)) {}
  auto state() { return marked_.state(); }
  Error call() { return act_(marked_.zone); }

 private:
  Marked<Z> marked_;
  Act act_;
};

}  // namespace freestone::tests
