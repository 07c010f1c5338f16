// Names of buffers: whoever knows one gets the buffer, though nobody gave him a handle. So buffers are found again by who
// comes later, and may be kept while nobody has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/heap/block_name.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/handle_table.hpp>

namespace freestone {

// How long there is a buffer of that name.
enum class NamePolicy : std::uint8_t {
  kept,       // until the name is withdrawn: it holds the buffer
  while_held  // as long as anybody else holds it
};

// Up to `most` names of buffers of the device D, which outlives this. Whose they are is said by whoever calls, as an
// Owner (anything that can be compared): he who published a name may withdraw it, at any time and from wherever he is.
// A buffer may have several names. It counts as its maker's, whoever published it, until it is gone. No owner has more
// than `most_of_one` names, so that none takes them all; without that number anybody can.
//
// Names are compared as wholes and have `most_length` bytes at most. Any thread, as L lets them, which is of
// LockRank::names and not held while a buffer ends. Cost of each call: O(most).
template <class D, std::size_t most = 64, class L = lock::None, std::size_t most_length = 15, class Owner = typename D::Owner>
class Names {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Name = BlockName<most_length>;
  using Ref = BufferRef<D>;

  explicit Names(D& device, std::size_t most_of_one = most) noexcept : device_(device), most_of_one_(most_of_one) {}
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  // The buffer has this name from here on. Errors: bad_name (the empty one); no_buffer, of a ref that is empty or another
  // device's; exists, a buffer of that name; too_many_names, of all or of this owner; too_many_holds.
  Result<void> publish(const Owner& owner, const Name& name, const Ref& ref, NamePolicy policy) noexcept {
    if (name.is_empty()) return ErrorCode::bad_name;
    auto hold = own_hold(ref);
    if (!hold) return hold.error();
    const auto put = put_in(owner, name, *hold, policy);
    if (put || put.error().code != ErrorCode::too_many_names) return put;
    for_each([](const Published&) {});  // names whose buffers are gone make room
    return put_in(owner, name, *hold, policy);
  }

  // The buffer of that name. Errors: unknown_name, also where its last holder is just leaving; too_many_holds.
  Result<Ref> open(const Name& name) noexcept {
    const Turn turn(lock_);
    Place* const place = place_of(name);
    if (place == nullptr) return ErrorCode::unknown_name;
    auto ref = device_.ref(place->entry->id);
    if (ref || ref.error().code != ErrorCode::no_buffer) return ref;
    place->entry.reset();
    return ErrorCode::unknown_name;
  }

  // The name is unknown from here on; whoever has the buffer keeps it. Errors: unknown_name; not_owner, and it stays.
  Result<void> withdraw(const Owner& owner, const Name& name) noexcept { return take_out(&owner, name); }
  // The same for whoever may do all. Errors: unknown_name.
  Result<void> withdraw_any(const Name& name) noexcept { return take_out(nullptr, name); }
  // All names of that owner, who is gone, say, newest first. How many went; one whose buffer ended before its turn is
  // none. Cost: O(most) for each.
  std::size_t withdraw_all(const Owner& owner) noexcept {
    std::size_t count = 0;
    for_each([&](const Published& one) { count += one.owner == owner && static_cast<bool>(withdraw(owner, one.name)); });
    return count;
  }

  // A name as it is shown.
  struct Published {
    const Name& name;
    const Owner& owner;
    NamePolicy policy;
    const Ref& buffer;  // empty, where so many hold it that nobody can any more
  };
  // visit(const Published&) for each, newest first; no lock is held, and it may call all of this. What is published
  // meanwhile is not shown. Cost: O(most) for each.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    for (std::uint64_t before = ~std::uint64_t{0};;) {
      const auto found = newest(before);
      if (!found) return;
      before = found->entry.number;
      if (!found->is_there) continue;
      visit(Published{found->entry.name, found->entry.owner, found->entry.policy, found->hold});
    }
  }

 private:
  struct Entry {
    Name name;
    Owner owner;
    NamePolicy policy;
    BufferId id;
    std::uint64_t number;  // rises: those published later have higher ones
  };
  struct Place {
    std::optional<Entry> entry = {};
    Ref hold = {};  // of a buffer that is kept
  };
  struct Found {
    Entry entry;
    bool is_there;  // else its buffer is gone, and so is the name
    Ref hold;
  };

  // A hold more, of a buffer of this very device: another's may have the same id.
  Result<Ref> own_hold(const Ref& ref) noexcept {
    if (!ref) return ErrorCode::no_buffer;
    auto hold = device_.ref(ref.id());
    if (hold && *hold != ref) return ErrorCode::no_buffer;
    return hold;
  }

  // Takes `hold` where the name keeps the buffer; else its caller still has it, until the lock is not held any more.
  Result<void> put_in(const Owner& owner, const Name& name, Ref& hold, NamePolicy policy) noexcept {
    Ref looked_at;
    const Turn turn(lock_);
    Place* const same = place_of(name);
    if (same != nullptr && is_there(*same, looked_at)) return ErrorCode::exists;
    if (same != nullptr) same->entry.reset();
    Place* const place = free_place();
    if (place == nullptr) return too_many(most);
    if (count_of(owner) >= most_of_one_) return too_many(most_of_one_);
    place->entry.emplace(Entry{name, owner, policy, hold.id(), ++published_});
    if (policy == NamePolicy::kept) place->hold = std::move(hold);
    return {};
  }
  Result<void> take_out(const Owner* owner, const Name& name) noexcept {
    Ref looked_at, kept;  // they go when the lock is not held any more
    const Turn turn(lock_);
    Place* const place = place_of(name);
    if (place == nullptr) return ErrorCode::unknown_name;
    if (!is_there(*place, looked_at)) return place->entry.reset(), ErrorCode::unknown_name;
    if (owner != nullptr && !(place->entry->owner == *owner)) return ErrorCode::not_owner;
    place->entry.reset();
    kept = std::move(place->hold);
    return {};
  }

  // The newest of those that were published before, with a hold of its own.
  std::optional<Found> newest(std::uint64_t before) noexcept {
    const Turn turn(lock_);
    Place* found = nullptr;
    for (Place& place : places_) {
      if (!place.entry || place.entry->number >= before) continue;
      if (found == nullptr || place.entry->number > found->entry->number) found = &place;
    }
    if (found == nullptr) return std::nullopt;
    Found shown{*found->entry, true, Ref()};
    shown.is_there = is_there(*found, shown.hold);
    if (!shown.is_there) found->entry.reset();
    return std::optional<Found>(std::move(shown));
  }

  // --- under the lock ---

  // Is its buffer alive? Then `hold`, which was empty, has it; but where it has as many holds as it can have.
  bool is_there(const Place& place, Ref& hold) noexcept {
    auto ref = device_.ref(place.entry->id);
    if (ref) hold = *std::move(ref);
    return hold || ref.error().code != ErrorCode::no_buffer;
  }
  std::size_t count_of(const Owner& owner) const noexcept {
    std::size_t count = 0;
    for (const Place& place : places_) count += place.entry && place.entry->owner == owner;
    return count;
  }
  static Error too_many(std::size_t limit) noexcept {
    return {.code = ErrorCode::too_many_names, .asked = limit + 1, .available = limit};
  }
  Place* place_of(const Name& name) noexcept {
    for (Place& place : places_) {
      if (place.entry && place.entry->name == name) return &place;
    }
    return nullptr;
  }
  Place* free_place() noexcept {
    for (Place& place : places_) {
      if (!place.entry) return &place;
    }
    return nullptr;
  }

  D& device_;
  std::size_t most_of_one_;
  OwnLock<L> lock_;
  std::uint64_t published_ = 0;
  std::array<Place, most> places_ = {};
};

}  // namespace freestone
