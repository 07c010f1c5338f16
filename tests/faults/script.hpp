// A script of calls to a zone with layers, of which one fails, or all from one on.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/host_calls.hpp"
#include "faults/subjects.hpp"
#include "faults/sweep.hpp"

namespace freestone::tests {

// A cache that only the host can reach, and that may refuse.
class CacheOfTheHost {
 public:
  static constexpr Cacheability cacheability = Cacheability::cached;
  Result<void> clean(const CacheView&) noexcept { return ask(); }
  Result<void> invalidate(const CacheView&) noexcept { return ask(); }

 private:
  static Result<void> ask() noexcept {
    if (!host_call_fails("cache")) return {};
    Error error = Error::of_node(ErrorCode::node_failure, "cache", "");
    error.os_error = errno;
    return error;
  }
};

// What layers are round: calls of the zone itself may be refused too.
template <class B>
using Failing =
    layers::FaultInjection<Zone<B, strategy::OrderList<strategy::BestFit, 4, 2, 0>, lock::Spin, CacheOfTheHost>>;
using Shared = Failing<backing::MemoryFile>;
using Private = Failing<backing::Anonymous>;

inline constexpr ZoneOptions script_options{.name = subject_name, .size = 2_MiB, .granule = 4_KiB};

enum class Step : std::uint8_t {
  allocate,
  high,
  at,
  list,
  grow,  // the last block, behind which `at` left room
  shrink,
  beyond,  // resize to more than there is room for
  too_large,
  over_limit,  // as asked it fits, as granted it may be too much for a Limit
  over_limit_grown,
  over_limit_list,
  look,  // as the CPU, with its brackets
  give_back,
  give_back_at,
  elsewhere,  // give back in a thread that ends
};

inline constexpr Step script[] = {
    Step::allocate,
    Step::allocate,
    Step::allocate,
    Step::at,
    Step::grow,
    Step::look,
    Step::list,
    Step::give_back,
    Step::over_limit,
    Step::allocate,
    Step::elsewhere,
    Step::high,
    Step::allocate,
    Step::shrink,
    Step::too_large,
    Step::at,
    Step::over_limit_grown,
    Step::give_back,
    Step::give_back_at,
    Step::allocate,
    Step::over_limit_list,
    Step::look,
    Step::beyond,
    Step::give_back,
    Step::give_back,
    Step::elsewhere,
    Step::allocate,
    Step::allocate,
    Step::list,
    Step::give_back_at,
    Step::give_back,
    Step::give_back,
    Step::too_large,
    Step::allocate,
    Step::shrink,
    Step::give_back,
    Step::elsewhere,
};

// Whose calls fail, from which on, and how.
struct ScriptFault {
  bool is_host = false;
  int n = 0;  // 0: none
  bool for_ever = false;
  ErrorCode code = ErrorCode::injected;  // the zone's
  int os_error = EIO;                    // the host's

  std::string text() const {
    return std::string(is_host ? "the host's" : "the zone's") + " call " + std::to_string(n) +
           (for_ever ? " and all after it" : "") + ", " + (is_host ? std::strerror(os_error) : describe(code)) + ": ";
  }
};

// `Layers` says how the zone is made, and what of its calls may fail with nobody being told.
template <class Layers>
class Script {
  using Z = std::remove_cvref_t<decltype(*Layers::make(""))>;
  static constexpr bool is_shared = Z::Backing::shared;
  using Bare = std::conditional_t<is_shared, Shared, Private>;

 public:
  // The error of each step, when nothing fails.
  using Outcome = std::array<ErrorCode, std::size(script)>;

  Script(const std::string& name, const ScriptFault& fault) : name_(name), fault_(fault) {}

  bool was_hit() const { return was_hit_; }
  const Row& found() const { return row_; }

  // `expected` is filled in where nothing is to fail.
  void run(Outcome& expected) {
    int fd = -1;
    {
      Z zone = *Layers::make(subject_name);
      zone_ = &zone;
      if constexpr (is_shared) fd = dup(zone.backing().fd());
      arm(fault_.n);
      for (number_ = 0; number_ < std::size(script); ++number_) take(script[number_], expected[number_]);
      disarm();
      end();
      zone_ = nullptr;
    }
    if constexpr (is_shared) {  // who comes after finds nothing of it
      auto bare = Bare::attach({.name = "after"}, backing::MemoryFile::Source{fd});
      if (!bare || bare->stats().used != 0) bad(row_.leaked, "something is left to who comes after");
      close(fd);
    }
  }

 private:
  struct Live {
    Block block;
    std::byte byte;
  };

  // --- the fault ---

  void arm(int n) {
    if (n == 0) return;
    if (fault_.is_host) {
      host_fault = {.at = n, .for_ever = fault_.for_ever, .os_error = fault_.os_error};
    } else if (fault_.for_ever) {
      zone_->fail_from(layers::Call::any, static_cast<std::uint64_t>(n), fault_.code);
    } else {
      zone_->fail_nth(layers::Call::any, static_cast<std::uint64_t>(n), fault_.code);
    }
  }
  void disarm() {
    host_fault = {};
    zone_->fail_none(layers::Call::any);
  }
  bool is_failing() { return fault_.is_host ? host_fault.failed != 0 : zone_->failed(layers::Call::any) != 0; }

  // --- a step, and what must be true after it ---

  void take(Step step, ErrorCode& expected) {
    const Bytes free = zone_->stats().free;
    const std::size_t blocks = live_.size();
    host_fault.hints = Layers::hints(step);
    const Error error = act(step);
    const bool is_hit = is_failing();
    if (fault_.n == 0) expected = error.code;
    if (!is_hit) {
      if (error.code != expected) bad(row_.unusable, "with nothing failing: " + describe(error));
    } else {
      const HostFault fault = host_fault;
      was_hit_ = true;
      disarm();
      if (error) {
        if (error.code != expected && !is_told(error, fault)) bad(row_.unusable, "it said: " + describe(error));
        if (zone_->stats().free != free) bad(row_.corrupt, "what is free has changed");
        if (Layers::overwrites && is_leaving(step)) fill(any());
        check();
        if (const Error again = act(step); again.code != expected) bad(row_.unusable, "then: " + describe(again));
      } else if (expected != ErrorCode::none) {  // it was granted, for it could not go back; now it can
        while (live_.size() > blocks) give_back(live_.size() - 1);
      } else if (fault_.is_host ? !fault.what.empty() : !Layers::tolerates(fault_.code)) {
        bad(row_.unusable, "nobody was told");
      }
      if (fault_.for_ever) arm(1);
    }
    check();
  }
  // Does it give bytes back?
  static bool is_leaving(Step step) {
    return step == Step::give_back || step == Step::give_back_at || step == Step::elsewhere || step == Step::shrink;
  }
  bool is_told(const Error& error, const HostFault& fault) const {
    if (fault_.is_host) return tells(error, fault.what.empty() ? "cache" : fault.what, fault_.os_error, subject_name);
    return error.code == fault_.code && !describe(error).empty() && std::strcmp(error.zone, subject_name) == 0;
  }

  void check() {
    const NoFaults here;
    Bytes bytes = 0;
    for (const Live& one : live_) {
      bytes = bytes + one.block.size();
      if (!is_right(one)) bad(row_.corrupt, "a block is not as it was");
    }
    const auto blocks = live_.size();
    const Stats stats = zone_->stats();
    if (stats.used != bytes || stats.blocks != blocks) bad(row_.corrupt, "the zone says that other blocks are live");
    if constexpr (requires { zone_->use(); } && !Layers::keeps) {
      if (zone_->use().bytes != bytes || zone_->use().blocks != blocks) bad(row_.corrupt, "Limit counts others");
    }
    if constexpr (requires { zone_->tag_stats(0); }) {
      const auto counted = zone_->tag_stats(0);
      if (counted.bytes != bytes || counted.blocks != blocks) bad(row_.corrupt, "Statistics counts others");
    }
    if constexpr (requires { zone_->held(); }) {
      if (bare().stats().used != bytes + zone_->held().bytes) bad(row_.leaked, "more is in use than live and held");
    }
    if constexpr (requires { zone_->check_all(); }) {
      if (const auto sound = zone_->check_all(); !sound) bad(row_.corrupt, describe(sound.error()));
    }
  }
  bool is_right(const Live& one) {
    const auto bytes = zone_->data(one.block);
    if (!zone_->owns(one.block) || bytes.empty() || bytes.back() != one.byte) return false;
    for (std::size_t i = 0; i < bytes.size(); i += 509) {
      if (bytes[i] != one.byte) return false;
    }
    return true;
  }

  // All goes back, and then the zone is empty; every other time it is left to the handle's end to see to that.
  void end() {
    while (!live_.empty()) give_back(live_.size() - 1);
    const auto again = zone_->allocate(100);
    if (!again || !zone_->deallocate(*again)) bad(row_.unusable, "it does not work any more");
    if (zone_->stats().used != 0) bad(row_.leaked, "something is live");
    if (is_shared && fault_.n % 2 != 0) return;
    if constexpr (requires { zone_->flush(); }) static_cast<void>(zone_->flush());
    if (bare().stats().used != 0) bad(row_.leaked, "something is left in the zone");
    if constexpr (requires { zone_->use(); }) {
      if (zone_->use().blocks != 0) bad(row_.corrupt, "Limit counts what is gone");
    }
  }
  Bare& bare() { return *zone_; }

  void give_back(std::size_t i) {
    if (const auto gone = zone_->deallocate(live_[i].block); !gone) bad(row_.unusable, describe(gone.error()));
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  void bad(std::uint64_t& count, const std::string& what) {
    ++count;
    complain(name_, (fault_.n == 0 ? "" : fault_.text()) + "step " + std::to_string(number_) + ": " + what);
  }

  // --- what a step does: none where that was done, else the error, and nothing changed ---

  Error act(Step step) {
    if (live_.empty()) return keep(zone_->allocate(some(40'000)));
    switch (step) {
      case Step::allocate: return keep(zone_->allocate({.size = some(40'000), .align = number_ % 4 == 0 ? 16_KiB : 0}));
      case Step::high: return keep(zone_->allocate_high({.size = some(20'000)}));
      case Step::at: return keep(zone_->allocate_at(room(80_KiB), 5'000));
      case Step::list: return list(some(40'000) + 40'000);
      case Step::grow: return resize(live_.back(), 36_KiB);
      case Step::shrink: return resize(any(), 3'000);
      case Step::beyond: return resize(any(), 2040_KiB);
      case Step::too_large: return keep(zone_->allocate(2040_KiB));
      case Step::over_limit: return limited(36_KiB, [&] { return keep(zone_->allocate(36_KiB)); });
      case Step::over_limit_grown: return limited(36_KiB, [&] { return resize(live_.back(), 36_KiB); });
      case Step::over_limit_list: return limited(36_KiB, [&] { return list(36_KiB); });
      case Step::look: return look(any().block);
      case Step::give_back: return drop(zone_->deallocate(any().block));
      case Step::give_back_at: return drop(zone_->deallocate_at(any().block.offset()));
      case Step::elsewhere: {
        Result<void> gone;
        std::thread([&] { gone = zone_->deallocate(any().block); }).join();
        return drop(gone);
      }
    }
    return {};
  }

  Bytes some(std::size_t most) const { return (number_ * 7919 + 1) % most + 1; }
  Live& any() { return live_[number_ % live_.size()]; }

  void fill(Live& one) {
    const auto bytes = zone_->data(one.block);
    std::memset(bytes.data(), static_cast<int>(one.byte), bytes.size());
  }
  Error keep(const Result<Block>& block) {
    if (!block) return block.error();
    live_.push_back({*block, static_cast<std::byte>(number_ + 1)});
    fill(live_.back());
    return {};
  }
  Error drop(const Result<void>& gone) {
    if (gone) live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(number_ % live_.size()));
    return gone.error();
  }
  Error resize(Live& one, Bytes size) {
    const auto block = zone_->resize(one.block, size);
    if (!block) return block.error();
    one.block = *block;
    fill(one);
    return {};
  }
  Error list(Bytes size) {
    if constexpr (Layers::lists) {
      std::array<Block, 16> out;
      const auto blocks = zone_->allocate_list({.size = size}, out);
      if (!blocks) return blocks.error();
      for (const Block& block : *blocks) static_cast<void>(keep(block));
    }
    return {};
  }
  Error look(const Block& block) {
    auto access = zone_->cpu_read_write(block);
    if (!access) return access.error();
    return access->end().error();
  }
  // With a limit that leaves so many bytes.
  template <class Act>
  Error limited(Bytes left, Act&& act) {
    if constexpr (requires { zone_->set_byte_limit(left); }) {
      static_cast<void>(zone_->set_byte_limit(zone_->use().bytes + left));
      const Error error = act();
      static_cast<void>(zone_->set_byte_limit(bits::all));
      return error;
    } else {
      static_cast<void>(left);
      return act();
    }
  }
  // Where so much is free.
  Bytes room(Bytes size) {
    std::uint64_t from = 0;
    zone_->for_each_block([&](const Block& block) {
      if (block.offset() < from + size.value()) from = std::max(from, (block.offset() + block.size()).value());
    });
    return from;
  }

  const std::string& name_;
  ScriptFault fault_;
  Z* zone_ = nullptr;
  std::vector<Live> live_;
  std::size_t number_ = 0;
  bool was_hit_ = false;
  Row row_{.fault = "F4"};
};

}  // namespace freestone::tests
