// A lock decides WHO may call at once. It lies in the zone's notes, beside the map, so that all users of the map meet
// at it; the object is a view. Not its job: what is done under it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace freestone {

// `words` of the notes are the lock's (0: it keeps nothing). `process_shared` says that it also orders callers of other
// processes that see the same words.
template <class L>
concept has_lock_constants = requires {
  { L::words } -> std::convertible_to<std::size_t>;
  { L::process_shared } -> std::convertible_to<bool>;
};

// `format` writes an open lock over words that nobody uses; `attach` takes up one that is there, in whatever state.
template <class L>
concept can_lie_in_words = requires(std::uint64_t* words) {
  { L::format(words) } noexcept -> std::same_as<L>;
  { L::attach(words) } noexcept -> std::same_as<L>;
};

// An ability, found by presence: zeros that nobody has seen yet are an open lock, and `attach` takes it up.
template <class L>
concept opens_as_zeros = requires { requires L::opens_as_zeros; };

// How the holder before went: by unlock(), or by the end of his thread or process.
enum class LastHolder : std::uint8_t { left, died };

// An ability, found by presence: lock() says it where a holder died inside. The caller is inside all the same, and it
// is told once: to the first who comes after the death, or where that one dies inside too, to the next.
template <class L>
concept reports_death = requires(L l) {
  { l.lock() } noexcept -> std::same_as<LastHolder>;
};

// An ability, found by presence: are these words, which such a lock was written to, whole, and would this caller be
// safe at them? It only looks, in any state of the lock. Whoever takes a lock up that others made asks first.
template <class L>
concept can_refuse = requires(const std::uint64_t* words) {
  { L::is_mine(words) } noexcept -> std::same_as<bool>;
};

// Between lock() and unlock() of one thread no other caller is between his.
template <class L>
concept can_lock = requires(L l) {
  { l.unlock() } noexcept -> std::same_as<void>;
} && (reports_death<L> || requires(L l) {
  { l.lock() } noexcept -> std::same_as<void>;
});

// A lock may have a constant `id` that tells it from others of as many words: map_id("Mine").
template <class L>
consteval std::uint32_t lock_id() {
  if constexpr (requires { { L::id } -> std::convertible_to<std::uint32_t>; }) {
    return L::id;
  } else {
    return 0;
  }
}

template <class L>
concept Lock = std::copyable<L> && has_lock_constants<L> && can_lie_in_words<L> && can_lock<L>;

template <class L>
consteval bool check_lock() {
  static_assert(has_lock_constants<L>, "A Lock must have the constants std::size_t words and bool process_shared.");
  static_assert(can_lie_in_words<L>,
                "A Lock L must have static L format(std::uint64_t* words) noexcept and attach, the "
                "same.");
  static_assert(can_lock<L>,
                "A Lock must have void lock() noexcept and void unlock() noexcept. "
                "(LastHolder lock() where it tells that a holder died.)");
  static_assert(std::copyable<L>, "A Lock must be copyable: it is a view of words.");
  return Lock<L>;
}

}  // namespace freestone
