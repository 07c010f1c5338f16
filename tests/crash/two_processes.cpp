// Two processes work in one memfd. One of them is killed in the middle; the other recovers through the ledger, finds
// all of its own blocks and nothing else, and works on. The lock is a robust mutex of this test's own.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>

#include "fault.hpp"
#include "support/random.hpp"

namespace freestone::crash {
namespace {

using tests::Random;

constexpr std::uint8_t victim = 1;
constexpr std::uint8_t survivor = 2;
constexpr std::uint64_t most_operations = 1000;

template <class Strategy>
using SharedZone = Zone<backing::MemoryFile, Strategy, lock::None, cache::Coherent>;

ZoneOptions options_of(std::uint8_t owner) {
  return {.name = "crash", .size = 1_MiB, .granule = 4_KiB, .owner = owner};
}

// What both processes see beside the zone.
class Meeting {
 public:
  static Meeting& make() {
    void* page = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(page != MAP_FAILED, "there is memory to share");
    return *::new (page) Meeting;
  }
  ~Meeting() { munmap(this, sizeof(Meeting)); }

  // False when the lock's holder died; it is held all the same, by a caller who must first put things right.
  bool lock() {
    const int error = pthread_mutex_lock(&mutex_);
    require(error == 0 || error == EOWNERDEAD, "the mutex is robust");
    return error == 0;
  }
  bool try_lock() { return pthread_mutex_trylock(&mutex_) == 0; }
  void mark_consistent() { require(pthread_mutex_consistent(&mutex_) == 0, "the mutex can be repaired"); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

  std::atomic<std::uint64_t> operations = 0;  // that the victim has done
  std::atomic<bool> victim_lost_bytes = false;

 private:
  Meeting() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    require(pthread_mutex_init(&mutex_, &attributes) == 0, "a robust mutex can be made");
    pthread_mutexattr_destroy(&attributes);
  }

  pthread_mutex_t mutex_;
};

// One process's part: its handle of the zone, and its own list of what it holds. Its blocks' first and last bytes say
// whose they are.
template <class Strategy>
class User {
 public:
  using Shared = SharedZone<Strategy>;

  User(Shared zone, std::uint8_t owner, Random random) : zone_(std::move(zone)), owner_(owner), random_(random) {}

  void operate() {
    if (blocks_.empty() || random_.from_to(0, 9) < 6) {
      allocate();
    } else {
      deallocate(static_cast<std::size_t>(random_.below(blocks_.size())));
    }
  }

  // What is there after a recovery must be this list, byte for byte.
  void judge(Tally& tally) {
    std::vector<Block> found;
    zone_.for_each_block([&](const Block& block) { found.push_back(block); });
    std::sort(blocks_.begin(), blocks_.end(), [](const Block& a, const Block& b) { return a.offset() < b.offset(); });
    const bool holds_all = std::includes(found.begin(), found.end(), blocks_.begin(), blocks_.end(), lower);
    if (!holds_all || found.size() != blocks_.size() || !blocks_are_marked()) ++tally.corrupt;
    const Stats stats = zone_.stats();
    if (stats.free + held() != zone_.size() || stats.used != held()) ++tally.leaked;
  }

  // Works on, and gives everything back: then the whole zone is one free stretch.
  void finish(Tally& tally) {
    for (int i = 0; i < 100; ++i) operate();
    while (!blocks_.empty()) deallocate(blocks_.size() - 1);
    if (refused_ || zone_.stats().largest_free != zone_.size() || !zone_.allocate(zone_.size())) ++tally.unusable;
  }

  bool blocks_are_marked() const {
    return std::all_of(blocks_.begin(), blocks_.end(), [&](const Block& block) { return is_marked(block); });
  }

  Shared& zone() { return zone_; }
  std::size_t blocks() const { return blocks_.size(); }

 private:
  static bool lower(const Block& a, const Block& b) {
    return std::pair(a.offset(), a.size()) < std::pair(b.offset(), b.size());
  }

  void allocate() {
    const auto block = zone_.allocate({.size = random_.from_to(1, 8 * 4096), .align = 4096U << random_.from_to(0, 2)});
    if (!block) return;
    mark(*block);
    blocks_.push_back(*block);
  }

  void deallocate(std::size_t index) {
    if (!is_marked(blocks_[index]) || !zone_.deallocate(blocks_[index])) refused_ = true;
    blocks_.erase(std::next(blocks_.begin(), static_cast<std::ptrdiff_t>(index)));
  }

  void mark(const Block& block) {
    zone_.data(block).front() = std::byte{owner_};
    zone_.data(block).back() = std::byte{owner_};
  }
  bool is_marked(const Block& block) const {
    return zone_.data(block).front() == std::byte{owner_} && zone_.data(block).back() == std::byte{owner_};
  }
  Bytes held() const {
    Bytes sum = 0;
    for (const Block& block : blocks_) sum = sum + block.size();
    return sum;
  }

  Shared zone_;
  std::uint8_t owner_;
  Random random_;
  std::vector<Block> blocks_;
  bool refused_ = false;
};

constexpr auto keeps_survivor = [](std::uint8_t owner) { return owner == survivor; };

// It ends with this process, should that end first.
template <class Work>
pid_t start_process(Work work) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  require(child >= 0, "a process can be made");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) work();
  _exit(0);
}

void wait_for(pid_t process) { require(waitpid(process, nullptr, 0) == process, "a process can be waited for"); }

// Somewhere in the middle of what it does next.
void kill_after_a_moment(pid_t process, Random& random) {
  const timespec moment{.tv_sec = 0, .tv_nsec = static_cast<long>(random.from_to(0, 50'000))};
  nanosleep(&moment, nullptr);
  kill(process, SIGKILL);
  wait_for(process);
}

// Works until it is killed. From operation `holds_from` on it no longer lets go of the lock, so that a kill hits a
// holder.
template <class Strategy>
void be_victim(Meeting& meeting, int fd, Random random, std::uint64_t holds_from) {
  auto zone = SharedZone<Strategy>::attach(options_of(victim), backing::MemoryFile::Source{fd});
  require(static_cast<bool>(zone), "a zone can be attached");
  User<Strategy> user(*std::move(zone), victim, random);
  for (std::uint64_t done = 0;; ++done) {
    if (done <= holds_from) meeting.lock();
    user.operate();
    meeting.operations.store(done + 1);
    if (done >= holds_from) continue;
    meeting.unlock();
    if (!user.blocks_are_marked()) meeting.victim_lost_bytes = true;
  }
}

// One kill. True when it hit a holder of the lock.
template <class Strategy>
bool kill_once(Random& random, Tally& tally) {
  Meeting& meeting = Meeting::make();
  auto zone = SharedZone<Strategy>::create(options_of(survivor));
  require(static_cast<bool>(zone), "a zone can be made");
  const int fd = zone->backing().fd();
  const std::uint64_t last = random.from_to(1, most_operations);
  const std::uint64_t holds_from = random.from_to(0, 2) == 0 ? last - 1 : ~std::uint64_t{0};
  User<Strategy> user(*std::move(zone), survivor, Random(random.from_to(0, ~0U)));

  const Random of_victim(random.from_to(0, ~0U));
  const pid_t process = start_process([&] { be_victim<Strategy>(meeting, fd, of_victim, holds_from); });
  while (meeting.operations.load() < last) {
    if (meeting.try_lock()) {
      user.operate();
      meeting.unlock();
    }
    sched_yield();
  }
  kill_after_a_moment(process, random);

  const bool was_free = meeting.lock();
  user.zone().recover(keeps_survivor);
  if (!was_free) meeting.mark_consistent();
  ++tally.runs;
  if (meeting.victim_lost_bytes) ++tally.corrupt;
  user.judge(tally);
  user.finish(tally);
  meeting.unlock();
  meeting.~Meeting();
  return !was_free;
}

// Recovers until it is killed, at the latest when it asks whose block to keep for the `last`-th time.
template <class Shared>
void recover_for_ever(Shared& zone, Meeting& meeting, std::uint64_t last) {
  meeting.lock();
  for (std::uint64_t asked = 0;; meeting.operations.fetch_add(1)) {
    zone.recover([&](std::uint8_t owner) {
      if (++asked == last) raise(SIGKILL);
      return owner == survivor;
    });
  }
}

// Whoever recovers is killed too: half of them in the middle of dropping blocks, half of them anywhere. The next one
// takes the zone up from its fd.
template <class Strategy>
void kill_while_recovering(Random& random, Tally& tally) {
  Meeting& meeting = Meeting::make();
  auto zone = SharedZone<Strategy>::create(options_of(survivor));
  require(static_cast<bool>(zone), "a zone can be made");
  const int fd = zone->backing().fd();
  User<Strategy> user(*std::move(zone), survivor, Random(random.from_to(0, ~0U)));
  while (user.blocks() < 20) user.operate();

  const Random of_victim(random.from_to(0, ~0U));
  const pid_t first = start_process([&] { be_victim<Strategy>(meeting, fd, of_victim, 50); });
  while (meeting.operations.load() <= 50) sched_yield();
  kill_after_a_moment(first, random);

  meeting.operations.store(0);
  const bool by_itself = random.from_to(0, 1) == 0;
  const std::uint64_t last = by_itself ? random.from_to(1, 60) : 0;
  const pid_t second = start_process([&] { recover_for_ever(user.zone(), meeting, last); });
  if (by_itself) {
    wait_for(second);
  } else {
    while (meeting.operations.load() < 3) sched_yield();
    kill_after_a_moment(second, random);
  }

  require(!meeting.lock(), "the second died with the lock");
  auto next =
      SharedZone<Strategy>::attach_and_recover(options_of(survivor), backing::MemoryFile::Source{fd}, keeps_survivor);
  require(static_cast<bool>(next), "a zone can be taken up after every death");
  user.zone() = *std::move(next);
  meeting.mark_consistent();
  ++tally.runs;
  user.judge(tally);
  user.finish(tally);
  meeting.unlock();
  meeting.~Meeting();
}

struct Totals {
  Tally killed;
  Tally recovering;
  std::uint64_t holders = 0;
};

// False when too few of the kills hit a holder to say anything.
template <class Strategy>
bool kill_often(Random& random, Totals& totals) {
  constexpr int kills = 100;
  int holders = 0;
  for (int i = 0; i < kills; ++i) holders += kill_once<Strategy>(random, totals.killed);
  for (int i = 0; i < kills; ++i) kill_while_recovering<Strategy>(random, totals.recovering);
  totals.holders += static_cast<std::uint64_t>(holders);
  return holders >= 20;
}

int run(std::chrono::minutes how_long) {
  Random random(tests::seed());
  Totals totals;
  bool enough = true;
  const auto end = std::chrono::steady_clock::now() + how_long;
  do {
    enough &= kill_often<strategy::Bitmap>(random, totals);
    enough &= kill_often<strategy::Buddy>(random, totals);
    enough &= kill_often<strategy::Segregated>(random, totals);
    enough &= kill_often<strategy::BestFit>(random, totals);
  } while (std::chrono::steady_clock::now() < end);
  print("sigkill", tests::seed(), totals.killed, (" holder=" + std::to_string(totals.holders)).c_str());
  print("sigkill_in_recovery", tests::seed(), totals.recovering);
  return enough && totals.killed.bad() == 0 && totals.recovering.bad() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace freestone::crash

// two_processes [long]: `long` repeats for FREESTONE_LONG_MINUTES, and is skipped where that is not set.
int main(int argc, char** argv) {
  if (argc < 2) return freestone::crash::run(std::chrono::minutes(0));
  const char* minutes = std::getenv("FREESTONE_LONG_MINUTES");
  if (std::string_view(argv[1]) != "long" || minutes == nullptr) return 77;
  return freestone::crash::run(std::chrono::minutes(std::strtol(minutes, nullptr, 10)));
}
