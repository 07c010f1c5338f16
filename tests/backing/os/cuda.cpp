#include <freestone/backing/os/cuda.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include <freestone/core/os/describe.hpp>
#include "support/fake_cuda.hpp"

using namespace freestone;
using backing::cuda::Gpu;
using backing::cuda::Status;
using tests::fail_each_call;
using tests::nothing_is_left;

TEST_CASE("where there is no driver, no such GPU or another library, the error names it") {
  const auto none = Gpu::open({.library = "libfreestone-none.so.1"}, "frames");
  REQUIRE(!none);
  CHECK(describe(none.error()) == "zone 'frames': libfreestone-none.so.1: there is none, or it is gone");
  const auto other = Gpu::open({.library = "libm.so.6"}, "frames");
  REQUIRE(!other);
  CHECK(other.error().code == ErrorCode::node_failure);
  CHECK(std::string(other.error().node()) == "libm.so.6");
  const auto seventh = Gpu::open({.device = 7, .library = FREESTONE_FAKE_CUDA}, "frames");
  REQUIRE(!seventh);
  CHECK(seventh.error().code == ErrorCode::no_device);
  CHECK(seventh.error().os_error == -101);
  CHECK(tests::nothing_is_left());
}

TEST_CASE("a library that is there and does not load is no absent device") {
  char path[] = "/tmp/freestone-cuda-XXXXXX";
  const int file = mkstemp(path);
  REQUIRE(file >= 0);
  REQUIRE(write(file, "cut short", 9) == 9);
  close(file);
  const auto made = Gpu::open({.library = path}, "frames");
  unlink(path);
  REQUIRE(!made);
  CHECK(made.error().code == ErrorCode::node_failure);
  CHECK(std::string(made.error().node()) == path);
  const auto none = Gpu::open({.library = path}, "frames");
  REQUIRE(!none);
  CHECK(none.error().code == ErrorCode::no_device);
  CHECK(none.error().os_error == ENOENT);
}

TEST_CASE("whatever call of the opening fails, the error says so and nothing is left") {
  CHECK(fail_each_call(
            "frames", [] { return Gpu::open(tests::fake_gpu, "frames"); }, [] { CHECK(nothing_is_left()); }) == 3);
  CHECK(nothing_is_left());
}

TEST_CASE("a GPU goes with its owner, and its context is current in a call only") {
  {
    auto gpu = Gpu::open(tests::fake_gpu, "");
    REQUIRE(gpu);
    Gpu moved = *std::move(gpu);
    CHECK(tests::fake_cuda().contexts == 1);
    CHECK(moved.with_context([](const auto&) { return Status{tests::fake_cuda().current}; }) == Status{1});
    CHECK(tests::fake_cuda().current == 0);
    auto other = Gpu::open(tests::fake_gpu, "");
    REQUIRE(other);
    *other = std::move(moved);
  }
  CHECK(tests::nothing_is_left());
}

TEST_CASE("an error tells the driver's own number") {
  const auto gpu = Gpu::open(tests::fake_gpu, "frames");
  REQUIRE(gpu);
  CHECK(describe(gpu->error(Status{700}, "frames", 4096)) == "zone 'frames': " FREESTONE_FAKE_CUDA
                                                             ": it failed: the driver's error 700 (asked 4096)");
  const Error no_more = gpu->error(Status::out_of_memory, "", 1);
  CHECK(no_more.code == ErrorCode::out_of_memory);
  CHECK(std::string(no_more.node()) == FREESTONE_FAKE_CUDA);
}
