// Who asks, and what the mode of a server's file lets him do. Its owner is the server's user, its group the server's.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace freestone::linux_user {

// What he is to the files' owner.
enum class Standing : std::uint8_t { root, owner, group, other };

// Of who made the other end of the connection, as the kernel knew him at that moment: what he, or whoever has his end
// now, became since then changes nothing. More than 256 groups of his are not looked at, and count as none.
inline Standing standing_of(int socket, const ucred& who) noexcept {
  if (who.uid == 0) return Standing::root;
  if (who.uid == ::geteuid()) return Standing::owner;
  const gid_t ours = ::getegid();
  std::array<gid_t, 256> groups;
  socklen_t length = sizeof groups;
  constexpr int peer_groups = 59;  // SO_PEERGROUPS of asm-generic/socket.h, which older headers lack
  if (::getsockopt(socket, SOL_SOCKET, peer_groups, groups.data(), &length) != 0) length = 0;
  gid_t* const end = groups.data() + length / sizeof(gid_t);
  return who.gid == ours || std::find(groups.data(), end, ours) != end ? Standing::group : Standing::other;
}

// `wanted`: R_OK, W_OK and X_OK (unistd.h). As Linux judges: the owner has the owner's rights, though others may have
// more; root may read and write all there is.
constexpr bool allows(std::uint32_t mode, Standing who, std::uint32_t wanted) noexcept {
  if (who == Standing::root) return (wanted & X_OK) == 0 || (mode & 0111) != 0;
  const unsigned shift = who == Standing::owner ? 6 : who == Standing::group ? 3 : 0;
  return (mode >> shift & wanted) == wanted;
}

// What open's flags want.
constexpr std::uint32_t wanted_by(int flags) noexcept {
  const int access = flags & O_ACCMODE;
  const std::uint32_t read_write = access == O_RDONLY ? R_OK : access == O_WRONLY ? W_OK : R_OK | W_OK;
  return (flags & O_TRUNC) != 0 ? read_write | W_OK : read_write;
}

}  // namespace freestone::linux_user
