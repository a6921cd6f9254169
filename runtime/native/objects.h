/** Objects of garbage-collected types (objects.c). */
#ifndef LUCET_OBJECTS_H
#define LUCET_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucet.h"

/** See abi/objects.ts. */
struct lucet_object {
  uint32_t type;
  uint32_t kind;
  uint32_t length;
  uint32_t reserved;
  uint8_t payload[];
};

/** Those of an instance. */
struct objects {
  struct lucet_object **all;
  size_t count;
  size_t capacity;
  /** Of memory that they take, and what is kept of them here. */
  uint64_t bytes;
  /** `all` is in the order of the addresses. */
  bool sorted;
};

/** An array with default elements. LUCET_ERROR_LIMIT: over what the instance may have; LUCET_ERROR_RESOURCES. */
lucet_status lucet_object_array(struct lucet_instance *i, uint32_t type, uint32_t length, uint64_t *word, lucet_error *error);
/**
 * The object that a word from the host refers to, if code of `i` may have a reference to it; else NULL. Nothing is read
 * at the address before.
 */
const struct lucet_object *lucet_object_find(struct lucet_instance *i, uint64_t word);
/** The instance begins anew. */
void lucet_objects_reset(struct lucet_instance *i);
void lucet_objects_free(struct lucet_instance *i);

#endif
