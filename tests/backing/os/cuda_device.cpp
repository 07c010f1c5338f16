#include <freestone/backing/os/cuda_device.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>
#include "support/fake_cuda.hpp"

using namespace freestone;
using namespace freestone::literals;
using backing::CudaDevice;
using tests::fail_each_call;
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

constexpr CudaDevice::Settings bare{.gpu = tests::fake_gpu, .committed = false};

}  // namespace

TEST_CASE("a GPU's memory keeps the laws of a backing") {
  tests::keep_the_laws<OnFake, CudaDevice>();
}

TEST_CASE("blocks are aligned as the GPU counts") {
  auto zone = Frames::create({.name = "frames", .size = 64_MiB, .granule = 4_KiB},
                             CudaDevice::Settings{.gpu = tests::fake_gpu});
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
    CHECK(refused.error().code == ErrorCode::out_of_memory);
    CHECK(refused.error().os_error == -2);
    CHECK(refused.error().asked == 8 << 20);
    CHECK(refused.error().zone == std::string("frames"));
    CHECK(refused.error().node() == std::string(FREESTONE_FAKE_CUDA));
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
  const auto zone =
      Frames::create({.name = "frames", .size = 8_MiB, .granule = 4_KiB}, CudaDevice::Settings{.gpu = tests::fake_gpu});
  REQUIRE(!zone);
  CHECK(zone.error().code == ErrorCode::out_of_memory);
  CHECK(nothing_is_left());
  CHECK(fake_cuda().pieces_left == 3);
  fake_cuda().pieces_left = 1000;
}

TEST_CASE("addresses are aligned as the granule, where it is larger than a piece") {
  const auto made = CudaDevice::create({.name = "frames", .size = 64_MiB, .granule = 16_MiB}, bare);
  REQUIRE(made);
  CHECK(made->piece() == 2_MiB);
  CHECK(made->base().value() % (16U << 20) == 0);
}

TEST_CASE("the memory is that of the GPU which was asked for") {
  {
    const auto made = CudaDevice::create({.name = "second", .size = 4_MiB, .granule = 4_KiB},
                                         {.gpu = {.device = 1, .library = FREESTONE_FAKE_CUDA}});
    CHECK(made);
  }
  CHECK(nothing_is_left());  // the stand-in refuses another's
}

TEST_CASE("whatever call fails as it is made, the error names zone and library, and nothing is left") {
  const BackingRequest request{.name = "frames", .size = 5_MiB, .granule = 4_KiB, .notes_words = 10};
  const int calls = fail_each_call(
      "frames", [&] { return CudaDevice::create(request, {.gpu = tests::fake_gpu}); },
      [] { CHECK(nothing_is_left()); });
  CHECK(calls == 6 + 3 * 4);
  CHECK(nothing_is_left());
}

TEST_CASE("whatever call of a commit fails, what it gave counts, and the next one goes on") {
  {
    auto zone = Frames::create({.name = "frames", .size = 8_MiB, .granule = 1_MiB}, bare);
    REQUIRE(zone);
    const auto block = zone->allocate(8_MiB);
    REQUIRE(block);
    int failed = 0;
    const int calls = fail_each_call(
        "frames", [&] { return zone->commit(*block); },
        [&] {
          CHECK(fake_cuda().pieces == failed++ / 4);
          CHECK(fake_cuda().handles == 0);
          REQUIRE(zone->decommit(*block));
          CHECK(fake_cuda().pieces == 0);
        });
    CHECK(calls == 4 * 4);
    CHECK(fake_cuda().pieces == 4);
    REQUIRE(zone->decommit(*block));
    fake_cuda().pieces_left = 3;
    CHECK(!zone->commit(*block));
    CHECK(fake_cuda().pieces == 3);
    fake_cuda().pieces_left = 1;
    CHECK(zone->commit(*block));
    CHECK(fake_cuda().pieces == 4);
  }
  CHECK(nothing_is_left());
  fake_cuda().pieces_left = 1000;
}

TEST_CASE("what does not lie in it is neither given memory nor taken it") {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  {
    auto made = CudaDevice::create({.name = "frames", .size = 5_MiB, .granule = 4_KiB}, bare);
    REQUIRE(made);
    const Error beyond{.code = ErrorCode::size_beyond_zone, .asked = 1 << 20, .available = 5 << 20};
    for (const Bytes offset : {4_MiB + 1, 5_MiB, 1_GiB, Bytes(most)}) {
      CHECK(made->commit(offset, 1_MiB).error() == beyond);
      CHECK(made->decommit(offset, 1_MiB).error() == beyond);
    }
    CHECK(made->commit(4096, most).error().code == ErrorCode::size_beyond_zone);
    CHECK(made->decommit(4096, most).error().code == ErrorCode::size_beyond_zone);
    CHECK(fake_cuda().pieces == 0);
    CHECK(made->commit(4_MiB, 1_MiB));  // the end of it, and all of its piece
    CHECK(fake_cuda().pieces == 1);
    CHECK(made->decommit(0, 5_MiB));
  }
  CHECK(nothing_is_left());
}

TEST_CASE("more than there are addresses is out of memory") {
  for (const std::uint64_t below : {1U, 4095U, 4096U, (2U << 20) - 1, 2U << 20}) {
    const std::uint64_t size = std::numeric_limits<std::uint64_t>::max() - below + 1;
    const auto made = CudaDevice::create({.name = "frames", .size = size, .granule = 1}, bare);
    REQUIRE(!made);
    CHECK(made.error().code == ErrorCode::out_of_memory);
    CHECK(made.error().asked == size);
    CHECK(made.error().zone == std::string("frames"));
    CHECK(nothing_is_left());
  }
}

TEST_CASE("two threads commit blocks of their own that meet in a piece") {
  using Shared = Zone<CudaDevice, strategy::Bitmap, lock::Mutex, cache::Coherent>;
  fake_cuda().is_slow = true;
  {
    auto zone = Shared::create({.name = "frames", .size = 128_MiB, .granule = 1_MiB}, bare);
    REQUIRE(zone);
    for (int round = 0; round < 50; ++round) {
      const auto left = zone->allocate(1_MiB);
      const auto right = zone->allocate({.size = 2_MiB});
      REQUIRE(left);
      REQUIRE(right);
      bool left_has = false;
      std::thread other([&] { left_has = static_cast<bool>(zone->commit(*left)); });
      const bool right_has = static_cast<bool>(zone->commit(*right));
      other.join();
      CHECK(left_has);
      CHECK(right_has);
      std::thread again([&] { left_has = static_cast<bool>(zone->decommit(*left)); });
      CHECK(zone->decommit(*right));
      again.join();
      CHECK(left_has);
      if (round % 2 == 0) REQUIRE(zone->deallocate(*left));
    }
  }
  CHECK(nothing_is_left());
  fake_cuda().is_slow = false;
}
