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

/** Arrays of one instance, carved out of one allocation. */
struct carver {
  uint8_t *at;
  size_t total;
};

/** `count` zeroed elements of `size` bytes; the first pass (`at` NULL) only adds up. */
static void *carve(struct carver *c, size_t count, size_t size) {
  size_t offset = c->total;
  c->total += round_up(count * size, 16);
  return c->at != NULL ? c->at + offset : NULL;
}

static void carve_arrays(struct carver *c, struct lucet_instance *i, const struct metadata *d) {
  const struct lucet_artifact_header *h = d->header;
  i->memories = carve(c, d->memory_count, sizeof *i->memories);
  i->tables = carve(c, d->table_count, sizeof *i->tables);
  i->globals = carve(c, d->global_count, sizeof *i->globals);
  i->own_memories = carve(c, d->memory_count - h->imported_memories, sizeof *i->own_memories);
  i->own_tables = carve(c, d->table_count - h->imported_tables, sizeof *i->own_tables);
  i->imported_values = carve(c, h->imported_globals, sizeof *i->imported_values);
  i->funcrefs = carve(c, d->escaping_count, sizeof *i->funcrefs);
  i->bindings = carve(c, h->imported_functions, sizeof *i->bindings);
  i->data_dropped = carve(c, d->data_count, sizeof *i->data_dropped);
  i->elem_dropped = carve(c, d->elem_count, sizeof *i->elem_dropped);
}

static struct lucet_instance *allocate(const struct metadata *d) {
  struct lucet_instance scratch;
  struct carver c = {.at = NULL, .total = round_up(sizeof scratch, 16)};
  carve_arrays(&c, &scratch, d);
  uint8_t *block = calloc(1, c.total);
  if (block == NULL) return NULL;
  struct lucet_instance *i = (struct lucet_instance *)(void *)block;
  c = (struct carver){.at = block, .total = round_up(sizeof *i, 16)};
  carve_arrays(&c, i, d);
  return i;
}

/** Header of the vmctx, and places of the instance's own globals. */
static void fill_vmctx(struct lucet_instance *i) {
  const struct metadata *d = &i->module->meta;
  uint8_t *base = i->base;
  VMCTX_FIELD(base, LUCET_VMCTX_INSTANCE, struct lucet_instance *) = i;
  VMCTX_FIELD(base, LUCET_VMCTX_BUILTIN_STUB, const uint8_t *) = lucet_builtin_stub;
  VMCTX_FIELD(base, LUCET_VMCTX_HOSTCALL_STUB, const uint8_t *) = lucet_hostcall_stub;
  VMCTX_FIELD(base, LUCET_VMCTX_SIG_IDS, const uint32_t *) = i->module->sig_ids;
  VMCTX_FIELD(base, LUCET_VMCTX_FUNCREFS, struct lucet_funcref *) = i->funcrefs;
  VMCTX_FIELD(base, LUCET_VMCTX_STACK_LIMIT, uint64_t) = lucet_stack_limit_offset();
  for (uint32_t k = d->header->imported_globals; k < d->global_count; k++)
    i->globals[k] = base - d->header->vmctx_globals + (size_t)k * LUCET_GLOBAL_ENTRY_SIZE;
}

static lucet_status make_entities(struct lucet_instance *i, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  const struct lucet_artifact_header *h = d->header;
  const struct lucet_limits *limits = &i->region->limits;
  for (uint32_t k = h->imported_memories; k < d->memory_count; k++) {
    struct memory *m = &i->own_memories[k - h->imported_memories];
    bool primary = k == h->imported_memories;
    m->reserved = limits->heap_address_space_size;
    m->base = primary ? i->base : lucet_memory_reserve(m->reserved);
    if (m->base == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for memory %u", k);
    m->length = primary ? &VMCTX_FIELD(i->base, LUCET_VMCTX_MEMORY_LENGTH, uint64_t) : &m->own_length;
    m->open = primary ? i->slot->heap_open : 0;
    i->memories[k] = m;
    lucet_status status = lucet_memory_init(m, &d->memories[k], limits, k, error);
    if (status != LUCET_OK) return status;
    uint8_t *entry = i->base - h->vmctx_memories + (size_t)k * LUCET_MEMORY_ENTRY_SIZE;
    memcpy(entry + LUCET_MEMORY_ENTRY_BASE, &m->base, 8);
    memcpy(entry + LUCET_MEMORY_ENTRY_LENGTH_PTR, &m->length, 8);
  }
  if (h->imported_memories == d->memory_count && !lucet_region_close_heap(i->slot))
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "can't close the heap of a used slot");
  for (uint32_t k = h->imported_tables; k < d->table_count; k++) {
    struct table *t = &i->own_tables[k - h->imported_tables];
    void *desc = i->base - h->vmctx_tables + (size_t)k * LUCET_TABLE_DESC_SIZE;
    i->tables[k] = t;
    t->owner = i->module;
    lucet_status status = lucet_table_init(t, &d->tables[k], limits, desc, k, error);
    if (status != LUCET_OK) return status;
  }
  return LUCET_OK;
}

/** Everything up to the first effect that others can see. */
static lucet_status prepare(struct lucet_instance *i, const lucet_import *imports, uint32_t count, lucet_error *error) {
  fill_vmctx(i);
  lucet_status status = make_entities(i, error);
  if (status == LUCET_OK) status = lucet_link(i, imports, count, error);
  if (status == LUCET_OK) {
    lucet_initialise_globals(i);
    lucet_initialise_tables(i);
  }
  return status;
}

lucet_status lucet_instance_new(lucet_region *region, lucet_module *module, const lucet_import *imports, uint32_t import_count,
                                lucet_instance **instance, lucet_error *error) {
  const struct metadata *d = &module->meta;
  if (region->limits.heap_address_space_size < d->header->reserved_size)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the module relies on %llu bytes of address space behind each memory, the region reserves %llu",
                      (unsigned long long)d->header->reserved_size, (unsigned long long)region->limits.heap_address_space_size);
  struct lucet_instance *i = allocate(d);
  if (i == NULL || !lucet_group_new(i)) {
    free(i);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  }
  lucet_module_retain(module);
  i->module = module;
  lucet_status status = lucet_region_take(region, d->header->vmctx_size, &i->slot, error);
  if (status == LUCET_OK) {
    i->region = region;
    i->base = i->slot->base;
    status = prepare(i, imports, import_count, error);
  }
  if (status != LUCET_OK) {
    lucet_instance_release(i);
    return status;
  }
  bool data;
  uint32_t segment;
  uint32_t trap = lucet_initialise_segments(i, &data, &segment);
  if (trap != 0) {
    lucet_fail(error, LUCET_ERROR_TRAP, 0, "%s: active %s segment %u", lucet_trap_message(trap), data ? "data" : "element", segment);
    if (error != NULL) error->trap = trap;
    /* If references to its functions are in a shared table already, its group keeps the instance. */
    lucet_instance_release(i);
    return LUCET_ERROR_TRAP;
  }
  i->start_pending = d->header->start_function != NONE;
  *instance = i;
  return lucet_ok(error);
}

void lucet_instance_free(struct lucet_instance *i) {
  const struct metadata *d = &i->module->meta;
  if (i->slot != NULL) {
    for (uint32_t k = 0; k < d->memory_count - d->header->imported_memories; k++) {
      struct memory *m = &i->own_memories[k];
      if (m->base == NULL) break;
      if (k == 0)
        i->slot->heap_open = m->open;
      else
        lucet_memory_unreserve(m->base, m->reserved);
    }
    for (uint32_t k = 0; k < d->table_count - d->header->imported_tables; k++) lucet_table_destroy(&i->own_tables[k]);
    lucet_region_give(i->region, i->slot);
  }
  lucet_activations_free(i);
  free(i->held);
  free(i->trap);
  lucet_module_release(i->module);
  free(i);
}

lucet_module *lucet_instance_module(const lucet_instance *i) { return i->module; }
void lucet_instance_set_wasi(lucet_instance *i, struct lucet_wasi_ctx *ctx) { i->wasi = ctx; }
struct lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm) { return lucet_vmctx_instance(vm)->wasi; }
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
  if (!lucet_valtype_holds(i->module, r->code, value[0])) return LUCET_ERROR_ARGUMENT;
  if (r->type == LUCET_FUNCREF) lucet_group_adopt(i, value[0]);
  memcpy(i->globals[global], value, 16);
  return LUCET_OK;
}

uint64_t lucet_instance_table_size(const lucet_instance *i, uint32_t table) {
  return table < i->module->meta.table_count ? i->tables[table]->desc->length : 0;
}

lucet_status lucet_instance_table_get(const lucet_instance *i, uint32_t table, uint64_t index, uint64_t *value) {
  if (index >= lucet_instance_table_size(i, table)) return LUCET_ERROR_ARGUMENT;
  *value = i->tables[table]->desc->elements[index];
  return LUCET_OK;
}

lucet_status lucet_instance_table_set(lucet_instance *i, uint32_t table, uint64_t index, uint64_t value) {
  if (index >= lucet_instance_table_size(i, table)) return LUCET_ERROR_ARGUMENT;
  if (!lucet_valtype_holds(i->tables[table]->owner, i->tables[table]->code, value)) return LUCET_ERROR_ARGUMENT;
  if (i->tables[table]->element == LUCET_FUNCREF) lucet_group_adopt(i, value);
  i->tables[table]->desc->elements[index] = value;
  return LUCET_OK;
}

int64_t lucet_instance_table_grow(lucet_instance *i, uint32_t table, uint64_t delta, uint64_t value) {
  if (table >= i->module->meta.table_count) return -1;
  if (!lucet_valtype_holds(i->tables[table]->owner, i->tables[table]->code, value)) return -1;
  if (i->tables[table]->element == LUCET_FUNCREF) lucet_group_adopt(i, value);
  return (int64_t)lucet_table_grow(i->tables[table], delta, value);
}

int lucet_instance_needs_start(const lucet_instance *i) { return i->start_pending; }
