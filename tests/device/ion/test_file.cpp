// /dev/ion-test (shared/spec: ION 1.6; row 30).
#include <freestone/device/ion/test_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"carveout", 2, "carveout", "1M"});

// A buffer's bytes; some cannot be had.
struct BytesMemory {
  std::unique_ptr<std::vector<std::byte>> bytes;
  bool* is_broken;

  void sync(std::uint64_t) noexcept {}
  bool read(std::uint64_t offset, std::span<std::byte> to) const noexcept {
    std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return !*is_broken;
  }
  bool write(std::uint64_t offset, std::span<const std::byte> from) noexcept {
    std::copy(from.begin(), from.end(), bytes->begin() + static_cast<std::ptrdiff_t>(offset));
    return !*is_broken;
  }
};
struct BytesPlatform {
  using Memory = BytesMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    return Memory{std::make_unique<std::vector<std::byte>>(static_cast<std::size_t>(size.value())), &is_broken};
  }
  bool is_broken = false;
};
using Scene = SceneOver<BytesPlatform, scene_limits>;

constexpr std::size_t at = 0x100, bytes_at = 0x1000;  // of the struct, and of what is copied, in the caller's memory

struct Opened {
  // Descriptor 40 is a buffer of three pages, 41 one of a page.
  Opened() {
    for (const std::uint64_t pages : {3U, 1U}) {
      const Scene::Buffer made(*scene.heap("carveout").allocate(client, pages * 4096));
      auto again = std::make_shared<Scene::Buffer>(*scene.device.ref(made.buffer().id()));
      caller.files.push_back({again, {OpenFlags::read_write}, &Caller::kind_of<Scene::Buffer>});
    }
  }
  Answer set(std::int32_t fd) { return test.ioctl(caller, Command{0x49F0}, static_cast<std::uint64_t>(static_cast<std::int64_t>(fd))); }
  Answer copy(bool is_write, std::uint64_t offset, std::uint64_t length, std::uint32_t code = 0x402049F1, std::size_t from = bytes_at) {
    IonTestCopyWire::write({.address = Caller::start + from, .offset = offset, .length = length, .is_write = is_write},
                           caller.bytes().subspan(at), WordSize::bits64);
    return test.ioctl(caller, Command{code}, Caller::start + at);
  }
  std::vector<std::byte>& bytes(std::size_t file) {
    return *static_cast<Scene::Buffer*>(caller.files[file].file.get())->memory().bytes;
  }

  Scene scene{*read_toml(board)};
  ClientId client = *scene.device.open();
  Caller caller;
  IonTestFile<Scene::Shared, lock::Futex> test;
};

}  // namespace

TEST_CASE("both ways of copying, from any byte to any other, there and back") {
  for (const std::uint32_t code : {0x402049F1U, 0x402049F2U}) {
    Opened opened;
    CHECK(opened.set(40) == done);
    for (std::size_t i = 0; i < 1000; ++i) opened.caller.put(bytes_at + i, static_cast<char>(i * 7));
    CHECK(opened.copy(true, 4000, 1000, code) == done);
    for (std::size_t i = 0; i < 1000; ++i) REQUIRE(opened.bytes(0)[4000 + i] == static_cast<std::byte>(i * 7));
    CHECK(opened.bytes(0)[3999] == std::byte{0});
    CHECK(opened.bytes(0)[5000] == std::byte{0});
    CHECK(opened.copy(false, 4100, 100, code, 0x2000) == done);
    for (std::size_t i = 0; i < 100; ++i) REQUIRE(opened.caller.get<char>(0x2000 + i) == static_cast<char>((i + 100) * 7));
    CHECK(opened.caller.get<char>(0x2000 + 100) == 0);
  }
}

TEST_CASE("no buffer, one that is let go of, and what is none") {
  Opened opened;
  CHECK(opened.copy(true, 0, 16) == Errno::invalid);
  CHECK(opened.set(7) == Errno::invalid);
  CHECK(opened.set(90) == Errno::bad_file);
  CHECK(opened.set(-2) == Errno::bad_file);
  CHECK(opened.set(40) == done);
  CHECK(opened.set(90) == Errno::bad_file);
  CHECK(opened.copy(true, 4096, 16) == done);  // that changed nothing
  CHECK(opened.set(41) == done);
  CHECK(opened.copy(true, 4096, 16) == Errno::invalid);
  opened.caller.files.clear();  // it holds it
  CHECK(opened.scene.device.buffer_count() == 1);
  CHECK(opened.copy(true, 0, 4096) == done);
  CHECK(opened.set(-1) == done);
  CHECK(opened.scene.device.buffer_count() == 0);
  CHECK(opened.copy(true, 0, 16) == Errno::invalid);
}

TEST_CASE("A12: of a buffer that he can only read, or only write, it writes nothing: it has none") {
  Opened opened;
  for (const std::uint32_t access : {0U, 1U}) {
    opened.caller.files[0].flags = {access};
    CHECK(opened.set(40) == Errno::no_access);
    CHECK(opened.copy(true, 0, 16) == Errno::invalid);
  }
  CHECK(opened.set(41) == done);
  CHECK(opened.set(40) == Errno::no_access);
  CHECK(opened.copy(true, 0, 4096) == done);  // into the one that it had
  CHECK(opened.copy(true, 4096, 16) == Errno::invalid);
}

TEST_CASE("bounds that wrap, memory that faults, and commands that there are not") {
  Opened opened;
  CHECK(opened.set(41) == done);
  constexpr std::uint64_t most = ~std::uint64_t{0};
  CHECK(opened.copy(true, 0, 4096) == done);
  CHECK(opened.copy(true, 0, 0) == done);
  CHECK(opened.copy(true, 4096, 0) == done);
  for (const auto& [offset, length] : {std::pair<std::uint64_t, std::uint64_t>{0, 4097}, {1, 4096}, {4097, 0}, {most, 1}, {1, most}, {most, most}})
    CHECK(opened.copy(true, offset, length) == Errno::invalid);
  opened.caller.set_readable(bytes_at + 300);
  CHECK(opened.copy(true, 0, 301) == Errno::fault);
  CHECK(opened.copy(true, 0, 300) == done);
  opened.caller.set_writable(bytes_at + 300);
  CHECK(opened.copy(false, 0, 301) == Errno::fault);
  opened.scene.platform.is_broken = true;
  CHECK(opened.copy(true, 0, 1) == Errno::fault);
  for (const std::uint32_t code : {0x402049F0U, 0x402049F3U, 0x49F1U, 0xC02049F1U, 0x401849F1U})
    CHECK(opened.copy(true, 0, 1, code) == Errno::no_such_command);
  opened.caller.set_readable(at + 31);
  CHECK(opened.copy(true, 0, 1) == Errno::fault);
}
