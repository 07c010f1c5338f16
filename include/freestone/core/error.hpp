// Failure is a value with a reason. The text of one is in core/os/describe.hpp, for hosts that have strings.
#pragma once

#include <cstdint>

namespace freestone {

enum class ErrorCode : std::uint16_t {
  none,
  // The arguments of allocate.
  zero_size,
  size_overflow,  // rounding the size up to granules leaves 64 bits
  alignment_not_power_of_two,
  alignment_not_granules,  // of a strategy with any_alignment: no power of two, and no multiple of the granule either
  alignment_beyond_zone,   // larger than the zone, or than its backing keeps
  size_beyond_zone,
  no_space,
  boundary_not_power_of_two,
  size_beyond_boundary,  // so long a block crosses one wherever it lies
  zone_beyond_limit,     // the zone begins too high for a block of that size below the last address allowed
  nothing_within,        // there is room, but none within the bounds
  list_too_short,  // of allocate_list: the request takes more blocks than the caller has room for
  not_granules,    // of allocate_at, grow and shrink: the offset or the size is no multiple of the granule
  // The arguments of deallocate. Each is detected whenever the strategy has `exact_release`.
  double_release,  // no live block lies there
  inner_release,   // inside a live block, but not its start
  foreign_block,   // of another zone, or outside this one
  // The arguments of an access to a block's bytes.
  dead_block,          // no live block is where it says
  range_beyond_block,  // the bytes are not all in the block
  access_open,         // another access to these bytes has not ended, and one of the two writes
  // What layers refuse, or find out.
  over_limit,            // the layer's limit or budget would be passed
  limit_too_low,         // the new limit or budget is less than what is live
  no_budget,             // this tag has none: it is not below the layer's Tags (asked, and available: both are tags)
  too_many_blocks,       // a layer's table is full: it can follow no more blocks at once
  quarantine_too_large,  // it holds more than the zone has
  overrun,               // somebody wrote behind the block's end, or before its start
  written_when_dead,     // somebody wrote into a block that had gone back
  injected,              // fault injection made it fail
  // What several heaps say.
  unknown_heap,     // none has that id or name
  empty_mask,       // no heap was allowed
  never_satisfied,  // none will ever meet these constraints, whatever is free
  none_satisfied,   // none meets them now
  unknown_name,     // no block is kept under that name, or it is none of the blocks that are
  kept_unfit,       // the block kept under that name is too short for what is asked for now, or lies where it must not
  too_many_names,   // a table of names is full
  borders_not_ascending,  // of a Router
  does_not_fit,           // the board's heaps do not fit into its memories, or overlap
  // What is shared.
  no_client,         // it was closed, or never was
  bad_handle,        // none of this client's
  no_buffer,         // it is gone
  too_many_clients,  // the device has room for no more of these
  too_many_owners,
  too_many_buffers,
  too_many_handles,  // of this client
  too_many_holds,    // so many keep one thing alive that their count is full
  too_many_maps,
  over_quota,         // of its owner, in bytes
  over_buffer_quota,  // the same, in buffers (asked, available)
  bad_cacheability,   // a number that is none
  still_mapped,       // how it is cached cannot change while it is mapped
  not_mapped,    // this client has no such mapping of it
  retired,       // the device takes no clients any more
  still_used,    // clients (asked) or buffers (available) live
  not_owner,        // it is another's
  has_buffer,       // this view has or had a buffer, which is another
  mapped_before,    // it is mapped once in its life
  revoked,          // its owner has ended it
  not_granted,      // no range was granted that is just this one
  too_many_grants,  // of this view
  // What goes from process to process.
  connection_ended,  // the other end is closed or its process dead, or there never was one
  bad_message,       // the record has another length than agreed (asked, available), or comes with other descriptors
  too_many_peers,
  foreign_file,      // none of those that were exported; no socket of that kind
  not_sealed,        // it lacks a seal that is needed (asked, available: F_SEAL_ bits), and takes none
  // The arguments of create.
  granule_zero,
  granule_not_power_of_two,
  zone_below_granule,
  zone_not_multiple,  // its size is no multiple of the granule
  zone_overflow,      // base + size leaves 64 bits
  base_misaligned,    // the base is no multiple of the granule
  notes_too_small,
  notes_misaligned,  // not where a 64-bit word may lie on this target
  data_too_small,    // the memory given is shorter than the zone
  equal_block_zero,  // sizes cannot be rounded up to multiples of 0
  // Taking up words that hold no map of this very kind.
  not_formatted,
  wrong_version,
  wrong_strategy,
  wrong_granule,
  wrong_capacity,
  wrong_origin,
  wrong_lock,  // the zone's users meet at another kind of lock, or at one that is not for this process
  wrong_gaps,  // the zone was made over ranges that lie otherwise
  cut_short,   // the map is longer than the words given, or the file shorter than the zone
  // A user of the zone died inside: its words may be half written. recover() makes them whole.
  holder_died,
  // The host's own. From here on node() says which device, heap, file or name it was, where it was one.
  out_of_memory,
  os_failure,  // `os_error` says which
  bad_name,       // empty, too long, or with a slash where none may be
  no_device,      // there is none of that name, or it is gone
  no_access,      // `missing` says what it takes
  in_use,         // another is making or holding it
  exists,         // there is one of that name already
  read_only,      // it may be read but not written
  not_pages,      // the size is no multiple of its pages
  limit_reached,  // of this process or the system: open files, locked memory, the length of a file
  node_failure,   // `os_error` says which
};

// May what failed with it succeed once blocks have gone back?
constexpr bool is_want_of_space(ErrorCode code) noexcept {
  return code == ErrorCode::no_space || code == ErrorCode::nothing_within || code == ErrorCode::over_limit ||
         code == ErrorCode::too_many_blocks || code == ErrorCode::out_of_memory || code == ErrorCode::none_satisfied ||
         code == ErrorCode::too_many_buffers || code == ErrorCode::over_quota || code == ErrorCode::over_buffer_quota;
}

// What a call that the host forbade takes.
enum class Privilege : std::uint8_t {
  none,
  group_of_node,  // to be in the group that the node belongs to
  cap_sys_rawio,
  cap_sys_nice,
  cap_sys_admin,
  cap_ipc_lock,
  cap_dac_override,  // or to be the node's owner: its group may not, or the caller is in it already
};

// Which zone, what was asked for and what was there: in bytes; where notes are too few, words; where a map is
// another's, the two numbers that differ, in the map's own units (granules, a version, a kind).
struct Error {
  ErrorCode code = ErrorCode::none;
  Privilege missing = Privilege::none;
  std::int32_t os_error = 0;  // errno, or 0; below 0 a driver's own number, negated
  std::uint64_t asked = 0;
  std::uint64_t available = 0;
  const char* zone = "";  // the name that its creator gave

  constexpr explicit operator bool() const noexcept { return code != ErrorCode::none; }

  // Of the codes from out_of_memory on: the name of the node, "" where it was none. The text is its caller's, as that
  // of `zone`, and lives as long as he lets it. It lies in `available`, for what is there is unknown then.
  const char* node() const noexcept {
    return code < ErrorCode::out_of_memory || available == 0
               ? ""
               : reinterpret_cast<const char*>(static_cast<std::uintptr_t>(available));
  }
  static Error of_node(ErrorCode code, const char* node, const char* zone) noexcept {
    return {.code = code, .available = reinterpret_cast<std::uintptr_t>(node), .zone = zone};
  }

  friend constexpr bool operator==(const Error& a, const Error& b) noexcept {
    return a.code == b.code && a.missing == b.missing && a.os_error == b.os_error && a.asked == b.asked && a.available == b.available &&
           is_same_text(a.zone, b.zone);
  }

 private:
  static constexpr bool is_same_text(const char* a, const char* b) noexcept {
    if (a == nullptr) a = "";
    if (b == nullptr) b = "";
    for (; *a == *b; ++a, ++b) {
      if (*a == '\0') return true;
    }
    return false;
  }
};
static_assert(sizeof(Error) <= 32);

}  // namespace freestone
