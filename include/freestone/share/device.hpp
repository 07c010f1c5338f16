// A device: the heaps that its clients share buffers of. What ION's, PMEM's and MMZ's users see is made of this.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/platform.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/accounts.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/buffers.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/free_places.hpp>
#include <freestone/share/handle_table.hpp>
#include <freestone/share/holds.hpp>
#include <freestone/share/keyed_tag.hpp>
#include <freestone/share/locks.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone {

// How many there may be at once. All of it is room in the device itself: 2.5 MB as it stands here, most of it for
// clients x handles (48 bytes each) and buffers x blocks (24 bytes each); so one of these lies on no thread's stack.
struct ShareLimits {
  std::size_t clients = 64;
  // 0: clients + buffers, and none is ever refused for want of a place. With fewer, whoever keeps what others made keeps
  // their places too (give).
  std::size_t owners = 0;
  std::size_t buffers = 1024;
  std::size_t handles = 256;  // of one client
  std::size_t blocks = 64;    // of one buffer
  // Of one handle, by CPUs and by devices each. clients x maps are no more than a buffer counts (MapCounts::most, 32,767),
  // so that none maps it so often that others cannot; what is left is for mappings of no client.
  std::size_t maps = 256;
};

// What a client is told of a buffer.
struct BufferInfo {
  Bytes size = {};
  unsigned heap = most_heaps;
  std::uint32_t flags = 0;
  Cacheability cacheability = Cacheability::cached;
  std::uint32_t references = 0;  // of this client's handle
  std::uint32_t holds = 0;       // everybody's: of what, says Device's comment
  std::uint32_t cpu_maps = 0;    // everybody's
  std::uint32_t device_maps = 0;
};

// Clients, their handles, and the buffers that these are references to, of the zone, layer, ZoneRef or heaps Z. P is the
// Platform that its clients live in, of which nothing is asked but who calls; S scrubs what is allocated before anybody
// sees it (scrub::Zero), for several threads at once, each with a block of its own. P and Z must outlive it; it stays
// where it is. Locks says by which lock each rank is taken (share/locks.hpp): with PlainLocks<lock::None> one thread uses it.
//
// By their handles clients see nothing of each other's. But whoever is given the file of a buffer can map and keep all of
// Z's: a process that may not see all of Z needs a Z and a device of its own (share/os/export.hpp).
//
// A buffer lives while anybody has a handle to it, has it mapped, or has a BufferRef. What a client does changes his own
// counts only: of what he got once he can let go once, whatever others do meanwhile. There are three kinds of counts:
//
// - references, of one client's handle: how often he got it (allocate, import). Each free takes one.
// - holds, of a buffer: one for each client who has references or mappings of it, in whatever number, and one for each
//   BufferRef and BufferMap. With the last it ends.
// - maps, of a buffer, by CPUs and by devices: each client's, and each BufferMap. They end nothing; while there are any,
//   how it is cached does not change.
//
// Each call takes the client by his id, and fails with no_client where he is closed, be it while it is under way. A call
// that fails has changed nothing.
template <class Z, class P, ShareLimits limits = ShareLimits(), class S = scrub::Zero,
          class Locks = PlainLocks<lock::None>, class Atomics = CompilerAtomics, class X = NoExtra>
  requires(check_identity<P>())
class Device {
  template <LockRank rank>
  using Own = OwnLock<typename Locks::template At<rank>>;
  using Table = Buffers<Z, limits.buffers, limits.blocks, typename Locks::template At<LockRank::buffers>, Atomics, X>;
  using Handles = HandleTable<limits.handles>;
  using Entry = typename Handles::Entry;
  using OneClient = Client<limits.handles, typename Locks::template At<LockRank::client>>;
  static constexpr std::size_t most_owners = limits.owners != 0 ? limits.owners : limits.clients + limits.buffers;
  static_assert(detail::has_heaps<Z> || can_scrub<S, Z>,
                "Device: the blocks of this zone cannot be scrubbed so. Where there is no cpu_write (the CPU does not see the "
                "bytes, or it is a ZoneRef), give a type with Result<void> operator()(Z&, const Block&) noexcept, or "
                "scrub::Nothing.");
  static_assert(limits.maps != 0 && limits.maps <= MapCounts<Atomics>::most / limits.clients,
                "ShareLimits: clients x maps is more than a buffer counts: one client could keep others from mapping it.");

 public:
  using Platform = P;
  using Owner = decltype(std::declval<P&>().process());
  using Ref = BufferRef<Device>;
  using Map = BufferMap<Device>;
  using Dead = DeadBuffer<Device>;
  using Extra = X;
  using Parts = typename Table::Parts;
  static constexpr std::size_t most_buffers = limits.buffers;

  // `key` is chance that the host has, 16 bytes of it: who has not seen it guesses no handle. (Zeros are nobody's chance:
  // the program ends.)
  Device(Z& zone, P& platform, const TagKey& key, S scrubber = S()) noexcept
      : platform_(platform), key_(key), scrubber_(std::move(scrubber)), buffers_(zone) {
    seam::expect(static_cast<bool>(key));
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  // Closes its clients. No ref or map may be left, and no call be under way.
  ~Device() {
    for (std::uint32_t place = 0; place < limits.clients; ++place) {
      static_cast<void>(close({place, holds_of(place).generation(), clients_[place].client.number}));
    }
    seam::expect(buffers_.count() == 0);
  }

  // --- clients ---

  // A client of the process that calls, or of that owner. Errors: too_many_clients, too_many_owners, retired. Cost: O(handles),
  // O(owners).
  Result<ClientId> open(const ClientSettings& settings = {}) noexcept { return open_for(platform_.process(), settings); }
  Result<ClientId> open_for(const Owner& owner, const ClientSettings& settings = {}) noexcept {
    bool is_retired = false;
    const auto place = take_place(is_retired);
    if (is_retired) return ErrorCode::retired;
    if (!place) return full(ErrorCode::too_many_clients, limits.clients);
    const auto account = with_accounts([&](auto& accounts) { return accounts.join(owner, settings.quota); });
    if (!account) return put_place(*place), full(ErrorCode::too_many_owners, most_owners);
    OneClient& client = clients_[*place].client;
    client.number = next_number();
    client.handles.begin(derived_key(key_, client.number));
    client.heaps = settings.heaps;
    client.account = *account;
    client.is_open = true;
    return ClientId{*place, holds_of(*place).begin(), client.number};
  }

  // He is gone: his handles and their mappings end, in whatever number. Buffers that others hold stay. Calls of his that
  // are under way finish or fail. Errors: no_client. Cost: O(handles).
  Result<void> close(ClientId id) noexcept {
    Visit visit(*this, id);
    if (!visit || !visit.shut()) return ErrorCode::no_client;
    visit->handles.for_each([&](Entry& entry) { end(*visit, entry); });  // nobody else looks at them from here on
    visit.leave();
    return {};
  }

  // Nobody opens it any more. Errors: still_used, while clients or buffers live: try again when they are gone. Then it
  // may end: whoever dropped the last hold needs nothing of it any more, though he has not returned yet.
  Result<void> retire() noexcept {
    const auto clients = [&] {
      const ClientsTurn turn(clients_lock_);
      is_retired_ = true;
      return free_clients_.used();
    }();
    const std::size_t buffers = buffers_.count();
    if (clients + buffers != 0) return Error{.code = ErrorCode::still_used, .asked = clients, .available = buffers};
    return {};
  }

  // --- what a client does ---

  // A new buffer, scrubbed, and a handle to it. It is cached as is said, else as its heap is. While this is under way it
  // counts in the quota, though it may come to nothing. Errors: over_quota, over_buffer_quota, too_many_buffers,
  // too_many_handles; bad_cacheability; empty_mask, where he may use none of the heaps; the zone's or the heaps'; S's.
  // Cost: the zone's and S's.
  Result<Handle> allocate(ClientId id, const Constraints& wanted, std::uint32_t flags = 0,
                          std::optional<Cacheability> seen = {}) noexcept
    requires(std::default_initializable<X>)
  {
    return allocate_with(id, wanted, flags, seen, [](const Parts&) { return Result<X>(X()); });
  }
  // The same where make(parts), a Result<X>, says what else the buffer has: once it has its blocks, and nobody knows it yet. Errors:
  // make's, too.
  template <class Make>
  Result<Handle> allocate(ClientId id, const Constraints& wanted, std::uint32_t flags, std::optional<Cacheability> seen,
                          Make&& make) noexcept {
    return allocate_with(id, wanted, flags, seen, make);
  }

  // One reference less. With the last the handle is unknown, but to `unmap` while the client has it mapped: then an
  // import of the same buffer makes it known again. Errors: bad_handle.
  Result<void> free(ClientId id, Handle handle) noexcept {
    return with_entry(id, handle, [&](Entry& entry) {
      --entry.references;
      return ErrorCode::none;
    });
  }

  // A hold for another client, or for a file. Errors: bad_handle, too_many_holds.
  Result<Ref> share(ClientId id, Handle handle) noexcept {
    BufferId buffer;
    const auto found = with_entry(id, handle, [&](Entry& entry) {
      buffer = entry.buffer;
      return buffers_.take(buffer);
    });
    if (!found) return found.error();
    return Ref(*this, buffer);
  }
  // A handle to what somebody shared; where the client has one, that one, with a reference more. Errors:
  // too_many_handles, too_many_holds; no_buffer of an empty ref, or another device's.
  Result<Handle> import(ClientId id, const Ref& shared) noexcept {
    Visit visit(*this, id);
    if (!visit) return ErrorCode::no_client;
    if (const ErrorCode wrong = take(shared); wrong != ErrorCode::none) return wrong;
    return hand_over(visit, shared.id_);
  }
  // From here on it counts as made by this client's owner, and no more by who made it: for whoever keeps what others
  // made and left. Errors: over_quota, over_buffer_quota, of the new owner; no_buffer as import.
  Result<void> give(ClientId id, const Ref& shared) noexcept {
    Visit visit(*this, id);
    if (!visit || !visit.is_open()) return ErrorCode::no_client;
    if (shared.device_ != this) return ErrorCode::no_buffer;
    return with_accounts([&](auto& accounts) {
      std::uint32_t& account = buffers_.account(shared.id_);
      const auto moved = accounts.move(account, visit->account, buffers_.parts(shared.id_).size);
      if (moved) account = visit->account;
      return moved;
    });
  }

  // The client maps it once more, until he unmaps it or is gone: for mappings that end with him, such as a device's.
  // Where he says how he wants it cached it is so from here on, or this fails. Errors: bad_handle; too_many_maps, of his
  // or of all; still_mapped, by anybody and cached in another way; bad_cacheability.
  Result<void> map(ClientId id, Handle handle, Mapper mapper, std::optional<Cacheability> wanted = {}) noexcept {
    return with_entry(id, handle, [&](Entry& entry) {
      if (maps_of(entry, mapper) == limits.maps) return ErrorCode::too_many_maps;
      const ErrorCode wrong = buffers_.maps(entry.buffer).map(mapper, wanted);
      if (wrong == ErrorCode::none) ++maps_of(entry, mapper);
      return wrong;
    });
  }
  // Errors: bad_handle; not_mapped, where this client has no such mapping.
  Result<void> unmap(ClientId id, Handle handle, Mapper mapper) noexcept {
    return with_any_entry(id, handle, [&](Entry& entry) {
      if (maps_of(entry, mapper) == 0) return ErrorCode::not_mapped;
      --maps_of(entry, mapper);
      return buffers_.maps(entry.buffer).unmap(mapper);
    });
  }

  // How CPUs see it from now on. Errors: bad_handle; still_mapped, by anybody, and it is another than now;
  // bad_cacheability.
  Result<void> set_cacheability(ClientId id, Handle handle, Cacheability wanted) noexcept {
    return with_entry(id, handle, [&](Entry& entry) { return buffers_.maps(entry.buffer).set_cacheability(wanted); });
  }

  // Errors: bad_handle.
  Result<BufferInfo> info(ClientId id, Handle handle) noexcept {
    BufferInfo info;
    const auto found = with_entry(id, handle, [&](Entry& entry) {
      info = info_of(entry.buffer);
      info.references = entry.references;
      return ErrorCode::none;
    });
    if (!found) return found.error();
    return info;
  }

  // --- what nobody's handle is needed for ---

  // A mapping that does not end with the client who made it. Errors: too_many_holds; no_buffer as import; those of map
  // but bad_handle.
  Result<Map> map(const Ref& shared, Mapper mapper, std::optional<Cacheability> wanted = {}) noexcept {
    if (const ErrorCode wrong = take(shared); wrong != ErrorCode::none) return wrong;
    Ref own(*this, shared.id_);
    if (const ErrorCode wrong = buffers_.maps(shared.id_).map(mapper, wanted); wrong != ErrorCode::none) return wrong;
    return Map(*this, std::move(own), mapper);
  }
  // A mapping that keeps nothing alive: it counts until whoever has a hold says `uncount`, or the buffer ends, which its extra
  // knows (bury). Errors: as map, but for holds.
  Result<void> count(const Ref& shared, Mapper mapper, std::optional<Cacheability> wanted = {}) noexcept {
    if (shared.device_ != this) return ErrorCode::no_buffer;
    if (const ErrorCode wrong = buffers_.maps(shared.id_).map(mapper, wanted); wrong != ErrorCode::none) return wrong;
    return {};
  }
  // One that was counted. Errors: not_mapped; no_buffer as import.
  Result<void> uncount(const Ref& shared, Mapper mapper) noexcept {
    if (shared.device_ != this) return ErrorCode::no_buffer;
    if (const ErrorCode wrong = buffers_.maps(shared.id_).unmap(mapper); wrong != ErrorCode::none) return wrong;
    return {};
  }
  // As with a handle. Errors: no_buffer as import; still_mapped; bad_cacheability.
  Result<void> set_cacheability(const Ref& shared, Cacheability wanted) noexcept {
    if (shared.device_ != this) return ErrorCode::no_buffer;
    if (const ErrorCode wrong = buffers_.maps(shared.id_).set_cacheability(wanted); wrong != ErrorCode::none) return wrong;
    return {};
  }
  // A hold on a buffer whose id is remembered. Errors: no_buffer: it is gone; too_many_holds.
  Result<Ref> ref(BufferId id) noexcept {
    if (const ErrorCode wrong = buffers_.take(id); wrong != ErrorCode::none) return wrong;
    Ref own(*this, id);
    if (own.parts().number != id.number) return ErrorCode::no_buffer;  // generations come again, after 4096 buffers
    return own;
  }
  // Of a ref of this device's that is not empty: else the program ends.
  BufferInfo info(const Ref& shared) noexcept {
    seam::expect(shared.device_ == this);
    return info_of(shared.id_);
  }

  // --- walks: all there are, for reports and for whoever cleans up ---
  //
  // No lock is held while something is shown: `visit` may call all of this, to close and to free what it is shown too,
  // and take as long as it likes. What is shown stays what it is until `visit` returns, though others close or free it. What
  // is there all the time is shown once; what comes or goes meanwhile, once or not at all.

  // visit(const ShownClient&) for each. Cost: O(clients).
  struct ShownClient {
    ClientId id;
    const Owner& owner;
    HeapMask heaps;
    std::size_t handles;  // how many he has
  };
  template <class Visitor>
  void for_each_client(Visitor&& visit) noexcept {
    for (std::uint32_t place = 0; place < limits.clients; ++place) {
      const Visit client(*this, place);
      if (!client) continue;
      const auto handles = client.handle_count();
      if (!handles) continue;  // he is just leaving
      const auto owner = owner_of(client->account);
      visit(ShownClient{client.id(), *owner, client->heaps, *handles});
    }
  }

  // visit(const ShownHandle&) for each of the client's. Errors: no_client, also where he is closed before all are shown.
  // Cost: O(handles).
  struct ShownHandle {
    Handle handle;
    std::uint32_t references;  // 0: he freed it, and has it mapped
    std::uint32_t cpu_maps;    // his own, as the others
    std::uint32_t device_maps;
    const Ref& buffer;  // empty, where so many hold it that nobody can any more
  };
  template <class Visitor>
  Result<void> for_each_handle(ClientId id, Visitor&& visit) noexcept {
    const Visit client(*this, id);
    if (!client) return ErrorCode::no_client;
    for (std::size_t place = 0; place < limits.handles; ++place) {
      Ref hold;
      std::optional<Entry> entry;
      if (!look_at(client, place, entry, hold)) return ErrorCode::no_client;
      if (entry) visit(ShownHandle{entry->handle, entry->references, entry->cpu_maps, entry->device_maps, hold});
    }
    return {};
  }

  // visit(const ShownBuffer&) for each but those that so many hold that nobody can any more. A buffer whose last holder
  // leaves meanwhile ends when `visit` returns. Cost: O(buffers).
  struct ShownBuffer {
    const Ref& buffer;
    const Owner& owner;  // as whose it counts
  };
  template <class Visitor>
  void for_each_buffer(Visitor&& visit) noexcept {
    for (std::uint32_t place = 0; place < limits.buffers; ++place) {
      const auto id = buffers_.take_any(place);
      if (!id) continue;
      const Ref hold(*this, *id);
      const auto owner = with_accounts([&](auto& accounts) { return accounts.at(buffers_.account(*id)).owner; });
      visit(ShownBuffer{hold, *owner});
    }
  }

  // --- reports ---

  std::size_t buffer_count() noexcept { return buffers_.count(); }
  // Blocks that the zone has not taken back when their buffer ended: whoever let go last is not told. They are in nobody's
  // account, and stay what they are in the zone (share/buffers.hpp). None where all is well.
  LostBlocks lost() noexcept { return buffers_.lost(); }
  std::size_t client_count() noexcept {
    const ClientsTurn turn(clients_lock_);
    return free_clients_.used();
  }
  struct Usage {
    Bytes bytes = {};  // of all the owner's, and what is just being allocated
    std::uint64_t buffers = 0;
    Quota quota = {};
    std::size_t handles = 0;  // of this client
  };
  // Errors: no_client.
  Result<Usage> usage(ClientId id) noexcept {
    Visit visit(*this, id);
    if (!visit) return ErrorCode::no_client;
    Usage usage;
    with_accounts([&](auto& accounts) {
      const auto& account = accounts.at(visit->account);
      usage = {.bytes = account.bytes, .buffers = account.buffers, .quota = account.quota};
    });
    const auto handles = visit.handle_count();
    if (!handles) return ErrorCode::no_client;
    usage.handles = *handles;
    return usage;
  }
  P& platform() noexcept { return platform_; }

 private:
  friend Ref;
  friend Map;
  friend Dead;
  using ClientsTurn = typename Own<LockRank::clients>::Turn;
  using AccountsTurn = typename Own<LockRank::accounts>::Turn;

  struct Slot {
    typename Atomics::Word holds{};
    OneClient client;
  };

  // A client for as long as a call takes: his place is nobody else's meanwhile.
  class Visit {
   public:
    Visit(Device& device, ClientId id) noexcept : device_(device), place_(id.place) {
      if (place_ >= limits.clients || !take(id.generation)) return;
      is_in_ = (*this)->number == id.number;  // generations come again, after 4096 clients
      if (!is_in_) leave();
    }
    // Whoever is there, below limits.clients.
    Visit(Device& device, std::uint32_t place) noexcept : device_(device), place_(place) {
      is_in_ = take(device.holds_of(place).generation());
    }
    ~Visit() {
      if (is_in_) leave();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    explicit operator bool() const noexcept { return is_in_; }
    OneClient* operator->() const noexcept { return &device_.clients_[place_].client; }
    OneClient& operator*() const noexcept { return *operator->(); }
    typename OneClient::Turn turn() const noexcept { return typename OneClient::Turn((*this)->lock); }
    ClientId id() const noexcept { return {place_, device_.holds_of(place_).generation(), (*this)->number}; }

    bool is_open() const noexcept { return handle_count().has_value(); }
    // Empty: he is closed.
    std::optional<std::size_t> handle_count() const noexcept {
      const auto own = turn();
      return (*this)->is_open ? std::optional((*this)->handles.count()) : std::nullopt;
    }

    // No call does anything to him any more. False where he was shut before.
    bool shut() const noexcept {
      const auto own = turn();
      return std::exchange((*this)->is_open, false);
    }
    // A hold less: this one's, or the one that the client has while he is open.
    void leave() const noexcept {
      if (device_.holds_of(place_).drop()) device_.end_client(place_);
    }

   private:
    bool take(std::uint32_t generation) const noexcept {
      return device_.holds_of(place_).take(generation) == Holds<Atomics>::Taken::yes;
    }

    Device& device_;
    std::uint32_t place_;
    bool is_in_ = false;
  };

  static Error full(ErrorCode code, std::size_t most) noexcept { return {.code = code, .asked = most + 1, .available = most}; }

  Holds<Atomics> holds_of(std::uint32_t place) noexcept { return Holds<Atomics>(clients_[place].holds); }

  std::optional<std::uint32_t> take_place(bool& is_retired) noexcept {
    const ClientsTurn turn(clients_lock_);
    is_retired = is_retired_;
    return is_retired ? std::nullopt : free_clients_.take();
  }
  void put_place(std::uint32_t place) noexcept {
    const ClientsTurn turn(clients_lock_);
    free_clients_.put(place);
  }
  std::uint64_t next_number() noexcept {
    const ClientsTurn turn(clients_lock_);
    return ++opened_;
  }
  void end_client(std::uint32_t place) noexcept {
    with_accounts([&](auto& accounts) { accounts.leave(clients_[place].client.account); });
    put_place(place);
  }

  template <class Act>
  auto with_accounts(Act&& act) noexcept {
    const AccountsTurn turn(accounts_lock_);
    return act(accounts_);
  }
  void discharge(std::uint32_t account, Bytes size) noexcept {
    with_accounts([&](auto& accounts) { accounts.discharge(account, size); });
  }
  std::optional<Owner> owner_of(std::uint32_t account) noexcept {
    return with_accounts([&](auto& accounts) { return accounts.at(account).owner; });
  }

  template <class Make>
  Result<Handle> allocate_with(ClientId id, const Constraints& wanted, std::uint32_t flags, std::optional<Cacheability> seen,
                               const Make& make) noexcept {
    if (seen && !is_known(*seen)) return ErrorCode::bad_cacheability;
    Visit visit(*this, id);
    if (!visit) return ErrorCode::no_client;
    const auto draft = charged_draft(visit->account, allowed(wanted, visit->heaps), make);
    if (!draft) return draft.error();
    return hand_over(visit, buffers_.publish(*draft, visit->account, flags, seen));
  }

  static Constraints allowed(Constraints wanted, HeapMask heaps) noexcept {
    wanted.heaps = wanted.heaps & heaps;
    return wanted;
  }

  // It is charged before anybody works for it: so no owner ever has more than his quota, however many threads ask.
  template <class Make>
  Result<typename Table::Draft> charged_draft(std::uint32_t account, const Constraints& wanted, const Make& make) noexcept {
    const auto charged = with_accounts([&](auto& accounts) { return accounts.charge(account, wanted.size); });
    if (!charged) return charged.error();
    Bytes due = *charged;
    const auto draft = whole_draft(account, due, wanted, make);
    if (!draft) discharge(account, due);
    return draft;
  }
  // `due` is what is charged for it, before and after.
  template <class Make>
  Result<typename Table::Draft> whole_draft(std::uint32_t account, Bytes& due, const Constraints& wanted, const Make& make) noexcept {
    const auto draft = buffers_.draft(wanted);
    if (!draft) return draft;
    const auto settled = with_accounts([&](auto& accounts) { return accounts.settle(account, due, draft->size); });
    if (!settled) return buffers_.discard(*draft), settled.error();
    due = draft->size;
    if (const auto done = buffers_.scrub(*draft, scrubber_); !done) return buffers_.discard(*draft), done.error();
    auto extra = make(buffers_.parts(*draft));
    if (!extra) return buffers_.discard(*draft), extra.error();
    buffers_.set_extra(*draft, *std::move(extra));
    return draft;
  }

  static std::uint32_t& maps_of(Entry& entry, Mapper mapper) noexcept {
    return mapper == Mapper::cpu ? entry.cpu_maps : entry.device_maps;
  }
  static bool is_used(const Entry& entry) noexcept {
    return entry.references != 0 || entry.cpu_maps != 0 || entry.device_maps != 0;
  }

  // act(entry) says what is wrong, under the client's lock; an entry that is not used any more ends after that.
  template <class Act>
  Result<void> with_any_entry(ClientId id, Handle handle, Act&& act) noexcept {
    Visit visit(*this, id);
    if (!visit) return ErrorCode::no_client;
    std::optional<BufferId> unused;
    {
      const auto turn = visit.turn();
      if (!visit->is_open) return ErrorCode::no_client;
      Entry* entry = visit->handles.find(handle);
      const ErrorCode wrong = entry == nullptr ? ErrorCode::bad_handle : act(*entry);
      if (wrong != ErrorCode::none) return Error{.code = wrong, .asked = handle.value()};
      if (!is_used(*entry)) {
        unused = entry->buffer;
        visit->handles.erase(*entry);
      }
    }
    if (unused) put(*unused);
    return {};
  }
  template <class Act>
  Result<void> with_entry(ClientId id, Handle handle, Act&& act) noexcept {
    return with_any_entry(id, handle,
                          [&](Entry& entry) { return entry.references == 0 ? ErrorCode::bad_handle : act(entry); });
  }

  // What is in that place of his table, with a hold of its own. False: he is closed.
  bool look_at(const Visit& client, std::size_t place, std::optional<Entry>& entry, Ref& hold) noexcept {
    const auto turn = client.turn();
    if (!client->is_open) return false;
    const Entry* const found = client->handles.at(place);
    if (found == nullptr) return true;
    entry = *found;
    if (buffers_.take(found->buffer) == ErrorCode::none) hold = Ref(*this, found->buffer);
    return true;
  }

  // A hold of the caller's becomes the client's handle; where he has one, a reference of that.
  Result<Handle> hand_over(Visit& visit, BufferId buffer) noexcept {
    Result<Handle> handle = ErrorCode::no_client;
    bool is_kept = false;
    {
      const auto turn = visit.turn();
      if (visit->is_open) handle = refer(visit->handles, buffer, is_kept);
    }
    if (!is_kept) put(buffer);
    return handle;
  }
  static Result<Handle> refer(Handles& handles, BufferId buffer, bool& is_kept) noexcept {
    Entry* entry = handles.find(buffer);
    if (entry != nullptr && entry->references == ~std::uint32_t{0}) return ErrorCode::too_many_holds;
    if (entry == nullptr) {
      entry = handles.insert(buffer);
      if (entry == nullptr) return full(ErrorCode::too_many_handles, limits.handles);
      is_kept = true;
    }
    ++entry->references;
    return entry->handle;
  }

  void end(OneClient& client, Entry& entry) noexcept {
    const BufferId buffer = entry.buffer;
    static_cast<void>(buffers_.maps(buffer).unmap(Mapper::cpu, entry.cpu_maps));
    static_cast<void>(buffers_.maps(buffer).unmap(Mapper::device, entry.device_maps));
    client.handles.erase(entry);
    put(buffer);
  }

  ErrorCode take(const Ref& shared) noexcept {
    return shared.device_ == this ? buffers_.take(shared.id_) : ErrorCode::no_buffer;
  }
  void put(BufferId buffer) noexcept {
    if (!buffers_.drop(buffer)) return;
    Dead dead(*this, buffer);
    if constexpr (requires(X& extra) { extra.bury(std::move(dead)); }) buffers_.extra(buffer).bury(std::move(dead));
  }
  X end(BufferId buffer) noexcept {
    return buffers_.end(buffer, [this](std::uint32_t account, Bytes size) { discharge(account, size); });
  }

  BufferInfo info_of(BufferId buffer) noexcept {
    const Parts& parts = buffers_.parts(buffer);
    const auto maps = buffers_.maps(buffer);
    return {.size = parts.size,
            .heap = parts.heap,
            .flags = parts.flags,
            .cacheability = maps.cacheability(),
            .holds = buffers_.holds(buffer),
            .cpu_maps = maps.count(Mapper::cpu),
            .device_maps = maps.count(Mapper::device)};
  }

  P& platform_;
  const TagKey key_;
  [[no_unique_address]] S scrubber_;
  Table buffers_;
  Own<LockRank::clients> clients_lock_;
  FreePlaces<limits.clients> free_clients_;
  std::uint64_t opened_ = 0;
  bool is_retired_ = false;
  std::array<Slot, limits.clients> clients_;
  Own<LockRank::accounts> accounts_lock_;
  Accounts<Owner, most_owners> accounts_;
};

}  // namespace freestone
