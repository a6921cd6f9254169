/** Making and freeing instances, and the embedder's access to what they hold. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "wasi.h"


_Static_assert(sizeof(struct lucet_funcref) == LUCET_FUNCREF_SIZE && offsetof(struct lucet_funcref, code) == LUCET_FUNCREF_CODE &&
                   offsetof(struct lucet_funcref, vmctx) == LUCET_FUNCREF_VMCTX && offsetof(struct lucet_funcref, sig_id) == LUCET_FUNCREF_SIG_ID &&
                   offsetof(struct lucet_funcref, func_index) == LUCET_FUNCREF_FUNC_INDEX &&
                   offsetof(struct lucet_funcref, entry) == LUCET_FUNCREF_ENTRY,
               "function reference differs from abi/vmctx.ts");
_Static_assert((int)LUCET_I32 == LUCET_VAL_TYPE_I32 && (int)LUCET_EXTERNREF == LUCET_VAL_TYPE_EXTERN_REF &&
                   (int)LUCET_EXTERN_GLOBAL == LUCET_EXTERN_KIND_GLOBAL && (int)LUCET_EXTERN_FUNC == LUCET_EXTERN_KIND_FUNC,
               "lucet.h numbers types or kinds in another way than the compiler");
_Static_assert(sizeof(lucet_import) == 48 && sizeof(lucet_event) == 40 && sizeof(lucet_frame) == 40, "sizes that lucet.h promises");

/* ---- The host block: struct lucet_instance and its arrays, one allocation that stays with the slot */

struct carver {
  uint8_t *at;
  size_t total;
};

/** `count` elements of `size` bytes; `at` NULL: only adds up. */
static void *carve(struct carver *c, size_t count, size_t size) {
  size_t offset = c->total;
  c->total += round_up(count * size, 16);
  return c->at != NULL ? c->at + offset : NULL;
}

static void carve_arrays(struct carver *c, struct lucet_instance *i, const struct metadata *d) {
  const struct lucet_artifact_header *h = d->header;
  carve(c, 1, sizeof *i);
  i->first = carve(c, 1, sizeof *i->first);
  i->memories = carve(c, d->memory_count, sizeof *i->memories);
  i->tables = carve(c, d->table_count, sizeof *i->tables);
  i->globals = carve(c, d->global_count, sizeof *i->globals);
  i->own_memories = carve(c, d->memory_count - h->imported_memories, sizeof *i->own_memories);
  i->own_tables = carve(c, d->table_count - h->imported_tables, sizeof *i->own_tables);
  i->imported_values = carve(c, h->imported_globals, sizeof *i->imported_values);
  i->funcrefs = carve(c, d->escaping_count, sizeof *i->funcrefs);
  i->tags = carve(c, d->tag_count, sizeof *i->tags);
  i->bindings = carve(c, h->imported_functions, sizeof *i->bindings);
  i->data_dropped = carve(c, d->data_count, sizeof *i->data_dropped);
  i->elem_dropped = carve(c, d->elem_count, sizeof *i->elem_dropped);
  i->elem_values = carve(c, d->elem_values, sizeof *i->elem_values);
  for (uint32_t k = h->imported_tables; k < d->table_count; k++) {
    bool image = (d->tables[k].flags & LUCET_TABLE_FLAG_IMAGE) != 0;
    uint64_t *home = carve(c, image ? 0 : min_u64(d->tables[k].min, MOST_ELEMENTS), sizeof *home);
    if (c->at != NULL) i->own_tables[k - h->imported_tables].home = home;
  }
}

size_t lucet_instance_host_size(const struct metadata *d) {
  struct lucet_instance scratch;
  struct carver c = {.at = NULL, .total = 0};
  carve_arrays(&c, &scratch, d);
  return c.total;
}

/** Everything in the host block that depends on the slot and the module only. */
static void lay_out(struct lucet_instance *i, lucet_region *r, struct slot *s, lucet_module *m) {
  const struct metadata *d = &m->meta;
  const struct lucet_artifact_header *h = d->header;
  struct carver c = {.at = (uint8_t *)i, .total = 0};
  carve_arrays(&c, i, d);
  i->region = r;
  i->slot = s;
  i->module = m;
  i->base = s->base;
  i->own_memory_count = d->memory_count - h->imported_memories;
  for (uint32_t k = h->imported_memories; k < d->memory_count; k++) {
    struct memory *own = &i->own_memories[k - h->imported_memories];
    bool primary = k == h->imported_memories;
    own->length = primary ? &VMCTX_FIELD(i->base, LUCET_VMCTX_MEMORY_LENGTH, uint64_t) : &own->own_length;
    own->reserved = r->limits.heap_address_space_size;
    own->all_open = primary && s->dense;
    own->base = primary ? i->base : NULL;
    i->memories[k] = own;
  }
  for (uint32_t k = h->imported_tables; k < d->table_count; k++) {
    struct table *own = &i->own_tables[k - h->imported_tables];
    own->owner = m;
    own->instance = i;
    i->tables[k] = own;
  }
  for (uint32_t k = h->imported_globals; k < d->global_count; k++) i->globals[k] = i->base - h->vmctx_globals + (size_t)k * LUCET_GLOBAL_ENTRY_SIZE;
}

void lucet_host_block_drop(struct lucet_instance *host) {
  for (uint32_t k = 1; k < host->own_memory_count; k++) {
    struct memory *m = &host->own_memories[k];
    if (m->base != NULL) lucet_memory_unreserve(m->base, m->reserved);
    m->base = NULL;
  }
}

/** The host block of a slot that is to be warm for `m`. NULL: out of memory. */
static struct lucet_instance *host_block(lucet_region *r, struct slot *s, lucet_module *m) {
  if (s->warm == m->serial) return s->host;
  size_t size = m->prototype.host_size;
  if (s->host != NULL) lucet_host_block_drop(s->host);
  /* A block that is much too large isn't kept: its last module may have been a giant. */
  if (s->host == NULL || s->host_size < size || s->host_size / 8 > size) {
    free(s->host);
    s->host = calloc(1, size);
    s->host_size = s->host != NULL ? size : 0;
    if (s->host == NULL) return NULL;
  } else {
    lucet_zero(s->host, s->host_size);
  }
  lay_out(s->host, r, s, m);
  s->host->tables_zero = true;
  s->warm = m->serial;
  return s->host;
}

/* ---- From a warm slot to an instance */

static struct table_desc *table_desc(const struct lucet_instance *i, uint32_t table) {
  return (struct table_desc *)(void *)(i->base - i->module->meta.header->vmctx_tables + (size_t)table * LUCET_TABLE_DESC_SIZE);
}

/** Each instance has tags of its own. */
static lucet_status make_tags(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = d->imported_tags; k < d->tag_count; k++) {
    i->tags[k] = lucet_tag_new(i->module, d->tags[k].type);
    if (i->tags[k] == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  }
  return LUCET_OK;
}

static void drop_tags(struct lucet_instance *i) {
  for (uint32_t k = 0; k < i->module->meta.tag_count; k++) {
    lucet_tag_release(i->tags[k]);
    i->tags[k] = NULL;
  }
}

/** The vmctx but for the imports' entries, and the instance's own memories and tables. */
static lucet_status make_entities(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  const struct lucet_artifact_header *h = d->header;
  const struct prototype *p = &i->module->prototype;
  memcpy(i->base - p->vmctx_size, p->vmctx, p->vmctx_size);
  VMCTX_FIELD(i->base, LUCET_VMCTX_INSTANCE, struct lucet_instance *) = i;
  VMCTX_FIELD(i->base, LUCET_VMCTX_FUNCREFS, struct lucet_funcref *) = i->funcrefs;
  for (uint32_t k = h->imported_memories; k < d->memory_count; k++) {
    struct memory *m = i->memories[k];
    if (k == h->imported_memories) {
      m->open = i->slot->heap_open;
    } else if (m->base == NULL) {
      m->base = lucet_memory_reserve(m->reserved);
      m->open = 0;
      if (m->base == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for memory %u", k);
    }
    lucet_status status = lucet_memory_init(m, &d->memories[k], &i->limits, k, error);
    if (status != LUCET_OK) return status;
    uint8_t *entry = i->base - h->vmctx_memories + (size_t)k * LUCET_MEMORY_ENTRY_SIZE;
    memcpy(entry + LUCET_MEMORY_ENTRY_BASE, &m->base, 8);
    memcpy(entry + LUCET_MEMORY_ENTRY_LENGTH_PTR, &m->length, 8);
  }
  if (h->imported_memories == d->memory_count && !lucet_region_close_heap(i->slot))
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "can't close the heap of a used slot");
  for (uint32_t k = h->imported_tables; k < d->table_count; k++) {
    lucet_status status = lucet_table_init(i->tables[k], &d->tables[k], &i->limits, table_desc(i, k), k, error);
    if (status != LUCET_OK) return status;
  }
  return LUCET_OK;
}

/** First values of globals and tables, and the segments. Imports are linked. */
static lucet_status initialise(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  const struct prototype *p = &i->module->prototype;
  memcpy(i->data_dropped, p->data_dropped, d->data_count);
  lucet_status status;
  if (p->late_globals && (status = lucet_initialise_globals(i, error)) != LUCET_OK) return status;
  bool tables = !i->tables_kept;
  i->tables_kept = false;
  if (tables) {
    memset(i->elem_dropped, 0, d->elem_count);
    if ((status = lucet_initialise_tables(i, error)) != LUCET_OK) return status;
  } else {
    memcpy(i->elem_dropped, p->elem_dropped, d->elem_count);
  }
  if (d->elem_values != 0 && (status = lucet_initialise_elems(i, error)) != LUCET_OK) return status;
  bool data;
  uint32_t segment;
  uint32_t trap = lucet_initialise_segments(i, tables, &data, &segment);
  if (trap != 0) {
    lucet_fail(error, LUCET_ERROR_TRAP, 0, "%s: active %s segment %u", lucet_trap_message(trap), data ? "data" : "element", segment);
    if (error != NULL) error->trap = trap;
    return LUCET_ERROR_TRAP;
  }
  i->tables_kept = true;
  i->records_made = p->elem_positions != NULL;
  i->start_pending = d->header->start_function != NONE;
  return LUCET_OK;
}

lucet_status lucet_instance_new_with(lucet_region *region, lucet_module *module, const lucet_import *imports, uint32_t import_count,
                                     const lucet_instance_options *options, lucet_instance **instance, lucet_error *error) {
  const struct metadata *d = &module->meta;
  if (region->kind == LUCET_REGION_DENSE && d->header->memory_mode != LUCET_MEMORY_DENSE)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the module's code has no bounds checks, which a dense region needs: compile it with --memory dense");
  if (region->limits.heap_address_space_size < d->header->reserved_size && d->header->memory_mode != LUCET_MEMORY_DENSE)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the module relies on %llu bytes of address space behind each memory, the region reserves %llu",
                      (unsigned long long)d->header->reserved_size, (unsigned long long)region->limits.heap_address_space_size);
  for (uint32_t k = d->header->imported_tables; k < d->table_count; k++)
    if ((d->tables[k].flags & LUCET_TABLE_FLAG_IMAGE) == 0 && d->tables[k].min > region->limits.table_elements)
      return lucet_table_too_large(k, d->tables[k].min, region->limits.table_elements, error);
  struct slot *s;
  lucet_status status = lucet_region_take(region, module, &s, error);
  if (status != LUCET_OK) return status;
  struct lucet_instance *i = host_block(region, s, module);
  if (i == NULL) {
    lucet_region_give(region, s, module, false);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  }
  memset((uint8_t *)i + offsetof(struct lucet_instance, innermost), 0, sizeof *i - offsetof(struct lucet_instance, innermost));
  i->spare = i->first;
  lucet_group_new(i);
  lucet_module_retain(module);
  i->limits = region->limits;
  if (options != NULL) {
    if (options->heap_memory_size != 0) i->limits.heap_memory_size = min_u64(i->limits.heap_memory_size, options->heap_memory_size);
    if (options->table_elements != 0) i->limits.table_elements = min_u64(i->limits.table_elements, options->table_elements);
    i->data = options->data;
  }
  status = make_entities(i, error);
  if (status == LUCET_OK) status = make_tags(i, error);
  if (status == LUCET_OK) status = lucet_link(i, imports, import_count, error);
  if (status == LUCET_OK) status = initialise(i, error);
  if (status != LUCET_OK) {
    /* If references to its functions are in a shared table already, its group keeps the instance. */
    lucet_instance_release(i);
    return status;
  }
  *instance = i;
  return lucet_ok(error);
}

lucet_status lucet_instance_new(lucet_region *region, lucet_module *module, const lucet_import *imports, uint32_t import_count,
                                lucet_instance **instance, lucet_error *error) {
  return lucet_instance_new_with(region, module, imports, import_count, NULL, instance, error);
}

/* ---- Back to a warm slot */

/** The slot learns what may have been written of its heap, and memories and tables give back what isn't the slot's. */
static void retract(struct lucet_instance *i) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = 0; k < d->memory_count - d->header->imported_memories; k++) {
    struct memory *m = &i->own_memories[k];
    if (k == 0) {
      /* It may never fall below what the image takes. */
      i->slot->heap_open = m->all_open ? max_u64(i->slot->heap_open, round_up(*m->length, HOST_PAGE)) : m->open;
    } else {
      lucet_memory_recycle(m);
    }
  }
  for (uint32_t k = 0; k < d->table_count - d->header->imported_tables; k++) lucet_table_shrink(&i->own_tables[k]);
  /* Tables that only the module's code can have written, and that it never writes, are still as they were. */
  if (i->tables_touched || !i->module->prototype.constant_tables || i->module->prototype.writes_tables) i->tables_kept = false;
}

void lucet_instance_free(struct lucet_instance *i) {
  lucet_module *m = i->module;
  retract(i);
  lucet_activations_free(i);
  lucet_embed_free(i);
  drop_tags(i);
  lucet_objects_free(i);
  free(i->held);
  lucet_trap_free(i);
  lucet_region_give(i->region, i->slot, m, i->sole);
  lucet_module_release(m);
}

lucet_status lucet_instance_reset(lucet_instance *i, lucet_error *error) {
  if (i->poisoned) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance faulted in a way that guest code can't: it is never run again");
  if (i->innermost != NULL && i->innermost->state == ACTIVATION_RUNNING) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance is running");
  lucet_activations_free(i);
  i->spare = i->first;
  retract(i);
  lucet_objects_reset(i);
  i->trap_valid = false;
  lucet_status status = LUCET_OK;
  if (!lucet_slot_reset(i->slot, &i->module->heap_image, false)) status = lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the instance's memory can't be reset");
  if (status == LUCET_OK) status = make_entities(i, error);
  if (status == LUCET_OK) {
    lucet_link_again(i);
    status = initialise(i, error);
  }
  i->rest = LUCET_STATE_READY;
  /* Half of it may be as it was. */
  if (status != LUCET_OK) i->poisoned = true;
  return status == LUCET_OK ? lucet_ok(error) : status;
}

uint32_t lucet_instance_slot(const lucet_instance *i) { return i->slot->number; }

lucet_module *lucet_instance_module(const lucet_instance *i) { return i->module; }
void lucet_instance_set_wasi(lucet_instance *i, struct lucet_wasi_ctx *ctx) { i->wasi = ctx; }
void lucet_instance_set_wasi_yields(lucet_instance *i, int yields) { i->wasi_yields = yields != 0; }
/* Not the calling instance's: who runs its caller gets the event. */
bool lucet_vmctx_wasi_yields(lucet_vmctx *vm) {
  (void)vm;
  return lucet_current->instance->wasi_yields;
}
struct lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm) { return instance_of((const uint8_t *)(void *)vm)->wasi; }
void *lucet_instance_data(const lucet_instance *i) { return i->data; }
void lucet_instance_set_data(lucet_instance *i, void *data) { i->data = data; }

/** Filled when first asked for, so that making an instance costs nothing for functions that nobody refers to. */
static struct lucet_funcref *record(struct lucet_instance *i, uint32_t position) {
  struct lucet_funcref *f = &i->funcrefs[position];
  if (f->sig_id != 0) return f;
  const struct metadata *d = &i->module->meta;
  uint32_t function = d->escaping[position].function, type = d->functions[function].type;
  uint32_t entry = d->types[type].entry_thunk;
  if (entry == NONE) entry = d->types[d->types[type].canonical].entry_thunk;
  *f = (struct lucet_funcref){
      .code = i->module->text + d->functions[function].code,
      .vmctx = i->base,
      .sig_id = i->module->sig_ids[type],
      .func_index = function,
      .entry = i->module->text + d->functions[entry].code,
  };
  return f;
}

struct lucet_funcref *lucet_instance_funcref(struct lucet_instance *i, uint32_t function) {
  return record(i, lucet_metadata_escape(&i->module->meta, function));
}

lucet_funcref *lucet_instance_function(lucet_instance *i, uint32_t function) {
  uint32_t escape = lucet_metadata_escape(&i->module->meta, function);
  return escape != NONE ? record(i, escape) : NULL;
}

lucet_instance *lucet_funcref_instance(const lucet_funcref *f) { return instance_of(f->vmctx); }
uint32_t lucet_funcref_index(const lucet_funcref *f) { return f->func_index; }

const uint8_t *lucet_funcref_type(const lucet_funcref *f, uint32_t *params, uint32_t *results) {
  const struct metadata *d = &instance_of(f->vmctx)->module->meta;
  const struct lucet_type_record *t = &d->types[d->functions[f->func_index].type];
  *params = t->params;
  *results = t->results;
  return d->type_bytes + t->bytes;
}

void *lucet_instance_memory(lucet_instance *i, uint32_t memory, uint64_t *length) {
  if (memory >= i->module->meta.memory_count) {
    *length = 0;
    return NULL;
  }
  *length = *i->memories[memory]->length;
  return i->memories[memory]->base;
}

int64_t lucet_instance_memory_grow(lucet_instance *i, uint32_t memory, uint64_t delta) {
  return memory < i->module->meta.memory_count ? (int64_t)lucet_memory_grow(i->memories[memory], delta) : -1;
}

lucet_status lucet_instance_global_get(const lucet_instance *i, uint32_t global, uint64_t value[2]) {
  if (global >= i->module->meta.global_count) return LUCET_ERROR_ARGUMENT;
  memcpy(value, i->globals[global], 16);
  return LUCET_OK;
}

lucet_status lucet_instance_global_set(lucet_instance *i, uint32_t global, const uint64_t value[2]) {
  if (global >= i->module->meta.global_count) return LUCET_ERROR_ARGUMENT;
  const struct lucet_global_record *r = &i->module->meta.globals[global];
  if (r->mutable == 0) return LUCET_ERROR_STATE;
  if (!lucet_valtype_holds(i, i->module, r->code, value[0])) return LUCET_ERROR_ARGUMENT;
  if (r->type == LUCET_FUNCREF && !lucet_group_adopt(i, value[0])) return LUCET_ERROR_ARGUMENT;
  if (r->type == LUCET_EXNREF && !lucet_exception_adopt(i, value[0])) return LUCET_ERROR_ARGUMENT;
  memcpy(i->globals[global], value, 16);
  return LUCET_OK;
}

/**
 * Its elements are in the code's read-only data, and most of their functions have no record that a reference could be
 * of.
 */
static bool is_image(const struct lucet_instance *i, uint32_t table) { return (i->tables[table]->flags & LUCET_TABLE_FLAG_IMAGE) != 0; }

uint64_t lucet_instance_table_size(const lucet_instance *i, uint32_t table) {
  if (table >= i->module->meta.table_count) return 0;
  return is_image(i, table) ? i->module->meta.tables[table].min : i->tables[table]->desc->length;
}

lucet_status lucet_instance_table_get(const lucet_instance *i, uint32_t table, uint64_t index, uint64_t *value) {
  if (index >= lucet_instance_table_size(i, table)) return LUCET_ERROR_ARGUMENT;
  if (is_image(i, table)) return LUCET_ERROR_STATE;
  *value = i->tables[table]->desc->elements[index];
  return LUCET_OK;
}

lucet_status lucet_instance_table_set(lucet_instance *i, uint32_t table, uint64_t index, uint64_t value) {
  if (index >= lucet_instance_table_size(i, table)) return LUCET_ERROR_ARGUMENT;
  if (is_image(i, table)) return LUCET_ERROR_STATE;
  if (!lucet_valtype_holds(i, i->tables[table]->owner, i->tables[table]->code, value)) return LUCET_ERROR_ARGUMENT;
  if (i->tables[table]->element == LUCET_FUNCREF && !lucet_group_adopt(i, value)) return LUCET_ERROR_ARGUMENT;
  if (i->tables[table]->element == LUCET_EXNREF && !lucet_exception_adopt(i, value)) return LUCET_ERROR_ARGUMENT;
  i->tables[table]->instance->tables_touched = true;
  i->tables[table]->desc->elements[index] = value;
  return LUCET_OK;
}

int64_t lucet_instance_table_grow(lucet_instance *i, uint32_t table, uint64_t delta, uint64_t value) {
  if (table >= i->module->meta.table_count || is_image(i, table)) return -1;
  if (!lucet_valtype_holds(i, i->tables[table]->owner, i->tables[table]->code, value)) return -1;
  if (i->tables[table]->element == LUCET_FUNCREF && !lucet_group_adopt(i, value)) return -1;
  if (i->tables[table]->element == LUCET_EXNREF && !lucet_exception_adopt(i, value)) return -1;
  i->tables[table]->instance->tables_touched = true;
  return (int64_t)lucet_table_grow(i->tables[table], delta, value);
}

int lucet_instance_needs_start(const lucet_instance *i) { return i->start_pending; }

uint64_t lucet_instance_instruction_count(const lucet_instance *i) { return VMCTX_FIELD(i->base, LUCET_VMCTX_INSTRUCTION_COUNT, uint64_t); }

void lucet_instance_set_instruction_bound(lucet_instance *i, uint64_t count) {
  VMCTX_FIELD(i->base, LUCET_VMCTX_INSTRUCTION_BOUND, uint64_t) = count;
}
