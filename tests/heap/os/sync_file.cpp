// Drivers that make sync_files are on few machines, and one to play with (SW_SYNC) on hardly any. So: that whatever
// is none is refused, everywhere; where there is /dev/udmabuf (./dev vm has one), a sync_file that its dma-buf gives,
// which has signalled; how one is looked at and waited for is polled_fence.cpp's, over files that are polled the
// same.
#include <freestone/heap/os/sync_file.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "support/dma_bufs.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("nothing else is taken for a sync_file") {
  static_assert(check_fence<SyncFile>());
  static_assert(can_wait<SyncFile> && can_break<SyncFile>);
  CHECK(SyncFile::of(-1).error().os_error == EBADF);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int event = eventfd(1, 0);
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {ends[0], ends[1], event, null}) {
    const auto before = open_files();
    const auto fence = SyncFile::of(fd);
    REQUIRE(!fence);
    CHECK(fence.error().code == ErrorCode::os_failure);
    CHECK((fence.error().os_error == ENOTTY || fence.error().os_error == EINVAL));
    CHECK(open_files() == before);
    close(fd);
  }
}

#ifdef DMA_BUF_IOCTL_EXPORT_SYNC_FILE
TEST_CASE("a dma-buf that nobody works on gives one that has signalled") {
  if (!is_there("/dev/udmabuf")) return;
  const int memory = memfd_create("fence", MFD_ALLOW_SEALING);
  REQUIRE(ftruncate(memory, 4096) == 0);
  REQUIRE(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  const int node = open("/dev/udmabuf", O_RDWR);
  udmabuf_create asked{};
  asked.memfd = static_cast<decltype(asked.memfd)>(memory);
  asked.size = 4096;
  const int buffer = ioctl(node, UDMABUF_CREATE, &asked);
  REQUIRE(buffer >= 0);
  dma_buf_export_sync_file sync{.flags = DMA_BUF_SYNC_RW, .fd = -1};
  if (ioctl(buffer, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &sync) != 0) {
    MESSAGE("skipped: this kernel exports no sync_file of a dma-buf (Linux 6.0 does)");
  } else {
    const auto fence = SyncFile::of(sync.fd);
    close(sync.fd);
    REQUIRE(fence);
    CHECK(fence->has_signalled());
    CHECK(fence->wait(Timeout::milliseconds(0)));
    CHECK(!fence->error());
  }
  for (const int fd : {buffer, node, memory}) close(fd);
}
#endif
