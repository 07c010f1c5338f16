// How much a long test does: all of it, but in a build under a sanitizer, where a step takes ten times as long, a part. No
// kind of case is left out there.
#pragma once

#include <cstdint>

namespace freestone::tests {

constexpr bool is_slow_build =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer);
#else
    false;
#endif

// A prime: it divides no number of cases, so that of each row of them it takes others than of the row before.
constexpr unsigned one_in = is_slow_build ? 11 : 1;

// Of so many steps by chance, or rounds, those that are done; at least one.
template <class Count>
constexpr Count some_of(Count count) {
  return static_cast<Count>((count + Count{one_in - 1}) / Count{one_in});
}

// Of cases that come one after the other, those that are tried.
class Turns {
 public:
  bool is_next() { return turn_++ % one_in == 0; }

 private:
  std::uint64_t turn_ = 0;
};

}  // namespace freestone::tests
