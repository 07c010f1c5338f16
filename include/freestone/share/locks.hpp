// The order in which the sharing layer takes its locks.
#pragma once

#include <cstdint>

namespace freestone {

// A thread takes a lock only while all that it holds come before it here. But for `views` none of them is held while a
// zone is asked, bytes are scrubbed, or the platform is called: those may take as long as they like. (A device by itself
// holds one of its locks at a time. Two are held where names, views or fences stand before it; the order of a device's own
// is for what will need two of them.)
enum class LockRank : std::uint8_t {
  views = 1,  // one buffer's views, as their platform has them (share/view.hpp)
  names,      // which names there are (share/names.hpp)
  clients,    // which clients there are; from here to `accounts` a device's own
  client,     // one client's handles
  buffers,    // which places of the buffers are free
  accounts,   // who has how much
  fences,     // what waits for which fence (share/fenced_holds.hpp)
  exports,    // which buffers are files (share/os/exports.hpp)
  peers,      // who at other ends has which (share/os/peers.hpp)
};

// The same lock for all of them, trusting that the order is kept. share/os/ranked.hpp has one that looks. A device takes
// its locks from here by itself; whoever makes Names, FencedHolds, Exports
// or Peers says At<LockRank::names> and so on.
template <class L>
struct PlainLocks {
  template <LockRank>
  using At = L;
};

}  // namespace freestone
