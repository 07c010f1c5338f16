// What of a text may be handed to toml++. Its version 3.3 takes much for granted: that a header has a key, that an
// array's value begins like one, that a time has digits, that keys have few parts, that all but strings and comments is
// ASCII. Else it stops the program, uses up its stack, or does worse. So a text is handed on only where it is like
// this:
//
//   line    header or pair or nothing; comment
//   header  [key] or [[key]]
//   pair    key = value
//   key     parts with dots between them: a, "a", 'a'; 8 at most
//   value   a string of one line; letters, digits and _ + - . in a row; [values]; {pairs}; 8 deep at most
//
// That is TOML but for strings of several lines and times of day, which boards do not need. What is in strings and
// numbers is left to toml++; so is a text that just ends somewhere.
#pragma once

#include <cstddef>
#include <string_view>

namespace freestone::detail {

class TomlGate {
 public:
  explicit TomlGate(std::string_view text) noexcept : text_(text) {}

  // Goes to the first place that must not be handed on: true where there is one. Cost: O(text).
  bool find_fault() noexcept {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") begin_ = at_ = 3;
    while (!ends()) {
      if (!take_line()) return true;
    }
    return false;
  }
  std::size_t line() const noexcept { return line_; }
  std::size_t column() const noexcept { return at_ - begin_ + 1; }
  const char* why() const noexcept { return why_; }

 private:
  static constexpr int most_parts = 8;
  static constexpr int most_depth = 8;

  bool ends() const noexcept { return at_ >= text_.size(); }
  char here() const noexcept { return ends() ? '\n' : text_[at_]; }
  bool fail(const char* why) noexcept {
    const bool is_ascii = static_cast<unsigned char>(here()) < 0x80;
    why_ = is_ascii ? why : "only strings and comments may have other characters than ASCII's";
    return false;
  }
  // Each take_ goes behind what it takes. True where it is there, or the text ends.
  bool take(char wanted, const char* why) noexcept {
    if (!ends() && here() != wanted) return fail(why);
    ++at_;
    return true;
  }

  static bool is_in_key(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  }
  static bool is_in_word(char c) noexcept { return is_in_key(c) || c == '+' || c == '.'; }
  static bool is_quote(char c) noexcept { return c == '"' || c == '\''; }

  void skip_blanks() noexcept {
    while (here() == ' ' || here() == '\t') ++at_;
  }
  // And a comment.
  void skip_to_break() noexcept {
    skip_blanks();
    if (here() != '#') return;
    while (here() != '\n') ++at_;
  }
  bool is_at_break() const noexcept {
    return here() == '\n' || (here() == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  }
  void skip_break() noexcept {
    at_ += here() == '\r' ? 2 : 1;
    begin_ = at_;
    ++line_;
  }
  void skip_lines() noexcept {
    for (skip_to_break(); !ends() && is_at_break(); skip_to_break()) skip_break();
  }

  bool take_line() noexcept {
    skip_to_break();
    const bool is_taken = here() == '[' ? take_header() : is_at_break() || take_pair();
    if (!is_taken) return false;
    skip_to_break();
    if (!is_at_break()) return fail("a line has a header, or a key and its value, and nothing behind it but a comment");
    if (!ends()) skip_break();
    return true;
  }
  bool take_header() noexcept {
    const char* const why = "a header ends as it begins";
    ++at_;
    skip_blanks();
    const bool is_double = here() == '[';
    if (is_double) ++at_;
    return take_key("a header has a key") && take(']', why) && (!is_double || take(']', why));
  }
  bool take_pair() noexcept {
    return take_key("a key belongs there") && take('=', "a key has a value") && take_value();
  }

  // And the blanks round it.
  bool take_key(const char* why) noexcept {
    for (int parts = 1;; ++parts, ++at_) {
      skip_blanks();
      if (parts > most_parts) return fail("a key has at most 8 parts");
      if (!take_part(why)) return false;
      skip_blanks();
      if (here() != '.') return true;
    }
  }
  bool take_part(const char* why) noexcept {
    if (is_quote(here())) return take_string();
    if (!ends() && !is_in_key(here())) return fail(why);
    while (is_in_key(here())) ++at_;
    return true;
  }

  bool take_value() noexcept {
    skip_blanks();
    if (is_quote(here())) return take_string();
    if (here() == '[' || here() == '{') return take_nested(here() == '[');
    if (!ends() && !is_in_word(here())) return fail("a value belongs there");
    while (is_in_word(here())) ++at_;
    return true;
  }
  bool take_nested(bool is_array) noexcept {
    if (depth_ == most_depth) return fail("values are at most 8 deep");
    ++depth_;
    ++at_;
    const bool is_taken = is_array ? take_values() : take_pairs();
    --depth_;
    return is_taken;
  }
  bool take_values() noexcept {
    for (skip_lines(); !ends() && here() != ']'; skip_lines()) {
      if (!take_value()) return false;
      skip_lines();
      if (here() != ',') break;
      ++at_;
    }
    return take(']', "a comma or ] belongs there");
  }
  bool take_pairs() noexcept {
    skip_blanks();
    if (here() == '}') return take('}', "");
    while (!ends()) {
      if (!take_pair()) return false;
      skip_blanks();
      if (here() != ',') break;
      ++at_;
    }
    return take('}', "a comma or } belongs there");
  }

  // To behind its end, or to the end of the line, which its parser can tell.
  bool take_string() noexcept {
    const char quote = here();
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
  std::size_t begin_ = 0;  // of the line
  std::size_t line_ = 1;
  int depth_ = 0;
};

}  // namespace freestone::detail
