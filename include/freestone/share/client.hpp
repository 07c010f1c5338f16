// A client: somebody who opened a device, and what he holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/heap/constraints.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/accounts.hpp>
#include <freestone/share/handle_table.hpp>

namespace freestone {

// Which client, and which of those that had his place in turn: `generation` as far as Holds counts, and `number` for good.
struct ClientId {
  std::uint32_t place = ~std::uint32_t{0};
  std::uint32_t generation = 0;
  std::uint64_t number = 0;

  friend constexpr bool operator==(const ClientId&, const ClientId&) noexcept = default;
};

struct ClientSettings {
  HeapMask heaps = HeapMask::all();  // which he may use; a device of one zone has heap 0 only
  Quota quota = {};                  // his owner's, where this is his owner's first client; else nobody looks at it
};

// Under its own lock; but for `number`, `account` and `heaps`, which do not change while it is open.
template <std::size_t most_handles, class L>
struct Client {
  using Turn = typename OwnLock<L>::Turn;

  OwnLock<L> lock;
  bool is_open = false;  // else it takes no handle any more
  HandleTable<most_handles> handles;
  std::uint64_t number = 0;
  HeapMask heaps = {};
  std::uint32_t account = 0;
};

}  // namespace freestone
