// Mappings whose bytes may become others while they are mapped: who has which, and how he is told.
#pragma once

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone::linux_user {

// A process that the server can ask to look again.
class Control {
 public:
  // The connection outlives this.
  Control(const Connection& connection, std::uint64_t process) noexcept : connection_(connection), process_(process) {}

  std::uint64_t process() const noexcept { return process_; }

  // Asks, and waits until it is done. Who does not answer in time is asked no more: his connection ends, by which he knows
  // that what he has may be wrong. (A process that is stopped; it connects anew.)
  void look_again(std::uint64_t view, std::uint64_t at, std::uint64_t length) noexcept {
    const std::lock_guard turn(mutex_);
    const Reply question{.step = Step::look_again, .result = static_cast<std::int64_t>(view), .address = at, .length = length};
    if (has_ended_) return;
    if (!connection_.send(question, {}, Waiting::no) || !is_answered()) end();
  }

 private:
  static constexpr int longest_wait = 1000;  // milliseconds

  bool is_answered() const noexcept {
    pollfd ready{connection_.fd(), POLLIN, 0};
    int came = 0;
    do came = ::poll(&ready, 1, longest_wait);
    while (came < 0 && errno == EINTR);
    if (came <= 0) return false;
    const auto answer = connection_.receive<Request>(0, Waiting::no);
    return answer && answer->record.ask == Ask::copied;
  }
  void end() noexcept {
    has_ended_ = true;
    ::shutdown(connection_.fd(), SHUT_RDWR);
  }

  const Connection& connection_;
  const std::uint64_t process_;
  std::mutex mutex_;
  bool has_ended_ = false;
};

// All views of a server's. Any thread.
class Views {
 public:
  static constexpr std::size_t most = 1 << 16;

  // A window of a file's mappable bytes.
  struct View {
    std::weak_ptr<OpenFile> file;
    const OpenFile* which = nullptr;  // only to be compared
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  // --- processes ---

  // A process, which has its parent's views: those of the numbers that there are.
  void add(const std::shared_ptr<Control>& control, std::span<const std::uint64_t> inherited) {
    const std::lock_guard turn(mutex_);
    controls_[control->process()] = control;
    for (const std::uint64_t number : inherited) {
      if (const auto found = views_.find(number); found != views_.end()) found->second.holders.insert(control);
    }
  }
  // What nobody else has of its views ends.
  void remove(const std::shared_ptr<Control>& control) {
    const std::lock_guard turn(mutex_);
    const auto found = controls_.find(control->process());
    if (found != controls_.end() && found->second == control) controls_.erase(found);
    for (auto one = views_.begin(); one != views_.end();) {
      one->second.holders.erase(control);
      one = one->second.holders.empty() ? views_.erase(one) : std::next(one);
    }
  }

  // --- views ---

  // A view that the process has, by its number. Errors: EINVAL: it has no control connection; ENOMEM: there are too many.
  device::Answer open(const std::shared_ptr<OpenFile>& file, std::uint64_t offset, std::uint64_t length, std::uint64_t process) {
    const std::lock_guard turn(mutex_);
    const auto control = controls_.find(process);
    if (control == controls_.end()) return device::Errno::invalid;
    if (views_.size() == most) return device::Errno::no_memory;
    std::uint64_t number = 0;
    do {
      if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) return device::Errno::no_memory;
      number >>= 1;
    } while (number == 0 || views_.contains(number));
    views_.emplace(number, Entry{{file, file.get(), offset, length}, {control->second}});
    return device::Answer(static_cast<std::int64_t>(number));
  }
  void close(std::uint64_t number, std::uint64_t process) {
    const std::lock_guard turn(mutex_);
    const auto found = views_.find(number);
    if (found == views_.end()) return;
    std::erase_if(found->second.holders, [&](const auto& holder) { return holder->process() == process; });
    if (found->second.holders.empty()) views_.erase(found);
  }
  std::optional<View> find(std::uint64_t number) {
    const std::lock_guard turn(mutex_);
    const auto found = views_.find(number);
    if (found == views_.end()) return std::nullopt;
    return found->second.view;
  }
  std::size_t count() {
    const std::lock_guard turn(mutex_);
    return views_.size();
  }

  // Bytes of what can be mapped of that file have other pieces now. When this returns, each process that lives, answers
  // and maps some of them has the new ones, and nobody the old. To be called under no lock that OpenFile::piece takes.
  // Cost: a question to each such process, and its answer; a second where one is stopped.
  void look_again(const OpenFile& file, std::uint64_t at, std::uint64_t length) {
    for (const Question& one : questions(file, at, length)) one.to->look_again(one.view, one.at, one.length);
  }

 private:
  struct Entry {
    View view;
    std::set<std::shared_ptr<Control>> holders;
  };
  struct Question {
    std::shared_ptr<Control> to;
    std::uint64_t view, at, length;
  };

  std::vector<Question> questions(const OpenFile& file, std::uint64_t at, std::uint64_t length) {
    std::vector<Question> all;
    const std::lock_guard turn(mutex_);
    for (const auto& [number, entry] : views_) {
      const View& view = entry.view;
      const std::uint64_t from = std::max(at, view.offset);
      const std::uint64_t to = std::min(at + length, view.offset + view.length);
      if (from >= to || view.which != &file) continue;
      for (const auto& holder : entry.holders) all.push_back({holder, number, from - view.offset, to - from});
    }
    return all;
  }

  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Control>> controls_;  // by process
  std::map<std::uint64_t, Entry> views_;
};

}  // namespace freestone::linux_user
