#include <freestone/core/error.hpp>

#include <string>
#include <type_traits>

#include <doctest/doctest.h>

using namespace freestone;

static_assert(sizeof(Error) <= 32 && std::is_trivially_copyable_v<Error>);

TEST_CASE("only `none` is no error") {
  CHECK(!Error());
  CHECK(Error{.code = ErrorCode::zero_size});
  CHECK(Error{.code = ErrorCode::os_failure});
}

TEST_CASE("errors are told apart by each field") {
  const Error error{.code = ErrorCode::no_space, .os_error = 1, .asked = 2, .available = 3};
  CHECK(error == Error{.code = ErrorCode::no_space, .os_error = 1, .asked = 2, .available = 3});
  CHECK(error != Error{.code = ErrorCode::no_space, .os_error = 1, .asked = 2, .available = 4});
  CHECK(error != Error{.code = ErrorCode::no_space, .os_error = 1, .asked = 3, .available = 3});
  CHECK(error != Error{.code = ErrorCode::no_space, .os_error = 2, .asked = 2, .available = 3});
  CHECK(error != Error{.code = ErrorCode::cut_short, .os_error = 1, .asked = 2, .available = 3});
}

TEST_CASE("an error of a node has its name, all others none") {
  static const char node[] = "/dev/udmabuf";
  const Error error = Error::of_node(ErrorCode::no_access, node, "camera");
  CHECK(error.node() == node);
  CHECK(Error{.code = ErrorCode::no_space, .available = 4096}.node() == std::string(""));
  CHECK(Error{.code = ErrorCode::no_access}.node() == std::string(""));
}
