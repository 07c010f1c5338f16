#include <freestone/zone/zone_notes.hpp>

#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/units.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/lock/ticket_spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;

namespace {

constexpr Geometry range{.capacity = Granules(100), .granule = 4096, .origin = Granules(0)};

template <class Notes>
ErrorCode code_of(std::span<std::uint64_t> words, ZoneOpening how) {
  const auto parts = Notes::open(words, range, how, "");
  return parts ? ErrorCode::none : parts.error().code;
}

template <class S, class L>
using Shared = Zone<backing::MemoryFile, S, L, cache::Coherent>;

// A zone with a block, and what others who take it for another one are told.
template <class S, class L>
class Site {
 public:
  template <class OtherS = S, class OtherL = L>
  Error refusal(Bytes size = 256_KiB, Bytes granule = 4_KiB) {
    using Asked = Shared<OtherS, OtherL>;
    const ZoneOptions options{.name = "asked", .size = size, .granule = granule};
    const backing::MemoryFile::Source source{zone_->backing().fd()};
    const auto attached = Asked::attach(options, source);
    const auto recovered = Asked::attach_and_recover(options, source, [](std::uint8_t) { return true; });
    REQUIRE(!attached);
    REQUIRE(!recovered);
    CHECK(attached.error() == recovered.error());
    CHECK(zone_->owns(*block_));
    return attached.error();
  }
  std::span<std::uint64_t> notes() { return zone_->backing().notes(); }

 private:
  static constexpr ZoneOptions made{.name = "made", .size = 256_KiB, .granule = 4_KiB};
  Result<Shared<S, L>> zone_ = Shared<S, L>::create(made);
  Result<Block> block_ = zone_->allocate(4_KiB);
};

}  // namespace

TEST_CASE("tag and seal, a line for the lock, the map, the ledger") {
  using Bare = ZoneNotes<strategy::Bitmap, lock::None, false>;
  using Full = ZoneNotes<strategy::Bitmap, lock::Spin, true>;
  const std::size_t map = strategy::Bitmap::footprint(range.capacity);
  CHECK(Bare::Layout(100).words == 1 + map);
  CHECK(Full::Layout(100).ledger == 16 + map);
  CHECK(Full::Layout(100).words == 16 + map + strategy::Ledger<>::footprint(range.capacity));
  CHECK(Full::Layout(~std::uint64_t{0}).words >= Full::Layout(100).words);  // saturates, does not wrap
}

TEST_CASE_TEMPLATE("nobody takes up words without a seal but to recover them", Notes,
                   ZoneNotes<strategy::Bitmap, lock::None, true>, ZoneNotes<strategy::Bitmap, lock::Spin, true>) {
  std::vector<std::uint64_t> words(typename Notes::Layout(100).words);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::not_formatted);
  CHECK(code_of<Notes>(words, ZoneOpening::recover) == ErrorCode::not_formatted);
  CHECK(code_of<Notes>(words, ZoneOpening::create) == ErrorCode::none);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::none);
  Notes::set_seal(words, 0);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::not_formatted);
  CHECK(code_of<Notes>(words, ZoneOpening::recover) == ErrorCode::none);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::not_formatted);  // until recovery is through
  Notes::set_seal(words, Notes::whole);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::none);
  Notes::set_seal(words, Notes::whole ^ 2);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::wrong_lock);
}

TEST_CASE("where the lock tells of a dead holder, what is not whole still says which lock it is for") {
  using Notes = ZoneNotes<strategy::Bitmap, lock::ProcessShared, true>;
  using OfSpin = ZoneNotes<strategy::Bitmap, lock::Spin, true>;
  std::vector<std::uint64_t> words(Notes::Layout(100).words);
  REQUIRE(code_of<Notes>(words, ZoneOpening::create) == ErrorCode::none);
  Notes::set_seal(words, Notes::unsealed);
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::holder_died);
  CHECK(code_of<OfSpin>(words, ZoneOpening::attach) == ErrorCode::wrong_lock);
  CHECK(code_of<OfSpin>(words, ZoneOpening::recover) == ErrorCode::wrong_lock);
  CHECK(code_of<Notes>(words, ZoneOpening::recover) == ErrorCode::none);
  Notes::set_seal(words, 0);  // its making was cut off, and nobody knows whether there is a lock
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::not_formatted);
  CHECK(code_of<Notes>(words, ZoneOpening::recover) == ErrorCode::not_formatted);
}

TEST_CASE("too few words are too few for a new zone, and cut short for one that is there") {
  using Notes = ZoneNotes<strategy::Bitmap, lock::Spin, true>;
  std::vector<std::uint64_t> words(Notes::Layout(100).words);
  const std::span<std::uint64_t> fewer(words.data(), words.size() - 1);
  CHECK(code_of<Notes>(fewer, ZoneOpening::create) == ErrorCode::notes_too_small);
  REQUIRE(code_of<Notes>(words, ZoneOpening::create) == ErrorCode::none);
  CHECK(code_of<Notes>(fewer, ZoneOpening::attach) == ErrorCode::cut_short);
  CHECK(code_of<Notes>(fewer, ZoneOpening::recover) == ErrorCode::cut_short);
  CHECK(code_of<Notes>({}, ZoneOpening::attach) == ErrorCode::cut_short);
}

TEST_CASE_TEMPLATE("attach and recovery refuse alike, each wrong argument by its own error", L, lock::None, lock::Spin,
                   lock::TicketSpin, lock::Futex, lock::ProcessShared) {
  using S = strategy::Bitmap;
  Site<S, L> site;
  const auto wrong = [](ErrorCode code, std::uint64_t asked, std::uint64_t there) {
    return Error{.code = code, .asked = asked, .available = there, .zone = "asked"};
  };
  using strategy::Buddy, strategy::Segregated;
  CHECK(site.template refusal<Buddy>() == wrong(ErrorCode::wrong_strategy, Buddy::id, S::id));
  CHECK(site.template refusal<Segregated>() == wrong(ErrorCode::wrong_strategy, Segregated::id, S::id));
  CHECK(site.refusal(256_KiB, 8_KiB) == wrong(ErrorCode::wrong_granule, 8192, 4096));
  CHECK(site.refusal(256_KiB, 2_KiB) == wrong(ErrorCode::wrong_granule, 2048, 4096));
  CHECK(site.refusal(128_KiB) == wrong(ErrorCode::wrong_capacity, 32, 64));
  const auto other_lock = [&]<class Other>(Other*) {
    if constexpr (!std::is_same_v<L, Other>) {
      CHECK(site.template refusal<S, Other>() == wrong(ErrorCode::wrong_lock, 0, 0));
      CHECK(site.template refusal<Buddy, Other>(128_KiB, 2_KiB).code == ErrorCode::wrong_lock);
    }
  };
  other_lock(static_cast<lock::None*>(nullptr));
  other_lock(static_cast<lock::Spin*>(nullptr));
  other_lock(static_cast<lock::TicketSpin*>(nullptr));
  other_lock(static_cast<lock::Futex*>(nullptr));
  other_lock(static_cast<lock::ProcessShared*>(nullptr));
}

TEST_CASE_TEMPLATE("what is being recovered still says for which lock and strategy it is", L, lock::None, lock::Spin,
                   lock::ProcessShared) {
  using Notes = ZoneNotes<strategy::Bitmap, L, true>;
  using OtherLock = ZoneNotes<strategy::Bitmap, lock::TicketSpin, true>;
  using OtherStrategy = ZoneNotes<strategy::Segregated, L, true>;
  std::vector<std::uint64_t> words(2 * typename Notes::Layout(100).words);
  REQUIRE(code_of<Notes>(words, ZoneOpening::create) == ErrorCode::none);
  Notes::set_seal(words, Notes::unsealed);
  for (const bool has_map : {true, false}) {  // half written
    if (!has_map) map_header::invalidate(Notes::map_of(words));
    for (const ZoneOpening how : {ZoneOpening::attach, ZoneOpening::recover}) {
      CHECK(code_of<OtherLock>(words, how) == ErrorCode::wrong_lock);
      CHECK(code_of<OtherStrategy>(words, how) == ErrorCode::wrong_strategy);
    }
    CHECK(Notes::has_seal(words, Notes::unsealed));
  }
  CHECK(code_of<Notes>(words, ZoneOpening::attach) ==
        (reports_death<L> ? ErrorCode::holder_died : ErrorCode::not_formatted));
  CHECK(code_of<Notes>(words, ZoneOpening::recover) == ErrorCode::none);
}

TEST_CASE_TEMPLATE("a larger zone is of another capacity, however many words there are", L, lock::None, lock::Spin,
                   lock::ProcessShared) {
  using Notes = ZoneNotes<strategy::Bitmap, L, true>;
  std::vector<std::uint64_t> words(typename Notes::Layout(300).words);
  REQUIRE(code_of<Notes>(words, ZoneOpening::create) == ErrorCode::none);
  const Geometry larger{.capacity = Granules(300), .granule = 4096, .origin = Granules(0)};
  for (const std::size_t given : {std::size_t{typename Notes::Layout(100).words}, words.size()}) {
    for (const ZoneOpening how : {ZoneOpening::attach, ZoneOpening::recover}) {
      const auto parts = Notes::open(std::span(words).first(given), larger, how, "");
      REQUIRE(!parts);
      CHECK(parts.error() == Error{.code = ErrorCode::wrong_capacity, .asked = 300, .available = 100});
    }
  }
  CHECK(code_of<Notes>(words, ZoneOpening::attach) == ErrorCode::none);
}

TEST_CASE("words that are not where words may lie are refused") {
  using Notes = ZoneNotes<strategy::Bitmap, lock::ProcessShared, true>;
  std::vector<std::uint64_t> words(Notes::Layout(100).words + 1);
  const std::span<std::uint64_t> shifted(
      reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(words.data()) + 2), words.size() - 1);
  for (const ZoneOpening how : {ZoneOpening::create, ZoneOpening::attach, ZoneOpening::recover}) {
    CHECK(code_of<Notes>(shifted, how) == ErrorCode::notes_misaligned);
  }
}
