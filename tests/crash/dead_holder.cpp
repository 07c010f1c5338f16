// Users of a zone die while they hold its lock. Whoever comes next is told so by an error value, and so is everybody
// after him, until one of them recovers the zone: then each block that was granted is there, and no other. Nobody
// hangs.
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/process_shared.hpp>
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
constexpr std::size_t most_granted = 4;
constexpr unsigned patience = 20;  // seconds without a death: somebody hangs

// How a victim ends, always inside a call.
enum class Death : std::uint8_t {
  in_visit,
  before_place,
  after_place,
  before_release,
  after_release,
  in_recovery,
  in_format
};
constexpr std::uint64_t deaths = 7;

[[noreturn]] void die() {
  for (;;) raise(SIGKILL);
}

// A strategy whose caller is killed in the middle of a call, where it is told to.
template <class S>
class Deadly : public S {
 public:
  explicit Deadly(S strategy) noexcept : S(strategy) {}
  static Result<Deadly> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (point == Death::in_format) map_header::invalidate(words), die();
    return of(S::format(words, geometry));
  }
  static Result<Deadly> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return of(S::attach(words, geometry));
  }

  std::optional<Extent> place(Granules count, Granules align) noexcept {
    die_at(Death::before_place);
    const auto extent = S::place(count, align);
    die_at(Death::after_place);
    return extent;
  }
  Released release(Granules first) noexcept {
    die_at(Death::before_release);
    const Released released = S::release(first);
    die_at(Death::after_release);
    return released;
  }

  static inline Death point = Death::in_visit;

 private:
  static Result<Deadly> of(const Result<S>& strategy) noexcept {
    if (!strategy) return strategy.error();
    return Deadly(*strategy);
  }
  static void die_at(Death here) {
    if (point == here) die();
  }
};

template <class S>
using SharedZone = Zone<backing::MemoryFile, Deadly<S>, lock::ProcessShared, cache::Coherent>;

ZoneOptions options_of(std::uint8_t owner) {
  return {.name = "dead holder", .size = 256_KiB, .granule = 4_KiB, .owner = owner};
}
constexpr auto keeps_all = [](std::uint8_t) { return true; };
constexpr auto keeps_survivor = [](std::uint8_t owner) { return owner == survivor; };

// What all processes see beside the zone.
struct Meeting {
  static Meeting& make() {
    void* page = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(page != MAP_FAILED, "there is memory to share");
    return *::new (page) Meeting;
  }

  std::array<Block, most_granted> granted;  // to the victim, by calls that came back
  std::atomic<std::size_t> grants = 0;
  std::atomic<bool> is_inside = false;
  std::atomic<unsigned> coming = 0;  // waiters that are about to call
  std::atomic<unsigned> told = 0;    // waiters who got holder_died
  std::atomic<unsigned> served = 0;  // waiters who have a block of theirs
};

struct Totals {
  Tally tally;
  std::uint64_t reported = 0;
};

// It ends with this process, should that end first.
template <class Work>
pid_t start_process(Work work) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  require(child >= 0, "a process can be made");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(patience);
  if (getppid() == parent) work();
  _exit(0);
}
void wait_for_death(pid_t process) {
  int status = 0;
  require(waitpid(process, &status, 0) == process, "a process can be waited for");
  require(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it died of what should kill it");
}
bool ends_well(pid_t process) {
  int status = 0;
  return waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

template <class T>
bool says_holder_died(const Result<T>& result) {
  return !result && result.error().code == ErrorCode::holder_died;
}

// One zone, through two handles of this process, and the blocks that must be in it.
template <class S>
class Site {
 public:
  using Shared = SharedZone<S>;

  Site(Random& random, Totals& totals) : random_(random), totals_(totals) {
    Deadly<S>::point = Death::in_visit;
    while (blocks_.size() < 6) blocks_.push_back(*zone_.allocate(size()));
  }
  ~Site() { munmap(&meeting_, sizeof(Meeting)); }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  // A death, what everybody is told, a recovery, and a look at what is there.
  void kill_one(Death death) {
    const std::uint64_t grants = random_.below(most_granted + 1);
    wait_for_death(start_process([&] { be_victim(death, grants); }));
    ++totals_.tally.runs;
    if (!is_reported()) return;
    ++totals_.reported;
    recover();
    work_on();
  }

  // The holder dies while two others wait for him. Each of them is told, or served because the other has recovered.
  void kill_before_waiters() {
    meeting_.is_inside = false, meeting_.coming = 0, meeting_.told = 0, meeting_.served = 0;
    const pid_t holder = start_process([&] {
      zone_.for_each_block([&](const Block&) {
        for (meeting_.is_inside = true;;) pause();
      });
    });
    while (!meeting_.is_inside) sched_yield();
    const pid_t one = start_process([&] { be_waiter(); });
    const pid_t other = start_process([&] { be_waiter(); });
    while (meeting_.coming != 2) sched_yield();
    pause_for_a_moment();
    kill(holder, SIGKILL);
    wait_for_death(holder);
    ++totals_.tally.runs;
    const bool both_end = ends_well(one);
    if (!ends_well(other) || !both_end || meeting_.served != 2) ++totals_.tally.unusable;
    if (meeting_.told == 1 || meeting_.told == 2) ++totals_.reported;
    zone_.recover(keeps_survivor);  // the waiters were victims too
    judge(blocks_);
  }

  // Two recover at the same time, and each then has a zone that works.
  void recover_twice_at_once() {
    wait_for_death(start_process([&] { be_victim(Death::after_place, 2); }));
    ++totals_.tally.runs;
    if (!is_reported()) return;
    ++totals_.reported;
    const auto recover_and_work = [&] {  // as survivors: what one allocates the other's recovery keeps
      zone_.recover([](std::uint8_t owner) { return sched_yield(), owner == survivor; });
      const auto block = zone_.allocate(4_KiB);
      if (!block || !zone_.deallocate(*block)) _exit(1);
    };
    const pid_t one = start_process(recover_and_work);
    const pid_t other = start_process(recover_and_work);
    const bool both_end = ends_well(one);
    if (!ends_well(other) || !both_end) ++totals_.tally.unusable;
    judge(blocks_);
  }

  // Killed anywhere, inside or not. True where it was inside.
  bool kill_anywhere() {
    meeting_.grants = 0;
    const pid_t process = start_process([&] {
      for (;; ++meeting_.grants) {
        const auto block = other_.allocate(4_KiB);
        if (block) static_cast<void>(other_.deallocate(*block));
      }
    });
    while (meeting_.grants == 0) sched_yield();
    pause_for_a_moment();
    kill(process, SIGKILL);
    wait_for_death(process);
    const auto block = zone_.allocate(4_KiB);
    const bool was_inside = says_holder_died(block);
    if (!was_inside && !block) ++totals_.tally.unusable;
    if (block) blocks_.push_back(*block);
    if (was_inside) ++totals_.tally.runs, totals_.reported += is_reported();
    zone_.recover(keeps_survivor);
    judge(blocks_);
    give_back_to(6);
    return was_inside;
  }

 private:
  Bytes size() { return random_.from_to(1, 4 * 4096); }

  void be_victim(Death death, std::uint64_t grants) {
    meeting_.grants = 0;
    for (std::uint64_t i = 0; i < grants; ++i) {
      if (const auto block = other_.allocate(size())) meeting_.granted[meeting_.grants++] = *block;
    }
    Deadly<S>::point = death;
    switch (death) {
      case Death::in_visit: return other_.for_each_block([](const Block&) { die(); });
      case Death::before_place:
      case Death::after_place: return static_cast<void>(other_.allocate(4_KiB));
      case Death::before_release:
      case Death::after_release: return static_cast<void>(other_.deallocate(blocks_.front()));
      case Death::in_recovery: return static_cast<void>(other_.recover([](std::uint8_t) -> bool { die(); }));
      case Death::in_format: return static_cast<void>(other_.recover(keeps_all));
    }
  }

  void be_waiter() {
    ++meeting_.coming;
    auto block = other_.allocate(4_KiB);
    if (says_holder_died(block)) {
      ++meeting_.told;
      other_.recover(keeps_all);
      block = other_.allocate(4_KiB);
    }
    if (block && other_.owns(*block)) ++meeting_.served;
  }

  // Every call of both handles says so, more than once, and changes nothing; nobody takes the zone up.
  bool is_reported() {
    const std::size_t first = static_cast<std::size_t>(random_.below(2));
    bool all_say = true;
    for (Shared* zone : {first == 0 ? &zone_ : &other_, first == 0 ? &other_ : &zone_, &zone_}) {
      const auto calls = random_.below(5);  // which of them comes first
      for (std::uint64_t i = 0; i < 5; ++i) all_say &= is_told(*zone, (calls + i) % 5);
    }
    return all_say;
  }
  bool is_told(Shared& zone, std::uint64_t call) {
    switch (call) {
      case 0: return says_holder_died(zone.allocate(4_KiB));
      case 1: return says_holder_died(zone.deallocate(blocks_.back()));
      case 2: return says_holder_died(Shared::attach(options_of(survivor), source_of(zone)));
      case 3: return !zone.owns(blocks_.front()) && zone.stats().free == 0 && zone.stats().blocks == 0;
      default: {
        bool visited = false;
        zone.for_each_block([&](const Block&) { visited = true; });
        return !visited && says_holder_died(zone.allocate_at(0, 4_KiB));
      }
    }
  }

  // By the handle that is there, or by one that takes the zone up; keeping the victim's blocks first.
  void recover() {
    std::vector<Block> all = blocks_;
    all.insert(all.end(), meeting_.granted.begin(), std::next(meeting_.granted.begin(), granted()));
    if (random_.chance(50)) {
      zone_.recover(keeps_all);
    } else {
      Recovery found;
      auto next = Shared::attach_and_recover(options_of(survivor), source_of(other_), keeps_all, &found);
      require(static_cast<bool>(next), "a zone can be taken up after every death");
      if (found.kept != all.size() || found.dropped + found.lost != 0) ++totals_.tally.leaked;
      zone_ = *std::move(next);
    }
    judge(std::move(all));
    const Recovery found = other_.recover(keeps_survivor);
    if (found.dropped != static_cast<std::uint64_t>(granted()) || found.lost != 0) ++totals_.tally.leaked;
    judge(blocks_);
  }
  std::ptrdiff_t granted() const { return static_cast<std::ptrdiff_t>(meeting_.grants.load()); }

  void judge(std::vector<Block> expected) {
    const auto lower = [](const Block& a, const Block& b) { return a.offset() < b.offset(); };
    std::sort(expected.begin(), expected.end(), lower);
    std::vector<Block> found;
    zone_.for_each_block([&](const Block& block) { found.push_back(block); });
    if (found != expected) ++totals_.tally.corrupt;
    Bytes sum = 0;
    for (const Block& block : expected) sum = sum + block.size();
    const Stats stats = other_.stats();
    if (stats.used != sum || stats.free + sum != zone_.size()) ++totals_.tally.leaked;
  }

  void work_on() {
    if (!zone_.deallocate(blocks_.front())) ++totals_.tally.unusable;
    blocks_.erase(blocks_.begin());
    const auto block = zone_.allocate(size());
    if (block) blocks_.push_back(*block);
    if (!block) ++totals_.tally.unusable;
  }
  void give_back_to(std::size_t blocks) {
    for (; blocks_.size() > blocks; blocks_.pop_back()) {
      if (!zone_.deallocate(blocks_.back())) ++totals_.tally.unusable;
    }
  }
  void pause_for_a_moment() {
    const timespec moment{.tv_sec = 0, .tv_nsec = static_cast<long>(random_.from_to(0, 100'000))};
    nanosleep(&moment, nullptr);
  }
  static Shared made() {
    auto zone = Shared::create(options_of(survivor));
    require(static_cast<bool>(zone), "a zone can be made");
    return *std::move(zone);
  }
  Shared taken_up() {
    auto zone = Shared::attach(options_of(victim), source_of(zone_));
    require(static_cast<bool>(zone), "a zone can be attached");
    return *std::move(zone);
  }

  static backing::MemoryFile::Source source_of(const Shared& zone) { return {zone.backing().fd()}; }

  Random& random_;
  Totals& totals_;
  Meeting& meeting_ = Meeting::make();
  Shared zone_ = made();
  Shared other_ = taken_up();  // the victims', each of whom inherits it
  std::vector<Block> blocks_;
};

struct Report {
  Totals dead, waited, recovered, anywhere;
  std::uint64_t outside = 0;  // deaths that hit nobody inside
};

template <class S>
void kill_often(Random& random, std::uint64_t kills, Report& report) {
  const auto times = [&](Totals& totals, std::uint64_t count, auto&& kill) {
    Site<S> site(random, totals);
    for (std::uint64_t i = 0; i < count; ++i) alarm(patience), kill(site, i);
  };
  times(report.dead, kills, [](Site<S>& site, std::uint64_t i) { site.kill_one(Death(i % deaths)); });
  times(report.waited, kills / 20, [](Site<S>& site, std::uint64_t) { site.kill_before_waiters(); });
  times(report.recovered, kills / 20, [](Site<S>& site, std::uint64_t) { site.recover_twice_at_once(); });
  times(report.anywhere, kills / 20, [&](Site<S>& site, std::uint64_t) { report.outside += !site.kill_anywhere(); });
}

bool is_good(const char* fault, const Totals& totals, const std::string& more = "") {
  print(fault, tests::seed(), totals.tally, (" reported=" + std::to_string(totals.reported) + more).c_str());
  return totals.tally.bad() == 0 && totals.reported == totals.tally.runs;
}

// Somebody hangs: the seed says who.
void tell_of_hang(int) {
  constexpr std::string_view text = "fault=dead_holder: somebody hangs\n";
  static_cast<void>(!write(STDOUT_FILENO, text.data(), text.size()));
  _exit(1);
}

int run(std::chrono::minutes how_long) {
  signal(SIGALRM, tell_of_hang);
  Random random(tests::seed());
  Report report;
  const auto end = std::chrono::steady_clock::now() + how_long;
  do {
    kill_often<strategy::Bitmap>(random, 4'000, report);
    kill_often<strategy::Segregated>(random, 3'000, report);
    kill_often<strategy::Buddy>(random, 3'000, report);
  } while (std::chrono::steady_clock::now() < end);
  bool good = is_good("dead_holder", report.dead, " hangs=0");
  good &= is_good("dead_holder_waited_for", report.waited);
  good &= is_good("dead_holder_two_recover", report.recovered);
  good &= is_good("sigkill_anywhere", report.anywhere, " outside=" + std::to_string(report.outside));
  return good ? 0 : 1;
}

}  // namespace
}  // namespace freestone::crash

// dead_holder [long]: `long` repeats for FREESTONE_LONG_MINUTES, and is skipped where that is not set.
int main(int argc, char** argv) {
  if (argc < 2) return freestone::crash::run(std::chrono::minutes(0));
  const char* minutes = std::getenv("FREESTONE_LONG_MINUTES");
  if (std::string_view(argv[1]) != "long" || minutes == nullptr) return 77;
  return freestone::crash::run(std::chrono::minutes(std::strtol(minutes, nullptr, 10)));
}
