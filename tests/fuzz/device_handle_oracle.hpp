// What calls of ION's nodes with handles must have answered, beside a naive model of each client's handles: of which buffer,
// and how often he got them (shared/spec: ION 1.1 to 1.3, 4, 5).
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fuzz/device_oracle.hpp"
#include "fuzz/device_programs.hpp"

namespace freestone::tests {

namespace rules {
inline Rule g1_unknown{no_such_command, "G1: what is unknown is ENOTTY, and nothing of it is read"};
inline Rule g2_unknown{no_such_command, "G2: what is unknown is ENOTTY, and nothing of it is read"};
inline Rule g3_too_long{invalid, "G3: longer than any struct is EINVAL"};
inline Rule g3_unknown{no_such_command, "G3: what is unknown is ENOTTY"};
inline Rule handle_unreadable{fault, "handles: a struct that cannot be read is EFAULT"};
inline Rule handle_wraps{invalid, "handles: a length that wraps in 32 bits is EINVAL"};
inline Rule handle_no_pages{invalid, "handles: a length without pages is EINVAL"};
inline Rule handle_no_heap{no_device, "handles: a mask without heaps is ENODEV"};
inline Rule handle_not_secure{no_device, "handles: what is to be secure is ENODEV, for no heap here is"};
inline Rule handle_wrong{invalid, "handles: an alignment, or a cached flag, that the last heap does not have is EINVAL"};
inline Rule handle_no_room{no_memory, "handles: no room in the last heap is ENOMEM"};
inline Rule handle_untold{fault, "handles: whom his handle cannot be told has EFAULT"};
inline Rule handle_given{none, "handles: a handle is given"};
inline Rule handle_given_as_old{none, "handles: G2 gives one in G1's layout too"};
inline Rule free_none{invalid, "free: of a handle that is none of his it is EINVAL"};
inline Rule free_one{none, "free: one reference goes"};
inline Rule free_last{none, "free: with the last reference the handle goes"};
inline Rule share_none{invalid, "share: of a handle that is none of his it is EINVAL"};
inline Rule share_exists{exists, "share: while it is mapped in another way it is EEXIST"};
inline Rule share_no_descriptor{too_many_files, "share: a full table of descriptors is EMFILE"};
inline Rule share_untold{fault, "share: whom his descriptor cannot be told has EFAULT"};
inline Rule share_given{none, "share: a descriptor is given"};
inline Rule import_swallowed{none, "import: G1 and G2 have no handle for what is no buffer, and no error"};
inline Rule import_no_file{bad_file, "import: of no descriptor it is EBADF"};
inline Rule import_foreign{invalid, "import: of what is no buffer of this ION's it is EINVAL"};
inline Rule import_untold{fault, "import: whom his handle cannot be told has EFAULT"};
inline Rule import_first{none, "import: a handle is given"};
inline Rule import_again{none, "import: a buffer has one handle in a client"};
inline Rule custom_unknown{no_such_command, "custom: what is unknown is ENOTTY"};
inline Rule custom_unreadable{fault, "custom: what it is about is EFAULT where that cannot be read"};
inline Rule custom_refused{busy, "custom: the platform refuses"};
inline Rule custom_done{none, "custom: the platform answers"};
inline Rule flags_none{invalid, "flags: of a handle that is none of his it is EINVAL"};
inline Rule flags_untold{fault, "flags: those that cannot be written are EFAULT"};
inline Rule flags_told{none, "flags: they are told"};
inline Rule flags_all_told{none, "flags: G2 tells those of ALLOC"};
inline Rule all_sync_no_file{bad_file, "ion's sync: of no descriptor it is EBADF"};
inline Rule all_sync_foreign{invalid, "ion's sync: of what is no buffer of this ION's it is EINVAL"};
inline Rule all_sync_done{none, "ion's sync: all of a buffer"};
inline Rule cache_none{invalid, "cache: of a handle that is none of his it is EINVAL"};
inline Rule cache_no_file{invalid, "cache: of no handle, and no buffer's descriptor, it is EINVAL"};
inline Rule cache_outside{invalid, "cache: what does not lie in a mapping of the buffer is EINVAL"};
inline Rule cache_beyond{invalid, "cache: offset and length that do not lie in the buffer are EINVAL"};
inline Rule cache_nothing{none, "cache: of what is not cached there is nothing to do"};
inline Rule cache_done{none, "cache: what is right is done"};
inline Rule cache_whole{none, "cache: G2 does at no address all of the buffer"};
inline Rule prefetch_none{invalid, "prefetch: of a heap that is none, or of more than it has, it is EINVAL"};
inline Rule prefetch_done{none, "prefetch: a heap is asked"};
inline Rule drain_done{none, "drain: what a heap keeps goes"};
}  // namespace rules

class HandleOracle : public CallOracle {
 public:
  HandleOracle(FuzzScene& scene, Program& program, Open& file)
      : CallOracle(scene, program, file), word_(program.word()), layout_{static_cast<std::size_t>(word_), file.kind()} {
    for (const ToldHandle& one : file.handles) handles_before_.push_back({one.number, one.buffer->id, one.buffer->flags});
  }

  void check(device::Command command, std::uint64_t address, device::Answer answer) {
    begin(command, address, answer);
    layout_ = layout_of(layout_, command);
    if (file_.has_pointers()) check_msm();
    if (!file_.has_pointers()) check_g3();
    check_all();
  }

 private:
  void check_msm() {
    if (!is_command()) return must_be(file_.is_g1() ? rules::g1_unknown : rules::g2_unknown);
    length_ = struct_length();  // whatever the number says: IMPORT's says another
    take_all() ? serve() : must_be(rules::handle_unreadable);
  }
  void check_g3() {
    if (command_.length() > 32) return must_be(rules::g3_too_long);
    if (!take(32)) return must_be(rules::handle_unreadable);
    is_command() ? serve() : must_be(rules::g3_unknown);
  }
  void serve() {
    switch (command_.number()) {
      case 0: return check_allocation();
      case 1: return check_free();
      case 5: return check_import();
      case 6: return check_custom();
      case 7: return file_.is_g1() ? check_range(0) : check_sync();
      case 8: return file_.is_g1() ? check_range(1) : check_query();
      case 9: return check_range(2);
      case 10: return check_flags();
      default: return check_share();
    }
  }

  bool is_command() const {
    const auto is = [&](IonCall call, std::uint32_t before = 0) { return command_.code + before == ion_command(call, layout_); };
    for (const IonCall call : ion_calls) {
      if (is(call)) return true;
    }
    return file_.is_g1() && (is(IonCall::query_or_cache, 1) || is(IonCall::query_or_cache, 2));  // clean and invalidate
  }
  std::size_t struct_length() const {
    switch (command_.number()) {
      case 0: return layout_.allocation();
      case 1: return layout_.handle_length();
      case 7:
      case 8:
      case 9: return layout_.word == 8 ? 32 : 20;
      default: return 2 * layout_.word;
    }
  }
  std::uint64_t word_at(std::size_t offset) const { return layout_.word == 8 ? at<std::uint64_t>(offset) : at<std::uint32_t>(offset); }
  std::uint64_t handle_at(std::size_t offset) const {
    return file_.has_pointers() ? word_at(offset) : static_cast<std::uint64_t>(std::int64_t{at<std::int32_t>(offset)});
  }
  // Which handle he was told nobody can foresee: it is what stands in his memory now.
  void take_handle(std::size_t offset) {
    for (std::size_t end = offset + layout_.handle_length(); offset < end; ++offset) {
      const std::uint64_t place = address_ + offset - Caller::start;
      if (place < Caller::length) bytes_[offset] = program_.bytes()[static_cast<std::size_t>(place)];
    }
  }

  // --- handles ---

  // A handle as it was when the call looked it up: before what others did, if they did it when the call gave back.
  struct Was {
    std::uint64_t number;
    BufferId buffer;
    std::uint32_t flags;
  };
  std::optional<Was> look_up(std::uint64_t handle) const {
    if (!program_.was_late) {
      const ToldHandle* const one = file_.find(handle, word_);
      return one == nullptr ? std::nullopt : std::optional(Was{one->number, one->buffer->id, one->buffer->flags});
    }
    const auto found = std::ranges::find(handles_before_, file_.number_of(handle, word_), &Was::number);
    return found == handles_before_.end() ? std::nullopt : std::optional(*found);
  }
  void add_handle(std::uint64_t number, std::shared_ptr<Known> buffer) {
    expect(number != Open::none, "a handle looks as its generation's do");
    for (const Open* one : Open::live) {
      if (one != &file_ && !(one->has_pointers() && file_.has_pointers())) continue;
      expect(std::ranges::find(one->handles, number, &ToldHandle::number) == one->handles.end(), "a new handle is no other");
    }
    std::uint64_t lowest = 1;
    while (std::ranges::find(file_.handles, lowest, &ToldHandle::number) != file_.handles.end()) ++lowest;
    expect(file_.has_pointers() || program_.is_interrupted || number == lowest, "an integer is the lowest that is free");
    file_.handles.push_back({number, 1, std::move(buffer)});
  }
  std::shared_ptr<Known> buffer_of(std::uint64_t number) {
    std::shared_ptr<Known> buffer;
    const std::size_t before = Known::live.size();
    file_.client().for_each(device::WordSize::bits64, [&](std::uint64_t handle, std::uint32_t, const auto& ref) {
      if (file_.number_of(handle, device::WordSize::bits64) == number) buffer = Known::of(ref);
    });
    expect(buffer != nullptr && Known::live.size() == before + 1, "an allocation's handle is of a buffer that nobody else has");
    return buffer;
  }

  // --- ALLOC ---

  void check_allocation() {
    const std::uint64_t size = rounded(word_at(0));
    if (layout_.word == 4 && word_at(0) > 0xfffff000) return must_be(rules::handle_wraps);
    if (size == 0) return must_be(rules::handle_no_pages);
    const std::vector<Asked> asked = asked_for(size);
    if (asked.empty()) return must_be(is_secure() ? rules::handle_not_secure : rules::handle_no_heap);
    if (answer_ != device::done && answer_ != device::Errno::fault) {
      check_no_room(asked, size);
      return must_be(asked.back().is_refused ? rules::handle_wrong : rules::handle_no_room);
    }
    take_handle(layout_.handle());
    if (!goes_out(argument())) return must_be(rules::handle_untold);
    must_be(layout_.kind == file_.kind() ? rules::handle_given : rules::handle_given_as_old);
    const std::uint64_t number = file_.number_of(handle_at(layout_.handle()), word_);
    add_handle(number, buffer_of(number));
    Known& given = *file_.handles.back().buffer;
    given.flags = flags_asked();
    check_buffer_given(asked, size, given);
  }
  std::vector<Asked> asked_for(std::uint64_t size) const {
    const std::uint64_t align = word_at(layout_.word);
    const auto mask = at<std::uint32_t>(layout_.mask());
    std::vector<Asked> asked;
    if (is_secure()) return asked;  // there is no such heap
    for (FuzzHeap* heap : file_.heaps->heaps) {
      if ((mask >> heap->info().id & 1) == 0) continue;
      Asked one{heap};
      const bool is_placed = file_.has_pointers() && heap->info().type == device::HeapType::carveout && align != 0;
      if (is_placed) one.is_refused = !std::has_single_bit(align), one.align = align;
      if (!file_.has_pointers()) one.is_refused = is_wrong_in_g3(heap->info().type, size, align);
      asked.push_back(one);
    }
    return asked;
  }
  std::uint32_t flags_asked() const { return layout_.has_flags() ? at<std::uint32_t>(layout_.flags()) : 0; }
  bool is_secure() const {
    const std::uint32_t said = layout_.has_flags() ? flags_asked() : at<std::uint32_t>(layout_.mask());
    return file_.has_pointers() && said >> 31 != 0;
  }
  bool is_wrong_in_g3(device::HeapType type, std::uint64_t size, std::uint64_t align) const {
    constexpr std::uint64_t most = std::uint64_t{1} << 63;
    switch (type) {
      case device::HeapType::system_contig: return align > (size > most ? most : std::bit_ceil(size));
      case device::HeapType::chunk: return align > 65536;
      case device::HeapType::dma: return align > 4096 || (flags_asked() & 1) != 0;
      default: return align > 4096;
    }
  }

  // --- handles and descriptors ---

  void check_free() {
    ToldHandle* const one = file_.find(handle_at(0), word_);
    if (one == nullptr) return must_be(rules::free_none);
    must_be(one->references > 1 ? rules::free_one : rules::free_last);
    if (--one->references != 0) return;
    file_.gone = one->number;
    file_.handles.erase(file_.handles.begin() + (one - file_.handles.data()));
  }
  void check_share() {
    const auto shared = look_up(handle_at(0));
    if (!shared) return must_be(rules::share_none);
    if (file_.is_g1() && program_.publishes == 0) {
      const Known& buffer = *file_.find(handle_at(0), word_)->buffer;
      expect(buffer.mapped != 0 && buffer.is_cached() == file_.flags.is_synchronous(), "what nobody mapped in another way is shared");
      return must_be(rules::share_exists);
    }
    if (program_.place == Program::most_descriptors) return must_be(rules::share_no_descriptor);
    if (!goes_out(program_.with_number(argument(), layout_.handle_length()))) return must_be(rules::share_untold);
    must_be(rules::share_given);
    check_file_given(0x80002);
    expect(program_.published->known->id == shared->buffer, "a descriptor is of the handle's buffer");
  }
  bool is_found() const {
    expect(program_.lookups == 1 && program_.looked_at == at<std::int32_t>(layout_.handle_length()), "the descriptor is looked at");
    return program_.found_wrong == device::Errno::none;
  }
  bool is_no_file() const { return program_.found_wrong == device::Errno::bad_file; }
  void check_import() {
    if (!is_found() && !file_.has_pointers()) return must_be(is_no_file() ? rules::import_no_file : rules::import_foreign);
    is_found() ? take_handle(0) : static_cast<void>(std::fill_n(bytes_.begin(), layout_.handle_length(), std::byte{0}));
    if (!goes_out(argument())) return must_be(rules::import_untold);
    if (!is_found()) return must_be(rules::import_swallowed);
    const std::uint64_t number = file_.number_of(handle_at(0), word_);
    const auto own = std::ranges::find(file_.handles, program_.found, &ToldHandle::buffer);
    if (own == file_.handles.end()) return must_be(rules::import_first), add_handle(number, program_.found);
    must_be(rules::import_again);
    expect(own->number == number, rules::import_again.text);
    ++own->references;
  }
  void check_sync() {
    if (!is_found()) return must_be(is_no_file() ? rules::all_sync_no_file : rules::all_sync_foreign);
    must_be(rules::all_sync_done);
    ++program_.found->syncs;
  }

  void check_custom() {
    const auto command = at<std::uint32_t>(0);
    for (unsigned number = 0; file_.is_g2() && number <= drain; ++number) {
      if (command == msm_command(number, layout_.word)) return check_msm_custom(device::Command{command});
    }
    switch (command) {
      case 1: return must_be(rules::custom_done, static_cast<std::int64_t>(word_at(layout_.word) & 0xff));
      case 2: return must_be(rules::custom_refused);
      default: return must_be(rules::custom_unknown);
    }
  }
  // Then the struct is another, elsewhere.
  void check_msm_custom(device::Command command) {
    address_ = word_at(layout_.word);
    length_ = command.length();
    if (!take_all()) return must_be(rules::custom_unreadable);
    command.number() < prefetch ? check_range(command.number()) : check_prefetch(command.number() == drain);
  }
  void check_prefetch(bool is_drain) {
    const auto wanted = at<std::uint32_t>(0);
    const std::uint64_t length = word_at(layout_.word);
    const auto heap = std::ranges::find_if(file_.heaps->heaps, [&](FuzzHeap* one) { return one->info().id == wanted; });
    if (heap == file_.heaps->heaps.end() || length > (*heap)->info().size.value()) return must_be(rules::prefetch_none);
    must_be(is_drain ? rules::drain_done : rules::prefetch_done);
    if (is_drain && length == 0) expect((*heap)->shrink(0) == 0, "after DRAIN of all of it a heap keeps nothing");
  }

  void check_flags() {
    const auto asked = look_up(handle_at(0));
    if (!asked) return must_be(rules::flags_none);
    const std::uint64_t flags = asked->flags;
    std::memcpy(bytes_.data() + layout_.word, &flags, layout_.word);
    if (!goes_out(argument())) return must_be(rules::flags_untold);
    must_be(file_.is_g1() ? rules::flags_told : rules::flags_all_told);
  }

  void check_range(std::uint32_t command) {
    const bool has_handle = handle_at(0) != 0;
    if (!has_handle && !is_found()) return must_be(rules::cache_no_file);
    const ToldHandle* const one = file_.find(handle_at(0), word_);
    if (has_handle && one == nullptr) return must_be(rules::cache_none);
    Known& buffer = has_handle ? *one->buffer : *program_.found;
    const std::uint64_t address = word_at(2 * layout_.word), length = at<std::uint32_t>(3 * layout_.word + 4);
    const bool is_whole = file_.is_g2() && address == 0;
    if (!is_whole && !is_mapped(buffer, address, length)) return must_be(rules::cache_outside);
    if (!buffer.is_cached()) return must_be(rules::cache_nothing);
    if (is_whole) return must_be(rules::cache_whole), buffer.maintained.push_back({command, 0, Maintained::whole});
    if (at<std::uint32_t>(3 * layout_.word) + length > buffer.size) return must_be(rules::cache_beyond);
    must_be(rules::cache_done);
    if (length != 0) buffer.maintained.push_back({command, address % Program::each_mapping, length});
  }
  // Of no bytes: those on both sides.
  bool is_mapped(const Known& buffer, std::uint64_t address, std::uint64_t length) const {
    const auto* const first = program_.mapping_around(length == 0 ? address - 1 : address);
    const auto* const last = program_.mapping_around(length == 0 ? address : address + length - 1);
    return first != nullptr && first == last && first->file->known.get() == &buffer;
  }

  const device::WordSize word_;
  IonLayout layout_;
  std::vector<Was> handles_before_ = {};
};

}  // namespace freestone::tests
