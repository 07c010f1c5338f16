// Sizes from a command line, NAME=SIZE: a heap whose text names such a word has that size in place of its text's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/core/units.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/text_number.hpp>

namespace freestone {

struct SizeWord {
  std::string name = {};
  std::string text = {};  // its size, as it was given
  Bytes size = {};
};

// Each is NAME=SIZE, a size as parse_number takes it: 24M, 0x100000, 512K. Errors: bad_number and out_of_range, with the word's name
// as the field.
inline TextResult<std::vector<SizeWord>> read_size_words(std::span<const char* const> arguments) {
  std::vector<SizeWord> words;
  for (const std::string_view argument : arguments) {
    const std::size_t end = std::min(argument.find('='), argument.size());
    SizeWord word{.name = std::string(argument.substr(0, end)), .text = std::string(argument.substr(std::min(end + 1, argument.size())))};
    const TextNumber size = parse_number(word.text);
    if (size.fault != TextFault::none) return TextError{.what = size.fault, .field = word.name, .value = word.text};
    word.size = size.value;
    words.push_back(std::move(word));
  }
  return words;
}

// The word of that name; of several the last, as a kernel has it of its parameters. nullptr: none.
inline const SizeWord* find_word(std::span<const SizeWord> words, std::string_view name) noexcept {
  const SizeWord* found = nullptr;
  for (const SizeWord& word : words) {
    if (word.name == name) found = &word;
  }
  return found;
}
// The first that is none of these names, which are all that a board has: unused_word. No error: each is one of them.
inline TextError unused_word(std::span<const SizeWord> words, std::span<const std::string> names) {
  for (const SizeWord& word : words) {
    if (std::ranges::count(names, word.name) == 0) return {.what = TextFault::unused_word, .field = word.name, .value = word.text};
  }
  return {};
}

}  // namespace freestone
