/**
 * Objects of garbage-collected types.
 *
 * An object belongs to the instance whose code or constant expressions made it, and lives as long: references are bare
 * addresses, in tables, globals and frames, so whoever may come to hold one is kept together with the owner by the
 * rules of group.c, as for function references. As yet only constant expressions make objects, once for each instance,
 * so there is nothing to collect while it runs. When an instance is reset, its objects are freed if nobody else can
 * have one: its group is it alone, nobody imports from it, and there is no exception whose payload could hold one.
 * Otherwise they stay until the group goes, and count against the limit.
 *
 * Sandbox argument. Code follows references without looking, so no word may become one that isn't the address of a
 * living object of a type that fits. Code can't make such a word; what the host hands over (arguments, results,
 * elements, globals, payloads) is looked up among the objects that the receiver can have been given, before anything is
 * read at that address.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(struct lucet_object) == LUCET_OBJECT_PAYLOAD && offsetof(struct lucet_object, type) == LUCET_OBJECT_TYPE &&
                   offsetof(struct lucet_object, kind) == LUCET_OBJECT_KIND && offsetof(struct lucet_object, length) == LUCET_OBJECT_LENGTH,
               "object differs from abi/objects.ts");

/** What an object takes beside its own bytes: the allocator's word, the entry in `all` and its slack. */
#define OVERHEAD 32u

static uint64_t element_size(const struct metadata *d, uint32_t type) {
  uint32_t code;
  memcpy(&code, d->type_bytes + d->types[type].codes, 4);
  switch (code & ~(uint32_t)LUCET_FIELD_MUTABLE) {
    case LUCET_VAL_TYPE_I8: return 1;
    case LUCET_VAL_TYPE_I16: return 2;
    case LUCET_I32:
    case LUCET_F32: return 4;
    case LUCET_V128: return 16;
    default: return 8;
  }
}

static bool keep(struct objects *s, struct lucet_object *o) {
  if (s->count == s->capacity) {
    size_t capacity = s->capacity != 0 ? 2 * s->capacity : 8;
    struct lucet_object **all = realloc(s->all, capacity * sizeof *all);
    if (all == NULL) return false;
    s->all = all;
    s->capacity = capacity;
  }
  s->all[s->count++] = o;
  s->sorted = false;
  return true;
}

lucet_status lucet_object_array(struct lucet_instance *i, uint32_t type, uint32_t length, uint64_t *word, lucet_error *error) {
  struct objects *s = &i->objects;
  /* At most 2^32 elements of 16 bytes: nothing wraps. */
  uint64_t size = sizeof(struct lucet_object) + length * element_size(&i->module->meta, type);
  if (size + OVERHEAD > i->limits.object_memory_size - s->bytes)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "an array of %u elements exceeds the %llu bytes of objects that the region allows an instance", length,
                      (unsigned long long)i->limits.object_memory_size);
  struct lucet_object *o = calloc(1, size);
  if (o == NULL || !keep(s, o)) {
    free(o);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  }
  o->type = i->module->sig_ids[type];
  o->kind = LUCET_TYPE_KIND_ARRAY;
  o->length = length;
  s->bytes += size + OVERHEAD;
  *word = (uint64_t)(uintptr_t)o;
  return LUCET_OK;
}

static int by_address(const void *a, const void *b) {
  uintptr_t x = (uintptr_t) * (struct lucet_object *const *)a, y = (uintptr_t) * (struct lucet_object *const *)b;
  return (x > y) - (x < y);
}

static bool owns(struct lucet_instance *i, const void *word) {
  struct objects *s = &i->objects;
  if (s->count == 0) return false;
  if (!s->sorted) {
    qsort(s->all, s->count, sizeof *s->all, by_address);
    s->sorted = true;
  }
  return bsearch(word, s->all, s->count, sizeof *s->all, by_address) != NULL;
}

const struct lucet_object *lucet_object_find(struct lucet_instance *i, uint64_t word) {
  const struct lucet_object *o = (const struct lucet_object *)(uintptr_t)word;
  return word != 0 && lucet_group_any(i, owns, &o) ? o : NULL;
}

void lucet_objects_free(struct lucet_instance *i) {
  struct objects *s = &i->objects;
  for (size_t k = 0; k < s->count; k++) free(s->all[k]);
  free(s->all);
  *s = (struct objects){.all = NULL};
}

void lucet_objects_reset(struct lucet_instance *i) {
  if (i->objects.count != 0 && lucet_group_alone(i) && i->group->exceptions.count == 0) lucet_objects_free(i);
}
