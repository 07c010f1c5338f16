// Fragmentation at its worst: who sees the map tries to make a request of at most n granules be refused while as few as
// possible were ever live at once, and never gets below the bound that the strategy's comment states.
// FREESTONE_TEST_STEPS says how hard it is tried; with --long it goes on for FREESTONE_LONG_MINUTES, and is skipped
// where that is not set.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <freestone/strategy/eighths.hpp>
#include "support/long.hpp"
#include "stress/duel.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

// --- The bounds: fewer granules than that (as granted) never live at once, and no request of up to n is refused. ---

// Of the places of n granules that lie side by side in the range one is free while fewer are live.
std::uint64_t every_hole_counts(std::uint64_t capacity, std::uint64_t n) { return capacity / n; }

std::uint64_t whole_nodes(std::uint64_t capacity, std::uint64_t n) { return capacity / std::bit_ceil(n); }

// A hole is sure to be found when it is as long as the shortest of the next bin, or when it is the whole range.
std::uint64_t good_fit(std::uint64_t capacity, std::uint64_t n) {
  const std::uint64_t step = std::max<std::uint64_t>(std::bit_floor(n) / 8, 1);
  return std::max<std::uint64_t>(capacity / ((n + step - 1) / step * step), 1);
}

// Places at multiples of an eighth of the power of two above n, as long as n rounded up to such a multiple.
std::uint64_t eighths(std::uint64_t capacity, std::uint64_t n) {
  const std::uint64_t step = std::max<std::uint64_t>(std::bit_ceil(n) / 8, 1);
  return capacity / ((n + step - 1) / step * step);
}

// First fit puts i granules at granule a only where each i granules below hold a live one: a / i + i were live then.
// The fewest granules of such blocks that leave no hole of n.
std::uint64_t fewest_that_fence(std::uint64_t capacity, std::uint64_t n, std::uint64_t most_live) {
  const std::uint64_t never = ~std::uint64_t{0} / 2;
  std::vector<std::uint64_t> fewest(static_cast<std::size_t>(capacity + 1), never);  // up to the end of a block
  std::uint64_t best = never;
  for (std::uint64_t start = 0; start < capacity; ++start) {
    std::uint64_t before = start < n ? 0 : never;
    for (std::uint64_t end = start < n ? 0 : start - n + 1; end <= start; ++end) {
      before = std::min(before, fewest[static_cast<std::size_t>(end)]);
    }
    for (std::uint64_t size = 1; size <= n && start + size <= capacity; ++size) {
      if (start / size + size > most_live) continue;
      std::uint64_t& here = fewest[static_cast<std::size_t>(start + size)];
      here = std::min(here, before + size);
      if (capacity - (start + size) < n) best = std::min(best, here);
    }
  }
  return best;
}
std::uint64_t first_fit(std::uint64_t capacity, std::uint64_t n) {
  std::uint64_t live = 1;
  while (fewest_that_fence(capacity, n, live) > live) ++live;
  return live;
}

// --- What is attacked: a strategy, or a model, that can be put back to what it was. ---

template <class S>
class Subject {
 public:
  using State = std::vector<std::uint64_t>;

  explicit Subject(std::uint64_t capacity) : map_(capacity) {}
  S& strategy() { return map_.strategy(); }
  State save() { return map_.words(); }
  void restore(const State& words) { std::copy(words.begin(), words.end(), map_.words().begin()); }

 private:
  Map<S> map_;
};

// The largest hole for everything: the rule that no bound but that of the windows holds for.
class WorstFit : public naive::IntervalMap {
 public:
  using IntervalMap::IntervalMap;

  std::optional<Extent> place(Granules count, Granules) {
    naive::Number from = 0;
    naive::Number length = 0;
    for_each_gap([&](naive::Number first, naive::Number end) {
      if (end - first > length) from = first, length = end - first;
      return false;
    });
    return length >= count.value() ? std::optional(take(from, count.value())) : std::nullopt;
  }
};
template <>
class Subject<WorstFit> {
 public:
  using State = WorstFit;

  explicit Subject(std::uint64_t capacity) : strategy_(geometry(capacity)) {}
  WorstFit& strategy() { return strategy_; }
  State save() { return strategy_; }
  void restore(const State& state) { strategy_ = state; }

 private:
  WorstFit strategy_;
};

// --- The adversary. ---

using Mask = std::uint64_t;  // bit i: granule i is used
constexpr std::uint64_t most_granules = 64;

constexpr Mask run_mask(std::uint64_t first, std::uint64_t count) {
  return (count == 64 ? ~Mask{0} : (Mask{1} << count) - 1) << first;
}

// What the strategy needs to know of its rule, and the bound that its comment states.
struct Rule {
  const char* name;
  std::uint64_t (*bound)(std::uint64_t capacity, std::uint64_t n);
  bool rounds_up = false;    // a block is a power of two
  bool whole_nodes = false;  // and lies in a free one
};

// Blocks of that size, as many as the budget allows. Then all go that do not open a place for the next size: first
// those off a beat (J. M. Robson's pattern), or the large ones, or by chance.
struct Step {
  enum class Order : std::uint8_t { by_beat, large_first, by_chance };

  std::uint64_t size = 1;
  Order order = Order::by_beat;
  std::uint64_t choice = 0;  // the beat, or a seed
};
using Plan = std::vector<Step>;

template <class S>
class Attack {
 public:
  Attack(const Rule& rule, std::uint64_t capacity, std::uint64_t n)
      : rule_(rule), capacity_(capacity), n_(n), subject_(capacity) {}

  // With no more than `budget` granules live at once: 0 when a request of up to n was refused, else how far from it.
  std::uint64_t distance(const Plan& plan, std::uint64_t budget) {
    const auto empty = subject_.save();
    const bool refused = is_refused(plan, budget);
    const std::uint64_t left = refused ? 0 : served() * (most_granules + 1) + live();
    subject_.restore(empty);
    return left;
  }

 private:
  std::uint64_t live() const { return static_cast<std::uint64_t>(std::popcount(used_)); }

  bool is_refused(const Plan& plan, std::uint64_t budget) {
    used_ = 0;
    blocks_.clear();
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (!fill(plan[i].size, budget) || !serves(n_)) return true;
      thin_out(plan[i], i + 1 < plan.size() ? plan[i + 1].size : n_);
    }
    return !serves(n_);
  }

  std::optional<Extent> place(std::uint64_t size) { return subject_.strategy().place(Granules(size), Granules(1)); }

  // False when a block was refused.
  bool fill(std::uint64_t size, std::uint64_t budget) {
    const std::uint64_t grant = rule_.rounds_up ? std::bit_ceil(size) : size;
    while (live() + grant <= budget) {
      const auto block = place(size);
      if (!block) return false;
      blocks_.push_back(*block);
      used_ |= mask_of(*block);
    }
    return true;
  }

  bool serves(std::uint64_t size) {
    const auto before = subject_.save();
    const bool is_served = place(size).has_value();
    subject_.restore(before);
    return is_served;
  }
  std::uint64_t served() {
    std::uint64_t size = n_;
    while (serves(size + 1)) ++size;
    return size;
  }

  void thin_out(const Step& step, std::uint64_t next) {
    put_in_order(step, next);
    std::erase_if(blocks_, [&](const Extent& block) {
      if (opens_place(used_ & ~mask_of(block), block, next)) return false;
      used_ &= ~mask_of(block);
      subject_.strategy().release(block.first);
      return true;
    });
  }
  void put_in_order(const Step& step, std::uint64_t next) {
    Random random(step.choice);
    for (std::size_t i = blocks_.size(); i > 1; --i)
      std::swap(blocks_[i - 1], blocks_[static_cast<std::size_t>(random.below(i))]);
    if (step.order == Step::Order::by_chance) return;
    std::stable_sort(blocks_.begin(), blocks_.end(), [&](const Extent& a, const Extent& b) {
      if (step.order == Step::Order::large_first) return a.count > b.count;
      return !is_on_beat(a, step.choice, next) && is_on_beat(b, step.choice, next);
    });
  }
  static bool is_on_beat(const Extent& block, std::uint64_t beat, std::uint64_t period) {
    const std::uint64_t first = block.first.value();
    return (beat % period + period - first % period) % period < block.count.value();
  }

  // Is there room for `size` round that block, once it is gone?
  bool opens_place(Mask used, const Extent& block, std::uint64_t size) const {
    std::uint64_t first = block.first.value();
    std::uint64_t end = block.end().value();
    if (rule_.whole_nodes) {
      const std::uint64_t node = std::bit_ceil(size);
      if (end - first >= node) return true;
      first &= ~(node - 1);
      return first + node <= capacity_ && (used & run_mask(first, node)) == 0;
    }
    while (first > 0 && (used >> (first - 1) & 1) == 0) --first;
    while (end < capacity_ && (used >> end & 1) == 0) ++end;
    return end - first >= size;
  }
  static Mask mask_of(const Extent& block) { return run_mask(block.first.value(), block.count.value()); }

  Rule rule_;
  std::uint64_t capacity_;
  std::uint64_t n_;
  Subject<S> subject_;
  Mask used_ = 0;
  std::vector<Extent> blocks_;
};

// --- The plans that are tried. ---

// Robson's: all powers of two, each beat the one before or half a period more.
Plan robson(std::uint64_t n, std::uint64_t halves) {
  Plan plan;
  std::uint64_t beat = 0;
  for (std::uint64_t size = 1; size <= n; size *= 2, halves /= 2) {
    plan.push_back({.size = size, .choice = beat});
    if (halves % 2 != 0) beat += size;
  }
  return plan;
}

Step some_step(std::uint64_t n, Random& random) {
  return {
      .size = random.from_to(1, n), .order = static_cast<Step::Order>(random.below(3)), .choice = random.below(1'000)};
}
Plan some_plan(std::uint64_t n, Random& random) {
  Plan plan(static_cast<std::size_t>(random.from_to(1, 7)));
  for (Step& step : plan) step = some_step(n, random);
  if (random.chance(70)) std::ranges::sort(plan, {}, &Step::size);
  return plan;
}
Plan changed(Plan plan, std::uint64_t n, Random& random) {
  const auto at = plan.begin() + static_cast<std::ptrdiff_t>(random.below(plan.size()));
  if (random.chance(20)) {
    plan.insert(at, some_step(n, random));
  } else if (random.chance(20) && plan.size() > 1) {
    plan.erase(at);
  } else {
    *at = some_step(n, random);
  }
  return plan;
}

template <class S>
bool climbs(Attack<S>& attack, std::uint64_t n, std::uint64_t budget, std::uint64_t tries, Random& random) {
  Plan plan = some_plan(n, random);
  std::uint64_t distance = attack.distance(plan, budget);
  for (std::uint64_t i = 0; i < tries && distance != 0; ++i) {
    const Plan next = changed(plan, n, random);
    const std::uint64_t next_distance = attack.distance(next, budget);
    if (next_distance > distance) continue;
    plan = next;
    distance = next_distance;
  }
  return distance == 0;
}

template <class S>
bool succeeds(Attack<S>& attack, std::uint64_t n, std::uint64_t budget, std::uint64_t tries, Random& random) {
  for (std::uint64_t halves = 0; halves < n; ++halves) {
    if (attack.distance(robson(n, halves), budget) == 0) return true;
  }
  for (std::uint64_t climb = 0; climb < tries; ++climb) {
    if (climbs(attack, n, budget, 20, random)) return true;
  }
  return false;
}

// --- The contest. ---

constexpr std::array<std::uint64_t, 7> capacities{7, 16, 24, 32, 45, 63, 64};
constexpr std::array<std::uint64_t, 10> lengths{2, 3, 4, 5, 8, 11, 16, 17, 19, 32};

// The least that had to be live, from one below the bound on; a fall below it is told.
template <class S>
std::uint64_t least_found(const Rule& rule, std::uint64_t capacity, std::uint64_t n, std::uint64_t tries,
                          Random& random) {
  Attack<S> attack(rule, capacity, n);
  std::uint64_t live = rule.bound(capacity, n) - 1;
  while (!succeeds(attack, n, live, tries, random)) ++live;
  return live;
}

// In how many of the contests the strategy was worse than its bound; tells the others of the largest zone only.
template <class S>
unsigned contests(const Rule& rule, std::uint64_t tries, std::uint64_t start, bool tell) {
  Random random(start);
  unsigned worse = 0;
  for (const std::uint64_t capacity : capacities) {
    for (const std::uint64_t n : lengths) {
      const std::uint64_t bound = rule.bound(capacity, n);
      if (n > capacity || bound == 0) continue;
      const std::uint64_t found = least_found<S>(rule, capacity, n, tries, random);
      worse += found < bound;
      if (tell && (capacity == most_granules || found < bound)) {
        std::printf("adversary %s capacity=%llu n=%llu refused_at_live=%llu bound=%llu\n", rule.name,
                    static_cast<unsigned long long>(capacity), static_cast<unsigned long long>(n),
                    static_cast<unsigned long long>(found), static_cast<unsigned long long>(bound));
      }
    }
  }
  if (tell) std::fflush(stdout);
  return worse;
}

// One line a strategy.
unsigned round_of_contests(std::uint64_t tries, std::uint64_t start, bool tell) {
  using namespace strategy;
  constexpr BitmapRule high{.end = End::high};
  constexpr BitmapRule best{.fit = Fit::best};
  unsigned worse = 0;
  const auto contest = [&]<class S>(std::type_identity<S>, const Rule& rule) {
    worse += contests<S>(rule, tries, ++start, tell);
  };
  contest(std::type_identity<Bitmap>{}, {.name = "Bitmap", .bound = first_fit});
  contest(std::type_identity<BitmapBy<high>>{}, {.name = "Bitmap, high", .bound = first_fit});
  contest(std::type_identity<BitmapBy<best>>{}, {.name = "Bitmap, best", .bound = every_hole_counts});
  contest(std::type_identity<BuddyEighths>{}, {.name = "BuddyEighths", .bound = eighths});
  contest(std::type_identity<BestFit>{}, {.name = "BestFit", .bound = every_hole_counts});
  contest(std::type_identity<BestFitHigh>{}, {.name = "BestFitHigh", .bound = every_hole_counts});
  contest(std::type_identity<BestFitTwoEnded>{}, {.name = "BestFitTwoEnded", .bound = every_hole_counts});
  contest(std::type_identity<BestFitMmz>{}, {.name = "BestFitMmz", .bound = every_hole_counts});
  contest(std::type_identity<Segregated>{}, {.name = "Segregated", .bound = good_fit});
  contest(std::type_identity<TrimmedBuddy>{}, {.name = "TrimmedBuddy", .bound = whole_nodes, .whole_nodes = true});
  Rule buddy{.name = "Buddy", .bound = whole_nodes, .rounds_up = true, .whole_nodes = true};
  contest(std::type_identity<Buddy>{}, buddy);
  buddy.name = "LazyBuddy";
  contest(std::type_identity<LazyBuddy>{}, buddy);
  return worse;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) {
    return go_on("rounds", 1'000, [](std::uint64_t start) -> std::uint64_t {
      if (round_of_contests(20, start, start == seed()) != 0) std::exit(1);
      return 1;
    });
  }
  // The adversary can win: with first fit's bound, worst fit loses.
  if (contests<WorstFit>({.name = "WorstFit", .bound = first_fit}, 2, seed(), false) == 0) {
    std::printf("FAILED: worst fit kept the bound of first fit: the adversary is too weak\n");
    return 1;
  }
  std::printf("worst fit does not keep the bound of first fit\n");
  return round_of_contests(environment("FREESTONE_TEST_STEPS", 10'000'000) / 2'500'000, seed(), true) == 0 ? 0 : 1;
}
