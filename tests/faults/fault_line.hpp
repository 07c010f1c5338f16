// What a fault campaign found, as one line.
#pragma once

#include <cstdint>
#include <cstdio>

#include "support/random.hpp"

namespace freestone::tests {

struct FaultLine {
  const char* name;
  std::uint64_t runs = 0;
  std::uint64_t unusable = 0;  // what should have worked after it did not
  std::uint64_t leaked = 0;    // something is left
  std::uint64_t corrupt = 0;   // something else changed, or was allowed, or the error is another

  // One that was found; the first ten are told.
  void note(std::uint64_t& kind, const char* subject, const char* what) {
    ++kind;
    if (unusable + leaked + corrupt <= 10) std::printf("  %s, %s: %s\n", name, subject, what);
  }
  bool is_good() const { return runs != 0 && unusable + leaked + corrupt == 0; }
  bool print() const {
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("fault=%s seed=%llu runs=%llu unusable=%llu leaked=%llu corrupt=%llu\n", name, number(seed()), number(runs),
                number(unusable), number(leaked), number(corrupt));
    return is_good();
  }
};

}  // namespace freestone::tests
