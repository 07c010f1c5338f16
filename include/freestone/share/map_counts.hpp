// How often a buffer is mapped by CPUs and by devices, and how CPUs see it: one word, for the last of these is fixed
// while there are any of the others.
#pragma once

#include <cstdint>
#include <optional>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/seam.hpp>

namespace freestone {

// Who maps.
enum class Mapper : std::uint8_t { cpu, device };

// A view of a word: 15 bits of CPU mappings, 15 of devices', 2 for the cacheability. Any thread; a few atomic operations.
template <class Atomics = CompilerAtomics>
class MapCounts {
 public:
  using Word = typename Atomics::Word;
  static constexpr std::uint32_t most = (std::uint32_t{1} << 15) - 1;

  constexpr explicit MapCounts(Word& word) noexcept : word_(&word) {}

  // A new buffer's: not mapped. By its maker, before anybody else knows it.
  void begin(Cacheability seen) noexcept { Atomics::store_release(*word_, static_cast<std::uint32_t>(seen) << 30); }

  // One more. Where it is wanted in some way it is so from here on, or this fails. Errors: too_many_maps; still_mapped, by
  // somebody and in another way; bad_cacheability.
  ErrorCode map(Mapper mapper, std::optional<Cacheability> wanted = {}) noexcept {
    if (wanted && !is_known(*wanted)) return ErrorCode::bad_cacheability;
    return change([&](std::uint32_t word, std::uint32_t& next) {
      const std::uint32_t seen = wanted ? seen_as(*wanted, word) : word;
      next = seen + one(mapper);
      if (seen != word && (word & mapped_bits) != 0) return ErrorCode::still_mapped;
      return count_of(word, mapper) == most ? ErrorCode::too_many_maps : ErrorCode::none;
    });
  }
  // So many of one's own. Errors: not_mapped, where there are not as many.
  ErrorCode unmap(Mapper mapper, std::uint32_t times = 1) noexcept {
    return change([&](std::uint32_t word, std::uint32_t& next) {
      next = word - times * one(mapper);
      return count_of(word, mapper) < times ? ErrorCode::not_mapped : ErrorCode::none;
    });
  }
  // Errors: still_mapped, where it is another than now and somebody maps; bad_cacheability.
  ErrorCode set_cacheability(Cacheability wanted) noexcept {
    if (!is_known(wanted)) return ErrorCode::bad_cacheability;
    return change([&](std::uint32_t word, std::uint32_t& next) {
      next = seen_as(wanted, word);
      return next != word && (word & mapped_bits) != 0 ? ErrorCode::still_mapped : ErrorCode::none;
    });
  }

  std::uint32_t count(Mapper mapper) const noexcept { return count_of(Atomics::load_relaxed(*word_), mapper); }
  Cacheability cacheability() const noexcept { return static_cast<Cacheability>(Atomics::load_relaxed(*word_) >> 30); }

 private:
  static constexpr std::uint32_t mapped_bits = (std::uint32_t{1} << 30) - 1;
  static constexpr std::uint32_t seen_as(Cacheability wanted, std::uint32_t word) noexcept {
    return static_cast<std::uint32_t>(wanted) << 30 | (word & mapped_bits);
  }
  static constexpr std::uint32_t one(Mapper mapper) noexcept { return mapper == Mapper::cpu ? 1 : std::uint32_t{1} << 15; }
  static constexpr std::uint32_t count_of(std::uint32_t word, Mapper mapper) noexcept {
    return (mapper == Mapper::cpu ? word : word >> 15) & most;
  }

  // step(word, next) says what is wrong, or `next`.
  template <class Step>
  ErrorCode change(Step&& step) noexcept {
    for (;;) {
      const std::uint32_t seen = Atomics::load_relaxed(*word_);
      std::uint32_t next = seen;
      const ErrorCode wrong = step(seen, next);
      if (wrong != ErrorCode::none || Atomics::compare_exchange_acq_rel(*word_, seen, next)) return wrong;
    }
  }

  Word* word_;
};

}  // namespace freestone
