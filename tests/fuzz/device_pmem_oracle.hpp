// What calls of PMEM's nodes must have answered, and what each sub then sees, beside a naive model: which file has which part of
// the region, and which of it was granted to whom (shared/spec: PMEM 1, 3.3, 4, 5.1; 7 where that says what is right).
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "fuzz/device_oracle.hpp"
#include "fuzz/device_programs.hpp"

namespace freestone::tests {

namespace rules {
inline Rule pmem_unknown{invalid, "pmem: what is unknown is EINVAL"};
inline Rule pmem_unreadable{fault, "pmem: a struct that cannot be read is EFAULT"};
inline Rule pmem_untold{fault, "pmem: a struct that cannot be written is EFAULT"};
inline Rule pmem_nowhere{none, "pmem: without an allocation its place and length are 0"};
inline Rule pmem_place_told{none, "pmem: an allocation's physical place is told"};
inline Rule pmem_offset_told{none, "pmem: who sees no physical addresses is told a place in the region"};
inline Rule pmem_total_told{none, "pmem: the region's size is told"};
inline Rule pmem_room_told{none, "pmem: the region's room is told"};
inline Rule pmem_misaligned{invalid, "pmem: an alignment that is none from 4 KiB to 1 MiB is EINVAL"};
inline Rule pmem_has_one{invalid, "pmem: a second allocation is EINVAL"};
inline Rule pmem_no_room{no_memory, "pmem: no room is ENOMEM"};
inline Rule pmem_too_many{no_memory, "pmem: one allocation more than there may be is ENOMEM"};
inline Rule pmem_given{none, "pmem: the first place that is free is given"};
inline Rule pmem_given_aligned{none, "pmem: the first place is given that is aligned"};
inline Rule connect_no_file{bad_file, "connect: to no descriptor it is EBADF"};
inline Rule connect_itself{invalid, "connect: to itself it is EINVAL"};
inline Rule connect_foreign{invalid, "connect: to what is none of PMEM's it is EINVAL"};
inline Rule connect_nothing{invalid, "connect: to what has no allocation it is EINVAL"};
inline Rule connect_other{invalid, "connect: of who has another allocation it is EINVAL"};
inline Rule connect_closed{invalid, "connect: to what a closed master had it is EINVAL"};
inline Rule connect_done{none, "connect: a file becomes a sub"};
inline Rule connect_again{none, "connect: a sub may be connected again"};
inline Rule remap_no_pages{invalid, "grants: what is no whole pages is EINVAL"};
inline Rule remap_nothing{none, "grants: nothing at all is done"};
inline Rule remap_gone{none, "grants: of who has unmapped nothing is done"};
inline Rule remap_not_owner{invalid, "grants: of another's memory they are EINVAL"};
inline Rule remap_beyond{invalid, "grants: beyond the allocation they are EINVAL"};
inline Rule remap_closed{invalid, "grants: of a closed master's memory they are EINVAL"};
inline Rule grant_full{no_memory, "grants: one more than there may be is ENOMEM"};
inline Rule grant_unshown{try_again, "grants: what the platform cannot show is EAGAIN, and is not granted"};
inline Rule grant_done{none, "grants: what is granted is seen"};
inline Rule withdraw_none{invalid, "grants: to withdraw what was not granted is EINVAL"};
inline Rule withdraw_done{none, "grants: what is withdrawn is seen no more, but what another grant covers"};
inline Rule pmem_cache_null{invalid, "pmem's caches: no address is EINVAL"};
inline Rule pmem_cache_uncached{none, "pmem's caches: of a region that is not cached there is nothing to do"};
inline Rule pmem_cache_nowhere{invalid, "pmem's caches: without an allocation it is EINVAL"};
inline Rule pmem_cache_beyond{invalid, "pmem's caches: beyond the allocation it is EINVAL"};
inline Rule pmem_cache_nothing{none, "pmem's caches: of no bytes there is nothing to do"};
inline Rule pmem_cache_outside{invalid, "pmem's caches: what does not lie in a mapping of the file is EINVAL"};
inline Rule pmem_cache_done{none, "pmem's caches: what is right is done"};
inline Rule pmem_cache_closed{none, "pmem's caches: of a closed master's memory there is nothing to do"};
inline Rule pmem_map_wrong{invalid, "pmem's mmap: what does not begin at 0, or is no whole pages, is EINVAL"};
inline Rule pmem_map_again{invalid, "pmem's mmap: a sub's second is EINVAL"};
inline Rule pmem_map_no_room{no_memory, "pmem's mmap: without an allocation, and without room, it is ENOMEM"};
inline Rule pmem_map_longer{invalid, "pmem's mmap: more than there is is EINVAL"};
inline Rule pmem_map_closed{invalid, "pmem's mmap: of a closed master's memory it is EINVAL"};
inline Rule pmem_map_unshown{try_again, "pmem's mmap: what the platform cannot show is EAGAIN"};
inline Rule pmem_map_master{none, "pmem's mmap: a master maps as often as he likes"};
inline Rule pmem_map_sub{none, "pmem's mmap: a sub sees what was granted"};
}  // namespace rules

class PmemOracle : public CallOracle {
 public:
  PmemOracle(FuzzScene& scene, Program& program, Open& file) : CallOracle(scene, program, file) {}

  void check(device::Command command, std::uint64_t address, device::Answer answer) {
    begin(command, address, answer);
    serve();
    expect(!was_refused(), "who is shown less than he was granted is told so");
    check_all();
  }
  void check_map(std::uint64_t offset, std::uint64_t length, device::Answer answer) {
    begin({}, 0, answer);
    map(offset, length);
    expect(!was_refused(), "who is shown less than he was granted is told so");
  }

 private:
  void serve() {
    using enum PmemCall;
    if ((command_.code & ~0xffU) != pmem_command(PmemCall{0})) return must_be(rules::pmem_unknown);
    switch (static_cast<PmemCall>(command_.number())) {
      case place:
      case size: return check_place();
      case total: return tell(rules::pmem_total_told, 0, heap().size.value());
      case room: return tell(rules::pmem_room_told, free_before_, longest_before_);
      case allocate: return check_allocation(address_, 4096, rules::pmem_given);
      case aligned: return check_aligned();
      case connect: return check_connect(static_cast<std::int32_t>(address_));
      case map: return check_remap(&PmemOracle::check_grant);
      case unmap: return check_remap(&PmemOracle::check_withdrawal);
      case clean_inv: return check_cache(device::CacheCommand::clean_invalidate);
      case clean: return check_cache(device::CacheCommand::clean);
      case inv: return check_cache(device::CacheCommand::invalidate);
      default: return must_be(rules::pmem_unknown);
    }
  }

  const device::PmemSettings& settings() const { return file_.pmem_node()->file().region().settings(); }
  bool was_refused() { return std::exchange(file_.pmem_node()->screen().was_refused, false); }

  // --- structs ---

  std::size_t word() const { return static_cast<std::size_t>(program_.word()); }
  std::uint64_t word_at(std::size_t number) const {
    return word() == 8 ? at<std::uint64_t>(number * 8) : at<std::uint32_t>(number * 4);
  }
  bool take_words(std::size_t count) {
    length_ = count * word();
    return take_all();
  }
  void tell(Rule& rule, std::uint64_t first, std::uint64_t second) {
    std::memcpy(bytes_.data(), &first, word());
    std::memcpy(bytes_.data() + word(), &second, word());
    length_ = 2 * word();
    must_be(goes_out(argument()) ? rule : rules::pmem_untold);
  }

  // --- allocations ---

  void check_place() {
    if (place_before_ == nullptr) return tell(rules::pmem_nowhere, 0, 0);
    if (!program_.sees_physical_addresses()) return tell(rules::pmem_offset_told, place_before_->start, place_before_->length);
    tell(rules::pmem_place_told, settings().base + place_before_->start, place_before_->length);
  }
  void check_aligned() {
    if (!take_words(2)) return must_be(rules::pmem_unreadable);
    const auto align = at<std::uint32_t>(word());
    if (!std::has_single_bit(align) || align < 4096 || align > 1 << 20) return must_be(rules::pmem_misaligned);
    check_allocation(word_at(0), align, rules::pmem_given_aligned);
  }
  void check_allocation(std::uint64_t length, std::uint64_t align, Rule& given) {
    if (file_.pmem.place != nullptr) return must_be(rules::pmem_has_one);
    if (answer_ == device::Errno::no_memory) return must_be(no_room(length, align, rules::pmem_no_room));
    take_place(length, align);
    must_be(given, static_cast<std::int64_t>(file_.pmem.place->start / settings().quantum.value()));
  }
  // Which the answer must be, for there must be none.
  Rule& no_room(std::uint64_t length, std::uint64_t align, Rule& rule) const {
    if (places() == fuzz_pmem_limits.allocations) return &rule == &rules::pmem_no_room ? rules::pmem_too_many : rule;
    expect(!is_undisturbed() || !first_place(length, align), "a region with room gives it");
    return rule;
  }
  // The file has it from here on.
  void take_place(std::uint64_t length, std::uint64_t align) {
    const auto start = first_place(length, align);
    expect(start.has_value() && places() < fuzz_pmem_limits.allocations, "what is given there was room for");
    file_.pmem_node()->file().with_own([&](const auto& buffer) { file_.known = Known::of(buffer); });
    expect(file_.known != nullptr && file_.known->size == rounded_up(length), "an allocation is of whole quanta");
    expect(file_.known->blocks.size() == 1 && file_.known->blocks[0].offset().value() == *start, "the first place that fits is given");
    file_.pmem.place = std::make_shared<PmemPlaceKnown>(PmemPlaceKnown{*start, file_.known->size});
  }
  // Where it is to lie, as things are now.
  std::optional<std::uint64_t> first_place(std::uint64_t length, std::uint64_t align) const {
    const std::uint64_t base = settings().base, step = std::max(align, settings().quantum.value());
    const Occupancy now;
    if (length == 0 || length > heap().size.value() || now.buffers() == fuzz_limits.buffers) return std::nullopt;
    const auto page = now.first_run(heap(), rounded_up(length) / 4096, ((base + step - 1) / step * step - base) / 4096, step / 4096);
    return page ? std::optional(*page * 4096) : std::nullopt;
  }
  std::uint64_t rounded_up(std::uint64_t length) const {
    const std::uint64_t quantum = settings().quantum.value();
    return (length + quantum - 1) / quantum * quantum;
  }
  // How many allocations somebody has, and be it as a closed master's sub.
  static std::size_t places() {
    std::set<const PmemPlaceKnown*> places;
    for (const Open* one : Open::live) places.insert(one->pmem.place.get());
    places.erase(nullptr);
    return places.size();
  }

  // --- masters and subs ---

  void check_connect(std::int32_t descriptor) {
    const std::shared_ptr<Open> source = program_.file_at(descriptor);
    PmemKnown& own = file_.pmem;
    if (source == nullptr) return must_be(rules::connect_no_file);
    if (source.get() == &file_) return must_be(rules::connect_itself);
    if (source->pmem_node() == nullptr) return must_be(rules::connect_foreign);
    if (source->pmem.place == nullptr) return must_be(rules::connect_nothing);
    if (own.place != nullptr && own.place != source->pmem.place) return must_be(rules::connect_other);
    if (own.place != nullptr && !own.is_sub) return must_be(rules::connect_other);  // its own, of which the other is a sub
    if (source->pmem.is_closed()) return must_be(rules::connect_closed);
    must_be(own.is_sub ? rules::connect_again : rules::connect_done);
    own.place = source->pmem.place;
    own.is_sub = true;
    own.master_fd = descriptor;
    own.master = source;
  }

  // `change`: of whole pages of the allocation, by who may.
  void check_remap(void (PmemOracle::*change)(const PmemBytes&)) {
    if (!take_words(2)) return must_be(rules::pmem_unreadable);
    const PmemBytes range{word_at(0), word_at(1)};
    if (range.offset % 4096 != 0 || range.length % 4096 != 0) return must_be(rules::remap_no_pages);
    if (range.length == 0) return must_be(rules::remap_nothing);
    if (file_.pmem.is_sub && file_.pmem.is_unmapped) return must_be(rules::remap_gone);
    if (!is_owner()) return must_be(rules::remap_not_owner);
    if (!is_within(range)) return must_be(rules::remap_beyond);
    if (file_.pmem.is_closed()) return must_be(rules::remap_closed);
    (this->*change)(range);
  }
  bool is_owner() const {
    const PmemKnown& own = file_.pmem;
    if (!own.is_sub) return own.was_mapped;
    const std::shared_ptr<Open> master = program_.file_at(own.master_fd);
    return master != nullptr && master == own.master.lock();
  }
  bool is_within(const PmemBytes& range) const {
    const std::uint64_t all = file_.pmem.place->length;
    return range.offset <= all && range.length <= all && range.offset + range.length <= all;
  }
  void check_grant(const PmemBytes& range) {
    PmemKnown& own = file_.pmem;
    if (own.grants.size() == fuzz_pmem_limits.grants) return must_be(rules::grant_full);
    const auto before = own.seen();
    own.grants.push_back(range);
    if (!was_refused()) return must_be(rules::grant_done);
    expect(own.seen() != before, "who is shown nothing more cannot be refused it");
    own.grants.pop_back();
    must_be(rules::grant_unshown);
  }
  void check_withdrawal(const PmemBytes& range) {
    const auto is_it = [&](const PmemBytes& one) { return one.offset == range.offset && one.length == range.length; };
    must_be(std::erase_if(file_.pmem.grants, is_it) == 0 ? rules::withdraw_none : rules::withdraw_done);
  }

  // --- caches ---

  void check_cache(device::CacheCommand command) {
    if (!take_words(3)) return must_be(rules::pmem_unreadable);
    const std::uint64_t address = word_at(0);
    const PmemBytes range{word_at(1), word_at(2)};
    if (address == 0) return must_be(rules::pmem_cache_null);
    if (!settings().is_cached) return must_be(rules::pmem_cache_uncached);
    if (file_.pmem.place == nullptr) return must_be(rules::pmem_cache_nowhere);
    if (!is_within(range)) return must_be(rules::pmem_cache_beyond);
    if (range.length == 0) return must_be(rules::pmem_cache_nothing);
    if (!is_mapped(address, range.length)) return must_be(rules::pmem_cache_outside);
    if (file_.pmem.is_closed()) return must_be(rules::pmem_cache_closed);
    must_be(rules::pmem_cache_done);
    add_maintained(static_cast<std::uint32_t>(command), address % Program::each_mapping, range);
  }
  bool is_mapped(std::uint64_t address, std::uint64_t length) const {
    const auto* const first = program_.mapping_around(address);
    return first != nullptr && first == program_.mapping_around(address + length - 1) && first->file.get() == &file_;
  }
  // What is discarded is discarded outside first.
  void add_maintained(std::uint32_t command, std::uint64_t inner, const PmemBytes& range) const {
    const Maintained parts[] = {{command, inner, range.length},
                                {command | Maintained::outer, settings().base + file_.pmem.place->start + range.offset, range.length}};
    const bool is_outer_first = command == static_cast<std::uint32_t>(device::CacheCommand::invalidate);
    for (const int part : {is_outer_first ? 1 : 0, is_outer_first ? 0 : 1}) master().maintained.push_back(parts[part]);
  }
  Known& master() const {
    const auto is_master = [&](const Open* one) { return !one->pmem.is_sub && one->pmem.place == file_.pmem.place; };
    return *(*std::ranges::find_if(Open::live, is_master))->known;
  }

  // --- mappings ---

  void map(std::uint64_t offset, std::uint64_t length) {
    PmemKnown& own = file_.pmem;
    if (offset != 0 || length == 0 || length % 4096 != 0) return must_be(rules::pmem_map_wrong);
    if (own.is_sub && own.was_mapped) return must_be(rules::pmem_map_again);
    if (own.place == nullptr && answer_ == device::Errno::no_memory) return must_be(no_room(length, 4096, rules::pmem_map_no_room));
    if (own.place == nullptr) take_place(length, 4096);
    if (own.place->length < length) return must_be(rules::pmem_map_longer);
    own.is_sub ? map_sub(length) : must_be(rules::pmem_map_master);
    if (answer_ == device::done) own.was_mapped = true;
  }
  void map_sub(std::uint64_t length) {
    PmemKnown& own = file_.pmem;
    if (own.is_closed()) return must_be(rules::pmem_map_closed);
    own.window = length;
    if (!was_refused()) return must_be(rules::pmem_map_sub);
    expect(own.seen().any(), "who is shown nothing cannot be refused it");
    own.window = 0;
    must_be(rules::pmem_map_unshown);
  }

  const device::HeapInfo& heap() const { return scene_.heaps.back().info(); }

  const std::shared_ptr<PmemPlaceKnown> place_before_ = file_.pmem.place;
  const std::uint64_t free_before_ = heap().size.value() - before_.used(heap().id);
  const std::uint64_t longest_before_ = before_.longest_run(heap()) * 4096;
};

}  // namespace freestone::tests
