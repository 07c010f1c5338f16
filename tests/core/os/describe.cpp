#include <freestone/core/os/describe.hpp>

#include <cerrno>
#include <cstdint>
#include <set>
#include <string>

#include <doctest/doctest.h>

using namespace freestone;

TEST_CASE("every code has a text of its own") {
  constexpr auto last = static_cast<std::uint16_t>(ErrorCode::os_failure);
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
