#include <freestone/device/own_client.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include <freestone/core/result.hpp>

using namespace freestone;

namespace {

struct Clients {
  Result<void> close(ClientId id) { return closed.push_back(id.place), Result<void>(); }
  std::vector<std::uint32_t> closed;
};
using Own = device::OwnClient<Clients>;
using Closed = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("a client ends once, with whoever has him last") {
  Clients clients;
  {
    Own one(clients, {.place = 1});
    CHECK(one.id().place == 1);
    const Own moved(std::move(one));
    CHECK(moved.id().place == 1);
    CHECK(clients.closed.empty());
  }
  CHECK(clients.closed == Closed{1});
}

TEST_CASE("assigned, each goes on to where the other was, and both end, each of his own device") {
  Clients here, there;
  {
    Own one(here, {.place = 1});
    {
      Own two(there, {.place = 2});
      one = std::move(two);
      CHECK(one.id().place == 2);
    }
    CHECK(here.closed == Closed{1});
    CHECK(there.closed.empty());
  }
  CHECK(here.closed == Closed{1});
  CHECK(there.closed == Closed{2});
}
