#include <freestone/share/client.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include "support/boards.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

TEST_CASE("a client whom nobody opened has nothing, and takes no handle") {
  Client<4, lock::None> client;
  CHECK(!client.is_open);
  CHECK(client.handles.count() == 0);
  CHECK(client.handles.insert({0, 1, 1}) == nullptr);
  CHECK(client.heaps.is_empty());
}

TEST_CASE("an id that nobody gave is nobody's") {
  Board<> board;
  CHECK(ClientId() == ClientId());
  CHECK(ClientId() != board.client);
  CHECK(code_of(board.device.usage({})) == ErrorCode::no_client);
  const ClientId known = board.client;
  for (const ClientId guessed : {ClientId{known.place + 1, known.generation, known.number},
                                 ClientId{known.place, known.generation + 1, known.number},
                                 ClientId{known.place, known.generation, known.number + 1},
                                 ClientId{few.clients, known.generation, known.number}}) {
    CHECK(code_of(board.device.close(guessed)) == ErrorCode::no_client);
  }
  CHECK(board.device.usage(known));
}

TEST_CASE("an old client's id is nobody's, however many came after him") {
  Board<> board;
  auto& device = board.device;
  const ClientId old = *device.open();
  REQUIRE(device.close(old));
  ClientId last;
  for (std::uint32_t opens = 0; opens < few.clients * (Holds<>::most_generations + 2); ++opens) {
    last = *device.open();
    if (opens % 97 == 0) REQUIRE(code_of(device.usage(old)) == ErrorCode::no_client);
    if (last.place == old.place && last.generation == old.generation) {
      REQUIRE(code_of(device.close(old)) == ErrorCode::no_client);
      REQUIRE(device.usage(last));
    }
    REQUIRE(device.close(last));
  }
  CHECK(device.client_count() == 1);  // the board's own
}

TEST_CASE("he may use all heaps and has no quota, where nothing else is said") {
  const ClientSettings settings;
  CHECK(settings.heaps == HeapMask::all());
  CHECK(settings.quota.bytes == bits::all);
  CHECK(settings.quota.buffers == bits::all);
  Board<> board;
  const auto usage = board.device.usage(board.client);
  CHECK(usage->quota.bytes == bits::all);
  CHECK(usage->handles == 0);
}
