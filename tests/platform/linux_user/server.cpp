// What programs may do to a device server, also those that mean harm: nobody else notices, and nothing of theirs stays.
#include <freestone/platform/linux_user/server.hpp>

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/platform/linux_user/device_files.hpp>

#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/random.hpp"
#include "support/server_client.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using freestone::Connection;
using freestone::ErrorCode;
using freestone::Waiting;
using freestone::backing::OwnedFd;

namespace {

constexpr const char* ion = "/dev/ion";
constexpr std::size_t page = 4096;
constexpr char buffer_name[32] = "a name";  // all of it is read

// A server, and somebody who is served well however others behave.
struct Scene {
  RunningServer host;
  ServerClient witness{host.name};

  Scene() {
    REQUIRE(witness.hello().result > 0);
    CHECK(witness.open("").result == -ENOENT);  // by now what hello needed is closed in the server too
  }
  std::size_t files() { return host.server->files().count(); }
  long long buffers(const char* heap = "system") { return witness.number(std::string(heap) + "/num_of_buffers"); }
  // The witness is served, and all that the others had is gone.
  void check_all_well() {
    CHECK(witness.hello().result > 0);
    CHECK(soon([&] { return files() == 0 && host.server->connection_count() == 1; }));
    CHECK(buffers() == 0);
    CHECK(buffers("carveout") == 0);
    CHECK(witness.number("system/num_of_alloc_bytes") == 0);
    const auto node = witness.open(ion);
    const auto all = witness.allocate(node.fd.get(), 1 << 20, 2);  // the whole carveout
    CHECK(all.result == 0);
    CHECK(buffers("carveout") == 1);
  }
};

std::byte* mapped(int fd, std::size_t length, int protection = PROT_READ | PROT_WRITE) {
  void* const at = ::mmap(nullptr, length, protection, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

// One of each request, so far as it needs no descriptor; of those that do, what they need beside it.
const std::vector<Request>& all_requests() {
  static const IonAllocation wanted{.length = page, .mask = 1};
  static const std::vector<Request> all = {
      {.ask = Ask::hello, .number = protocol_version},
      ServerClient::with_path(Ask::look_up, ion),
      ServerClient::with_path(Ask::list, "/dev"),
      ServerClient::with_path(Ask::open, ion, O_RDWR),
      {.ask = Ask::ioctl, .number = ion_alloc, .address = reinterpret_cast<std::uintptr_t>(&wanted)},
      {.ask = Ask::ioctl, .number = dma_buf_sync, .address = reinterpret_cast<std::uintptr_t>(&wanted)},
      {.ask = Ask::who},
      {.ask = Ask::map, .number = PROT_READ, .length = page},
      {.ask = Ask::refresh},
      {.ask = Ask::write, .payload_length = 1},
      {.ask = Ask::leaving},
      ServerClient::with_path(Ask::access, ion, R_OK),
  };
  return all;
}

}  // namespace

TEST_CASE("hello: the paths; and no other version of the protocol") {
  Scene scene;
  const auto said = scene.witness.hello();
  REQUIRE(said.result > 0);
  std::string text(static_cast<std::size_t>(said.result), '\0');
  CHECK(::pread(said.fd.get(), text.data(), text.size(), 0) == said.result);
  for (const char* path : {"/dev/ion\n", "/dev/dma_heap/\n", "/dev/dma_heap/carveout\n", "/sys/kernel/debug/ion/\n"}) {
    CHECK(text.find(path) != std::string::npos);
  }
  for (const std::uint64_t version : {std::uint64_t{0}, std::uint64_t{protocol_version + 1}, ~std::uint64_t{0}}) {
    const auto refused = scene.witness.hello(version);
    CHECK(refused.result == -EINVAL);
    CHECK(refused.fd.get() < 0);
  }
}

TEST_CASE("paths: open, look up, list") {
  Scene scene;
  ServerClient& client = scene.witness;
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_CREAT | O_TRUNC}) {
    const auto node = client.open(ion, flags);
    REQUIRE(node.result == 0);
    CHECK((::fcntl(node.fd.get(), F_GETFL) & O_ACCMODE) == (flags & O_ACCMODE));
    CHECK((node.reply.fd_flags & O_CLOEXEC) == static_cast<unsigned>(flags & O_CLOEXEC));
    CHECK(client.who(node.fd.get()).payload<FileStatus>().kind == FileKind::device);
  }
  CHECK(client.open("/dev/dma_heap").result == -EISDIR);
  const std::string long_path(most_payload, 'x');
  using std::string_view_literals::operator""sv;
  CHECK(client.open("/").result == -EISDIR);
  CHECK(client.ask(ServerClient::with_path(Ask::list, "/")).result == 10);  // dev/, sys/
  for (const auto path : {""sv, "//"sv, "/dev/none"sv, "/dev/ion\0"sv, "/dev/ion\0/etc/passwd"sv, std::string_view(long_path)}) {
    CHECK(client.open(path).result == -ENOENT);
    CHECK(client.ask(ServerClient::with_path(Ask::look_up, path)).result == -ENOENT);
    CHECK(client.ask(ServerClient::with_path(Ask::list, path)).result == -ENOENT);
  }
  CHECK(client.ask(ServerClient::with_path(Ask::look_up, ion)).payload<FileStatus>().mode == (S_IFCHR | 0666));
  CHECK(client.ask(ServerClient::with_path(Ask::list, "/dev/dma_heap")).result == 16);  // carveout, system
  CHECK(soon([&] { return scene.files() == 0; }));
}

TEST_CASE("records that are none end the connection of who sent them, and no other") {
  Scene scene;
  Random random(seed());
  std::vector<std::byte> bytes(4 * sizeof(Request));
  for (std::byte& one : bytes) one = static_cast<std::byte>(random.next());
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, sizeof(Request) - 1, sizeof(Request) + 1, bytes.size()}) {
    CAPTURE(length);
    ServerClient client(scene.host.name);
    CHECK(client.send_bytes(std::span(bytes).first(length)));
    // Of a longer one the server cannot tell what was cut.
    const auto got = client.receive();
    const bool is_refused = got.has_ended || (length > sizeof(Request) && got.result == -ENFILE);
    CHECK(is_refused);
  }
  for (const std::uint32_t length : {std::uint32_t{most_payload + 1}, 0x7fffffffU, 0xffffffffU}) {
    for (const Request& request : all_requests()) {
      ServerClient client(scene.host.name);
      Request wrong = request;
      wrong.payload_length = length;
      CHECK(client.ask(wrong).has_ended);
    }
  }
  for (const std::uint32_t what : {9U, 99U, 0x80000000U, 0xffffffffU}) {  // 9: copied, when nobody asked
    ServerClient client(scene.host.name);
    Request wrong{.number = protocol_version};
    wrong.ask = static_cast<Ask>(what);
    CHECK(client.ask(wrong).has_ended);
  }
  scene.check_all_well();
}

TEST_CASE("any bits in a record: it is answered, or its sender's connection ends") {
  Scene scene;
  Random random(seed());
  const auto node = scene.witness.open(ion);
  const auto buffer = scene.witness.allocate(node.fd.get(), page);
  REQUIRE(buffer.result == 0);
  const std::array<int, 3> fds = {-1, node.fd.get(), buffer.fd.get()};
  for (int turn = 0; turn < 500; ++turn) {
    ServerClient client(scene.host.name);
    Request request;
    std::array<std::byte, sizeof request> bytes;
    for (std::byte& one : bytes) one = static_cast<std::byte>(random.next());
    std::memcpy(&request, bytes.data(), bytes.size());
    request.ask = static_cast<Ask>(random.below(14));
    request.payload_length = static_cast<std::uint32_t>(random.below(most_payload + 2));
    if (random.chance(50)) request.number = random.chance(50) ? ion_alloc : dma_buf_sync;
    CHECK(client.send(request, fds[static_cast<std::size_t>(random.below(3))]));
    // Its memory is refused at each step.
    for (Answered got = client.receive(); !got.has_ended && got.reply.step != Step::finish; got = client.receive()) {
      Request refused{.ask = Ask::copied, .number = EFAULT};
      CHECK(client.send(refused));
    }
  }
  CHECK(scene.witness.who(buffer.fd.get()).result == 0);
}

TEST_CASE("more descriptors than one are refused, and closed") {
  Scene scene;
  const std::size_t before = open_fds();
  const auto node = scene.witness.open(ion);
  const std::array<int, 3> fds = {node.fd.get(), node.fd.get(), node.fd.get()};
  ServerClient client(scene.host.name);
  const Request request{.ask = Ask::who};
  CHECK(client.send_bytes(std::as_bytes(std::span(&request, 1)), fds));
  CHECK(client.receive().result == -ENFILE);
  client.disconnect();
  CHECK(soon([&] { return open_fds() == before + 2; }));  // the node: ours and the server's
}

TEST_CASE("a descriptor that is not the server's, with each request") {
  Scene scene;
  const std::size_t before = open_fds();
  {
    ServerClient client(scene.host.name);
    auto kinds = kinds_of_files("dmabuf", 2 * page);
    kinds.push_back({"its own socket", OwnedFd(::dup(client.socket()))});
    kinds.push_back({"somebody else's socket", OwnedFd(::dup(scene.witness.socket()))});
    for (const KindOfFile& other : kinds) {
      CAPTURE(other.kind);
      for (const Request& request : all_requests()) {
        const bool is_of_file = request.ask >= Ask::ioctl && request.ask < Ask::copied;
        const auto got = client.ask(request, other.fd.get());
        CHECK(!got.has_ended);
        CHECK((got.result == -EBADF) == is_of_file);
      }
    }
    for (const Request& request : all_requests()) {  // and none at all
      CHECK((client.ask(request).result == -EBADF) == (request.ask >= Ask::ioctl && request.ask < Ask::copied));
    }
  }
  CHECK(soon([&] { return open_fds() == before; }));
  scene.check_all_well();
}

TEST_CASE("each request with each kind of the server's own files") {
  Scene scene;
  ServerClient client(scene.host.name);
  const auto node = client.open(ion);
  const auto buffer = client.allocate(node.fd.get(), page);
  const auto report = client.open(reports + std::string("system/num_of_buffers"), O_RDONLY);
  const std::uint64_t flags = 3;
  const auto result = [&](const Answered& file, Request request) {
    request.payload_length = 1;
    return client.ask(request, file.fd.get()).result;
  };
  CHECK(client.ioctl(buffer.fd.get(), dma_buf_sync, &flags).result == 0);
  CHECK(client.ioctl(node.fd.get(), dma_buf_sync, &flags).result == -ENOTTY);
  CHECK(client.ioctl(report.fd.get(), dma_buf_sync, &flags).result == -ENOTTY);
  CHECK(result(buffer, {.ask = Ask::map}) == -ENODEV);
  CHECK(result(node, {.ask = Ask::map}) == -ENODEV);
  CHECK(result(buffer, {.ask = Ask::refresh}) == -EINVAL);
  CHECK(result(report, {.ask = Ask::refresh}) == 0);
  for (const Answered* file : {&node, &buffer, &report}) CHECK(result(*file, {.ask = Ask::write}) == -EINVAL);
  CHECK(client.who(buffer.fd.get()).payload<FileStatus>().size == page);
  CHECK(client.who(report.fd.get()).payload<FileStatus>().mode == (S_IFREG | 0444));
  std::array<char, 8> text{};
  CHECK(::pread(report.fd.get(), text.data(), text.size(), 0) == 2);
  CHECK(std::string_view(text.data()) == "1\n");
}

TEST_CASE("a file that ended is nobody's, though its memory lives on") {
  Scene scene;
  auto node = scene.witness.open(ion);
  auto buffer = scene.witness.allocate(node.fd.get(), page);
  const OwnedFd name(::open(path_of(buffer.fd.get()).c_str(), O_PATH | O_CLOEXEC));
  buffer.fd = OwnedFd(-1);
  CHECK(scene.buffers() == 0);
  const OwnedFd again(::open(path_of(name.get()).c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(again.get() >= 0);
  CHECK(scene.witness.who(again.get()).result == -EBADF);
  node.fd = OwnedFd(-1);
  scene.check_all_well();
}

TEST_CASE("who is silent in the middle of a step, or asks something else there, disturbs nobody") {
  Scene scene;
  const IonAllocation wanted{.length = page, .mask = 1};
  const Request alloc{.ask = Ask::ioctl, .number = ion_alloc, .address = reinterpret_cast<std::uintptr_t>(&wanted)};
  std::vector<ServerClient> silent;
  for (int i = 0; i < 20; ++i) {
    ServerClient& client = silent.emplace_back(scene.host.name);
    const auto node = client.open(ion);
    CHECK(client.send(alloc, node.fd.get()));
    CHECK(client.receive().reply.step == Step::copy_in);
  }
  const auto node = scene.witness.open(ion);
  CHECK(scene.witness.allocate(node.fd.get(), page).result == 0);
  CHECK(scene.buffers() == 0);
  for (std::size_t i = 0; i < silent.size(); ++i) {
    CHECK(silent[i].is_mute_for(0));
    Request other{.ask = Ask::copied};
    switch (i % 5) {
      case 0: other.ask = Ask::hello, other.number = protocol_version; break;
      case 1: other.payload_length = sizeof wanted - 1; break;  // too short: as if it could not be read
      case 2: other.payload_length = sizeof wanted + 1; break;
      case 3: other.payload_length = most_payload + 1; break;
      default: other.number = EFAULT; break;
    }
    CHECK(silent[i].send(other));
    const auto got = silent[i].receive();
    CHECK(got.has_ended == (i % 5 == 0 || i % 5 == 3));
    if (!got.has_ended) CHECK(got.result == -EFAULT);
  }
  silent.clear();
  CHECK(soon([&] { return scene.files() == 1; }));
}

TEST_CASE("a stop ends those that are in the middle of something") {
  RunningServer host;
  ServerClient idle(host.name), silent(host.name);
  const auto node = silent.open(ion);
  CHECK(silent.send({.ask = Ask::ioctl, .number = ion_alloc}, node.fd.get()));
  CHECK(silent.receive().reply.step == Step::copy_in);
  host.stop();
  CHECK(silent.receive().has_ended);
  CHECK(idle.hello().has_ended);
}

TEST_CASE("disconnected at every point of an ALLOC, nothing stays allocated") {
  Scene scene;
  const IonAllocation wanted{.length = page, .mask = 1};
  const Request alloc{.ask = Ask::ioctl, .number = ion_alloc, .address = reinterpret_cast<std::uintptr_t>(&wanted)};
  for (int turn = 0; turn < 100; ++turn) {
    ServerClient client(scene.host.name);
    auto node = client.open(ion);
    CHECK(client.send(alloc, node.fd.get()));
    if (turn % 2 == 0) node.fd = OwnedFd(-1);  // while it is asked
    if (turn % 4 == 0) continue;               // before the step
    const auto step = client.receive();
    REQUIRE(step.reply.step == Step::copy_in);
    if (turn % 4 == 1) continue;
    CHECK(client.send(client.copied(step.reply)));
    if (turn % 4 == 2) continue;  // before the answer
    const auto answer = client.receive();
    CHECK(answer.result == 0);
    CHECK(answer.fd.get() >= 0);  // and here it is not mapped, and closed
  }
  scene.check_all_well();
}

TEST_CASE("who reads no answers waits, and nobody else does") {
  Scene scene;
  {
    ServerClient client(scene.host.name);
    const auto node = client.open(ion);
    const IonAllocation wanted{.length = page, .mask = 1};
    Request alloc{.ask = Ask::ioctl, .number = ion_alloc, .payload_length = sizeof wanted};
    std::memcpy(alloc.payload.data(), &wanted, sizeof wanted);
    const int fd = node.fd.get();
    int asked = 0;
    while (asked < 100'000) {
      pollfd room{client.socket(), POLLOUT, 0};
      if (::poll(&room, 1, 200) == 0) break;
      if (!client.send_bytes(std::as_bytes(std::span(&alloc, 1)), std::span(&fd, 1), MSG_DONTWAIT)) {
        if (errno != EAGAIN) break;
      } else {
        ++asked;
      }
    }
    CHECK(asked < 100'000);
    CHECK(asked > 10);
    CHECK(soon([&] { return scene.buffers() > 10; }));
    const auto own = scene.witness.open(ion);
    CHECK(scene.witness.allocate(own.fd.get(), page).result == 0);
    CHECK(scene.witness.allocate(own.fd.get(), 1 << 20, 2).result == 0);
    CHECK(scene.witness.allocate(own.fd.get(), 1 << 21, 2).result == -ENOMEM);  // though it waits for what is being given
  }
  scene.check_all_well();
}

TEST_CASE("a struct that faults on its way back is the caller's matter; what he closes is gone") {
  Scene scene;
  const auto node = scene.witness.open("/dev/dma_heap/system");
  const DmaHeapAllocation wanted{.length = 3 * page - 1};
  {
    const auto buffer = scene.witness.ioctl(node.fd.get(), dma_heap_alloc, &wanted);
    REQUIRE(buffer.result == 0);
    CHECK(buffer.reply.fd_offset == offsetof(DmaHeapAllocation, fd));
    CHECK(buffer.reply.fd_length == 4);
    CHECK(buffer.reply.payload_length == sizeof wanted);
    CHECK(scene.buffers() == 1);
    CHECK(::lseek(buffer.fd.get(), 0, SEEK_END) == static_cast<off_t>(3 * page));
  }
  CHECK(scene.buffers() == 0);
}

TEST_CASE("who leaves is answered once it is noted what it has open") {
  Scene scene;
  const auto node = scene.witness.open(ion);
  {
    const auto buffer = scene.witness.allocate(node.fd.get(), 3 * page);
    CHECK(scene.witness.ask({.ask = Ask::leaving}).result == 0);
  }
  const auto left = scene.host.server->files().left_by_process();
  REQUIRE(left.size() == 1);
  CHECK(left[0].process == static_cast<std::uint64_t>(::getpid()));
  CHECK(left[0].buffers == 1);
  CHECK(left[0].bytes == 3 * page);
  CHECK(left[0].others == 1);
  CHECK(scene.buffers() == 0);
}

TEST_CASE("A9: a buffer lives exactly until its last mapping goes, in whatever order") {
  // Bits: which of these come first. The descriptor closed; the middle unmapped; the mapping moved; a child ended.
  Scene scene;
  auto node = scene.witness.open(ion);
  std::array<int, 4> order = {0, 1, 2, 3};
  do {
    auto buffer = scene.witness.allocate(node.fd.get(), 4 * page);
    std::byte* bytes = mapped(buffer.fd.get(), 4 * page);
    REQUIRE(bytes != nullptr);
    std::array<int, 2> go;
    REQUIRE(::pipe(go.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      char byte = 0;
      ::close(go[1]);
      ::_exit(static_cast<int>(::read(go[0], &byte, 1)));
    }
    ::close(go[0]);
    bool is_split = false;
    std::byte* first = bytes;
    for (const int what : order) {
      CHECK(scene.buffers() == 1);
      if (what == 0) buffer.fd = OwnedFd(-1);
      if (what == 1) is_split = true, ::munmap(bytes + page, 2 * page);
      if (what == 2) {
        void* const place = ::mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void* const moved = ::mremap(first, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
        REQUIRE(moved != MAP_FAILED);
        first = static_cast<std::byte*>(moved);
      }
      if (what == 3) ::close(go[1]), ::waitpid(child, nullptr, 0);
    }
    CHECK(is_split);
    CHECK(scene.buffers() == 1);
    *first = std::byte{1};
    ::munmap(first, page);
    CHECK(scene.buffers() == 1);
    ::munmap(bytes + 3 * page, page);
    CHECK(scene.buffers() == 0);
    CHECK(scene.witness.number("system/num_of_alloc_bytes") == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("A12: a buffer that was given to be read is never written, however it is opened again") {
  Scene scene;
  const auto node = scene.witness.open("/dev/dma_heap/system");
  const DmaHeapAllocation wanted{.length = page, .fd_flags = O_RDONLY};
  const auto buffer = scene.witness.ioctl(node.fd.get(), dma_heap_alloc, &wanted);
  REQUIRE(buffer.result == 0);
  const auto* const bytes = mapped(buffer.fd.get(), page, PROT_READ);
  REQUIRE(bytes != nullptr);
  CHECK(mapped(buffer.fd.get(), page) == nullptr);
  const OwnedFd again(::open(path_of(buffer.fd.get()).c_str(), O_RDWR | O_CLOEXEC));
  CHECK(mapped(again.get(), page) == nullptr);
  CHECK(::pwrite(again.get(), "x", 1, 0) < 0);
  CHECK(::fallocate(again.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page) < 0);
  CHECK(bytes[0] == std::byte{0});
  const auto writable = scene.witness.open("/dev/dma_heap/system");
  const DmaHeapAllocation to_write{.length = page};
  const auto other = scene.witness.ioctl(writable.fd.get(), dma_heap_alloc, &to_write);
  CHECK(mapped(other.fd.get(), page) != nullptr);
}

TEST_CASE("A1, A16: a buffer that is closed, sent, mapped and synchronised by several processes at once") {
  const std::string name = unused_name();
  const auto steps = std::max<std::uint64_t>(environment("FREESTONE_TEST_STEPS", 2'000'000) / 2'000, 50);
  std::array<int, 2> ends;
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  std::array<pid_t, 2> children;
  std::fflush(nullptr);
  for (unsigned which = 0; which < 2; ++which) {
    children[which] = ::fork();
    if (children[which] != 0) continue;
    ::close(ends[1 - which]);
    const auto link = *Connection::of(OwnedFd(ends[which]));
    Random random(seed() + which);
    const bool is_served = soon([&] { return ServerClient::connected(name).get() >= 0; });
    ServerClient client(name);
    bool well = is_served && client.is_connected();
    struct Note {
      std::uint64_t number = 0;
    };
    for (std::uint64_t i = 0; well && i < steps; ++i) {
      auto node = client.open(ion);
      auto mine = client.allocate(node.fd.get(), page);
      well = mine.result == 0;
      // The other may have the descriptor, or it ends on its way, or here; whichever is the last.
      if (!link.send(Note{i}, mine.fd, Waiting::no) && errno != EAGAIN) break;
      if (random.chance(50)) node.fd = OwnedFd(-1);
      if (random.chance(50)) mine.fd = OwnedFd(-1);
      auto came = link.receive<Note, 1>(0, Waiting::no);
      const int other = came && came->fds.size() == 1 ? came->fds[0] : mine.fd.get();
      if (other < 0) continue;
      const std::uint64_t flags = random.chance(50) ? 3 : 7;
      well = well && client.who(other).result == 0;
      std::byte* const bytes = mapped(other, page);
      well = well && bytes != nullptr;
      if (bytes != nullptr) bytes[random.below(page)] = std::byte{1};
      if (random.chance(50)) well = well && client.ioctl(other, dma_buf_sync, &flags).result == 0;
      if (random.chance(50)) well = well && client.ioctl(other, dma_buf_set_name, buffer_name).result == 0;
      if (bytes != nullptr) ::munmap(bytes, page);
    }
    ::_exit(well ? 0 : 1);
  }
  for (const int end : ends) ::close(end);
  {
    RunningServer host(name);
    for (const pid_t child : children) {
      int status = -1;
      CHECK(::waitpid(child, &status, 0) == child);
      CHECK(status == 0);
    }
    ServerClient after(host.name);
    CHECK(soon([&] { return host.server->files().count() == 0; }));
    CHECK(after.number("system/num_of_buffers") == 0);
    CHECK(after.number("system/num_of_alloc_bytes") == 0);
  }
}

TEST_CASE("the same by threads of one program, each with its own connection") {
  Scene scene;
  const std::size_t before = open_fds();
  const auto steps = std::max<std::uint64_t>(environment("FREESTONE_TEST_STEPS", 2'000'000) / 5'000, 50);
  std::array<std::atomic<int>, 4> shared = {-1, -1, -1, -1};
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      ServerClient client(scene.host.name);
      Random random(seed() + number);
      const auto node = client.open(ion);
      for (std::uint64_t i = 0; i < steps; ++i) {
        auto made = client.allocate(node.fd.get(), page * random.from_to(1, 4));
        if (made.result != 0) ++wrong;
        // A duplicate changes places with another thread's, which may use it at this moment, and is closed.
        const OwnedFd old(shared[static_cast<std::size_t>(random.below(4))].exchange(::dup(made.fd.get())));
        const std::uint64_t flags = 3;
        if (old.get() >= 0 && client.ioctl(old.get(), dma_buf_sync, &flags).result != 0) ++wrong;
        if (random.chance(20) && client.number("system/num_of_buffers") < 0) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::atomic<int>& one : shared) OwnedFd(one.exchange(-1));
  CHECK(wrong == 0);
  scene.check_all_well();
  CHECK(soon([&] { return open_fds() == before; }));
}

TEST_CASE("thousands of connections, and then none") {
  Scene scene;
  const std::size_t fds = open_fds(), before = threads();
  const int most = sizeof(void*) == 4 ? 200 : environment("FREESTONE_TEST_STEPS", 2'000'000) < 1'000'000 ? 500 : 2'000;
  {
    std::vector<ServerClient> clients;
    for (int i = 0; i < most; ++i) clients.emplace_back(scene.host.name);
    for (ServerClient& client : clients) {
      if (client.is_connected() && client.hello().result <= 0) CHECK(false);
    }
    CHECK(scene.witness.hello().result > 0);
  }
  CHECK(soon([&] { return open_fds() == fds && threads() <= before; }));
  scene.check_all_well();
}

TEST_CASE("a program that has no room for a descriptor holds nothing, and the others are served") {
  Scene scene;
  const auto node = scene.witness.open(ion);
  const std::string name = scene.host.name;
  CHECK(holds_in_child([&] {
    ServerClient client(name);
    const auto own = client.open(ion);
    for (int number = 0; ::close(own.fd.get() + 1 + number) == 0;) ++number;
    const rlimit none{.rlim_cur = static_cast<rlim_t>(own.fd.get()) + 1, .rlim_max = static_cast<rlim_t>(own.fd.get()) + 1};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto cut = client.allocate(own.fd.get(), page);
    return cut.fd.get() < 0 && cut.result == 0 && client.number("system/num_of_buffers") == -1;
  }));
  CHECK(soon([&] { return scene.buffers() == 0; }));
  CHECK(soon([&] { return scene.files() == 1; }));  // the report that was just read is one for a while
}

TEST_CASE("a server that has no room for descriptors says so, does not spin, and serves again when there is room") {
  ServerProcess host([] {
    const rlimit few{.rlim_cur = 40, .rlim_max = 40};
    ::setrlimit(RLIMIT_NOFILE, &few);
  });
  ServerClient witness(host.name);
  REQUIRE(witness.hello().result > 0);
  {
    std::vector<Answered> held;
    while (held.empty() || held.back().result == 0) {
      held.push_back(witness.open(ion));
      REQUIRE(!held.back().has_ended);
      REQUIRE(held.size() < 100);
    }
    const int why = static_cast<int>(-held.back().result);
    CAPTURE(why);
    CHECK(why == ENFILE);
    held.pop_back();
    // Who connects now waits. Nothing runs meanwhile.
    std::vector<ServerClient> waiting;
    for (int i = 0; i < 8; ++i) waiting.emplace_back(host.name);
    // No room for the descriptor of a request either: that is said, and the connection goes on.
    CHECK(soon([&] { return witness.who(held.front().fd.get()).result == -ENFILE; }));
    CHECK(witness.hello().result == -ENFILE);
    const auto ticks = [&] {
      std::FILE* const file = std::fopen(host.of_process("stat").c_str(), "r");
      long long user = -1, system = -1;
      if (file == nullptr) return -1LL;
      constexpr const char* fields = "%*d %*s %*c %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %lld %lld";
      if (std::fscanf(file, fields, &user, &system) != 2) user = system = -1;
      std::fclose(file);
      return user + system;
    };
    const long long before = ticks();
    ::usleep(500'000);
    CHECK(ticks() - before < 10);  // hundredths of a second
    held.clear();
    for (ServerClient& client : waiting) CHECK(client.hello().result > 0);
  }
  CHECK(soon([&] { return witness.number("system/num_of_buffers") == 0; }));
  CHECK(host.stop() == 0);
}

TEST_CASE("A15: clients that open, allocate and map, and are killed at any moment, leave nothing") {
  ServerProcess host;
  const std::uint64_t clients = std::clamp<std::uint64_t>(environment("FREESTONE_TEST_STEPS", 10'000'000) / 1'000, 100, 10'000);
  ServerClient witness(host.name);
  REQUIRE(witness.hello().result > 0);
  const auto fds = [&] { return entries_of(host.of_process("fd").c_str()); };
  const auto tasks = [&] { return entries_of(host.of_process("task").c_str()); };
  std::size_t fds_before = 0, tasks_before = 0;
  unsigned alike = 0;
  CHECK(soon([&] {  // who looked whether it serves is gone
    const std::size_t were = std::exchange(tasks_before, tasks());
    ::usleep(50'000);
    alike = tasks() == were ? alike + 1 : 0;
    return fds_before = fds(), alike == 3;
  }));
  Random random(seed());
  std::array<pid_t, 8> living{};
  for (std::uint64_t number = 0; number < clients + living.size(); ++number) {
    pid_t& place = living[static_cast<std::size_t>(number % living.size())];
    if (place > 0) {
      ::usleep(static_cast<useconds_t>(random.below(400)));
      ::kill(place, SIGKILL);
      ::waitpid(std::exchange(place, 0), nullptr, 0);
    }
    if (number >= clients) continue;
    place = ::fork();
    if (place != 0) continue;
    ServerClient client(host.name);
    client.hello();
    for (unsigned turn = 0;; ++turn) {
      const auto node = client.open(turn % 2 == 0 ? ion : "/dev/dma_heap/carveout");
      const DmaHeapAllocation wanted{.length = 2 * page};
      const auto buffer = turn % 2 == 0 ? client.allocate(node.fd.get(), 3 * page)
                                        : client.ioctl(node.fd.get(), dma_heap_alloc, &wanted);
      std::byte* const bytes = mapped(buffer.fd.get(), page);
      if (bytes != nullptr) bytes[0] = std::byte{1};
      if (turn % 8 == 7) client = ServerClient(host.name);
    }
  }
  static_cast<void>(soon([&] { return fds() <= fds_before && tasks() <= tasks_before; }));
  CHECK(fds() <= fds_before);
  CHECK(tasks() <= tasks_before);
  for (const char* heap : {"system", "carveout"}) {
    CHECK(witness.number(std::string(heap) + "/num_of_buffers") == 0);
    CHECK(witness.number(std::string(heap) + "/num_of_alloc_bytes") == 0);
  }
  {
    const auto node = witness.open(ion);
    CHECK(witness.allocate(node.fd.get(), 1 << 20, 2).result == 0);
    CHECK(witness.allocate(node.fd.get(), 8 << 20, 1).result == 0);
  }
  witness.disconnect();
  CHECK(host.stop() == 0);
}

namespace {

// This process is that user from here on, of that group and that other one.
bool become(uid_t user, gid_t group, gid_t other) {
  return ::setgroups(1, &other) == 0 && ::setgid(group) == 0 && ::setuid(user) == 0;
}
bool become(uid_t user) { return become(user, user, user); }
// Whether what(client of that server's) is so for that user, in a process of his own.
template <class What>
bool holds_for(const ServerProcess& host, uid_t user, What what, gid_t group = 1299, gid_t other = 1299) {
  return holds_in_child([&] {
    if (!become(user, group, other)) return false;
    ServerClient client(host.name);
    return client.hello().result > 0 && what(client);
  });
}

constexpr std::string_view guarded_board = R"(
[[heap]]
name = "system"
id = 0
type = "system"
size = "16M"
base = 0x4000_0000
[[heap]]
name = "carveout"
id = 1
type = "carveout"
size = "1M"
base = 0x6000_0000
mode = "0640"
[[node]]
system = "ion-g4"
mode = "0666"
[[node]]
system = "dma-heap"
mode = "0604"
)";
constexpr const char* open_heap = "/dev/dma_heap/system";       // 0604
constexpr const char* guarded_heap = "/dev/dma_heap/carveout";  // 0640

}  // namespace

TEST_CASE("row 23: each node has a mode; the server's user owns it, and his group") {
  if (::geteuid() != 0) return;
  const ServerProcess roots([] {}, guarded_board), users([] { static_cast<void>(become(1234, 1235, 1236)); }, guarded_board);
  // What a user may of a node, as open says and as access says; 8: these are not the same.
  const auto rights = [](const ServerProcess& host, const char* path, uid_t user, gid_t group, gid_t other) {
    std::uint32_t found = 8;
    for (std::uint32_t wanted = 0; wanted < 8; ++wanted) {
      const bool is_so = holds_for(host, user, [&](ServerClient& client) {
        for (const auto& [flags, need] : {std::pair{O_RDONLY, 4U}, {O_WRONLY, 2U}, {O_RDWR, 6U}}) {
          if (client.open(path, flags).result != ((need & wanted) == need ? 0 : -EACCES)) return false;
          const auto answer = client.ask(ServerClient::with_path(Ask::access, path, need));
          if (answer.result != ((need & wanted) == need ? 0 : -EACCES)) return false;
        }
        return client.ask(ServerClient::with_path(Ask::access, path, F_OK)).result == 0;
      }, group, other);
      if (is_so) found = wanted;
    }
    return found & ~1U;
  };
  CHECK(rights(roots, open_heap, 0, 0, 0) == 6);
  CHECK(rights(roots, open_heap, 1234, 1234, 1234) == 4);
  CHECK(rights(roots, open_heap, 1234, 0, 1234) == 0);  // of the group, which may less than others
  CHECK(rights(roots, guarded_heap, 1234, 1234, 1234) == 0);
  CHECK(rights(roots, guarded_heap, 1234, 0, 1234) == 4);
  CHECK(rights(roots, guarded_heap, 1234, 1234, 0) == 4);
  CHECK(rights(users, guarded_heap, 0, 0, 0) == 6);
  CHECK(rights(users, guarded_heap, 1234, 1299, 1299) == 6);
  CHECK(rights(users, guarded_heap, 1299, 1235, 1299) == 4);
  CHECK(rights(users, guarded_heap, 1299, 1299, 1235) == 4);
  CHECK(rights(users, guarded_heap, 1299, 1236, 1299) == 0);  // the server's other group owns nothing
  CHECK(rights(roots, ion, 1234, 1234, 1234) == 6);
}

TEST_CASE("access: paths that are there and that are not, directories, and what cannot be wanted") {
  const Scene scene;
  ServerClient client(scene.host.name);
  const auto access = [&](std::string_view path, std::uint64_t wanted) {
    return client.ask(ServerClient::with_path(Ask::access, path, wanted)).result;
  };
  CHECK(access(ion, R_OK | W_OK) == 0);
  CHECK(access(ion, X_OK) == -EACCES);
  CHECK(access("/dev/dma_heap", R_OK | X_OK) == 0);
  CHECK(access("/dev/none", F_OK) == -ENOENT);
  CHECK(access("", F_OK) == -ENOENT);
  CHECK(access(ion, 8) == -EINVAL);
  CHECK(access(ion, ~std::uint64_t{0}) == -EINVAL);
}

TEST_CASE("row 27: a heap with a mode of its own is no heap of ION's for those whom it keeps out") {
  if (::geteuid() != 0) return;
  const ServerProcess host([] {}, guarded_board);
  const auto allocated = [&](uid_t user, std::uint32_t mask, gid_t group, std::int64_t wanted) {
    return holds_for(host, user, [&](ServerClient& client) {
      const auto node = client.open(ion);
      return node.result == 0 && client.allocate(node.fd.get(), page, mask).result == wanted;
    }, group);
  };
  CHECK(allocated(0, 2, 0, 0));
  CHECK(allocated(1234, 1, 1234, 0));
  CHECK(allocated(1234, 2, 1234, -ENODEV));
  CHECK(allocated(1234, 3, 1234, 0));  // of the other heap
  CHECK(allocated(1234, 2, 0, -ENODEV));  // his group may read, and no more
}

TEST_CASE("who may not open a node may use it where somebody gave it to him") {
  if (::geteuid() != 0) return;
  const ServerProcess host([] {}, guarded_board);
  ServerClient root(host.name);
  const auto node = root.open(guarded_heap);
  REQUIRE(node.result == 0);
  CHECK(holds_for(host, 1234, [&](ServerClient& client) {
    const DmaHeapAllocation wanted{.length = page};
    const auto buffer = client.ioctl(node.fd.get(), dma_heap_alloc, &wanted);
    return buffer.result == 0 && mapped(buffer.fd.get(), page) != nullptr;
  }));
  CHECK(soon([&] { return root.number("carveout/num_of_buffers") == 0; }));
}

TEST_CASE("a user of a server without root's powers: his files end as others do") {
  if (::geteuid() != 0) return;
  const ServerProcess users([] { static_cast<void>(become(1234)); });
  for (const uid_t user : {1234U, 1299U}) {
    CHECK(holds_for(users, user, [&](ServerClient& client) {
      {
        const auto node = client.open(ion);
        const auto buffer = client.allocate(node.fd.get(), page);
        if (mapped(buffer.fd.get(), page) == nullptr || client.number("system/num_of_buffers") != 1) return false;
      }
      return client.number("system/num_of_buffers") == 1;  // mapped
    }));
    CHECK(soon([&] { return ServerClient(users.name).number("system/num_of_buffers") == 0; }));
  }
}

TEST_CASE("descriptors on their way that fill their user's limit are refused, and no connection ends for it") {
  if (::geteuid() != 0) return;
  // Without root's powers, so that the limit counts (unix(7), ETOOMANYREFS); a user that nobody else is, who would count too.
  const auto user = static_cast<uid_t>(20'000 + ::getpid() % 40'000);
  ServerProcess host([&] {
    const rlimit few{.rlim_cur = 200, .rlim_max = 200};
    ::setrlimit(RLIMIT_NOFILE, &few);
    static_cast<void>(become(user));
  });
  ServerClient witness(host.name);
  const auto node = witness.open("/dev/dma_heap/system");
  REQUIRE(node.result == 0);
  std::vector<ServerClient> greedy;
  Request hello{.ask = Ask::hello, .number = protocol_version};
  for (int i = 0; i < 4; ++i) {  // they ask for texts, and read none
    ServerClient& client = greedy.emplace_back(host.name);
    for (int asked = 0; asked < 100 && client.send_bytes(std::as_bytes(std::span(&hello, 1)), {}, MSG_DONTWAIT); ++asked) {
    }
  }
  const DmaHeapAllocation wanted{.length = page};
  CHECK(soon([&] { return witness.ioctl(node.fd.get(), dma_heap_alloc, &wanted).result == -ENFILE; }));
  greedy.clear();
  CHECK(soon([&] { return witness.ioctl(node.fd.get(), dma_heap_alloc, &wanted).result == 0; }));
  CHECK(soon([&] { return witness.number("system/num_of_buffers") == 0; }));
}

TEST_CASE("a heap in pieces grants what it has, in as many blocks as it takes") {
  const RunningServer host(unused_name(), R"(
[[heap]]
name = "chunk"
id = 3
type = "chunk"
size = "16M"
granule = "64K"
base = 0x4000_0000
[[heap]]
name = "system"
id = 0
type = "system"
size = "512M"
base = 0x8000_0000
[[node]]
system = "ion-g4"
)");
  ServerClient client(host.name);
  const auto node = client.open(ion);
  std::vector<Answered> chunks;
  for (int i = 0; i < 256; ++i) chunks.push_back(client.allocate(node.fd.get(), 64 << 10, 8));
  CHECK(client.allocate(node.fd.get(), 64 << 10, 8).result == -ENOMEM);
  for (std::size_t i = 0; i < chunks.size(); i += 2) chunks[i].fd = OwnedFd(-1);
  {
    const auto half = client.allocate(node.fd.get(), 8 << 20, 8);
    CHECK(half.result == 0);
    CHECK(client.allocate(node.fd.get(), 64 << 10, 8).result == -ENOMEM);
  }
  CHECK(client.allocate(node.fd.get(), 256 << 20).result == 0);  // as much as one buffer may have of it
}

TEST_CASE("row 24: the reports of ION 4.12's heaps and of dma-bufs, to the letter") {
  Scene scene;
  ServerClient& client = scene.witness;
  const auto text = [&](const std::string& path) {
    const auto opened = client.open(path, O_RDONLY | O_CLOEXEC);
    std::array<char, 1024> bytes{};
    const ssize_t length = opened.fd.get() < 0 ? -1 : ::pread(opened.fd.get(), bytes.data(), bytes.size(), 0);
    return length < 0 ? std::string("none") : std::string(bytes.data(), static_cast<std::size_t>(length));
  };
  const auto shows = [&](const char* heap, const char* count, const char* bytes, const char* most) {
    const std::string folder = std::string("/sys/kernel/debug/ion/") + heap + '/';
    CHECK(text(folder + "num_of_buffers") == count);
    CHECK(text(folder + "num_of_alloc_bytes") == bytes);
    CHECK(text(folder + "alloc_bytes_wm") == most);
  };
  const auto listed = client.ask(ServerClient::with_path(Ask::list, "/sys/kernel/debug/ion/system"));
  std::string names(static_cast<std::size_t>(listed.result), '\0');
  CHECK(::pread(listed.fd.get(), names.data(), names.size(), 0) == listed.result);
  CHECK(names == "alloc_bytes_wm\nnum_of_alloc_bytes\nnum_of_buffers\nsystem_shrink\n");
  const std::string head = "\nDma-buf Objects:\nsize    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n";
  CHECK(text("/sys/kernel/debug/dma_buf/bufinfo") == head + "\nTotal 0 objects, 0 bytes\n");

  shows("system", "0\n", "0\n", "0\n");
  const auto node = client.open(ion);
  {
    const auto one = client.allocate(node.fd.get(), 2 * page);
    const auto other = client.allocate(node.fd.get(), page + 1);
    shows("system", "2\n", "16384\n", "16384\n");
    CHECK(client.ioctl(other.fd.get(), dma_buf_set_name, buffer_name).result == 0);
    const std::string all = text("/sys/kernel/debug/dma_buf/bufinfo");
    CHECK(all.find("00008192\t") != std::string::npos);
    CHECK(all.find("\ta name\n") != std::string::npos);
    CHECK(all.ends_with("\nTotal 2 objects, 16384 bytes\n"));
  }
  shows("system", "0\n", "0\n", "16384\n");
  shows("carveout", "0\n", "0\n", "0\n");
  // Pages of dead buffers, till somebody wants all of them. One that still waits goes as a whole: so two are wanted.
  const std::string shrinker = "/sys/kernel/debug/ion/system/system_shrink";
  CHECK(soon([&] { return text(shrinker) == "4\n"; }));
  const auto opened = client.open(shrinker, O_RDWR | O_CLOEXEC);
  for (const char* wrong : {"all\n", "-1\n", ""}) {
    Request request{.ask = Ask::write, .payload_length = static_cast<std::uint32_t>(std::strlen(wrong))};
    std::memcpy(request.payload.data(), wrong, std::strlen(wrong));
    CHECK(client.ask(request, opened.fd.get()).result == -EINVAL);
  }
  Request request{.ask = Ask::write, .payload_length = 2};
  std::memcpy(request.payload.data(), "2\n", 2);
  CHECK(client.ask(request, opened.fd.get()).result == 2);
  CHECK(text(shrinker) == "2\n");
  request.payload[0] = std::byte{'0'};
  CHECK(client.ask(request, opened.fd.get()).result == 2);
  CHECK(text(shrinker) == "0\n");
}

TEST_CASE("nodes: more than a thousand open at once; closed at once, they make room") {
  Scene scene;
  const auto most = static_cast<std::size_t>(server_limits.clients);
  rlimit before{}, raised{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  raised = {.rlim_cur = std::min<rlim_t>(before.rlim_max, 3 * most), .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &raised);
  if (raised.rlim_cur >= 3 * most) {
    std::vector<Answered> held;
    for (std::size_t i = 0; i < most; ++i) {
      held.push_back(scene.witness.open(ion));
      if (held.back().result != 0) CHECK(held.back().result == 0);
    }
    CHECK(scene.witness.open(ion).result == -ENOMEM);
    held.pop_back();
    CHECK(scene.witness.open(ion).result == 0);
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(soon([&] { return scene.files() == 0; }));
}

TEST_CASE("names of sockets: one that is taken, too long, or none") {
  const RunningServer host;
  const Tree tree;
  CHECK(Server::create(tree, host.name).error().code == ErrorCode::in_use);
  CHECK(Server::create(tree, "").error().code == ErrorCode::bad_name);
  CHECK(Server::create(tree, '@' + std::string(200, 'x')).error().code == ErrorCode::bad_name);
  CHECK(Server::create(tree, "/no/such/folder/socket").error().code == ErrorCode::node_failure);
}
