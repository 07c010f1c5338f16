#include <freestone/backing/os/cuda.hpp>

#include <doctest/doctest.h>

#include <string>

#include <freestone/core/os/describe.hpp>
#include "support/fake_cuda.hpp"

using namespace freestone;
using backing::cuda::Gpu;
using backing::cuda::Status;

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
  CHECK(describe(gpu->error(Status{700}, "frames", 4096)) ==
        "zone 'frames': " FREESTONE_FAKE_CUDA ": it failed: the driver's error 700 (asked 4096)");
  CHECK(gpu->error(Status::out_of_memory, "", 1).code == ErrorCode::out_of_memory);
}
