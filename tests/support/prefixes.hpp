// Texts cut short: each in memory of just that length, so that a sanitizer sees who reads behind its end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "support/random.hpp"

namespace freestone::tests {

template <class Try>
void try_exactly(std::string_view text, Try&& attempt) {
  const auto bytes = std::make_unique<char[]>(text.size());
  std::copy(text.begin(), text.end(), bytes.get());
  attempt(std::string_view(bytes.get(), text.size()));
}

// attempt(std::string_view) with the text cut at each byte, the whole of it last.
template <class Try>
void for_each_prefix(std::string_view text, Try&& attempt) {
  for (std::size_t length = 0; length <= text.size(); ++length) try_exactly(text.substr(0, length), attempt);
}

// attempt(std::string_view) with the text in which some bytes are others, by chance.
template <class Try>
void for_each_damaged(std::string_view text, std::size_t times, Try&& attempt) {
  Random random(seed());
  for (std::size_t i = 0; i < times; ++i) {
    std::string damaged(text);
    for (std::uint64_t n = random.from_to(1, 4); n != 0 && !damaged.empty(); --n) {
      damaged[static_cast<std::size_t>(random.below(damaged.size()))] = static_cast<char>(random.below(256));
    }
    try_exactly(damaged, attempt);
  }
}

}  // namespace freestone::tests
