// What a device server and the programs that it serves say to each other, over a Unix socket of type SOCK_SEQPACKET.
//
// A program connects once for each of its threads, says hello, and then asks: a Request, an Answer. While a request is
// served the server may ask back for bytes of the program's memory (Step::copy_in, copy_out), and each such step is
// answered with a Request `copied`. Where a request is about an open file its descriptor goes along: who holds it may
// use it, and nobody else. The descriptors of open files are sealed memfds, made one for each open: so the kernel
// itself counts who holds one, through dup, fork, exec, SCM_RIGHTS and mappings, and tells when nobody does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace freestone::linux_user {

inline constexpr std::uint32_t protocol_version = 1;
inline constexpr std::size_t most_payload = 256;
inline constexpr std::uint64_t no_part = ~std::uint64_t{0};
// The name of the server's socket, which is abstract where it begins with '@'.
inline constexpr const char* server_variable = "FREESTONE_SERVER";

enum class Ask : std::uint32_t {
  hello,    // number: protocol_version. Answer: a memfd, whose text is the paths that are the server's, a line each;
            // one that ends with '/' stands for all below it too.
  look_up,  // payload: a path. Answer: FileStatus in the payload; ENOENT, ENOTDIR...
  list,     // payload: a path. Answer: a memfd with the names in that directory, a line each, directories with a '/'.
  open,     // payload: a path; number: open's flags. Answer: the new descriptor.
  ioctl,    // descriptor; number: the command; address: the argument; payload: the first bytes there, as many as
            // the command hands in. Answer: what ioctl returns; see Step::finish.
  who,      // descriptor. Answer: FileStatus in the payload; EBADF: none of the server's.
  map,      // descriptor; address: offset; length: length; number: PROT_ in the low half, MAP_ in the high one. Answer:
            // the number of a view, above 0, that the process has from now on. It is refused where the process has no
            // control connection.
  refresh,  // descriptor of a report. The text behind it is made anew.
  write,    // descriptor; payload: the bytes. Answer: how many were taken.
  copied,   // to a step: number: 0, or the errno; payload: the bytes of a copy_in, the MappedView of a view_at; address: that of a
            // Step::map; descriptor: that of a Step::descriptor.
  leaving,  // the process ends: what it has open from here on it left so. Answer: 0, once that is noted; it closes nothing
            // before.
  control,  // payload: numbers of views that the process has already, as a child has its parent's. Answer: 0. Where `number`
            // is 0, more of them follow; else from now on the server asks on this connection, and the process answers each
            // Step::look_again with `copied`.
  parts,    // number: a view; address: where in it. Answer: MapParts and their descriptors, up to where `result` says:
            // between them, and behind the last, the view has nothing; address: how often its parts have changed. ENOENT:
            // there is no such view. Where `address` is no_part that number is asked for alone.
  unmapped,  // number: a view that the process has no byte of any more. Answer: 0.
  access,   // payload: a path; number: R_OK, W_OK and X_OK, or F_OK. Answer: 0; EACCES, ENOENT.
};

// In the byte order of the machine. What is not said is 0.
struct Request {
  Ask ask = Ask::hello;
  std::uint32_t word = 8;  // of the program: 4 or 8 bytes
  std::uint64_t number = 0;
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint32_t payload_length = 0;
  std::uint32_t reserved = 0;
  std::array<std::byte, most_payload> payload = {};
};

enum class Step : std::uint32_t {
  // The answer: `result`, what the call returns, or -errno. Where fd_length is not 0, a descriptor comes along, and its
  // number is to be written into the payload at fd_offset (in so many bytes). Then the payload is to be copied to
  // `address`, where payload_length is not 0 and the request was an ioctl; where that faults, the descriptor is closed
  // and the call fails with EFAULT.
  finish,
  copy_in,   // `length` bytes from `address`, at most most_payload
  copy_out,  // the payload to `address`
  descriptor,  // that number of the program's: `address`; EBADF: there is none
  view_at,  // what the program has at `address`; EFAULT: no view
  map,      // the program maps the descriptor that its request is about, by Ask::map as always: from the offset `address` on,
            // `length` bytes, with the PROT_ and MAP_ of `result` as Ask::map has them
  unmap,    // what shows the view `result` among `length` bytes from `address` on, and nothing else, is unmapped
  look_again,  // on the control connection: of the view `result`, `length` bytes from `address` on have other parts now;
               // payload: how often its parts have changed (8 bytes)
};

struct Reply {
  Step step = Step::finish;
  std::uint32_t payload_length = 0;
  std::int64_t result = 0;
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint32_t fd_offset = 0;
  std::uint32_t fd_length = 0;
  std::uint32_t fd_flags = 0;  // of the descriptor that comes: O_CLOEXEC, or not
  std::uint32_t reserved = 0;
  std::array<std::byte, most_payload> payload = {};
};

// A view_buffer is a buffer whose mappings are views: the server is to know of them. It is known by its memfd, too, of which
// only its owner has rights.
enum class FileKind : std::uint32_t { none, directory, device, report, buffer, view_buffer };

constexpr bool is_buffer(FileKind kind) noexcept { return kind == FileKind::buffer || kind == FileKind::view_buffer; }

// What stat is to say.
struct FileStatus {
  FileKind kind = FileKind::none;
  std::uint32_t mode = 0;  // with its type: S_IFCHR, S_IFREG, S_IFDIR
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
};

// Mappings of a device's memory are views, whose parts the server may change while they are mapped: a window that is
// granted, or taken away. A program keeps which of its addresses show which bytes of which view; where a view has
// nothing there are zeros of the program's own. Numbers of views cannot be guessed: who knows one has the view, or is a
// child of one who had.
//
// A piece of a view: `length` bytes of the descriptor with that place in the message, from `offset` on, which come `at`
// bytes behind the view's start.
struct MapPart {
  std::uint64_t at = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t fd = 0;
  std::uint32_t reserved = 0;
};

// Where a program has bytes of a view: `length` from `address` on, which are `at` bytes behind the view's start.
struct MappedView {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint64_t view = 0;
  std::uint64_t at = 0;
  std::uint32_t protection = 0;  // PROT_
  std::uint32_t reserved = 0;
};

}  // namespace freestone::linux_user
