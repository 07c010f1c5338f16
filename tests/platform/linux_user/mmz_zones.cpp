// Zones that are written to /proc/media-mem while the server runs (shared/spec: MMZ 2.5), and the heaps that they are.
#include "../../../examples/interposer/growing_heaps.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/mmz/calls.hpp>

#include "support/server_client.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using freestone::MmzGeneration;
using freestone::device::MmzCommand;

namespace {

namespace device = freestone::device;

constexpr MmzGeneration g2 = MmzGeneration::g2;
constexpr const char *node = "/dev/mmz_userdev", *report = "/proc/media-mem";
// A zone, and an ION heap beside: the zone's id is 63.
constexpr std::string_view board = R"(
[[mmz]]
line = "mmz=anonymous,0,0x84000000,64K"
[[heap]]
name = "camera"
id = 62
type = "carveout"
size = "64K"
base = 0x6000_0000
[[node]]
system = "mmz-g2"
[[node]]
system = "ion-g4"
)";

struct User {
  explicit User(const std::string& name) : client(name) {}

  std::int64_t write(std::string_view zones) {
    const auto file = client.open(report, O_WRONLY | O_CLOEXEC);
    return file.result < 0 ? file.result : client.ask(ServerClient::with_path(Ask::write, zones), file.fd.get()).result;
  }
  std::string text() {
    const auto file = client.open(report, O_RDONLY | O_CLOEXEC);
    std::string all(8192, '\0');
    const ssize_t length = ::pread(file.fd.get(), all.data(), all.size(), 0);
    return length < 0 ? "none" : (all.resize(static_cast<std::size_t>(length)), all);
  }
  // Where the block lies, or -errno.
  std::int64_t allocate(int fd, std::string_view zone, std::uint64_t size = 4096) {
    using Wire = device::MmbInfoWire<g2>;
    constexpr auto word = device::WordSize::bits64;
    device::MmbInfo<g2> info{.size = size};
    zone.copy(info.zone.data(), info.zone.size() - 1);
    std::array<std::byte, 256> bytes{};
    Wire::write(info, std::span(bytes).first(Wire::length(word)), word);
    const auto answer = client.ioctl(fd, device::mmz_command<g2>(MmzCommand::allocate, word).code, bytes.data()).result;
    return answer < 0 ? answer : static_cast<std::int64_t>(Wire::read(std::span(bytes).first(Wire::length(word)), word).physical);
  }

  ServerClient client;
};

}  // namespace

TEST_CASE("zones are added to a running board: newest first, for those too who have the node open; others' heaps stay theirs") {
  const RunningServer host(unused_name(), board);
  User user(host.name);
  CHECK(host.board->tree().status(report).mode == (S_IFREG | 0644));
  const auto file = user.client.open(node);
  REQUIRE(file.fd.get() >= 0);
  CHECK(user.allocate(file.fd.get(), "") == 0x84000000);
  CHECK(user.allocate(file.fd.get(), "jpeg") == -12);
  CHECK(user.write("jpeg,0,0x88000000,64K:anonymous,0,0x90000000,8K\n") == 48);
  CHECK(user.allocate(file.fd.get(), "jpeg") == 0x88000000);
  CHECK(user.allocate(file.fd.get(), "jpeg") == 0x88001000);
  CHECK(user.allocate(file.fd.get(), "") == 0x90000000);
  CHECK(user.allocate(file.fd.get(), "") == 0x90001000);
  CHECK(user.allocate(file.fd.get(), "") == 0x84001000);
  CHECK(user.allocate(file.fd.get(), "camera") == -12);
  const std::string text = user.text();
  CHECK(text.starts_with("+---ZONE: PHYS(0x90000000, 0x90001FFF), GFP=0, nBYTES=8KB,    NAME=\"anonymous\"\n   |-MMB: phys(0x90000000, 0x90000FFF)"));
  const std::size_t jpeg = text.find("NAME=\"jpeg\"");
  CHECK(jpeg < text.find("PHYS(0x84000000"));
  CHECK(text.find("zone_number=3,block_number=6") != std::string::npos);
  const auto later = user.client.open(node);
  CHECK(user.allocate(later.fd.get(), "jpeg") == 0x88002000);
  const auto ion = user.client.open("/dev/ion");
  CHECK(user.client.allocate(ion.fd.get(), 4096, 1U << 30).result == -ENODEV);
}

TEST_CASE("what is written there: 256 bytes are EIO; else it is taken, though each zone is refused; who may only read may not") {
  const RunningServer host(unused_name(), board);
  User user(host.name);
  const std::string before = user.text();
  CHECK(user.write(std::string(256, 'x')) == -5);
  CHECK(user.write(std::string(255, 'x')) == 255);
  CHECK(user.write("") == 0);
  CHECK(user.write("a,0,0x84001000,4K") == 17);
  CHECK(user.write("a,0,0x90000000,0:b,1") == 20);
  CHECK(user.write("a,0,0x5ffff000,8K:a,0,0x6000f000,4K") == 35);  // ION's heap
  CHECK(user.text() == before);
  CHECK(user.write("a,0,0x90000000,4K:a,0,0x90000800,4K:b,0,0x90001000,4K") == 53);
  CHECK(user.write("c,0,0x90001800,4K") == 17);  // into b
  const std::string after = user.text();
  CHECK(after.find("zone_number=3,") != std::string::npos);
  CHECK(after.find("PHYS(0x90001000, 0x90001FFF)") < after.find("PHYS(0x90000000, 0x90000FFF)"));

  std::string g4(board);
  g4.replace(g4.find("mmz-g2"), 6, "mmz-g4");
  g4.replace(g4.find("64K\""), 4, "64K mmz_allocator=hisi\"");
  const RunningServer other(unused_name(), g4);
  User reader(other.name);
  CHECK(other.board->tree().status(report).mode == (S_IFREG | 0444));
  CHECK(reader.write("a,0,0x90000000,4K") < 0);
  CHECK(reader.text().find("zone_number=1,") != std::string::npos);
}

TEST_CASE("as many as there are ids, while others allocate: none moves, and each block goes back to its own") {
  const RunningServer host(unused_name(), board);
  std::atomic<bool> is_over = false;
  std::atomic<std::uint64_t> wrong = 0, made = 0;
  std::vector<std::thread> users;
  for (int each = 0; each < 2; ++each) {
    users.emplace_back([&] {
      User user(host.name);
      for (std::uint64_t turn = 0; !is_over || made < 20; ++turn) {
        const auto file = user.client.open(node);
        const std::int64_t at = user.allocate(file.fd.get(), "z");
        const std::int64_t own = user.allocate(file.fd.get(), "camera2");
        wrong += (at < 0 && at != -12) || own != -12;
        made += at > 0;
        wrong += user.text().find("zone_number=") == std::string::npos;
      }
    });
  }
  User writer(host.name);
  for (std::uint64_t zone = 0; zone < 70; ++zone) {
    const std::string text = "z,0," + std::to_string(0x90000000 + zone * 0x10000) + ",4K";
    wrong += writer.write(text) != static_cast<std::int64_t>(text.size());
  }
  is_over = true;
  for (std::thread& user : users) user.join();
  CHECK(wrong == 0);
  CHECK(writer.text().find("zone_number=63,") != std::string::npos);  // ION's heap has the other id
  const auto file = writer.client.open(node);
  for (std::uint64_t zone = 62; zone-- != 0;) {
    CHECK(writer.allocate(file.fd.get(), "z") == static_cast<std::int64_t>(0x90000000 + zone * 0x10000));
  }
  CHECK(writer.allocate(file.fd.get(), "z") == -12);
}
