#include <freestone/backing/os/dma_buf.hpp>

#include <doctest/doctest.h>

#include <cstring>

#include "support/dma_bufs.hpp"

using namespace freestone;
using namespace freestone::tests;
using backing::OwnedFd;

namespace {

// A memfd stands for the dma-buf: what this header does with one, it does with any file.
struct OfMemory : backing::DmaBuf {
  explicit OfMemory(DmaBuf buffer) noexcept : DmaBuf(std::move(buffer)) {}
  static Result<OfMemory> create(const BackingRequest& request) noexcept {
    if (auto right = check_size(request, "the node"); !right) return right.error();
    OwnedFd file(memfd_create("law", MFD_CLOEXEC));
    if (file.get() < 0 || ftruncate(file.get(), static_cast<off_t>(request.size.value())) != 0) {
      return backing::node_error("memfd", request.name, request.size);
    }
    const int fd = file.get();
    return of(request, std::move(file), fd);
  }
  static Result<OfMemory> of(const BackingRequest& request, OwnedFd file, int mapped) noexcept {
    auto made = map(request, std::move(file), mapped, "the node");
    if (!made) return made.error();
    return OfMemory(*std::move(made));
  }
};

}  // namespace

TEST_CASE("a mapped file and notes elsewhere keep the laws of a backing") {
  check_laws<OfMemory>();
  CHECK(laws::TheFileHoldsTheBytes::holds<OfMemory>());
  check_sizes<OfMemory>();
}

TEST_CASE("no notes are asked for, none are there") {
  BackingRequest request = frames;
  request.notes_words = 0;
  auto memory = OfMemory::create(request);
  REQUIRE(memory);
  CHECK(memory->notes().empty());
  CHECK(reinterpret_cast<std::uintptr_t>(*memory->cpu_pointer(0)) % (2U << 20) == 0);
}

TEST_CASE("more notes than the host has are an error, and nothing stays open") {
  BackingRequest request = frames;
  request.notes_words = SIZE_MAX;
  CHECK(error_of([&] { return OfMemory::create(request); }).code == ErrorCode::out_of_memory);
}

TEST_CASE("what cannot be mapped is an error that names the node") {
  const Error error = error_of([] { return OfMemory::of(frames, OwnedFd(-1), 9999); });
  CHECK(error.code == ErrorCode::node_failure);
  CHECK(error.os_error == EBADF);
  CHECK(error.node() == std::string("the node"));
  CHECK(error.asked == frames.size.value());
}

TEST_CASE("where memory is locked as it is mapped, the limit of locked memory is an error") {
  CHECK(holds_in_child([] {
    if (!become_nobody(65534) || !lock_what_is_mapped()) return false;
    const auto made = OfMemory::create(frames);
    return !made && made.error().code == ErrorCode::limit_reached && made.error().os_error == EAGAIN &&
           made.error().node() == std::string("locked memory");
  }));
}
