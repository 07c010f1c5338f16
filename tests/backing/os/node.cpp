#include <freestone/backing/os/node.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include <freestone/core/os/describe.hpp>

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
  CHECK(error_of(EACCES).missing == Privilege::group_of_node);
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
  const Error memory = error_of(ENOMEM);  // of the host, not of the node
  CHECK(memory.code == ErrorCode::out_of_memory);
  CHECK(memory.available == 0);
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
