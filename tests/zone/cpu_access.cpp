#include <freestone/zone/cpu_access.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using namespace freestone::literals;

namespace {

// What a policy was asked, in order.
struct Asked {
  static constexpr Cacheability cacheability = Cacheability::cached;
  struct Call {
    char what;
    const std::byte* data;
    std::uint64_t size;
    friend bool operator==(const Call&, const Call&) = default;
  };
  static inline std::vector<Call> calls;
  static inline ErrorCode fails = ErrorCode::none;
  static Result<void> add(char what, const CacheView& view) noexcept {
    calls.push_back({what, view.data, view.size.value()});
    return fails == ErrorCode::none ? Result<void>() : Result<void>(fails);
  }
  Result<void> clean(const CacheView& view) noexcept { return add('c', view); }
  Result<void> invalidate(const CacheView& view) noexcept { return add('i', view); }
};
struct Bracketed : Asked {
  Result<void> begin(const CacheView& view, Access access) noexcept { return add(access == Access::read ? 'r' : 'w', view); }
  Result<void> end(const CacheView& view, Access access) noexcept { return add(access == Access::read ? 'R' : 'W', view); }
};

template <class C>
using Heap = Zone<backing::Anonymous, strategy::Bitmap, lock::None, C>;
using Plain = Heap<cache::Coherent>;

template <class C = cache::Coherent>
Heap<C> heap() {
  Asked::calls.clear();
  return *Heap<C>::create({.name = "heap", .size = 1_MiB});
}

template <class R>
ErrorCode code_of(const R& result) {
  return result ? ErrorCode::none : result.error().code;
}
using Calls = std::vector<Asked::Call>;

}  // namespace

TEST_CASE("before each access the bytes are invalidated, after a write they are cleaned") {
  auto zone = heap<Asked>();
  const auto block = zone.allocate(8_KiB);
  REQUIRE(block);
  const std::byte* first = zone.data(*block).data();
  { const auto read = zone.cpu_read(*block); }
  CHECK(Asked::calls == Calls{{'i', first, 8192}});
  Asked::calls.clear();
  {
    const auto write = zone.cpu_write(*block, 100, 50);
    REQUIRE(write);
    CHECK(write->data() == first + 100);
    CHECK(write->size() == 50);
    CHECK(Asked::calls == Calls{{'i', first + 100, 50}});
  }
  CHECK(Asked::calls == Calls{{'i', first + 100, 50}, {'c', first + 100, 50}});
}

TEST_CASE("a policy that wants to know of both ends is told, each once") {
  auto zone = heap<Bracketed>();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  const std::byte* first = zone.data(*block).data();
  {
    auto write = zone.cpu_write(*block);
    REQUIRE(write);
    auto moved = *std::move(write);
    CHECK(moved.end());
    CHECK(moved.end());  // it has ended
  }
  { const auto both = zone.cpu_read_write(*block, 0, 4096); }
  { const auto read = zone.cpu_read(*block, 1, 2); }
  CHECK(Asked::calls == Calls{{'w', first, 4096},
                              {'W', first, 4096},
                              {'w', first, 4096},
                              {'W', first, 4096},
                              {'r', first + 1, 2},
                              {'R', first + 1, 2}});
}

TEST_CASE("a bracket that the host refuses does not begin; one that it ends badly has ended") {
  auto zone = heap<Bracketed>();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  Asked::fails = ErrorCode::os_failure;
  CHECK(zone.cpu_write(*block).error() == Error{.code = ErrorCode::os_failure, .zone = "heap"});
  Asked::fails = ErrorCode::none;
  auto write = zone.cpu_write(*block);  // the one before is not open
  REQUIRE(write);
  Asked::fails = ErrorCode::os_failure;
  CHECK(code_of(write->end()) == ErrorCode::os_failure);
  CHECK(write->end());
  Asked::fails = ErrorCode::none;
  CHECK(zone.cpu_write(*block));
}

TEST_CASE("misuse: another zone's block, one that went back, two at once, bytes outside") {
  auto zone = heap();
  auto other = heap();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  CHECK(other.cpu_write<true>(*block).error() ==
        Error{.code = ErrorCode::foreign_block, .asked = block->offset().value(), .zone = "heap"});
  CHECK(code_of(other.clean(*block)) == ErrorCode::foreign_block);
  for (const auto& [offset, size] : {std::pair{Bytes(0), Bytes(4097)}, {4097, 0}, {4096, 1}, {1, ~std::uint64_t{0}}}) {
    CHECK(code_of(zone.cpu_write<true>(*block, offset, size)) == ErrorCode::range_beyond_block);
    CHECK(code_of(zone.cpu_read<false>(*block, offset, size)) == ErrorCode::range_beyond_block);
    CHECK(code_of(zone.clean(*block, offset, size)) == ErrorCode::range_beyond_block);
    CHECK(code_of(zone.invalidate(*block, offset, size)) == ErrorCode::range_beyond_block);
    CHECK(code_of(zone.clean_and_invalidate(*block, offset, size)) == ErrorCode::range_beyond_block);
  }
  {
    const auto write = zone.cpu_write<true>(*block, 100, 100);
    REQUIRE(write);
    CHECK(code_of(zone.cpu_write<true>(*block)) == ErrorCode::access_open);
    CHECK(code_of(zone.cpu_read<true>(*block, 199, 1)) == ErrorCode::access_open);
    CHECK(zone.cpu_read<true>(*block, 200, 1));
    CHECK(zone.cpu_write<true>(*block, 0, 100));
  }
  {
    const auto read = zone.cpu_read<true>(*block);
    CHECK(zone.cpu_read<true>(*block));  // of two who read neither hurts
    CHECK(code_of(zone.cpu_write<true>(*block)) == ErrorCode::access_open);
  }
  CHECK(zone.cpu_write<true>(*block));
  REQUIRE(zone.deallocate(*block));
  CHECK(code_of(zone.cpu_write<true>(*block)) == ErrorCode::dead_block);
  CHECK(zone.stats().used == 0);
}

TEST_CASE("an access to no byte is in nobody's way") {
  auto zone = heap();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  {
    const auto write = zone.cpu_write<true>(*block);
    for (const std::uint64_t offset : {0U, 10U, 4096U}) {
      const auto empty = zone.cpu_write<true>(*block, offset, 0);
      REQUIRE(empty);
      CHECK(empty->bytes().empty());
    }
    CHECK(code_of(zone.cpu_read<true>(*block)) == ErrorCode::access_open);  // none of their ends ended it
  }
  const auto empty = zone.cpu_read<true>(*block, 10, 0);
  CHECK(zone.cpu_write<true>(*block));
  CHECK(zone.deallocate<true>(*block));
}

TEST_CASE("a bracket that has ended, or was moved from, shows no byte") {
  auto zone = heap();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  auto write = zone.cpu_write<true>(*block);
  REQUIRE(write);
  auto moved = *std::move(write);
  CHECK(write->bytes().empty());
  CHECK(write->data() == nullptr);
  CHECK(moved.size() == 4096);
  CHECK(moved.end());
  CHECK(moved.bytes().empty());
  CHECK(moved.data() == nullptr);
}

TEST_CASE("a bracket that another is assigned to ends at once") {
  auto zone = heap<Bracketed>();
  const auto first = zone.allocate(4_KiB), second = zone.allocate(4_KiB);
  REQUIRE((first && second));
  auto one = *zone.cpu_write<true>(*first);
  auto two = *zone.cpu_write<true>(*second);
  const std::byte* const at = two.data();
  Asked::calls.clear();
  one = std::move(two);
  CHECK(Asked::calls == Calls{{'W', zone.data(*first).data(), 4096}});
  CHECK(zone.cpu_write<true>(*first));
  CHECK(code_of(zone.cpu_write<true>(*second)) == ErrorCode::access_open);
  CHECK(one.data() == at);
  auto& same = one;
  one = std::move(same);
  CHECK(one.data() == at);
  CHECK(one.end());
  CHECK(zone.cpu_write<true>(*second));
}

TEST_CASE("a block does not go back while a bracket is open to it") {
  auto zone = heap();
  const auto block = zone.allocate(8_KiB), other = zone.allocate(4_KiB);
  REQUIRE((block && other));
  {
    auto read = zone.cpu_read<true>(*block, 5000, 100);
    CHECK(zone.deallocate<true>(*block).error() ==
          Error{.code = ErrorCode::access_open, .asked = block->offset().value(), .zone = "heap"});
    CHECK(code_of(zone.deallocate_at<true>(block->offset())) == ErrorCode::access_open);
    CHECK(zone.owns(*block));
    CHECK(zone.deallocate<true>(*other));
    CHECK(read->end());
  }
  CHECK(zone.deallocate<true>(*block));
  CHECK(code_of(zone.deallocate<true>(*block)) == ErrorCode::double_release);

  const auto last = zone.allocate(4_KiB);
  REQUIRE(last);
  const auto unchecked = zone.cpu_write<false>(*last);
  CHECK(zone.deallocate<true>(*last));
  const auto again = zone.allocate(4_KiB);
  const auto checked = zone.cpu_write<true>(*again);
  CHECK(zone.deallocate<false>(*again));
}

TEST_CASE("where a holder died, that is what a bracket says") {
  using Robust = Zone<backing::MemoryFile, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;
  auto zone = *Robust::create({.name = "robust", .size = 64_KiB});
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  std::thread([&] {  // ends inside
    lock::ProcessShared::attach(zone.backing().notes().data() + 8).lock();
  }).join();
  CHECK(zone.cpu_write<true>(*block).error() == Error{.code = ErrorCode::holder_died, .zone = "robust"});
  CHECK(code_of(zone.cpu_read<true>(*block)) == ErrorCode::holder_died);
  zone.recover([](std::uint8_t) { return true; });
  CHECK(zone.cpu_write<true>(*block));
}

TEST_CASE("who asks for no checks gets none but the bounds") {
  auto zone = heap();
  const auto block = zone.allocate(4_KiB);
  REQUIRE(block);
  const auto one = zone.cpu_write<false>(*block);
  const auto two = zone.cpu_write<false>(*block);
  CHECK((one && two));
  CHECK(sizeof(*one) == sizeof(*zone.cpu_write<true>(*block)));  // NDEBUG changes no layout
}

TEST_CASE("more at once than are looked after are not held up") {
  auto zone = heap();
  std::vector<decltype(zone.cpu_write<true>(Block()))> open;
  for (int i = 0; i < 100; ++i) {
    const auto block = zone.allocate(4_KiB);
    REQUIRE(block);
    open.push_back(zone.cpu_write<true>(*block));
    CHECK(open.back());
  }
  open.clear();
  zone.for_each_block([&](const Block&) {});
  const auto block = zone.allocate(4_KiB);
  const auto write = zone.cpu_write<true>(*block);
  CHECK(code_of(zone.cpu_write<true>(*block)) == ErrorCode::access_open);  // there is room again
}

TEST_CASE("several threads, each with blocks of its own") {
  using Shared = Zone<backing::Anonymous, strategy::Bitmap, lock::Mutex, cache::Coherent>;
  auto zone = *Shared::create({.name = "heap", .size = 1_MiB});
  const auto work = [&] {
    int failed = 0;
    for (int i = 0; i < 2000; ++i) {
      const auto block = zone.allocate(4_KiB);
      if (!block) return 1000;
      if (auto write = zone.template cpu_write<true>(*block)) {
        std::memset(write->data(), i & 0xFF, write->size());
      } else {
        ++failed;
      }
      failed += !zone.template cpu_read<true>(*block);
      failed += !zone.deallocate(*block);
    }
    return failed;
  };
  int failed = -1;
  std::thread other([&] { failed = work(); });
  CHECK(work() == 0);
  other.join();
  CHECK(failed == 0);
}

TEST_CASE("blocks that lie anywhere, and bytes that this CPU does not see") {
  using Books = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  auto books = *Books::create({.name = "books", .size = 1_MiB});
  const auto block = books.allocate(10'000);
  REQUIRE(block);
  auto write = books.cpu_write<true>(*block);
  REQUIRE(write);
  std::memset(write->data(), 1, write->size());
  const auto next = books.allocate(10'000);  // its number is within the first one's size
  REQUIRE(next);
  CHECK(books.cpu_write<true>(*next));
  CHECK(code_of(books.deallocate<true>(*block)) == ErrorCode::access_open);

  using Far = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
  std::array<std::uint64_t, Far::notes_words(64_KiB, 4_KiB)> notes{};
  auto far = *Far::create({.name = "far"}, backing::Borrowed::at(0x1000'0000, 64_KiB, notes));
  const auto unseen = far.allocate(4_KiB);
  REQUIRE(unseen);
  CHECK(code_of(far.cpu_write(*unseen)) == ErrorCode::os_failure);
  CHECK(far.clean(*unseen));
}

TEST_CASE("lists: no block is touched where one of them is another zone's") {
  auto zone = heap<Asked>();
  auto other = heap<Asked>();
  const std::array<Block, 2> blocks{*zone.allocate(4_KiB), *other.allocate(4_KiB)};
  Asked::calls.clear();
  CHECK(code_of(zone.clean(blocks)) == ErrorCode::foreign_block);
  CHECK(Asked::calls.empty());
  CHECK(zone.invalidate(std::span(blocks).first(1)));
  CHECK(Asked::calls.size() == 1);
  CHECK(zone.clean(std::span<const Block>()));
}

template <class Z>
concept has_cpu_access = requires(Z& zone) { zone.cpu_write(Block()); };
static_assert(has_cpu_access<Plain>);
template <class Access>
concept shows_bytes = requires { std::declval<Access>().bytes(), std::declval<Access>().data(); };
using Write = CpuAccess<Plain, Access::write, true>;
static_assert(shows_bytes<Write&> && shows_bytes<const Write&> && !shows_bytes<Write> && !shows_bytes<const Write>);
static_assert(!has_cpu_access<Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>>);
static_assert([] {
  using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
  std::array<std::byte, 256> bytes{};
  std::array<std::uint64_t, 100> notes{};
  auto zone = Z::create({.granule = 64}, backing::Borrowed(bytes, notes, 0));
  const auto block = zone->allocate(64);
  {
    auto write = zone->cpu_write(*block);
    if (!write) return false;
    write->bytes()[63] = std::byte{9};
  }
  return zone->cpu_read(*block)->bytes()[63] == std::byte{9};
}());
