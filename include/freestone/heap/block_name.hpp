// A name that somebody gives a block.
#pragma once

#include <cstddef>
#include <span>

#include <freestone/core/result.hpp>

namespace freestone {

namespace detail {
// Never defined: what the compiler says when it is called in constant evaluation is its name.
void a_name_has_no_0_inside();
void a_name_ends_with_a_0();
}  // namespace detail

// 1 to `most` bytes, whatever they are but 0; MSYS's names have 15 at most. It is compared as a whole: "emac1" is not
// "emac1_buff". One that is made of nothing is empty, which is nobody's name.
template <std::size_t most = 15>
class BlockName {
  static_assert(most != 0, "A name has room for 1 byte at least.");

 public:
  static constexpr std::size_t most_length = most;

  constexpr BlockName() noexcept = default;
  // What the program itself says, "emac1_buff", is looked at when it is compiled.
  template <std::size_t n>
  consteval BlockName(const char (&text)[n]) noexcept {
    static_assert(n >= 2, "A name is not empty.");
    static_assert(n <= most + 1, "A name is not longer than it may be.");
    if (text[n - 1] != '\0') detail::a_name_ends_with_a_0();
    for (std::size_t i = 0; i < n - 1; ++i) {
      if (text[i] == '\0') detail::a_name_has_no_0_inside();
      text_[i] = text[i];
    }
  }

  // All of these bytes. Errors: bad_name (asked: their number) where there are none or too many, or one of them is 0.
  static constexpr Result<BlockName> of(std::span<const char> text) noexcept {
    if (text.empty() || text.size() > most) return bad(text.size());
    BlockName name;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\0') return bad(text.size());
      name.text_[i] = text[i];
    }
    return name;
  }
  // The bytes before the first 0; no more than `most` + 1 are read. Errors: bad_name, also of a null pointer.
  static constexpr Result<BlockName> of(const char* text) noexcept {
    std::size_t length = 0;
    while (text != nullptr && length <= most && text[length] != '\0') ++length;
    return of(std::span<const char>(text, length));
  }
  // The bytes before the first 0 of a record's field. Errors: bad_name, also where there is no 0 in it (MSYS).
  static constexpr Result<BlockName> of_field(std::span<const char> field) noexcept {
    std::size_t length = 0;
    while (length < field.size() && field[length] != '\0') ++length;
    return length == field.size() ? bad(length) : of(field.first(length));
  }

  constexpr bool is_empty() const noexcept { return text_[0] == '\0'; }
  constexpr std::size_t length() const noexcept {
    std::size_t length = 0;
    while (text_[length] != '\0') ++length;
    return length;
  }
  // Ends with a 0; lives as long as the name.
  constexpr const char* c_str() const noexcept { return text_; }

  friend constexpr bool operator==(const BlockName&, const BlockName&) noexcept = default;

 private:
  static constexpr Error bad(std::size_t length) noexcept { return {.code = ErrorCode::bad_name, .asked = length}; }

  char text_[most + 1] = {};  // 0 from the name's end on
};

}  // namespace freestone
