// Who may have how much: quotas of owners, who may have several clients, and whose buffers may outlive them all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/core/bits.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

struct Quota {
  Bytes bytes = bits::all;
  std::uint64_t buffers = bits::all;
};

// Accounts of up to `most` owners (anything that can be compared: a process, a user). An account stays while its owner
// has a client or a buffer that he made lives, whoever holds it: nobody gets rid of what he made by leaving, nor by
// giving it to others. Callers take turns. Cost: join O(most), the others O(1).
template <class Owner, std::size_t most>
class Accounts {
 public:
  struct Account {
    std::optional<Owner> owner = {};  // empty: nobody's
    Quota quota = {};
    Bytes bytes = {};
    std::uint64_t buffers = 0;
    std::uint32_t clients = 0;
  };

  // One client more of this owner. His first one's quota is his. Empty: there are `most` others.
  std::optional<std::uint32_t> join(const Owner& owner, const Quota& quota) noexcept {
    std::optional<std::uint32_t> free;
    for (std::uint32_t place = 0; place < most; ++place) {
      Account& account = accounts_[place];
      if (account.owner == owner) return ++account.clients, place;
      if (!free && !account.owner) free = place;
    }
    if (free) accounts_[*free] = {.owner = owner, .quota = quota, .clients = 1};
    return free;
  }
  void leave(std::uint32_t place) noexcept {
    --accounts_[place].clients;
    close_if_empty(place);
  }

  // Would a buffer of that size be within the quota?
  bool may_have(std::uint32_t place, Bytes size) const noexcept {
    const Account& account = accounts_[place];
    const Quota& quota = account.quota;
    const bool is_limited = quota.bytes != bits::all;  // else whoever is asked for it says what is too much
    return account.buffers < quota.buffers && (!is_limited || (account.bytes <= quota.bytes && size <= left(place)));
  }
  // A buffer more. False where it would be more than the quota, and then nothing changed.
  bool charge(std::uint32_t place, Bytes size) noexcept {
    if (!may_have(place, size)) return false;
    Account& account = accounts_[place];
    account.bytes = account.bytes + size;
    ++account.buffers;
    return true;
  }
  void discharge(std::uint32_t place, Bytes size) noexcept {
    Account& account = accounts_[place];
    account.bytes = account.bytes - size;
    --account.buffers;
    close_if_empty(place);
  }

  Bytes left(std::uint32_t place) const noexcept { return accounts_[place].quota.bytes - accounts_[place].bytes; }
  const Account& at(std::uint32_t place) const noexcept { return accounts_[place]; }

 private:
  void close_if_empty(std::uint32_t place) noexcept {
    if (accounts_[place].clients == 0 && accounts_[place].buffers == 0) accounts_[place] = {};
  }

  std::array<Account, most> accounts_ = {};
};

}  // namespace freestone
