#include <freestone/backing/os/udmabuf.hpp>

#include <doctest/doctest.h>

#include <fstream>

#include "support/dma_bufs.hpp"

using namespace freestone;
using namespace freestone::tests;
using backing::Udmabuf;

namespace {
constexpr const char* node = "/dev/udmabuf";
constexpr const char* limit = "/sys/module/udmabuf/parameters/size_limit_mb";
}  // namespace
static_assert(check_backing<Udmabuf>() && can_create_with<Udmabuf, Udmabuf::Settings> && has_file<Udmabuf>);

TEST_CASE("a udmabuf keeps the laws of a backing") {
  if (is_there(node)) check_laws<Udmabuf>();
}

TEST_CASE("a block of a udmabuf's zone is where the exported file has it") {
  if (is_there(node)) check_round_trip<Udmabuf>();
}

TEST_CASE("a udmabuf has whole pages only") { check_sizes<Udmabuf>(); }

TEST_CASE("what is no udmabuf is an error that names it") {
  check_names<Udmabuf>([](const char* name) { return Udmabuf::Settings{.node = name}; });
}

TEST_CASE("a udmabuf of another group is an error that names the group") {
  if (is_there(node)) check_group<Udmabuf>(node);
}

TEST_CASE("a udmabuf larger than the module allows is an error that names the limit") {
  if (!is_there(node)) return;
  std::uint64_t mebibytes = 0;
  std::ifstream(limit) >> mebibytes;
  REQUIRE(mebibytes != 0);
  const auto create = [](std::uint64_t bytes) {
    return error_of([&] { return Udmabuf::create({.name = "large", .size = bytes, .granule = 4096}); });
  };
  CHECK(create(mebibytes << 20).code == ErrorCode::none);
  for (const std::uint64_t bytes : {(mebibytes << 20) + 4096, mebibytes << 21}) {
    const Error error = create(bytes);
    CHECK(error.code == ErrorCode::limit_reached);
    CHECK(error.os_error == EINVAL);
    CHECK(error.asked == bytes);
    CHECK(error.node() == std::string(limit));
  }
}

TEST_CASE("with no room for three more open files there is no udmabuf") {
  const auto create = [] { return Udmabuf::create(frames); };
  CHECK(error_with_files(0, create).code == ErrorCode::limit_reached);
  if (!is_there(node)) return;
  const auto files = open_files();
  const Error no_memory = error_with_files(1, create);
  CHECK(no_memory.code == ErrorCode::limit_reached);
  CHECK(no_memory.node() == std::string("memfd"));
  CHECK(error_with_files(2, create).code == ErrorCode::limit_reached);
  CHECK(open_files() == files);
  CHECK(error_with_files(3, create).code == ErrorCode::none);
  CHECK(open_files() == files);
}

TEST_CASE("a file as long as this process may make none is an error, and nobody is killed") {
  const auto limited = [](rlim_t bytes) {
    const rlimit low{bytes, bytes};
    const auto files = open_files();
    if (setrlimit(RLIMIT_FSIZE, &low) != 0) return Error{};
    const auto made = Udmabuf::create(frames, {.node = "/dev/null"});
    return open_files() == files ? made.error() : Error{};
  };
  CHECK(holds_in_child([&] {
    const Error error = limited(frames.size.value() - 1);
    return error.code == ErrorCode::limit_reached && error.os_error == EFBIG && error.asked == frames.size.value() &&
           error.node() == std::string("memfd");
  }));
  CHECK(holds_in_child([&] { return limited(frames.size.value()).os_error == ENOTTY; }));  // just long enough
}
