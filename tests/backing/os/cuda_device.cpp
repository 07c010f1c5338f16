#include <freestone/backing/os/cuda_device.hpp>

#include <doctest/doctest.h>

#include <utility>

#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>
#include "laws/backing.hpp"
#include "support/fake_cuda.hpp"

using namespace freestone;
using namespace freestone::literals;
using backing::CudaDevice;
using tests::fake_cuda;
using tests::nothing_is_left;
using Frames = Zone<CudaDevice, strategy::Segregated, lock::None, cache::Coherent>;

namespace {

struct OnFake : CudaDevice {
  explicit OnFake(CudaDevice device) noexcept : CudaDevice(std::move(device)) {}
  static Result<OnFake> create(const BackingRequest& request) noexcept {
    auto made = CudaDevice::create(request, {.gpu = tests::fake_gpu});
    if (!made) return made.error();
    return OnFake(*std::move(made));
  }
};

template <class B>
void keeps_the_laws() {
  CHECK(laws::GivesWhatWasAsked::holds<B>());
  CHECK(laws::DataAndNotesLieApart::holds<B>());
  CHECK(laws::AMoveTakesEverything::holds<B>());
  CHECK(laws::TwoShareNothing::holds<B>());
}

}  // namespace

TEST_CASE("a GPU's memory keeps the laws of a backing") {
  keeps_the_laws<OnFake>();
  CHECK(nothing_is_left());
  if (!tests::has_gpu()) {
    MESSAGE("there is no GPU: tried over a stand-in for its driver only");
    return;
  }
  keeps_the_laws<CudaDevice>();
}

TEST_CASE("blocks are aligned as the GPU counts") {
  auto zone = Frames::create({.name = "frames", .size = 64_MiB, .granule = 4_KiB}, CudaDevice::Settings{.gpu = tests::fake_gpu});
  REQUIRE(zone);
  CHECK(fake_cuda().pieces == 32);
  REQUIRE(zone->allocate(4_KiB));
  const auto block = zone->allocate({.size = 1_MiB, .align = 16_MiB});
  REQUIRE(block);
  CHECK(zone->device_address(*block)->value() % (16U << 20) == 0);
  CHECK(zone->device_address(*block)->value() == zone->backing().base().value() + block->offset().value());
}

TEST_CASE("memory comes and goes in pieces, and a zone may span more than the GPU has") {
  fake_cuda().pieces_left = 4;
  {
    auto zone = Frames::create({.name = "frames", .size = 1_GiB, .granule = 1_MiB},
                               CudaDevice::Settings{.gpu = tests::fake_gpu, .committed = false});
    REQUIRE(zone);
    CHECK(fake_cuda().pieces == 0);
    const auto small = zone->allocate(1_MiB);
    const auto large = zone->allocate(4_MiB);
    REQUIRE(small);
    REQUIRE(large);
    REQUIRE(zone->commit(*small));
    CHECK(fake_cuda().pieces == 1);
    REQUIRE(zone->commit(*large));  // from the middle of a piece to that of another
    CHECK(fake_cuda().pieces == 3);
    REQUIRE(zone->commit(*large));
    CHECK(fake_cuda().pieces == 3);
    const auto more = zone->allocate(8_MiB);
    REQUIRE(more);
    const auto refused = zone->commit(*more);
    REQUIRE(!refused);
    CHECK(refused.error() ==
          Error{.code = ErrorCode::out_of_memory, .os_error = -2, .asked = 8 << 20, .zone = "frames"});
    REQUIRE(zone->decommit(*more));
    REQUIRE(zone->decommit(*large));  // only what lies in it whole
    CHECK(fake_cuda().pieces < 4);
  }
  CHECK(nothing_is_left());
  fake_cuda().pieces_left = 1000;
}

TEST_CASE("a zone that grows") {
  using Growing = Zone<CudaDevice, strategy::Elastic<strategy::Segregated>, lock::None, cache::Coherent>;
  auto zone = Growing::create({.name = "frames", .size = 64_MiB, .granule = 1_MiB},
                              CudaDevice::Settings{.gpu = tests::fake_gpu, .committed = false});
  REQUIRE(zone);
  REQUIRE(zone->shrink(60_MiB));
  CHECK(!zone->allocate(8_MiB));
  REQUIRE(zone->grow(4_MiB));
  const auto block = zone->allocate(8_MiB);
  REQUIRE(block);
  CHECK(zone->commit(*block));
}

TEST_CASE("where the GPU has not so much, nothing is left behind") {
  fake_cuda().pieces_left = 3;
  const auto zone = Frames::create({.name = "frames", .size = 8_MiB, .granule = 4_KiB}, CudaDevice::Settings{.gpu = tests::fake_gpu});
  REQUIRE(!zone);
  CHECK(zone.error().code == ErrorCode::out_of_memory);
  CHECK(nothing_is_left());
  CHECK(fake_cuda().pieces_left == 3);
  fake_cuda().pieces_left = 1000;
}
