#include <freestone/backing/os/data_file.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <string>

#include <freestone/backing/concept.hpp>
#include "support/child.hpp"
#include "support/fds.hpp"

using namespace freestone;
using namespace freestone::tests;
using backing::DataFile;

namespace {
constexpr BackingRequest request{.name = "frames", .size = 64 << 10, .granule = 4096, .notes_words = 100};

ErrorCode code_of(const BackingRequest& wanted) {
  const auto made = DataFile::create(wanted);
  return made ? ErrorCode::none : made.error().code;
}
}  // namespace

static_assert(Backing<DataFile> && check_backing<DataFile>());
static_assert(has_file<DataFile> && has_cpu_pointer<DataFile> && can_create<DataFile>);

TEST_CASE("the file holds the data and nothing else") {
  const std::size_t before = open_fds();
  {
    auto file = DataFile::create(request);
    REQUIRE(file);
    CHECK(file->notes().size() == 100);
    CHECK(file->notes()[99] == 0);
    for (std::uint64_t& word : file->notes()) word = ~std::uint64_t{0};
    struct stat status {};
    REQUIRE(fstat(file->fd(), &status) == 0);
    CHECK(status.st_size == 64 << 10);
    std::memset(*file->cpu_pointer(4096), 0x5A, 4096);
    char bytes[3] = {};
    CHECK(pread(file->fd(), bytes, 3, 4095) == 3);
    CHECK(bytes[0] == 0);
    CHECK(bytes[1] == 0x5A);
    CHECK((fcntl(file->fd(), F_GETFD) & FD_CLOEXEC) != 0);
    auto moved = *std::move(file);
    CHECK(*(*moved.cpu_pointer(4096)) == std::byte{0x5A});
  }
  CHECK(open_fds() == before);
}

TEST_CASE("its size is sealed, and it takes a seal for readers") {
  auto file = DataFile::create(request);
  REQUIRE(file);
  CHECK(ftruncate(file->fd(), 0) == -1);
  CHECK(ftruncate(file->fd(), 1 << 20) == -1);
  REQUIRE(fcntl(file->fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0);
  (*file->cpu_pointer(0))[0] = std::byte{1};
  CHECK(pwrite(file->fd(), "x", 1, 0) == -1);
}

TEST_CASE("what cannot be made is an error, and leaves nothing") {
  const std::size_t before = open_fds();
  CHECK(code_of({.name = std::string(249, 'n').c_str(), .size = 4096, .granule = 4096}) == ErrorCode::none);
  CHECK(code_of({.name = std::string(250, 'n').c_str(), .size = 4096, .granule = 4096}) == ErrorCode::bad_name);
  CHECK(code_of({.name = nullptr, .size = 100, .granule = 4}) == ErrorCode::none);
  CHECK(code_of({.name = "none", .size = 0, .granule = 4096}) == ErrorCode::out_of_memory);
  CHECK(code_of({.name = "all", .size = ~std::uint64_t{0}, .granule = 1}) == ErrorCode::out_of_memory);
  CHECK(code_of({.name = "half", .size = std::uint64_t{1} << 62, .granule = 4096}) == ErrorCode::out_of_memory);
  CHECK(code_of({.name = "notes", .size = 4096, .granule = 4096, .notes_words = SIZE_MAX}) == ErrorCode::out_of_memory);
  CHECK(holds_in_child([] {
    const rlimit limit{8192, 8192};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 && code_of(request) == ErrorCode::limit_reached;
  }));
  CHECK(holds_in_child([] {
    const rlimit limit{1, 1};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && code_of(request) == ErrorCode::limit_reached;
  }));
  CHECK(open_fds() == before);
}
