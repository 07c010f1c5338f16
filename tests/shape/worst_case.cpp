// The calls of which worst_case.py counts the instructions, for the strategy FREESTONE_TYPE in FREESTONE_HEADER:
//     worst_case make FILE                    writes maps of 2^20 granules: one 95 % full and long used, one
//                                             empty, one like a comb
//     worst_case use FILE PAIRS ALIGNMENTS    takes them up (a map is words, so it may) and makes the calls, with
//                                             `any` alignment or `1`; prints their kinds
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include FREESTONE_HEADER
#include "support/map.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using S = FREESTONE_TYPE;

constexpr std::uint64_t capacity = std::uint64_t{1} << 20;
constexpr std::uint64_t most = 16;  // granules of a random request
constexpr std::uint64_t load = capacity / 100 * 95;
const std::size_t map_words = S::footprint(Granules(capacity));

enum Which : std::size_t { used, empty, comb, how_many_maps };  // then, in the file, the blocks of the one that is used

// 1, 2, 3 or 4, 5 to 8, 9 to 16 granules, each as often.
std::uint64_t some_count(Random& random) {
  const std::uint64_t upper = most >> random.below(5);
  return random.from_to(upper / 2 + 1, upper);
}

// --- Making the maps. ---

std::vector<std::uint64_t> make_used(Map<S>& map) {
  Random random(1);
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t step = 0; step < 4 * capacity; ++step) {
    if (capacity - map.free() < load) {
      if (const auto first = map.place(some_count(random))) {
        blocks.push_back(*first);
        continue;
      }
    }
    if (blocks.empty()) break;
    std::swap(blocks[static_cast<std::size_t>(random.below(blocks.size()))], blocks.back());
    map.release(blocks.back());
    blocks.pop_back();
  }
  if (const auto first = map.place(1)) blocks.push_back(*first);  // also where there is never more than one
  return blocks;
}

// Every other granule is free.
void make_comb(Map<S>& map) {
  std::vector<std::uint64_t> teeth;
  while (const auto first = map.place(1)) teeth.push_back(*first);
  for (const std::uint64_t first : teeth) {
    if (first % 2 == 0) map.release(first);
  }
}

void append(std::ofstream& file, std::span<const std::uint64_t> words) {
  file.write(reinterpret_cast<const char*>(words.data()), static_cast<std::streamsize>(words.size_bytes()));
}

void make(const char* path) {
  std::array<Map<S>, how_many_maps> maps{Map<S>(capacity), Map<S>(capacity), Map<S>(capacity)};
  const auto blocks = make_used(maps[used]);
  make_comb(maps[comb]);
  std::ofstream file(path, std::ios::binary);
  for (Map<S>& map : maps) append(file, map.words());
  append(file, blocks);
}

// --- The calls that are counted: from a store to a mark to a store to the next one. ---

struct Marks {
  volatile std::uint64_t place;
  volatile std::uint64_t release;
  volatile std::uint64_t end;
};
std::vector<const char*> kinds;  // what calls there are: for each kind the marks at an address that the script knows
Marks* const marks = reinterpret_cast<Marks*>(std::uintptr_t{0x5000'0000'0000});

[[gnu::noipa]] std::optional<Extent> place(S& strategy, Granules count, Granules align) {
  return strategy.place(count, align);
}
[[gnu::noipa]] Released release(S& strategy, Granules first) { return strategy.release(first); }
// What a call takes that does nothing.
[[gnu::noipa]] std::optional<Extent> place_nothing(S&, Granules, Granules) { return std::nullopt; }
[[gnu::noipa]] Released release_nothing(S&, Granules) { return {}; }

class User {
 public:
  explicit User(std::uint64_t* words) : strategy_(*S::attach({words, map_words}, geometry(capacity))) {}

  std::uint64_t largest() const { return strategy_.largest_free().value(); }
  std::uint64_t end_of(std::uint64_t first) const { return first + strategy_.length_of(Granules(first)).value(); }
  bool is_live(std::uint64_t first) const { return end_of(first) != first; }

  std::optional<std::uint64_t> place(std::uint64_t count, std::uint64_t align = 1) {
    Marks& mark = marks[kinds.size() - 1];
    mark.place = 1;
    const auto placed = ::place(strategy_, Granules(count), Granules(align));
    mark.end = 1;
    return placed ? std::optional(placed->first.value()) : std::nullopt;
  }
  void release(std::optional<std::uint64_t> first) {
    if (!first) return;
    Marks& mark = marks[kinds.size() - 1];
    mark.release = 1;
    const Released released = ::release(strategy_, Granules(*first));
    mark.end = 1;
    if (released.count == Granules(0)) std::abort();
  }
  void nothing() {
    Marks& mark = marks[kinds.size() - 1];
    mark.place = 1;
    (void)place_nothing(strategy_, Granules(1), Granules(1));
    mark.end = 1;
    mark.release = 1;
    (void)release_nothing(strategy_, Granules(1));
    mark.end = 1;
  }

 private:
  S strategy_;
};

void random_pairs(User& map, std::span<std::uint64_t> blocks, std::uint64_t pairs) {
  kinds.push_back("one at random goes, another comes");
  Random random(2);
  for (std::uint64_t pair = 0; pair < pairs && !blocks.empty(); ++pair) {
    std::uint64_t& block = blocks[static_cast<std::size_t>(random.below(blocks.size()))];
    if (map.is_live(block)) map.release(block);
    if (const auto first = map.place(some_count(random))) block = *first;
  }
}

// Both neighbours of a block go, then the block.
void between_holes(User& map, std::span<const std::uint64_t> blocks) {
  kinds.push_back("a block between two holes goes");
  for (std::size_t i = 0; i < blocks.size(); i += blocks.size() / 300 + 1) {
    const std::uint64_t left = blocks[i];
    const std::uint64_t middle = map.end_of(left);
    const std::uint64_t right = map.end_of(middle);
    if (!map.is_live(left) || !map.is_live(middle) || !map.is_live(right)) continue;
    for (const std::uint64_t first : {left, right, middle}) map.release(first);
  }
}

// The largest that fits, the smallest, and what does not fit.
void extremes(User& map) {
  kinds.push_back("the largest, the smallest");
  for (int i = 0; i < 8; ++i) {
    const auto large = map.place(map.largest());
    const auto small = map.place(1);
    map.release(large);
    if (i % 2 == 0) map.release(small);
  }
  kinds.push_back("what does not fit");
  for (const std::uint64_t count : {map.largest() + 1, 2 * map.largest(), capacity, capacity + 1, ~std::uint64_t{0}}) {
    map.release(map.place(count));
  }
}

void aligned(User& map) {
  kinds.push_back("with an alignment");
  for (std::uint64_t align = 2; align <= 2 * capacity; align *= 2) {
    for (const std::uint64_t count : {std::uint64_t{1}, most, map.largest() / 2, map.largest()}) {
      map.release(map.place(count, align));
    }
  }
}

// From empty to empty: the first block splits all, the last one merges all.
void from_empty(User& map) {
  kinds.push_back("the first and the last in an empty map");
  for (std::uint64_t count = 1; count <= capacity; count *= 2) {
    for (const std::uint64_t more : {count - 1, count, count + 1}) map.release(map.place(more));
  }
  kinds.push_back("a few in an empty map");
  std::vector<std::optional<std::uint64_t>> blocks;
  for (std::uint64_t count = 1; count < capacity / 2; count *= 2) blocks.push_back(map.place(count));
  for (const std::size_t step : {2U, 1U}) {
    for (std::size_t i = 0; i < blocks.size(); i += step) map.release(std::exchange(blocks[i], std::nullopt));
  }
  map.release(map.place(capacity));  // whoever put merging off does it now
}

// Holes of one granule everywhere: nothing larger fits, until a tooth is gone.
void in_comb(User& map) {
  kinds.push_back("in a comb");
  for (const std::uint64_t count : {2, 3, 16, 1024}) map.release(map.place(count));
  for (std::uint64_t tooth = 1; tooth < capacity; tooth = 2 * tooth + 1) {
    if (!map.is_live(tooth)) continue;
    map.release(tooth);
    const auto three = map.place(3);
    const auto one = map.place(1);
    map.release(three);
    map.release(one);
    map.release(map.place(2));
  }
}

void map_marks() {
  void* found = mmap(marks, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (found != marks) std::abort();
}

std::span<std::uint64_t> file_of(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  const off_t size = lseek(file, 0, SEEK_END);
  void* words = mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  if (words == MAP_FAILED) std::abort();
  return {static_cast<std::uint64_t*>(words), static_cast<std::size_t>(size) / sizeof(std::uint64_t)};
}

void use(const char* path, std::uint64_t pairs, bool any_alignment) {
  const std::span<std::uint64_t> words = file_of(path);
  const std::span<std::uint64_t> blocks = words.subspan(how_many_maps * map_words);
  std::array<User, how_many_maps> maps{User(words.data()), User(words.data() + map_words),
                                       User(words.data() + 2 * map_words)};
  kinds.push_back("nothing");
  maps[used].nothing();
  random_pairs(maps[used], blocks, pairs);
  extremes(maps[used]);
  if (any_alignment) aligned(maps[used]);
  between_holes(maps[used], blocks);
  from_empty(maps[empty]);
  if (any_alignment) aligned(maps[empty]);
  in_comb(maps[comb]);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::strcmp(arguments[1], "make") == 0) {
    make(arguments[2]);
  } else if (count == 5 && std::strcmp(arguments[1], "use") == 0) {
    map_marks();
    use(arguments[2], std::strtoull(arguments[3], nullptr, 10), std::strcmp(arguments[4], "any") == 0);
    for (const char* kind : kinds) std::puts(kind);
  } else {
    return 2;
  }
}
