#include <freestone/backing/os/reserved.hpp>

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>

#include <freestone/backing/reserved.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/child.hpp"

using namespace freestone;
using backing::CachedDevMem;
using backing::DevMem;
using backing::page_size;
using backing::Uio;

namespace {

const std::uint64_t page = page_size();

// A file that stands in for the node: a machine whose memory is 16 pages, each filled with its number.
class StandIn {
 public:
  StandIn() {
    char name[] = "/tmp/freestone-reserved-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder_ = name;
    std::ofstream file(path());
    for (char number = 0; number < 16; ++number) file << std::string(static_cast<std::size_t>(page), number);
  }
  ~StandIn() { std::filesystem::remove_all(folder_); }
  StandIn(const StandIn&) = delete;

  const char* path() const {
    if (path_.empty()) path_ = folder_ + "/mem";
    return path_.c_str();
  }
  const std::string& folder() const { return folder_; }

  // What the kernel tells of a device's window; the numbers of a plain file are 0:0.
  void tell(unsigned map, const std::string& address, const std::string& size, const std::string& offset) const {
    const std::string at = folder_ + "/0:0/maps/map" + std::to_string(map);
    std::filesystem::create_directories(at);
    std::ofstream(at + "/addr") << address;
    std::ofstream(at + "/size") << size;
    std::ofstream(at + "/offset") << offset;
  }
  Uio::Settings uio(unsigned map) const { return {.path = path(), .map = map, .sysfs = folder_.c_str()}; }

 private:
  std::string folder_;
  mutable std::string path_;
};

std::string hex(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%016llx\n", static_cast<unsigned long long>(number));
  return text;
}

BackingRequest pages(std::uint64_t count) {
  return {.name = "camera", .size = count * page, .granule = page, .notes_words = 100};
}
DevMem::Settings at_page(std::uint64_t number, const char* path) {
  return {.base = PhysicalAddress(number * page), .path = path};
}

// Whoever runs this: in a child, as nobody in particular.
template <class Predicate>
bool holds_without_rights(Predicate&& predicate) {
  return tests::holds_in_child([&] {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return false;
    return bool(predicate());
  });
}

template <class Made>
Error error_of(const Made& made) {
  return made ? Error{} : made.error();
}

}  // namespace

TEST_CASE("what each can give is known when it is compiled") {
  static_assert(DevMem::gives(Cacheability::uncached) && !DevMem::gives(Cacheability::cached));
  static_assert(!CachedDevMem::gives(Cacheability::uncached) && CachedDevMem::gives(Cacheability::cached));
  static_assert(Uio::gives(Cacheability::uncached) && !Uio::gives(Cacheability::cached));
  static_assert(can_create_with<DevMem, DevMem::Settings> && can_create_with<Uio, Uio::Settings>);
  static_assert(has_physical_address<DevMem> && has_cpu_pointer<DevMem> && has_physical_address<Uio>);
}

TEST_CASE("a zone over a range of the memory device") {
  const StandIn node;
  using Z = Zone<DevMem, strategy::Bitmap, lock::None, cache::Uncached>;
  {
    auto zone = Z::create({.name = "camera", .size = 4 * page, .granule = page}, at_page(3, node.path()));
    REQUIRE(zone);
    REQUIRE(zone->allocate(page));
    const auto block = zone->allocate(2 * page);
    REQUIRE(block);
    CHECK(zone->physical_address(*block) == PhysicalAddress(4 * page));
    const auto data = zone->data(*block);
    REQUIRE(data.size() == 2 * page);
    CHECK(data.front() == std::byte{4});
    CHECK(data.back() == std::byte{5});
    data.front() = std::byte{42};
    CHECK(zone->clean(*block));
  }
  std::ifstream file(node.path());
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  REQUIRE(bytes.size() == 16 * page);
  CHECK(bytes[static_cast<std::size_t>(4 * page)] == 42);
  bytes[static_cast<std::size_t>(4 * page)] = 4;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    REQUIRE(static_cast<std::uint64_t>(bytes[i]) == i / page);  // no notes in it
}

TEST_CASE("the real memory device") {
  if (access("/dev/mem", F_OK) != 0) {
    REQUIRE_MESSAGE(std::getenv("FREESTONE_VM") == nullptr,
                    "there is no /dev/mem, and this is the guest, which has one");
    MESSAGE("skipped: this machine has no /dev/mem");
    return;
  }
  const auto made = CachedDevMem::create(pages(1), {.base = PhysicalAddress(0)});
  if (made) {
    CHECK(made->physical_address(0) == PhysicalAddress(0));
  } else {
    CHECK(made.error().node() == std::string("/dev/mem"));
    MESSAGE(describe(made.error()));
  }
}

TEST_CASE("a node that is not there, or that nobody may open") {
  const auto gone = DevMem::create(pages(1), at_page(0, "/dev/no-such-memory"));
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == ErrorCode::no_device);
  CHECK(gone.error().os_error == ENOENT);
  CHECK(describe(gone.error()).find("zone 'camera': /dev/no-such-memory: ") == 0);
  CHECK(error_of(Uio::create(pages(1), {.path = "/dev/no-such-uio"})).code == ErrorCode::no_device);

  const StandIn node;
  REQUIRE(chmod(node.folder().c_str(), 0755) == 0);
  const auto both_miss = [&](Privilege missing) {
    return holds_without_rights([&] {
      const Error of_memory = error_of(DevMem::create(pages(1), at_page(0, node.path())));
      const Error of_device = error_of(Uio::create(pages(1), node.uio(0)));
      return of_memory.code == ErrorCode::no_access && of_memory.os_error == EACCES && of_memory.missing == missing &&
             of_memory.node() == node.path() && of_device.missing == missing && of_device.node() == node.path();
    });
  };
  for (const mode_t mode : {0444U, 0000U}) {  // to be read only, or not at all: no group would help
    REQUIRE(chmod(node.path(), mode) == 0);
    CHECK(both_miss(Privilege::cap_dac_override));
  }
  if (geteuid() != 0) {
    MESSAGE("skipped: only root gives a node to another group");
    return;
  }
  REQUIRE((chown(node.path(), 0, 12345) == 0 && chmod(node.path(), 0660) == 0));
  CHECK(both_miss(Privilege::group_of_node));
  REQUIRE(chmod(node.path(), 0640) == 0);
  CHECK(both_miss(Privilege::cap_dac_override));
}

TEST_CASE("where memory is locked as it is mapped, the limit of locked memory is an error") {
  const StandIn node;
  REQUIRE((chmod(node.folder().c_str(), 0755) == 0 && chmod(node.path(), 0666) == 0));
  node.tell(0, hex(0x4000'0000), hex(page), hex(0));
  CHECK(holds_without_rights([&] {
    const rlimit low{static_cast<rlim_t>(page), static_cast<rlim_t>(page)};
    if (setrlimit(RLIMIT_MEMLOCK, &low) != 0 || syscall(SYS_mlockall, MCL_FUTURE) != 0) return false;
    const auto is_limit = [](const Error& error) {
      return error.code == ErrorCode::limit_reached && error.os_error == EAGAIN &&
             error.node() == std::string("locked memory");
    };
    return is_limit(error_of(DevMem::create(pages(1), at_page(0, node.path())))) &&
           is_limit(error_of(Uio::create(pages(1), node.uio(0))));
  }));
}

TEST_CASE("one moved from has no pointers and no notes, and nobody keeps a view of the window") {
  static_assert(!std::is_convertible_v<DevMem&, backing::Reserved> && !std::is_convertible_v<Uio&, backing::Reserved>);
  static_assert(!std::is_copy_constructible_v<DevMem> && !std::is_copy_constructible_v<Uio>);
  static_assert(!std::is_constructible_v<backing::Reserved, DevMem&> &&
                !std::is_copy_constructible_v<backing::MappedWindow>);
  const StandIn node;
  auto made = DevMem::create(pages(2), at_page(3, node.path()));
  REQUIRE(made);
  CHECK(made->notes().size() == 100);
  DevMem moved = *std::move(made);
  CHECK(!made->cpu_pointer(0));
  CHECK(made->notes().empty());
  CHECK(**moved.cpu_pointer(page) == std::byte{4});
  CHECK(moved.notes().size() == 100);
  CHECK(moved.base() == 3 * page);
}

TEST_CASE("a mapping that the kernel forbids, and a node that cannot be mapped") {
  const int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(ftruncate(sealed, static_cast<off_t>(page)) == 0);
  REQUIRE(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  const std::string path = "/proc/self/fd/" + std::to_string(sealed);
  const Error error = error_of(DevMem::create(pages(1), at_page(0, path.c_str())));
  CHECK(error.code == ErrorCode::no_access);
  CHECK(error.os_error == EPERM);
  CHECK(error.missing == Privilege::none);
  close(sealed);
  CHECK(error_of(DevMem::create(pages(1), at_page(0, "/dev/null"))).code == ErrorCode::no_device);
  CHECK(error_of(DevMem::create(pages(1), at_page(0, "/"))).code == ErrorCode::node_failure);
}

TEST_CASE("what is no window") {
  const StandIn node;
  const auto error_at = [&](std::uint64_t base, std::uint64_t size) {
    BackingRequest request = pages(1);
    request.size = size;
    return error_of(DevMem::create(request, {.base = PhysicalAddress(base), .path = node.path()}));
  };
  CHECK(error_at(12 * page, 4 * page) == Error{});
  CHECK(error_at(13 * page, 4 * page) ==
        Error{.code = ErrorCode::cut_short, .asked = 17 * page, .available = 16 * page, .zone = "camera"});
  CHECK(error_at(16 * page, page).code == ErrorCode::cut_short);
  CHECK(error_at(512, page) ==
        Error{.code = ErrorCode::base_misaligned, .asked = 512, .available = page, .zone = "camera"});
  CHECK(error_at(0, page + 1).code == ErrorCode::not_pages);
  CHECK(error_at(0, page + 1).node() == node.path());
  CHECK(error_at(0, 0).code == ErrorCode::not_pages);
  CHECK(error_at(~(page - 1), 2 * page).code == ErrorCode::zone_overflow);
  CHECK(error_at(std::uint64_t{1} << 63, page).os_error == EOVERFLOW);
}

TEST_CASE("the limit of open files") {
  const StandIn node;
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const Error of_memory = error_of(DevMem::create(pages(1), at_page(0, node.path())));
  const Error of_device = error_of(Uio::create(pages(1), node.uio(0)));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(of_memory.code == ErrorCode::limit_reached);
  CHECK(of_device.code == ErrorCode::limit_reached);
}

TEST_CASE("a user I/O device's window is where the kernel says") {
  const StandIn node;
  node.tell(0, hex(0x4000'0000), hex(4 * page), hex(0));
  node.tell(1, hex(0x8000'0000), hex(2 * page), hex(512));
  auto whole = Uio::create(pages(2), node.uio(0));
  REQUIRE(whole);
  CHECK(whole->size() == 4 * page);
  CHECK(whole->physical_address(1) == PhysicalAddress(0x4000'0001));
  CHECK(**whole->cpu_pointer(page) == std::byte{1});
  CHECK(whole->notes().size() == 100);

  // The second one is told by the page that the mapping begins with; it begins within a page.
  using Z = Zone<Uio, strategy::Bitmap, lock::None, cache::Uncached>;
  auto zone = Z::create({.name = "fpga", .size = page, .granule = 512}, node.uio(1));
  REQUIRE(zone);
  CHECK(zone->backing().size() == 2 * page - 512);
  const auto block = zone->allocate(page);
  REQUIRE(block);
  CHECK(zone->physical_address(*block) == PhysicalAddress(0x8000'0000 + 512));
  CHECK(zone->data(*block).front() == std::byte{1});
  CHECK(zone->data(*block).back() == std::byte{2});
  CHECK(error_of(Z::create({.size = page, .granule = page}, node.uio(1))).code == ErrorCode::base_misaligned);
}

TEST_CASE("the real user I/O device") {
  if (access("/dev/uio0", F_OK) != 0) {
    MESSAGE("skipped: this machine has no /dev/uio0");
    return;
  }
  const auto made = Uio::create({.name = "uio", .size = 1, .granule = 1}, Uio::Settings{});
  if (made) {
    CHECK(made->size() != 0);
  } else {
    MESSAGE(describe(made.error()));
  }
}

TEST_CASE("a user I/O device that has no such window, or tells nonsense") {
  const StandIn node;
  const auto error_with = [&](const std::string& address, const std::string& size, const std::string& offset) {
    node.tell(0, address, size, offset);
    return error_of(Uio::create(pages(1), node.uio(0)));
  };
  CHECK(error_with(hex(0x4000'0000), hex(page), hex(0)) == Error{});
  const Error none = error_of(Uio::create(pages(1), node.uio(1)));
  CHECK(none.code == ErrorCode::no_device);
  CHECK(none.node() == node.path());
  CHECK(none.os_error == ENOENT);
  for (const char* nonsense : {"", "\n", "camera\n", "0x10 0x20\n", "0x1FFFFFFFFFFFFFFFF\n"}) {
    const Error error = error_with(nonsense, hex(page), hex(0));
    CHECK(error.code == ErrorCode::node_failure);
    CHECK((error.os_error == EINVAL || error.os_error == ERANGE));
    CHECK(error.node() == std::string("/sys/dev/char/*/maps/map*/addr"));
  }
  CHECK(error_with(hex(0), "?", hex(0)).node() == std::string("/sys/dev/char/*/maps/map*/size"));
  CHECK(error_with(hex(0), hex(page), "?").node() == std::string("/sys/dev/char/*/maps/map*/offset"));
  CHECK(error_with(hex(0), hex(page), hex(1)) ==
        Error{.code = ErrorCode::data_too_small, .asked = page, .available = page - 1, .zone = "camera"});
  CHECK(error_with(hex(0), hex(page), hex(page + 1)).code == ErrorCode::data_too_small);
  CHECK(error_with(hex(~std::uint64_t{0}), hex(page), hex(0)).code == ErrorCode::zone_overflow);
  CHECK(error_with(hex(0), hex(17 * page), hex(0)).code == ErrorCode::cut_short);
  const std::string endless(300, 'x');
  CHECK(error_of(Uio::create(pages(1), {.path = node.path(), .sysfs = endless.c_str()})).code == ErrorCode::bad_name);
}
