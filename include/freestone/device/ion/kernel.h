/* ION's kernel API in C, of the generation with pointers as handles. One unit defines it: freestone/device/ion/kernel_c.hpp.
   What gives a pointer gives an error as a pointer: ion_is_err says so, ion_ptr_err which. What gives an int gives 0, or the
   error as a negative number; errors are Linux's. Nothing here keeps a pointer that it was given. Any thread. */
#ifndef FREESTONE_DEVICE_ION_KERNEL_H
#define FREESTONE_DEVICE_ION_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ion_device; /* ion_device_get gives it */
struct ion_client;
struct ion_handle; /* a number, which only its client's calls understand */
struct dma_buf;    /* a buffer on its way to another client */
typedef uint64_t ion_phys_addr_t;

/* A part of a buffer's memory. */
struct ion_piece {
  ion_phys_addr_t address;
  uint64_t length;
};

/* Of ion_alloc's flags: bits 0 to 30 are heaps by their ids. */
#define ION_SECURE (1u << 31)
/* Of ion_map_kernel's: how the kernel sees it from here on, where nobody maps it in another way. */
#define ION_CACHED 1ul
#define ION_UNCACHED 0ul
/* Of iommu_flags: mapped until the buffer ends. */
#define ION_IOMMU_UNMAP_DELAYED 1ul
/* Of ion_secure_buffer's flags: secured until the buffer ends. */
#define ION_UNSECURE_DELAYED 1ul
/* What ion_unmap_kernel and ion_unmap_iommu give where nothing was mapped: a warning, and nothing happened. */
#define ION_WAS_NOT_MAPPED 1
/* Of ion_do_cache_op. */
enum ion_cache_command { ION_CLEAN_CACHES = 0, ION_INV_CACHES = 1, ION_CLEAN_INV_CACHES = 2 };

static inline int ion_is_err(const void *pointer) { return (uintptr_t)pointer >= (uintptr_t)-4095; }
static inline long ion_ptr_err(const void *pointer) { return (long)(intptr_t)pointer; }

struct ion_device *ion_device_get(void);

struct ion_client *ion_client_create(struct ion_device *device, unsigned int heap_type_mask, const char *name);
int ion_client_destroy(struct ion_client *client);

struct ion_handle *ion_alloc(struct ion_client *client, size_t length, size_t align, unsigned int flags);
int ion_free(struct ion_client *client, struct ion_handle *handle);
struct dma_buf *ion_share_dma_buf(struct ion_client *client, struct ion_handle *handle); /* ends with ion_dma_buf_put */
struct ion_handle *ion_import_dma_buf(struct ion_client *client, struct dma_buf *buffer);
int ion_dma_buf_put(struct dma_buf *buffer);

int ion_phys(struct ion_client *client, struct ion_handle *handle, ion_phys_addr_t *address, size_t *length);
/* How many pieces there are; the first `room` of them are at `pieces`. */
int ion_sg_table(struct ion_client *client, struct ion_handle *handle, struct ion_piece *pieces, size_t room);
int ion_handle_get_flags(struct ion_client *client, struct ion_handle *handle, unsigned long *flags);
int ion_handle_get_size(struct ion_client *client, struct ion_handle *handle, unsigned long *size);

void *ion_map_kernel(struct ion_client *client, struct ion_handle *handle, unsigned long flags);
int ion_unmap_kernel(struct ion_client *client, struct ion_handle *handle);
int ion_map_iommu(struct ion_client *client, struct ion_handle *handle, int domain, int partition, unsigned long align,
                  unsigned long iova_length, unsigned long *iova, unsigned long *buffer_size, unsigned long flags,
                  unsigned long iommu_flags);
int ion_unmap_iommu(struct ion_client *client, struct ion_handle *handle, int domain, int partition);
int ion_do_cache_op(struct ion_client *client, struct ion_handle *handle, void *address, unsigned long offset,
                    unsigned long length, unsigned int command);

/* `heap` is the bit of its id; version 1 or 2; `data` is version 2's usage. */
int ion_secure_heap(struct ion_device *device, unsigned int heap, int version, unsigned long data);
int ion_unsecure_heap(struct ion_device *device, unsigned int heap);
int ion_secure_buffer(struct ion_client *client, struct ion_handle *handle, int version, unsigned long data, unsigned long flags);
int ion_unsecure_buffer(struct ion_client *client, struct ion_handle *handle);

#ifdef __cplusplus
}
#endif

#endif
