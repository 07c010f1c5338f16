// Mappings whose parts change, by what the server and a process say to each other; what programs see of it is
// tests/interposer/views.c.
#include <freestone/platform/linux_user/views.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/platform/linux_user/server.hpp>

using namespace freestone::linux_user;
using freestone::Connection;
using freestone::FdList;
using freestone::backing::OwnedFd;
namespace device = freestone::device;

namespace {

constexpr std::uint64_t page = 4096, length = 64 * page;

// Its pages from `first` on, each a piece.
class PagesFile final : public OpenFile {
 public:
  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return {.kind = FileKind::device, .mode = S_IFCHR | 0666}; }
  device::Answer map(ServerCall&, std::uint64_t offset, std::uint64_t size, int, Kept& kept) noexcept override {
    if (keep) kept = keep();
    return offset > length || size > length - offset ? device::Answer(device::Errno::invalid) : device::done;
  }
  std::optional<MapPiece> piece(std::uint64_t at) noexcept override {
    at = std::max(at & ~(page - 1), first.load());
    if (at >= length) return std::nullopt;
    auto fd = memory_.open(O_RDWR);
    if (!fd) return std::nullopt;
    return MapPiece{at, page, at, *std::move(fd)};
  }
  std::atomic<std::uint64_t> first = 0;
  std::function<Kept()> keep = nullptr;  // what comes with a view

 private:
  ServedFile served_ = *ServedFile::create("pages", 0);
  ServedFile memory_ = *ServedFile::create("memory", length);
};

struct Scene {
  std::string name = "@freestone-views-" + std::to_string(::getpid());
  std::shared_ptr<PagesFile> file = std::make_shared<PagesFile>();
  Tree tree;
  std::unique_ptr<Server> server;
  std::thread serving;

  Scene() {
    Node node;
    node.open = [this](ServerCall&, int, device::Errno&) -> std::shared_ptr<OpenFile> { return file; };
    tree.add("/dev/pages", std::move(node));
    server = *Server::create(tree, name);
    serving = std::thread([this] { server->run(); });
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() {
    server->stop();
    serving.join();
  }

  Connection connect() const {
    sockaddr_un address;
    const socklen_t size = socket_address(name, address);
    OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    return *Connection::of(std::move(socket));
  }
};

struct Said {
  std::int64_t result;
  Reply reply;
  FdList<8> fds;
};
Said receive(const Connection& from) {
  auto got = from.receive<Reply, 8>(0);
  if (!got) return {-1000, {}, {}};
  return {got->record.result, got->record, std::move(got->fds)};
}
Said ask(const Connection& connection, const Request& request, int fd = -1) {
  REQUIRE(connection.send(request, std::span<const int>(&fd, fd < 0 ? 0 : 1)));
  return receive(connection);
}
Request control(std::span<const std::uint64_t> numbers, bool is_last = true) {
  Request request{.ask = Ask::control, .number = is_last ? 1U : 0U, .payload_length = static_cast<std::uint32_t>(numbers.size_bytes())};
  if (!numbers.empty()) std::memcpy(request.payload.data(), numbers.data(), numbers.size_bytes());
  return request;
}
// The server may ask before it consents.
std::int64_t begin_control(const Connection& connection) {
  REQUIRE(connection.send(control({})));
  for (;;) {
    const auto said = receive(connection);
    if (said.reply.step != Step::look_again) return said.result;
    REQUIRE(connection.send(Request{.ask = Ask::copied}));
  }
}
OwnedFd open_pages(const Connection& connection) {
  Request request{.ask = Ask::open, .number = O_RDWR, .payload_length = 10};
  std::memcpy(request.payload.data(), "/dev/pages", 10);
  auto said = ask(connection, request);
  REQUIRE(said.result == 0);
  return said.fds.take(0);
}
std::uint64_t map(const Connection& connection, const OwnedFd& fd, std::uint64_t offset = 0, std::uint64_t size = length) {
  const auto said = ask(connection, {.ask = Ask::map, .number = 3, .address = offset, .length = size}, fd.get());
  return said.result < 0 ? 0 : static_cast<std::uint64_t>(said.result);
}
template <class Is>
bool soon(Is is) {
  for (int turn = 0; turn < 500; ++turn) {
    if (is()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

}  // namespace

TEST_CASE("a process without a control connection has no view") {
  Scene scene;
  const Connection talk = scene.connect();
  const OwnedFd fd = open_pages(talk);
  CHECK(ask(talk, {.ask = Ask::map, .number = 3, .length = page}, fd.get()).result == -EINVAL);
  CHECK(scene.server->views().count() == 0);
}

TEST_CASE("the parts of a view: as many as a message holds, and then the next") {
  Scene scene;
  const Connection talk = scene.connect(), asked = scene.connect();
  const OwnedFd fd = open_pages(talk);
  REQUIRE(ask(asked, control({})).result == 0);
  for (const auto& [offset, size] : {std::pair{std::uint64_t{0}, length}, {5 * page, 20 * page}, {63 * page, page}}) {
    for (const std::uint64_t first : {std::uint64_t{0}, 3 * page, 20 * page, length}) {
      scene.file->first = first;
      const std::uint64_t view = map(talk, fd, offset, size);
      REQUIRE(view != 0);
      std::uint64_t at = 0, pages = 0;
      while (at < size) {
        const auto said = ask(talk, {.ask = Ask::parts, .number = view, .address = at});
        REQUIRE(said.result > static_cast<std::int64_t>(at));
        for (std::size_t place = 0; place < said.fds.size(); ++place) {
          MapPart part;
          std::memcpy(&part, said.reply.payload.data() + place * sizeof part, sizeof part);
          CHECK(part.at >= at);
          CHECK(part.at + part.length <= static_cast<std::uint64_t>(said.result));
          CHECK(part.offset == offset + part.at);
          CHECK(part.fd == place);
          CHECK(part.length == page);
          ++pages;
        }
        at = static_cast<std::uint64_t>(said.result);
      }
      CHECK(at == size);
      const auto count = ask(talk, {.ask = Ask::parts, .number = view, .address = no_part});
      CHECK(count.result == static_cast<std::int64_t>(size));
      CHECK(count.fds.size() == 0);
      CHECK(count.reply.payload_length == 0);
      CHECK(pages == (offset + size - std::min(offset + size, std::max(offset, first))) / page);
      CHECK(ask(talk, {.ask = Ask::unmapped, .number = view}).result == 0);
    }
  }
  CHECK(scene.server->views().count() == 0);
  CHECK(map(talk, fd, page, length) == 0);
  CHECK(map(talk, fd, ~std::uint64_t{0} - page + 1, 2 * page) == 0);
}

TEST_CASE("numbers that are nobody's") {
  Scene scene;
  const Connection talk = scene.connect(), asked = scene.connect();
  const OwnedFd fd = open_pages(talk);
  REQUIRE(ask(asked, control({})).result == 0);
  const std::uint64_t view = map(talk, fd);
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{1}, view + 1, view - 1, ~std::uint64_t{0}}) {
    CHECK(ask(talk, {.ask = Ask::parts, .number = number}).result == -ENOENT);
    CHECK(ask(talk, {.ask = Ask::parts, .number = number, .address = no_part}).result == -ENOENT);
    CHECK(ask(talk, {.ask = Ask::unmapped, .number = number}).result == 0);
  }
  CHECK(ask(talk, {.ask = Ask::parts, .number = view, .address = length + 1}).result == -ENOENT);
  CHECK(ask(talk, {.ask = Ask::parts, .number = view, .address = length}).result == static_cast<std::int64_t>(length));
  CHECK(scene.server->views().count() == 1);
}

TEST_CASE("who has a view is asked, with those bytes of it, and waited for") {
  Scene scene;
  const Connection talk = scene.connect(), asked = scene.connect();
  const OwnedFd fd = open_pages(talk);
  REQUIRE(ask(asked, control({})).result == 0);
  const std::uint64_t view = map(talk, fd, 8 * page, 8 * page);
  std::atomic<bool> is_done = false;
  std::thread changing([&] {
    scene.server->views().look_again(*scene.file, 0, 9 * page);
    scene.server->views().look_again(*scene.file, 16 * page, 9 * page);  // none of it
    is_done = true;
  });
  const auto said = receive(asked);
  CHECK(said.reply.step == Step::look_again);
  CHECK(static_cast<std::uint64_t>(said.result) == view);
  CHECK(said.reply.address == 0);
  CHECK(said.reply.length == page);
  CHECK(ask(talk, {.ask = Ask::parts, .number = view}).result > 0);  // meanwhile
  CHECK_FALSE(is_done);
  CHECK(asked.send(Request{.ask = Ask::copied}));
  changing.join();
  CHECK(ask(talk, {.ask = Ask::parts, .number = view, .address = no_part}).reply.address == 1);
}

TEST_CASE("a child has its parent's views, also when the parent has gone") {
  Scene scene;
  const Connection talk = scene.connect();
  auto parent = std::make_unique<Connection>(scene.connect());
  const OwnedFd fd = open_pages(talk);
  REQUIRE(ask(*parent, control({})).result == 0);
  std::vector<std::uint64_t> numbers;
  for (int count = 0; count < 40; ++count) numbers.push_back(map(talk, fd));
  const Connection child = scene.connect();
  CHECK(ask(child, control(std::span(numbers).first(32), false)).result == 0);
  CHECK(ask(child, control(std::span(numbers).subspan(32))).result == 0);
  parent.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(scene.server->views().count() == 40);
}

TEST_CASE("who does not answer, or says something else, is asked no more, until he connects anew; and nobody waits for him for long") {
  for (const bool is_mute : {true, false}) {
    Scene scene;
    const Connection talk = scene.connect(), asked = scene.connect();
    const OwnedFd fd = open_pages(talk);
    REQUIRE(ask(asked, control({})).result == 0);
    REQUIRE(map(talk, fd) != 0);
    if (!is_mute) CHECK(asked.send(Request{.ask = Ask::hello}));
    const auto began = std::chrono::steady_clock::now();
    scene.server->views().look_again(*scene.file, 0, length);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
    CHECK(soon([&] { return asked.has_ended(); }));
    CHECK(scene.server->views().count() == 1);
    const Connection again = scene.connect();
    CHECK(begin_control(again) == 0);
    std::thread changing([&] { scene.server->views().look_again(*scene.file, 0, length); });
    CHECK(receive(again).reply.step == Step::look_again);
    CHECK(again.send(Request{.ask = Ask::copied}));
    changing.join();
    CHECK(map(talk, fd) != 0);
  }
}

TEST_CASE("several who do not answer cost no more time than one") {
  Views views;
  const auto file = std::make_shared<PagesFile>();
  std::vector<Connection::Ends> ends;
  std::vector<std::shared_ptr<Control>> controls;
  for (int process = 1; process <= 6; ++process) ends.push_back(*Connection::pair());
  for (std::uint64_t process = 1; process <= 6; ++process) {
    controls.push_back(std::make_shared<Control>(ends[static_cast<std::size_t>(process - 1)].here, process));
    views.add(controls.back(), {});
    CHECK(views.open(file, 0, length, false, process).value() > 0);
  }
  const auto began = std::chrono::steady_clock::now();
  views.look_again(*file, 0, length);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
  for (const auto& one : ends) CHECK(one.there.has_ended());
  for (std::uint64_t process = 1; process <= 6; ++process) views.forget(process);
  CHECK(views.count() == 0);
}

TEST_CASE("who has thousands of views of a file is asked for each, and those of other files for none") {
  constexpr std::uint64_t count = 4096;
  Views views;
  const auto file = std::make_shared<PagesFile>(), other = std::make_shared<PagesFile>();
  auto ends = *Connection::pair();
  const auto control = std::make_shared<Control>(ends.here, 1);
  views.add(control, {});
  std::set<std::uint64_t> wanted, others;
  for (std::uint64_t turn = 0; turn < count; ++turn) {
    wanted.insert(static_cast<std::uint64_t>(views.open(file, turn % 64 * page, page, false, 1).value()));
    others.insert(static_cast<std::uint64_t>(views.open(other, turn % 64 * page, page, false, 1).value()));
  }
  std::set<std::uint64_t> asked;
  std::thread answering([&] {
    for (;;) {
      const auto said = receive(ends.there);
      if (said.reply.step != Step::look_again) return;
      CHECK(asked.insert(static_cast<std::uint64_t>(said.result)).second);
      CHECK(ends.there.send(Request{.ask = Ask::copied}));
    }
  });
  views.look_again(*file, 0, length);
  CHECK_FALSE(ends.there.has_ended());
  control->end();
  answering.join();
  CHECK(asked == wanted);
  views.forget(1);
  CHECK(views.count() == 0);
  views.look_again(*file, 0, length);
}

TEST_CASE("views end with the last process that has them") {
  Views views;
  const auto file = std::make_shared<PagesFile>();
  std::vector<Connection::Ends> ends;
  std::vector<std::shared_ptr<Control>> controls;
  for (int process = 1; process <= 3; ++process) ends.push_back(*Connection::pair());
  for (std::uint64_t process = 1; process <= 3; ++process) controls.push_back(std::make_shared<Control>(ends[static_cast<std::size_t>(process - 1)].here, process));
  const auto open = [&](std::uint64_t process) { return static_cast<std::uint64_t>(views.open(file, 0, page, false, process).value()); };
  views.add(controls[0], {});
  std::vector<std::uint64_t> first;
  for (int turn = 0; turn < 30; ++turn) first.push_back(open(1));
  views.add(controls[1], std::span(first).first(20));
  views.add(controls[2], std::span(first).subspan(10));
  const std::uint64_t second = open(2), third = open(3);
  CHECK(views.count() == 32);
  views.close(first[0], 1), views.close(first[0], 1), views.close(second, 1), views.close(first[25], 2);
  CHECK(views.count() == 32);
  CHECK_FALSE(views.find(first[0], 1));
  CHECK(views.find(first[0], 2));
  CHECK(views.find(first[25], 3));
  views.remove(controls[0]);
  CHECK(views.open(file, 0, page, false, 1).error() == device::Errno::invalid);
  CHECK(views.find(first[1], 1));  // it may have been late
  views.add(controls[0], {});
  CHECK(views.find(first[1], 1));
  views.forget(2);
  CHECK(views.count() == 30);
  CHECK_FALSE(views.find(first[0]));
  CHECK_FALSE(views.find(second));
  CHECK(views.find(first[5], 1));
  CHECK_FALSE(views.find(first[5], 2));
  views.forget(1);
  CHECK(views.count() == 21);
  CHECK_FALSE(views.find(first[5]));
  CHECK(views.find(first[25], 3));
  views.forget(1), views.forget(7);
  CHECK(views.count() == 21);
  views.close(third, 3);
  views.forget(3);
  CHECK(views.count() == 0);
}

TEST_CASE("processes that end while they are asked, at any moment") {
  Scene scene;
  auto talk = std::make_unique<Connection>(scene.connect());
  const OwnedFd fd = open_pages(*talk);
  std::atomic<bool> is_over = false;
  std::vector<std::thread> changing;
  for (int count = 0; count < 2; ++count) {
    changing.emplace_back([&] {
      for (; !is_over; std::this_thread::yield()) scene.server->views().look_again(*scene.file, 0, length);
    });
  }
  for (int turn = 0; turn < 100; ++turn) {
    const Connection asked = scene.connect();
    REQUIRE(begin_control(asked) == 0);
    if (turn % 4 == 0) continue;
    CHECK(map(*talk, fd) != 0);
    for (int question = 1; question < turn % 4; ++question) {
      if (receive(asked).reply.step != Step::look_again) break;  // it was late
      if (turn % 3 == 0) break;
      CHECK(asked.send(Request{.ask = Ask::copied}));
    }
  }
  is_over = true;
  for (std::thread& one : changing) one.join();
  talk.reset();
  CHECK(soon([&] { return scene.server->views().count() == 0; }));
}

TEST_CASE("too many views, and too many that a child says it has") {
  Scene scene;
  const Connection talk = scene.connect(), asked = scene.connect(), child = scene.connect();
  const OwnedFd fd = open_pages(talk);
  const std::vector<std::uint64_t> numbers(32, 7);
  std::int64_t result = 0;
  for (int count = 0; count < 200 && result == 0; ++count) result = ask(child, control(numbers, false)).result;
  CHECK(result == -EINVAL);
  REQUIRE(ask(asked, control({})).result == 0);
  while (!scene.server->views().open(scene.file, 0, page, false, static_cast<std::uint64_t>(::getpid())).is_error()) {
  }
  CHECK(scene.server->views().count() == Views::most);
  CHECK(ask(talk, {.ask = Ask::map, .number = 3, .length = page}, fd.get()).result == -ENOMEM);
}

TEST_CASE("what is kept with a view ends under no lock of the views', however the view ends") {
  Scene scene;
  Views& views = scene.server->views();
  std::atomic<unsigned> ended = 0;
  // It asks for the views: so one of another thread's is to be answered meanwhile.
  scene.file->keep = [&] {
    return OpenFile::Kept(nullptr, [&](void*) {
      std::thread other([&] { static_cast<void>(views.count()); });
      other.join();
      ++ended;
    });
  };
  for (const bool is_closed : {true, false}) {
    CAPTURE(is_closed);
    std::optional<Connection> talk = scene.connect(), commands = scene.connect();
    CHECK(begin_control(*commands) == 0);
    OwnedFd fd = open_pages(*talk);
    const std::uint64_t view = map(*talk, fd);
    REQUIRE(view != 0);
    if (is_closed) CHECK(ask(*talk, {.ask = Ask::unmapped, .number = view}).result == 0);
    talk.reset(), commands.reset();
    CHECK(soon([&] { return views.count() == 0 && ended == (is_closed ? 1 : 2); }));
  }
  scene.file->keep = nullptr;
}
