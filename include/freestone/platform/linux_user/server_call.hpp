// One call of one program, as a server serves it: the program's memory, and the way to give it a file.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/platform/linux_user/access.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/platform/linux_user/views.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone::linux_user {

// A process as a server knows it: by the connection through which it asks.
struct Program {
  std::uint64_t process = 0;  // its number, in the server's PID namespace
  Standing standing = Standing::other;
};

// What is made of a personality's file F, such as DmaBuf: an OpenFile. Specialised beside F's server part.
template <class F>
std::shared_ptr<OpenFile> open_file_of(F&& file);

class ServerCall {
 public:
  ServerCall(const Connection& connection, const Request& request, const Program& program, OpenFiles& files, Views* views = nullptr) noexcept
      : connection_(connection), request_(request), program_(program), files_(files), views_(views) {}

  const Program& program() const noexcept { return program_; }
  device::WordSize word() const noexcept {
    return request_.word == 4 ? device::WordSize::bits32 : device::WordSize::bits64;
  }

  // The program's bytes: those that came with the request, else it is asked for them. Errors: bad_message: it cannot
  // read them either, or answered something else.
  Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept {
    if (came_along(address, to.size())) {
      std::memcpy(to.data(), request_.payload.data() + (address - request_.address), to.size());
      return {};
    }
    for (std::size_t at = 0; at < to.size();) {
      const auto part = to.subspan(at, std::min(to.size() - at, most_payload));
      const auto got = step({.step = Step::copy_in, .address = address + at, .length = part.size()});
      if (!got || got->payload_length != part.size()) return ErrorCode::bad_message;
      std::memcpy(part.data(), got->payload.data(), part.size());
      at += part.size();
    }
    return {};
  }
  // Errors: bad_message: the program cannot write there.
  Result<void> copy_out(std::uint64_t address, std::span<const std::byte> from) noexcept {
    for (std::size_t at = 0; at < from.size();) {
      const auto part = from.subspan(at, std::min(from.size() - at, most_payload));
      Reply reply{.step = Step::copy_out, .address = address + at, .length = part.size()};
      put(reply, part);
      if (!step(reply)) return ErrorCode::bad_message;
      at += part.size();
    }
    return {};
  }

  // What the program has under that number, as an ioctl's argument may name it: act(B&), where it is a buffer of that exporter's.
  // EBADF: it has nothing there; EINVAL: something else; ENFILE: this process has no room for it.
  template <class B, class Act>
  device::Answer with_buffer(std::int32_t descriptor, const void* exporter, Act&& act) noexcept {
    return with_buffer<B>(descriptor, exporter, [](int) { return true; }, std::forward<Act>(act));
  }
  // The same, where it may both read and write there; else EACCES: who was given a descriptor that was opened again to be read is
  // not to have, by way of it, one to be written.
  template <class B, class Act>
  device::Answer with_writable_buffer(std::int32_t descriptor, const void* exporter, Act&& act) noexcept {
    const auto is_writable = [](int fd) { return (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR; };
    return with_buffer<B>(descriptor, exporter, is_writable, std::forward<Act>(act));
  }
  // The same of a node's file of that kind: act(F&).
  template <class F, class Act>
  device::Answer with_file(std::int32_t descriptor, Act&& act) noexcept {
    device::Errno why = device::Errno::invalid;
    const auto found = file(descriptor, why);
    void* const node = found == nullptr ? nullptr : found->node_of(&node_kind<F>);
    return node == nullptr ? device::Answer(why) : std::forward<Act>(act)(*static_cast<F*>(node));
  }
  // Whatever of the server's it is; null, and why: it is none.
  std::shared_ptr<OpenFile> file(std::int32_t descriptor, device::Errno& why) noexcept {
    FdList<1> came;
    return file(descriptor, came, why);
  }

  // What the program has at that address, where it is a mapping of that buffer. The program says so himself; whose the view is, is
  // known here.
  template <class R>
  std::optional<device::CallerMapping> mapping_at(std::uint64_t address, const R& buffer) noexcept {
    return mapping_where(address, [&](OpenFile& file) { return file.served().identity() == buffer.extra().memory().file.identity(); });
  }
  // The same of a node's file.
  template <class F>
  std::optional<device::CallerMapping> mapping_of(std::uint64_t address, const F& node) noexcept {
    return mapping_where(address, [&](OpenFile& file) { return file.node_of(&node_kind<F>) == &node; });
  }
  // What the program shows at an address: a view of its own, and which bytes of the view's file these are.
  struct Seen {
    MappedView there;
    Views::View view;
  };
  std::optional<Seen> seen_at(std::uint64_t address) noexcept {
    const auto got = step({.step = Step::view_at, .address = address});
    MappedView there;
    if (!got || got->payload_length != sizeof there) return std::nullopt;
    std::memcpy(&there, got->payload.data(), sizeof there);
    auto view = views_ == nullptr ? std::nullopt : views_->find(there.view, program_.process);
    const bool is_inside = view && there.at <= view->length && there.length <= view->length - there.at;
    if (!is_inside || there.length > ~there.address) return std::nullopt;
    return Seen{there, *std::move(view)};
  }
  // The program maps the file that this call is of, by a request of its own meanwhile: the address, or why not.
  device::Answer map(std::uint64_t offset, std::uint64_t length, int protection) noexcept {
    const auto how = static_cast<std::int64_t>(std::uint64_t{MAP_SHARED} << 32 | static_cast<std::uint32_t>(protection));
    const auto got = step({.step = Step::map, .result = how, .address = offset, .length = length});
    if (!got) return why_not(got.error());
    return got->address >> 63 == 0 ? device::Answer(static_cast<std::int64_t>(got->address)) : device::Answer(device::Errno::fault);
  }
  // What shows that view among so many bytes from there on is there no more.
  device::Errno unmap(std::uint64_t view, std::uint64_t address, std::uint64_t length) noexcept {
    const auto done = step({.step = Step::unmap, .result = static_cast<std::int64_t>(view), .address = address, .length = length});
    return done ? device::Errno::none : why_not(done.error());
  }
  // Mappings whose bytes may change; null: the server has none.
  Views* views() const noexcept { return views_; }
  bool sees_physical_addresses() const noexcept { return program_.standing == Standing::root; }

  // The call is done: the struct goes back with the new descriptor's number in it. Where the program has no room for
  // the descriptor, or cannot write the struct, the descriptor is closed there, and with it the file ends here.
  template <class F>
  device::Answer publish(F&& file, device::OpenFlags flags, device::FdField at, std::uint64_t address,
                         std::span<const std::byte> argument) noexcept {
    const OpenFiles::Giving giving(files_);  // ends when nothing of it is this call's any more
    std::shared_ptr<OpenFile> opened;
    if (!has_memory([&] { opened = open_file_of(std::forward<F>(file)); })) return device::Errno::no_memory;
    const auto fd = give(opened, static_cast<int>(flags.access()));
    if (!fd) return errno_of_host(fd.error());
    Reply reply{.step = Step::finish, .result = 0, .address = address};
    put(reply, argument);
    reply.fd_offset = static_cast<std::uint32_t>(at.offset);
    reply.fd_length = static_cast<std::uint32_t>(at.length);
    reply.fd_flags = flags.closes_on_exec() ? O_CLOEXEC : 0;
    return send_last(reply, *fd), device::done;
  }

  // A descriptor for somebody else. From here on the file lives as long as anybody has one.
  Result<backing::OwnedFd> give(const std::shared_ptr<OpenFile>& file, int flags) noexcept {
    auto fd = file->served().open(flags);
    if (!fd) return fd.error();
    if (const auto added = files_.add(file, program_.process); !added) return added.error();
    return fd;
  }

  // The answer, once: later ones are not sent.
  void finish(std::int64_t result) noexcept { send_last({.step = Step::finish, .result = result}); }
  void finish(Reply reply, std::span<const std::byte> payload) noexcept {
    put(reply, payload);
    send_last(reply);
  }
  void finish(std::int64_t result, const backing::OwnedFd& fd, std::uint32_t fd_flags = O_CLOEXEC) noexcept {
    send_last({.step = Step::finish, .result = result, .fd_length = 4, .fd_flags = fd_flags}, fd);
  }
  void finish(Reply reply, std::span<const std::byte> payload, std::span<const int> fds) noexcept {
    put(reply, payload);
    if (!std::exchange(is_finished_, true)) is_broken_ = is_broken_ || !connection_.send(reply, fds);
  }
  bool is_finished() const noexcept { return is_finished_; }
  // The program is gone, or speaks another language: nothing more is to be heard of it.
  bool is_broken() const noexcept { return is_broken_; }

  // A record that is whole, but what came with it is not: this process has no room for its descriptor.
  static bool is_cut(const Error& error) noexcept {
    return error.code == ErrorCode::bad_message && error.asked == error.available;
  }
  static device::Errno errno_of_host(const Error& error) noexcept {
    return error.code == ErrorCode::limit_reached ? device::Errno::too_many_files_here : device::Errno::no_memory;
  }

 private:
  template <class B, class Act>
  device::Answer with_buffer(std::int32_t descriptor, const void* exporter, bool (*may)(int fd), Act&& act) noexcept {
    FdList<1> came;
    device::Errno why = device::Errno::invalid;
    const auto found = file(descriptor, came, why);
    void* const buffer = found == nullptr ? nullptr : found->buffer_of(exporter);
    if (buffer == nullptr) return why;
    return may(came[0]) ? std::forward<Act>(act)(*static_cast<B*>(buffer)) : device::Answer(device::Errno::no_access);
  }
  std::shared_ptr<OpenFile> file(std::int32_t descriptor, FdList<1>& came, device::Errno& why) noexcept {
    const auto got = step({.step = Step::descriptor, .address = static_cast<std::uint32_t>(descriptor)}, &came);
    why = got ? device::Errno::invalid : why_no_descriptor(got.error().os_error);
    return got && came.size() == 1 ? files_.find(came[0]) : nullptr;
  }
  // What the program said, where it could not do what it was asked to.
  static device::Errno why_not(const Error& error) noexcept {
    return error.code == ErrorCode::bad_message && error.os_error != 0 ? static_cast<device::Errno>(error.os_error) : device::Errno::fault;
  }
  static device::Errno why_no_descriptor(int said) noexcept {
    if (said == EBADF) return device::Errno::bad_file;
    return said == ENFILE ? device::Errno::too_many_files_here : device::Errno::invalid;
  }
  template <class IsThis>
  std::optional<device::CallerMapping> mapping_where(std::uint64_t address, IsThis is_this) noexcept {
    const auto seen = seen_at(address);
    const auto file = seen ? seen->view.file.lock() : nullptr;
    if (file == nullptr || !is_this(*file)) return std::nullopt;
    const MappedView& there = seen->there;
    return device::CallerMapping{there.address, there.address + there.length, seen->view.offset + there.at};
  }

  bool came_along(std::uint64_t address, std::size_t length) const noexcept {
    return address >= request_.address && address - request_.address <= request_.payload_length &&
           length <= request_.payload_length - (address - request_.address);
  }
  static void put(Reply& reply, std::span<const std::byte> payload) noexcept {
    reply.payload_length = static_cast<std::uint32_t>(std::min(payload.size(), most_payload));
    if (!payload.empty()) std::memcpy(reply.payload.data(), payload.data(), reply.payload_length);
  }

  Result<Request> step(const Reply& reply, FdList<1>* fds = nullptr) noexcept {
    if (is_broken_ || is_finished_) return ErrorCode::connection_ended;
    if (const auto sent = connection_.send(reply); !sent) return is_broken_ = true, sent.error();
    auto got = connection_.receive<Request, 1>(0);
    if (!got && is_cut(got.error())) return Error{.code = ErrorCode::bad_message, .os_error = ENFILE};
    if (!got || got->record.ask != Ask::copied || got->record.payload_length > most_payload) {
      return is_broken_ = true, ErrorCode::connection_ended;
    }
    if (got->record.number != 0) return Error{.code = ErrorCode::bad_message, .os_error = static_cast<int>(got->record.number & 0xfff)};
    if (fds != nullptr) *fds = std::move(got->fds);
    return got->record;
  }
  void send_last(const Reply& reply) noexcept {
    if (!std::exchange(is_finished_, true)) is_broken_ = is_broken_ || !connection_.send(reply);
  }
  // Where descriptors that nobody has received yet leave no room for one more, that is the answer.
  void send_last(const Reply& reply, const backing::OwnedFd& fd) noexcept {
    if (std::exchange(is_finished_, true) || is_broken_) return;
    const auto sent = connection_.send(reply, fd);
    if (sent) return;
    const auto why = static_cast<std::int64_t>(errno_of_host(sent.error()));
    is_broken_ = !connection_.send(Reply{.step = Step::finish, .result = -why});
  }

  const Connection& connection_;
  const Request& request_;
  const Program& program_;
  OpenFiles& files_;
  Views* views_;
  bool is_finished_ = false;
  bool is_broken_ = false;
};

}  // namespace freestone::linux_user
