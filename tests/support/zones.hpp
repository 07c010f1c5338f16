// Zones for tests, and what is asked of them.
#pragma once

#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone::tests {

template <class S>
using Numbers = Zone<backing::OffsetSpace, S, lock::None, cache::Coherent>;
template <class S>
using OverWords = Zone<backing::Borrowed, S, lock::None, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// What a failed call must leave as it was.
template <class Z>
std::vector<Block> blocks_of(Z& zone) {
  std::vector<Block> blocks;
  zone.for_each_block([&](Block block) { blocks.push_back(block); });
  return blocks;
}

template <class Z, class Call>
ErrorCode code_of_unchanging(Z& zone, Call&& call) {
  const auto blocks = blocks_of(zone);
  const Stats stats = zone.stats();
  const ErrorCode code = code_of(call());
  CHECK(blocks_of(zone) == blocks);
  CHECK(zone.stats() == stats);
  return code;
}

}  // namespace freestone::tests
