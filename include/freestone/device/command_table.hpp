// Commands as data: number, direction and struct of each; and one way to serve them all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/wire.hpp>

namespace freestone::device {

// A command: its number, which way its argument goes, the struct W behind it, and who serves it: a member
// `Outcome<File> serve(Call&, W::Struct&)`. `fd` is the member that gets the new file's descriptor.
template <char command_magic, unsigned command_number, Direction direction, class W, auto serve_with, auto fd_member = nullptr>
struct Entry {
  using Layout = W;
  static constexpr char magic = command_magic;
  static constexpr unsigned number = command_number;
  static constexpr auto serve = serve_with;
  static constexpr bool copies_out = true;  // where its direction says so

  static constexpr Command command(WordSize word) noexcept {
    return Command::of(direction, magic, number, static_cast<std::uint32_t>(W::length(word)));
  }
  // An argument of that length, of a caller of that word size? (Matching::magic_and_number.)
  static constexpr bool takes(std::size_t length, WordSize word) noexcept { return length == W::length(word); }
  static constexpr FdField fd(WordSize word) noexcept {
    if constexpr (std::is_null_pointer_v<decltype(fd_member)>) {
      return {.offset = W::length(word), .length = 0};
    } else {
      return {.offset = W::template offset<fd_member>(word)};
    }
  }
};

// One whose argument comes in only, whatever its direction says.
template <class E>
struct ComesInOnly : E {
  static constexpr bool copies_out = false;
};
// One whose number tells another length than its struct has.
template <class E, std::uint32_t length>
struct NumberedWith : E {
  static constexpr Command command(WordSize word) noexcept {
    return Command{(E::command(word).code & ~(std::uint32_t{0x3fff} << 16)) | length << 16};
  }
};
// One that takes the lengths for which takes_length(length, word) is true.
template <class E, auto takes_length>
struct Taking : E {
  static constexpr bool takes(std::size_t length, WordSize word) noexcept { return takes_length(length, word); }
};

// How a node reads a command's number. The order of its checks is what callers see.
enum class Matching : std::uint8_t {
  // Longer than every struct here: EINVAL. What the caller hands in is copied: EFAULT. Then the whole number counts:
  // ENOTTY. What goes back is copied where the command was served. (shared/spec: ION 1.3, 1.4.)
  code,
  // The whole number counts: ENOTTY. Then the command's struct is copied, in the length that it has: EFAULT; and back, where the
  // command was served. (ION 1.1, 1.2.)
  struct_length,
  // Only the number counts: EINVAL. A shorter struct is filled with zeros, of a longer one the rest stays as it is; it
  // is copied back even where the command failed. (dma-heap: ION 1.5.)
  number,
  // Only magic and number count; the argument is somewhere, and of a length that the command takes: EINVAL. It is copied in whatever
  // the direction says (EFAULT), and back where that says so and the command was served; what is behind the struct stays as it is. A
  // 32-bit caller whose argument is longer than the command takes of such has it as 64-bit callers have it. (MMZ 1.1, 1.3.)
  magic_and_number,
};

template <Matching matching, class... Entries>
class CommandTable {
  static constexpr std::size_t most_length = [] {
    std::size_t most = 0;
    ((most = Entries::Layout::most_length > most ? Entries::Layout::most_length : most), ...);
    return most;
  }();

 public:
  // The command for `file`, whose argument is at that address of the caller's memory.
  template <class F, class C>
  static Answer serve(F& file, C& call, Command command, std::uint64_t address) noexcept {
    if (matching == Matching::code && command.length() > most_length) return Errno::invalid;
    const std::optional<WordSize> word = word_of(command, call.word());
    if (!word || (matching == Matching::magic_and_number && address == 0)) return Errno::invalid;
    const std::size_t length = matching == Matching::struct_length ? struct_length(command, *word) : command.length();
    if (matching == Matching::struct_length && length == 0) return Errno::no_such_command;
    if (matching == Matching::number && !((Entries::number == command.number()) || ...)) return Errno::invalid;
    std::array<std::byte, most_length> bytes{};
    const std::span<std::byte> argument(bytes.data(), length < most_length ? length : most_length);
    const bool hands_in = command.hands_in() || matching == Matching::magic_and_number;
    if (hands_in && !argument.empty() && !call.copy_in(argument, address)) return Errno::fault;
    Answer answer = Errno::no_such_command;
    static_cast<void>((serve_as<Entries>(file, call, command, *word, address, bytes, argument, answer) || ...));
    return answer;
  }

 private:
  // The caller's, as the length of his argument has it. Empty: there is no such command, or not with such an argument.
  static constexpr std::optional<WordSize> word_of(Command command, WordSize caller) noexcept {
    if constexpr (matching != Matching::magic_and_number) return caller;
    for (const WordSize word : {caller, WordSize::bits64}) {
      if (((matches<Entries>(command, word) && Entries::takes(command.length(), word)) || ...)) return word;
    }
    return std::nullopt;
  }
  template <class E>
  static constexpr bool matches(Command command, WordSize word) noexcept {
    if constexpr (matching == Matching::number) return E::number == command.number();
    if constexpr (matching == Matching::magic_and_number) return E::magic == command.magic() && E::number == command.number();
    return E::command(word) == command;
  }
  // 0: there is no such command.
  static constexpr std::size_t struct_length(Command command, WordSize word) noexcept {
    std::size_t length = 0;
    static_cast<void>(((Entries::command(word) == command && (length = Entries::Layout::length(word), true)) || ...));
    return length;
  }

  // `argument` is as much of `bytes` as the caller has; the rest is zeros.
  template <class E, class F, class C>
  static bool serve_as(F& file, C& call, Command command, WordSize word, std::uint64_t address, std::span<const std::byte> bytes,
                       std::span<std::byte> argument, Answer& answer) noexcept {
    using W = typename E::Layout;
    if (!matches<E>(command, word)) return false;
    auto values = W::read(bytes, word);
    auto outcome = (file.*E::serve)(call, values);
    answer = outcome.answer;
    if (!command.gets_back() || !E::copies_out || (answer.is_error() && matching != Matching::number)) return true;
    W::write(values, argument, word);
    using Made = typename decltype(outcome)::File;
    if constexpr (is_file<Made>) {
      if (outcome.file) {
        answer = call.publish(std::move(*outcome.file), outcome.flags, E::fd(word), address, argument);
        return true;
      }
    }
    if (!argument.empty() && !call.copy_out(address, argument)) return answer = Errno::fault, true;
    if constexpr (is_kept<Made>) {
      if (outcome.file) outcome.file->keep();
    }
    return true;
  }
  // What is made known by the struct alone.
  template <class Made>
  static constexpr bool is_kept = requires(Made& made) { made.keep(); };
  template <class Made>
  static constexpr bool is_file = !std::is_same_v<Made, NoFile> && !is_kept<Made>;
};

}  // namespace freestone::device
