// Structs as callers lay them out in their memory, described field by field: callers of 32 and of 64 bits have two
// layouts of one struct.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace freestone::device {

// Of the caller: how long its `long`, `size_t` and pointers are, in bytes.
enum class WordSize : std::uint8_t { bits32 = 4, bits64 = 8 };

// Types of fields. A word is an unsigned long, a size_t or a pointer; a text is an array of char, which is not looked at.
enum class FieldType : std::uint8_t { u32, s32, u64, word, text };

constexpr std::size_t size_of(FieldType type, WordSize word) noexcept {
  switch (type) {
    case FieldType::u32:
    case FieldType::s32: return 4;
    case FieldType::u64: return 8;
    case FieldType::word: return static_cast<std::size_t>(word);
    case FieldType::text: return 1;  // a character
  }
  return 0;
}

// A field, and the member that has its value here.
template <auto member, FieldType type>
struct Field;
template <class S, class T, T S::*member, FieldType of_type>
  requires(of_type != FieldType::text)
struct Field<member, of_type> {
  using Struct = S;
  static constexpr T S::*place = member;
  static constexpr FieldType type = of_type;
  static constexpr std::size_t count = 1;
  static_assert(std::is_integral_v<T>, "A field's member is an integer; a text's an array of char.");
  static_assert(sizeof(T) >= (of_type == FieldType::u64 || of_type == FieldType::word ? 8 : 4),
                "A field's member has room for the longest value: 8 bytes for u64 and word, 4 for u32 and s32.");
};
template <class S, std::size_t length, std::array<char, length> S::*member>
struct Field<member, FieldType::text> {
  using Struct = S;
  static constexpr std::array<char, length> S::*place = member;
  static constexpr FieldType type = FieldType::text;
  static constexpr std::size_t count = length;
};

// Fields one after the other, each at a multiple of its own size, as C lays them out. Of 32-bit targets some have a u64
// at multiples of 4 (i386) and some of 8 (arm): so a struct with one has no gap, and both agree.
template <class S, class... Fields>
class Wire {
  static_assert((std::is_same_v<typename Fields::Struct, S> && ...), "All fields are of one struct.");

 public:
  using Struct = S;

  // In bytes.
  static constexpr std::size_t length(WordSize word) noexcept {
    std::size_t end = 0;
    std::size_t most = 1;
    (add<Fields>(word, end, most), ...);
    return align(end, most);
  }
  static constexpr std::size_t most_length = length(WordSize::bits64);

  // Of the field with that member, from the first byte.
  template <auto member>
  static constexpr std::size_t offset(WordSize word) noexcept {
    std::size_t end = 0;
    std::size_t most = 1;
    std::size_t found = 0;
    bool is_found = false;
    (find<Fields, member>(word, end, most, found, is_found), ...);
    return found;
  }
  // No byte is between fields: then nothing of ours goes along, and each compiler has it like this.
  static constexpr bool is_dense(WordSize word) noexcept {
    return length(word) == ((Fields::count * size_of(Fields::type, word)) + ...);
  }

  // Out of `bytes`, length(word) of them. Where there are fewer, the fields that are not whole are 0.
  static constexpr S read(std::span<const std::byte> bytes, WordSize word) noexcept {
    static_assert(((Fields::type != FieldType::u64) && ...) || (is_dense(WordSize::bits32) && is_dense(WordSize::bits64)),
                  "A struct with a u64 has no gaps: targets of 32 bits do not agree where it would lie.");
    S out{};
    std::size_t end = 0;
    (read_one<Fields>(bytes, word, end, out), ...);
    return out;
  }
  // Into `bytes`; bytes behind the fields, and between them, stay as they are.
  static constexpr void write(const S& from, std::span<std::byte> bytes, WordSize word) noexcept {
    std::size_t end = 0;
    (write_one<Fields>(from, word, end, bytes), ...);
  }

 private:
  static constexpr std::size_t align(std::size_t at, std::size_t to) noexcept { return (at + to - 1) & ~(to - 1); }

  template <class F>
  static constexpr std::size_t place(WordSize word, std::size_t& end) noexcept {
    const std::size_t size = size_of(F::type, word);
    const std::size_t at = align(end, size);
    end = at + F::count * size;
    return at;
  }
  template <class F>
  static constexpr void add(WordSize word, std::size_t& end, std::size_t& most) noexcept {
    place<F>(word, end);
    if (size_of(F::type, word) > most) most = size_of(F::type, word);
  }
  template <class F, auto member>
  static constexpr void find(WordSize word, std::size_t& end, std::size_t&, std::size_t& found, bool& is_found) noexcept {
    const std::size_t at = place<F>(word, end);
    if constexpr (std::is_same_v<std::remove_const_t<decltype(F::place)>, std::remove_const_t<decltype(member)>>) {
      if (F::place == member && !is_found) found = at, is_found = true;
    }
  }

  // In the byte order of this machine, which is the caller's.
  static constexpr std::uint64_t load(std::span<const std::byte> bytes, std::size_t at, std::size_t size) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * byte_place(i, size));
    return value;
  }
  static constexpr void store(std::uint64_t value, std::span<std::byte> bytes, std::size_t at, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i)
      bytes[at + i] = static_cast<std::byte>(value >> (8 * byte_place(i, size)) & 0xff);
  }
  static constexpr std::size_t byte_place(std::size_t i, std::size_t size) noexcept {
    return std::endian::native == std::endian::little ? i : size - 1 - i;
  }

  template <class F>
  static constexpr void read_one(std::span<const std::byte> bytes, WordSize word, std::size_t& end, S& out) noexcept {
    const std::size_t at = place<F>(word, end);
    if (end > bytes.size()) return;
    using T = std::remove_reference_t<decltype(out.*F::place)>;
    if constexpr (F::type == FieldType::text) {
      for (std::size_t i = 0; i < F::count; ++i) (out.*F::place)[i] = static_cast<char>(bytes[at + i]);
    } else if constexpr (F::type == FieldType::s32) {
      out.*F::place = static_cast<T>(static_cast<std::int32_t>(static_cast<std::uint32_t>(load(bytes, at, end - at))));
    } else {
      out.*F::place = static_cast<T>(load(bytes, at, end - at));
    }
  }
  template <class F>
  static constexpr void write_one(const S& from, WordSize word, std::size_t& end, std::span<std::byte> bytes) noexcept {
    const std::size_t at = place<F>(word, end);
    if (end > bytes.size()) return;
    if constexpr (F::type == FieldType::text) {
      for (std::size_t i = 0; i < F::count; ++i) bytes[at + i] = static_cast<std::byte>((from.*F::place)[i]);
    } else {
      store(static_cast<std::uint64_t>(from.*F::place), bytes, at, end - at);
    }
  }
};

}  // namespace freestone::device
