#include <freestone/core/os/describe.hpp>

#include <cerrno>
#include <cstdint>
#include <set>
#include <string>

#include <doctest/doctest.h>

using namespace freestone;

TEST_CASE("every code has a text of its own") {
  constexpr auto last = static_cast<std::uint16_t>(ErrorCode::node_failure);
  std::set<std::string> texts;
  for (std::uint16_t code = 0; code <= last + 1; ++code) {
    const std::string text = describe(static_cast<ErrorCode>(code));
    CAPTURE(code);
    CHECK(!text.empty());
    CHECK(texts.insert(text).second);
    CHECK((text == "an error that this version does not know") == (code == last + 1));
  }
}

TEST_CASE("an error tells the zone, the reason, the host's own and the numbers") {
  CHECK(describe(Error{.code = ErrorCode::no_space, .asked = 8294400, .available = 4096, .zone = "camera"}) ==
        "zone 'camera': no place for it in what is free (asked 8294400, available 4096)");
  CHECK(describe(Error{.code = ErrorCode::zero_size}) == "a block of 0 bytes was asked for");
  CHECK(describe(Error{.code = ErrorCode::no_space, .available = 1}) ==
        "no place for it in what is free (asked 0, available 1)");
  CHECK(describe(Error{.code = ErrorCode::os_failure, .os_error = ENOENT}) ==
        "the operating system refused: No such file or directory");
}

TEST_CASE("an error of a node tells which one, and what it takes") {
  Error error = Error::of_node(ErrorCode::no_device, "/dev/dma_heap/none", "camera");
  CHECK(describe(error) == "zone 'camera': /dev/dma_heap/none: there is none, or it is gone");
  error = Error::of_node(ErrorCode::no_access, "/dev/null", "");
  error.os_error = EACCES;
  error.asked = 4096;
  error.missing = Privilege::cap_sys_rawio;
  CHECK(describe(error) == "/dev/null: no access: Permission denied, needs CAP_SYS_RAWIO (asked 4096)");
  error.missing = Privilege::group_of_node;
  CHECK(describe(error) == "/dev/null: no access: Permission denied, needs to be in group 'root' (asked 4096)");
  CHECK(describe(Privilege::group_of_node, "/none/such") == "needs to be in the group that it belongs to");
  CHECK(describe(Privilege::none, "/dev/null").empty());
}
