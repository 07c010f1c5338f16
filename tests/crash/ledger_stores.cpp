// A kill at every store of the ledger, also inside the recovery after it: what a repair leaves is the state before the
// call or the state after it, nothing else. The same check finds six other orders of the same stores bad.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <freestone/strategy/ledger.hpp>

#include "fault.hpp"
#include "support/random.hpp"

namespace freestone::crash {
namespace {

using tests::Random;

// Whoever is dead stores nothing more, and a call's only effect is what it stores: so a call that goes on with its
// stores dropped leaves what a kill leaves. Where `real` the process does die.
struct MortalStores {
  static inline std::uint64_t made = 0;
  static inline std::uint64_t death = ~std::uint64_t{0};
  static inline bool real = false;

  static void store(std::uint64_t* words, std::size_t cell, cells::Cell value) {
    if (made++ < death) return cells::store_in_order(words, cell, value);
    if (real) raise(SIGKILL);
  }
};

using Right = strategy::Ledger<MortalStores>;

// Wrong: the used bits before the start. For a moment the granules are the lower neighbour's.
struct StartLast : Right {
  StartLast(const Right& ledger) : Right(ledger) {}
  void place(Extent extent, Owner owner) {
    write_owner(extent.first, owner);
    for (std::size_t cell = last_cell(extent) + 1; cell-- > first_cell(extent);) set_used(cell, extent);
    set_start(extent.first);
  }
};

// Wrong: upwards. For a moment there is a shorter block.
struct FirstCellFirst : Right {
  FirstCellFirst(const Right& ledger) : Right(ledger) {}
  void place(Extent extent, Owner owner) {
    write_owner(extent.first, owner);
    set_start(extent.first);
    for (std::size_t cell = first_cell(extent); cell <= last_cell(extent); ++cell) set_used(cell, extent);
  }
};

// Wrong: the start before the used bits, the mirror of StartLast.
struct StartCleared : Right {
  StartCleared(const Right& ledger) : Right(ledger) {}
  void release(Extent extent) {
    clear_start(extent.first);
    for (std::size_t cell = first_cell(extent); cell <= last_cell(extent); ++cell) clear_used(cell, extent);
  }
};

// Wrong: downwards, the mirror of FirstCellFirst.
struct FirstCellLast : Right {
  FirstCellLast(const Right& ledger) : Right(ledger) {}
  void release(Extent extent) {
    for (std::size_t cell = last_cell(extent) + 1; cell-- > first_cell(extent);) clear_used(cell, extent);
    clear_start(extent.first);
  }
};

// Wrong: upwards. For a moment the block is neither as long as before nor as after.
struct GrowsUpwards : Right {
  GrowsUpwards(const Right& ledger) : Right(ledger) {}
  void resize(Extent extent, Granules count) {
    if (count < extent.count) return Right::resize(extent, count);
    const Extent more{extent.end(), count - extent.count};
    for (std::size_t cell = first_cell(more); cell <= last_cell(more); ++cell) set_used(cell, more);
  }
};

// Wrong: downwards, the mirror of GrowsUpwards.
struct ShrinksDownwards : Right {
  ShrinksDownwards(const Right& ledger) : Right(ledger) {}
  void resize(Extent extent, Granules count) {
    if (count > extent.count) return Right::resize(extent, count);
    const Extent less{extent.first + count, extent.count - count};
    for (std::size_t cell = last_cell(less) + 1; cell-- > first_cell(less);) clear_used(cell, less);
  }
};

struct OwnedExtent {
  Extent extent;
  std::uint8_t owner;

  friend bool operator==(const OwnedExtent&, const OwnedExtent&) = default;
};

constexpr std::uint8_t dead_owner = 1;
constexpr std::uint64_t most_granules = 128;
constexpr std::size_t most_words = Right::footprint(Granules(most_granules));
using Words = std::array<std::uint64_t, most_words>;

// Blocks that lie in a range, and one call on them.
struct Structure {
  std::uint64_t capacity;
  std::vector<OwnedExtent> blocks;
};
struct Call {
  enum Kind { place, release, resize } kind;
  OwnedExtent block;
  Granules count = {};  // after a resize
};

// A ledger's content: its blocks, and its two bitmaps bit by bit.
struct Picture {
  std::vector<OwnedExtent> blocks;
  std::vector<std::uint64_t> bits;

  friend bool operator==(const Picture&, const Picture&) = default;
};

Picture picture_of(const Right& ledger, const Words& words, std::uint64_t capacity) {
  Picture picture;
  ledger.for_each_block([&](Extent extent, std::uint8_t owner) { picture.blocks.push_back({extent, owner}); });
  const auto* tables = words.data() + map_header::words;
  picture.bits.assign(tables, tables + 2 * bits::words_for(capacity));
  return picture;
}

std::uint64_t count_bits(std::span<const std::uint64_t> words) {
  return std::accumulate(words.begin(), words.end(), std::uint64_t{0}, [](std::uint64_t sum, std::uint64_t word) {
    return sum + static_cast<std::uint64_t>(std::popcount(word));
  });
}
std::uint64_t used_bits(const Picture& p) { return count_bits(std::span(p.bits).first(p.bits.size() / 2)); }
std::uint64_t start_bits(const Picture& p) { return count_bits(std::span(p.bits).last(p.bits.size() / 2)); }

std::uint64_t granules_in(const Picture& picture) {
  std::uint64_t sum = 0;
  for (const OwnedExtent& block : picture.blocks) sum += block.extent.count.value();
  return sum;
}

// One structure and one call, and everything that can be made of them.
template <class Ledger>
class Scene {
 public:
  // The words may be shared memory; nobody else touches them while the scene plays.
  Scene(Words& words, Tally& tally, const Structure& structure, const Call& call)
      : words_(words), tally_(tally), call_(call), capacity_(structure.capacity), ledger_(formatted()) {
    live();
    for (const OwnedExtent& block : structure.blocks) ledger_.Right::place(block.extent, block.owner);
    before_words_ = words_;
    before_ = now();
    act();
    after_ = now();
  }

  // Dies at each store of the call, and then at each store of the repair.
  void kill_everywhere() {
    for (std::uint64_t k = 0; die_in_call(k); ++k) {
      const Words left = words_;
      ++tally_.runs;
      recover_and_judge();
      for (std::uint64_t j = 0; restore(left), die_at(j, [&] { ledger_.repair(); }); ++j) {
        ++tally_.runs;
        recover_and_judge();
      }
    }
  }

  // As Zone::recover: the dead one's blocks are dropped too, and whoever does that dies at each of its stores.
  void kill_while_dropping() {
    for (std::uint64_t k = 0; die_in_call(k); ++k) {
      const Words left = words_;
      for (std::uint64_t j = 0; restore(left), die_at(j, [&] { drop_dead_owners(); }); ++j) {
        ++tally_.runs;
        live();
        drop_dead_owners();
        judge(now(), survivors_of(before_), survivors_of(after_));
      }
    }
  }

  // The same deaths, by a signal, in a process of their own.
  void kill_processes() {
    for (std::uint64_t k = 0; died_for_real(k); ++k) {
      ++tally_.runs;
      recover_and_judge();
    }
  }

 private:
  Right formatted() { return *Right::format(words_, {.capacity = Granules(capacity_)}); }

  static void live() { MortalStores::made = 0, MortalStores::death = ~std::uint64_t{0}; }
  void restore(const Words& words) { words_ = words; }
  Picture now() const { return picture_of(ledger_, words_, capacity_); }

  void act() {
    switch (call_.kind) {
      case Call::place: return ledger_.place(call_.block.extent, call_.block.owner);
      case Call::release: return ledger_.release(call_.block.extent);
      case Call::resize: return ledger_.resize(call_.block.extent, call_.count);
    }
  }

  // False when `work` needs no store number k: then nobody died.
  template <class Work>
  static bool die_at(std::uint64_t k, Work work) {
    MortalStores::made = 0;
    MortalStores::death = k;
    work();
    return MortalStores::made > k;
  }
  bool die_in_call(std::uint64_t k) {
    restore(before_words_);
    return die_at(k, [&] { act(); });
  }

  bool died_for_real(std::uint64_t k) {
    restore(before_words_);
    const pid_t child = fork();
    if (child == 0) {
      MortalStores::real = true;
      die_at(k, [&] { act(); });
      _exit(0);
    }
    int status = 0;
    require(child > 0 && waitpid(child, &status, 0) == child, "a child can be made and waited for");
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  void drop_dead_owners() {
    ledger_.repair();
    ledger_.for_each_block([&](Extent extent, std::uint8_t owner) {
      if (owner == dead_owner) ledger_.release(extent);
    });
  }

  static std::vector<OwnedExtent> survivors_of(const Picture& picture) {
    std::vector<OwnedExtent> left = picture.blocks;
    std::erase_if(left, [](const OwnedExtent& block) { return block.owner == dead_owner; });
    return left;
  }

  // After the repair the call can be made again where it was undone.
  void recover_and_judge() {
    live();
    ledger_.repair();
    const Picture found = now();
    judge(found, before_.blocks, after_.blocks);
    if (found != before_) return;
    act();
    if (now() != after_) ++tally_.unusable;
  }

  // A picture must show the one list of blocks or the other, and nothing besides.
  void judge(const Picture& found, const std::vector<OwnedExtent>& one, const std::vector<OwnedExtent>& other) {
    if (used_bits(found) != granules_in(found) || start_bits(found) != found.blocks.size()) {
      ++tally_.leaked;
    } else if (found.blocks != one && found.blocks != other) {
      ++tally_.corrupt;
    }
  }

  Words& words_;
  Tally& tally_;
  Call call_;
  std::uint64_t capacity_;
  Ledger ledger_;
  Words before_words_{};
  Picture before_;
  Picture after_;
};

// Every way to leave stretches of a range free, or to make blocks of one or more of them that touch.
template <class Visit>
void for_each_structure(const std::vector<std::uint64_t>& cuts, Structure& structure, std::size_t at, Visit visit) {
  if (at + 1 == cuts.size()) return visit(structure);
  for_each_structure(cuts, structure, at + 1, visit);
  for (std::size_t end = at + 1; end < cuts.size(); ++end) {
    const Extent extent{Granules(cuts[at]), Granules(cuts[end] - cuts[at])};
    structure.blocks.push_back({extent, static_cast<std::uint8_t>(1 + structure.blocks.size() % 3)});
    for_each_structure(cuts, structure, end, visit);
    structure.blocks.pop_back();
  }
}

bool is_free(const Structure& structure, Extent extent) {
  return std::none_of(structure.blocks.begin(), structure.blocks.end(),
                      [&](const OwnedExtent& block) { return block.extent.overlaps(extent); });
}

// Every block resized to end at another cut.
template <class Visit>
void for_each_resize(const std::vector<std::uint64_t>& cuts, const Structure& structure, Visit visit) {
  for (const OwnedExtent& block : structure.blocks) {
    const Extent extent = block.extent;
    for (const std::uint64_t cut : cuts) {
      const Granules end(cut);
      if (end <= extent.first || end == extent.end()) continue;
      const bool is_longer = end > extent.end();
      if (is_longer && !is_free(structure, {extent.end(), end - extent.end()})) continue;
      visit(Call{.kind = Call::resize, .block = block, .count = end - extent.first});
    }
  }
}

// Every release and resize, and every place between two of the cuts.
template <class Visit>
void for_each_call(const std::vector<std::uint64_t>& cuts, const Structure& structure, Visit visit) {
  for (const OwnedExtent& block : structure.blocks) visit(Call{.kind = Call::release, .block = block});
  for_each_resize(cuts, structure, visit);
  for (std::size_t from = 0; from < cuts.size(); ++from) {
    for (std::size_t to = from + 1; to < cuts.size(); ++to) {
      const Extent extent{Granules(cuts[from]), Granules(cuts[to] - cuts[from])};
      if (is_free(structure, extent)) visit(Call{.kind = Call::place, .block = {extent, dead_owner}});
    }
  }
}

// Borders of cells (multiples of 32), of words (of 64), and their neighbours.
const std::vector<std::vector<std::uint64_t>> ranges = {{0, 1},
                                                        {0, 1, 2, 3},
                                                        {0, 1, 31, 32},
                                                        {0, 1, 31, 32, 33, 34},
                                                        {0, 32, 64, 96, 128},
                                                        {0, 31, 33, 63, 65, 95, 97, 100},
                                                        {0, 1, 31, 32, 33, 63, 64, 96, 128}};

template <class Ledger>
Tally sweep(Words& words, void (Scene<Ledger>::*kill)(), std::size_t first_range = 0, std::size_t end = ranges.size()) {
  Tally tally;
  for (std::size_t r = first_range; r < end; ++r) {
    Structure start{ranges[r].back(), {}};
    for_each_structure(ranges[r], start, 0, [&](const Structure& structure) {
      for_each_call(ranges[r], structure,
                    [&](const Call& call) { (Scene<Ledger>(words, tally, structure, call).*kill)(); });
    });
  }
  return tally;
}

// Ranges of 1 to 128 granules with cuts anywhere.
Tally sweep_random(Words& words, Random& random) {
  Tally tally;
  for (std::uint64_t capacity = 1; capacity <= most_granules; ++capacity) {
    std::vector<std::uint64_t> cuts{0, capacity};
    for (int i = 0; i < 8; ++i) cuts.push_back(random.from_to(0, capacity));
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    Structure structure{capacity, {}};
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const Extent extent{Granules(cuts[i]), Granules(cuts[i + 1] - cuts[i])};
      if (random.from_to(0, 2) != 0)
        structure.blocks.push_back({extent, static_cast<std::uint8_t>(random.from_to(0, 255))});
    }
    for_each_call(cuts, structure,
                  [&](const Call& call) { Scene<Right>(words, tally, structure, call).kill_everywhere(); });
  }
  return tally;
}

Tally operator+(const Tally& a, const Tally& b) {
  return {a.runs + b.runs, a.unusable + b.unusable, a.leaked + b.leaked, a.corrupt + b.corrupt};
}

template <class Wrong>
bool is_found_bad(const char* name, Words& words) {
  const Tally tally = sweep<Wrong>(words, &Scene<Wrong>::kill_everywhere);
  std::printf("wrong order %s: %" PRIu64 " of %" PRIu64 " bad\n", name, tally.bad(), tally.runs);
  return tally.bad() > 0;
}

int run() {
  Random random(tests::seed());
  void* shared = mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(shared != MAP_FAILED, "there is memory to share");
  Words& words = *static_cast<Words*>(shared);

  const Tally right = sweep<Right>(words, &Scene<Right>::kill_everywhere) + sweep_random(words, random) +
                      sweep<Right>(words, &Scene<Right>::kill_while_dropping);
  print("ledger_store", tests::seed(), right);
  const Tally processes = sweep<Right>(words, &Scene<Right>::kill_processes, 1, 4);
  print("ledger_store_sigkill", tests::seed(), processes);

  bool good = right.bad() == 0 && right.runs >= 200'000 && processes.bad() == 0 && processes.runs >= 500;
  good &= is_found_bad<StartLast>("place, start last", words);
  good &= is_found_bad<FirstCellFirst>("place, first cell first", words);
  good &= is_found_bad<StartCleared>("release, start first", words);
  good &= is_found_bad<FirstCellLast>("release, first cell last", words);
  good &= is_found_bad<GrowsUpwards>("resize, first new cell first", words);
  good &= is_found_bad<ShrinksDownwards>("resize, last old cell first", words);
  munmap(shared, sizeof(Words));
  return good ? 0 : 1;
}

}  // namespace
}  // namespace freestone::crash

int main() { return freestone::crash::run(); }
