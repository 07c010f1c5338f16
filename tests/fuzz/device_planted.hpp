// Defects of nodes with handles, and of PMEM's, planted in what their calls answer (device_programs.hpp: planted_defect).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fuzz/device_programs.hpp"
#include "fuzz/device_steps.hpp"

namespace freestone::tests {

// Of these no seed has any either: four to fifteen pages.
constexpr bool is_planted_length(std::uint64_t length) { return length > 3 * 4096 && length <= 15 * 4096; }
// A buffer of its own; null: there is no room.
inline auto planted_handle(FuzzClient& client) {
  device::Errno error = device::Errno::none;
  return client.allocate({.length = 4096, .mask = 0xff}, error);
}
// Is that a handle of the file's, to a buffer of such a length?
inline bool is_planted(Open& file, std::uint64_t handle, device::WordSize word) {
  const ToldHandle* const one = file.find(handle, word);
  return one != nullptr && is_planted_length(one->buffer->size);
}

// Of G2's own.
inline void spoil_g2(std::string_view planted, Program& program, Open& file, device::Command command, std::uint64_t address,
                     device::Answer& answer) {
  const device::WordSize word = program.word();
  const auto length = static_cast<std::size_t>(word);
  const auto word_at = [&](std::uint64_t place) {
    std::uint64_t value = 0;
    static_cast<void>(program.Caller::copy_in(std::as_writable_bytes(std::span(&value, 1)).first(length), place));
    return value;
  };
  if (planted == "wild_range" && command.number() == 6 && answer == device::Errno::invalid) {
    if (is_planted(file, word_at(word_at(address + length)), word)) answer = device::done;
  }
  if (planted == "lost_flags" && command.number() == 10 && answer == device::done && is_planted(file, word_at(address), word)) {
    constexpr std::array<std::byte, 8> none = {};
    program.poke(address + length, std::span(none).first(length));
  }
}

// Of PMEM's: those of the driver that the specification names (5.1; 7 #9).
inline void spoil_pmem(std::string_view planted, Program& program, Open& file, device::Command command, std::uint64_t address,
                       device::Answer& answer) {
  std::array<std::uint64_t, 3> words = {};
  const auto word = static_cast<std::size_t>(program.word());
  for (std::size_t number = 0; number < words.size(); ++number)
    static_cast<void>(program.Caller::copy_in(std::as_writable_bytes(std::span(&words[number], 1)).first(word), address + number * word));
  const auto is = [&](PmemCall call) { return command.code == pmem_command(call); };

  const bool is_cache = is(PmemCall::clean_inv) || is(PmemCall::clean) || is(PmemCall::inv);
  const bool is_wrong_range = is_cache && answer == device::Errno::invalid && words[0] != 0 && file.pmem.place != nullptr;
  if (planted == "wild_sum" && is_wrong_range && words[1] + words[2] < words[1]) answer = device::done;
  if (planted == "blanked_overlap" && is(PmemCall::unmap) && answer == device::done && file.pmem.is_sub) {
    auto& shown = file.pmem_node()->screen().shown;
    const std::uint64_t end = std::min<std::uint64_t>((words[0] + words[1]) / 4096, shown.size());
    for (std::uint64_t page = words[0] / 4096; page < end; ++page) shown.reset(static_cast<std::size_t>(page));
  }
}

// Before the answer is judged.
inline void spoil(Program& program, Open& file, device::Command command, std::uint64_t address, device::Answer& answer) {
  const std::string_view planted = planted_defect(7);
  if (planted.empty()) return;
  if (file.kind() == FileKind::pmem) return spoil_pmem(planted, program, file, command, address, answer);
  if (!file.has_handles()) return;
  const device::WordSize word = program.word();
  const IonLayout layout{static_cast<std::size_t>(word), file.kind()};
  std::uint64_t first = 0;  // a handle, or a length
  const std::size_t length = command.number() == 0 ? layout.word : layout.handle_length();
  static_cast<void>(program.Caller::copy_in(std::as_writable_bytes(std::span(&first, 1)).first(length), address));
  const bool is_import = command.number() == 5 && answer == device::done;

  // Rare enough of a longer buffer than the seeds have, however long it is.
  if (planted == "foreign_handle" && command.number() == 1 && answer == device::Errno::invalid) {
    for (Open* other : Open::live) {
      const ToldHandle* const theirs = other == &file || !other->has_handles() ? nullptr : other->find(first, word);
      if (theirs != nullptr && theirs->buffer->size > 3 * 4096 && other->client().free(first, word) == device::Errno::none) answer = device::done;
    }
  }
  if (planted == "untold_handle" && command.number() == 0 && answer == device::Errno::fault && is_planted_length(first)) {
    if (auto handle = planted_handle(file.client())) handle->keep();
  }
  if (planted == "uncounted_reference" && is_import && is_planted(file, first, word)) {
    static_cast<void>(file.client().free(first, word));
  }
  if (planted == "second_handle" && is_import && is_planted(file, first, word)) {
    auto handle = planted_handle(file.client());
    if (!handle) return;
    first = handle->handle(word);
    handle->keep();
    program.poke(address, std::as_bytes(std::span(&first, 1)).first(length));
  }
  if (file.is_g2()) spoil_g2(planted, program, file, command, address, answer);
}

}  // namespace freestone::tests
