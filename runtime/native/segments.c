/**
 * Initial values of globals, element and data segments (core specification 2.0, section 4.5.4, and table.init,
 * memory.init in 4.4).
 */
#include <string.h>

#include "internal.h"

uint32_t lucet_data_init(struct lucet_instance *i, uint32_t memory, uint32_t segment, uint64_t dst, uint64_t src, uint64_t n) {
  const struct lucet_data_record *r = &i->module->meta.data[segment];
  const struct memory *m = i->memories[memory];
  uint64_t length = i->data_dropped[segment] ? 0 : r->length;
  if (src > length || n > length - src || !lucet_memory_holds(m, dst, n)) return LUCET_TRAP_HEAP_OUT_OF_BOUNDS;
  if (n != 0) memcpy(m->base + dst, i->module->meta.data_bytes + r->first + src, n);
  return 0;
}

/** The value of a constant expression that is a reference, but for expressions of several operators. */
static uint64_t reference(struct lucet_instance *i, uint32_t kind, uint32_t index) {
  switch (kind) {
    case LUCET_CONST_KIND_REF_FUNC: return funcref_word(lucet_instance_funcref(i, index));
    case LUCET_CONST_KIND_GLOBAL_GET: {
      uint64_t value;
      memcpy(&value, i->globals[index], sizeof value);
      return value;
    }
    default: return 0;
  }
}

uint32_t lucet_elem_init(struct lucet_instance *i, uint32_t table, uint32_t segment, uint64_t dst, uint64_t src, uint64_t n) {
  const struct metadata *d = &i->module->meta;
  const struct lucet_elem_record *r = &d->elems[segment];
  const struct table_desc *t = i->tables[table]->desc;
  uint64_t count = i->elem_dropped[segment] ? 0 : r->count;
  if (src > count || n > count - src || dst > t->length || n > t->length - dst) return LUCET_TRAP_TABLE_OUT_OF_BOUNDS;
  if (r->values != NONE) {
    if (n != 0) memcpy(t->elements + dst, i->elem_values + r->values + src, n * sizeof *t->elements);
    return 0;
  }
  if (i->records_made && r->mode == LUCET_SEGMENT_MODE_ACTIVE) {
    const uint32_t *positions = i->module->prototype.elem_positions + r->first + src;
    for (uint64_t k = 0; k < n; k++) t->elements[dst + k] = positions[k] != NONE ? funcref_word(&i->funcrefs[positions[k]]) : 0;
    return 0;
  }
  for (uint64_t k = 0; k < n; k++) {
    const struct lucet_elem_item *item = &d->elem_items[r->first + src + k];
    t->elements[dst + k] = reference(i, item->kind, item->index);
  }
  return 0;
}

/**
 * The value of an expression that const_code_ok (artifact.c) has accepted: `stack` can't overflow or underflow. Only
 * making objects can fail.
 */
static lucet_status evaluate(struct lucet_instance *i, uint32_t at, uint64_t *result, lucet_error *error) {
  uint64_t stack[LUCET_CONST_DEPTH];
  uint32_t depth = 0;
  for (const uint8_t *p = i->module->meta.const_code + at;;) {
    uint32_t op = *p++;
    uint64_t value = 0;
    if (op == LUCET_CONST_CODE_END) {
      *result = stack[0];
      return LUCET_OK;
    }
    if (op == LUCET_CONST_CODE_I64CONST) {
      memcpy(&value, p, 8);
      p += 8;
    } else if (op == LUCET_CONST_CODE_I32CONST || op == LUCET_CONST_CODE_GLOBAL_GET) {
      uint32_t operand;
      memcpy(&operand, p, 4);
      p += 4;
      value = operand;
      if (op == LUCET_CONST_CODE_GLOBAL_GET) memcpy(&value, i->globals[operand], sizeof value);
    } else if (op == LUCET_CONST_CODE_ARRAY_NEW_DEFAULT) {
      uint32_t type;
      memcpy(&type, p, 4);
      p += 4;
      lucet_status status = lucet_object_array(i, type, (uint32_t)stack[--depth], &value, error);
      if (status != LUCET_OK) return status;
    } else {
      uint64_t b = stack[--depth], a = stack[--depth];
      switch (op) {
        case LUCET_CONST_CODE_I32ADD: value = (uint32_t)(a + b); break;
        case LUCET_CONST_CODE_I32SUB: value = (uint32_t)(a - b); break;
        case LUCET_CONST_CODE_I32MUL: value = (uint32_t)(a * b); break;
        case LUCET_CONST_CODE_I64ADD: value = a + b; break;
        case LUCET_CONST_CODE_I64SUB: value = a - b; break;
        default: value = a * b;
      }
    }
    stack[depth++] = value;
  }
}

static lucet_status reference_of(struct lucet_instance *i, uint32_t kind, uint32_t index, uint64_t *value, lucet_error *error) {
  if (kind == LUCET_CONST_KIND_CODE) return evaluate(i, index, value, error);
  *value = reference(i, kind, index);
  return LUCET_OK;
}

lucet_status lucet_initialise_globals(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = d->header->imported_globals; k < d->global_count; k++) {
    const struct lucet_global_record *r = &d->globals[k];
    if (r->init == LUCET_CONST_KIND_BITS) {
      memcpy(i->globals[k], r->value, 16);
    } else if (r->init == LUCET_CONST_KIND_GLOBAL_GET) {
      memcpy(i->globals[k], i->globals[r->index], 16);
    } else {
      uint64_t value;
      lucet_status status = reference_of(i, r->init, r->index, &value, error);
      if (status != LUCET_OK) return status;
      memcpy(i->globals[k], &value, sizeof value);
    }
  }
  return LUCET_OK;
}

/** The elements are where they are at the start. */
lucet_status lucet_initialise_tables(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = d->header->imported_tables; k < d->table_count; k++) {
    if ((d->tables[k].flags & LUCET_TABLE_FLAG_IMAGE) != 0) continue;
    uint64_t value;
    lucet_status status = reference_of(i, d->tables[k].init, d->tables[k].index, &value, error);
    if (status != LUCET_OK) return status;
    const struct table_desc *t = i->tables[k]->desc;
    if (value != 0)
      for (uint64_t n = 0; n < t->length; n++) t->elements[n] = value;
    else if (!i->tables_zero)
      lucet_table_clear(i->tables[k]);
  }
  i->tables_zero = false;
  return LUCET_OK;
}

lucet_status lucet_initialise_elems(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = 0; k < d->elem_count; k++) {
    const struct lucet_elem_record *r = &d->elems[k];
    if (r->values == NONE || r->mode == LUCET_SEGMENT_MODE_DECLARATIVE) continue;
    for (uint32_t n = 0; n < r->count; n++) {
      const struct lucet_elem_item *item = &d->elem_items[r->first + n];
      lucet_status status = reference_of(i, item->kind, item->index, &i->elem_values[r->values + n], error);
      if (status != LUCET_OK) return status;
    }
  }
  return LUCET_OK;
}

/** Offsets are numbers, so nothing in them can fail. */
static uint64_t offset_of(struct lucet_instance *i, uint32_t kind, uint32_t index, uint64_t bits, bool index64) {
  uint64_t value = bits;
  if (kind == LUCET_CONST_KIND_GLOBAL_GET) memcpy(&value, i->globals[index], sizeof value);
  if (kind == LUCET_CONST_KIND_CODE) evaluate(i, index, &value, NULL);
  return index64 ? value : (uint32_t)value;
}

uint32_t lucet_initialise_segments(struct lucet_instance *i, bool tables, bool *data, uint32_t *segment) {
  const struct metadata *d = &i->module->meta;
  *data = false;
  for (uint32_t k = 0; tables && k < d->elem_count; k++) {
    const struct lucet_elem_record *r = &d->elems[k];
    if (r->mode == LUCET_SEGMENT_MODE_PASSIVE) continue;
    if (r->mode == LUCET_SEGMENT_MODE_ACTIVE && (d->tables[r->table].flags & LUCET_TABLE_FLAG_IMAGE) == 0) {
      uint64_t at = offset_of(i, r->offset_kind, r->offset_index, r->offset, d->tables[r->table].flags & LUCET_TABLE_FLAG_INDEX64);
      *segment = k;
      uint32_t trap = lucet_elem_init(i, r->table, k, at, 0, r->count);
      if (trap != 0) return trap;
    }
    i->elem_dropped[k] = true;
  }
  *data = true;
  for (uint32_t k = i->module->heap_image.segments; k < d->data_count; k++) {
    const struct lucet_data_record *r = &d->data[k];
    if (r->mode != LUCET_SEGMENT_MODE_ACTIVE) continue;
    uint64_t at = offset_of(i, r->offset_kind, r->offset_index, r->offset, d->memories[r->memory].flags & 1);
    *segment = k;
    uint32_t trap = lucet_data_init(i, r->memory, k, at, 0, r->length);
    if (trap != 0) return trap;
    i->data_dropped[k] = true;
  }
  return 0;
}
