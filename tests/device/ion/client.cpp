// A client's handles (shared/spec: ION 1.7, 4; rows 1, 2, 25, 26, 29).
#include <freestone/device/ion/client.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/handle_file.hpp>

#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "1M"}, HeapText{"carveout", 2, "carveout", "1M"});
constexpr IonWanted wanted{.length = 4096, .mask = 4};
constexpr WordSize word = WordSize::bits64;

using G1 = std::integral_constant<IonGeneration, IonGeneration::g1>;
using G3 = std::integral_constant<IonGeneration, IonGeneration::g3>;
using L = lock::Futex;

// A board whose handles are a generation's: pointers of its own making, or small integers.
struct Scene : DeviceScene {
  explicit Scene(IonGeneration generation, Freeing freeing = Freeing::at_once) : DeviceScene(board, freeing) {
    for (auto& heap : heaps) walk.push_back(&heap);
    ion = {.device = &device, .heaps = walk, .generation = generation};
  }

  std::vector<Heap*> walk;
  IonHeaps<Shared, L> ion;
};
template <std::size_t most = 8, std::uint32_t most_references = ~std::uint32_t{0}>
struct Program : IonClient<DeviceScene::Shared, L, most, most_references> {
  using Base = IonClient<DeviceScene::Shared, L, most, most_references>;

  explicit Program(Scene& scene, std::uint32_t types = ~std::uint32_t{0}, const Holder& holder = {})
      : Base(scene.ion, *scene.device.open(), scene.cookies, types, holder) {}

  std::uint64_t buffer() {
    Errno error = Errno::none;
    return kept(this->allocate(wanted, error));
  }
  std::uint64_t imported(const DeviceScene::Shared::Ref& shared) {
    Errno error = Errno::none;
    return kept(this->import(shared, error));
  }
  DeviceScene::Shared::Ref shared(std::uint64_t handle) {
    DeviceScene::Shared::Ref hold;
    CHECK(this->share(handle, word, hold) == Errno::none);
    return hold;
  }
  // Handles, and references in all.
  std::pair<int, std::uint64_t> counts() {
    std::pair<int, std::uint64_t> sum{};
    this->for_each(
        word, [&](std::uint64_t, std::uint64_t references, const auto&) { ++sum.first, sum.second += references; });
    return sum;
  }

 private:
  template <class Draft>
  static std::uint64_t kept(Draft draft) {
    REQUIRE(draft);
    const std::uint64_t handle = draft->handle(word);
    draft->keep();
    return handle;
  }
};

}  // namespace

TEST_CASE("no two of 2^16 cookies in a row are alike, and each says its place") {
  IonCookies<L> cookies;
  std::set<std::uint32_t> seen;
  for (std::size_t number = 0; number < 65536; ++number) {
    const std::uint32_t cookie = cookies.next(number % 1024);
    if (!seen.insert(cookie).second || IonCookies<L>::place_of(cookie) != number % 1024) CHECK(number == 0);
  }
  CHECK(IonCookies<L>::place_of(IonCookies<L>::kernel64 | cookies.next(5)) == 5);
}

TEST_CASE_TEMPLATE("one handle a buffer; he lets go as often as he got it, and of nothing else", G, G1, G3) {
  Scene scene(G::value);
  Program<> one(scene), other(scene);
  const std::uint64_t handle = one.buffer();
  const auto shared = one.shared(handle);
  CHECK(one.imported(shared) == handle);
  CHECK(one.counts() == std::pair{1, std::uint64_t{2}});
  CHECK(other.free(handle, word) == Errno::invalid);
  const std::uint64_t his = other.imported(shared);
  if (G::value == IonGeneration::g1) CHECK(his != handle);
  for (const std::uint64_t wrong : {std::uint64_t{0}, handle + 1, handle ^ 1024, ~std::uint64_t{0}})
    CHECK(one.free(wrong, word) == Errno::invalid);
  if (G::value == IonGeneration::g1) CHECK(one.free(handle, WordSize::bits32) == Errno::invalid);
  CHECK(one.free(handle, word) == Errno::none);
  CHECK(one.free(handle, word) == Errno::none);
  CHECK(one.free(handle, word) == Errno::invalid);
  DeviceScene::Shared::Ref hold;
  CHECK(one.share(handle, word, hold) == Errno::invalid);
  CHECK(other.counts() == std::pair{1, std::uint64_t{1}});
  CHECK(other.free(his, word) == Errno::none);
  CHECK(scene.device.buffer_count() == 1);  // `shared` has it
}

TEST_CASE_TEMPLATE("a draft is known to nobody; where it is not kept it has never been", G, G1, G3) {
  Scene scene(G::value);
  Program<> client(scene);
  Errno error = Errno::none;
  std::uint64_t handle = 0;
  {
    const auto draft = client.allocate(wanted, error);
    REQUIRE(draft);
    handle = draft->handle(word);
    CHECK(client.free(handle, word) == Errno::invalid);
    CHECK(client.counts() == std::pair{0, std::uint64_t{0}});
    CHECK(scene.device.buffer_count() == 1);
  }
  CHECK(scene.device.buffer_count() == 0);
  CHECK(client.free(handle, word) == Errno::invalid);
  // One reference more that is not kept, and the last one freed before it ends.
  const std::uint64_t kept = client.buffer();
  auto again = client.import(client.shared(kept), error);
  REQUIRE(again);
  CHECK(again->handle(word) == kept);
  CHECK(client.free(kept, word) == Errno::none);
  CHECK(client.free(kept, word) == Errno::invalid);
  CHECK(scene.device.buffer_count() == 1);
  again.reset();
  CHECK(scene.device.buffer_count() == 0);
}

TEST_CASE("ENOMEM: no room for a handle more, or for a reference more; nothing is left") {
  Scene scene(IonGeneration::g3);
  Program<2, 3> client(scene);
  const std::uint64_t first = client.buffer(), second = client.buffer();
  CHECK(std::pair(first, second) == std::pair(std::uint64_t{1}, std::uint64_t{2}));
  Errno error = Errno::none;
  CHECK_FALSE(client.allocate(wanted, error));
  CHECK(error == Errno::no_memory);
  CHECK(scene.device.buffer_count() == 2);
  const auto shared = client.shared(first);
  CHECK(client.imported(shared) == first);
  {
    const auto draft = client.import(shared, error);  // the third
    CHECK(draft);
    CHECK_FALSE(client.import(shared, error));
    CHECK(error == Errno::no_memory);
  }
  CHECK(client.imported(shared) == first);
  CHECK(client.free(second, word) == Errno::none);
  CHECK(client.buffer() == second);  // the lowest that is free
}

TEST_CASE("before 3.10 a client may use heaps of some types only") {
  Scene scene(IonGeneration::g1);
  Program<> narrow(scene, 1U << msm_number(HeapType::system)), wide(scene, 1U << msm_number(HeapType::carveout));
  Errno error = Errno::none;
  CHECK_FALSE(narrow.allocate(wanted, error));
  CHECK(error != Errno::none);
  CHECK(wide.allocate(wanted, error));
}

TEST_CASE("who had a buffer's last handle is known, and a client's end is the end of his handles") {
  Scene scene(IonGeneration::g3);
  Program<> stays(scene, ~0U, Holder{{"stays"}, 7});
  DeviceScene::Shared::Ref shared;
  {
    Program<> goes(scene, ~0U, Holder{{"goes"}, 8});
    shared = goes.shared(goes.buffer());
    goes.buffer();
    CHECK(stays.imported(shared) == 1);
    CHECK(scene.device.buffer_count() == 2);
  }
  CHECK(scene.device.buffer_count() == 1);
  CHECK_FALSE(shared.extra().holders().last());
  CHECK(stays.with(1, word, [&](const auto& buffer, auto&) { return buffer == shared ? Errno::busy : Errno::none; }) ==
        Errno::busy);
  CHECK(stays.with(2, word, [](const auto&, auto&) { return Errno::none; }) == Errno::invalid);
  CHECK(stays.free(1, word) == Errno::none);
  REQUIRE(shared.extra().holders().last());
  CHECK(shared.extra().holders().last()->process == 7);
}

TEST_CASE_TEMPLATE_DEFINE(
    "row 25, A1 (CVE-2016-9120): of two that free one reference one does; nothing is used after its end", G, races) {
  Scene scene(G::value, Freeing::later);
  Program<> client(scene);
  std::atomic<std::uint64_t> current = 0;
  std::atomic<int> freed = 0, made = 0;
  std::atomic<bool> is_over = false;
  const auto race = [&] {
    while (!is_over.load()) {
      const std::uint64_t handle = current.load();
      if (handle == 0) continue;
      DeviceScene::Shared::Ref hold;
      Errno error = Errno::none;
      static_cast<void>(client.share(handle, word, hold));
      if (hold && freed.load() % 3 == 0) {
        auto draft = client.import(hold, error);  // another handle, where that one is gone
        const std::uint64_t again = draft ? draft->handle(word) : 0;
        if (draft) draft->keep(), ++made;
        if (client.free(again, word) == Errno::none) ++freed;
      }
      if (client.free(handle, word) == Errno::none) ++freed;
    }
  };
  std::thread one(race), two(race);
  for (int round = 0; round < 2000; ++round) {
    Errno error = Errno::none;
    auto draft = client.allocate(wanted, error);
    REQUIRE(draft);
    ++made;
    current = draft->handle(word);
    draft->keep();
    while (freed.load() != made.load()) std::this_thread::yield();
  }
  is_over = true;
  one.join(), two.join();
  scene.later.drain(HeapMask::all());
  CHECK(freed == made);
  CHECK(scene.device.buffer_count() == 0);
}
TEST_CASE_TEMPLATE_INVOKE(races, G1, G3);

namespace {

// Where the time of an ALLOC goes: memory of one size is there when somebody says so, or after ten seconds.
struct SlowPlatform : DevicePlatform {
  static constexpr std::uint64_t slow = 8192;

  Result<Memory> memory(Bytes size) noexcept {
    if (size == slow) {
      is_under_way = true;
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (!is_over && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      is_too_late = !is_over;
    }
    return DevicePlatform::memory(size);
  }
  std::atomic<bool> is_under_way = false, is_over = false, is_too_late = false;
};
struct SlowScene : SceneOver<SlowPlatform, scene_limits> {
  explicit SlowScene(Freeing freeing) : SceneOver(*read_toml(board), freeing) {}
};

// ALLOC of a thread of its own; the handle, or 0.
template <IonGeneration generation, class File>
std::uint64_t allocate(File& file, std::uint64_t length, std::uint32_t mask) {
  using W = IonAllocationWire<generation>;
  Caller caller;
  W::write({.length = length, .heap_mask = mask}, caller.bytes(), word);
  const auto code = Command::of(Direction::both, 'I', 0, static_cast<std::uint32_t>(W::length(word)));
  const Answer answer = file.ioctl(caller, code, Caller::start);
  return answer == done ? W::read(caller.bytes(), word).handle : 0;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("row 29: while an ALLOC of one heap is under way, handles of the others are had, shared and freed by all", G,
                          in_parallel) {
  constexpr auto generation = G::value;
  constexpr std::uint32_t system_heap = 1, carveout = 4;
  for (const Freeing freeing : {Freeing::at_once, Freeing::later}) {
    for (const std::uint32_t slow : {system_heap, carveout}) {
      const std::uint32_t fast = system_heap + carveout - slow;
      SlowScene scene(freeing);
      auto one = scene.open_ion<generation>(), other = scene.open_ion<generation>();
      std::uint64_t slow_one = 0;
      std::thread thread([&] { slow_one = allocate<generation>(one, SlowPlatform::slow, slow); });
      while (!scene.platform.is_under_way) std::this_thread::yield();
      for (int time = 0; time < 20; ++time) {
        for (auto* const file : {&other, &one}) {  // the client too that waits for it
          const std::uint64_t handle = allocate<generation>(*file, 4096, fast);
          CHECK(handle != 0);
          SlowScene::Shared::Ref hold;
          CHECK(file->client().share(handle, word, hold) == Errno::none);
          Errno error = Errno::none;
          auto& importer = file == &one ? other : one;
          auto draft = importer.client().import(hold, error);
          CHECK(draft);
          CHECK(file->client().free(handle, word) == Errno::none);
        }
        const IonHandleFile<SlowScene::Shared, L, generation> comes_and_goes(scene.ion_heaps, *scene.device.open(), scene.cookies,
                                                                             OpenFlags{OpenFlags::read_write});
      }
      CHECK_FALSE(scene.platform.is_too_late);
      scene.platform.is_over = true;
      thread.join();
      CHECK(slow_one != 0);
      CHECK_FALSE(scene.platform.is_too_late);
      CHECK(one.client().free(slow_one, word) == Errno::none);
      scene.later.drain(HeapMask::all());
      CHECK(scene.device.buffer_count() == 0);
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(in_parallel, G1, G3);
