// The counts of the sharing layer under a model checker that tries every interleaving, and every reordering that the
// memory orders allow: share against free, import against the last put, drain, destroy, the hand-over of a place, and
// retire against the last drop. Each is right; each has a bug planted that must be found.
//
// Relacy redefines new, delete, malloc and `$`: all else comes before it.
#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>

#include <freestone/share/holds.hpp>
#include <freestone/share/map_counts.hpp>

#include <relacy/relacy.hpp>

namespace {

enum class Planted { nothing, looks_then_takes, weak_take, weak_drop, weak_begin, no_generation, looks_then_sets, counts_first };

// The checker's atomics in the place of the compiler's; a planted order is relaxed.
template <Planted planted>
struct CheckedAtomics {
  using Value = std::uint32_t;
  using Word = rl::atomic<std::uint32_t>;

  static constexpr rl::memory_order unless(Planted one, rl::memory_order order) {
    return planted == one ? rl::mo_relaxed : order;
  }
  static Value load_relaxed(const Word& word) { return word.load(rl::mo_relaxed, $); }
  static void store_release(Word& word, Value value) { word.store(value, unless(Planted::weak_begin, rl::mo_release), $); }
  static bool compare_exchange_acquire(Word& word, Value expected, Value value) {
    return word.compare_exchange_strong(expected, value, unless(Planted::weak_take, rl::mo_acquire), $, rl::mo_relaxed, $);
  }
  static bool compare_exchange_acq_rel(Word& word, Value expected, Value value) {
    return word.compare_exchange_strong(expected, value, rl::mo_acq_rel, $, rl::mo_relaxed, $);
  }
  static Value fetch_add_acq_rel(Word& word, Value n) {
    return word.fetch_add(n, unless(Planted::weak_drop, rl::mo_acq_rel), $);
  }
};

constexpr unsigned count_bits = freestone::Holds<>::count_bits;

// A thing in a place, its counts in a word. What it holds is written by its maker, read by holders, and written again by
// whoever takes it apart.
template <Planted planted>
struct Place {
  using Atomics = CheckedAtomics<planted>;
  using Holds = freestone::Holds<Atomics>;

  rl::atomic<std::uint32_t> word;
  rl::var<unsigned> bytes;  // which thing lies here; 0 none
  rl::atomic<unsigned> ends;

  void before() {
    word.store(0, rl::mo_relaxed, $);
    bytes($) = 0;
    ends.store(0, rl::mo_relaxed, $);
  }
  std::uint32_t begin(unsigned thing) {
    bytes($) = thing;
    return Holds(word).begin();
  }
  bool take(std::uint32_t generation) {
    // Planted: whatever lies here now is taken for the one that was meant.
    if (planted == Planted::no_generation) generation = word.load(rl::mo_relaxed, $) >> count_bits;
    return Holds(word).take(generation) == Holds::Taken::yes;
  }
  void use(unsigned thing) { RL_ASSERT(bytes($) == thing); }
  // True for the last, who has taken it apart.
  bool drop(unsigned thing) {
    if (!Holds(word).drop()) return false;
    RL_ASSERT(bytes($) == thing);
    bytes($) = 0;
    ends.fetch_add(1, rl::mo_relaxed, $);
    return true;
  }
};

// One frees his client's handle while two share it on: they take their holds under the lock that keeps the handle.
template <Planted planted>
struct ShareAgainstFree : rl::test_suite<ShareAgainstFree<planted>, 3> {
  Place<planted> place;
  std::uint32_t generation = 0;
  rl::mutex lock;
  rl::var<bool> is_known;

  void before() {
    place.before();
    generation = place.begin(1);
    is_known($) = true;
  }
  void thread(unsigned who) {
    lock.lock($);
    const bool was_known = is_known($);
    if (who == 0) is_known($) = false;
    // Planted: the handle is looked up, and the hold taken when the lock is not held any more (CVE-2016-9120).
    if (planted == Planted::looks_then_takes) lock.unlock($);
    if (who != 0 && was_known) RL_ASSERT(place.take(generation));
    if (planted != Planted::looks_then_takes) lock.unlock($);
    if (!was_known) return;
    place.use(1);
    place.drop(1);
  }
  void after() { RL_ASSERT(place.ends.load(rl::mo_relaxed, $) == 1); }
};

// Two import what a third is about to put: each gets it whole, or not at all.
template <Planted planted>
struct ImportAgainstPut : rl::test_suite<ImportAgainstPut<planted>, 3> {
  Place<planted> place;
  std::uint32_t generation = 0;

  void before() {
    place.before();
    generation = place.begin(1);
  }
  void thread(unsigned who) {
    if (who != 0 && !place.take(generation)) return;
    place.use(1);
    place.drop(1);
  }
  void after() { RL_ASSERT(place.ends.load(rl::mo_relaxed, $) == 1); }
};

// While somebody maps, nobody changes how the buffer is cached: a drain sees all mappers gone.
template <Planted planted>
struct Drain : rl::test_suite<Drain<planted>, 3> {
  using Counts = freestone::MapCounts<CheckedAtomics<planted>>;
  using C = freestone::Cacheability;

  rl::atomic<std::uint32_t> word;
  rl::var<unsigned> lines;  // what is in the caches: mappers write it, and who changes the cacheability drains it

  void before() {
    Counts(word).begin(C::cached);
    lines($) = 0;
  }
  void thread(unsigned who) {
    Counts counts(word);
    if (who == 0) {
      if (!change(counts)) return;
      lines($) = 0;
    } else if (counts.map(freestone::Mapper::cpu) == freestone::ErrorCode::none) {
      if (counts.cacheability() == C::cached && who == 1) lines($) = lines($) + 1;
      RL_ASSERT(counts.unmap(freestone::Mapper::cpu) == freestone::ErrorCode::none);
    }
  }
  bool change(Counts& counts) {
    if (planted != Planted::looks_then_sets) return counts.set_cacheability(C::uncached) == freestone::ErrorCode::none;
    if (counts.count(freestone::Mapper::cpu) != 0) return false;
    word.store(static_cast<std::uint32_t>(C::uncached) << 30, rl::mo_release, $);
    return true;
  }
};

// A client is closed while calls of his are under way: the last of them all takes him apart, once.
template <Planted planted>
struct Destroy : rl::test_suite<Destroy<planted>, 3> {
  Place<planted> place;
  rl::atomic<unsigned> is_open;
  std::uint32_t generation = 0;

  void before() {
    place.before();
    is_open.store(1, rl::mo_relaxed, $);
    generation = place.begin(1);
  }
  void thread(unsigned who) {
    if (!place.take(generation)) return;
    place.use(1);
    if (who != 2 && is_open.exchange(0, rl::mo_acq_rel, $) == 1) place.drop(1);  // two close him: one does
    place.drop(1);
  }
  void after() { RL_ASSERT(place.ends.load(rl::mo_relaxed, $) == 1); }
};

// A place goes from one thing to the next: who knows the first never gets the second, and who is told of the second
// sees all of it.
template <Planted planted>
struct HandOver : rl::test_suite<HandOver<planted>, 3> {
  Place<planted> place;
  std::uint32_t first = 0;
  rl::atomic<std::uint32_t> told;

  void before() {
    place.before();
    first = place.begin(1);
    told.store(~0U, rl::mo_relaxed, $);
  }
  void thread(unsigned who) {
    if (who == 0) {
      if (place.drop(1)) told.store(place.begin(2), rl::mo_relaxed, $);
    } else if (who == 1) {
      if (!place.take(first)) return;
      place.use(1);
      if (place.drop(1)) told.store(place.begin(2), rl::mo_relaxed, $);
    } else {
      const std::uint32_t second = told.load(rl::mo_relaxed, $);
      if (second == ~0U || !place.take(second)) return;
      place.use(2);
      RL_ASSERT(!place.drop(2));
    }
  }
};

// Two drop what is left of a buffer while a third asks whether the device may end, and ends it if so: whoever was last is
// counted until he needs nothing of it any more.
template <Planted planted>
struct RetireAgainstLastDrop : rl::test_suite<RetireAgainstLastDrop<planted>, 3> {
  Place<planted> place;
  rl::mutex lock;
  rl::var<unsigned> count;    // of the buffers, under the lock
  rl::var<unsigned> account;  // what the last drop settles; it is gone where the device is

  void before() {
    place.before();
    const std::uint32_t generation = place.begin(1);
    RL_ASSERT(place.take(generation));
    count($) = 1;
    account($) = 1;
  }
  void thread(unsigned who) {
    if (who == 2) return retire();
    place.use(1);
    if (!place.drop(1)) return;
    // Planted: the buffer is not counted any more, and its account is settled after that.
    if (planted == Planted::counts_first) uncount();
    account($) = 0;
    if (planted != Planted::counts_first) uncount();
  }
  void uncount() {
    lock.lock($);
    count($) = 0;
    lock.unlock($);
  }
  void retire() {
    lock.lock($);
    const unsigned buffers = count($);
    lock.unlock($);
    if (buffers != 0) return;
    RL_ASSERT(account($) == 0);
    account($) = 2;  // its memory is somebody else's
  }
  void after() { RL_ASSERT(place.ends.load(rl::mo_relaxed, $) == 1 && count($) == 0); }
};

// Every interleaving there is, or those up to the first that is wrong; where those are too many, all in which threads
// are interrupted up to three times.
unsigned protocols = 0;  // the right ones that were looked at
template <class Suite>
bool ends_as(bool is_right, const char* name, rl::scheduler_type_e search = rl::sched_full) {
  protocols += is_right;
  rl::test_params params;
  params.search_type = search;
  params.context_bound = 3;
  rl::ostringstream reports;
  params.output_stream = &reports;
  params.progress_stream = &reports;
  rl::simulate<Suite>(params);
  const auto interleavings = static_cast<unsigned long long>(params.stop_iteration);
  std::printf("%s: %s, interleavings: %llu\n", name, rl::test_result_str(params.test_result), interleavings);
  std::fflush(stdout);
  return (params.test_result == rl::test_result_success) == is_right;
}

}  // namespace

int main() {
  bool good = ends_as<ShareAgainstFree<Planted::nothing>>(true, "share against free", rl::sched_bound);
  good &= ends_as<ShareAgainstFree<Planted::looks_then_takes>>(false, "share against free, looks and then takes", rl::sched_bound);
  good &= ends_as<ShareAgainstFree<Planted::weak_drop>>(false, "share against free, drop relaxed", rl::sched_bound);
  good &= ends_as<ImportAgainstPut<Planted::nothing>>(true, "import against the last put");
  good &= ends_as<ImportAgainstPut<Planted::weak_drop>>(false, "import against the last put, drop relaxed");
  good &= ends_as<Drain<Planted::nothing>>(true, "drain", rl::sched_bound);
  good &= ends_as<Drain<Planted::looks_then_sets>>(false, "drain, looks and then sets", rl::sched_bound);
  good &= ends_as<Destroy<Planted::nothing>>(true, "destroy", rl::sched_bound);
  good &= ends_as<Destroy<Planted::weak_drop>>(false, "destroy, drop relaxed", rl::sched_bound);
  good &= ends_as<HandOver<Planted::nothing>>(true, "hand-over", rl::sched_bound);
  good &= ends_as<HandOver<Planted::no_generation>>(false, "hand-over, no generation", rl::sched_bound);
  good &= ends_as<HandOver<Planted::weak_take>>(false, "hand-over, take relaxed", rl::sched_bound);
  good &= ends_as<HandOver<Planted::weak_begin>>(false, "hand-over, begin relaxed", rl::sched_bound);
  good &= ends_as<RetireAgainstLastDrop<Planted::nothing>>(true, "retire against the last drop");
  good &= ends_as<RetireAgainstLastDrop<Planted::counts_first>>(false, "retire against the last drop, counts first");
  good &= ends_as<RetireAgainstLastDrop<Planted::weak_drop>>(false, "retire against the last drop, drop relaxed");
  std::printf("fault=F17 seed=0 runs=%u unusable=0 leaked=0 corrupt=%d\n", protocols, good ? 0 : 1);
  return good ? 0 : 1;
}
