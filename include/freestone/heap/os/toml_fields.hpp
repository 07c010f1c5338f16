// A TOML table's fields, one by one, with the line and field of whatever is wrong. For the boards' readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <toml++/toml.h>

#include <freestone/heap/name.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/text_number.hpp>
#include <freestone/heap/os/toml_gate.hpp>

namespace freestone::detail {

inline TextError not_toml(const toml::parse_error& error) {
  return {.what = TextFault::syntax,
          .line = error.source().begin.line,
          .column = error.source().begin.column,
          .value = std::string(error.description())};
}

// The text as a table, or where it ends to be TOML. Whichever way its parser was told to say so.
inline TextResult<toml::table> parse_toml(std::string_view text) {
  if (TomlGate gate(text); gate.find_fault()) {
    return TextError{.what = TextFault::syntax, .line = gate.line(), .column = gate.column(), .value = gate.why()};
  }
#if TOML_EXCEPTIONS
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return not_toml(error);
  }
#else
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) return not_toml(parsed.error());
  return std::move(parsed).table();
#endif
}

// A value as an error shows it.
inline std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_table()) return "a table";
  return node.is_array() ? "an array" : "";
}

inline bool is_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > most_name_length) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

// The first thing that is wrong stays in error(); whatever is read after it is empty.
class TomlFields {
 public:
  explicit TomlFields(const toml::table& table) noexcept : table_(table) {}

  std::size_t line() const noexcept { return table_.source().begin.line; }
  bool has(std::string_view field) const { return table_.contains(field); }
  const TextError& error() const noexcept { return error_; }
  void belong_to(const std::string& heap) { heap_ = heap; }

  bool is_integer(std::string_view field) const { return has(field) && table_.get(field)->is_integer(); }

  void fail(std::string_view field, TextFault what) {
    if (!error_) error_ = error_at(field, what);
  }
  // The same, told and not kept.
  TextError error_at(std::string_view field, TextFault what) const {
    const toml::node* node = table_.get(field);
    const toml::source_position at = (node != nullptr ? node->source() : table_.source()).begin;
    return {.what = what,
            .line = at.line,
            .column = at.column,
            .heap = heap_,
            .field = std::string(field),
            .value = node != nullptr ? shown(*node) : std::string()};
  }

  // No others than these may be there.
  void allow(std::initializer_list<std::string_view> fields) {
    for (const auto& [key, node] : table_) {
      bool is_known = false;
      for (const std::string_view field : fields) is_known = is_known || key.str() == field;
      if (!is_known) fail(key.str(), TextFault::unknown_field);
    }
  }
  void require(std::initializer_list<std::string_view> fields) {
    for (const std::string_view field : fields) {
      if (!has(field)) fail(field, TextFault::missing_field);
    }
  }

  // There is at least one [[field]].
  void require_some(std::string_view field) {
    const toml::node* node = table_.get(field);
    const toml::array* list = node != nullptr ? node->as_array() : nullptr;
    if (node == nullptr || (list != nullptr && list->empty())) fail(field, TextFault::missing_field);
  }

  // Each of these is empty where the field is not there.
  std::string text(std::string_view field) {
    const toml::node* node = table_.get(field);
    if (node == nullptr || error_) return {};
    if (const auto* found = node->as_string()) return found->get();
    return fail(field, TextFault::wrong_type), std::string();
  }
  std::string name(std::string_view field) {
    std::string found = text(field);
    if (has(field) && !error_ && !is_name(found)) fail(field, TextFault::bad_name);
    return found;
  }
  // An integer, or a text as parse_number takes it.
  std::optional<std::uint64_t> number(std::string_view field, std::uint64_t most = ~std::uint64_t{0}) {
    const toml::node* node = table_.get(field);
    if (node == nullptr || error_) return std::nullopt;
    TextNumber found{0, TextFault::wrong_type};
    if (const auto* integer = node->as_integer()) {
      found = {static_cast<std::uint64_t>(integer->get()),
               integer->get() < 0 ? TextFault::out_of_range : TextFault::none};
    } else if (const auto* written = node->as_string()) {
      found = parse_number(written->get());
    }
    if (found.fault == TextFault::none && found.value > most) found.fault = TextFault::out_of_range;
    if (found.fault == TextFault::none) return found.value;
    return fail(field, found.fault), std::nullopt;
  }
  Bytes bytes(std::string_view field) { return number(field).value_or(0); }
  // true, false, 1 or 0.
  bool flag(std::string_view field) {
    const toml::node* node = table_.get(field);
    if (node == nullptr || error_) return false;
    if (const auto* found = node->as_boolean()) return found->get();
    return number(field, 1).value_or(0) == 1;
  }
  // The place of the word among these.
  std::optional<std::size_t> word(std::string_view field, std::initializer_list<std::string_view> words) {
    const std::string found = text(field);
    if (!has(field) || error_) return std::nullopt;
    std::size_t at = 0;
    for (const std::string_view one : words) {
      if (one == found) return at;
      ++at;
    }
    return fail(field, TextFault::unknown_word), std::nullopt;
  }

  // A word, or its place among the words as a number; words.size() where it is neither, and 0 where it is not there.
  std::size_t word_or_number(std::string_view field, std::initializer_list<std::string_view> words) {
    if (!has(field) || error_) return 0;
    if (is_integer(field)) {
      const std::uint64_t place = number(field).value_or(0);
      return place < words.size() ? static_cast<std::size_t>(place) : words.size();
    }
    const std::string found = text(field);
    std::size_t at = 0;
    while (at < words.size() && words.begin()[at] != found) ++at;
    return at;
  }

  // read(TomlFields&) for each [[field]]; ends at the first that has an error, which becomes this one's.
  template <class Read>
  void each(std::string_view field, Read&& read) {
    const toml::node* node = table_.get(field);
    if (node == nullptr || error_) return;
    const toml::array* list = node->as_array();
    if (list == nullptr) return fail(field, TextFault::wrong_type);
    for (const toml::node& one : *list) {
      const toml::table* table = one.as_table();
      if (table == nullptr) return fail(field, TextFault::wrong_type);
      TomlFields fields(*table);
      read(fields);
      if (fields.error()) {
        error_ = fields.error();
        return;
      }
    }
  }

 private:
  const toml::table& table_;
  TextError error_ = {};
  std::string heap_ = {};
};

// A file with several systems' tables: what it may have, whoever reads it.
inline void allow_systems(TomlFields& board) {
  board.allow({"order", "memory", "heap", "node", "pmem", "ion", "mmz", "has_outer_cache"});
  static_cast<void>(board.word("order", {"declared", "ascending_id", "descending_id", "newest_first"}));
}

// [[memory]] name, base, size
inline std::vector<BoardMemory> read_memories(TomlFields& board) {
  std::vector<BoardMemory> memories;
  board.each("memory", [&](TomlFields& fields) {
    fields.allow({"name", "base", "size"});
    fields.require({"name", "base", "size"});
    BoardMemory memory{.name = fields.name("name"),
                       .base = fields.number("base").value_or(0),
                       .size = fields.bytes("size"),
                       .line = fields.line()};
    if (memory.size == 0) fields.fail("size", TextFault::zero_size);
    if (memory.size.value() - 1 > ~memory.base) fields.fail("size", TextFault::wraps);
    memories.push_back(std::move(memory));
  });
  return memories;
}

}  // namespace freestone::detail
