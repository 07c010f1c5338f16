// A program for PMEM's regions, which says to a server what a test tells it to.
#pragma once

#include <cstdint>

#include <doctest/doctest.h>

#include <freestone/device/pmem/calls.hpp>

#include "support/ion_attackers.hpp"

namespace freestone::tests::attackers {

struct PmemProgram : NodeCaller {
  using NodeCaller::NodeCaller;

  std::int64_t command(device::Command code, std::uint64_t argument) {
    return ask({.ask = Ask::ioctl, .number = code.code, .address = argument}, node.get()).result;
  }
  std::int64_t allocate(std::uint64_t length) { return command(device::pmem::allocate, length); }
  std::int64_t connect(int fd) { return command(device::pmem::connect, static_cast<std::uint64_t>(fd)); }
  std::int64_t connect(const PmemProgram& master) { return connect(master.node.get()); }
  std::int64_t grant(std::uint64_t offset, std::uint64_t length) { return change(device::pmem::map, offset, length); }
  std::int64_t withdraw(std::uint64_t offset, std::uint64_t length) { return change(device::pmem::unmap, offset, length); }
  std::uint64_t length() {
    device::PmemRange range;
    if (call<device::PmemRangeWire>(device::pmem::get_size, range).result != 0) CHECK(false);
    return range.length;
  }
  std::uint64_t room() {
    device::PmemFreeSpace space;
    if (call<device::PmemFreeWire>(device::pmem::get_free_space, space).result != 0) CHECK(false);
    return space.total;
  }
  std::int64_t map(std::uint64_t length, std::uint64_t offset = 0) { return NodeCaller::map(node.get(), offset, length); }

 private:
  std::int64_t change(device::Command code, std::uint64_t offset, std::uint64_t length) {
    device::PmemRange range{offset, length};
    return call<device::PmemRangeWire>(code, range).result;
  }
};

}  // namespace freestone::tests::attackers
