/**
 * Where instances live: regions, their slots, and the images that slots are filled from.
 *
 * A slot is one stretch of address space for one instance at a time:
 *
 *      start                     stack_low            stack_top                base
 *      | never accessible, guard | stack, grows down | vmctx, a page multiple | heap, grows up …
 *
 * `stack_top` is `base` less the module's vmctx in whole pages; so all that a small guest touches lies together, in one
 * mapping and a page table or two. region.c argues why nothing reaches from one part into another.
 *
 * A free slot is *warm* for the module that it last ran: its heap holds the module's image, its stack is zero, and its
 * host block (`host`: the lucet_instance and all arrays) is laid out. Making the next instance of that module then
 * touches a few hundred bytes.
 */
#ifndef LUCET_REGION_H
#define LUCET_REGION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucet.h"

/* ---- image.c, image_linux.c: what a module's primary memory starts with */

enum { MOST_EXTENTS = 16 };

/** A stretch of whole pages. */
struct image_extent {
  /** From the base of the memory. */
  uint64_t offset;
  uint64_t length;
  const uint8_t *bytes;
  /** Where the bytes are in the file, if the image has one. */
  uint64_t file_offset;
};

struct image {
  uint32_t extent_count;
  /** In ascending order, apart from each other. */
  struct image_extent extents[MOST_EXTENTS];
  /** The first data segments, up to this one, are in the image. */
  uint32_t segments;
  /** Holds the extents one behind the other; read only. */
  uint8_t *bytes;
  uint64_t size;
  /** A memfd with the same bytes, for images that are mapped rather than copied; -1: none. */
  int file;
};

/** The image of `m`; false: out of memory. */
bool lucet_image_make(struct image *image, const lucet_module *m);
void lucet_image_free(struct image *image);
/** `size` bytes of memory that can be shared through a file. NULL: the system refuses. */
uint8_t *lucet_image_file(uint64_t size, int *file);
void lucet_image_file_unmap(uint8_t *bytes, uint64_t size, int file);
/** Map an extent over the heap, copy on write. False: the system refuses. */
bool lucet_image_map(const struct image *image, const struct image_extent *e, uint8_t *heap);

/* ---- slots.c: which slot next */

enum { MOST_REMEMBERED = 6 };
/** Where the kernel found pages of a slot's own when it was last asked: see reset_linux.c. */
struct touched {
  /** Process, thread, and the thread's page faults then. */
  uint64_t process;
  uint64_t thread;
  int64_t faults;
  /** 0: not known. */
  uint8_t count;
  /** How often in a row there had been faults; and resets to come that don't try. */
  uint8_t misses;
  uint8_t wait;
  /** Resets that did without asking, for tests. */
  uint32_t hits;
  /** In pages from stack_low. */
  struct {
    uint32_t from;
    uint32_t to;
  } stretches[MOST_REMEMBERED];
};

struct slot {
  /** Free slots, from the one given back last to the one given back first. */
  struct slot *older;
  struct slot *newer;
  /** Free slots that are warm for modules of one hash value, last first. */
  struct slot *warm_older;
  struct slot *warm_newer;
  uint32_t number;

  uint8_t *start;
  uint64_t size;
  /** Base of the vmctx and of the primary memory. */
  uint8_t *base;
  uint8_t *stack_guard;
  uint8_t *stack_low;
  uint8_t *stack_top;
  /**
   * Bytes from the base up that may have been written since the slot was reset; in a guarded region, those that are
   * accessible.
   */
  uint64_t heap_open;
  /** Bytes from the base up in which the image's file may be mapped, and which of its extents are. */
  uint64_t mapped;
  uint32_t mapped_extents;
  bool dense;
  /** lucet_module.serial of the module that it is warm for; 0: none. */
  uint64_t warm;
  struct touched touched;
  /** The C side of the instance: see instance.c. Kept as long as the slot. */
  struct lucet_instance *host;
  size_t host_size;
};

enum { WARM_LISTS = 64 };

struct free_slots {
  lucet_slot_strategy strategy;
  lucet_slot_chooser chooser;
  void *chooser_data;
  struct slot *slots;
  uint32_t capacity;
  /** LINEAR: slots from here on have never been used. `kept` are in the lists. */
  uint32_t fresh;
  uint32_t kept;
  struct slot *newest;
  struct slot *oldest;
  struct slot *warm[WARM_LISTS];
  /** RANDOM, CUSTOM: numbers of the free slots. */
  uint32_t *numbers;
  uint32_t count;
  uint64_t random;
};

/** False: out of memory. */
bool lucet_free_slots_init(struct free_slots *f, struct slot *slots, uint32_t capacity, const lucet_region_options *options);
void lucet_free_slots_destroy(struct free_slots *f);
/** Not empty. For a module with that serial; a slot that is warm for it, if the strategy lets us choose. */
struct slot *lucet_free_slots_take(struct free_slots *f, uint64_t serial);
void lucet_free_slots_give(struct free_slots *f, struct slot *s);

/* ---- region.c */

struct lucet_region {
  struct lucet_limits limits;
  lucet_region_kind kind;
  uint32_t capacity;
  struct slot *slots;
  /** Dense: all slots, `pitch` bytes each. */
  uint8_t *slab;
  uint64_t slab_size;
  uint64_t pitch;
  /** Guards what follows. */
  pthread_mutex_t lock;
  uint32_t used;
  /** Dense slots that could not be made as new any more. */
  uint32_t lost;
  bool released;
  struct free_slots free;
};

/**
 * A slot for an instance of `m`: warm for it, with zeroed stack and its image in the heap; its vmctx may hold anything.
 */
lucet_status lucet_region_take(lucet_region *r, const lucet_module *m, struct slot **slot, lucet_error *error);
/** Reset it and take it back. `heap_open` tells what may have been written; `m` is the module it was taken for. */
void lucet_region_give(lucet_region *r, struct slot *slot, const lucet_module *m, bool sole);
/** For an instance without memory: nothing behind the base is accessible. */
bool lucet_region_close_heap(struct slot *slot);

/** Extents of images that may be mapped at a time; for tests to change. */
extern unsigned lucet_most_mapped __attribute__((visibility("hidden")));

/* ---- reset_linux.c */

/**
 * Zero the stack, and bring the heap back to the image (NULL: zeros). False: the system refuses.
 * @param sole since the slot was taken, nobody but this thread can have touched its stack and heap
 */
bool lucet_slot_reset(struct slot *s, const struct image *image, bool sole);
/** Zero memory of the C heap; large stretches by giving the pages back. */
void lucet_zero(void *start, size_t size);
/** For tests: never ask the kernel which pages were touched, as on one before 6.7. */
extern bool lucet_reset_blind __attribute__((visibility("hidden")));

#endif
