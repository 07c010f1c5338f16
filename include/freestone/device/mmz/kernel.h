/* MMZ's kernel API in C. One unit defines it: freestone/device/mmz/kernel_c.hpp. What stands for a zone or a block is no address: it
   is refused, and nothing happens, once that is gone. Errors are null, and -1 where nothing else is said. Nothing here keeps a pointer
   that it was given. Any thread. */
#ifndef FREESTONE_DEVICE_MMZ_KERNEL_H
#define FREESTONE_DEVICE_MMZ_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mmz_zone;
struct mmb;

/* Made, filled in, registered; a zone with blocks is not unregistered, one that is registered not destroyed. */
struct mmz_zone *mmz_create(const char *name, unsigned long gfp, uint64_t start, uint64_t size);
int mmz_fill_in(struct mmz_zone *zone, unsigned type, uint64_t block_align); /* before it is registered: 1: slab, 2: equal blocks */
int mmz_register(struct mmz_zone *zone);
int mmz_unregister(struct mmz_zone *zone);
int mmz_destroy(struct mmz_zone *zone);
struct mmz_zone *mmz_find(unsigned long gfp, const char *name); /* gfp 0: any; no name, or an empty one: "anonymous" */

struct mmb *mmb_alloc(const char *name, uint64_t size, uint64_t align, unsigned long gfp, const char *zone);
struct mmb *mmb_alloc_v2(const char *name, uint64_t size, uint64_t align, unsigned long gfp, const char *zone, unsigned order);
struct mmb *mmb_alloc_in(const char *name, uint64_t size, uint64_t align, struct mmz_zone *zone);
int mmb_free(struct mmb *block); /* 0, too, where somebody still has it: then it goes with him */
int mmb_get(struct mmb *block);
int mmb_put(struct mmb *block);

void *mmb_map2kern(struct mmb *block);
void *mmb_map2kern_cached(struct mmb *block);
int mmb_unmap(struct mmb *block); /* how often it still is mapped */

/* Of mmb_place's flags. */
#define MMB_MAP2KERN 1u
#define MMB_MAP2KERN_CACHED 2u
#define MMB_RELEASED 4u
struct mmb_place {
  uint64_t phys_addr;
  uint64_t length;
  void *kvirt; /* null: the kernel has it not mapped */
  uint32_t flags;
  uint32_t phy_ref;
  uint32_t map_ref;
};
int mmb_place(struct mmb *block, struct mmb_place *place);

/* Whoever's block it is. What is found is referred to once more, until mmb_put. */
struct mmb *mmb_getby_phys(uint64_t phys);
struct mmb *mmb_getby_phys_2(uint64_t phys, uint64_t *offset);
struct mmb *mmb_getby_kvirt(const void *address);

/* 0; -22: no address; -1: not all in a block that mmb_map2kern shows there. Flush: clean and invalidate. */
int mmb_clean_byaddr(const void *kvirt, uint64_t phys, uint64_t length);
int mmb_invalidate_byaddr(const void *kvirt, uint64_t phys, uint64_t length);
int mmb_flush_byaddr(const void *kvirt, uint64_t phys, uint64_t length);

/* Of the windows of map_mmz only. */
void *mmf_map(uint64_t phys, uint64_t length);
void *mmf_map_cached(uint64_t phys, uint64_t length);
int mmf_unmap(void *address);

#ifdef __cplusplus
}
#endif

#endif
