#include <freestone/share/accounts.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {
constexpr Quota small{.bytes = 64_KiB, .buffers = 3};
}

TEST_CASE("an owner's clients have one account, and its quota is what his first one said") {
  Accounts<int, 2> accounts;
  const auto place = accounts.join(7, small);
  REQUIRE(place);
  CHECK(accounts.join(7, {.bytes = 1_GiB}) == place);
  CHECK(accounts.at(*place).owner == 7);
  CHECK(accounts.at(*place).clients == 2);
  CHECK(accounts.at(*place).quota.bytes == 64_KiB);
  CHECK(accounts.at(*place).quota.buffers == 3);
  const auto other = accounts.join(8, {});
  REQUIRE(other);
  CHECK(other != place);
  CHECK(accounts.at(*other).quota.bytes == bits::all);
}

TEST_CASE("as many owners as there are accounts, and one's own is found where they are all taken") {
  Accounts<int, 2> accounts;
  const auto first = accounts.join(1, {});
  const auto second = accounts.join(2, {});
  CHECK(!accounts.join(3, {}));
  CHECK(accounts.join(2, {}) == second);
  CHECK(accounts.at(*second).clients == 2);
  accounts.leave(*first);
  CHECK(!accounts.at(*first).owner);
  CHECK(accounts.join(3, small) == first);
  CHECK(accounts.at(*first).quota.buffers == 3);
}

TEST_CASE("an account stays while a client or a buffer of its owner does") {
  Accounts<int, 2> accounts;
  const std::uint32_t place = *accounts.join(1, small);
  REQUIRE(accounts.charge(place, 60_KiB));
  REQUIRE(accounts.charge(place, 4_KiB));
  accounts.leave(place);
  CHECK(accounts.at(place).owner == 1);
  CHECK(accounts.join(1, {}) == place);  // nobody gets rid of what he made by leaving
  CHECK(accounts.left(place) == 0);
  CHECK(!accounts.charge(place, 1));
  accounts.leave(place);
  accounts.discharge(place, 4_KiB);
  CHECK(accounts.at(place).owner == 1);
  accounts.discharge(place, 60_KiB);
  CHECK(!accounts.at(place).owner);
  CHECK(*accounts.join(1, {}) == place);
  CHECK(accounts.at(place).quota.bytes == bits::all);  // he is new
}

TEST_CASE("up to the quota in bytes, and in buffers, and not one beyond") {
  Accounts<int, 1> accounts;
  const std::uint32_t place = *accounts.join(1, small);
  CHECK(!accounts.charge(place, 64_KiB + 1));
  CHECK(!accounts.charge(place, bits::all));
  CHECK(*accounts.charge(place, 64_KiB - 1) == 64_KiB - 1);
  CHECK(accounts.left(place) == 1);
  CHECK(accounts.charge(place, 2).error() == Error{.code = ErrorCode::over_quota, .asked = 2, .available = 1});
  CHECK(accounts.at(place).bytes == 64_KiB - 1);
  CHECK(accounts.at(place).buffers == 1);
  CHECK(accounts.charge(place, 1));
  CHECK(accounts.charge(place, 0));
  CHECK(accounts.charge(place, 0).error() == Error{.code = ErrorCode::over_buffer_quota, .asked = 4, .available = 3});
  CHECK(accounts.at(place).buffers == 3);

  Accounts<int, 1> none;
  const std::uint32_t nothing = *none.join(1, {.bytes = 0, .buffers = 0});
  CHECK(!none.charge(nothing, 0));
  CHECK(!none.charge(nothing, 1));
}

TEST_CASE("what a buffer is charged is settled when its size is known") {
  Accounts<int, 1> accounts;
  const std::uint32_t place = *accounts.join(1, small);
  const Bytes charged = *accounts.charge(place, 60'000);
  CHECK(accounts.settle(place, charged, 60_KiB));
  CHECK(accounts.at(place).bytes == 60_KiB);
  CHECK(accounts.settle(place, 60_KiB, 61_KiB));
  CHECK(accounts.settle(place, 61_KiB, 50_KiB));
  CHECK(accounts.settle(place, 50_KiB, 65_KiB).error() == Error{.code = ErrorCode::over_quota, .asked = 65 * 1024, .available = 64 * 1024});
  CHECK(accounts.at(place).bytes == 50_KiB);
  CHECK(accounts.settle(place, 50_KiB, 64_KiB));
  CHECK(accounts.at(place).buffers == 1);
  accounts.discharge(place, 64_KiB);
  CHECK(accounts.at(place).bytes == 0);
}

TEST_CASE("a buffer moves to another's account where that one's quota allows it, and his first is closed if it is empty") {
  Accounts<int, 2> accounts;
  const std::uint32_t maker = *accounts.join(1, small);
  const std::uint32_t keeper = *accounts.join(2, {.bytes = 40_KiB, .buffers = 2});
  REQUIRE(accounts.charge(maker, 32_KiB));
  REQUIRE(accounts.charge(maker, 8_KiB));
  accounts.leave(maker);
  CHECK(accounts.move(maker, maker, 8_KiB));
  CHECK(accounts.move(maker, keeper, 32_KiB));
  CHECK(accounts.at(maker).bytes == 8_KiB);
  CHECK(accounts.at(maker).buffers == 1);
  CHECK(accounts.at(keeper).bytes == 32_KiB);
  CHECK(accounts.move(maker, keeper, 8_KiB + 1).error().code == ErrorCode::over_quota);
  CHECK(accounts.at(maker).owner == 1);
  CHECK(accounts.move(maker, keeper, 8_KiB));
  CHECK(!accounts.at(maker).owner);
  CHECK(accounts.at(keeper).buffers == 2);
  const std::uint32_t next = *accounts.join(3, {});
  REQUIRE(accounts.charge(next, bits::all - 1));
  REQUIRE(accounts.settle(next, 0, 4_KiB));
  CHECK(accounts.move(next, keeper, 4_KiB).error().code == ErrorCode::over_buffer_quota);
  accounts.discharge(keeper, 32_KiB);
  accounts.discharge(keeper, 8_KiB);
  REQUIRE(accounts.charge(keeper, 1_KiB));
  CHECK(accounts.move(keeper, next, 1_KiB));  // he has no limit, and all is charged
  CHECK(accounts.at(next).bytes == 5_KiB);
}

TEST_CASE("no quota bounds nothing: whoever is asked for the bytes says what is too much") {
  Accounts<int, 1> accounts;
  const std::uint32_t place = *accounts.join(1, {});
  REQUIRE(accounts.charge(place, 1_GiB));
  CHECK(accounts.at(place).bytes == 0);
  REQUIRE(accounts.settle(place, 0, 1_GiB));
  CHECK(accounts.at(place).bytes == 1_GiB);
  CHECK(*accounts.charge(place, bits::all) == 0);
  CHECK(*accounts.charge(place, bits::all - 1) == 0);
  CHECK(accounts.at(place).bytes == 1_GiB);
  CHECK(accounts.at(place).buffers == 3);
  Accounts<int, 1> almost;
  const std::uint32_t bounded = *almost.join(1, {.bytes = bits::all - 1});
  REQUIRE(almost.charge(bounded, 1_GiB));
  CHECK(!almost.charge(bounded, bits::all));
  CHECK(!almost.charge(bounded, bits::all - 1_GiB));
  CHECK(almost.charge(bounded, bits::all - 1 - 1_GiB));
}

TEST_CASE("an owner is anything that can be compared") {
  Accounts<std::string, 2> accounts;
  const auto place = accounts.join("camera", {});
  CHECK(accounts.join(std::string("cam") + "era", {}) == place);
  CHECK(accounts.join("display", {}) != place);
}

TEST_CASE("whoever joins, leaves and makes, the accounts are the model's") {
  struct Model {
    std::uint32_t place;
    Quota quota;
    std::uint32_t clients = 1;
    std::vector<std::uint64_t> buffers = {};
    std::uint64_t bytes() const {
      std::uint64_t sum = 0;
      for (const std::uint64_t size : buffers) sum += size;
      return sum;
    }
  };
  Random random(seed());
  for (int round = 0; round < 30; ++round) {
    Accounts<int, 4> accounts;
    std::map<int, Model> model;
    for (int step = 0; step < 2'000; ++step) {
      const int owner = static_cast<int>(random.below(6));
      const auto at = model.find(owner);
      const auto what = random.below(100);
      if (what < 20) {
        const Quota quota{.bytes = random.chance(30) ? bits::all : random.below(64), .buffers = random.below(8)};
        const auto place = accounts.join(owner, quota);
        REQUIRE(static_cast<bool>(place) == (at != model.end() || model.size() < 4));
        if (at != model.end()) {
          REQUIRE(*place == at->second.place);
          ++at->second.clients;
        } else if (place) {
          for (const auto& [known, one] : model) REQUIRE(one.place != *place);
          model.emplace(owner, Model{*place, quota});
        }
        continue;
      }
      if (at == model.end()) continue;
      auto& [place, quota, clients, buffers] = at->second;
      if (what < 40 && clients != 0) {
        accounts.leave(place);
        --clients;
      } else if (what < 70) {
        const std::uint64_t size = random.below(32);
        const bool can = buffers.size() < quota.buffers && at->second.bytes() + size <= quota.bytes.value();
        const auto charged = accounts.charge(place, size);
        REQUIRE(static_cast<bool>(charged) == can);
        if (!can) {
          const bool is_full = buffers.size() >= quota.buffers;
          REQUIRE(charged.error().code == (is_full ? ErrorCode::over_buffer_quota : ErrorCode::over_quota));
          continue;
        }
        const std::uint64_t real = size + random.below(4);
        const bool fits = at->second.bytes() + real <= quota.bytes.value();
        REQUIRE(static_cast<bool>(accounts.settle(place, *charged, real)) == fits);
        if (fits) {
          buffers.push_back(real);
        } else {
          accounts.discharge(place, *charged);
        }
      } else if (what < 80 && !buffers.empty()) {
        const auto to = model.find(static_cast<int>(random.below(6)));
        if (to == model.end()) continue;
        Model& his = to->second;
        const std::uint64_t size = buffers.back();
        const bool can = to == at || (his.buffers.size() < his.quota.buffers && his.bytes() + size <= his.quota.bytes.value());
        REQUIRE(static_cast<bool>(accounts.move(place, his.place, size)) == can);
        if (can) buffers.pop_back(), his.buffers.push_back(size);
      } else if (!buffers.empty()) {
        std::swap(buffers[static_cast<std::size_t>(random.below(buffers.size()))], buffers.back());
        accounts.discharge(place, buffers.back());
        buffers.pop_back();
      }
      const bool is_open = clients != 0 || !buffers.empty();
      const std::uint32_t its = place;
      REQUIRE(static_cast<bool>(accounts.at(its).owner) == is_open);
      if (!is_open) model.erase(at);
      for (const auto& [known, one] : model) {
        const auto& account = accounts.at(one.place);
        REQUIRE(account.owner == known);
        REQUIRE(account.clients == one.clients);
        REQUIRE(account.buffers == one.buffers.size());
        REQUIRE(account.bytes == one.bytes());
        REQUIRE(account.quota.bytes == one.quota.bytes);
        REQUIRE(accounts.left(one.place) == one.quota.bytes.value() - one.bytes());
      }
    }
  }
}
