// A client of ION's: his handles, each a reference to a buffer, under cookies of his own. What open("/dev/ion") makes before
// Linux 4.12, and what a driver in the kernel asks for. (shared/spec: ION 1.7, 4.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/device/answer.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/buffers.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// Numbers for handles that look like addresses of the kernel's, and are none: so nobody learns any. Two that are given out
// within 2^16 of each other are never alike, whoever has them: so no client's is another's. Any thread.
template <class L>
class IonCookies {
 public:
  static constexpr std::uint64_t kernel32 = 0xc000'0000, kernel64 = 0xffff'ffc0'0000'0000;

  // Of a handle in that place of its client's table, below 2^10.
  std::uint32_t next(std::size_t place) noexcept {
    const typename OwnLock<L>::Turn turn(lock_);
    const std::uint32_t number = last_++ & 0xffff;
    return (number << 10 | static_cast<std::uint32_t>(place)) << 4;
  }
  static constexpr std::size_t place_of(std::uint64_t cookie) noexcept { return static_cast<std::size_t>(cookie >> 4 & 0x3ff); }

 private:
  OwnLock<L> lock_;
  std::uint32_t last_ = 1;
};

// Up to `most` handles at once: of each buffer one, however often he got it (most_references). A handle that he is not told
// of yet nobody can name: it is a Draft until then. Of what he got once he can let go once. X is what else each handle has, and
// ends with it. Any thread, as L lets them; it stays where it is, and the heaps outlive it.
template <class D, class L, std::size_t most = 1024, std::uint32_t most_references = ~std::uint32_t{0}, class X = NoExtra>
class IonClient {
  using Turn = typename OwnLock<L>::Turn;
  static_assert(most <= 1024, "IonClient: a cookie has 10 bits for its place.");

 public:
  using Heaps = IonHeaps<D, L>;
  using Ref = typename D::Ref;
  static constexpr std::size_t none = most;

  // The Device's client is this one's from here on. `types`: of heaps, that he may use (IonWanted). `holder`: who he is, for
  // reports.
  IonClient(const Heaps& heaps, ClientId client, IonCookies<L>& cookies, std::uint32_t types = ~std::uint32_t{0},
            const Holder& holder = {}) noexcept
      : heaps_(&heaps), client_(*heaps.device, client), cookies_(&cookies), types_(types), holder_(holder) {}
  IonClient(const IonClient&) = delete;
  IonClient& operator=(const IonClient&) = delete;
  ~IonClient() {
    for (std::size_t place = 0; place < used_; ++place) {
      if (entries_[place].buffer) holders_of(entries_[place]).remove(holder_);
    }
  }

  // One more reference, which is his from `keep` on. Else it ends as if it had never been. Of one thread.
  class Draft {
   public:
    Draft(Draft&& other) noexcept : client_(std::exchange(other.client_, nullptr)), place_(other.place_) {}
    Draft& operator=(Draft&& other) noexcept {
      std::swap(client_, other.client_);
      std::swap(place_, other.place_);
      return *this;
    }
    ~Draft() {
      if (client_ != nullptr) client_->settle(place_, false);
    }
    std::uint64_t handle(WordSize word) const noexcept { return client_->handle_of(place_, word); }
    void keep() noexcept { std::exchange(client_, nullptr)->settle(place_, true); }

   private:
    friend IonClient;
    Draft(IonClient& client, std::size_t place) noexcept : client_(&client), place_(place) {}

    IonClient* client_;
    std::size_t place_;
  };

  // A new buffer. Errors: IonHeaps'; ENOMEM: he has no room for a handle more.
  std::optional<Draft> allocate(IonWanted wanted, Errno& error) noexcept {
    Ref buffer;
    wanted.types &= types_;
    error = heaps_->allocate(client_.id(), wanted, buffer);
    if (error != Errno::none) return std::nullopt;
    return refer(std::move(buffer), error);
  }
  // A buffer that somebody shared: where he has a handle to it, that one. Errors: ENOMEM: he has no room for one more, or it has
  // too many holders.
  std::optional<Draft> import(const Ref& shared, Errno& error) noexcept {
    auto own = heaps_->device->ref(shared.id());
    if (!own) return error = Errno::no_memory, std::nullopt;
    return refer(*std::move(own), error);
  }

  // One reference less; with the last the handle is gone. Errors: EINVAL: it is none of his.
  Errno free(std::uint64_t handle, WordSize word) noexcept {
    Entry ended;  // under no lock
    const Turn turn(lock_);
    Entry* const entry = find(handle, word);
    if (entry == nullptr) return Errno::invalid;
    --entry->references;
    end_unused(*entry, ended);
    return Errno::none;
  }

  // A hold of one's own on what the handle refers to. Errors: EINVAL: it is none of his; ENOMEM: the buffer has too many.
  Errno share(std::uint64_t handle, WordSize word, Ref& buffer) noexcept {
    const Turn turn(lock_);
    Entry* const entry = find(handle, word);
    if (entry == nullptr) return Errno::invalid;
    auto hold = heaps_->device->ref(entry->buffer.id());
    if (!hold) return Errno::no_memory;
    buffer = *std::move(hold);
    return Errno::none;
  }

  // act(buffer, extra), which says what is wrong, while the handle is not freed: under his lock. Errors: EINVAL: it is none of
  // his; act's.
  template <class Act>
  Errno with(std::uint64_t handle, WordSize word, Act&& act) noexcept {
    const Turn turn(lock_);
    Entry* const entry = find(handle, word);
    return entry == nullptr ? Errno::invalid : act(std::as_const(entry->buffer), entry->extra);
  }

  // visit(handle, references, buffer) for each that he knows, under his lock.
  template <class Visit>
  void for_each(WordSize word, Visit&& visit) noexcept {
    const Turn turn(lock_);
    for (std::size_t place = 0; place < used_; ++place) {
      const Entry& entry = entries_[place];
      if (entry.references != 0) visit(handle_of(place, word), entry.references, entry.buffer);
    }
  }
  const Heaps& heaps() const noexcept { return *heaps_; }
  const Holder& holder() const noexcept { return holder_; }
  ClientId id() const noexcept { return client_.id(); }

 private:
  struct Entry {
    Ref buffer = {};
    [[no_unique_address]] X extra = {};
    std::uint32_t references = 0;  // that he knows of
    std::uint32_t drafts = 0;
    std::uint32_t cookie = 0;
  };

  bool has_pointers() const noexcept { return has_pointer_handles(heaps_->generation); }
  // An integer is the place, from 1 on.
  std::uint64_t handle_of(std::size_t place, WordSize word) const noexcept {
    if (!has_pointers()) return place + 1;
    const std::uint64_t kernel = word == WordSize::bits32 ? IonCookies<L>::kernel32 : IonCookies<L>::kernel64;
    return kernel | entries_[place].cookie;
  }
  Entry* find(std::uint64_t handle, WordSize word) noexcept {
    const std::size_t place = has_pointers() ? IonCookies<L>::place_of(handle) : static_cast<std::size_t>(handle - 1);
    if (handle == 0 || place >= most) return nullptr;
    Entry& entry = entries_[place];
    return entry.references != 0 && handle_of(place, word) == handle ? &entry : nullptr;
  }

  std::optional<Draft> refer(Ref&& buffer, Errno& error) noexcept {
    const Turn turn(lock_);
    std::size_t place = place_of(buffer);
    if (place == none) place = take_place(std::move(buffer));
    const bool is_full = place == none || entries_[place].references == most_references - entries_[place].drafts;
    error = is_full ? Errno::no_memory : Errno::none;
    if (is_full) return std::nullopt;
    ++entries_[place].drafts;
    return Draft(*this, place);
  }
  std::size_t place_of(const Ref& buffer) const noexcept {
    std::size_t place = 0;
    while (place < used_ && !(entries_[place].buffer && entries_[place].buffer == buffer)) ++place;
    return place < used_ ? place : none;
  }
  // The lowest: so are a client's integers.
  std::size_t take_place(Ref&& buffer) noexcept {
    std::size_t place = 0;
    while (place < most && entries_[place].buffer) ++place;
    if (place == most) return none;
    if (place >= used_) used_ = place + 1;
    entries_[place].buffer = std::move(buffer);
    holders_of(entries_[place]).add();
    entries_[place].cookie = has_pointers() ? cookies_->next(place) : 0;
    return place;
  }
  void settle(std::size_t place, bool is_kept) noexcept {
    Entry ended;
    const Turn turn(lock_);
    Entry& entry = entries_[place];
    --entry.drafts;
    if (is_kept) ++entry.references;
    end_unused(entry, ended);
  }
  void end_unused(Entry& entry, Entry& ended) noexcept {
    if (entry.references != 0 || entry.drafts != 0) return;
    holders_of(entry).remove(holder_);
    ended = std::exchange(entry, Entry());
  }
  static Holders<L>& holders_of(const Entry& entry) noexcept { return entry.buffer.extra().holders(); }

  const Heaps* heaps_;
  OwnClient<D> client_;
  IonCookies<L>* cookies_;
  std::uint32_t types_;
  const Holder holder_;
  OwnLock<L> lock_;
  std::size_t used_ = 0;  // places that were ever taken
  std::array<Entry, most> entries_ = {};
};

}  // namespace freestone::device
