#include "laws/backing.hpp"

#include <doctest/doctest.h>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include <sys/mman.h>

#include <memory>
#include <string>
#include <utility>

#include <freestone/backing/cascade.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/data_file.hpp>
#include <freestone/backing/os/file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/reserved.hpp>
#include <freestone/backing/os/shared_memory.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/backing/scattered.hpp>
#include <freestone/backing/with_notes.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/backings.hpp"
#include "support/models.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace hana = boost::hana;

namespace {

// A file stands in for the physical memory, and is this one's alone.
struct OverStandIn : backing::DevMem {
  explicit OverStandIn(backing::DevMem made) noexcept : backing::DevMem(std::move(made)) {}
  static Result<OverStandIn> create(const BackingRequest& request) noexcept {
    const backing::OwnedFd file(memfd_create("physical", MFD_CLOEXEC));
    const std::uint64_t base = 16 * backing::page_size();
    if (ftruncate(file.get(), static_cast<off_t>(base + request.size.value())) != 0) return ErrorCode::os_failure;
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    auto made = backing::DevMem::create(request, {.base = PhysicalAddress(base), .path = path.c_str()});
    if (!made) return made.error();
    return OverStandIn(*std::move(made));
  }
};

// The window is some of the heap's memory, and keeps it.
struct OverHeap : backing::Reserved {
  explicit OverHeap(MinimalBacking words, std::unique_ptr<std::byte[]> memory, const BackingRequest& request) noexcept
      : Reserved({.physical = PhysicalAddress(0x8000'0000),
                  .size = request.size,
                  .cpu = reinterpret_cast<std::uintptr_t>(memory.get())},
                 words.notes()),
        words_(std::move(words)),
        memory_(std::move(memory)) {}
  static Result<OverHeap> create(const BackingRequest& request) noexcept {
    return OverHeap(*MinimalBacking::create(request),
                    std::make_unique<std::byte[]>(static_cast<std::size_t>(request.size.value())), request);
  }

 private:
  MinimalBacking words_;
  std::unique_ptr<std::byte[]> memory_;
};

// One range holds what the laws ask for, so that they may write it; another is behind it, and blocks lie in either.
struct InTwoRanges : backing::Scattered<backing::Anonymous, 2> {
  using Both = backing::Scattered<backing::Anonymous, 2>;
  explicit InTwoRanges(Both both) noexcept : Both(std::move(both)) {}
  static Result<InTwoRanges> create(const BackingRequest& request) noexcept {
    BackingRequest second = request;
    second.notes_words = 0;
    auto first = backing::Anonymous::create(request);
    auto behind = backing::Anonymous::create(second);
    if (!first || !behind) return ErrorCode::out_of_memory;
    auto both = Both::of(*std::move(first), *std::move(behind));
    if (!both) return both.error();
    return InTwoRanges(*std::move(both));
  }
};

struct CannotBeMade : MinimalBacking {
  static Result<CannotBeMade> create(const BackingRequest&) noexcept { return ErrorCode::no_device; }
};

constexpr auto all_laws =
    hana::tuple_t<laws::GivesWhatWasAsked, laws::DataAndNotesLieApart, laws::AMoveTakesEverything,
                  laws::TwoShareNothing, laws::BlocksAreObtainedOneByOne, laws::TheFileHoldsTheBytes,
                  laws::MemoryComesAndGoes, laws::AppearsOnce>;
constexpr auto all_backings =
    hana::tuple_t<backing::OffsetSpace, backing::Anonymous, backing::DataFile, backing::MemoryFile,
                  backing::SharedMemory, backing::File, backing::WithNotes<backing::MemoryFile, backing::OffsetSpace>,
                  backing::Cascade<CannotBeMade, backing::MemoryFile>, backing::Cascade<backing::Anonymous, CannotBeMade>,
                  backing::Cascade<backing::MemoryFile, backing::MemoryFile>,
                  backing::Cascade<HostileBacking, MinimalBacking>, OverStandIn, OverHeap, InTwoRanges,
                  MinimalBacking, HostileBacking>;

struct FileElsewhere : backing::MemoryFile {
  explicit FileElsewhere(MemoryFile file) noexcept : MemoryFile(std::move(file)) {}
  static Result<FileElsewhere> create(const BackingRequest& request) noexcept {
    auto file = MemoryFile::create(request);
    if (!file) return file.error();
    return FileElsewhere(*std::move(file));
  }
  Bytes file_offset() const noexcept { return 4096; }
};

struct KeepsWhatIsDecommitted : LikeHeap<KeepsWhatIsDecommitted> {
  using LikeHeap::LikeHeap;
  Result<void> commit(Bytes, Bytes) noexcept { return {}; }
  Result<void> decommit(Bytes, Bytes) noexcept { return {}; }
};

struct TakesTheName : backing::SharedMemory {
  explicit TakesTheName(SharedMemory memory) noexcept : SharedMemory(std::move(memory)) {}
  static Result<TakesTheName> create(const BackingRequest& request) noexcept {
    auto memory = SharedMemory::create(request);
    if (!memory) return memory.error();
    return TakesTheName(*std::move(memory));
  }
  static Result<TakesTheName> attach(const BackingRequest& request, const Source& source) noexcept {
    auto memory = SharedMemory::attach(request, source);
    if (!memory) return memory.error();
    return TakesTheName(*std::move(memory));
  }
  Result<void> publish() noexcept {
    static_cast<void>(remove(laws::a_request.name));
    return SharedMemory::publish();
  }
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
  CHECK(!laws::MemoryComesAndGoes::holds<KeepsWhatIsDecommitted>());
  CHECK(!laws::AppearsOnce::holds<TakesTheName>());
}
