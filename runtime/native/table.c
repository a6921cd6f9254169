/**
 * Tables. The elements lie in the host block of the owner, and move into the C heap when the table outgrows that;
 * everybody finds them through the owner's descriptor.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(struct table_desc) == LUCET_TABLE_DESC_SIZE && offsetof(struct table_desc, elements) == LUCET_TABLE_DESC_BASE &&
                   offsetof(struct table_desc, length) == LUCET_TABLE_DESC_LENGTH && offsetof(struct table_desc, max) == LUCET_TABLE_DESC_MAX,
               "table descriptor differs from abi/vmctx.ts");

lucet_status lucet_table_too_large(uint32_t index, uint64_t min, uint64_t max, lucet_error *error) {
  return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "table %u has %llu elements at the start, the region allows %llu", index, (unsigned long long)min,
                    (unsigned long long)max);
}

lucet_status lucet_table_init(struct table *t, const struct lucet_table_record *type, const struct lucet_limits *limits,
                              struct table_desc *desc, uint32_t index, lucet_error *error) {
  t->desc = desc;
  t->element = type->element;
  t->code = type->code;
  /* What is of the table's type, or says where its elements are; not what its owner's code does with it. */
  t->flags = type->flags & ~(uint32_t)LUCET_TABLE_FLAG_WRITTEN;
  t->declared_max = type->max;
  /*
   * Its elements are in the code's read-only data, and nothing but code looks at them: operations on it find an empty
   * table.
   */
  if ((type->flags & LUCET_TABLE_FLAG_IMAGE) != 0) return LUCET_OK;
  desc->max = min_u64(type->max, limits->table_elements);
  if (type->min > desc->max) return lucet_table_too_large(index, type->min, desc->max, error);
  if (type->min > MOST_ELEMENTS) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for table %u", index);
  desc->elements = t->home;
  desc->length = t->capacity = type->min;
  return LUCET_OK;
}

void lucet_table_clear(struct table *t) { lucet_zero(t->home, t->desc->length * sizeof *t->home); }

void lucet_table_shrink(struct table *t) {
  if (t->desc == NULL || t->desc->elements == NULL || t->desc->elements == t->home) return;
  free(t->desc->elements);
  t->desc->elements = t->home;
}

uint64_t lucet_table_grow(struct table *t, uint64_t delta, uint64_t value) {
  struct table_desc *d = t->desc;
  uint64_t old = d->length;
  if (delta > d->max - old) return UINT64_MAX;
  if (old + delta > t->capacity) {
    /*
     * At least by half, so that growing one by one stays cheap; max is at most 2^43, so the size in bytes doesn't wrap.
     */
    uint64_t capacity = old + old / 2 > old + delta ? min_u64(old + old / 2, d->max) : old + delta;
    bool home = d->elements == t->home;
    uint64_t *elements = realloc(home ? NULL : d->elements, (capacity + 1) * sizeof *elements);
    if (elements == NULL) return UINT64_MAX;
    if (home) memcpy(elements, t->home, old * sizeof *elements);
    d->elements = elements;
    t->capacity = capacity;
  }
  for (uint64_t i = 0; i < delta; i++) d->elements[old + i] = value;
  d->length = old + delta;
  return old;
}
