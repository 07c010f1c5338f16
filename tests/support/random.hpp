// Numbers by chance, the same ones again for the same seed: FREESTONE_SEED, or one that is always the same.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace freestone::tests {

inline std::uint64_t environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 0);
}

// Printed when first asked for.
inline std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const std::uint64_t value = environment("FREESTONE_SEED", 20080923);
    std::printf("seed %llu (FREESTONE_SEED sets it)\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return chosen;
}

class Random {
 public:
  explicit Random(std::uint64_t start) : engine_(start) {}

  std::uint64_t next() { return engine_(); }
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }                                    // [0, end)
  std::uint64_t from_to(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }  // both may come
  bool chance(std::uint64_t percent) { return below(100) < percent; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace freestone::tests
