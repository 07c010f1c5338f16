// MMZ's blocks among processes, as G5 shares them. It knows nothing of Freestone, says what is wrong on stderr, and ends with 0 where
// all held.
#include "mmz_calls.h"

#include "processes.h"

#define NOT_MAPPED(what, why) FAILS((what) == MAP_FAILED ? -1 : 0, why)
#define BOTH (PROT_READ | PROT_WRITE)

// What one process tells another of a block.
struct told {
  unsigned long physical;
  void *handle;
};
static int share(int fd, unsigned long command, void *handle, pid_t with) {
  struct mmb_share_info info = {.mem_handle = handle, .shared_pid = with};
  return ioctl(fd, command, &info);
}
static int by_physical(int fd, unsigned long physical, struct mmb_share_info *info) {
  *info = (struct mmb_share_info){.phys_addr = physical};
  return ioctl(fd, MMB_PHYS_GET_SYS_MEM, info);
}
static int by_handle(int fd, void *handle, struct mmb_share_info *info) {
  *info = (struct mmb_share_info){.mem_handle = handle};
  return ioctl(fd, MMB_HANDLE_GET_SYS_MEM, info);
}
// Four pages, of that letter.
static struct told new_block(int fd, char letter) {
  const unsigned long block = allocate(fd, 4 * PAGE, "");
  NEED(block != 0);
  char *const bytes = remap(fd, block);
  NEED(bytes != NULL);
  memset(bytes, letter, 4 * PAGE);
  struct mmb_share_info info = {.map_addr = bytes + PAGE + 3};
  IS(ioctl(fd, MMB_VIRT_GET_SYS_MEM, &info), 0);
  IS(info.phys_addr, block + PAGE + 3);
  IS(info.offset, PAGE + 3);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  CHECK((unsigned long)info.mem_handle < 0x10000);  // a small number, and nobody's address
  return (struct told){block, info.mem_handle};
}

// It has the block before, while and after it is shared.
static void friend(int socket) {
  struct told block;
  struct mmb_share_info info;
  receive_bytes(socket, &block, sizeof block);
  const int fd = open_mmz();
  NOT_MAPPED(map_at(fd, block.physical, PAGE, BOTH), EPERM);
  FAILS(by_physical(fd, block.physical, &info), EPERM);
  FAILS(by_handle(fd, block.handle, &info), EPERM);
  FAILS(by_physical(fd, block.physical + 4 * PAGE, &info), EINVAL);
  FAILS(by_handle(fd, (char *)block.handle + 1, &info), EINVAL);
  FAILS(share(fd, MMB_SHARE, block.handle, getpid()), EPERM);
  FAILS(share(fd, MMB_SHARE_ALL, block.handle, 0), EPERM);
  FAILS(of(fd, MMB_USER_REMAP, block.physical), EPERM);
  pass(socket), await(socket);  // shared

  char *const bytes = map_at(fd, block.physical + PAGE, 3 * PAGE, BOTH);
  NEED(bytes != MAP_FAILED);
  CHECK(is_all(bytes, 3 * PAGE, 'o'));
  bytes[0] = 'f';
  IS(physical_of(fd, bytes) & ~1ul, block.physical + PAGE);
  IS(by_handle(fd, block.handle, &info), 0);
  CHECK(info.phys_addr == block.physical && info.offset == 0);
  IS(by_physical(fd, block.physical + 5, &info), 0);
  CHECK(info.offset == 5 && info.mem_handle == block.handle);
  struct mmb_info range = {.phys_addr = block.physical + PAGE, .mmb_size = PAGE, .mapped = bytes};
  IS(call(fd, MMB_SYS_FLUSH_CACHE, &range), 0);
  NOT_MAPPED(map_at(fd, block.physical + PAGE, 4 * PAGE, BOTH), EINVAL);
  NOT_MAPPED(map_at(fd, block.physical, PAGE, PROT_READ | PROT_EXEC), EPERM);
  FAILS(of(fd, MMB_FREE, block.physical), EPERM);
  pass(socket), await(socket);  // shared no more

  NOT_MAPPED(map_at(fd, block.physical, PAGE, BOTH), EPERM);
  FAILS(by_handle(fd, block.handle, &info), EPERM);
  IS(bytes[1], 'u');  // what is mapped stays
  pass(socket), await(socket);  // shared once more
  close(fd);
  const int again = open_mmz();  // nothing is shared with who closed the node
  munmap(bytes, 3 * PAGE);
  EVENTUALLY(by_handle(again, block.handle, &info) == -1 && errno == EPERM);
  pass(socket), await(socket);  // shared with all
  CHECK(map_at(again, block.physical, 4 * PAGE, PROT_READ) != MAP_FAILED);
}
static void shared(void) {
  const struct child one = start(friend);
  const int fd = open_mmz();
  const struct told block = new_block(fd, 'o');
  char *const bytes = remap(fd, block.physical), list[64];
  send_bytes(one.socket, &block, sizeof block);
  await(one.socket);
  snprintf(list, sizeof list, "kernel_only=0, share_all=0 pid[%d,0,0,0,0]", getpid());
  CHECK(reported(list) != NULL);
  FAILS(share(fd, MMB_SHARE, block.handle, getpid()), EPERM);
  FAILS(share(fd, MMB_UNSHARE, block.handle, one.pid), EPERM);
  IS(share(fd, MMB_SHARE, block.handle, one.pid), 0);
  snprintf(list, sizeof list, "kernel_only=0, share_all=0 pid[%d,%d,0,0,0]", getpid(), one.pid);
  CHECK(reported(list) != NULL);
  pass(one.socket), await(one.socket);
  IS(bytes[PAGE], 'f');
  IS(share(fd, MMB_UNSHARE, block.handle, one.pid), 0);
  bytes[PAGE + 1] = 'u';
  pass(one.socket), await(one.socket);
  IS(share(fd, MMB_SHARE, block.handle, one.pid), 0);
  pass(one.socket), await(one.socket);
  IS(share(fd, MMB_SHARE_ALL, block.handle, 0), 0);
  CHECK(reported("share_all=1 pid[") != NULL);
  FAILS(share(fd, MMB_SHARE, block.handle, one.pid), EPERM);
  pass(one.socket);
  wait_for(one);
  IS(share(fd, MMB_UNSHARE_ALL, block.handle, 0), 0);
  IS(of(fd, MMB_USER_UNMAP, block.physical), 0);
  IS(of(fd, MMB_FREE, block.physical), 0);
  FAILS(share(fd, MMB_SHARE_ALL, block.handle, 0), EINVAL);
  EVENTUALLY(reported("block_number=0") != NULL);  // the other process ended with it mapped
  close(fd);
}

// Who shares ends, and has freed nothing.
static void sharer(int socket) {
  const int fd = open_mmz();
  const struct told block = new_block(fd, 's');
  IS(share(fd, MMB_SHARE, block.handle, getppid()), 0);
  send_bytes(socket, &block, sizeof block);
  await(socket);
}
static void left_behind(void) {
  const struct child one = start(sharer);
  const int fd = open_mmz();
  struct told block;
  struct mmb_share_info info;
  receive_bytes(one.socket, &block, sizeof block);
  char *const bytes = map_at(fd, block.physical, 4 * PAGE, BOTH);
  CHECK(bytes != MAP_FAILED);
  pass(one.socket);
  wait_for(one);
  EVENTUALLY(by_handle(fd, block.handle, &info) == -1 && errno == EINVAL);
  FAILS(by_physical(fd, block.physical, &info), EINVAL);
  NOT_MAPPED(map_at(fd, block.physical, PAGE, BOTH), EPERM);
  CHECK(is_all(bytes, 4 * PAGE, 's'));
  const unsigned long next = allocate(fd, PAGE, "");
  CHECK(next != 0 && (next < block.physical || next >= block.physical + 4 * PAGE));  // it is nobody else's
  IS(of(fd, MMB_FREE, next), 0);
  munmap(bytes, 4 * PAGE);
  EVENTUALLY(reported("block_number=0") != NULL);
  const struct told other = new_block(fd, 'n');
  IS(other.physical, block.physical);
  CHECK(other.handle != block.handle);
  FAILS(share(fd, MMB_SHARE, block.handle, one.pid), EINVAL);
  close(fd);
}

int main(void) {
  shared();
  left_behind();
  return wrong != 0;
}
