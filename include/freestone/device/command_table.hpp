// Commands as data: number, direction and struct of each; and one way to serve them all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
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
template <char magic, unsigned command_number, Direction direction, class W, auto serve_with, auto fd_member = nullptr>
struct Entry {
  using Layout = W;
  static constexpr unsigned number = command_number;
  static constexpr auto serve = serve_with;

  static constexpr Command command(WordSize word) noexcept {
    return Command::of(direction, magic, number, static_cast<std::uint32_t>(W::length(word)));
  }
  static constexpr FdField fd(WordSize word) noexcept {
    if constexpr (std::is_null_pointer_v<decltype(fd_member)>) {
      return {.offset = W::length(word), .length = 0};
    } else {
      return {.offset = W::template offset<fd_member>(word)};
    }
  }
};

// How a node reads a command's number. The order of its checks is what callers see.
enum class Matching : std::uint8_t {
  // Longer than every struct here: EINVAL. What the caller hands in is copied: EFAULT. Then the whole number counts:
  // ENOTTY. What goes back is copied where the command was served. (shared/spec: ION 1.3, 1.4.)
  code,
  // Only the number counts: EINVAL. A shorter struct is filled with zeros, of a longer one the rest stays as it is; it
  // is copied back even where the command failed. (dma-heap: ION 1.5.)
  number,
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
    if (matching == Matching::number && !((Entries::number == command.number()) || ...)) return Errno::invalid;
    std::array<std::byte, most_length> bytes{};
    const std::span<std::byte> argument(bytes.data(), command.length() < most_length ? command.length() : most_length);
    if (command.hands_in() && !argument.empty() && !call.copy_in(argument, address)) return Errno::fault;
    Answer answer = Errno::no_such_command;
    static_cast<void>((serve_as<Entries>(file, call, command, address, bytes, argument, answer) || ...));
    return answer;
  }

 private:
  // `argument` is as much of `bytes` as the caller has; the rest is zeros.
  template <class E, class F, class C>
  static bool serve_as(F& file, C& call, Command command, std::uint64_t address, std::span<const std::byte> bytes,
                       std::span<std::byte> argument, Answer& answer) noexcept {
    using W = typename E::Layout;
    const WordSize word = call.word();
    if (matching == Matching::code ? E::command(word) != command : E::number != command.number()) return false;
    auto values = W::read(bytes, word);
    auto outcome = (file.*E::serve)(call, values);
    answer = outcome.answer;
    if (!command.gets_back() || (answer.is_error() && matching == Matching::code)) return true;
    W::write(values, argument, word);
    if constexpr (!std::is_same_v<typename decltype(outcome)::File, NoFile>) {
      if (outcome.file) {
        answer = call.publish(std::move(*outcome.file), outcome.flags, E::fd(word), address, argument);
        return true;
      }
    }
    if (!argument.empty() && !call.copy_out(address, argument)) answer = Errno::fault;
    return true;
  }
};

}  // namespace freestone::device
