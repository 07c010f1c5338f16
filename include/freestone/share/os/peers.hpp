// Who holds a device's buffers in other processes, and that it all comes back when they are gone.
#pragma once

#include <poll.h>
#include <time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/heap/fence.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/handle_table.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone {

// Which peer, and which of those that had his place in turn.
struct PeerId {
  std::uint32_t place = ~std::uint32_t{0};
  std::uint32_t generation = 0;

  friend constexpr bool operator==(const PeerId&, const PeerId&) noexcept = default;
};

// Why a peer is none any more. A process that dies closes its connection first, so either may be seen.
enum class PeerEnd : std::uint8_t { process_died, connection_ended, dismissed };

// Up to `most` peers, who have up to `most_held` buffers of the device D between them. A peer is the other end of a
// connection, and the process there; he is gone when one of the two is. The process counts too, for he may have sent
// his own end of the connection to somebody, and then it does not end with him.
//
// That a peer is gone does not say that nobody sees the bytes any more: he may live on without his connection, and may
// have passed the file on. Who minds gives each buffer a file of its own (export.hpp), or keeps the ref that reap gives
// him.
//
// A buffer goes out in this order: Exports::put, so that its file is known when it comes back; give; send. Where give
// fails, Exports::withdraw_unused undoes the put. Where send fails, take_back does, and then that; but not where it says
// connection_ended, for then reap takes all of his back.
//
// The device outlives it. One thread, the server's, joins, dismisses, sends, waits, reaps and uses connections; give,
// take_back and the counts are any thread's, as L lets them. No other lock is taken and no buffer ends while L is held:
// it is of LockRank::peers. Cost of each call: O(most_held).
template <class D, std::size_t most, std::size_t most_held, class L>
class Peers {
  using Ref = typename D::Ref;
  using Turn = typename OwnLock<L>::Turn;

 public:
  // The connection is taken over where it succeeds. Errors: too_many_peers, and connection().peer()'s.
  Result<PeerId> join(Connection&& connection) noexcept {
    auto peer = connection.peer();
    if (!peer) return peer.error();
    return join(std::move(connection), std::move(peer->process));
  }
  // The same for a pair's end, whose other end a child has: that process, by its pidfd (-1: only the connection counts).
  Result<PeerId> join(Connection&& connection, backing::OwnedFd process) noexcept {
    const Turn turn(lock_);
    for (std::uint32_t at = 0; at < most; ++at) {
      Place& place = places_[at];
      if (place.state != State::free) continue;
      place.link.emplace(Link{.connection = std::move(connection), .process = std::move(process)});
      place.state = State::joined;
      return PeerId{at, ++place.generation};
    }
    return Error{.code = ErrorCode::too_many_peers, .asked = most + 1, .available = most};
  }

  // To talk to him: as long as he is neither dismissed nor reaped. nullptr: he was.
  const Connection* connection(PeerId peer) const noexcept {
    return is_joined(peer) ? &places_[peer.place].link->connection : nullptr;
  }

  // Sends him a record, and descriptors that stay the caller's, and waits for nobody. Errors: connection_ended: he is
  // none of the peers, or reads no more, and then the next reap finds him gone, though he may live and send (shutdown(2),
  // SHUT_RD); node_failure with EAGAIN: he has not read what was sent before, and whether he is dismissed for that is the
  // server's to say; the others of Connection::send. Then nothing was sent.
  template <MessageRecord R>
  Result<void> send(PeerId peer, const R& record, std::span<const int> fds = {}) noexcept {
    if (!is_joined(peer)) return ErrorCode::connection_ended;
    Link& link = *places_[peer.place].link;
    const auto sent = link.connection.send(record, fds, Waiting::no);
    if (!sent && sent.error().code == ErrorCode::connection_ended) link.reads_no_more = true;
    return sent;
  }
  template <MessageRecord R>
  Result<void> send(PeerId peer, const R& record, const backing::OwnedFd& fd) noexcept {
    const int one = fd.get();
    return send(peer, record, std::span<const int>(&one, 1));
  }

  // He has the buffer once more. The ref is taken over where it succeeds. Errors: no_buffer of an empty ref;
  // connection_ended: he is none of the peers; too_many_holds.
  Result<void> give(PeerId peer, Ref&& buffer) noexcept {
    if (!buffer) return ErrorCode::no_buffer;
    const ErrorCode wrong = [&] {
      const Turn turn(lock_);
      return is_joined(peer) ? hold(peer.place, buffer) : ErrorCode::connection_ended;
    }();
    if (wrong != ErrorCode::none) return wrong;
    const Ref known = std::move(buffer);  // where he had it already
    return {};
  }
  // Once less. Errors: connection_ended; no_buffer: he does not have it.
  Result<void> take_back(PeerId peer, BufferId id) noexcept {
    Ref last;  // dropped when no lock is held
    const Turn turn(lock_);
    if (!is_joined(peer)) return ErrorCode::connection_ended;
    Held* const held = find(peer.place, id);
    if (held == nullptr) return ErrorCode::no_buffer;
    if (--held->times == 0) std::swap(last, held->buffer);
    return {};
  }

  // Somebody who is gone, or goes now.
  struct Departure {
    PeerId peer;
    PeerEnd how;
  };

  // Waits until a peer is gone, the time is over, or a signal was handled; not at all where the kernel refuses to wait.
  // Of each who is gone, whatever he had comes back: returned(const Departure&, Ref) gets each buffer once, and drops it
  // or keeps it; departed(const Departure&, buffers) is told last. No lock is held: both may call all of this, join and
  // dismiss too; of him they hear connection_ended, and his place is free in `departed`. Returns how many were gone. (Of
  // whom the kernel does not say, a later call hears.)
  template <class Returned, class Departed>
  std::size_t reap(Timeout timeout, Returned&& returned, Departed&& departed) noexcept {
    wait(timeout, 0);
    std::size_t gone = 0;
    for (std::uint32_t at = 0; at < most; ++at) {
      if (places_[at].state != State::joined) continue;
      const auto end = end_of(*places_[at].link);
      if (!end) continue;
      part({{at, places_[at].generation}, *end}, returned, departed);
      ++gone;
    }
    return gone;
  }
  std::size_t reap(Timeout timeout) noexcept {
    return reap(timeout, [](const Departure&, Ref) {}, [](const Departure&, std::size_t) {});
  }

  // Waits until somebody has sent something or is gone, the time is over, or a signal was handled. Then the server asks
  // each connection (receive, Waiting::no), and reaps without waiting.
  void wait(Timeout timeout) noexcept { wait(timeout, POLLIN); }
  // For a server that waits for other things too: visit(int fd, short events) for each descriptor that it is to poll.
  // They are others once somebody has joined or gone; of whom `send` found that he reads no more, they say nothing.
  template <class Visitor>
  void for_each_event(Visitor&& visit) noexcept {
    for_each_event(POLLIN, visit);
  }

  // Closes the connection: what he had comes back as if he were gone. Errors: connection_ended: he is none.
  template <class Returned, class Departed>
  Result<void> dismiss(PeerId peer, Returned&& returned, Departed&& departed) noexcept {
    if (!is_joined(peer)) return ErrorCode::connection_ended;
    part({peer, PeerEnd::dismissed}, returned, departed);
    return {};
  }
  Result<void> dismiss(PeerId peer) noexcept {
    return dismiss(peer, [](const Departure&, Ref) {}, [](const Departure&, std::size_t) {});
  }

  // --- reports ---

  std::size_t count() noexcept {
    const Turn turn(lock_);
    std::size_t count = 0;
    for (const Place& place : places_) count += place.state != State::free;
    return count;
  }
  // How many buffers he has; of none of the peers 0.
  std::size_t held_by(PeerId peer) noexcept {
    const Turn turn(lock_);
    std::size_t count = 0;
    for (const Held& held : held_) count += is_joined(peer) && held.buffer && held.place == peer.place;
    return count;
  }
  // visit(PeerId, how often) for each peer who has the buffer, under the lock: it calls nothing of these.
  template <class Visitor>
  void for_each_holder(BufferId id, Visitor&& visit) noexcept {
    const Turn turn(lock_);
    for (const Held& held : held_) {
      if (held.buffer && held.buffer.id() == id) visit(PeerId{held.place, places_[held.place].generation}, held.times);
    }
  }

 private:
  enum class State : std::uint8_t { free, joined, leaving };
  struct Link {
    Connection connection;
    backing::OwnedFd process;
    bool reads_no_more = false;
  };
  // Changed by the server's thread only, and under the lock.
  struct Place {
    State state = State::free;
    std::uint32_t generation = 0;
    std::optional<Link> link = {};
  };
  struct Held {
    Ref buffer = {};  // empty: nothing is here
    std::uint32_t place = 0;
    std::uint32_t times = 0;
  };

  bool is_joined(PeerId peer) const noexcept {
    return peer.place < most && places_[peer.place].state == State::joined &&
           places_[peer.place].generation == peer.generation;
  }

  Held* find(std::uint32_t place, BufferId id) noexcept {
    for (Held& held : held_) {
      if (held.buffer && held.place == place && held.buffer.id() == id) return &held;
    }
    return nullptr;
  }
  ErrorCode hold(std::uint32_t place, Ref& buffer) noexcept {
    if (Held* const known = find(place, buffer.id())) {
      if (known->times == ~std::uint32_t{0}) return ErrorCode::too_many_holds;
      return ++known->times, ErrorCode::none;
    }
    for (Held& held : held_) {
      if (held.buffer) continue;
      held.place = place;
      held.times = 1;
      held.buffer = std::move(buffer);
      return ErrorCode::none;
    }
    return ErrorCode::too_many_holds;
  }

  // First nothing is given to him any more, then all comes back, and only then is his place another's.
  template <class Returned, class Departed>
  void part(const Departure& departure, Returned&& returned, Departed&& departed) noexcept {
    Place& place = places_[departure.peer.place];
    set_state(place, State::leaving);
    std::size_t buffers = 0;
    for (Held& held : held_) {
      Ref buffer = take_from(held, departure.peer.place);
      if (!buffer) continue;
      ++buffers;
      returned(departure, std::move(buffer));
    }
    place.link.reset();
    set_state(place, State::free);
    departed(departure, buffers);
  }
  Ref take_from(Held& held, std::uint32_t place) noexcept {
    Ref buffer;
    const Turn turn(lock_);
    if (held.buffer && held.place == place) std::swap(buffer, held.buffer);
    return buffer;
  }
  void set_state(Place& place, State state) noexcept {
    const Turn turn(lock_);
    place.state = state;
  }

  static std::optional<PeerEnd> end_of(const Link& link) noexcept {
    if (detail::events_now(link.process.get(), POLLIN) > 0) return PeerEnd::process_died;
    if (link.reads_no_more || link.connection.has_ended()) return PeerEnd::connection_ended;
    return std::nullopt;
  }

  // `more` events of each connection, besides its end.
  template <class Visitor>
  void for_each_event(short more, Visitor&& visit) noexcept {
    for (const Place& place : places_) {
      if (place.state != State::joined) continue;
      const int process = place.link->process.get();
      visit(place.link->connection.fd(), static_cast<short>(POLLRDHUP | more));
      if (process >= 0) visit(process, static_cast<short>(POLLIN));
    }
  }
  bool knows_of_one() const noexcept {
    for (const Place& place : places_) {
      if (place.state == State::joined && place.link->reads_no_more) return true;
    }
    return false;
  }

  void wait(Timeout timeout, short more) noexcept {
    if (knows_of_one()) return;  // no descriptor tells it
    std::array<pollfd, 2 * most> all = {};
    nfds_t count = 0;
    for_each_event(more, [&](int fd, short events) { all[count++] = {fd, events, 0}; });
    const std::uint64_t seconds = timeout.nanoseconds() / 1'000'000'000;
    timespec time{};
    time.tv_sec = static_cast<time_t>(seconds < INT32_MAX ? seconds : INT32_MAX);  // a time_t may have 32 bits
    time.tv_nsec = static_cast<long>(timeout.nanoseconds() % 1'000'000'000);
    static_cast<void>(::ppoll(all.data(), count, timeout.is_forever() ? nullptr : &time, nullptr));
  }

  OwnLock<L> lock_;
  std::array<Place, most> places_ = {};
  std::array<Held, most_held> held_ = {};
};

}  // namespace freestone
