#include <freestone/backing/with_notes.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <string>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/shared_memory.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;

TEST_CASE("data of one backing, notes of another") {
  using Private = backing::WithNotes<backing::MemoryFile, backing::OffsetSpace>;
  static_assert(Backing<Private> && can_create<Private> && has_cpu_pointer<Private> && has_file<Private>);
  static_assert(!Private::shared);  // the map is this process's own, so no other may use the zone
  auto zone = Zone<Private, strategy::Bitmap, lock::None, cache::Coherent>::create({.name = "mixed", .size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  CHECK(zone->data(*block).size() == 4096);
  CHECK(zone->deallocate(*block));
}

TEST_CASE("notes in words of the caller's") {
  using Mixed = backing::WithNotes<backing::Anonymous, backing::Borrowed>;
  using Z = Zone<Mixed, strategy::Bitmap, lock::None, cache::Coherent>;
  std::array<std::uint64_t, Z::notes_words(64_KiB, 4_KiB)> words{};
  auto pages = backing::Anonymous::create({.size = 64_KiB, .granule = 4_KiB});
  REQUIRE(pages);
  auto zone = Z::create({}, Mixed(*std::move(pages), backing::Borrowed::at(0, 0, words)));
  REQUIRE(zone);
  REQUIRE(zone->allocate(4_KiB));
  CHECK(words != decltype(words){});
}

TEST_CASE("both parts are taken up, the notes by their name") {
  using Mixed = backing::WithNotes<backing::MemoryFile, backing::SharedMemory>;
  static_assert(Mixed::shared && can_publish<Mixed>);
  using Z = Zone<Mixed, strategy::Bitmap, lock::Spin, cache::Coherent>;
  const std::string name = "freestone-notes-" + std::to_string(getpid());
  const ZoneOptions options{.name = name.c_str(), .size = 1_MiB};
  auto zone = Z::create(options);
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  CHECK(Z::create(options).error().code == ErrorCode::exists);
  const auto attached = [&] {
    return Z::attach(options, Mixed(*backing::MemoryFile::attach({.size = 1_MiB}, {zone->backing().fd()}),
                                    *backing::SharedMemory::attach({}, {name.c_str()})));
  };
  auto other = attached();
  REQUIRE(other);
  CHECK(other->owns(*block));
  CHECK(other->data(*block).size() == 4096);
  CHECK(Z::create(options, Mixed(*backing::MemoryFile::attach({.size = 1_MiB}, {zone->backing().fd()}),
                                 *backing::SharedMemory::attach({}, {name.c_str()})))
            .error()
            .code == ErrorCode::exists);
  CHECK(zone->owns(*block));
  CHECK(backing::SharedMemory::remove(name.c_str()));
}

TEST_CASE("one that cannot be made is the error of both") {
  using Mixed = backing::WithNotes<backing::Anonymous, backing::OffsetSpace>;
  const auto mixed = Mixed::create({.name = "x", .size = 4_KiB, .granule = 4_KiB, .notes_words = SIZE_MAX});
  REQUIRE_FALSE(mixed);
  CHECK(mixed.error().code == ErrorCode::out_of_memory);
}

TEST_CASE("the data's own settings, and notes on pages of their own") {
  using Mixed = backing::WithNotes<backing::Anonymous, backing::Anonymous>;
  using Z = Zone<Mixed, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = Z::create({.name = "mixed", .size = 64_KiB}, backing::Anonymous::Settings{.pages = backing::Pages::huge_2m});
  REQUIRE(zone);
  CHECK(zone->backing().page() != 0);
  const auto block = zone->allocate(64_KiB);
  REQUIRE(block);
  CHECK(zone->commit(*block));
  CHECK(zone->decommit(*block));
}
