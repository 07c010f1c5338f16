// Random calls to each strategy and to its naive double, every answer compared. FREESTONE_TEST_STEPS says how many in
// all. With --long it goes on for FREESTONE_LONG_MINUTES, each round from another seed, and is skipped where that is
// not set.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <vector>

#include "support/long.hpp"
#include "stress/duel.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

template <class S>
class Duel {
 public:
  Duel(const Geometry& range, std::uint64_t start)
      : map_(range), second_(*S::attach(map_.words(), range)), naive_(range), random_(start) {}

  // Both go from empty to crowded and back, some times over.
  void run(std::uint64_t steps) {
    for (step_ = 0; step_ < steps; ++step_) {
      if (step_ % 512 == 0) fill_ = random_.from_to(30, 70);
      one_call();
      if (step_ % (capacity() + 50) == 0) same("the blocks", observe(map_.strategy()) == observe(naive_));
    }
    same("the blocks", observe(map_.strategy()) == observe(naive_) && observe(second_) == observe(naive_));
  }

 private:
  std::uint64_t capacity() const { return map_.range().capacity.value(); }
  // Two objects over the same words take turns.
  S& subject() { return random_.chance(50) ? map_.strategy() : second_; }

  void same(const char* call, bool answer) const {
    if (!answer) differ(Double<S>::name, call, map_.range(), step_);
  }

  void one_call() {
    const std::uint64_t kind = random_.below(100);
    if (kind < 80) return random_.chance(fill_) ? place() : release(some_live());
    if (kind < 85) return release(some_granule());
    if (kind < 88) return resize();
    if (kind < 90) return reserve();
    if (kind < 91) return move_end();
    if (kind < 94) return place_at();
    if (can_place_part<S> && kind < 97) return place_list();
    if (can_place_high<S> && kind < 97) return place_high();
    const Granules first = some_granule();
    same("length_of", subject().length_of(first) == naive_.length_of(first));
    same("free_granules", subject().free_granules() == naive_.free_granules());
    if (kind == 99) same("largest_free", subject().largest_free() == naive_.largest_free());
  }

  void place() {
    const Granules count = some_count();
    const Granules align = some_align();
    const auto placed = subject().place(count, align);
    same("place", placed == naive_.place(count, align));
    if (placed) live_.push_back(placed->first);
  }

  void place_high() {
    if constexpr (can_place_high<S>) {
      const Granules count = some_count();
      const Granules align = some_align();
      const auto placed = subject().place_high(count, align);
      same("place_high", placed == naive_.place_high(count, align));
      if (placed) live_.push_back(placed->first);
    }
  }

  void place_at() {
    if constexpr (can_place_at<S>) {
      const Extent extent{some_granule(), some_count()};
      const auto placed = subject().place_at(extent);
      same("place_at", placed == naive_.place_at(extent));
      if (placed) live_.push_back(placed->first);
    }
  }

  void resize() {
    if constexpr (can_resize<S>) {
      const Granules first = random_.chance(80) && !live_.empty()
                                 ? live_[static_cast<std::size_t>(random_.below(live_.size()))]
                                 : some_granule();
      const Granules count =
          random_.chance(50) ? some_count() : Granules(random_.below(2 * naive_.length_of(first).value() + 3));
      same("resize", subject().resize(first, count) == naive::resize(naive_, first, count));
    }
  }

  // In which blocks is the strategy's choice; that they are blocks, and no others, is not.
  void reserve() {
    if constexpr (can_reserve<S>) {
      const Extent extent{some_granule(), some_count()};
      const Granules capacity = map_.range().capacity;
      bool expected = extent.count != Granules(0) && extent.first < capacity && extent.count <= capacity - extent.first;
      naive_.for_each_block([&](Extent block) { expected = expected && !block.overlaps(extent); });
      Granules end = extent.first;
      const bool reserved = subject().reserve(extent, [&](Extent block) {
        same("reserve", block.first == end && naive_.place_at(block) == block);
        end = block.end();
        live_.push_back(block.first);
      });
      same("reserve", reserved == expected && end == (expected ? extent.end() : extent.first));
    }
  }

  void move_end() {
    if constexpr (can_grow<S>) {
      const Granules count = some_count();
      if (random_.chance(50)) {
        same("grow", subject().grow(count) == naive_.grow(count));
      } else {
        same("shrink", subject().shrink(count) == naive_.shrink(count));
      }
    }
  }

  void place_list() {
    if constexpr (can_place_part<S>) {
      const Granules count = some_count();
      const Granules align(random_.chance(80) ? 1 : std::uint64_t{1} << random_.below(6));
      const auto most = static_cast<std::size_t>(random_.chance(80) ? 100'000 : random_.below(20));
      const auto list = tests::place_list(subject(), count, align, most);
      same("place_list", list == naive_.place_list(count, align, most));
      for (const Extent extent : list) live_.push_back(extent.first);
    }
  }

  void release(Granules first) { same("release", subject().release(first) == naive_.release(first)); }

  // Tiny or small mostly, sometimes half the range, sometimes none or too much.
  Granules some_count() {
    if (random_.chance(2)) return Granules(random_.below(2) * (capacity() + random_.below(3)));
    if (random_.chance(1)) return Granules(random_.next());
    if (random_.chance(40)) return Granules(random_.from_to(1, 3));
    const std::uint64_t most = random_.chance(90) ? capacity() / 40 + 3 : capacity() / 2 + 1;
    return Granules(random_.from_to(1, most));
  }
  Granules some_align() {
    if (random_.chance(70)) return Granules(1);
    if (has_any_alignment<S> && random_.chance(50))
      return Granules(random_.from_to(1, random_.chance(90) ? 40 : capacity() + 2));
    return Granules(std::uint64_t{1} << random_.below(random_.chance(95) ? 8 : 40));
  }
  Granules some_granule() { return Granules(random_.chance(98) ? random_.below(capacity() + 2) : random_.next()); }
  // May have gone back meanwhile.
  Granules some_live() {
    if (live_.empty()) return some_granule();
    std::swap(live_[static_cast<std::size_t>(random_.below(live_.size()))], live_.back());
    const Granules first = live_.back();
    live_.pop_back();
    return first;
  }

  Map<S> map_;
  S second_;
  typename Double<S>::Naive naive_;
  Random random_;
  std::vector<Granules> live_;
  std::uint64_t step_ = 0;
  std::uint64_t fill_ = 50;
};

constexpr std::uint64_t capacities[] = {1, 2, 13, 64, 65, 100, 1000, 4096, 70'000};
constexpr std::uint64_t origins[] = {0, 1, 3, 1'000'003};

template <class S>
void duels(std::uint64_t steps, std::uint64_t start) {
  for (const std::uint64_t capacity : capacities) {
    for (const std::uint64_t origin : origins) Duel<S>(geometry(capacity, origin), ++start).run(steps);
  }
}

// About `steps` calls in all; how many they were.
std::uint64_t round_of_duels(std::uint64_t steps, std::uint64_t start) {
  constexpr std::uint64_t runs = 20 * std::size(capacities) * std::size(origins);
  const std::uint64_t each = steps / runs + 1;
  duels<strategy::Bitmap>(each, start);
  duels<strategy::Buddy>(each, start + 1'000);
  duels<strategy::AllOrNothing>(each, start + 2'000);
  duels<strategy::System>(each, start + 3'000);
  duels<strategy::TrimmedBuddy>(each, start + 4'000);
  duels<strategy::OrderList<strategy::Buddy, 4, 2, 0>>(each, start + 5'000);
  duels<strategy::OrderList<strategy::Bitmap, 5, 1>>(each, start + 6'000);
  duels<strategy::Segregated>(each, start + 7'000);
  duels<strategy::BestFit>(each, start + 8'000);
  duels<strategy::BestFitHigh>(each, start + 9'000);
  duels<strategy::BestFitTwoEnded>(each, start + 10'000);
  duels<strategy::BestFitMmz>(each, start + 11'000);
  duels<strategy::Elastic<strategy::Bitmap>>(each, start + 12'000);
  duels<strategy::Elastic<strategy::BestFit>>(each, start + 13'000);
  duels<strategy::LazyBuddy>(each, start + 14'000);
  duels<strategy::BuddyEighths>(each, start + 15'000);
  duels<strategy::BuddyEighthsTwoEnded>(each, start + 16'000);
  duels<strategy::BitmapBy<strategy::BitmapRule{.fit = strategy::Fit::best, .end = strategy::End::by_size}>>(
      each, start + 17'000);
  duels<strategy::BitmapBy<strategy::BitmapRule{.start = strategy::Start::order}, 0>>(each, start + 18'000);
  duels<strategy::BitmapBy<strategy::BitmapRule{.end = strategy::End::high}, 2>>(each, start + 19'000);
  return runs * each;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) {
    return go_on("operations", 21'000, [](std::uint64_t start) { return round_of_duels(1'000'000, start); });
  }
  const std::uint64_t done = round_of_duels(environment("FREESTONE_TEST_STEPS", 10'000'000), seed());
  std::printf("%llu operations, no difference\n", static_cast<unsigned long long>(done));
}
