#include <freestone/backing/os/shared_memory.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include <freestone/cache/coherent.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/child.hpp"

using namespace freestone;
using namespace freestone::literals;
using backing::SharedMemory;
using Shared = Zone<SharedMemory, strategy::Bitmap, lock::Spin, cache::Coherent>;

namespace {

// A name that no other run has, and that is gone afterwards.
class Name {
 public:
  explicit Name(const char* what) : text_("freestone-" + std::string(what) + "-" + std::to_string(getpid())) {}
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  ~Name() { (void)SharedMemory::remove(text()); }
  const char* text() const { return text_.c_str(); }

 private:
  std::string text_;
};

Shared::Options options_for(const Name& name) { return {.name = name.text(), .size = 1_MiB}; }

template <class R>
ErrorCode code_of(const R& result) {
  return result ? ErrorCode::none : result.error().code;
}

ErrorCode code_of_name(const char* name) { return code_of(Shared::create({.name = name, .size = 1_MiB})); }

}  // namespace

TEST_CASE("a zone is found by its name, with its blocks and bytes") {
  const Name name("found");
  auto zone = Shared::create(options_for(name));
  REQUIRE(zone);
  const auto block = zone->allocate(10'000);
  REQUIRE(block);
  std::memset(zone->data(*block).data(), 0x5A, 10'000);
  CHECK(tests::holds_in_child([&] {
    auto other = Shared::attach(options_for(name), SharedMemory::Source{});
    if (!other || !other->owns(*block)) return false;
    return other->data(*block)[9'999] == std::byte{0x5A} && other->deallocate(*block);
  }));
  CHECK(!zone->owns(*block));
}

TEST_CASE("its name may differ from the zone's, and stays until it is removed") {
  const Name name("kept");
  {
    auto zone = Shared::create({.name = "camera", .size = 1_MiB}, SharedMemory::Settings{.name = name.text()});
    REQUIRE(zone);
    REQUIRE(zone->allocate(5_KiB));
  }
  {
    auto zone = Shared::attach({.name = "camera", .size = 1_MiB}, SharedMemory::Source{.name = name.text()});
    REQUIRE(zone);
    CHECK(zone->stats().blocks == 1);
    REQUIRE(SharedMemory::remove(name.text()));
    CHECK(zone->allocate(5_KiB));  // who holds it keeps it
  }
  const auto gone = Shared::attach({.name = "camera", .size = 1_MiB}, SharedMemory::Source{.name = name.text()});
  REQUIRE(!gone);
  CHECK(gone.error().code == ErrorCode::no_device);
  CHECK(describe(gone.error()) == "zone 'camera': " + std::string(name.text()) +
                                      ": there is none, or it is gone: No such file or directory (asked 1048576)");
  CHECK(code_of(SharedMemory::remove(name.text())) == ErrorCode::no_device);
}

TEST_CASE("of two that make the same one is first, and the other leaves it alone") {
  const Name name("twice");
  auto first = Shared::create(options_for(name));
  REQUIRE(first);
  const auto block = first->allocate(4_KiB);
  REQUIRE(block);
  CHECK(code_of(Shared::create(options_for(name))) == ErrorCode::exists);
  auto other = Shared::attach(options_for(name), SharedMemory::Source{});
  REQUIRE(other);
  CHECK(other->owns(*block));
}

TEST_CASE("nobody finds a zone that is not whole") {
  const Name name("half");
  auto made = SharedMemory::create({.name = name.text(), .size = 1_MiB, .granule = 4_KiB, .notes_words = 10});
  REQUIRE(made);
  CHECK(code_of(Shared::attach(options_for(name), SharedMemory::Source{})) == ErrorCode::no_device);
  REQUIRE(made->publish());  // with words that no zone wrote
  CHECK(code_of(Shared::attach(options_for(name), SharedMemory::Source{})) == ErrorCode::not_formatted);
}

TEST_CASE("names that cannot be") {
  CHECK(code_of_name("") == ErrorCode::bad_name);
  CHECK(code_of_name("a/b") == ErrorCode::bad_name);
  CHECK(code_of_name("/a") == ErrorCode::bad_name);
  CHECK(code_of_name("..") == ErrorCode::bad_name);
  CHECK(code_of_name(std::string(256, 'x').c_str()) == ErrorCode::bad_name);
  CHECK(code_of(Shared::attach({.name = "a/b", .size = 1_MiB}, SharedMemory::Source{})) == ErrorCode::bad_name);
  CHECK(code_of(SharedMemory::remove("a/b")) == ErrorCode::bad_name);
}

TEST_CASE("what is there under that name may be no zone's, or a cut one") {
  const Name name("other");
  const std::string path = "/dev/shm/" + std::string(name.text());
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  const auto found = [&] { return code_of(Shared::attach(options_for(name), SharedMemory::Source{})); };
  CHECK(found() == ErrorCode::not_formatted);  // empty
  REQUIRE(ftruncate(fd, 4 << 20) == 0);
  CHECK(found() == ErrorCode::not_formatted);
  close(fd);
  REQUIRE(SharedMemory::remove(name.text()));
  auto zone = Shared::create(options_for(name));
  REQUIRE(zone);
  CHECK(zone->backing().check_length());
  REQUIRE(truncate(path.c_str(), 1 << 20) == 0);
  CHECK(found() == ErrorCode::cut_short);
  CHECK(code_of(zone->backing().check_length()) == ErrorCode::cut_short);
}

TEST_CASE("where a process may open no more files, that is the error") {
  CHECK(tests::holds_in_child([] {
    const Name name("limit");
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) return false;
    const auto zone = Shared::create(options_for(name));
    return !zone && zone.error().code == ErrorCode::limit_reached && std::string(zone.error().node()) == name.text();
  }));
}
