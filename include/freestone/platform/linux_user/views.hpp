// Mappings whose bytes may become others while they are mapped: who has which, and how he is told.
#pragma once

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone::linux_user {

// A process that the server can ask to look again.
class Control {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds longest_wait{1000};  // for an answer

  // The connection must live until `end` has returned.
  Control(const Connection& connection, std::uint64_t process) noexcept : connection_(connection), process_(process) {}

  std::uint64_t process() const noexcept { return process_; }

  // One who asks: nobody else does meanwhile. Who does not answer in time, or reads nothing, is asked no more: his connection
  // ends, by which he knows that what he has may be wrong. (A process that is stopped; it connects anew.)
  class Turn {
   public:
    // It is asked, and waited for, no longer than that.
    Turn(Control& control, Clock::time_point until) : control_(control), until_(until), turn_(control.mutex_) {}

    void ask(std::uint64_t view, std::uint64_t at, std::uint64_t length, std::uint64_t changes) noexcept {
      Reply question{.step = Step::look_again, .payload_length = sizeof changes, .result = static_cast<std::int64_t>(view),
                     .address = at, .length = length};
      std::memcpy(question.payload.data(), &changes, sizeof changes);
      if (asked_ == most_asked) await_one();
      if (control_.has_ended_) return;
      control_.connection_.send(question, {}, Waiting::no) ? void(++asked_) : control_.shut();
    }
    void await() noexcept {
      while (asked_ != 0) await_one();
    }

   private:
    static constexpr std::size_t most_asked = 64;  // whose answers are not there: a socket has room for more

    void await_one() noexcept {
      --asked_;
      if (!control_.has_ended_ && !control_.is_answered(std::min(until_, Clock::now() + longest_wait))) control_.shut();
    }

    Control& control_;
    const Clock::time_point until_;
    std::unique_lock<std::mutex> turn_;
    std::size_t asked_ = 0;
  };

  // Nobody asks any more; who does so now is through when this returns.
  void end() noexcept {
    const std::lock_guard turn(mutex_);
    shut();
  }

 private:
  bool is_answered(Clock::time_point until) const noexcept {
    pollfd ready{connection_.fd(), POLLIN, 0};
    int came = 0;
    do {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      came = ::poll(&ready, 1, left < 0 ? 0 : static_cast<int>(left));
    } while (came < 0 && errno == EINTR);
    if (came <= 0) return false;
    const auto answer = connection_.receive<Request>(0, Waiting::no);
    return answer && answer->record.ask == Ask::copied;
  }
  void shut() noexcept {
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
    bool is_only_read = false;
    std::uint64_t changes = 0;  // of its parts
  };

  // --- processes ---

  // A process, which has its parent's views: those of the numbers that there are. What it had before, and was late to
  // answer for, it still has.
  void add(const std::shared_ptr<Control>& control, std::span<const std::uint64_t> inherited) {
    const std::lock_guard turn(mutex_);
    controls_[control->process()] = control;
    for (const std::uint64_t number : inherited) {
      const auto found = views_.find(number);
      if (found == views_.end()) continue;
      std::set<Holding> holding = {{control->process(), number}};  // made apart, so that both are there, or none
      found->second.holders.insert(control->process());
      held_.merge(holding);
    }
  }
  // It is asked no more. Its views stay its own till it is gone, or connects anew: it may only have been late.
  void remove(const std::shared_ptr<Control>& control) {
    const std::lock_guard turn(mutex_);
    const auto found = controls_.find(control->process());
    if (found != controls_.end() && found->second == control) controls_.erase(found);
  }
  // The process is gone: none of its connections is left. What nobody else has of its views ends. Cost: as many as it has.
  void forget(std::uint64_t process) {
    std::map<std::uint64_t, Entry> ended;  // under no lock of these
    const std::lock_guard turn(mutex_);
    controls_.erase(process);
    for (auto one = held_.lower_bound({process, 0}); one != held_.end() && one->first == process;) {
      const std::uint64_t number = (one++)->second;
      ended.insert(let_go(number, process));
    }
  }

  // --- views ---

  // A view that the process has, by its number. Errors: EINVAL: it has no control connection; ENOMEM: there are too many.
  device::Answer open(const std::shared_ptr<OpenFile>& file, std::uint64_t offset, std::uint64_t length, bool is_only_read,
                      std::uint64_t process, OpenFile::Kept kept = nullptr) {
    const std::lock_guard turn(mutex_);
    const auto control = controls_.find(process);
    if (control == controls_.end()) return device::Errno::invalid;
    if (views_.size() == most) return device::Errno::no_memory;
    std::uint64_t number = 0;
    do {
      if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) return device::Errno::no_memory;
      number >>= 1;
    } while (number == 0 || views_.contains(number));
    std::map<std::uint64_t, Entry> made;  // apart, so that all are there, or none
    Entry& entry = made[number];
    entry.view = {.file = file, .which = file.get(), .offset = offset, .length = length, .is_only_read = is_only_read};
    entry.holders.insert(process);
    std::set<Holding> holding = {{process, number}};
    std::set<std::pair<const OpenFile*, std::uint64_t>> of_file = {{file.get(), number}};
    entry.kept = std::move(kept);
    views_.merge(made), held_.merge(holding), of_files_.merge(of_file);
    return device::Answer(static_cast<std::int64_t>(number));
  }
  void close(std::uint64_t number, std::uint64_t process) {
    std::map<std::uint64_t, Entry>::node_type ended;  // under no lock of these
    const std::lock_guard turn(mutex_);
    ended = let_go(number, process);
  }
  std::optional<View> find(std::uint64_t number) {
    const std::lock_guard turn(mutex_);
    const auto found = views_.find(number);
    if (found == views_.end()) return std::nullopt;
    return found->second.view;
  }
  // Where that process has it.
  std::optional<View> find(std::uint64_t number, std::uint64_t process) {
    const std::lock_guard turn(mutex_);
    const auto found = views_.find(number);
    if (found == views_.end() || !found->second.holders.contains(process)) return std::nullopt;
    return found->second.view;
  }
  std::size_t count() {
    const std::lock_guard turn(mutex_);
    return views_.size();
  }

  // While one is there this thread waits no longer than it would for one question, whatever it asks: as where a file ends, which others
  // wait for, and many ranges of many files are hidden. Who does not answer in that time is asked no more.
  class Hurry {
   public:
    Hurry() noexcept : before_(std::exchange(latest, std::min(latest, Control::Clock::now() + Control::longest_wait))) {}
    Hurry(const Hurry&) = delete;
    Hurry& operator=(const Hurry&) = delete;
    ~Hurry() { latest = before_; }

   private:
    const Control::Clock::time_point before_;
  };

  // Bytes of what can be mapped of that file have other pieces now. When this returns, each process that lives, answers
  // and maps some of them has the new ones, and nobody the old. To be called under no lock that OpenFile::piece takes.
  // Cost: a question to each such process for each view of the file that it has, of all at once, and their answers; a second where
  // one is stopped. Where there is no memory for that, of one after the other, and a second for each that is.
  void look_again(const OpenFile& file, std::uint64_t at, std::uint64_t length) noexcept {
    if (!has_memory([&] { ask_all(file, at, length); })) ask_each(file, at, length);
  }

 private:
  static inline thread_local Control::Clock::time_point latest = Control::Clock::time_point::max();

  struct Entry {
    View view;
    OpenFile::Kept kept;
    std::set<std::uint64_t> holders;  // processes
  };
  struct Question {
    std::uint64_t view = 0, at = 0, length = 0, changes = 0;
  };
  using Holding = std::pair<std::uint64_t, std::uint64_t>;  // a process, and a view that it has

  // All memory is there before anybody is asked: so whoever is asked is waited for.
  void ask_all(const OpenFile& file, std::uint64_t at, std::uint64_t length) {
    const auto all = questions(file, at, length);
    std::size_t most_asked = 0;
    for (const auto& [control, asked] : all) most_asked = std::max(most_asked, asked.size());
    const auto until = std::min(latest, Control::Clock::now() + Control::longest_wait + std::chrono::milliseconds(most_asked));
    std::list<std::optional<Control::Turn>> turns(all.size());  // in the order of their addresses, as everybody takes them
    auto turn = turns.begin();
    for (const auto& [control, asked] : all) {
      turn->emplace(*control, until);
      for (const Question& one : asked) (*turn)->ask(one.view, one.at, one.length, one.changes);
      ++turn;
    }
    for (auto& one : turns) one->await();
  }
  // The same with no memory.
  void ask_each(const OpenFile& file, std::uint64_t at, std::uint64_t length) noexcept {
    for (Asked one; next_question(file, at, length, one);) {
      Control::Turn turn(*one.control, latest);
      turn.ask(one.question.view, one.question.at, one.question.length, one.question.changes);
      turn.await();
    }
  }

  // The process has it no more. The view, where nobody has it any more.
  std::map<std::uint64_t, Entry>::node_type let_go(std::uint64_t number, std::uint64_t process) noexcept {
    const auto found = views_.find(number);
    if (found == views_.end()) return {};
    held_.erase({process, number});
    found->second.holders.erase(process);
    if (!found->second.holders.empty()) return {};
    of_files_.erase({found->second.view.which, number});
    return views_.extract(found);
  }

  std::map<std::shared_ptr<Control>, std::vector<Question>> questions(const OpenFile& file, std::uint64_t at, std::uint64_t length) {
    std::map<std::shared_ptr<Control>, std::vector<Question>> all;
    for (Asked one; next_question(file, at, length, one);) all[one.control].push_back(one.question);
    return all;
  }
  struct Asked {
    std::shared_ptr<Control> control = nullptr;
    std::uint64_t process = 0;
    Question question = {};
  };
  // The one behind that, by views and then by processes. False: there is none.
  bool next_question(const OpenFile& file, std::uint64_t at, std::uint64_t length, Asked& last) noexcept {
    const std::lock_guard turn(mutex_);
    for (auto one = of_files_.lower_bound({&file, last.question.view}); one != of_files_.end() && one->first == &file; ++one) {
      const std::uint64_t number = one->second;
      auto& [view, kept, holders] = views_.find(number)->second;
      const std::uint64_t from = std::max(at, view.offset);
      const std::uint64_t to = std::min(at + length, view.offset + view.length);
      if (from >= to) continue;
      const bool is_begun = number == last.question.view;
      if (!is_begun) ++view.changes;
      for (auto holder = is_begun ? holders.upper_bound(last.process) : holders.begin(); holder != holders.end(); ++holder) {
        const auto control = controls_.find(*holder);
        if (control == controls_.end()) continue;
        last = {control->second, *holder, {number, from - view.offset, to - from, view.changes}};
        return true;
      }
    }
    return false;
  }

  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Control>> controls_;  // by process
  std::map<std::uint64_t, Entry> views_;
  std::set<Holding> held_;
  std::set<std::pair<const OpenFile*, std::uint64_t>> of_files_;  // the views of each
};

}  // namespace freestone::linux_user
