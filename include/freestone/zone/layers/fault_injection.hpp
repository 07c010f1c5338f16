#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// What a caller asked for. `allocate` is every call that makes one block; `any` is each of those that have a name here.
// Others (clean, cpu_write, commit, shrink) are not numbered, and not made to fail.
enum class Call : std::uint8_t { allocate, list, resize, deallocate, any };

// A zone whose calls fail when the test wants it: the n-th, by seed, or by list. A call that is made to fail is not
// handed on, so nothing changes; its error says `injected`, or the code that was given, and which call it was (in
// `available`; with a code of the host's own, 0; `asked` is the size, of deallocate the offset). At first none fails.
// For each kind of call there is one rule, and it numbers its calls from 1; setting another, or the same, begins anew.
// A sweep through all that can fail:
//
//   for (std::uint64_t n = 1;; ++n) {
//     zone.fail_nth(Call::any, n);
//     ...what is tested; it must hold whichever call fails...
//     if (zone.failed(Call::any) == 0) break;  // it took less than n calls
//   }
//
// Where a call falls under two rules, `any` is asked first; the other one numbers it all the same. Cost: a turn a
// call, and of a list a walk through it.
template <class Z>
class FaultInjection : public Layer<FaultInjection<Z>, Z> {
  using Base = Layer<FaultInjection, Z>;
  using typename Base::Turn;
  friend Base;

 public:
  // The n-th call from now on. 0: none.
  constexpr void fail_nth(Call call, std::uint64_t n, ErrorCode code = ErrorCode::injected) noexcept {
    set(call, {.kind = Kind::range, .from = n, .to = n, .code = code});
  }
  // The n-th and all after it.
  constexpr void fail_from(Call call, std::uint64_t n, ErrorCode code = ErrorCode::injected) noexcept {
    set(call, {.kind = Kind::range, .from = n, .to = bits::all, .code = code});
  }
  // Those with these numbers, in any order. The list must stay while the rule does.
  constexpr void fail_listed(Call call, std::span<const std::uint64_t> numbers,
                             ErrorCode code = ErrorCode::injected) noexcept {
    set(call, {.kind = Kind::list, .numbers = numbers, .code = code});
  }
  // `share` of each 2^log2, by chance: the same numbers whenever it is the same seed. log2 is below 64.
  constexpr void fail_by_seed(Call call, std::uint64_t seed, std::uint64_t share, unsigned log2,
                              ErrorCode code = ErrorCode::injected) noexcept {
    seam::expect(log2 < 64);
    set(call, {.kind = Kind::seed, .from = seed, .to = share, .mask = (std::uint64_t{1} << log2) - 1, .code = code});
  }
  constexpr void fail_none(Call call) noexcept { set(call, {}); }

  // How many there were since the rule was set, and how many of these it made to fail.
  constexpr std::uint64_t calls(Call call) noexcept {
    const Turn turn(*this);
    return rule_of(call).calls;
  }
  constexpr std::uint64_t failed(Call call) noexcept {
    const Turn turn(*this);
    return rule_of(call).failed;
  }

  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    if (const Error error = count(Call::allocate, request.size); error) return error;
    return next(request);
  }
  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    if (const Error error = count(Call::list, request.size); error) return error;
    return next(request);
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    if (const Error error = count(Call::resize, size); error) return error;
    return next(block, size);
  }
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    if (const Error error = count(Call::deallocate, block.offset()); error) return error;
    return next(block);
  }
  constexpr void after_recover() noexcept {}

 private:
  enum class Kind : std::uint8_t { range, list, seed };

  struct Rule {
    Kind kind = Kind::range;
    std::uint64_t from = 0;  // or the seed
    std::uint64_t to = 0;    // or the share
    std::uint64_t mask = 0;
    std::span<const std::uint64_t> numbers = {};
    ErrorCode code = ErrorCode::injected;
    std::uint64_t calls = 0;
    std::uint64_t failed = 0;

    constexpr bool names(std::uint64_t n) const noexcept {
      if (kind == Kind::range) return n >= from && n <= to;
      if (kind == Kind::seed) return (mix(from + n * 0x9E3779B97F4A7C15U) & mask) < to;
      for (const std::uint64_t number : numbers) {
        if (number == n) return true;
      }
      return false;
    }
    constexpr bool takes_next() noexcept {
      const bool fails = names(++calls);
      failed += fails ? 1 : 0;
      return fails;
    }
    static constexpr std::uint64_t mix(std::uint64_t n) noexcept {  // splitmix64's
      n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9U;
      n = (n ^ (n >> 27)) * 0x94D049BB133111EBU;
      return n ^ (n >> 31);
    }
  };

  constexpr FaultInjection(Z&& zone, const NoSettings&) noexcept : Base(std::move(zone)) {}

  constexpr Rule& rule_of(Call call) noexcept { return rules_[static_cast<std::size_t>(call)]; }

  constexpr void set(Call call, Rule rule) noexcept {
    if (rule.code == ErrorCode::none) rule.code = ErrorCode::injected;
    const Turn turn(*this);
    rule_of(call) = rule;
  }

  // One more such call; the error that it fails with, or none.
  constexpr Error count(Call call, Bytes asked) noexcept {
    const Turn turn(*this);
    Rule& any = rule_of(Call::any);
    Rule& own = rule_of(call);
    const bool by_any = any.takes_next();
    if (by_any) ++own.calls;
    if (!by_any && !own.takes_next()) return {};
    const Rule& rule = by_any ? any : own;
    return this->refuse(rule.code, asked.value(), rule.code < ErrorCode::out_of_memory ? rule.calls : 0);  // node()
  }

  std::array<Rule, static_cast<std::size_t>(Call::any) + 1> rules_ = {};
};

}  // namespace freestone::layers
