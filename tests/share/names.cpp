#include <freestone/share/names.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <freestone/lock/os/mutex.hpp>
#include "support/boards.hpp"
#include "support/effort.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using D = Shared<lock::None>;
using Name = BlockName<>;

template <class N>
std::vector<std::string> listed(N& names) {
  std::vector<std::string> list;
  names.for_each([&](const auto& one) { list.emplace_back(one.name.c_str()); });
  return list;
}
using List = std::vector<std::string>;

}  // namespace

TEST_CASE("who knows the name gets the buffer, and whole names are compared") {
  Board<> board;
  Names<D> names(board.device);
  const auto ref = board.buffer();
  REQUIRE(names.publish(1, "emac1_buff", ref, NamePolicy::kept));
  CHECK(names.open("emac1_buff")->id() == ref.id());
  for (const char* text : {"emac1", "emac1_buf", "emac1_buffe", "EMAC1_BUFF", "e"}) {
    CHECK(code_of(names.open(*Name::of(text))) == ErrorCode::unknown_name);
    CHECK(code_of(names.withdraw(1, *Name::of(text))) == ErrorCode::unknown_name);
  }
  const auto other = board.buffer();
  REQUIRE(names.publish(1, "emac1", other, NamePolicy::kept));
  CHECK(names.open("emac1")->id() == other.id());
  CHECK(names.open("emac1_buff")->id() == ref.id());
}

TEST_CASE("a kept buffer is there for who comes later, and counts as its maker's") {
  Board<> board;
  Names<D> names(board.device);
  const ClientId camera = *board.device.open_for(7, {.quota = {.bytes = 8_KiB}});
  {
    const Handle handle = *board.device.allocate(camera, {.size = 8_KiB});
    const auto ref = *board.device.share(camera, handle);
    REQUIRE(names.publish(7, "frame", ref, NamePolicy::kept));
    board.zone.data(ref.parts().blocks[0])[5] = std::byte{42};
  }
  REQUIRE(board.device.close(camera));  // the mode is over
  CHECK(board.buffers() == 1);
  const ClientId again = *board.device.open_for(7);
  CHECK(code_of(board.device.allocate(again, {.size = 1})) == ErrorCode::over_quota);
  {
    const auto found = names.open("frame");
    REQUIRE(found);
    const Handle handle = *board.device.import(again, *found);
    CHECK(board.zone.data(found->parts().blocks[0])[5] == std::byte{42});
    CHECK(board.device.free(again, handle));
  }
  CHECK(code_of(board.device.allocate(again, {.size = 1})) == ErrorCode::over_quota);
  REQUIRE(names.withdraw(7, "frame"));
  CHECK(board.buffers() == 0);
  CHECK(board.device.allocate(again, {.size = 1}));
}

TEST_CASE("a name whose buffer nobody else holds is gone with it") {
  Board<> board;
  Names<D> names(board.device);
  auto ref = board.buffer();
  REQUIRE(names.publish(1, "frame", ref, NamePolicy::while_held));
  CHECK(board.device.info(ref).holds == 1);
  {
    const auto found = names.open("frame");
    ref = {};
    CHECK(names.open("frame")->id() == found->id());
    CHECK(listed(names) == List{"frame"});
  }
  CHECK(board.buffers() == 0);
  SUBCASE("to who opens it") { CHECK(code_of(names.open("frame")) == ErrorCode::unknown_name); }
  SUBCASE("to who withdraws it") { CHECK(code_of(names.withdraw(1, "frame")) == ErrorCode::unknown_name); }
  SUBCASE("to who is not its owner") { CHECK(code_of(names.withdraw(2, "frame")) == ErrorCode::unknown_name); }
  SUBCASE("to who lists") { CHECK(listed(names).empty()); }
  const auto next = board.buffer();
  CHECK(names.publish(2, "frame", next, NamePolicy::while_held));
  CHECK(names.open("frame")->id() == next.id());
}

TEST_CASE("its owner withdraws a name, and who may do all; nobody loses the buffer by that") {
  Board<> board;
  Names<D> names(board.device);
  const auto ref = board.buffer();
  for (const NamePolicy policy : {NamePolicy::kept, NamePolicy::while_held}) {
    REQUIRE(names.publish(1, "frame", ref, policy));
    CHECK(code_of(names.publish(1, "frame", ref, policy)) == ErrorCode::exists);
    CHECK(code_of(names.publish(2, "frame", board.buffer(), policy)) == ErrorCode::exists);
    CHECK(code_of(names.withdraw(2, "frame")) == ErrorCode::not_owner);
    CHECK(board.device.info(ref).holds == (policy == NamePolicy::kept ? 2 : 1));
    REQUIRE(names.withdraw(1, "frame"));
    CHECK(code_of(names.withdraw(1, "frame")) == ErrorCode::unknown_name);
    CHECK(code_of(names.open("frame")) == ErrorCode::unknown_name);
    REQUIRE(names.publish(2, "frame", ref, policy));
    REQUIRE(names.withdraw_any("frame"));
    CHECK(code_of(names.withdraw_any("frame")) == ErrorCode::unknown_name);
    CHECK(board.device.info(ref).holds == 1);
  }
}

TEST_CASE("what is no buffer of this device gets no name") {
  Board<> board, other_board;
  Names<D> names(board.device);
  const auto ref = board.buffer();
  const auto foreign = other_board.buffer();
  CHECK(ref.id() == foreign.id());
  const auto refused = [&](auto&& call) {
    const ErrorCode code = code_of(call());
    CHECK(listed(names).empty());
    CHECK(board.device.info(ref).holds == 1);
    CHECK(other_board.device.info(foreign).holds == 1);
    return code;
  };
  for (const NamePolicy policy : {NamePolicy::kept, NamePolicy::while_held}) {
    CHECK(refused([&] { return names.publish(1, "x", foreign, policy); }) == ErrorCode::no_buffer);
    CHECK(refused([&] { return names.publish(1, "x", D::Ref(), policy); }) == ErrorCode::no_buffer);
    CHECK(refused([&] { return names.publish(1, Name(), ref, policy); }) == ErrorCode::bad_name);
  }
  CHECK(code_of(names.open(Name())) == ErrorCode::unknown_name);
}

TEST_CASE("a full table refuses, but names whose buffers are gone make room") {
  Board<> board;
  Names<D, 3> names(board.device);
  const auto ref = board.buffer();
  auto second = board.buffer();
  REQUIRE(names.publish(1, "a", ref, NamePolicy::kept));
  REQUIRE(names.publish(1, "b", second, NamePolicy::while_held));
  REQUIRE(names.publish(1, "c", ref, NamePolicy::while_held));
  CHECK(code_of(names.publish(1, "d", ref, NamePolicy::kept)) == ErrorCode::too_many_names);
  CHECK(code_of(names.publish(1, "c", ref, NamePolicy::kept)) == ErrorCode::exists);
  CHECK(listed(names) == List{"c", "b", "a"});
  CHECK(board.device.info(ref).holds == 2);
  second = {};
  REQUIRE(names.publish(1, "d", ref, NamePolicy::kept));
  CHECK(listed(names) == List{"d", "c", "a"});
}

TEST_CASE("who publishes without end is stopped, others publish, and all of his go at once") {
  Board<> board;
  Names<D, 8> names(board.device, 3);
  const auto ref = board.buffer();
  auto his = board.buffer();
  const auto publish = [&](int owner, const char* text, const D::Ref& buffer, NamePolicy policy = NamePolicy::kept) {
    const auto done = names.publish(owner, *Name::of(text), buffer, policy);
    if (!done) CHECK(done.error().available == 3);
    return code_of(done);
  };
  CHECK(publish(7, "a", his) == ErrorCode::none);
  CHECK(publish(7, "b", his, NamePolicy::while_held) == ErrorCode::none);
  CHECK(publish(7, "c", ref) == ErrorCode::none);
  CHECK(publish(7, "d", his) == ErrorCode::too_many_names);
  CHECK(publish(1, "e", ref) == ErrorCode::none);
  CHECK(listed(names) == List{"e", "c", "b", "a"});
  REQUIRE(names.withdraw(7, "a"));
  CHECK(publish(7, "d", ref) == ErrorCode::none);
  CHECK(publish(7, "a", ref) == ErrorCode::too_many_names);
  his = {};  // and with it "b"
  CHECK(publish(7, "a", ref) == ErrorCode::none);
  CHECK(listed(names) == List{"a", "d", "e", "c"});
  CHECK(names.withdraw_all(7) == 3);
  CHECK(names.withdraw_all(7) == 0);
  CHECK(listed(names) == List{"e"});
  CHECK(board.device.info(ref).holds == 2);
  CHECK(names.withdraw_all(1) == 1);
  CHECK(board.device.info(ref).holds == 1);
}

TEST_CASE("all names of an owner go with the buffers that nobody else has; those whose buffers are gone do not count") {
  Board<> board;
  Names<D> names(board.device);
  const auto ref = board.buffer();
  REQUIRE(names.publish(7, "kept", board.buffer(), NamePolicy::kept));
  REQUIRE(names.publish(7, "gone", board.buffer(), NamePolicy::while_held));
  REQUIRE(names.publish(7, "held", ref, NamePolicy::while_held));
  CHECK(board.buffers() == 2);
  CHECK(names.withdraw_all(7) == 2);
  CHECK(board.buffers() == 1);
  CHECK(listed(names).empty());
}

TEST_CASE("they are listed newest first, and who lists may do what he likes") {
  Board<> board;
  Names<D> names(board.device);
  const auto ref = board.buffer(12_KiB);
  for (const char* text : {"one", "two", "three", "four"}) REQUIRE(names.publish(1, *Name::of(text), ref, NamePolicy::kept));
  REQUIRE(names.withdraw(1, "two"));
  REQUIRE(names.publish(2, "five", ref, NamePolicy::while_held));
  CHECK(listed(names) == List{"five", "four", "three", "one"});
  int shown = 0;
  names.for_each([&](const Names<D>::Published& one) {
    CHECK(one.buffer.id() == ref.id());
    CHECK(one.buffer.parts().size == 12_KiB);
    CHECK((one.owner == 2) == (one.name == Name("five")));
    CHECK((one.policy == NamePolicy::kept) == (one.owner == 1));
    if (++shown == 1) CHECK(names.publish(1, "six", ref, NamePolicy::kept));
    CHECK(names.withdraw_any(one.name));
  });
  CHECK(shown == 4);
  CHECK(listed(names) == List{"six"});
}

TEST_CASE("a buffer that as many hold as can is listed, and cannot be opened") {
  Board<> board;
  Names<D> names(board.device);
  std::vector<D::Ref> refs;
  refs.reserve(Holds<>::most);
  refs.push_back(board.buffer());
  REQUIRE(names.publish(1, "full", refs[0], NamePolicy::kept));
  while (auto ref = board.device.ref(refs[0].id())) refs.push_back(*std::move(ref));
  CHECK(code_of(names.open("full")) == ErrorCode::too_many_holds);
  CHECK(code_of(names.publish(1, "more", refs[0], NamePolicy::kept)) == ErrorCode::too_many_holds);
  CHECK(listed(names) == List{"full"});
  CHECK(code_of(names.withdraw(2, "full")) == ErrorCode::not_owner);
  CHECK(names.withdraw(1, "full"));
}

TEST_CASE("whatever is published and withdrawn, the names are the model's") {
  struct Model {
    BufferId id;
    int owner;
    NamePolicy policy;
    int order;
  };
  Random random(seed());
  for (int round = 0; round < 30; ++round) {
    Board<> board;
    Names<D, 6> names(board.device, 4);
    std::map<std::string, Model> model;
    std::vector<D::Ref> refs;
    int order = 0;
    const auto is_live = [&](BufferId id) {
      return std::any_of(refs.begin(), refs.end(), [&](const D::Ref& ref) { return ref.id() == id; }) ||
             std::any_of(model.begin(), model.end(),
                         [&](const auto& one) { return one.second.policy == NamePolicy::kept && one.second.id == id; });
    };
    const auto count_of = [&](int owner) {
      return std::count_if(model.begin(), model.end(), [&](const auto& one) { return one.second.owner == owner; });
    };
    const auto sweep = [&] { std::erase_if(model, [&](const auto& one) { return !is_live(one.second.id); }); };
    for (int step = 0; step < some_of(2'000); ++step) {
      const std::string text(1 + static_cast<std::size_t>(random.below(4)), static_cast<char>('a' + random.below(2)));
      const Name name = *Name::of(text.c_str());
      const int owner = static_cast<int>(random.below(2));
      const auto at = model.find(text);
      const auto what = random.below(100);
      if (what < 20 && refs.size() < 8) {
        refs.push_back(board.buffer());
      } else if (what < 35 && !refs.empty()) {
        refs.erase(refs.begin() + static_cast<std::ptrdiff_t>(random.below(refs.size())));
        sweep();
      } else if (what < 60 && !refs.empty()) {
        const auto& ref = refs[static_cast<std::size_t>(random.below(refs.size()))];
        const auto policy = static_cast<NamePolicy>(random.below(2));
        const ErrorCode expected = at != model.end()                           ? ErrorCode::exists
                                   : model.size() == 6 || count_of(owner) == 4 ? ErrorCode::too_many_names
                                                                               : ErrorCode::none;
        REQUIRE(code_of(names.publish(owner, name, ref, policy)) == expected);
        if (expected == ErrorCode::none) model[text] = {ref.id(), owner, policy, ++order};
      } else if (what < 80) {
        const auto got = names.open(name);
        REQUIRE(static_cast<bool>(got) == (at != model.end()));
        if (got) REQUIRE(got->id() == at->second.id);
      } else if (what < 95) {
        const ErrorCode expected = at == model.end()           ? ErrorCode::unknown_name
                                   : at->second.owner == owner ? ErrorCode::none
                                                               : ErrorCode::not_owner;
        REQUIRE(code_of(names.withdraw(owner, name)) == expected);
        if (expected == ErrorCode::none) model.erase(at);
        sweep();
      } else if (what < 96) {
        const auto his = static_cast<std::size_t>(count_of(owner));
        const std::size_t went = names.withdraw_all(owner);
        REQUIRE(((his == 0) == (went == 0) && went <= his));  // a kept name's buffer may have had others of them
        std::erase_if(model, [&](const auto& one) { return one.second.owner == owner; });
        sweep();
      } else {
        std::vector<std::pair<int, std::string>> expected;
        for (const auto& [published, one] : model) expected.emplace_back(-one.order, published);
        std::sort(expected.begin(), expected.end());
        List list;
        for (const auto& one : expected) list.push_back(one.second);
        REQUIRE(listed(names) == list);
      }
      std::vector<std::uint32_t> live;
      for (const auto& ref : refs) live.push_back(ref.id().place);
      for (const auto& [published, one] : model) live.push_back(one.id.place);
      std::sort(live.begin(), live.end());
      const auto end = std::unique(live.begin(), live.end());
      REQUIRE(board.buffers() == static_cast<std::uint64_t>(end - live.begin()));
    }
  }
}

// The race that matters: the last holder leaves while others open the name. What they get is the buffer that was
// published, never one that is on its way back or somebody else's by now; a race would be seen by TSan too.
TEST_CASE("threads publish, open, withdraw and let go, and nobody gets what he should not") {
  Board<lock::Mutex> board;
  using Many = Names<Shared<lock::Mutex>, 8, lock::Mutex>;
  auto names = std::make_unique<Many>(board.device);
  std::atomic<std::uint64_t> opened = 0, wrong = 0;
  const auto work = [&](unsigned thread) {
    Random random(seed() + thread);
    const auto client = board.device.open_for(static_cast<int>(thread));
    for (int step = 0; step < 4'000; ++step) {
      const auto letter = static_cast<char>('a' + random.below(3));
      const char text[2] = {letter, '\0'};
      const Name name = *Name::of(text);
      const auto what = random.below(10);
      if (what < 4) {
        const auto handle = board.device.allocate(*client, {.size = 4_KiB});
        if (!handle) continue;
        {
          const auto ref = *board.device.share(*client, *handle);
          for (std::byte& byte : board.zone.data(ref.parts().blocks[0]).first(64)) {
            wrong += byte != std::byte{0};
            byte = static_cast<std::byte>(letter);
          }
          static_cast<void>(names->publish(static_cast<int>(thread), name, ref,
                                           random.chance(70) ? NamePolicy::while_held : NamePolicy::kept));
        }
        static_cast<void>(board.device.free(*client, *handle));
      } else if (what < 8) {
        const auto ref = names->open(name);
        if (!ref) continue;
        ++opened;
        for (const std::byte byte : board.zone.data(ref->parts().blocks[0]).first(64)) {
          wrong += byte != static_cast<std::byte>(letter);
        }
      } else if (what < 9) {
        static_cast<void>(names->withdraw(static_cast<int>(thread), name));
      } else {
        names->for_each([&](const Many::Published& one) {
          const std::byte expected = static_cast<std::byte>(one.name.c_str()[0]);
          if (one.buffer) wrong += board.zone.data(one.buffer.parts().blocks[0])[0] != expected;
        });
      }
    }
    static_cast<void>(board.device.close(*client));
  };
  std::vector<std::thread> threads;
  for (unsigned thread = 2; thread < 6; ++thread) threads.emplace_back(work, thread);
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(opened > 0);
  names.reset();
  CHECK(board.buffers() == 0);
}

// Generations are counted in 12 bits: they come again, and so would a buffer that is not the one that was published.
TEST_CASE("a name whose buffer is gone is nobody else's, however many buffers came since") {
  Board<> board;
  Names<D> names(board.device);
  REQUIRE(names.publish(1, "old", board.buffer(), NamePolicy::while_held));
  const std::uint64_t round = std::uint64_t{few.buffers} * Holds<>::most_generations;
  for (std::uint64_t made = 1; made < round; ++made) static_cast<void>(board.buffer());
  const auto stranger = board.buffer();  // it lies in the same place, and has the same generation
  CHECK(code_of(names.open("old")) == ErrorCode::unknown_name);
  CHECK(board.device.info(stranger).holds == 1);
}
