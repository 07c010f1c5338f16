#include <freestone/backing/cascade.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/reserved.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/zone.hpp>
#include "support/backings.hpp"

using namespace freestone;
using backing::Anonymous;
using backing::Cascade;
using backing::MemoryFile;
using backing::OffsetSpace;

namespace {

constexpr BackingRequest request{.name = "camera", .size = 64 << 10, .granule = 4096, .notes_words = 100};

template <class B>
using ZoneOver = Zone<B, strategy::Bitmap, lock::None, cache::Coherent>;

// Cannot be made.
template <ErrorCode Code, int Number = 0>
struct Fails : tests::MinimalBacking {
  static Result<Fails> create(const BackingRequest& request) noexcept {
    return Error{.code = Code, .os_error = Number, .zone = request.name};
  }
};

// Can be made, but is not as asked for; and counts itself.
template <ErrorCode Fault>
struct Falls : tests::MinimalBacking {
  static inline int alive = 0;
  static Result<Falls> create(const BackingRequest& request) noexcept {
    BackingRequest less = request;
    if (Fault == ErrorCode::notes_too_small) --less.notes_words;
    return Falls(*MinimalBacking::create(less));
  }
  Bytes size() const noexcept { return MinimalBacking::size() - (Fault == ErrorCode::data_too_small ? 1 : 0); }
  Bytes base() const noexcept {
    return Fault == ErrorCode::base_misaligned ? 2048 : Fault == ErrorCode::zone_overflow ? ~std::uint64_t{4095} : 0;
  }
  explicit Falls(MinimalBacking&& made) noexcept : MinimalBacking(std::move(made)) { ++alive; }
  Falls(Falls&& other) noexcept : MinimalBacking(std::move(other)) { ++alive; }
  Falls& operator=(Falls&&) = default;
  ~Falls() { --alive; }
};

// The next one: was what fell given back before its turn?
template <class Fallen>
struct After : tests::MinimalBacking {
  static Result<After> create(const BackingRequest& request) noexcept {
    if (Fallen::alive != 0) return ErrorCode::in_use;
    return After(*MinimalBacking::create(request));
  }
  explicit After(MinimalBacking&& made) noexcept : MinimalBacking(std::move(made)) {}
};

template <class C>
ErrorCode code_of() {
  const auto made = C::create(request);
  return made ? ErrorCode::none : made.error().code;
}

}  // namespace

TEST_CASE("the first that can be made, and it says which") {
  auto zone = ZoneOver<Cascade<Fails<ErrorCode::no_device>, Anonymous>>::create({.name = "z", .size = 64_KiB});
  REQUIRE(zone);
  CHECK(zone->backing().index() == 1);
  CHECK(zone->backing().get_if<0>() == nullptr);
  REQUIRE(zone->backing().get_if<1>() != nullptr);
  CHECK(zone->backing().get_if<1>()->size() == 64_KiB);
  auto first = Cascade<OffsetSpace, Fails<ErrorCode::no_device>>::create(request);
  REQUIRE(first);
  CHECK(first->index() == 0);
  CHECK(first->get_if<1>() == nullptr);
}

TEST_CASE_TEMPLATE("one that is not as asked for is given back, and it is the next one's turn", Fallen,
                   Falls<ErrorCode::data_too_small>, Falls<ErrorCode::base_misaligned>, Falls<ErrorCode::zone_overflow>,
                   Falls<ErrorCode::notes_too_small>) {
  auto made = Cascade<Fallen, After<Fallen>>::create(request);
  REQUIRE(made);
  CHECK(made->index() == 1);
  CHECK(Fallen::alive == 0);
}

TEST_CASE("one that is not as asked for says why") {
  CHECK(code_of<Cascade<Falls<ErrorCode::data_too_small>>>() == ErrorCode::data_too_small);
  CHECK(code_of<Cascade<Falls<ErrorCode::base_misaligned>>>() == ErrorCode::base_misaligned);
  CHECK(code_of<Cascade<Falls<ErrorCode::zone_overflow>>>() == ErrorCode::zone_overflow);
  const auto made = Cascade<Falls<ErrorCode::notes_too_small>>::create(request);
  REQUIRE_FALSE(made);
  CHECK(made.error() == Error{.code = ErrorCode::notes_too_small, .asked = 100, .available = 99, .zone = "camera"});
  CHECK(code_of<Cascade<Falls<ErrorCode::none>>>() == ErrorCode::none);
}

TEST_CASE("when there is none, the error that can be helped") {
  using Absent = Fails<ErrorCode::no_device, ENOENT>;
  using Gone = Fails<ErrorCode::no_device, ENODEV>;
  using Forbidden = Fails<ErrorCode::no_access>;
  using Full = Fails<ErrorCode::out_of_memory>;
  CHECK(code_of<Cascade<Absent, Forbidden, Full>>() == ErrorCode::no_access);
  CHECK(code_of<Cascade<Absent, Full, Forbidden, Gone>>() == ErrorCode::out_of_memory);
  CHECK(code_of<Cascade<Forbidden, Absent>>() == ErrorCode::no_access);
  const auto none = Cascade<Absent, Gone>::create(request);
  REQUIRE_FALSE(none);
  CHECK(none.error().os_error == ENODEV);
}

TEST_CASE("it can do what all of them can") {
  using Both = Cascade<MemoryFile, Anonymous>;
  static_assert(Both::shared && has_cpu_pointer<Both> && !has_file<Both>);
  static_assert(has_file<Cascade<MemoryFile, MemoryFile>> && !has_cpu_pointer<Cascade<MemoryFile, OffsetSpace>>);
  static_assert(!Cascade<OffsetSpace, Anonymous>::shared);
  static_assert(can_obtain<Cascade<Anonymous, Anonymous>> && !can_obtain<Both>);
  static_assert(can_commit<Cascade<MemoryFile, MemoryFile>> == can_commit<MemoryFile>);
  static_assert(!can_commit<Cascade<MemoryFile, OffsetSpace>>);
  using Windows = Cascade<backing::DevMem, backing::Uio>;
  static_assert(has_physical_address<Windows> && !has_device_address<Windows> && !can_create<Windows>);
  static_assert(Windows::gives(Cacheability::uncached) && !Windows::gives(Cacheability::cached));
  using Mixed = Cascade<backing::DevMem, Anonymous>;
  static_assert(!has_physical_address<Mixed> && !Mixed::gives(Cacheability::uncached) &&
                !Mixed::gives(Cacheability::cached));

  auto file = Cascade<Fails<ErrorCode::no_device>, MemoryFile>::create(request);
  REQUIRE(file);
  auto both = Cascade<MemoryFile, MemoryFile>::create(request);
  REQUIRE(both);
  CHECK(fcntl(both->fd(), F_GETFD) >= 0);
  CHECK(both->file_offset() == both->get_if<0>()->file_offset());
  CHECK(both->cpu_pointer(4096) == both->get_if<0>()->cpu_pointer(4096));
  CHECK(both->commit(0, 4096));
  std::memset(*both->cpu_pointer(0), 1, 4096);
  CHECK(both->decommit(0, 4096));
  CHECK(**both->cpu_pointer(0) == std::byte{0});
}

TEST_CASE("block by block") {
  using Blocks = Cascade<Anonymous, Anonymous>;
  auto zone = Zone<Blocks, strategy::System, lock::None, cache::Coherent>::create({.size = 1_MiB, .granule = 4_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  std::memset(zone->data(*block).data(), 1, 8192);
  REQUIRE(zone->deallocate(*block));
  CHECK(zone->data(*block).empty());
}

TEST_CASE("settings for each, by its place") {
  using Windows = Cascade<backing::DevMem, backing::DevMem, Fails<ErrorCode::no_device>>;
  const int stand_in = memfd_create("memory", MFD_CLOEXEC);
  REQUIRE(ftruncate(stand_in, 1 << 20) == 0);
  const std::string path = "/proc/self/fd/" + std::to_string(stand_in);
  const Windows::Settings settings{{{.base = PhysicalAddress(0), .path = "/dev/no-such-memory"}},
                                   {{.base = PhysicalAddress(65536), .path = path.c_str()}},
                                   {}};
  auto made = Windows::create(request, settings);
  REQUIRE(made);
  CHECK(made->index() == 1);
  CHECK(made->base() == 65536);
  auto zone = Zone<Cascade<backing::CachedDevMem, Anonymous>, strategy::Bitmap, lock::None, cache::Coherent>::create(
      {.name = "camera", .size = 64_KiB}, Cascade<backing::CachedDevMem, Anonymous>::Settings{
                                              {{.base = PhysicalAddress(0), .path = "/dev/no-such-memory"}}, {}});
  REQUIRE(zone);
  CHECK(zone->backing().index() == 1);
  close(stand_in);
}

namespace {
struct Named : tests::MinimalBacking {
  static inline int times = 0;
  static Result<Named> create(const BackingRequest& request) noexcept {
    return Named(*MinimalBacking::create(request));
  }
  explicit Named(MinimalBacking&& made) noexcept : MinimalBacking(std::move(made)) {}
  Result<void> publish() noexcept { return ++times, Result<void>(ErrorCode::exists); }
  bool published() const noexcept { return times != 0; }
};
}  // namespace

TEST_CASE("who has a name is published, the others have nothing to do") {
  auto named = Cascade<Named, OffsetSpace>::create(request);
  REQUIRE(named);
  CHECK(named->publish().error().code == ErrorCode::exists);
  CHECK(Named::times == 1);
  auto nameless = Cascade<Fails<ErrorCode::no_device>, OffsetSpace, Named>::create(request);
  REQUIRE(nameless);
  CHECK(nameless->publish());
  CHECK(Named::times == 1);
  static_assert(!can_publish<Cascade<OffsetSpace, Anonymous>>);
}

static_assert([] {
  auto made = Cascade<OffsetSpace, OffsetSpace>::create({.size = 4096, .granule = 4096, .notes_words = 2});
  return made && made->index() == 0 && made->size() == 4096 && made->notes().size() == 2;
}());
