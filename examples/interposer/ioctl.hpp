// ioctl on the server's files.
#pragma once

#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "known_files.hpp"

namespace freestone::interposer {

// Those that Linux answers for every file, before its driver is asked.
inline bool is_of_every_file(unsigned long command) noexcept {
  return command == FIOCLEX || command == FIONCLEX || command == FIONBIO || command == FIOASYNC;
}

// The program gets its struct back, with the new descriptor in it; where it cannot, it has neither.
inline long give_back(Reply& reply, CameFds& fds, std::uint64_t address) noexcept {
  if (reply.fd_length != 0) {
    if (fds.size() == 0) return -EMFILE;
    std::uint64_t number = static_cast<std::uint32_t>(fds[0]);
    if (reply.fd_offset > reply.payload_length || reply.fd_length > reply.payload_length - reply.fd_offset)
      return -EFAULT;
    for (std::uint32_t at = 0; at < reply.fd_length; ++at, number = number >> 8) {
      reply.payload[reply.fd_offset + at] = static_cast<std::byte>(number);
    }
    note_new(fds[0], true);
    if ((reply.fd_flags & O_CLOEXEC) == 0) static_cast<void>(raw(fcntl_number, fds[0], F_SETFD, 0));
  }
  if (!write_memory(address, reply.payload.data(), reply.payload_length)) return -EFAULT;
  static_cast<void>(fds.take());
  return static_cast<long>(reply.result);
}

// -errno, or what the command returns. The bytes that the command hands in go along; they are read by the kernel, which
// finds out whether there is anything to be read. As in a kernel no signal's handler runs meanwhile: it may ask of the same file, in
// whose turn the server is waiting for what this thread has been asked to do.
inline long ioctl_served(int fd, std::uint32_t command, std::uintptr_t argument) noexcept {
  const std::size_t length = (command >> 30 & 1) != 0 ? command >> 16 & 0x3fff : 0;
  const bool goes_along = length <= linux_user::most_payload;
  const NoSignals none;
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask({.ask = Ask::ioctl, .number = command, .address = argument},
                                  reinterpret_cast<const void*>(argument), goes_along ? length : 0, fd, reply, fds);
  const bool is_answer = reply.step == Step::finish && result == reply.result;
  if (!is_answer || (reply.payload_length == 0 && reply.fd_length == 0)) return static_cast<long>(result);
  return give_back(reply, fds, reply.address);
}

}  // namespace freestone::interposer
