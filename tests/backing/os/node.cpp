#include <freestone/backing/os/node.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include <freestone/core/os/describe.hpp>
#include "support/child.hpp"

using namespace freestone;
using namespace freestone::backing;

namespace {

Error error_of(int os_error) {
  errno = os_error;
  return node_error("/dev/none", "camera", 4096, Privilege::cap_sys_rawio);
}

}  // namespace

TEST_CASE("an error of a node names it, and says what it would have taken") {
  const Error forbidden = error_of(EPERM);
  CHECK(forbidden.code == ErrorCode::no_access);
  CHECK(forbidden.missing == Privilege::cap_sys_rawio);
  CHECK(std::string(forbidden.node()) == "/dev/none");
  CHECK(describe(forbidden) == "zone 'camera': /dev/none: no access: Operation not permitted, needs CAP_SYS_RAWIO (asked 4096)");
  CHECK(error_of(ENOENT).missing == Privilege::none);
}

TEST_CASE("each kind of refusal has a code of its own") {
  CHECK(error_of(ENOENT).code == ErrorCode::no_device);
  CHECK(error_of(ENXIO).code == ErrorCode::no_device);
  CHECK(error_of(EMFILE).code == ErrorCode::limit_reached);
  CHECK(error_of(EBUSY).code == ErrorCode::in_use);
  CHECK(error_of(EEXIST).code == ErrorCode::exists);
  CHECK(error_of(EROFS).code == ErrorCode::read_only);
  CHECK(error_of(ENAMETOOLONG).code == ErrorCode::bad_name);
  CHECK(error_of(ENOTTY).code == ErrorCode::node_failure);
  CHECK(error_of(ENOTTY).os_error == ENOTTY);
  CHECK(error_of(ENOMEM).code == ErrorCode::out_of_memory);
  CHECK(std::string(error_of(ENOMEM).node()) == "/dev/none");
}

TEST_CASE("no access: the group is named where it would help, and only there") {
  char path[] = "/tmp/freestone-node-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  const auto missing_with = [&](mode_t mode) {
    REQUIRE(fchmod(fd, mode) == 0);
    errno = EACCES;
    return node_error(path, "", 0).missing;
  };
  const bool is_root = getuid() == 0;
  if (is_root) REQUIRE(fchown(fd, 0, 12345) == 0);
  if (is_root) CHECK(missing_with(0660) == Privilege::group_of_node);
  if (is_root) CHECK(describe(Privilege::group_of_node, path) == "needs to be in group '12345'");
  CHECK(missing_with(0640) == Privilege::cap_dac_override);
  CHECK(missing_with(0600) == Privilege::cap_dac_override);
  REQUIRE(fchown(fd, static_cast<uid_t>(-1), getgid()) == 0);
  CHECK(missing_with(0660) == Privilege::cap_dac_override);  // the caller is in it
  close(fd);
  unlink(path);
  errno = EACCES;
  CHECK(node_error(path, "", 0).missing == Privilege::cap_dac_override);
  errno = EACCES;
  CHECK(node_error("a name, and no path", "", 0).missing == Privilege::cap_dac_override);
}

TEST_CASE("who only reads needs a group that may only read") {
  char path[] = "/tmp/freestone-node-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  const auto missing = [&](int flags) {
    return tests::holds_in_child([&] {
      if (setgid(65534) != 0 || setuid(65534) != 0) return getuid() != 0;
      const auto file = open_node(path, flags, "", 0);
      return !file && file.error().missing == (flags == O_RDONLY ? Privilege::group_of_node : Privilege::cap_dac_override);
    });
  };
  REQUIRE(fchmod(fd, 0440) == 0);
  if (getuid() == 0) REQUIRE(fchown(fd, 0, 12345) == 0);
  CHECK(missing(O_RDONLY));
  CHECK(missing(O_RDWR));
  close(fd);
  unlink(path);
}

TEST_CASE("an error of no node has none, whatever it counts") {
  CHECK(std::string(Error{.code = ErrorCode::no_space, .available = 4096}.node()).empty());
  CHECK(std::string(Error{.code = ErrorCode::out_of_memory}.node()).empty());
  CHECK(describe(Error::of_node(ErrorCode::bad_name, "", "z")).find(": :") == std::string::npos);
  CHECK(Error{.zone = nullptr} == Error{.zone = ""});
}

TEST_CASE("a node is opened, or the error says which one was not") {
  auto null = open_node("/dev/null", O_RDWR, "zone", 1);
  REQUIRE(null);
  CHECK(null->get() >= 0);
  const auto none = open_node("/dev/none-such", O_RDWR, "zone", 1);
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::no_device);
  CHECK(std::string(none.error().node()) == "/dev/none-such");
}
