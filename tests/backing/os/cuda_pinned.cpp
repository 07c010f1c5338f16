#include <freestone/backing/os/cuda_pinned.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "support/fake_cuda.hpp"

using namespace freestone;
using namespace freestone::literals;
using backing::CudaPinned;
using tests::fail_each_call;
using tests::fake_cuda;
using tests::nothing_is_left;

namespace {

struct OnFake : CudaPinned {
  explicit OnFake(CudaPinned pinned) noexcept : CudaPinned(std::move(pinned)) {}
  static Result<OnFake> create(const BackingRequest& request) noexcept {
    auto made = CudaPinned::create(request, tests::fake_gpu);
    if (!made) return made.error();
    return OnFake(*std::move(made));
  }
};

}  // namespace

TEST_CASE("pinned memory keeps the laws of a backing") {
  tests::keep_the_laws<OnFake, CudaPinned>();
}

TEST_CASE("a block has a CPU pointer and an address of the GPU's") {
  using Z = Zone<CudaPinned, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = Z::create({.name = "staging", .size = 1_MiB, .granule = 4_KiB}, tests::fake_gpu);
  REQUIRE(zone);
  const auto first = zone->allocate(4_KiB);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(first);
  REQUIRE(block);
  CHECK(zone->data(*block).data() == zone->data(*first).data() + 4096);
  CHECK(zone->device_address(*block) == *zone->device_address(*first) + 4096);
}

TEST_CASE("where the host has not so much, nothing is left behind") {
  fake_cuda().pieces_left = 0;
  const auto made = OnFake::create(laws::a_request);
  REQUIRE(!made);
  CHECK(made.error().code == ErrorCode::out_of_memory);
  CHECK(made.error().node() == std::string(FREESTONE_FAKE_CUDA));
  CHECK(nothing_is_left());
  fake_cuda().pieces_left = 1000;
}

TEST_CASE("whatever call fails as it is made, the error names zone and library, and nothing is left") {
  const int calls = fail_each_call(
      "law", [] { return OnFake::create(laws::a_request); }, [] { CHECK(nothing_is_left()); });
  CHECK(calls == 6);
  CHECK(nothing_is_left());
}
