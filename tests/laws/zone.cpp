// Every strategy with every lock and every cache policy, in a zone: the blocks that it says are live are those of a
// plain list, whatever the parts.
#include <freestone/zone/zone.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/integral_constant.hpp>
#include <boost/hana/size.hpp>
#include <boost/hana/type.hpp>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include "support/backings.hpp"
#include "support/models.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

namespace {

// A zone of any type: what a scenario asks of it, so that the scenario is compiled once.
struct AnyZone {
  virtual ~AnyZone() = default;
  virtual Result<Block> allocate(const Request& request) = 0;
  virtual Result<void> deallocate(const Block& block) = 0;
  virtual bool owns(const Block& block) = 0;
  virtual std::vector<Block> blocks() = 0;
  virtual Stats stats() = 0;
  virtual Bytes base() = 0;
  virtual bool places() = 0;
};

template <class Zone>
struct ZoneOf final : AnyZone {
  explicit ZoneOf(Zone made) : zone(std::move(made)) {}
  Result<Block> allocate(const Request& request) override { return zone.allocate(request); }
  Result<void> deallocate(const Block& block) override { return zone.deallocate(block); }
  bool owns(const Block& block) override { return zone.owns(block); }
  std::vector<Block> blocks() override {
    std::vector<Block> told;
    zone.for_each_block([&](const Block& block) { told.push_back(block); });
    return told;
  }
  Stats stats() override { return zone.stats(); }
  Bytes base() override { return zone.backing().base(); }
  bool places() override { return Zone::Strategy::places; }
  Zone zone;
};

// A zone under random calls beside a list of what it granted.
class Scenario {
 public:
  Scenario(AnyZone& zone, std::uint64_t start) : zone_(zone), random_(start), size_(zone.stats().capacity) {}

  bool run(int steps) {
    for (int i = 0; i < steps; ++i) {
      if (!(random_.chance(55) ? allocate() : deallocate()) || !agrees()) return false;
    }
    while (!live_.empty()) {
      if (!deallocate()) return false;
    }
    return agrees() && zone_.stats().free == size_;
  }

 private:
  bool allocate() {
    const Bytes size = random_.from_to(1, size_.value() / 6);
    const Bytes align = random_.chance(70) ? 0 : std::uint64_t{1} << random_.below(16);
    const auto block = zone_.allocate({.size = size, .align = align});
    if (!block) return block.error().code == ErrorCode::no_space;
    const bool is_new =
        std::none_of(live_.begin(), live_.end(), [&](const Block& other) { return overlap(*block, other); });
    const bool lies_right =
        !zone_.places() || align == 0 || (zone_.base() + block->offset()).value() % align.value() == 0;
    live_.push_back(*block);
    return is_new && lies_right && block->size() >= size && zone_.owns(*block);
  }

  bool deallocate() {
    if (live_.empty()) return true;
    std::swap(live_[static_cast<std::size_t>(random_.below(live_.size()))], live_.back());
    const Block block = live_.back();
    live_.pop_back();
    const bool went = static_cast<bool>(zone_.deallocate(block));
    return went && !zone_.owns(block) && zone_.deallocate(block).error().code == ErrorCode::double_release;
  }

  bool overlap(const Block& a, const Block& b) const {
    if (!zone_.places()) return a.offset() == b.offset();
    return a.offset() < b.offset() + b.size() && b.offset() < a.offset() + a.size();
  }

  bool agrees() {
    const auto by_offset = [](const Block& a, const Block& b) { return a.offset() < b.offset(); };
    std::sort(live_.begin(), live_.end(), by_offset);
    Bytes used = 0;
    for (const Block& block : live_) used = used + block.size();
    const Stats stats = zone_.stats();
    return zone_.blocks() == live_ && stats.used == used && stats.blocks == live_.size() &&
           stats.free + used <= stats.capacity;
  }

  AnyZone& zone_;
  Random random_;
  Bytes size_;
  std::vector<Block> live_;
};

template <class B, class S, class L, class C>
std::unique_ptr<AnyZone> make_zone() {
  using Model = Zone<B, S, L, C>;
  auto zone = Model::create({.name = "matrix", .size = 77 * 4096});
  return zone ? std::make_unique<ZoneOf<Model>>(*std::move(zone)) : nullptr;
}

void check_scenario(std::unique_ptr<AnyZone> zone, const std::string& names) {
  INFO(names);
  REQUIRE(zone != nullptr);
  CHECK(Scenario(*zone, seed()).run(120));
}

// The same with the library's own backing.
template <class S, class L, class C>
void check_over_ones_own() {
  using B = std::conditional_t<S::places, backing::OffsetSpace, backing::Anonymous>;
  if constexpr (B::gives(C::cacheability)) check_scenario(make_zone<B, S, L, C>(), names_of<B, S, L, C>());
}

}  // namespace

TEST_CASE("every strategy with every lock and every cache policy") {
  static_assert(decltype(hana::size(matrix))::value == 10 * 5 * 3);
  hana::for_each(matrix, [](auto row) {
    using S = typename std::remove_cvref_t<decltype(row[hana::size_c<0>])>::type;
    using L = typename std::remove_cvref_t<decltype(row[hana::size_c<1>])>::type;
    using C = typename std::remove_cvref_t<decltype(row[hana::size_c<2>])>::type;
    check_scenario(make_zone<HostileBacking, S, L, C>(), names_of<S, L, C>());
    if constexpr (std::is_same_v<L, lock::None>) check_over_ones_own<S, L, C>();
  });
}
