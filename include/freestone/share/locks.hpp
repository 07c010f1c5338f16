// The order in which the sharing layer takes its locks.
#pragma once

#include <cstdint>

namespace freestone {

// A thread takes a lock only while all that it holds come before it here. None of them is held while a zone is asked,
// bytes are scrubbed, or the platform is called: those may take as long as they like.
enum class LockRank : std::uint8_t {
  clients = 1,  // which clients there are
  client,       // one client's handles
  buffers,      // which places of the buffers are free
  accounts,     // who has how much
};

// The same lock for all of them, trusting that the order is kept. share/os/ranked.hpp has one that looks.
template <class L>
struct PlainLocks {
  template <LockRank>
  using At = L;
};

}  // namespace freestone
