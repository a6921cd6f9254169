/** Questions about a loaded module. */
#include <string.h>

#include "internal.h"

uint32_t lucet_module_function_at(const lucet_module *m, uint32_t offset) {
  uint32_t low = 0, high = m->code_count;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (m->meta.functions[m->code_order[mid]].code <= offset)
      low = mid + 1;
    else
      high = mid;
  }
  if (low == 0) return NONE;
  uint32_t f = m->code_order[low - 1];
  return offset - m->meta.functions[f].code < m->meta.functions[f].length ? f : NONE;
}

/** An unsigned LEB128 number; saturates rather than reading on when it is malformed. */
static uint64_t read_uleb(const uint8_t **p, const uint8_t *end) {
  uint64_t n = 0;
  for (unsigned shift = 0; *p < end; shift += 7) {
    uint8_t b = *(*p)++;
    if (shift < 64) n |= (uint64_t)(b & 0x7f) << shift;
    if ((b & 0x80) == 0) break;
  }
  return n;
}

static int64_t read_sleb(const uint8_t **p, const uint8_t *end) {
  uint64_t n = 0;
  for (unsigned shift = 0; *p < end;) {
    uint8_t b = *(*p)++;
    if (shift < 64) n |= (uint64_t)(b & 0x7f) << shift;
    shift += 7;
    if ((b & 0x80) == 0) {
      if (shift < 64 && (b & 0x40) != 0) n |= ~(uint64_t)0 << shift;
      break;
    }
  }
  return (int64_t)n;
}

struct pc_entry lucet_module_pc_entry(const lucet_module *m, uint32_t function, uint32_t pc) {
  const struct lucet_function_record *f = &m->meta.functions[function];
  const uint8_t *p = m->meta.pc_map + f->pc_map, *end = p + f->pc_map_length;
  struct pc_entry e = {.wasm_offset = f->wasm_start};
  uint64_t at = 0;
  while (p < end) {
    uint64_t head = read_uleb(&p, end);
    uint32_t offset = e.wasm_offset + (uint32_t)read_sleb(&p, end);
    uint32_t trap = (head & 1) != 0 && p < end ? *p++ : 0;
    at += head >> 1;
    if (at > pc) break;
    e.pc = (uint32_t)at;
    e.wasm_offset = offset;
    e.trap = trap;
    e.found = true;
  }
  return e;
}

uint32_t lucet_module_import_count(const lucet_module *m) { return m->meta.import_count; }
uint32_t lucet_module_export_count(const lucet_module *m) { return m->meta.export_count; }

static void describe(const struct metadata *d, uint32_t kind, uint32_t index, lucet_extern *e) {
  e->kind = kind;
  e->index = index;
  e->max = NO_MAX;
  switch (kind) {
    case LUCET_EXTERN_FUNC: {
      const struct lucet_type_record *t = &d->types[d->functions[index].type];
      e->types = d->type_bytes + t->bytes;
      e->params = t->params;
      e->results = t->results;
      break;
    }
    case LUCET_EXTERN_TABLE:
      e->valtype = d->tables[index].element;
      e->flags = d->tables[index].flags & LUCET_TABLE_FLAG_INDEX64;
      e->min = d->tables[index].min;
      e->max = d->tables[index].max;
      break;
    case LUCET_EXTERN_MEMORY:
      e->flags = d->memories[index].flags | d->memories[index].page_size_log2 << 8;
      e->min = d->memories[index].min;
      e->max = d->memories[index].max;
      break;
    case LUCET_EXTERN_TAG: {
      const struct lucet_type_record *t = &d->types[d->tags[index].type];
      e->types = d->type_bytes + t->bytes;
      e->params = t->params;
      break;
    }
    default:
      e->valtype = d->globals[index].type;
      e->flags = d->globals[index].mutable;
  }
}

lucet_status lucet_module_import(const lucet_module *m, uint32_t number, lucet_extern *e) {
  memset(e, 0, sizeof *e);
  if (number >= m->meta.import_count) return LUCET_ERROR_ARGUMENT;
  const struct lucet_import_record *r = &m->meta.imports[number];
  e->module = lucet_metadata_string(&m->meta, r->module, &e->module_length);
  e->name = lucet_metadata_string(&m->meta, r->name, &e->name_length);
  describe(&m->meta, r->kind, r->index, e);
  return LUCET_OK;
}

lucet_status lucet_module_export(const lucet_module *m, uint32_t number, lucet_extern *e) {
  memset(e, 0, sizeof *e);
  if (number >= m->meta.export_count) return LUCET_ERROR_ARGUMENT;
  const struct lucet_export_record *r = &m->meta.exports[number];
  e->name = lucet_metadata_string(&m->meta, r->name, &e->name_length);
  describe(&m->meta, r->kind, r->index, e);
  return LUCET_OK;
}

int32_t lucet_module_find_export(const lucet_module *m, const char *name, size_t length) {
  for (uint32_t i = 0; i < m->meta.export_count; i++) {
    uint32_t n;
    const char *s = lucet_metadata_string(&m->meta, m->meta.exports[i].name, &n);
    if (n == length && memcmp(s, name, n) == 0) return (int32_t)i;
  }
  return -1;
}

const char *lucet_module_name(const lucet_module *m, uint32_t *length) { return lucet_metadata_string(&m->meta, m->meta.header->name, length); }

const char *lucet_module_function_name(const lucet_module *m, uint32_t function, uint32_t *length) {
  *length = 0;
  if (function >= m->meta.header->functions) return "";
  const char *s = lucet_metadata_string(&m->meta, m->meta.functions[function].name, length);
  if (*length != 0) return s;
  for (uint32_t i = 0; i < m->meta.export_count; i++)
    if (m->meta.exports[i].kind == LUCET_EXTERN_FUNC && m->meta.exports[i].index == function)
      return lucet_metadata_string(&m->meta, m->meta.exports[i].name, length);
  return s;
}

const void *lucet_module_code(const lucet_module *m, size_t *length) {
  *length = m->meta.header->text_size;
  return m->text;
}

const char *lucet_module_options(const lucet_module *m, uint32_t *length) {
  *length = m->meta.options_size;
  return m->meta.options;
}

const uint8_t *lucet_module_hash(const lucet_module *m) { return m->meta.header->module_hash; }
