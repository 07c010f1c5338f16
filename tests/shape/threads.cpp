// Threads share a zone, or a word: no two of them ever hold the same thing, each sees what the last holder wrote, and
// in the end all is free. Under a thread sanitizer the plain numbers prove the order.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/word_claim.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/zone.hpp>

#include "support/random.hpp"

namespace {

using namespace freestone;

constexpr unsigned thread_count = 4;
constexpr unsigned operations = 200'000;  // of each thread

// A thing that one thread at a time may hold.
class Held {
 public:
  void take() {
    if (holders_.fetch_add(1, std::memory_order_relaxed) != 0) std::abort();
    ++takes_;
  }
  void give() {
    ++takes_;
    if (holders_.fetch_sub(1, std::memory_order_relaxed) != 1) std::abort();
  }

 private:
  std::atomic<int> holders_ = 0;
  std::uint64_t takes_ = 0;  // not atomic: whoever holds the thing is alone with it
};

template <class Work>
void run_threads(Work work) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < thread_count; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
}

template <class Strategy, class Lock>
class SharedByThreads {
 public:
  using Shared = Zone<backing::OffsetSpace, Strategy, Lock, cache::Coherent>;

  bool hold() {
    run_threads([&](unsigned thread) { work(tests::Random(tests::seed() + thread)); });
    return zone_.stats().free == zone_.size() && zone_.stats().largest_free == zone_.size();
  }

 private:
  static constexpr std::size_t granules = 256;

  void work(tests::Random random) {
    std::vector<Block> blocks;
    for (unsigned i = 0; i < operations; ++i) {
      if (blocks.empty() || random.chance(50)) {
        const auto block =
            zone_.allocate({.size = random.from_to(1, 16), .align = std::uint64_t{1} << random.below(4)});
        if (block) for_each_granule(*block, &Held::take), blocks.push_back(*block);
      } else {
        std::swap(blocks[static_cast<std::size_t>(random.below(blocks.size()))], blocks.back());
        give_back(blocks);
      }
    }
    while (!blocks.empty()) give_back(blocks);
  }

  void give_back(std::vector<Block>& blocks) {
    for_each_granule(blocks.back(), &Held::give);
    if (!zone_.deallocate(blocks.back())) std::abort();
    blocks.pop_back();
  }

  void for_each_granule(const Block& block, void (Held::*touch)()) {
    const auto first = static_cast<std::size_t>(block.offset().value());
    const auto count = static_cast<std::size_t>(block.size().value());
    for (Held& granule : std::span(held_).subspan(first, count)) (granule.*touch)();
  }

  Shared zone_ = *Shared::create({.name = "threads", .size = granules, .granule = 1});
  std::array<Held, granules> held_;
};

class WordSharedByThreads {
 public:
  bool hold() {
    run_threads([&](unsigned) { work(); });
    return word_ == none;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{7};  // three bits can be claimed: fewer than threads

  void work() {
    WordClaim<CompilerAtomics> claim(word_);
    for (unsigned i = 0; i < operations; ++i) {
      const auto index = claim.claim();
      if (!index) continue;
      held_[*index].take();
      held_[*index].give();
      if (!claim.release(*index)) std::abort();
    }
  }

  std::uint32_t word_ = none;
  std::array<Held, 32> held_;
};

template <class Strategy, class Lock>
bool holds(const char* name) {
  const bool good = SharedByThreads<Strategy, Lock>().hold();
  std::printf("%s: %s\n", name, good ? "good" : "not all came back");
  return good;
}

}  // namespace

int main() {
  bool good = holds<strategy::Bitmap, lock::Spin>("Bitmap, Spin");
  good &= holds<strategy::Bitmap, lock::Mutex>("Bitmap, Mutex");
  good &= holds<strategy::Buddy, lock::Spin>("Buddy, Spin");
  good &= holds<strategy::Buddy, lock::Mutex>("Buddy, Mutex");
  good &= WordSharedByThreads().hold();
  return good ? 0 : 1;
}
