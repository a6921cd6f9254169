/** What all instances of a module start with, computed when the module is loaded. (Their memory is in image.c.) */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/**
 * Whether the initial contents of the module's tables are the same in every instance, but for the addresses of its own
 * functions.
 */
static bool constant_tables(const struct metadata *d) {
  for (uint32_t k = d->header->imported_tables; k < d->table_count; k++)
    if (d->tables[k].init == LUCET_CONST_KIND_GLOBAL_GET || d->tables[k].init == LUCET_CONST_KIND_CODE) return false;
  for (uint32_t k = 0; k < d->elem_count; k++) {
    const struct lucet_elem_record *r = &d->elems[k];
    if (r->mode != LUCET_SEGMENT_MODE_ACTIVE) continue;
    if (r->table < d->header->imported_tables || r->offset_kind != LUCET_CONST_KIND_BITS || r->values != NONE) return false;
    for (uint32_t n = 0; n < r->count; n++)
      if (d->elem_items[r->first + n].kind == LUCET_CONST_KIND_GLOBAL_GET) return false;
  }
  return true;
}

/** Filling tables again and again would otherwise look up each function each time. False: out of memory. */
static bool find_positions(struct prototype *p, const struct metadata *d) {
  for (uint32_t k = 0; k < d->elem_count; k++) {
    const struct lucet_elem_record *r = &d->elems[k];
    if (r->mode != LUCET_SEGMENT_MODE_ACTIVE || (d->tables[r->table].flags & LUCET_TABLE_FLAG_IMAGE) != 0 || r->count == 0) continue;
    if (p->elem_positions == NULL && (p->elem_positions = malloc(d->elem_item_count * sizeof *p->elem_positions)) == NULL) return false;
    for (uint32_t n = r->first; n < r->first + r->count; n++) {
      const struct lucet_elem_item *item = &d->elem_items[n];
      p->elem_positions[n] = item->kind == LUCET_CONST_KIND_REF_FUNC ? lucet_metadata_escape(d, item->index) : NONE;
    }
  }
  return true;
}

static bool writes_tables(const struct metadata *d) {
  for (uint32_t k = d->header->imported_tables; k < d->table_count; k++)
    if ((d->tables[k].flags & LUCET_TABLE_FLAG_WRITTEN) != 0) return true;
  return false;
}

bool lucet_prototype_make(struct prototype *p, const lucet_module *m) {
  const struct metadata *d = &m->meta;
  p->host_size = lucet_instance_host_size(d);
  p->vmctx_size = d->header->vmctx_globals;
  p->vmctx = calloc(1, p->vmctx_size);
  p->data_dropped = calloc((size_t)d->data_count + d->elem_count + 1, sizeof *p->data_dropped);
  if (p->vmctx == NULL || p->data_dropped == NULL) return false;
  uint8_t *base = p->vmctx + p->vmctx_size;
  VMCTX_FIELD(base, LUCET_VMCTX_BUILTIN_STUB, const uint8_t *) = lucet_builtin_stub;
  VMCTX_FIELD(base, LUCET_VMCTX_HOSTCALL_STUB, const uint8_t *) = lucet_hostcall_stub;
  VMCTX_FIELD(base, LUCET_VMCTX_TRAP_STUB, const uint8_t *) = lucet_trap_stub;
  VMCTX_FIELD(base, LUCET_VMCTX_SIG_IDS, const uint32_t *) = m->sig_ids;
  VMCTX_FIELD(base, LUCET_VMCTX_STACK_LIMIT, uint64_t) = lucet_stack_limit_offset();
  VMCTX_FIELD(base, LUCET_VMCTX_INSTRUCTION_BOUND, uint64_t) = UINT64_MAX;
  for (uint32_t k = d->header->imported_globals; k < d->global_count; k++) {
    const struct lucet_global_record *r = &d->globals[k];
    if (r->init == LUCET_CONST_KIND_BITS)
      memcpy(p->vmctx + (size_t)k * LUCET_GLOBAL_ENTRY_SIZE, r->value, sizeof r->value);
    else if (r->init != LUCET_CONST_KIND_REF_NULL)
      p->late_globals = true;
  }
  for (uint32_t k = 0; k < m->heap_image.segments; k++) p->data_dropped[k] = d->data[k].mode == LUCET_SEGMENT_MODE_ACTIVE;
  p->elem_dropped = p->data_dropped + d->data_count;
  for (uint32_t k = 0; k < d->elem_count; k++) p->elem_dropped[k] = d->elems[k].mode != LUCET_SEGMENT_MODE_PASSIVE;
  p->constant_tables = constant_tables(d);
  p->writes_tables = writes_tables(d);
  return !p->constant_tables || find_positions(p, d);
}

void lucet_prototype_free(struct prototype *p) {
  free(p->vmctx);
  free(p->data_dropped);
  free(p->elem_positions);
}
