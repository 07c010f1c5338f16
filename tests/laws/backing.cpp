#include "laws/backing.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/with_notes.hpp>
#include "support/backings.hpp"
#include "support/models.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

namespace {

constexpr auto all_laws =
    hana::tuple_t<laws::GivesWhatWasAsked, laws::DataAndNotesLieApart, laws::AMoveTakesEverything,
                  laws::TwoShareNothing, laws::BlocksAreObtainedOneByOne, laws::TheFileHoldsTheBytes>;
constexpr auto all_backings =
    hana::tuple_t<backing::OffsetSpace, backing::Anonymous, backing::MemoryFile,
                  backing::WithNotes<backing::MemoryFile, backing::OffsetSpace>, MinimalBacking, HostileBacking>;

struct FileElsewhere : backing::MemoryFile {
  explicit FileElsewhere(MemoryFile file) noexcept : MemoryFile(std::move(file)) {}
  static Result<FileElsewhere> create(const BackingRequest& request) noexcept {
    auto file = MemoryFile::create(request);
    if (!file) return file.error();
    return FileElsewhere(*std::move(file));
  }
  Bytes file_offset() const noexcept { return 4096; }
};

struct OneForAll : LikeHeap<OneForAll> {
  using LikeHeap::LikeHeap;
  std::span<std::uint64_t> notes() noexcept {
    static std::vector<std::uint64_t> words(1000);
    return words;
  }
};

}  // namespace

TEST_CASE("every backing keeps every law") {
  hana::for_each(all_backings, [](auto model) {
    using B = typename decltype(model)::type;
    static_assert(check_backing<B>());
    hana::for_each(all_laws, [](auto law) {
      using Law = typename decltype(law)::type;
      INFO(names_of<Law, B>());
      CHECK(Law::template holds<B>());
    });
  });
}

TEST_CASE("what breaks a law is caught by it") {
  CHECK(!laws::GivesWhatWasAsked::holds<GivesTooFewWords>());
  CHECK(!laws::GivesWhatWasAsked::holds<GivesTooFewBytes>());
  CHECK(!laws::GivesWhatWasAsked::holds<LiesBetweenGranules>());
  CHECK(!laws::DataAndNotesLieApart::holds<NotesInTheData>());
  CHECK(!laws::DataAndNotesLieApart::holds<PointsBackwards>());
  CHECK(!laws::AMoveTakesEverything::holds<ForgetsWhenMoved>());
  CHECK(!laws::TwoShareNothing::holds<OneForAll>());
  CHECK(!laws::BlocksAreObtainedOneByOne::holds<GivesTheSameTwice>());
  CHECK(!laws::BlocksAreObtainedOneByOne::holds<KeepsWhatWentBack>());
  CHECK(!laws::TheFileHoldsTheBytes::holds<FileElsewhere>());
}
