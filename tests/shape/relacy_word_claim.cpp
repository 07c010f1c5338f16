// The lock-free word and the spin lock under a model checker that tries every interleaving and every reordering that
// the memory orders allow. Each is right, and each goes red when one of its orders is too weak.
//
// Relacy redefines new, delete, malloc and `$`: all else comes before it.
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <optional>

#include <freestone/core/word_claim.hpp>
#include <freestone/lock/spin.hpp>

#include <relacy/relacy.hpp>

namespace {

enum class Weak { nothing, acquire, release };

// The checker's atomics in the place of the compiler's. `weak` plants a bug: that order becomes relaxed.
template <Weak weak>
struct CheckedAtomics {
  using Value = std::uint32_t;
  using Word = rl::atomic<std::uint32_t>;

  static constexpr rl::memory_order acquire = weak == Weak::acquire ? rl::mo_relaxed : rl::mo_acquire;
  static constexpr rl::memory_order release = weak == Weak::release ? rl::mo_relaxed : rl::mo_release;

  static Value load_relaxed(const Word& word) { return word.load(rl::mo_relaxed, $); }
  static void store_release(Word& word, Value value) { word.store(value, release, $); }
  static Value exchange_acquire(Word& word, Value value) { return word.exchange(value, acquire, $); }
  static Value fetch_or_acquire(Word& word, Value bits) { return word.fetch_or(bits, acquire, $); }
  static Value fetch_and_release(Word& word, Value bits) { return word.fetch_and(bits, release, $); }
};

// The spin lock looks only while it waits: there the checker must let the others go on.
template <Weak weak>
struct WaitingAtomics : CheckedAtomics<weak> {
  static std::uint32_t load_relaxed(const rl::atomic<std::uint32_t>& word) {
    rl::yield(1, $);
    return CheckedAtomics<weak>::load_relaxed(word);
  }
};

constexpr unsigned threads = 3;
constexpr unsigned things = 2;  // fewer than threads: somebody waits for another's

// All but two bits of the word are taken. Who claims one may use what it stands for, and nobody else does.
template <Weak weak>
struct Claiming : rl::test_suite<Claiming<weak>, threads> {
  using Claim = freestone::WordClaim<CheckedAtomics<weak>>;
  rl::atomic<std::uint32_t> word;
  std::array<rl::var<unsigned>, things> data;

  void before() {
    word.store(~std::uint32_t{0} << things, rl::mo_relaxed, $);
    for (auto& one : data) one($) = 0;
  }
  void thread(unsigned) {
    Claim claim(word);
    const std::optional<unsigned> index = claim.claim();
    if (!index) return;
    data[*index]($) = data[*index]($) + 1;
    RL_ASSERT(claim.release(*index));
  }
  void after() { RL_ASSERT(word.load(rl::mo_relaxed, $) == ~std::uint32_t{0} << things); }
};

// What the lock guards is seen by the next holder as the last one left it.
template <Weak weak>
struct Spinning : rl::test_suite<Spinning<weak>, threads> {
  rl::atomic<std::uint32_t> word;
  rl::var<unsigned> data;

  void before() {
    word.store(0, rl::mo_relaxed, $);
    data($) = 0;
  }
  void thread(unsigned) {
    freestone::lock::BasicSpin<WaitingAtomics<weak>> lock(word);
    lock.lock();
    data($) = data($) + 1;
    lock.unlock();
  }
  void after() { RL_ASSERT(data($) == threads); }
};

// Every interleaving there is, or those up to the first that is wrong.
template <class Suite>
bool ends_as(rl::test_result_e expected, const char* name) {
  rl::test_params params;
  params.search_type = rl::sched_full;
  rl::ostringstream reports;
  params.output_stream = &reports;
  params.progress_stream = &reports;
  rl::simulate<Suite>(params);
  const auto interleavings = static_cast<unsigned long long>(params.stop_iteration);
  std::printf("%s: %s, interleavings: %llu\n", name, rl::test_result_str(params.test_result), interleavings);
  return params.test_result == expected;
}

}  // namespace

int main() {
  constexpr auto right = rl::test_result_success;
  constexpr auto race = rl::test_result_data_race;
  bool good = ends_as<Claiming<Weak::nothing>>(right, "WordClaim");
  good &= ends_as<Claiming<Weak::acquire>>(race, "WordClaim, claim relaxed");
  good &= ends_as<Claiming<Weak::release>>(race, "WordClaim, release relaxed");
  good &= ends_as<Spinning<Weak::nothing>>(right, "Spin");
  good &= ends_as<Spinning<Weak::acquire>>(race, "Spin, lock relaxed");
  good &= ends_as<Spinning<Weak::release>>(race, "Spin, unlock relaxed");
  return good ? 0 : 1;
}
