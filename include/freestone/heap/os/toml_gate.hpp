// What of a text may be handed to toml++. Its version 3.3 takes for granted that a header in brackets has a key, and
// that what stands outside of strings and comments is ASCII: else it stops the program, or does worse. Boards need
// neither, and no strings of several lines, which would make this look longer.
#pragma once

#include <cstddef>
#include <string_view>

namespace freestone::detail {

class TomlGate {
 public:
  explicit TomlGate(std::string_view text) noexcept : text_(text) {}

  // Goes to the first place that must not be handed on: true where there is one.
  bool find_fault() noexcept {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
    for (; at_ < text_.size(); ++line_) {
      begin_ = at_;
      if (!has_key() || !is_plain_line()) return true;
    }
    return false;
  }
  std::size_t line() const noexcept { return line_; }
  std::size_t column() const noexcept { return at_ - begin_ + 1; }
  const char* why() const noexcept { return why_; }

 private:
  char here() const noexcept { return at_ < text_.size() ? text_[at_] : '\n'; }
  bool fail(const char* why) noexcept { return why_ = why, false; }
  void skip_blanks() noexcept {
    while (here() == ' ' || here() == '\t') ++at_;
  }

  // A line that begins with [ or [[ has a key behind it; or the text ends there, which its parser can tell.
  bool has_key() noexcept {
    skip_blanks();
    if (here() != '[') return true;
    ++at_;
    skip_blanks();
    if (here() == '[') ++at_;
    skip_blanks();
    return at_ >= text_.size() || is_key(here()) || fail("a header has a key");
  }
  static bool is_key(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
           c == '"' || c == '\'';
  }

  // The rest of the line, and its end.
  bool is_plain_line() noexcept {
    while (at_ < text_.size() && here() != '\n') {
      const char c = here();
      if (c == '#') {
        while (at_ < text_.size() && here() != '\n') ++at_;
      } else if (c == '"' || c == '\'') {
        if (!skip_string(c)) return false;
      } else if (static_cast<unsigned char>(c) >= 0x80) {
        return fail("only strings and comments may have other characters than ASCII's");
      } else {
        ++at_;
      }
    }
    ++at_;
    return true;
  }
  // To behind its end, or to the end of the line.
  bool skip_string(char quote) noexcept {
    if (text_.substr(at_, 3) == std::string_view(quote == '"' ? "\"\"\"" : "'''")) return fail("a string has one line");
    for (++at_; here() != '\n' && here() != quote; ++at_) {
      if (here() == '\\' && quote == '"' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
    }
    if (here() == quote) ++at_;
    return true;
  }

  std::string_view text_;
  const char* why_ = "";
  std::size_t at_ = 0;
  std::size_t begin_ = 0;
  std::size_t line_ = 1;
};

}  // namespace freestone::detail
