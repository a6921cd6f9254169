/**
 * Imports: checked against what the module declares (core specification 2.0, section 4.5.4, "import matching"), then
 * written into the vmctx.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/** What an import is bound to, in one form for all kinds. */
struct provided {
  uint32_t kind;
  /** Function: its type, as bytes; NULL: takes the declared one. */
  const uint8_t *types;
  uint32_t params;
  uint32_t results;
  struct lucet_funcref *funcref;
  struct memory *memory;
  struct table *table;
  uint8_t *global;
  uint32_t global_type;
  /** Exact, in terms of `global_owner`. */
  uint32_t global_code;
  const lucet_module *global_owner;
  bool global_mutable;
  struct lucet_tag *tag;
  uint8_t parsed[64];
};

struct text {
  char bytes[96];
  size_t n;
};

static void add(struct text *t, const char *s) {
  for (; *s != 0 && t->n + 1 < sizeof t->bytes; s++) t->bytes[t->n++] = *s;
  t->bytes[t->n] = 0;
}

static const char *type_name(uint32_t t) {
  static const char *const names[] = {"?", "i32", "i64", "f32", "f64", "v128", "funcref", "externref"};
  if (t == LUCET_EXNREF) return "exnref";
  if (t == LUCET_ANYREF) return "anyref";
  return t < sizeof names / sizeof names[0] ? names[t] : names[0];
}

static void add_types(struct text *t, const uint8_t *types, uint32_t n) {
  add(t, "(");
  for (uint32_t i = 0; i < n; i++) {
    if (i != 0) add(t, " ");
    add(t, type_name(types[i]));
  }
  add(t, ")");
}

static void add_limits(struct text *t, const char *what, uint64_t min, uint64_t max, uint32_t flags) {
  char s[80];
  if (max == NO_MAX)
    snprintf(s, sizeof s, "%s%s{min %llu}", flags & 1 ? "64-bit " : "", what, (unsigned long long)min);
  else
    snprintf(s, sizeof s, "%s%s{min %llu, max %llu}", flags & 1 ? "64-bit " : "", what, (unsigned long long)min, (unsigned long long)max);
  add(t, s);
}

static struct text function_text(const uint8_t *types, uint32_t params, uint32_t results) {
  struct text t = {.n = 0};
  add(&t, "func ");
  add_types(&t, types, params);
  add(&t, " -> ");
  add_types(&t, types + params, results);
  return t;
}

static struct text memory_text(uint64_t min, uint64_t max, uint32_t flags, uint32_t page_log2) {
  struct text t = {.n = 0};
  add_limits(&t, flags & 2 ? "shared memory " : "memory ", min, max, flags);
  if (page_log2 != WASM_PAGE_LOG2) add(&t, " of 1-byte pages");
  return t;
}

static struct text table_text(uint32_t element, uint64_t min, uint64_t max, uint32_t flags) {
  struct text t = {.n = 0};
  add_limits(&t, "table ", min, max, flags);
  add(&t, " of ");
  add(&t, type_name(element));
  return t;
}

static struct text global_text(uint32_t type, bool mutable) {
  struct text t = {.n = 0};
  add(&t, mutable ? "mutable global " : "global ");
  add(&t, type_name(type));
  return t;
}

static struct text kind_text(uint32_t kind) {
  static const char *const names[] = {"a function", "a table", "a memory", "a global", "a tag"};
  struct text t = {.n = 0};
  add(&t, names[kind]);
  return t;
}

/** The error for import `number`; the names of the import are cut when they are long. */
static lucet_status mismatch(const struct metadata *d, uint32_t number, struct text actual, struct text expected, lucet_error *error) {
  uint32_t a, b;
  const char *module = lucet_metadata_string(d, d->imports[number].module, &a);
  const char *name = lucet_metadata_string(d, d->imports[number].name, &b);
  return lucet_fail(error, LUCET_ERROR_LINK, number, "incompatible import type: %.*s.%.*s is %s, expected %s", a < 40 ? (int)a : 40, module,
                    b < 40 ? (int)b : 40, name, actual.bytes, expected.bytes);
}

static lucet_status wrong(const struct metadata *d, uint32_t number, const char *what, lucet_error *error) {
  uint32_t a, b;
  const char *module = lucet_metadata_string(d, d->imports[number].module, &a);
  const char *name = lucet_metadata_string(d, d->imports[number].name, &b);
  return lucet_fail(error, LUCET_ERROR_LINK, number, "%s: %.*s.%.*s", what, a < 80 ? (int)a : 80, module, b < 80 ? (int)b : 80, name);
}

/** "iI:f" as type bytes. */
static bool parse_signature(const char *s, struct provided *p) {
  static const char letters[] = "?iIfFvrexa";
  uint32_t n = 0;
  bool results = false;
  for (; *s != 0; s++) {
    if (*s == ':') {
      if (results) return false;
      results = true;
      p->params = n;
      continue;
    }
    const char *at = strchr(letters + 1, *s);
    if (at == NULL || n == sizeof p->parsed) return false;
    p->parsed[n++] = *s == 'x' ? LUCET_EXNREF : *s == 'a' ? LUCET_ANYREF : (uint8_t)(at - letters);
  }
  if (!results) p->params = n;
  p->results = n - p->params;
  p->types = p->parsed;
  return true;
}

/** Whether `s` is that type. Malformed signatures are no type. */
static bool signature_is(const char *s, const uint8_t *types, uint32_t params, uint32_t results) {
  static const uint8_t codes[128] = {['i'] = LUCET_I32, ['I'] = LUCET_I64, ['f'] = LUCET_F32, ['F'] = LUCET_F64,
                                     ['v'] = LUCET_V128, ['r'] = LUCET_FUNCREF, ['e'] = LUCET_EXTERNREF};
  for (uint32_t k = 0; k < params; k++, s++)
    if (*s < 0 || codes[(uint8_t)*s] != types[k]) return false;
  if (*s == 0) return results == 0;
  if (*s++ != ':') return false;
  for (uint32_t k = 0; k < results; k++, s++)
    if (*s < 0 || codes[(uint8_t)*s] != types[params + k]) return false;
  return *s == 0;
}

static void provide_function(struct provided *p, struct lucet_funcref *f) {
  p->kind = LUCET_EXTERN_FUNC;
  p->funcref = f;
  p->types = lucet_funcref_type(f, &p->params, &p->results);
}

/** Look at what was given. LUCET_ERROR_LINK: nothing, or nothing usable. */
static lucet_status resolve(struct lucet_instance *i, uint32_t number, const lucet_import *given, struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  memset(p, 0, sizeof *p);
  switch (given->kind) {
    case LUCET_IMPORT_MISSING: return wrong(d, number, "unknown import", error);
    case LUCET_IMPORT_NATIVE:
    case LUCET_IMPORT_HOSTCALL:
      p->kind = LUCET_EXTERN_FUNC;
      if (given->signature != NULL && !parse_signature(given->signature, p)) return wrong(d, number, "malformed signature of a host function", error);
      return LUCET_OK;
    case LUCET_IMPORT_FUNCREF: provide_function(p, given->funcref); return LUCET_OK;
    case LUCET_IMPORT_VALUE:
      if (given->index == LUCET_ANYREF && given->value[0] != 0) return wrong(d, number, "an object comes as the global that holds it", error);
      p->kind = LUCET_EXTERN_GLOBAL;
      p->global_type = p->global_code = given->index;
      p->global_owner = i->module;
      if (d->imports[number].kind == LUCET_EXTERN_GLOBAL) {
        p->global = (uint8_t *)i->imported_values[d->imports[number].index];
        memcpy(p->global, given->value, 16);
      }
      return LUCET_OK;
    case LUCET_IMPORT_EXPORT: break;
    default: return wrong(d, number, "unknown kind of import given", error);
  }
  const struct metadata *from = &given->instance->module->meta;
  if (given->index >= from->export_count) return wrong(d, number, "unknown import: no such export", error);
  const struct lucet_export_record *e = &from->exports[given->index];
  p->kind = e->kind;
  switch (e->kind) {
    case LUCET_EXTERN_FUNC: provide_function(p, lucet_instance_funcref(given->instance, e->index)); break;
    case LUCET_EXTERN_TABLE:
      p->table = given->instance->tables[e->index];
      /* Its owner can't tell any more who writes it. */
      p->table->instance->tables_touched = true;
      break;
    case LUCET_EXTERN_MEMORY: p->memory = given->instance->memories[e->index]; break;
    case LUCET_EXTERN_TAG: p->tag = given->instance->tags[e->index]; break;
    default:
      p->global = given->instance->globals[e->index];
      p->global_type = from->globals[e->index].type;
      p->global_code = from->globals[e->index].code;
      p->global_owner = given->instance->module;
      p->global_mutable = from->globals[e->index].mutable != 0;
  }
  return LUCET_OK;
}

/** [actual_min, actual_max] within what is declared? */
static bool limits_match(uint64_t actual_min, uint64_t actual_max, uint64_t min, uint64_t max) {
  return actual_min >= min && (max == NO_MAX || actual_max <= max);
}

/** A function of the embedder's. */
static void bind_host(struct lucet_instance *i, uint32_t index, const lucet_import *given) {
  const struct metadata *d = &i->module->meta;
  struct binding *data = &i->bindings[index];
  *data = (struct binding){.refs = i->module->type_refs[d->functions[index].type]};
  if (given->kind == LUCET_IMPORT_NATIVE) {
    data->function = given->function;
    data->data = given->data;
  } else {
    data->id = given->id;
  }
  const uint8_t *code = i->module->text + d->functions[d->header->functions + index].code;
  uint8_t *entry = i->base - d->header->vmctx_imports + (size_t)index * LUCET_IMPORT_ENTRY_SIZE;
  memcpy(entry + LUCET_IMPORT_ENTRY_CODE, &code, 8);
  memcpy(entry + LUCET_IMPORT_ENTRY_VMCTX, &i->base, 8);
  memcpy(entry + LUCET_IMPORT_ENTRY_DATA, &data, 8);
}

/** The usual case, on a fast path. False: not this case, or an error, which the general path finds. */
static bool bind_fast(struct lucet_instance *i, uint32_t number, const lucet_import *given) {
  const struct metadata *d = &i->module->meta;
  const struct lucet_import_record *r = &d->imports[number];
  if (r->kind != LUCET_EXTERN_FUNC || (given->kind != LUCET_IMPORT_HOSTCALL && (given->kind != LUCET_IMPORT_NATIVE || given->function == NULL)))
    return false;
  const struct lucet_type_record *t = &d->types[d->functions[r->index].type];
  if (given->signature != NULL && !signature_is(given->signature, d->type_bytes + t->bytes, t->params, t->results)) return false;
  bind_host(i, r->index, given);
  return true;
}

static lucet_status bind_function(struct lucet_instance *i, uint32_t number, const lucet_import *given, const struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  uint32_t index = d->imports[number].index;
  const struct lucet_type_record *t = &d->types[d->functions[index].type];
  const uint8_t *types = d->type_bytes + t->bytes;
  bool wrong_id = p->funcref != NULL && !lucet_signature_matches(p->funcref->sig_id, i->module->sig_ids[d->functions[index].type]);
  if (wrong_id || (p->types != NULL && (p->params != t->params || p->results != t->results || memcmp(p->types, types, (size_t)p->params + p->results) != 0)))
    return mismatch(d, number, function_text(p->types, p->params, p->results), function_text(types, t->params, t->results), error);
  if (p->funcref == NULL) {
    if (given->kind == LUCET_IMPORT_NATIVE && given->function == NULL) return wrong(d, number, "unknown import: no function given", error);
    bind_host(i, index, given);
    return LUCET_OK;
  }
  const uint8_t *code = p->funcref->code;
  uint8_t *vmctx = p->funcref->vmctx;
  /* An imported function passed on: go to where its instance's own calls go, not through its wrapper. */
  const struct metadata *from = &instance_of(vmctx)->module->meta;
  if (p->funcref->func_index < from->header->imported_functions) {
    const uint8_t *theirs = vmctx - from->header->vmctx_imports + (size_t)p->funcref->func_index * LUCET_IMPORT_ENTRY_SIZE;
    memcpy(&code, theirs + LUCET_IMPORT_ENTRY_CODE, 8);
    memcpy(&vmctx, theirs + LUCET_IMPORT_ENTRY_VMCTX, 8);
  }
  uint8_t *entry = i->base - d->header->vmctx_imports + (size_t)index * LUCET_IMPORT_ENTRY_SIZE;
  i->bindings[index] = (struct binding){.id = 0};
  memcpy(entry + LUCET_IMPORT_ENTRY_CODE, &code, 8);
  memcpy(entry + LUCET_IMPORT_ENTRY_VMCTX, &vmctx, 8);
  memset(entry + LUCET_IMPORT_ENTRY_DATA, 0, 8);
  return LUCET_OK;
}

/* The vmctx's entries of imported entities. */

static void enter_table(struct lucet_instance *i, uint32_t index) {
  memcpy(i->base - i->module->meta.header->vmctx_tables + (size_t)index * LUCET_TABLE_DESC_SIZE, &i->tables[index]->desc, 8);
}

static void enter_memory(struct lucet_instance *i, uint32_t index) {
  const struct memory *m = i->memories[index];
  uint8_t *entry = i->base - i->module->meta.header->vmctx_memories + (size_t)index * LUCET_MEMORY_ENTRY_SIZE;
  memcpy(entry + LUCET_MEMORY_ENTRY_BASE, &m->base, 8);
  memcpy(entry + LUCET_MEMORY_ENTRY_LENGTH_PTR, &m->length, 8);
}

static void enter_global(struct lucet_instance *i, uint32_t index) {
  memcpy(i->base - i->module->meta.header->vmctx_globals + (size_t)index * LUCET_GLOBAL_ENTRY_SIZE, &i->globals[index], 8);
}

void lucet_link_again(struct lucet_instance *i) {
  const struct lucet_artifact_header *h = i->module->meta.header;
  for (uint32_t k = 0; k < h->imported_memories; k++) enter_memory(i, k);
  for (uint32_t k = 0; k < h->imported_tables; k++) enter_table(i, k);
  for (uint32_t k = 0; k < h->imported_globals; k++) enter_global(i, k);
}

static lucet_status bind_table(struct lucet_instance *i, uint32_t number, const struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  uint32_t index = d->imports[number].index;
  const struct lucet_table_record *r = &d->tables[index];
  const struct table *t = p->table;
  bool same = lucet_valtype_matches(t->owner, t->code, i->module, r->code) && lucet_valtype_matches(i->module, r->code, t->owner, t->code);
  if (!same || t->flags != r->flags || !limits_match(t->desc->length, t->declared_max, r->min, r->max))
    return mismatch(d, number, table_text(t->element, t->desc->length, t->declared_max, t->flags),
                    table_text(r->element, r->min, r->max, r->flags), error);
  i->tables[index] = p->table;
  enter_table(i, index);
  return LUCET_OK;
}

static lucet_status bind_memory(struct lucet_instance *i, uint32_t number, const struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  uint32_t index = d->imports[number].index;
  const struct lucet_memory_record *r = &d->memories[index];
  const struct memory *m = p->memory;
  uint64_t pages = *m->length >> m->page_log2;
  if (m->flags != r->flags || m->page_log2 != r->page_size_log2 || !limits_match(pages, m->declared_max, r->min, r->max))
    return mismatch(d, number, memory_text(pages, m->declared_max, m->flags, m->page_log2),
                    memory_text(r->min, r->max, r->flags, r->page_size_log2), error);
  /* Unchecked accesses of this module must not leave the other one's reservation. */
  if (d->header->memory_mode != LUCET_MEMORY_DENSE && m->reserved < d->header->reserved_size)
    return wrong(d, number, "the imported memory's region reserves too little address space", error);
  i->memories[index] = p->memory;
  enter_memory(i, index);
  return LUCET_OK;
}

static lucet_status bind_global(struct lucet_instance *i, uint32_t number, const struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  uint32_t index = d->imports[number].index;
  const struct lucet_global_record *r = &d->globals[index];
  bool fits = lucet_valtype_matches(p->global_owner, p->global_code, i->module, r->code);
  /* What may be written by both must be of one type. */
  if (fits && r->mutable != 0) fits = lucet_valtype_matches(i->module, r->code, p->global_owner, p->global_code);
  if (!fits || p->global_mutable != (r->mutable != 0))
    return mismatch(d, number, global_text(p->global_type, p->global_mutable), global_text(r->type, r->mutable != 0), error);
  i->globals[index] = p->global;
  enter_global(i, index);
  return LUCET_OK;
}

static struct text tag_text(const uint8_t *types, uint32_t params) {
  struct text t = {.n = 0};
  add(&t, "tag ");
  add_types(&t, types, params);
  return t;
}

static lucet_status bind_tag(struct lucet_instance *i, uint32_t number, const struct provided *p, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  uint32_t index = d->imports[number].index, type = d->tags[index].type;
  const struct lucet_type_record *t = &d->types[type];
  if (p->tag->sig_id != i->module->sig_ids[type])
    return mismatch(d, number, tag_text(p->tag->types, p->tag->params), tag_text(d->type_bytes + t->bytes, t->params), error);
  i->tags[index] = p->tag;
  lucet_tag_retain(p->tag);
  return LUCET_OK;
}

static lucet_status bind(struct lucet_instance *i, uint32_t number, const lucet_import *given, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  struct provided p;
  lucet_status status = resolve(i, number, given, &p, error);
  if (status != LUCET_OK) return status;
  if (p.kind != d->imports[number].kind) return mismatch(d, number, kind_text(p.kind), kind_text(d->imports[number].kind), error);
  switch (p.kind) {
    case LUCET_EXTERN_FUNC: return bind_function(i, number, given, &p, error);
    case LUCET_EXTERN_TABLE: return bind_table(i, number, &p, error);
    case LUCET_EXTERN_MEMORY: return bind_memory(i, number, &p, error);
    case LUCET_EXTERN_TAG: return bind_tag(i, number, &p, error);
    default: return bind_global(i, number, &p, error);
  }
}

/** Tie the lifetimes (group.c). */
static lucet_status tie(struct lucet_instance *i, uint32_t number, const lucet_import *given) {
  const struct metadata *d = &i->module->meta;
  const struct lucet_import_record *r = &d->imports[number];
  struct lucet_instance *other;
  if (given->kind == LUCET_IMPORT_EXPORT) {
    other = given->instance;
    const struct lucet_export_record *e = &other->module->meta.exports[given->index];
    if (e->kind == LUCET_EXTERN_FUNC) other = instance_of(lucet_instance_funcref(other, e->index)->vmctx);
  } else if (given->kind == LUCET_IMPORT_FUNCREF) {
    other = instance_of(given->funcref->vmctx);
  } else if (given->kind == LUCET_IMPORT_VALUE && given->index == LUCET_FUNCREF && given->value[0] != 0) {
    other = instance_of(funcref_of(given->value[0])->vmctx);
  } else {
    return LUCET_OK;
  }
  bool flows_back = false;
  switch (r->kind) {
    /* Exceptions come by any call. */
    case LUCET_EXTERN_FUNC: flows_back = other->group->throws || (i->module->type_refs[d->functions[r->index].type] & TYPE_FUNCREF_PARAM) != 0; break;
    case LUCET_EXTERN_TABLE: flows_back = d->tables[r->index].element != LUCET_EXTERNREF; break;
    case LUCET_EXTERN_GLOBAL:
      flows_back = (d->globals[r->index].mutable != 0 && (d->globals[r->index].type == LUCET_FUNCREF || d->globals[r->index].type == LUCET_ANYREF)) ||
                   d->globals[r->index].type == LUCET_EXNREF;
      break;
    case LUCET_EXTERN_TAG: flows_back = true; break;
    default: break;
  }
  if (!flows_back) return lucet_group_hold(i, other);
  return lucet_group_unite(i, other) ? LUCET_OK : LUCET_ERROR_LINK;
}

lucet_status lucet_link(struct lucet_instance *i, const lucet_import *imports, uint32_t count, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  bool host_only = true;
  for (uint32_t k = 0; k < d->import_count; k++) {
    static const lucet_import missing = {.kind = LUCET_IMPORT_MISSING};
    if (k < count && bind_fast(i, k, &imports[k])) continue;
    host_only = false;
    lucet_status status = bind(i, k, k < count ? &imports[k] : &missing, error);
    if (status != LUCET_OK) return status;
  }
  lucet_status status;
  for (uint32_t k = 0; !host_only && k < d->import_count; k++)
    if ((status = tie(i, k, &imports[k])) == LUCET_ERROR_LINK)
      return wrong(d, k, "an instance in a dense region can't be linked with code that was not compiled with --memory dense", error);
    else if (status != LUCET_OK)
      return lucet_fail(error, status, 0, "out of memory");
  return LUCET_OK;
}
