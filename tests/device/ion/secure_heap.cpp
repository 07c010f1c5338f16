// A CP heap's states, against a naive model of the specification's words (shared/spec: ION 3.5, rows 15, 25, 28).
#include <freestone/device/ion/secure_heap.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t base = 0x4000'0000;
constexpr SecureRange all{PhysicalAddress(base), 8_MiB};
constexpr SecureRange part{PhysicalAddress(base + (2 << 20)), 2_MiB};
constexpr std::uint32_t permission = 7;

// Which of a board's calls fail.
struct Faults {
  bool monitor = false, first = false, last = false;
};

// A monitor and a board's hooks, which write down what they hear: a letter for what it is about (h: all of the heap, b: a
// part; f, l: the hooks), the version, + or -; ! where it failed.
struct Board {
  Errno call(const MonitorCallV1& call) noexcept {
    wrong += call.permission != permission;
    return note(call.start, call.end.value() - call.start.value(), '1', call.lock);
  }
  Errno call(const MonitorCallV2& call) noexcept {
    usage = call.usage;
    return note(call.start, call.blocks << 20, '2', call.lock);
  }
  Errno first_allocation() noexcept { return change("f", is_taken, true, faults.first); }
  Errno last_free() noexcept { return change("l", is_taken, false, faults.last); }

  Errno note(PhysicalAddress start, std::uint64_t size, char version, bool lock) noexcept {
    const bool is_all = start == all.start;
    wrong += SecureRange{start, size}.size != (is_all ? all : part).size || start != (is_all ? all : part).start;
    heard += is_all ? 'h' : 'b';
    heard += version;
    return change(lock ? "+" : "-", is_locked[is_all], lock, faults.monitor);
  }
  // Nothing is said twice.
  Errno change(const char* what, bool& is, bool to, bool fails) noexcept {
    heard += what;
    wrong += is == to;
    if (fails) return heard += '!', Errno::io;
    is = to;
    return Errno::none;
  }

  Faults faults = {};
  std::string heard = "";
  std::uint32_t usage = 0;
  bool is_taken = false;
  std::array<bool, 2> is_locked = {};
  int wrong = 0;
};

using Heap = SecureHeap<Board, Board, lock::None>;
constexpr SecureHeapInfo info{.secured = all, .permission = permission};
constexpr Cacheability cached = Cacheability::cached, uncached = Cacheability::uncached;
constexpr Securing v1{SecureVersion::v1, 0};
constexpr Securing pixel{SecureVersion::v2, secure_usage::video_pixel};

// What can happen to a heap with two buffers, one of which was allocated to be secure.
enum class Act {
  admit_secure, admit_plain, release,
  secure_v1, secure_pixel, secure_bad_usage, unsecure,
  map_user_secure, map_user_plain, copy_map_plain, unmap_user_secure, unmap_user_plain,
  map_cached_secure, map_uncached_secure, map_cached_plain, unmap_cached_secure, unmap_uncached_secure, unmap_cached_plain,
  buffer_v1, buffer_pixel, buffer_pixel_kept, buffer_cached, buffer_plain, buffer_unsecure, retire_secure, retire_plain, count
};
struct Step {
  Act act;
  Faults faults = {};
};

// What a call answered; and of retire what it told.
struct Told {
  Errno error = Errno::none;
  bool was_unbalanced = false, was_mapped = false;
  bool operator==(const Told&) const = default;
};

struct Real {
  Told act(Act what) {
    using Until = Heap::Until;
    switch (what) {
      case Act::admit_secure: return told(heap.admit(1_MiB, true));
      case Act::admit_plain: return told(heap.admit(1_MiB, false));
      case Act::release: return told(heap.release(1_MiB));
      case Act::secure_v1: return told(heap.secure(v1));
      case Act::secure_pixel: return told(heap.secure(pixel));
      case Act::secure_bad_usage: return told(heap.secure({SecureVersion::v2, secure_usage::end}));
      case Act::unsecure: return told(heap.unsecure());
      case Act::map_user_secure: return told(heap.map_user(secure));
      case Act::map_user_plain: return told(heap.map_user(plain));
      case Act::copy_map_plain: return heap.copied_user_map(plain), Told();
      case Act::unmap_user_secure: return told(heap.unmap_user(secure));
      case Act::unmap_user_plain: return told(heap.unmap_user(plain));
      case Act::map_cached_secure: return told(heap.map_kernel(secure, cached));
      case Act::map_uncached_secure: return told(heap.map_kernel(secure, uncached));
      case Act::map_cached_plain: return told(heap.map_kernel(plain, cached));
      case Act::unmap_cached_secure: return told(heap.unmap_kernel(secure, cached));
      case Act::unmap_uncached_secure: return told(heap.unmap_kernel(secure, uncached));
      case Act::unmap_cached_plain: return told(heap.unmap_kernel(plain, cached));
      case Act::buffer_v1: return told(heap.secure(secure, v1, uncached));
      case Act::buffer_pixel: return told(heap.secure(secure, pixel, uncached));
      case Act::buffer_pixel_kept: return told(heap.secure(secure, pixel, uncached, Until::retired));
      case Act::buffer_cached: return told(heap.secure(secure, v1, cached));
      case Act::buffer_plain: return told(heap.secure(plain, v1, uncached));
      case Act::buffer_unsecure: return told(heap.unsecure(secure));
      case Act::retire_secure: return told(heap.retire(secure));
      case Act::retire_plain: return told(heap.retire(plain));
      default: return {};
    }
  }
  static Told told(Answer answer) { return {answer.error()}; }
  static Told told(const Heap::Retired& retired) { return {retired.error, retired.was_unbalanced, retired.was_mapped}; }

  Board board;
  Heap heap{info, board, board};
  Heap::Buffer secure{part, true};
  Heap::Buffer plain{part, false};
};

// The same in the specification's words: lists of what there is, and counting them.
struct Naive {
  struct Map {
    bool is_secure;
    char kind;  // user, cached, uncached
  };

  Told act(Act what, const Faults& with) {
    faults = with;
    switch (what) {
      case Act::admit_secure: return admit(true);
      case Act::admit_plain: return admit(false);
      case Act::release: return release();
      case Act::secure_v1: return protect("h1");
      case Act::secure_pixel: return protect("h2");
      case Act::secure_bad_usage: return protect("");
      case Act::unsecure: return unprotect();
      case Act::map_user_secure: return map(true, 'u');
      case Act::map_user_plain: return map(false, 'u');
      case Act::copy_map_plain: return maps.push_back({false, 'u'}), Told();
      case Act::unmap_user_secure: return unmap(true, 'u');
      case Act::unmap_user_plain: return unmap(false, 'u');
      case Act::map_cached_secure: return map(true, 'c');
      case Act::map_uncached_secure: return map(true, 'n');
      case Act::map_cached_plain: return map(false, 'c');
      case Act::unmap_cached_secure: return unmap(true, 'c');
      case Act::unmap_uncached_secure: return unmap(true, 'n');
      case Act::unmap_cached_plain: return unmap(false, 'c');
      case Act::buffer_v1: return secure_buffer("b1", false);
      case Act::buffer_pixel: return secure_buffer("b2", false);
      case Act::buffer_pixel_kept: return secure_buffer("b2", true);
      case Act::buffer_cached:
      case Act::buffer_plain: return {Errno::invalid};
      case Act::buffer_unsecure: return unsecure_buffer();
      case Act::retire_secure: return retire(true);
      case Act::retire_plain: return retire(false);
      default: return {};
    }
  }

  Told admit(bool is_secure) {
    if (!holders.empty() && !is_secure) return {Errno::no_memory};
    if (!holders.empty() && (has('u') || has('c'))) return {Errno::invalid};
    if (!grab()) return {Errno::no_memory};
    ++admitted;
    return {};
  }
  Told release() {
    if (admitted == 0) return {Errno::invalid};
    --admitted;
    return let_go(), Told();
  }
  Told protect(const std::string& call) {
    if (has('u') || has('c')) return {Errno::invalid};
    if (holders.empty()) {
      if (!grab()) return {Errno::no_memory};
      const Errno error = call.empty() ? Errno::invalid : monitor(call + "+");
      if (error != Errno::none) return let_go(), Told{error};
    }
    holders.push_back(holders.empty() ? call : holders.front());
    return {};
  }
  Told unprotect() {
    if (holders.empty()) return {Errno::invalid};
    if (holders.size() == 1 && monitor(holders.front() + "-") != Errno::none) return {Errno::io};
    holders.pop_back();
    return let_go(), Told();
  }
  Told map(bool is_secure, char kind) {
    const bool is_hidden = !holders.empty() || (is_secure && is_secured());
    if (is_hidden && kind != 'n') return {Errno::try_again};
    return maps.push_back({is_secure, kind}), Told();
  }
  Told unmap(bool is_secure, char kind) {
    const auto found =
        std::find_if(maps.begin(), maps.end(), [&](const Map& one) { return one.is_secure == is_secure && one.kind == kind; });
    if (found == maps.end()) return {Errno::invalid};
    return maps.erase(found), Told();
  }
  Told secure_buffer(const std::string& call, bool keep) {
    if (has_maps(true)) return {Errno::invalid};
    if (is_secured() && as != call) return {Errno::invalid};
    if (!is_secured() && monitor(call + "+") != Errno::none) return {Errno::io};
    as = call;
    ++secured;
    is_kept = is_kept || keep;
    return {};
  }
  Told unsecure_buffer() {
    if (secured == 0) return {Errno::invalid};
    if (secured == 1 && !is_kept && monitor(as + "-") != Errno::none) return {Errno::io};
    --secured;
    return {};
  }
  Told retire(bool is_secure) {
    Told told{.was_unbalanced = is_secure && secured + is_kept > 1, .was_mapped = has_maps(is_secure)};
    if (is_secure && is_secured()) told.error = monitor(as + "-");
    if (told.error != Errno::none) return told;
    std::erase_if(maps, [&](const Map& one) { return one.is_secure == is_secure; });
    if (is_secure) secured = 0, is_kept = false;
    return told;
  }

  bool is_secured() const { return secured != 0 || is_kept; }
  bool has(char kind) const { return count(kind) != 0; }
  std::uint64_t count(char kind) const {
    return static_cast<std::uint64_t>(std::count_if(maps.begin(), maps.end(), [&](const Map& one) { return one.kind == kind; }));
  }
  bool has_maps(bool is_secure) const {
    return std::any_of(maps.begin(), maps.end(), [&](const Map& one) { return one.is_secure == is_secure; });
  }
  bool grab() {
    if (is_taken) return true;
    heard += faults.first ? "f!" : "f";
    return is_taken = !faults.first;
  }
  void let_go() {
    if (!is_taken || admitted != 0 || !holders.empty()) return;
    heard += faults.last ? "l!" : "l";
    is_taken = faults.last;
  }
  Errno monitor(const std::string& call) {
    heard += call;
    if (faults.monitor) heard += '!';
    return faults.monitor ? Errno::io : Errno::none;
  }

  Heap::State state() const {
    return {.protected_times = holders.size(),
            .allocated = admitted * (std::uint64_t{1} << 20),
            .maps = {count('u'), count('c'), count('n')},
            .is_taken = is_taken};
  }

  Faults faults = {};
  std::string heard = "";
  std::vector<Map> maps = {};
  std::vector<std::string> holders = {};  // of the heap's protection: each with the call that began it
  std::uint64_t admitted = 0;
  int secured = 0;
  bool is_kept = false;
  std::string as = "";
  bool is_taken = false;
};

// Both, side by side.
struct Pair {
  bool step(const Step& step) {
    real.board.faults = step.faults;
    const Told told = real.act(step.act);
    return told == naive.act(step.act, step.faults) && real.heap.state() == naive.state() &&
           real.board.heard == naive.heard && real.board.wrong == 0;
  }
  // How many steps agreed.
  std::size_t run(const std::vector<Step>& steps) {
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if (!step(steps[at])) return at;
    }
    return steps.size();
  }

  Real real;
  Naive naive;
};

std::vector<Step> acts_without_faults() {
  std::vector<Step> steps;
  for (int act = 0; act < static_cast<int>(Act::count); ++act) steps.push_back({static_cast<Act>(act)});
  return steps;
}
// And each with each fault that it can meet.
std::vector<Step> acts_with_faults() {
  auto steps = acts_without_faults();
  for (const Act act : {Act::admit_secure, Act::admit_plain, Act::secure_v1}) steps.push_back({act, {.first = true}});
  for (const Act act : {Act::secure_v1, Act::secure_pixel, Act::unsecure, Act::buffer_v1, Act::buffer_pixel_kept,
                        Act::buffer_unsecure, Act::retire_secure})
    steps.push_back({act, {.monitor = true}});
  for (const Act act : {Act::release, Act::unsecure, Act::secure_bad_usage}) steps.push_back({act, {.last = true}});
  steps.push_back({Act::secure_v1, {.monitor = true, .last = true}});
  return steps;
}

// Every sequence of so many steps after `before`; how many did not agree.
std::size_t disagreements(const std::vector<Step>& before, const std::vector<Step>& steps, std::size_t length) {
  std::vector<std::size_t> turn(length, 0);
  std::size_t wrong = 0;
  for (Turns turns; turn[0] < steps.size();) {
    if (turns.is_next()) {
      std::vector<Step> sequence = before;
      for (const std::size_t at : turn) sequence.push_back(steps[at]);
      wrong += Pair().run(sequence) != sequence.size();
    }
    for (std::size_t at = length; at-- != 0 && ++turn[at] == steps.size() && at != 0;) turn[at] = 0;
  }
  return wrong;
}

}  // namespace

TEST_CASE("row 15: every sequence of four acts, from an empty heap, is what the specification says") {
  CHECK(disagreements({}, acts_without_faults(), 4) == 0);
}

TEST_CASE("row 15, 28: in every state the monitor or a hook fails, whatever came before and comes after") {
  const std::vector<std::vector<Step>> states = {
      {},
      {{Act::admit_plain}},
      {{Act::admit_secure}, {Act::secure_v1}},
      {{Act::admit_secure}, {Act::secure_pixel}, {Act::secure_pixel}},
      {{Act::secure_v1}, {Act::copy_map_plain}},
      {{Act::admit_plain}, {Act::map_user_plain}, {Act::map_cached_secure}},
      {{Act::admit_secure}, {Act::map_uncached_secure}},
      {{Act::admit_secure}, {Act::buffer_v1}, {Act::buffer_v1}},
      {{Act::admit_secure}, {Act::buffer_pixel_kept}},
      {{Act::admit_secure}, {Act::buffer_pixel_kept}, {Act::buffer_unsecure}, {Act::map_uncached_secure}},
      {{Act::admit_plain}, {Act::release, {.last = true}}},
  };
  const auto steps = acts_with_faults();
  for (const auto& before : states) CHECK(disagreements(before, steps, 2) == 0);
  for (const std::size_t longer : {std::size_t{0}, std::size_t{2}, std::size_t{8}})
    CHECK(disagreements(states[longer], steps, 3) == 0);
}

TEST_CASE("row 15, 28: long walks by chance, whatever fails") {
  Random random(seed());
  for (int walk = 0; walk < some_of(300); ++walk) {
    Pair pair;
    bool agrees = true;
    for (int step = 0; step < 100 && agrees; ++step) {
      const Faults faults{random.chance(15), random.chance(15), random.chance(15)};
      agrees = pair.step({static_cast<Act>(random.below(static_cast<std::uint64_t>(Act::count))), faults});
    }
    REQUIRE(agrees);
  }
}

TEST_CASE("row 15: what the monitor is told, in both versions") {
  struct Listening {
    Errno call(const MonitorCallV1& call) noexcept { return one.push_back(call), Errno::none; }
    Errno call(const MonitorCallV2& call) noexcept { return two.push_back(call), Errno::none; }
    std::vector<MonitorCallV1> one = {};
    std::vector<MonitorCallV2> two = {};
  } monitor;
  SecureHeap<Listening, Listening, lock::None> heap(info, monitor, monitor);
  CHECK(heap.secure({SecureVersion::v1, 99}) == done);
  CHECK(heap.secure(pixel) == done);
  CHECK(heap.unsecure() == done);
  CHECK(heap.unsecure() == done);
  REQUIRE(monitor.one.size() == 2);
  CHECK(monitor.two.empty());
  for (const bool lock : {true, false}) {
    const auto& call = monitor.one[lock ? 0 : 1];
    CHECK(call.start.value() == base);
    CHECK(call.end.value() == base + (8 << 20));
    CHECK(call.permission == permission);
    CHECK(call.lock == lock);
  }
  for (std::uint32_t usage = 0; usage < 4; ++usage) {
    CHECK(heap.secure({SecureVersion::v2, usage}) == done);
    CHECK(heap.unsecure() == done);
    for (const bool lock : {true, false}) {
      const auto& call = monitor.two[usage * 2 + (lock ? 0 : 1)];
      CHECK(call.usage == usage);
      CHECK(call.lock == lock);
      REQUIRE(call.blocks == 8);
      for (std::uint64_t at = 0; at < 8; ++at) CHECK(call.block(at).value() == base + (at << 20));
    }
  }
  for (const std::uint64_t usage : {std::uint64_t{4}, std::uint64_t{5}, (std::uint64_t{1} << 32) + 2, ~std::uint64_t{0}})
    CHECK(heap.secure({SecureVersion::v2, usage}) == Errno::invalid);
  CHECK(heap.secure({static_cast<SecureVersion>(3), 0}) == Errno::invalid);
  CHECK(monitor.one.size() + monitor.two.size() == 10);
}

TEST_CASE("row 15: V1 takes pages, V2 blocks of 1 MiB; a range of other ends, of none, or that wraps is EINVAL") {
  struct Case {
    std::uint64_t start, size;
    bool is_v1, is_v2;
  };
  constexpr std::uint64_t mega = 1 << 20;
  for (const Case& one : {Case{base, mega, true, true}, Case{base + 4096, mega, true, false}, Case{base, mega + 4096, true, false},
                          Case{base + 4095, mega, false, false}, Case{base, mega + 1, false, false}, Case{base, 0, false, false},
                          Case{0, 4096, true, false}, Case{0, mega, true, true}, Case{0 - mega, mega, false, false},
                          Case{0 - 2 * mega, mega, true, true}, Case{base, 0 - mega, false, false}}) {
    for (const bool is_v2 : {false, true}) {
      const bool is_good = is_v2 ? one.is_v2 : one.is_v1;
      Board board;
      Heap heap({.secured = {PhysicalAddress(one.start), one.size}}, board, board);
      CHECK((heap.secure(is_v2 ? pixel : v1) == done) == is_good);
      CHECK(heap.state().protected_times == (is_good ? 1 : 0));
      CHECK(heap.state().is_taken == is_good);
      Heap::Buffer buffer({PhysicalAddress(one.start), one.size}, true);
      CHECK((heap.secure(buffer, is_v2 ? pixel : v1, uncached) == done) == is_good);
    }
  }
}

TEST_CASE("row 15: memory that is admitted counts in bytes; none, too much, and more back than was had are refused") {
  Board board;
  Heap heap(info, board, board);
  CHECK(heap.admit(0, false) == Errno::invalid);
  CHECK(heap.release(0) == done);
  CHECK(board.heard.empty());
  CHECK(heap.admit(4096, false) == done);
  CHECK(heap.admit(~std::uint64_t{0}, true) == Errno::no_memory);
  CHECK(heap.release(4097) == Errno::invalid);
  CHECK(heap.admit(8192, true) == done);
  CHECK(heap.state().allocated == 12288);
  CHECK(heap.release(12288) == done);
  CHECK(board.heard == "fl");
  Heap only_secure({.secured = all, .takes_only_secure = true}, board, board);
  CHECK(only_secure.admit(4096, false) == Errno::no_memory);
  CHECK(only_secure.admit(4096, true) == done);
}

TEST_CASE("row 15, 28: a buffer that the monitor does not let go of keeps its memory, and may be tried again") {
  Board board;
  Heap heap(info, board, board);
  Heap::Buffer buffer(part, true);
  REQUIRE(heap.admit(part.size, true) == done);
  REQUIRE(heap.secure(buffer, pixel, Cacheability::write_combined, Heap::Until::retired) == done);
  board.faults.monitor = true;
  CHECK(heap.retire(buffer).error == Errno::io);
  CHECK(heap.map_user(buffer) == Errno::try_again);
  board.faults.monitor = false;
  const auto retired = heap.retire(buffer);
  CHECK(retired.error == Errno::none);
  CHECK(retired.was_unbalanced);  // the call that asked for it was never undone
  CHECK(board.usage == secure_usage::video_pixel);
  CHECK(heap.release(part.size) == done);
  CHECK(board.heard == "fb2+b2-!b2-l");
}

TEST_CASE("a monitor of one version, and a board without hooks: what is not there is EINVAL, or not called") {
  struct Old {
    Errno call(const MonitorCallV1&) noexcept { return Errno::none; }
  } old;
  struct New {
    Errno call(const MonitorCallV2&) noexcept { return Errno::none; }
  } young;
  struct {
  } nothing;
  SecureHeap<Old, decltype(nothing), lock::None> first(info, old, nothing);
  CHECK(first.secure(pixel) == Errno::invalid);
  CHECK(first.secure(v1) == done);
  CHECK(first.admit(4096, true) == done);
  CHECK(first.unsecure() == done);
  CHECK(first.state().is_taken);
  CHECK(first.release(4096) == done);
  CHECK(!first.state().is_taken);
  SecureHeap<New, decltype(nothing), lock::None> second(info, young, nothing);
  CHECK(second.secure(v1) == Errno::invalid);
  CHECK(second.secure(pixel) == done);
}

TEST_CASE("row 15: a secure buffer of whole blocks is listed block by block, any other in one entry") {
  static_assert(scatter_entry(1_MiB, true) == 1_MiB);
  static_assert(scatter_entry(5_MiB, true) == 1_MiB);
  static_assert(scatter_entry(5_MiB, false) == 5_MiB);
  CHECK(scatter_entry(5_MiB + 4096, true) == 5_MiB + 4096);
  CHECK(scatter_entry(4096, true) == 4096);
}

TEST_CASE("row 15, 28: a hook that grabs all of a heap tries 499 times, 20 ms apart, and then there is no memory") {
  struct Cma {
    Errno first_allocation() noexcept {
      const bool is_had = grab([this] { return ++tries == needed; }, [this](unsigned milliseconds) { waited += milliseconds; });
      return is_had ? Errno::none : Errno::busy;
    }
    Errno last_free() noexcept { return tries = 0, Errno::none; }

    unsigned needed = 1, tries = 0, waited = 0;
  };
  Board monitor;
  for (const unsigned needed : {1U, 2U, 499U, 500U}) {
    Cma cma{.needed = needed};
    SecureHeap<Board, Cma, lock::None> heap(info, monitor, cma);
    CHECK(heap.admit(4096, false) == (needed < 500 ? done : Answer(Errno::no_memory)));
    CHECK(cma.tries == std::min(needed, 499U));
    CHECK(cma.waited == (cma.tries - 1) * 20);
    CHECK(heap.state().allocated == (needed < 500 ? 4096 : 0));
  }
}

namespace {

// A monitor that looks for mappings while memory leaves the CPU's sight, and hooks that look for memory in use; slow ones.
struct Watchful {
  Errno call(const MonitorCallV1& call) noexcept {
    wrong += is_called.exchange(true);
    std::atomic<int>& locked = call.start == all.start ? heap_locked : call.start == part.start ? buffer_locked : other_locked;
    const int before = locked.fetch_add(call.lock ? 1 : -1);
    std::this_thread::yield();
    if (&locked != &other_locked) wrong += call.lock ? before != 0 || mapped != 0 : before != 1;
    const bool fails = ++calls % 5 == 0;
    if (fails) locked = before;
    is_called = false;
    return fails ? Errno::io : Errno::none;
  }
  Errno first_allocation() noexcept {
    std::this_thread::yield();
    return wrong += is_taken.exchange(true), Errno::none;
  }
  Errno last_free() noexcept {
    wrong += !is_taken.exchange(false) || used != 0 || heap_locked != 0;
    return std::this_thread::yield(), Errno::none;
  }

  std::atomic<int> wrong = 0, mapped = 0, used = 0, calls = 0, heap_locked = 0, buffer_locked = 0, other_locked = 0;
  std::atomic<bool> is_called = false, is_taken = false;
};

}  // namespace

TEST_CASE("row 15, 25: threads secure the heap and its buffer, map and allocate at once; who maps sees no locked memory") {
  using Shared = SecureHeap<Watchful, Watchful, lock::Futex>;
  Watchful watch;
  Shared heap(info, watch, watch);
  Shared::Buffer buffer(part, true);
  std::atomic<int> secured = 0, mapped = 0, late = 10;
  std::vector<std::thread> threads;
  const auto start = [&](auto act) {  // act(round) again and again in two threads, once all are there
    const auto run = [&late, act] {
      --late;
      while (late != 0) std::this_thread::yield();
      for (int round = 0; round < 500; ++round) act(round);
    };
    for (int number = 0; number < 2; ++number) threads.emplace_back(run);
  };
  start([&](int) {
    if (heap.secure(v1).is_error()) return;
    ++secured;
    while (heap.unsecure().is_error()) {
    }
  });
  start([&](int) {
    if (heap.secure(buffer, v1, uncached).is_error()) return;
    ++secured;
    while (heap.unsecure(buffer).is_error()) {
    }
  });
  for (const bool is_user : {false, true}) {
    start([&, is_user](int) {
      if ((is_user ? heap.map_user(buffer) : heap.map_kernel(buffer, cached)).is_error()) return;
      ++mapped;
      ++watch.mapped;
      if (is_user) heap.copied_user_map(buffer);
      watch.wrong += watch.heap_locked || watch.buffer_locked || heap.state().maps.are_none();
      if (is_user) watch.wrong += heap.unmap_user(buffer).is_error();
      --watch.mapped;
      watch.wrong += (is_user ? heap.unmap_user(buffer) : heap.unmap_kernel(buffer, cached)).is_error();
    });
  }
  start([&](int round) {
    if (heap.admit(4096, round % 2 == 0).is_error()) return;
    ++watch.used;
    watch.wrong += !watch.is_taken;
    Shared::Buffer own({PhysicalAddress(base + 4096), 4096}, true);
    static_cast<void>(heap.secure(own, v1, uncached));
    while (heap.retire(own).error != Errno::none) {
    }
    --watch.used;
    watch.wrong += heap.release(4096).is_error();
  });
  for (auto& thread : threads) thread.join();
  CHECK(watch.wrong == 0);
  CHECK(secured + mapped > 0);
  CHECK(heap.state() == Shared::State());
  CHECK(heap.retire(buffer).error == Errno::none);
  CHECK(!(watch.heap_locked || watch.buffer_locked || watch.other_locked || watch.is_taken));
}
