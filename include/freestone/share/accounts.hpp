// Who may have how much: quotas of owners, who may have several clients, and whose buffers may outlive them all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// What an owner may have at once. No limit, where nothing is said: then one can have all there is.
struct Quota {
  Bytes bytes = bits::all;
  std::uint64_t buffers = bits::all;
};

// Accounts of up to `most` owners (anything that can be compared: a process, a user). An account stays while its owner
// has a client or a buffer that counts as his lives, whoever holds it: nobody gets rid of what he made by leaving, nor by
// having others hold it. It counts as another's where that one takes it on (`move`). Callers take turns. Cost: join
// O(most), the others O(1).
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

  // A buffer more, before anybody works for it: of `size` bytes; of none for now where bytes are not limited, and
  // whoever is asked for them says what is too much. Returns the bytes that are charged. Errors: over_quota,
  // over_buffer_quota; then nothing changed.
  Result<Bytes> charge(std::uint32_t place, Bytes size) noexcept {
    Account& account = accounts_[place];
    if (account.buffers >= account.quota.buffers) {
      return Error{.code = ErrorCode::over_buffer_quota, .asked = account.buffers + 1, .available = account.quota.buffers};
    }
    const Bytes charged = is_limited(account) ? size : Bytes(0);
    if (charged > left(place)) return over_quota(size, left(place));
    account.bytes = account.bytes + charged;
    ++account.buffers;
    return charged;
  }
  // So many bytes of a buffer were charged, and this is its size. Errors: over_quota, and then nothing changed.
  Result<void> settle(std::uint32_t place, Bytes charged, Bytes size) noexcept {
    Account& account = accounts_[place];
    const Bytes most_now = left(place) + charged;
    if (is_limited(account) && size > most_now) return over_quota(size, most_now);
    account.bytes = account.bytes - charged + size;
    return {};
  }
  // A buffer of that size counts as another owner's from here on. Errors: as charge; then nothing changed.
  Result<void> move(std::uint32_t from, std::uint32_t to, Bytes size) noexcept {
    if (from == to) return {};
    const auto charged = charge(to, size);
    if (!charged) return charged.error();
    static_cast<void>(settle(to, *charged, size));  // it is within what is left, or there is no limit
    discharge(from, size);
    return {};
  }
  // A buffer less, and the bytes that are charged for it.
  void discharge(std::uint32_t place, Bytes size) noexcept {
    Account& account = accounts_[place];
    account.bytes = account.bytes - size;
    --account.buffers;
    close_if_empty(place);
  }

  Bytes left(std::uint32_t place) const noexcept { return accounts_[place].quota.bytes - accounts_[place].bytes; }
  const Account& at(std::uint32_t place) const noexcept { return accounts_[place]; }

 private:
  static bool is_limited(const Account& account) noexcept { return account.quota.bytes != bits::all; }
  static Error over_quota(Bytes asked, Bytes left) noexcept {
    return {.code = ErrorCode::over_quota, .asked = asked.value(), .available = left.value()};
  }
  void close_if_empty(std::uint32_t place) noexcept {
    if (accounts_[place].clients == 0 && accounts_[place].buffers == 0) accounts_[place] = {};
  }

  std::array<Account, most> accounts_ = {};
};

}  // namespace freestone
