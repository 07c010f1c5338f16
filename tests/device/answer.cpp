#include <freestone/device/answer.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>

using namespace freestone;
using device::Answer;
using device::Errno;

TEST_CASE("errors are the system's own") {
  const auto is = [](Errno error, int system) { return static_cast<int>(error) == system; };
  CHECK((is(Errno::not_permitted, EPERM) && is(Errno::no_entry, ENOENT) && is(Errno::interrupted, EINTR) && is(Errno::io, EIO)));
  CHECK((is(Errno::bad_file, EBADF) && is(Errno::try_again, EAGAIN) && is(Errno::no_memory, ENOMEM) && is(Errno::no_access, EACCES)));
  CHECK((is(Errno::fault, EFAULT) && is(Errno::busy, EBUSY) && is(Errno::exists, EEXIST) && is(Errno::no_device, ENODEV)));
  CHECK((is(Errno::is_directory, EISDIR) && is(Errno::invalid, EINVAL) && is(Errno::too_many_files_here, ENFILE)));
  CHECK((is(Errno::too_many_files, EMFILE) && is(Errno::no_such_command, ENOTTY) && is(Errno::no_room, ENOSPC)));
  CHECK((is(Errno::no_seek, ESPIPE) && is(Errno::name_too_long, ENAMETOOLONG)));
}

TEST_CASE("an answer is a number from 0 on, or an error below it") {
  CHECK(Answer(Errno::busy).is_error());
  CHECK(Answer(Errno::busy).value() == -EBUSY);
  CHECK(Answer(Errno::busy).error() == Errno::busy);
  CHECK(!device::done.is_error());
  CHECK(device::done.error() == Errno::none);
  CHECK(Answer(Errno::none) == device::done);
  constexpr std::int64_t address = 0x7fff'ffff'f000;
  CHECK((!Answer(address).is_error() && Answer(address).value() == address && Answer(address).error() == Errno::none));
}

TEST_CASE("what the layers below refuse has an answer, and where nothing else says it that is no memory") {
  CHECK(device::errno_of(ErrorCode::none) == Errno::none);
  CHECK(device::errno_of(ErrorCode::zero_size) == Errno::invalid);
  CHECK(device::errno_of(ErrorCode::bad_handle) == Errno::invalid);
  CHECK(device::errno_of(ErrorCode::unknown_heap) == Errno::no_device);
  CHECK(device::errno_of(ErrorCode::still_mapped) == Errno::exists);
  CHECK(device::errno_of(ErrorCode::still_used) == Errno::busy);
  CHECK(device::errno_of(ErrorCode::limit_reached) == Errno::too_many_files_here);
  CHECK(device::errno_of(ErrorCode::out_of_memory) == Errno::no_memory);
}
