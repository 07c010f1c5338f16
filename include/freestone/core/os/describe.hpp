// The text of an error, for hosts that have strings.
#pragma once

#include <grp.h>
#include <sys/stat.h>

#include <cstring>
#include <string>

#include <freestone/core/error.hpp>

namespace freestone {

// The reason in a few words; never empty.
constexpr const char* describe(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::none: return "no error";
    case ErrorCode::zero_size: return "a block of 0 bytes was asked for";
    case ErrorCode::size_overflow: return "the size rounded up to granules leaves 64 bits";
    case ErrorCode::alignment_not_power_of_two: return "the alignment is no power of two";
    case ErrorCode::alignment_not_granules:
      return "the alignment is neither a power of two nor a multiple of the granule";
    case ErrorCode::alignment_beyond_zone: return "the alignment is larger than the zone, or than its backing keeps";
    case ErrorCode::size_beyond_zone: return "the size is larger than the zone";
    case ErrorCode::no_space: return "no place for it in what is free";
    case ErrorCode::boundary_not_power_of_two: return "the boundary not to be crossed is not a power of two";
    case ErrorCode::size_beyond_boundary: return "a block of that size crosses the boundary wherever it lies";
    case ErrorCode::zone_beyond_limit: return "the zone begins too high for a block of that size below the last address allowed";
    case ErrorCode::nothing_within: return "there is room, but none at an address within the bounds";
    case ErrorCode::list_too_short: return "the list has no room for all the blocks that it takes";
    case ErrorCode::not_granules: return "the offset or size is no multiple of the granule";
    case ErrorCode::double_release: return "no live block lies there (given back twice?)";
    case ErrorCode::inner_release: return "that is inside a live block, not its start";
    case ErrorCode::foreign_block: return "the block is not of this zone";
    case ErrorCode::dead_block: return "no live block is where it says";
    case ErrorCode::range_beyond_block: return "the bytes are not all in the block";
    case ErrorCode::access_open: return "another access to these bytes has not ended, and one of the two writes";
    case ErrorCode::over_limit: return "the limit or budget would be passed";
    case ErrorCode::limit_too_low: return "the new limit is less than what is live";
    case ErrorCode::no_budget: return "there is no budget for blocks of that tag";
    case ErrorCode::too_many_blocks: return "the layer's table is full: it can follow no more blocks at once";
    case ErrorCode::quarantine_too_large: return "the quarantine holds more than the zone has";
    case ErrorCode::overrun: return "somebody wrote behind the block's end or before its start";
    case ErrorCode::written_when_dead: return "somebody wrote into a block that had gone back";
    case ErrorCode::injected: return "fault injection made it fail";
    case ErrorCode::unknown_heap: return "no heap has that id or name";
    case ErrorCode::empty_mask: return "the mask allows no heap";
    case ErrorCode::never_satisfied: return "no heap can ever meet these constraints";
    case ErrorCode::none_satisfied: return "no heap meets these constraints now";
    case ErrorCode::unknown_name: return "no block is kept under that name, or at that place";
    case ErrorCode::kept_unfit: return "the block kept under that name is too short, or lies where it must not";
    case ErrorCode::too_many_names: return "the table of names is full";
    case ErrorCode::does_not_fit: return "the board's heaps do not fit into its memories, or overlap";
    case ErrorCode::no_client: return "the client was closed, or never was";
    case ErrorCode::bad_handle: return "this client has no such handle";
    case ErrorCode::no_buffer: return "the buffer is gone, or another device's";
    case ErrorCode::too_many_clients: return "the device has room for no more clients";
    case ErrorCode::too_many_owners: return "the device has room for no more owners of clients";
    case ErrorCode::too_many_buffers: return "the device has room for no more buffers";
    case ErrorCode::too_many_handles: return "the client has room for no more handles";
    case ErrorCode::too_many_holds: return "the count of those who hold it is full";
    case ErrorCode::too_many_maps: return "the count of its mappings is full";
    case ErrorCode::over_quota: return "the owner's quota of bytes would be passed";
    case ErrorCode::over_buffer_quota: return "the owner's quota of buffers would be passed";
    case ErrorCode::bad_cacheability: return "there is no such cacheability";
    case ErrorCode::still_mapped: return "how it is cached cannot change while it is mapped";
    case ErrorCode::not_mapped: return "this client has no such mapping of it";
    case ErrorCode::retired: return "the device takes no clients any more";
    case ErrorCode::still_used: return "clients or buffers live";
    case ErrorCode::connection_ended: return "the connection or the process at its other end has ended";
    case ErrorCode::bad_message: return "a message of another length, or with other descriptors, than agreed";
    case ErrorCode::too_many_peers: return "there is room for no more peers";
    case ErrorCode::foreign_file: return "the file is none that was exported here, or of another kind";
    case ErrorCode::not_sealed: return "the file lacks a seal without which it cannot be shared like that";
    case ErrorCode::not_owner: return "it is another owner's";
    case ErrorCode::has_buffer: return "it has or had another buffer already";
    case ErrorCode::mapped_before: return "it was mapped before, and can be once";
    case ErrorCode::revoked: return "its owner has revoked it";
    case ErrorCode::not_granted: return "no range that is just this one was granted";
    case ErrorCode::too_many_grants: return "the view has room for no more grants";
    case ErrorCode::borders_not_ascending: return "the borders between sizes do not ascend";
    case ErrorCode::granule_zero: return "the granule is 0";
    case ErrorCode::granule_not_power_of_two: return "the granule is no power of two";
    case ErrorCode::zone_below_granule: return "the zone is smaller than one granule";
    case ErrorCode::zone_not_multiple: return "the zone's size is no multiple of the granule";
    case ErrorCode::zone_overflow: return "base and size together leave 64 bits";
    case ErrorCode::base_misaligned: return "the base is no multiple of the granule";
    case ErrorCode::notes_too_small: return "the notes have too few words (notes_words() tells how many)";
    case ErrorCode::notes_misaligned: return "the notes do not begin where a 64-bit word may lie";
    case ErrorCode::data_too_small: return "the memory is smaller than the zone";
    case ErrorCode::equal_block_zero: return "the size of equal blocks is 0";
    case ErrorCode::not_formatted: return "the words hold no map (never formatted, or its making was cut off)";
    case ErrorCode::wrong_version: return "the map is of another version of its format";
    case ErrorCode::wrong_strategy: return "the map was written by another strategy";
    case ErrorCode::wrong_granule: return "the map counts in another granule";
    case ErrorCode::wrong_capacity: return "the map is of another capacity";
    case ErrorCode::wrong_origin: return "the map's range begins at another number";
    case ErrorCode::wrong_lock: return "the zone was made with another kind of lock, or with one for another PID namespace";
    case ErrorCode::wrong_gaps: return "the zone was made over ranges that lie otherwise";
    case ErrorCode::cut_short: return "the map or file is shorter than it says";
    case ErrorCode::holder_died: return "a user of the zone died inside: recover() makes it whole";
    case ErrorCode::out_of_memory: return "the host has no memory for it";
    case ErrorCode::os_failure: return "the operating system refused";
    case ErrorCode::bad_name: return "no such name is possible (empty, too long, or with a slash where none may be)";
    case ErrorCode::no_device: return "there is none, or it is gone";
    case ErrorCode::no_access: return "no access";
    case ErrorCode::in_use: return "another is making or holding it";
    case ErrorCode::exists: return "there is one of that name already";
    case ErrorCode::read_only: return "it may be read but not written";
    case ErrorCode::not_pages: return "the size is no multiple of its pages";
    case ErrorCode::limit_reached:
      return "a limit is reached (of this process: ulimit -n open files, -l locked memory, -f length of a file; or of "
             "the system)";
    case ErrorCode::node_failure: return "it failed";
  }
  return "an error that this version does not know";
}

// What would help; empty where nothing is missing. A node's group is looked up now.
inline std::string describe(Privilege missing, const char* node) {
  switch (missing) {
    case Privilege::none: return "";
    case Privilege::cap_sys_rawio: return "needs CAP_SYS_RAWIO";
    case Privilege::cap_sys_nice: return "needs CAP_SYS_NICE";
    case Privilege::cap_sys_admin: return "needs CAP_SYS_ADMIN";
    case Privilege::cap_ipc_lock: return "needs CAP_IPC_LOCK";
    case Privilege::cap_dac_override: return "needs to be its owner, or CAP_DAC_OVERRIDE";
    case Privilege::group_of_node: break;
  }
  struct stat status {};
  if (stat(node, &status) != 0) return "needs to be in the group that it belongs to";
  const group* owner = getgrgid(status.st_gid);
  return "needs to be in group '" + (owner != nullptr ? std::string(owner->gr_name) : std::to_string(status.st_gid)) +
         "'";
}

// zone 'camera': no place for it in what is free (asked 8294400, available 4096)
// zone 'camera': /dev/udmabuf: no access: Permission denied, needs to be in group 'kvm' (asked 8294400)
inline std::string describe(const Error& error) {
  std::string text;
  if (error.zone != nullptr && *error.zone != '\0') text.append("zone '").append(error.zone).append("': ");
  const bool of_node = error.code >= ErrorCode::out_of_memory;
  if (*error.node() != '\0') text.append(error.node()).append(": ");
  text += describe(error.code);
  if (error.os_error > 0) text.append(": ").append(std::strerror(error.os_error));
  if (error.os_error < 0) text.append(": the driver's error ").append(std::to_string(-error.os_error));
  if (error.missing != Privilege::none) text.append(", ").append(describe(error.missing, error.node()));
  if (of_node) return error.asked == 0 ? text : text + " (asked " + std::to_string(error.asked) + ")";
  if (error.asked != 0 || error.available != 0) {
    text += " (asked " + std::to_string(error.asked) + ", available " + std::to_string(error.available) + ")";
  }
  return text;
}

}  // namespace freestone
