// What a server's views show, and programs that answer when the server asks them to look again.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/share/os/fd_message.hpp>

#include "support/ion_attackers.hpp"
#include "support/server_client.hpp"

namespace freestone::tests::attackers {

using linux_user::MapPart;

// What a view shows from `at` on: its parts, and the first one's file.
struct Shown {
  std::int64_t until = 0;
  std::vector<MapPart> parts;
  OwnedFd first = OwnedFd(-1);

  std::string pages_of(std::uint64_t count) const {
    std::string text(static_cast<std::size_t>(count), '.');
    for (const MapPart& part : parts) {
      for (std::uint64_t at = part.at / page; at < (part.at + part.length) / page; ++at) text.at(static_cast<std::size_t>(at)) = 'o';
    }
    return text;
  }
};
inline Shown shown(const Connection& talk, std::int64_t view, std::uint64_t at = 0) {
  Shown all;
  CHECK(talk.send(Request{.ask = Ask::parts, .number = static_cast<std::uint64_t>(view), .address = at}));
  auto got = talk.receive<Reply, 8>(0);
  if (!got) return all;
  all.until = got->record.result;
  for (std::size_t place = 0; place + sizeof(MapPart) <= got->record.payload_length; place += sizeof(MapPart)) {
    std::memcpy(&all.parts.emplace_back(), got->record.payload.data() + place, sizeof(MapPart));
  }
  if (got->fds.size() != 0) all.first = got->fds.take(0);
  return all;
}
inline Shown shown(const std::string& name, std::int64_t view, std::uint64_t at = 0) {
  return shown(*Connection::of(ServerClient::connected(name)), view, at);
}

// By which this process may have views, answered as interposers do: what `first` does comes before each answer.
class Answering {
 public:
  explicit Answering(
      const std::string& name, std::function<void()> first = [] {}, std::span<const std::uint64_t> inherited = {})
      : link_(name), first_(std::move(first)) {
    Request begin{.ask = Ask::control, .number = 1, .payload_length = static_cast<std::uint32_t>(inherited.size_bytes())};
    if (!inherited.empty()) std::memcpy(begin.payload.data(), inherited.data(), inherited.size_bytes());
    CHECK(link_.ask(begin).result == 0);
    thread_ = std::thread([this] {
      for (Answered got = link_.receive(); !got.has_ended; got = link_.receive()) {
        ++asked_;
        first_();
        static_cast<void>(link_.send(Request{.ask = Ask::copied}));
      }
    });
  }
  ~Answering() {
    ::shutdown(link_.socket(), SHUT_RDWR);
    thread_.join();
  }
  unsigned asked() const { return asked_; }

 private:
  ServerClient link_;
  std::function<void()> first_;
  std::atomic<unsigned> asked_ = 0;
  std::thread thread_;
};

}  // namespace freestone::tests::attackers
