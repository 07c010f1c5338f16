#include <freestone/device/mmz/file.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/mmz_scene.hpp"

using namespace freestone;
using namespace freestone::tests;
using device::Errno;
using device::MmzCommand;
using device::WordSize;

namespace {

constexpr std::uint64_t page = 4096, base = 0x4600'0000;
constexpr std::int64_t EPERM_ = -1, EIO_ = -5, ENOMEM_ = -12, EFAULT_ = -14, EBUSY_ = -16, EINVAL_ = -22;
constexpr std::string_view one_zone = "mmz=anonymous,0,0x46000000,64K mmz_allocator=hisi";
constexpr MmzGeneration g2 = MmzGeneration::g2, g3 = MmzGeneration::g3, g4 = MmzGeneration::g4, g5 = MmzGeneration::g5;

std::uint64_t room(MmzScene& scene) { return scene.free_bytes("anonymous"); }
std::string_view line_of(MmzGeneration generation) {
  return generation == g2   ? "mmz=anonymous,0,0x46000000,64K anony=1"
         : generation == g5 ? "mmz=anonymous,0,0x46000000,64K mmz_allocator=ot"
                            : one_zone;
}

struct Fixture {
  MmzScene scene{one_zone};
  MmzOpen<> node{scene};
  MmzCaller<> caller{scene};
};

// Row 1, of a caller with that word size, whose struct has that length.
template <MmzGeneration generation>
void check_decoder(WordSize word) {
  MmzScene scene(line_of(generation), generation);
  MmzOpen<generation> node(scene);
  MmzCaller<generation> caller(scene, word);
  CHECK(caller.allocate(node, page) == static_cast<std::int64_t>(base));
  CHECK(caller.attributes(node, base).size == page);
  const device::Command attributes = device::mmz_command<generation>(MmzCommand::attributes, word);
  const auto call = [&](std::uint32_t code, std::uint64_t argument) { return node.file.ioctl(caller, {code}, argument).value(); };
  CHECK(call(attributes.code, 0) == EINVAL_);
  CHECK(call(attributes.code, 4) == EFAULT_);
  CHECK(call(attributes.code, Caller::start + Caller::length - 8) == EFAULT_);
  CHECK(call((attributes.code & 0xffff'00ff) | 'x' << 8, Caller::start) == EINVAL_);
  CHECK(call((attributes.code & 0xffff'ff00) | 99, Caller::start) == EINVAL_);
  CHECK(call((attributes.code & 0xc000'ffff) | 137 << 16, Caller::start) == EINVAL_);  // longer than any kernel's
  CHECK(call((attributes.code & 0x3fff'ffff), Caller::start) == 0);                    // the direction is not looked at
  const auto info = caller.template get<std::uint32_t>(0);
  CHECK(info == base);
  MmzOpen<generation> other(scene);  // what it does not know of, it does not free
  CHECK(caller.call(other, MmzCommand::free, base) == EPERM_);
  CHECK(caller.call(node, MmzCommand::free, base) == 0);
}

}  // namespace

TEST_CASE("row 1: the decoder takes each generation's struct; what is wrong in a number is EINVAL, memory that faults EFAULT") {
  check_decoder<g2>(WordSize::bits32);
  check_decoder<g3>(WordSize::bits32);
  check_decoder<g4>(WordSize::bits32);
  check_decoder<g4>(WordSize::bits64);
  check_decoder<g5>(WordSize::bits32);
  check_decoder<g5>(WordSize::bits64);
}

TEST_CASE("row 1: a 32-bit program made for a 64-bit kernel has that one's struct") {
  Fixture f;
  MmzCaller<> narrow(f.scene, WordSize::bits32);
  auto info = MmzCaller<>::wanted(page);
  const std::span<std::byte> there = narrow.bytes().first(MmzCaller<>::InfoWire::length(WordSize::bits64));
  MmzCaller<>::InfoWire::write(info, there, WordSize::bits64);
  CHECK(f.node.file.ioctl(narrow, {0xc0686d0a}, Caller::start).value() == 0);
  CHECK(narrow.get<std::uint64_t>(0) == base);
  narrow.put(0, base);
  CHECK(f.node.file.ioctl(narrow, {0x4088740b}, Caller::start).value() == 0);  // TEST_CACHE, as long as the kernel's
}

TEST_CASE("row 1: what a failed copy back leaves is the file's, until it is closed") {
  Fixture f;
  f.caller.set_writable(0);
  CHECK(f.caller.allocate(f.node, page) == EFAULT_);
  CHECK(room(f.scene) == 15 * page);
}

TEST_CASE("TEST_CACHE does nothing, of a struct as long as the kernel's") {
  Fixture f;
  CHECK(f.caller.allocate(f.node, page) == static_cast<std::int64_t>(base));
  CHECK(f.caller.call(f.node, MmzCommand::test_cache, base) == EINVAL_);
  f.caller.put(0, base);
  CHECK(f.node.file.ioctl(f.caller, {0x4088740b}, Caller::start).value() == 0);
  f.caller.put(0, base + page);
  CHECK(f.node.file.ioctl(f.caller, {0x4088740b}, Caller::start).value() == EPERM_);
}

TEST_CASE("row 8: what cannot be is ENOMEM, and the caller's struct is as it was") {
  Fixture f;
  for (const std::uint64_t size : {std::uint64_t{0}, 17 * page, (std::uint64_t{1} << 30) + 1, ~std::uint64_t{0}}) {
    auto info = MmzCaller<>::wanted(size);
    info.physical = 0x1234;
    CHECK(f.caller.call(f.node, MmzCommand::allocate, info) == ENOMEM_);
    CHECK(info.physical == 0x1234);
    CHECK(f.caller.allocate_v2(f.node, size) == ENOMEM_);
  }
  CHECK(f.caller.allocate_v2(f.node, page, 2) == ENOMEM_);
  CHECK(f.caller.allocate_v2(f.node, page, 1) == static_cast<std::int64_t>(base + 15 * page));
  CHECK(f.caller.allocate(f.node, page, 0, "window") == ENOMEM_);
  f.scene.platform.has_memory = false;
  CHECK(f.caller.allocate(f.node, page) == ENOMEM_);
  CHECK(room(f.scene) == 15 * page);
}

TEST_CASE("a file has so many blocks") {
  Fixture f;
  MmzScene wide("mmz=anonymous,0,0x46000000,1M mmz_allocator=hisi");
  MmzOpen<> node(wide);
  for (unsigned at = 0; at < 16; ++at) CHECK(f.caller.allocate(node, page) == static_cast<std::int64_t>(base + at * page));
  CHECK(f.caller.allocate(node, page) == ENOMEM_);
  CHECK(room(wide) == (256 - 16) * page);
}

TEST_CASE("row 9: ATTR tells the block's own address and the size that was asked for, of any address in it from the third generation on") {
  Fixture f;
  CHECK(f.caller.allocate(f.node, page + 1, 0x3000) == static_cast<std::int64_t>(base + 0x2000));  // 0x46002000 is 0x3000's multiple
  const auto info = f.caller.attributes(f.node, base + 0x2000 + page);
  CHECK(info.physical == base + 0x2000);
  CHECK(info.size == page + 1);
  CHECK(info.align == 0x3000);
  CHECK(info.mapped == 0);
  CHECK(info.bits == 0x101);  // read-only, shared
  CHECK(std::string_view(info.name.data()) == "block");
  CHECK(f.caller.call(f.node, MmzCommand::attributes, base + 0x2000 + page + 1) == EPERM_);  // the page's rest
  CHECK(f.caller.call(f.node, MmzCommand::attributes, base) == EPERM_);

  MmzScene early(line_of(g2), g2);
  MmzOpen<g2> node(early);
  MmzCaller<g2> caller(early, WordSize::bits32);
  CHECK(caller.allocate(node, 2 * page) == static_cast<std::int64_t>(base));
  CHECK(caller.call(node, MmzCommand::attributes, base) == 0);
  CHECK(caller.call(node, MmzCommand::attributes, base + 1) == EPERM_);
}

TEST_CASE("row 30: what a caller sets in the struct beside what he asks for has no effect") {
  Fixture f;
  auto info = MmzCaller<>::wanted(page);
  info.mapped = 0xdead'0000;
  info.bits = ~std::uint64_t{0};
  f.caller.fill(std::byte{0xff});  // the kernel's counts behind the struct
  const device::Command longest{(device::mmz_command<g4>(MmzCommand::allocate, WordSize::bits64).code & 0xc000'ffff) | 136U << 16};
  CHECK(f.caller.call_with<MmzCaller<>::InfoWire>(f.node, longest, info) == 0);
  const auto told = f.caller.attributes(f.node, base);
  CHECK(told.mapped == 0);
  CHECK(told.bits == 0x101);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == EIO_);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == 0);
  CHECK(room(f.scene) == 16 * page);
}

TEST_CASE("row 10: mapped twice it is one mapping, seen at the address that was asked for, and cached in one way") {
  Fixture f;
  f.caller.allocate(f.node, 2 * page);
  const std::int64_t first = f.caller.remap(f.node, base);
  REQUIRE(first > 0);
  CHECK(f.caller.remap(f.node, base + page + 8) == first + 4104);
  CHECK(f.caller.mappings.size() == 1);
  CHECK(f.caller.mappings[0].mapping.protection == 3);
  CHECK(f.caller.mappings[0].mapping.length == 2 * page);
  CHECK(f.caller.mappings[0].mapping.seen == Cacheability::write_combined);
  CHECK(f.caller.remap(f.node, base, MmzCommand::remap_cached) == EINVAL_);
  CHECK(f.caller.attributes(f.node, base).mapped == static_cast<std::uint64_t>(first));
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
  CHECK(f.caller.mappings.size() == 1);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
  CHECK(f.caller.mappings.empty());
  CHECK(f.caller.attributes(f.node, base).mapped == 0);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == EIO_);
  CHECK(f.caller.remap(f.node, base, MmzCommand::remap_cached) > 0);
  CHECK(f.caller.attributes(f.node, base).bits == (0x103 | 1 << 29));
  CHECK(f.caller.remap(f.node, base + 2 * page) == EPERM_);
}

TEST_CASE("rows 10 and 27: without a word it is read-only; it is never executed, and always shared") {
  Fixture f;
  f.caller.allocate(f.node, page);
  for (const std::uint64_t bits : {0x107U, 0x104U}) CHECK(f.caller.remap(f.node, base, MmzCommand::remap, bits) == EPERM_);
  for (const std::uint64_t bits : {0x203U, 0x1103U, 0x2103U}) CHECK(f.caller.remap(f.node, base, MmzCommand::remap, bits) == EINVAL_);
  CHECK(f.caller.remap(f.node, base, MmzCommand::remap, 0) > 0);
  CHECK(f.caller.mappings.at(0).mapping.protection == 1);
  Errno error = Errno::none;
  MmzOpen<> other(f.scene);
  CHECK(f.caller.allocate(other, page) == static_cast<std::int64_t>(base + page));
  CHECK(!other.file.map(base + page, page, 5, error));
  CHECK(error == Errno::not_permitted);
}

TEST_CASE("a mapping that the platform cannot make leaves nothing, and its error is the caller's") {
  Fixture f;
  f.caller.allocate(f.node, page);
  f.caller.map_error = Errno::try_again;
  CHECK(f.caller.remap(f.node, base, MmzCommand::remap_cached) == -11);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == EIO_);
  CHECK((f.caller.attributes(f.node, base).bits >> 29 & 1) == 0);
  f.caller.map_error = Errno::none;
  CHECK(f.caller.remap(f.node, base) > 0);
}

TEST_CASE("row 11: freed while it is mapped it is busy, and goes with the last mapping") {
  Fixture f;
  f.caller.allocate(f.node, page);
  f.caller.remap(f.node, base);
  f.caller.remap(f.node, base);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == EBUSY_);
  CHECK((f.caller.attributes(f.node, base).bits >> 28 & 1) == 1);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == EBUSY_);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
  CHECK(room(f.scene) == 15 * page);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
  CHECK(room(f.scene) == 16 * page);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == EPERM_);
  f.caller.allocate(f.node, page);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == 0);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == EPERM_);
}

TEST_CASE("row 13: references keep a block too, and are not mappings") {
  Fixture f;
  f.caller.allocate(f.node, page);
  CHECK(f.caller.refer(f.node, MmzCommand::drop_reference, base) == EPERM_);
  CHECK(f.caller.refer(f.node, MmzCommand::add_reference, base + 1) == 0);
  CHECK(f.caller.refer(f.node, MmzCommand::add_reference, base + page) == EPERM_);
  CHECK(f.node.file.ioctl(f.caller, {'r' << 8 | 32}, base).value() == EINVAL_);
  f.caller.remap(f.node, base);
  CHECK(f.caller.call(f.node, MmzCommand::free, base) == EBUSY_);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
  CHECK(room(f.scene) == 15 * page);
  CHECK(f.caller.refer(f.node, MmzCommand::drop_reference, base) == 0);
  CHECK(room(f.scene) == 16 * page);
  CHECK(f.caller.refer(f.node, MmzCommand::drop_reference, base) == EPERM_);
  // In the driver this never could be unmapped again.
  f.caller.allocate(f.node, page);
  f.caller.remap(f.node, base);
  CHECK(f.caller.refer(f.node, MmzCommand::drop_reference, base) == EPERM_);
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base) == 0);
}

TEST_CASE("row 14: the physical address behind any of one's own, and whether it is seen cached") {
  Fixture f;
  f.caller.allocate(f.node, 2 * page);
  const auto physical = [&](std::uint64_t address) {
    MmzCaller<>::Info info{.mapped = address};
    const std::int64_t answer = f.caller.call(f.node, MmzCommand::physical_of, info);
    return answer < 0 ? answer : static_cast<std::int64_t>(info.physical);
  };
  const auto at = static_cast<std::uint64_t>(f.caller.remap(f.node, base));
  CHECK(physical(at + page + 4) == static_cast<std::int64_t>(base + page + 4));
  CHECK(physical(at + 2) == ENOMEM_);
  CHECK(physical(0x1000) == ENOMEM_);
  CHECK(physical(MmzCaller<>::foreign_at) == EINVAL_);
  f.caller.call(f.node, MmzCommand::unmap, base);
  CHECK(physical(at) == ENOMEM_);
  const auto cached = static_cast<std::uint64_t>(f.caller.remap(f.node, base, MmzCommand::remap_cached));
  CHECK(physical(cached) == static_cast<std::int64_t>(base + 1));
}

TEST_CASE("row 15: each of DIRTY's five rejections") {
  Fixture f;
  f.caller.allocate(f.node, page + 1);
  MmzOpen<> other(f.scene);
  f.caller.allocate(other, page);
  CHECK(f.caller.flush_dirty(f.node, base, 0, 64) == EFAULT_);  // never mapped
  const auto at = static_cast<std::uint64_t>(f.caller.remap(f.node, base, MmzCommand::remap_cached));
  f.scene.platform.done->clear();
  CHECK(f.caller.flush_dirty(f.node, base + 8 * page, at, 64) == EFAULT_);      // no block's
  CHECK(f.caller.flush_dirty(f.node, base + 2 * page, at, 64) == EPERM_);       // another file's
  CHECK(f.caller.flush_dirty(f.node, base + 64, at, 64) == EFAULT_);            // seen elsewhere
  CHECK(f.caller.flush_dirty(f.node, base + 64, at + 64, 2 * page) == EFAULT_);  // beyond its end
  CHECK(f.caller.flush_dirty(f.node, base + 64, at + 64, ~std::uint64_t{0}) == EFAULT_);
  f.caller.mappings[0].mapping.length = 4 * page;  // the program has something else behind it
  CHECK(f.caller.flush_dirty(f.node, base + 64, at + 64, 2 * page) == EFAULT_);
  f.caller.mappings[0].mapping.length = page;  // it gave the second page up
  CHECK(f.caller.flush_dirty(f.node, base + 64, at + 64, page) == EFAULT_);
  f.caller.mappings[0].mapping.length = 2 * page;
  f.caller.mappings[0].mapping.protection = 1;
  CHECK(f.caller.flush_dirty(f.node, base, at, 64) == EFAULT_);
  CHECK(f.scene.platform.done->empty());
  device::MmzDirtyArea area{base, at, 64};
  CHECK(f.caller.call_with<device::MmzDirtyWire>(f.node, {0x40206432}, area) == EINVAL_);  // as long as none is
  CHECK(f.node.file.ioctl(f.caller, {0x40186432}, 0).value() == EINVAL_);
}

TEST_CASE("row 15: whole lines, of 64 bytes, and of 32 in the third generation") {
  Fixture f;
  f.caller.allocate(f.node, page);
  auto& done = *f.scene.platform.done;
  const auto at = static_cast<std::uint64_t>(f.caller.remap(f.node, base, MmzCommand::remap_cached));
  CHECK(f.caller.flush_dirty(f.node, base + 100, at + 100, 64) == 0);
  CHECK(done == std::vector<std::string>{"inner clean_inv 64 128", "outer clean_inv " + std::to_string(base + 64) + " 128"});
  done.clear();
  CHECK(f.caller.flush_dirty(f.node, base + page - 1, at + page - 1, 1) == 0);
  CHECK(done[0] == "inner clean_inv 4032 64");
  done.clear();
  CHECK(f.caller.flush_dirty(f.node, base + 64, at + 64, 0) == 0);
  CHECK(done.empty());
  CHECK(f.caller.flush_dirty(f.node, base + 65, at + 65, 0) == 0);
  CHECK(done[0] == "inner clean_inv 64 64");

  MmzScene scene(one_zone, g3);
  MmzOpen<g3> node(scene);
  MmzCaller<g3> caller(scene, WordSize::bits32);
  caller.allocate(node, page);
  const auto seen = static_cast<std::uint64_t>(caller.remap(node, base));
  CHECK(caller.flush_dirty(node, base + 100, seen + 100, 64) == 0);
  CHECK(scene.platform.done->at(0) == "inner clean_inv 96 96");
}

TEST_CASE("row 16: FLUSH of 0 is all there is; of a block that is not mapped cached there is nothing to do") {
  Fixture f;
  auto& done = *f.scene.platform.done;
  f.caller.allocate(f.node, page);
  f.caller.allocate(f.node, 100);
  CHECK(f.caller.refer(f.node, MmzCommand::flush, 0) == 0);
  CHECK(done == std::vector<std::string>{"whole clean_inv 0 4096", "whole clean_inv 0 4096"});
  done.clear();
  CHECK(f.caller.refer(f.node, MmzCommand::flush, base) == 0);
  f.caller.remap(f.node, base);
  CHECK(f.caller.refer(f.node, MmzCommand::flush, base) == 0);
  CHECK(done.empty());
  CHECK(f.caller.refer(f.node, MmzCommand::flush, base + 2 * page) == EPERM_);
  f.caller.remap(f.node, base + page, MmzCommand::remap_cached);
  CHECK(f.caller.refer(f.node, MmzCommand::flush, base + page) == 0);
  CHECK(done == std::vector<std::string>{"inner clean_inv 0 100", "outer clean_inv " + std::to_string(base + page) + " 4096"});
  done.clear();
  CHECK(f.node.file.ioctl(f.caller, {'c' << 8 | 41}, base).value() == EINVAL_);
  CHECK(f.node.file.ioctl(f.caller, {'c' << 8 | 41}, 0).value() == 0);
  done.clear();
  CHECK(f.caller.call(f.node, MmzCommand::unmap, base + page) == 0);  // the last cached mapping
  CHECK(done == std::vector<std::string>{"whole clean_inv 0 4096"});
}

TEST_CASE("rows 23 and 24: a mapping by address ends where its block does, and is of one's own") {
  Fixture f;
  MmzOpen<> other(f.scene);
  f.caller.allocate(f.node, 2 * page);
  f.caller.allocate(other, page);
  const auto error_of = [&](auto& node, std::uint64_t physical, std::uint64_t length) {
    Errno error = Errno::none;
    const auto made = node.file.map(physical, length, 3, error);
    CHECK(made.has_value() == (error == Errno::none));
    return error;
  };
  CHECK(error_of(f.node, base, 2 * page) == Errno::none);
  CHECK(error_of(f.node, base + page, page) == Errno::none);
  CHECK(error_of(f.node, base, 3 * page) == Errno::invalid);  // and on, in the other file's
  CHECK(error_of(f.node, base + page, 2 * page) == Errno::invalid);
  CHECK(error_of(f.node, base + page, ~std::uint64_t{0} - page + 1) == Errno::invalid);
  CHECK(error_of(f.node, base + 1, page) == Errno::invalid);
  CHECK(error_of(f.node, base, 100) == Errno::invalid);
  CHECK(error_of(f.node, base, 0) == Errno::not_permitted);
  CHECK(error_of(f.node, base + 2 * page, page) == Errno::not_permitted);  // foreign
  CHECK(error_of(f.node, base + 4 * page, page) == Errno::not_permitted);  // nobody's
  f.caller.remap(f.node, base);
  CHECK(error_of(f.node, base, page) == Errno::io);

  MmzScene early(line_of(g2), g2);
  MmzOpen<g2> node(early);
  MmzCaller<g2> caller(early, WordSize::bits32);
  caller.allocate(node, page);
  CHECK(error_of(node, base, page) == Errno::not_permitted);
}

TEST_CASE("how a mapping by address is cached: as REMAP did, and never where the file was opened with O_SYNC") {
  MmzScene scene(one_zone);
  for (const std::uint32_t flags : {2U, 2U | 0x101000U}) {
    MmzOpen<> node(scene, flags);
    MmzCaller<> caller(scene);
    Errno error = Errno::none;
    caller.allocate(node, page);
    CHECK(node.file.map(base, page, 3, error)->seen == Cacheability::write_combined);
    CHECK(caller.remap(node, base, MmzCommand::remap_cached) > 0);
    CHECK(caller.call(node, MmzCommand::unmap, base) == 0);
    CHECK(node.file.map(base, page, 3, error)->seen == (flags == 2 ? Cacheability::cached : Cacheability::write_combined));
    const auto held = node.file.map(base, page, 3, error);
    CHECK(caller.remap(node, base, flags == 2 ? MmzCommand::remap : MmzCommand::remap_cached) == EINVAL_);  // two ways at once
  }
}

TEST_CASE("row 25: whoever has it mapped keeps a block that was freed, or whose file is closed, from being anybody's") {
  MmzScene scene(one_zone);
  std::optional<MmzOpen<>> node(std::in_place, scene);
  MmzCaller<> caller(scene);
  Errno error = Errno::none;
  caller.allocate(*node, page);
  auto mapping = node->file.map(base, page, 3, error);
  REQUIRE(mapping);
  CHECK(caller.call(*node, MmzCommand::free, base) == 0);
  CHECK(room(scene) == 15 * page);
  CHECK(caller.allocate(*node, page) == static_cast<std::int64_t>(base + page));
  caller.remap(*node, base + page);
  node.reset();
  CHECK(room(scene) == 14 * page);
  mapping.reset();
  CHECK(room(scene) == 15 * page);
  caller.mappings.clear();
  CHECK(room(scene) == 16 * page);
}

TEST_CASE("row 17: what a file has goes back when it is closed, with a word about each block, in their order") {
  MmzScene scene(one_zone);
  {
    MmzOpen<> node(scene);
    MmzCaller<> caller(scene);
    for (const std::uint64_t size : {page, 2 * page, std::uint64_t{100}}) caller.allocate(node, size);
    CHECK(caller.call(node, MmzCommand::free, base) == 0);
    CHECK(caller.allocate(node, page) == static_cast<std::int64_t>(base));
    caller.remap(node, base + page);
    caller.refer(node, MmzCommand::add_reference, base + page);
    CHECK(room(scene) == 12 * page);
  }
  const std::vector<std::string> told = {"77 1174409216 8192 block mapped", "77 1174417408 4096 block", "77 1174405120 4096 block"};
  CHECK(scene.platform.leaks == told);
  CHECK(room(scene) == 16 * page);
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.device.client_count() == 0);
}

TEST_CASE("G5: a range is flushed where it shows what it is said to; whether an address is a zone's; how much is free") {
  MmzScene scene(line_of(g5), g5);
  MmzOpen<g5> node(scene), other(scene);
  MmzCaller<g5> caller(scene);
  using Info = MmzCaller<g5>::Info;
  caller.allocate(node, 2 * page);
  caller.allocate(other, page);
  Errno error = Errno::none;
  const auto at = static_cast<std::uint64_t>(caller.map_block(*node.file.map(base, 2 * page, 3, error)).value());
  const auto flush = [&](auto& by, std::uint64_t physical, std::uint64_t address, std::uint64_t size) {
    Info info{.physical = physical, .size = size, .mapped = address};
    return caller.call(by, MmzCommand::flush_range, info);
  };
  CHECK(flush(node, base, at + 64, 64) == EPERM_);
  CHECK(flush(node, base + 64, at + 64, 2 * page) == EPERM_);
  CHECK(flush(node, base + 64, at + 64, ~std::uint64_t{0}) == EPERM_);
  CHECK(flush(node, base, 0x1000, 64) == EPERM_);
  MmzCaller<g5> child(scene, WordSize::bits64, 78);  // who has his parent's mapping, and a file of his own
  const auto inherited = static_cast<std::uint64_t>(child.map_block(*node.file.map(base, 2 * page, 3, error)).value());
  Info range{.physical = base, .size = 64, .mapped = inherited};
  CHECK(child.call(other, MmzCommand::flush_range, range) == EPERM_);
  child.mappings.clear();
  CHECK(scene.platform.done->empty());
  CHECK(flush(node, base + page, at + page, 65) == 0);
  CHECK(*scene.platform.done ==
        std::vector<std::string>{"inner clean_inv 4096 128", "outer clean_inv " + std::to_string(base + page) + " 128"});
  caller.mappings[0].mapping.protection = 1;
  CHECK(flush(node, base, at, 64) == EPERM_);

  const auto check = [&](std::uint64_t physical, std::uint64_t size) {
    Info info{.physical = physical, .size = size};
    return caller.call(node, MmzCommand::check_address, info);
  };
  CHECK(check(base, 16 * page) == 0);
  CHECK(check(base + 15 * page, page) == 0);
  CHECK(check(base + 1, 16 * page) == EPERM_);
  CHECK(check(base - 1, 1) == EPERM_);
  CHECK(check(base + 16 * page, 0) == EPERM_);
  CHECK(check(base + page, ~std::uint64_t{0}) == EPERM_);

  device::MmzRoom room;
  const device::Command query = device::mmz_command<g5>(MmzCommand::query, WordSize::bits64);
  CHECK(caller.call_with<device::MmzRoomWire>(node, query, room) == 0);
  CHECK(room.total == 64);
  CHECK(room.free == 52);
  CHECK(caller.call_with<device::MmzRoomWire>(node, {query.code & ~(8U << 16)}, room) == EINVAL_);
  CHECK(node.file.ioctl(caller, query, 0).value() == EINVAL_);
  CHECK(node.file.ioctl(caller, query, 4).value() == EFAULT_);
}

TEST_CASE("who may open the node") {
  CHECK(!device::mmz_needs_raw_io(MmzGeneration::g1));
  CHECK(!device::mmz_needs_raw_io(g2));
  CHECK(device::mmz_needs_raw_io(g3));
  CHECK(device::mmz_needs_raw_io(g4));
  CHECK(!device::mmz_needs_raw_io(g5));
}

namespace {

constexpr std::uint64_t window = 0xe000'0000;

// Two pages, and one behind them; and one whose first page is not all its own.
template <MmzGeneration generation>
struct Windows {
  static constexpr std::string_view line = "mmz=anonymous,0,0x46000000,64K map_mmz=0xe0000000,8K:0xe0002000,4K:0xf0000800,6K";

  Errno mapped(std::uint64_t physical, std::uint64_t length, std::uint32_t protection = 3) {
    Errno error = Errno::none;
    made = node.file.map(physical, length, protection, error);
    CHECK(made.has_value() == (error == Errno::none));
    return error;
  }
  MmzScene scene{std::string(line) + " mmz_allocator=" + (generation == g5 ? "ot" : "hisi"), generation};
  MmzOpen<generation> node{scene};
  std::optional<typename MmzOpen<generation>::File::Mapping> made;
};

template <MmzGeneration generation>
void check_windows() {
  Windows<generation> windows;
  CHECK(windows.mapped(window, 2 * page) == Errno::none);
  CHECK(windows.made->window->start == window);
  CHECK(!windows.made->hold);
  CHECK(windows.made->protection == 3);
  CHECK(windows.mapped(window + page, page) == Errno::none);
  CHECK(windows.made->offset == page);
  CHECK(windows.mapped(window + 2 * page, page) == Errno::none);
  CHECK(windows.made->window->start == window + 2 * page);
  CHECK(windows.mapped(window, 2 * page + 1) == Errno::not_permitted);
  CHECK(windows.mapped(window, 3 * page) == Errno::not_permitted);  // and on, in the next
  CHECK(windows.mapped(window - page, 2 * page) == Errno::not_permitted);
  CHECK(windows.mapped(window + 3 * page, page) == Errno::not_permitted);
  CHECK(windows.mapped(window, ~std::uint64_t{0} - page + 1) == Errno::not_permitted);
  CHECK(windows.mapped(window, 0) == Errno::not_permitted);
  CHECK(windows.mapped(window, page, 5) == Errno::not_permitted);
  CHECK(windows.mapped(window, 100) == Errno::invalid);
  CHECK(windows.mapped(0xf000'0000, page) == Errno::not_permitted);
  CHECK(windows.mapped(0xf000'1000, page) == Errno::none);
  CHECK(windows.made->offset == page);  // of whole pages
  CHECK(windows.mapped(0xf000'1000, 2 * page) == Errno::not_permitted);
}

}  // namespace

TEST_CASE("row 21: a range that is all in a window is mapped, one that is a byte longer is not") {
  check_windows<g4>();
  check_windows<g5>();
  Windows<g3> none;
  CHECK(none.mapped(window, page) == Errno::not_permitted);
}

TEST_CASE("row 21: no block is ever in a window, and nothing is told or flushed of one") {
  Windows<g5> windows;
  MmzCaller<g5> caller(windows.scene);
  CHECK(caller.allocate(windows.node, page, window) == ENOMEM_);
  CHECK(caller.allocate(windows.node, 17 * page) == ENOMEM_);
  CHECK(windows.mapped(window, page) == Errno::none);
  const auto at = static_cast<std::uint64_t>(caller.map_block(*std::move(windows.made)).value());
  MmzCaller<g5>::Info info{.physical = window, .size = 64, .mapped = at};
  CHECK(caller.call(windows.node, MmzCommand::physical_of, info) == EINVAL_);
  CHECK(caller.call(windows.node, MmzCommand::flush_range, info) == EPERM_);
  device::MmzShareCall asked{.physical = window, .address = at};
  CHECK(caller.call(windows.node, MmzCommand::memory_of_address, asked) == EINVAL_);
  CHECK(caller.call(windows.node, MmzCommand::memory_of_physical, asked) == EINVAL_);
}

TEST_CASE("row 21: BASE_CHECK_ADDR knows windows") {
  Windows<g5> windows;
  MmzCaller<g5> caller(windows.scene);
  const auto check = [&](std::uint64_t physical, std::uint64_t size) {
    MmzCaller<g5>::Info info{.physical = physical, .size = size};
    return caller.call(windows.node, MmzCommand::check_address, info);
  };
  CHECK(check(window, 2 * page) == 0);
  CHECK(check(window, 2 * page + 1) == EPERM_);
  CHECK(check(0xf000'0800, 6 << 10) == 0);
  CHECK(check(0xf000'0800 - 1, 1) == EPERM_);
  CHECK(check(base, 16 * page) == 0);
}

TEST_CASE("how a window is seen: write-combined by the fourth generation, cached by the fifth unless the file was opened with O_SYNC") {
  Windows<g4> fourth;
  Windows<g5> fifth;
  CHECK(fourth.mapped(window, page) == Errno::none);
  CHECK(fourth.made->seen == Cacheability::write_combined);
  CHECK(fifth.mapped(window, page) == Errno::none);
  CHECK(fifth.made->seen == Cacheability::cached);
  MmzOpen<g5> synchronous(fifth.scene, 2U | 0x101000U);
  Errno error = Errno::none;
  CHECK(synchronous.file.map(window, page, 3, error)->seen == Cacheability::write_combined);
}
