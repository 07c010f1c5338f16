// Inputs to begin with, which among them have every answer of every command: who changes them by chance need not find
// these first.
#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

#include "fuzz/device_steps.hpp"

namespace freestone::tests {

constexpr Step step_of(Act act, std::uint8_t file = 0, unsigned a = 0, std::uint32_t b = 0, std::uint32_t c = 0) {
  Step step{.file = file, .a = static_cast<std::uint16_t>(a), .b = b, .c = c};
  while (step.act() != act) ++step.act_number;
  return step;
}
constexpr Step call(std::uint8_t file, std::uint8_t command, std::uint32_t b = 0, std::uint32_t c = 0) {
  Step step = step_of(Act::ioctl, file, 0, b, c);
  step.command = command;
  return step;
}

// Of the first file, which is the node; its commands are counted as command_of has them.
// A few, so that other lengths of a few pages are one byte away.
constexpr std::uint32_t pages(std::uint32_t count) { return (count <= 8 ? 0x7f : 0xff) | (count - 1) << 8; }
constexpr Step ion_allocate(std::uint32_t length, std::uint32_t mask) { return call(0, 0, length, mask << 8); }
constexpr Step ion_ask(std::uint32_t count, std::uint32_t records, bool is_reserved_set = false) {
  return call(0, 2, count | (is_reserved_set ? 0xf00U : 0U), records);
}
constexpr Step heap_allocate(std::uint32_t length, bool has_fd = false) { return call(0, 0, length, has_fd ? 15 : 0); }
constexpr std::uint32_t no_length = 0, megabyte = 11, most_length = 14, all_bits = 16;  // of length_by's edges
inline constexpr Step open_ion = step_of(Act::open_ion), open_carveout = step_of(Act::open_heap, 2);
inline constexpr Step ion_version = call(0, 3), heap_allocate_unheard = call(0, 3, pages(1));

// Of a node with handles: its own, by their order, or a kind of others (Run::handle_of).
inline constexpr Step open_g3 = step_of(Act::open_ion, 0, 1), open_g1 = open_ion, open_g2 = open_g3;
inline constexpr Step open_uncached = step_of(Act::open_ion, 0, 0, 1);
inline constexpr std::uint32_t freed = 9, of_another = 10, no_handle = 12, null_handle = 14, integer_1 = 30;
constexpr std::uint32_t own(std::uint32_t which) { return which << 4; }
constexpr Step of_call(std::uint8_t file, IonCall wanted, std::uint32_t handle, std::uint32_t c = 0) {
  return call(file, static_cast<std::uint8_t>(wanted), handle, c);
}
constexpr Step allocate(std::uint8_t file, std::uint32_t length, std::uint32_t mask, unsigned align = 0) {
  Step step = of_call(file, IonCall::allocate, length, mask << 8);
  step.a = static_cast<std::uint16_t>(align);
  return step;
}
inline constexpr unsigned page_align = 3, six_align = 6;  // of handle_allocation's
constexpr Step free(std::uint8_t file, std::uint32_t handle) { return of_call(file, IonCall::free, handle); }
constexpr Step share(std::uint8_t file, std::uint32_t handle) { return of_call(file, IonCall::share, handle); }
constexpr Step import(std::uint8_t file, std::uint32_t descriptor) { return of_call(file, IonCall::import, 0, descriptor << 3); }
constexpr Step ask_flags(std::uint8_t file, std::uint32_t handle) { return of_call(file, IonCall::sync_or_flags, handle); }
constexpr Step sync_all(std::uint8_t file, std::uint32_t descriptor) { return of_call(file, IonCall::sync_or_flags, 0, descriptor << 3); }
constexpr Step custom(std::uint8_t file, std::uint32_t command) { return of_call(file, IonCall::custom, command, 300); }
// A page from `offset` on, of handle_argument's lengths, as it is mapped there.
inline constexpr std::uint32_t from_start = 1, from_64k = 4;
constexpr Step maintain(std::uint8_t file, std::uint32_t handle, std::uint32_t offset, std::uint32_t mapping = 0,
                        std::uint32_t descriptor = 0) {
  return of_call(file, IonCall::query_or_cache, handle, offset << 20 | mapping << 8 | descriptor << 3);
}
// Of G2: it is CUSTOM's. Of all of the buffer; and where what it is about cannot be read.
constexpr Step maintain_all(std::uint8_t file, std::uint32_t handle, std::uint32_t descriptor = 0) {
  return of_call(file, IonCall::custom, handle, descriptor << 3 | 5);
}
constexpr Step out_of_reach(Step step) {
  step.a |= 13 << 12;
  return step;
}
constexpr Step of_heap(std::uint8_t file, unsigned number, std::uint32_t heap, std::uint32_t length) {
  Step step = of_call(file, IonCall::custom, heap, length);
  step.a = static_cast<std::uint16_t>(number << 8);
  return step;
}
constexpr Step platform_custom(std::uint8_t file, std::uint32_t command) {
  Step step = custom(file, command);
  step.a = msm_customs << 8;
  return step;
}
inline constexpr std::uint32_t cached = 1 << 8;  // beside a mask
constexpr Step as_old(Step step) {
  step.c |= 4;
  return step;
}
constexpr Step secure(Step step) {
  step.c |= 6;
  return step;
}
constexpr Step of_40_bytes(std::uint8_t file) {
  Step step = call(file, 0, 40);
  step.twist = 162;
  return step;
}

// Of PMEM's.
inline constexpr Step open_pmem = step_of(Act::open_pmem);
constexpr Step of_pmem(std::uint8_t file, PmemCall wanted, std::uint32_t b = 0, std::uint32_t c = 0) {
  Step step = call(file, 0, b, c);
  while (pmem_calls[step.command] != wanted) ++step.command;
  return step;
}
constexpr Step take(std::uint8_t file, std::uint32_t length) { return of_pmem(file, PmemCall::allocate, length); }
inline constexpr unsigned align_64k = 2, align_none = 4;  // of pmem_argument's
constexpr Step take_aligned(std::uint8_t file, std::uint32_t length, unsigned align) {
  Step step = of_pmem(file, PmemCall::aligned, length);
  step.a = static_cast<std::uint16_t>(align);
  return step;
}
constexpr Step connect(std::uint8_t file, std::uint32_t descriptor) { return of_pmem(file, PmemCall::connect, 0, descriptor << 3); }
constexpr Step grant(std::uint8_t file, std::uint32_t first, std::uint32_t count) { return of_pmem(file, PmemCall::map, count << 4 | first); }
constexpr Step withdraw(std::uint8_t file, std::uint32_t first, std::uint32_t count) {
  return of_pmem(file, PmemCall::unmap, count << 4 | first);
}
inline constexpr std::uint32_t one_byte = 14 << 8;  // beside the others
constexpr Step view(std::uint8_t file, std::uint32_t length) { return step_of(Act::map, file, 0, length); }
// Of pages of that mapping; or at no address.
inline constexpr std::uint32_t nowhere = 5;
constexpr Step clean(std::uint8_t file, std::uint32_t mapping, std::uint32_t first, std::uint32_t count) {
  return of_pmem(file, PmemCall::clean, count << 4 | first, mapping << 8);
}

// Of any.
constexpr Step too_long(std::uint8_t file) { return call(file, 208 + 8); }
constexpr Step unknown(std::uint8_t file) { return call(file, 208 + 15); }
constexpr Step sync(std::uint8_t file, std::uint32_t flags) { return call(file, 0, flags); }
constexpr Step name(std::uint8_t file, std::uint32_t length) { return call(file, 2, length); }
constexpr Step seek(std::uint8_t file, unsigned whence, std::uint32_t offset = 0) { return step_of(Act::seek, file, whence, offset); }
constexpr Step map(std::uint8_t file, unsigned offset, unsigned length) { return step_of(Act::map, file, offset | length << 8); }
inline constexpr Step no_reading = step_of(Act::faults, 0, 0, 1, 0), no_writing = step_of(Act::faults, 0, 0, 1, 1);
inline constexpr Step no_second_page = step_of(Act::faults, 0, 0, 2, 2);
// At the end of the first page.
constexpr Step short_name(std::uint8_t file) {
  Step step = name(file, 5);
  step.place = 11, step.a = 8;
  return step;
}
inline constexpr Step no_faults = step_of(Act::faults, 0, 0, 0, 2);
constexpr Step room_for(unsigned files, unsigned refusals = 0) { return step_of(Act::limits, 0, files, refusals); }

// Under way while the next is made by another program.
constexpr Step joined(Step step) {
  step.who |= 4;
  return step;
}
// As it gives back.
constexpr Step joined_late(Step step) {
  step.who |= 4 | 16;
  return step;
}
constexpr Step by(std::uint8_t program, Step step) {
  step.who = static_cast<std::uint8_t>((step.who & ~3) | program);
  return step;
}

struct Seed {
  std::uint8_t board;
  std::vector<Step> steps;

  std::vector<std::uint8_t> input() const {
    std::vector<std::uint8_t> bytes(header_length + steps.size() * step_length, board);
    std::memcpy(bytes.data() + header_length, steps.data(), steps.size() * step_length);
    return bytes;
  }
};

inline const Seed seeds[] = {
    {is_android,
     {open_ion, ion_ask(0, 0), ion_ask(5, 1), ion_ask(7, 1), ion_ask(0, 1), ion_ask(0, 0, true), ion_version, too_long(0), unknown(0),
      ion_allocate(pages(2), 1 << 2), ion_allocate(no_length, 1), ion_allocate(pages(1), 0), ion_allocate(megabyte, 1 << 2),
      sync(1, 3), sync(1, 7), sync(1, 8), name(1, 9), name(1, 35), unknown(1), seek(1, 2), seek(1, 0), seek(1, 1), map(1, 0, 2),
      map(1, 1, 4), map(1, 12, 4), step_of(Act::unmap), step_of(Act::close), seek(1, 2)}},
    {is_android,
     {open_ion, ion_allocate(pages(1), 1 << 4), no_reading, ion_ask(0, 0), sync(1, 3), name(1, 9), no_faults, no_writing, ion_ask(0, 0),
      ion_ask(5, 1), ion_version, ion_allocate(pages(1), 1 << 4), no_faults, no_second_page, short_name(1),
      ion_allocate(megabyte, 1), ion_allocate(pages(1), 1 << 3)}},
    {ends_late,
     {open_ion, ion_version, ion_allocate(pages(3), 1), step_of(Act::close, 1), room_for(1), ion_allocate(pages(1), 2), room_for(16, 1),
      ion_allocate(pages(1), 2), ion_allocate(pages(1), 2)}},
    {1,
     {open_carveout, heap_allocate(pages(1)), heap_allocate(pages(1), true), heap_allocate(megabyte), heap_allocate_unheard, unknown(0),
      room_for(2), heap_allocate(pages(1)), no_reading, heap_allocate(pages(1)), no_faults, no_writing, heap_allocate(pages(1), true),
      heap_allocate(megabyte), room_for(16), heap_allocate(pages(1))}},
    {frees_late,
     {open_ion, ion_allocate(pages(16), 1), ion_allocate(pages(40), 1), step_of(Act::close, 1), step_of(Act::close, 2),
      ion_allocate(pages(40), 1), ion_allocate(pages(16), 1 << 4), step_of(Act::close, 2), step_of(Act::limits), ion_allocate(pages(64), 1 << 4)}},
    {0,
     {open_ion, by(1, open_ion), by(2, open_ion), joined(ion_allocate(pages(16), 1 << 4)), by(1, ion_allocate(pages(1), 1 << 4)),
      step_of(Act::send, 1, 1), by(1, step_of(Act::duplicate, 1)), by(1, sync(1, 3)), step_of(Act::end)}},
    {has_msm,
     {open_g1, allocate(0, pages(2), 1 << 2), ask_flags(0, own(0)), share(0, own(0)), map(1, 0, 2), maintain(0, own(0), from_start),
      maintain(0, own(0), from_64k), maintain(0, own(0), from_start, 1), maintain(0, no_handle, from_start),
      maintain(0, null_handle, from_start, 0, 9), maintain(0, null_handle, from_start, 0, 1), open_uncached, import(2, 1),
      share(2, own(0)), step_of(Act::unmap), share(2, own(0)), map(3, 0, 2), maintain(0, own(0), from_start), import(0, 1),
      free(0, own(0)), free(0, own(0)), free(0, freed), share(0, freed), ask_flags(0, freed), import(0, 1), step_of(Act::close),
      free(2, own(0))}},
    {has_msm,
     {open_g1, custom(0, 1), custom(0, 2), custom(0, 3), unknown(0), import(0, 0), allocate(0, no_length, 4), allocate(0, pages(1), 0),
      allocate(0, megabyte, 4), allocate(0, pages(1), 4, six_align), allocate(0, pages(1), 1), share(0, own(0)), no_reading,
      free(0, own(0)), no_faults, no_writing, allocate(0, pages(1), 2), import(0, 1), share(0, own(0)), ask_flags(0, own(0)), no_faults,
      room_for(2), share(0, own(0)), room_for(16), open_g1, allocate(2, pages(1), 4), free(0, of_another), free(2, own(0))}},
    {has_msm | frees_late,
     {open_g2, allocate(0, pages(2), 1 << 2 | cached), ask_flags(0, own(0)), share(0, own(0)), map(1, 0, 2),
      maintain(0, own(0), from_start), maintain(0, own(0), from_64k), maintain(0, own(0), from_start, 1), maintain(0, no_handle, from_start),
      maintain(0, null_handle, from_start, 0, 9), maintain(0, null_handle, from_start, 0, 1), maintain_all(0, own(0)),
      maintain_all(0, null_handle, 1), maintain_all(0, no_handle), out_of_reach(maintain_all(0, own(0))), import(0, 1), import(0, 0),
      free(0, own(0)), free(0, freed), unknown(0), secure(allocate(0, pages(1), 0xf)), allocate(0, pages(1), 1), free(0, own(1)),
      of_heap(0, drain, 0, no_length), of_heap(0, prefetch, 0, pages(1)), of_heap(0, prefetch, 6, pages(1)),
      of_heap(0, drain, 2, megabyte), allocate(0, pages(1), 1 << 2), maintain_all(0, own(1)), open_g1, import(2, 1),
      allocate(2, pages(1), 1), free(0, of_another), platform_custom(0, 2)}},
    {has_msm | 1,
     {open_g2, as_old(allocate(0, pages(2), 1 << 2)), ask_flags(0, own(0)), allocate(0, pages(1), 1 << 1 | cached), ask_flags(0, own(1)),
      secure(as_old(allocate(0, pages(1), 1))), share(0, own(1)), map(1, 0, 2), maintain(0, own(1), from_start), maintain_all(0, own(0)),
      of_heap(0, drain, 0, pages(1)), no_reading, maintain_all(0, own(1)), no_faults, no_writing,
      as_old(allocate(0, pages(1), 1)), joined(maintain_all(0, own(1))), by(1, step_of(Act::close, 1))}},
    {has_msm | 1, {open_g1, allocate(0, all_bits, 4), allocate(0, pages(3), 4), share(0, own(0)), import(0, 1), free(0, own(0))}},
    {frees_late,
     {open_g3, allocate(0, pages(2), 1 << 2), share(0, own(0)), sync_all(0, 1), sync_all(0, 9), sync_all(0, 0), import(0, 9), import(0, 0),
      import(0, 1), of_call(0, IonCall::query_or_cache, 5, 1), of_40_bytes(0), unknown(0), allocate(0, most_length, 2, page_align),
      open_ion, call(2, 0, pages(1), 1 << 10), import(0, 3), open_g3, allocate(4, pages(1), 1), free(0, own(0)), free(0, own(0)),
      free(0, of_another), import(4, 1), free(4, own(1))}},
    {0,
     {open_g3, step_of(Act::send, 0, 1), joined_late(allocate(0, pages(1), 1 << 4)), by(1, free(0, integer_1)), free(0, own(0)),
      joined(allocate(0, pages(1), 1 << 4)), by(1, allocate(0, pages(1), 1 << 4)), share(0, own(0)),
      joined_late(allocate(0, pages(1), 1 << 4)), by(1, allocate(0, pages(1), 1)), joined_late(share(0, own(0))), by(1, free(0, own(0))),
      joined_late(import(0, 1)), by(1, free(0, own(0))), joined_late(import(0, 1)), step_of(Act::close, 1), step_of(Act::end)}},
    {1,
     {open_pmem, of_pmem(0, PmemCall::place), of_pmem(0, PmemCall::total), of_pmem(0, PmemCall::room), take(0, no_length),
      take_aligned(0, pages(2), align_none), take_aligned(0, pages(2), align_64k), take(0, pages(2)), of_pmem(0, PmemCall::place),
      no_writing, of_pmem(0, PmemCall::place), no_faults, no_reading, take_aligned(0, pages(2), align_64k), no_faults,
      of_pmem(0, PmemCall::of_region), by(2, open_pmem), by(2, take(0, pages(3))), by(2, of_pmem(0, PmemCall::place)),
      clean(0, 0, 0, 1)}},
    {0,
     {open_pmem, view(0, pages(4)), open_pmem, connect(1, 0), connect(1, 0), connect(1, 1), connect(1, 9), open_carveout, connect(1, 2),
      open_pmem, connect(1, 3), clean(3, 0, 0, 1), take(3, pages(2)), connect(3, 0), grant(1, 1, 1),
      of_pmem(1, PmemCall::map, one_byte), grant(1, 0, 0), grant(1, 3, 2), step_of(Act::send, 1, 1), by(1, grant(0, 0, 1)),
      view(1, pages(8)), room_for(16, 1), view(1, pages(4)), view(1, pages(4)), view(1, pages(4)), room_for(16, 1), grant(1, 2, 1),
      grant(1, 2, 1), grant(1, 0, 1), grant(1, 3, 1), withdraw(1, 1, 1), withdraw(1, 1, 1), clean(0, 0, 0, 1), clean(0, 0, 3, 2),
      clean(0, 0, 0, 0), clean(0, 1, 0, 1), of_pmem(0, PmemCall::inv, 16, nowhere), of_pmem(0, PmemCall::inv, 32, 0), view(0, no_length)}},
    {0,
     {open_pmem, open_pmem, view(1, pages(4)), connect(0, 1), view(0, pages(4)), grant(0, 0, 2), grant(0, 1, 2), withdraw(0, 0, 3),
      withdraw(0, 1, 3)}},
    {ends_late,
     {open_pmem, view(0, pages(4)), open_pmem, connect(1, 0), grant(1, 1, 2), view(1, pages(4)), open_pmem, connect(2, 1),
      grant(2, 0, 1), grant(2, 1, 1), grant(2, 2, 1), step_of(Act::unmap), step_of(Act::close), open_pmem, room_for(16, 1),
      take(0, pages(4)), grant(2, 0, 1), view(2, pages(2)), connect(2, 1), clean(1, 0, 0, 1), step_of(Act::unmap), grant(1, 0, 1)}},
    {2,
     {open_pmem, view(0, pages(40)), take(0, pages(20)), open_pmem, take(1, pages(20)), take(1, pages(2)), open_pmem, take(2, pages(2)),
      open_pmem, take(3, pages(1))}},
    {0, {open_pmem, view(0, pages(4)), clean(0, 0, 0, 1), open_pmem, take(1, pages(2)), of_pmem(1, PmemCall::room)}},
    {is_uncached, {open_pmem, view(0, pages(2)), clean(0, 0, 0, 1), joined(grant(0, 0, 1)), by(1, open_pmem), step_of(Act::end)}},
};

}  // namespace freestone::tests
