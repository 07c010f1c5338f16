#include <freestone/zone/zone_notes.hpp>

#include <vector>

#include <doctest/doctest.h>

#include <freestone/core/units.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>

using namespace freestone;

namespace {

constexpr Geometry range{.capacity = Granules(100), .granule = 4096, .origin = Granules(0)};

template <class Notes>
ErrorCode code_of(std::span<std::uint64_t> words, ZoneOpening how) {
  const auto parts = Notes::open(words, range, how, "");
  return parts ? ErrorCode::none : parts.error().code;
}

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
