/**
 * The metadata of an artifact: found and checked once, when it is loaded.
 *
 * Sandbox argument. An artifact's code is trusted as far as its producer is (a checksum is no signature), but its
 * metadata steers C code: every offset, count and index is compared here with what it indexes, in 64-bit arithmetic on
 * 32-bit values, so that sums can't wrap; the bytes are the loader's private copy, so they can't change afterwards. The
 * rest of the runtime indexes with them unchecked.
 */
#include <string.h>

#include "internal.h"

struct checker {
  struct metadata *m;
  uint64_t file_offset;
  lucet_error *error;
  /** Part being checked. */
  const char *part;
  uint64_t part_offset;
  /** End of the last expression in ConstCode that was checked: they come in order and share no bytes. */
  uint64_t const_end;
};

/** A fault at record `index` of `size` bytes of the current part. */
static lucet_status bad(const struct checker *c, uint64_t index, size_t size, const char *what) {
  return lucet_fail(c->error, LUCET_ERROR_FORMAT, c->file_offset + c->part_offset + index * size, "damaged artifact: %s, record %llu: %s",
                    c->part, (unsigned long long)index, what);
}

#define CHECK(condition, what) \
  do { \
    if (!(condition)) return bad(c, i, sizeof *r, what); \
  } while (0)

struct part_info {
  const char *name;
  /** 0: bytes */
  size_t record;
};

static const struct part_info PARTS[] = {
    {"Types", sizeof(struct lucet_type_record)},
    {"TypeBytes", 0},
    {"Functions", sizeof(struct lucet_function_record)},
    {"PcMap", 0},
    {"Imports", sizeof(struct lucet_import_record)},
    {"Exports", sizeof(struct lucet_export_record)},
    {"Memories", sizeof(struct lucet_memory_record)},
    {"Tables", sizeof(struct lucet_table_record)},
    {"Globals", sizeof(struct lucet_global_record)},
    {"Elems", sizeof(struct lucet_elem_record)},
    {"ElemItems", sizeof(struct lucet_elem_item)},
    {"Data", sizeof(struct lucet_data_record)},
    {"DataBytes", 0},
    {"Escaping", sizeof(struct lucet_escaping_record)},
    {"Strings", 0},
    {"Options", 0},
    {"ConstCode", 0},
    {"Tags", sizeof(struct lucet_tag_record)},
    {"Landings", sizeof(struct lucet_landing_record)},
    {"TryScopes", sizeof(struct lucet_try_scope_record)},
    {"CatchClauses", sizeof(struct lucet_catch_clause_record)},
    {"DebugFunctions", sizeof(struct lucet_debug_function_record)},
    {"DebugLocals", sizeof(struct lucet_debug_local_record)},
    {"SequencePoints", sizeof(struct lucet_sequence_point_record)},
    {"OperandTypes", 0},
};
_Static_assert(sizeof PARTS / sizeof PARTS[0] == LUCET_PART_COUNT, "a part has no description");

static const struct lucet_directory_entry *directory(const struct metadata *m) {
  return (const struct lucet_directory_entry *)(const void *)(m->bytes + sizeof(struct lucet_artifact_header));
}

static void enter_part(struct checker *c, uint32_t kind) {
  c->part = PARTS[kind - 1].name;
  c->part_offset = directory(c->m)[kind - 1].offset;
}

static lucet_status check_directory(struct checker *c) {
  struct metadata *m = c->m;
  const struct lucet_artifact_header *h = m->header;
  const struct lucet_directory_entry *d = directory(m);
  c->part = "directory";
  c->part_offset = sizeof *h;
  if (h->parts != LUCET_PART_COUNT) return bad(c, 0, 0, "wrong number of parts");
  if (m->size < sizeof *h + LUCET_PART_COUNT * sizeof *d) return bad(c, 0, 0, "cut off");
  const void *at[LUCET_PART_COUNT];
  for (uint32_t i = 0; i < LUCET_PART_COUNT; i++) {
    const struct lucet_directory_entry *r = &d[i];
    CHECK(r->kind == i + 1, "wrong kind of part");
    CHECK(r->offset % 16 == 0, "unaligned part");
    CHECK((uint64_t)r->offset + r->size <= m->size, "part exceeds the section");
    CHECK((uint64_t)r->count * PARTS[i].record == (PARTS[i].record != 0 ? r->size : 0), "size and count disagree");
    at[i] = m->bytes + r->offset;
  }
#define PART(kind) at[(kind) - 1]
  m->types = PART(LUCET_PART_TYPES);
  m->type_bytes = PART(LUCET_PART_TYPE_BYTES);
  m->functions = PART(LUCET_PART_FUNCTIONS);
  m->pc_map = PART(LUCET_PART_PC_MAP);
  m->imports = PART(LUCET_PART_IMPORTS);
  m->exports = PART(LUCET_PART_EXPORTS);
  m->memories = PART(LUCET_PART_MEMORIES);
  m->tables = PART(LUCET_PART_TABLES);
  m->globals = PART(LUCET_PART_GLOBALS);
  m->elems = PART(LUCET_PART_ELEMS);
  m->elem_items = PART(LUCET_PART_ELEM_ITEMS);
  m->data = PART(LUCET_PART_DATA);
  m->data_bytes = PART(LUCET_PART_DATA_BYTES);
  m->escaping = PART(LUCET_PART_ESCAPING);
  m->strings = PART(LUCET_PART_STRINGS);
  m->options = PART(LUCET_PART_OPTIONS);
  m->options_size = d[LUCET_PART_OPTIONS - 1].size;
  m->const_code = PART(LUCET_PART_CONST_CODE);
  m->tags = PART(LUCET_PART_TAGS);
  m->landings = PART(LUCET_PART_LANDINGS);
  m->try_scopes = PART(LUCET_PART_TRY_SCOPES);
  m->catch_clauses = PART(LUCET_PART_CATCH_CLAUSES);
  m->debug_functions = PART(LUCET_PART_DEBUG_FUNCTIONS);
  m->debug_locals = PART(LUCET_PART_DEBUG_LOCALS);
  m->sequence_points = PART(LUCET_PART_SEQUENCE_POINTS);
  m->operand_types = PART(LUCET_PART_OPERAND_TYPES);
#undef PART
  m->type_count = d[LUCET_PART_TYPES - 1].count;
  m->type_bytes_size = d[LUCET_PART_TYPE_BYTES - 1].size;
  m->function_count = d[LUCET_PART_FUNCTIONS - 1].count;
  m->pc_map_size = d[LUCET_PART_PC_MAP - 1].size;
  m->import_count = d[LUCET_PART_IMPORTS - 1].count;
  m->export_count = d[LUCET_PART_EXPORTS - 1].count;
  m->memory_count = d[LUCET_PART_MEMORIES - 1].count;
  m->table_count = d[LUCET_PART_TABLES - 1].count;
  m->global_count = d[LUCET_PART_GLOBALS - 1].count;
  m->elem_count = d[LUCET_PART_ELEMS - 1].count;
  m->elem_item_count = d[LUCET_PART_ELEM_ITEMS - 1].count;
  m->data_count = d[LUCET_PART_DATA - 1].count;
  m->data_bytes_size = d[LUCET_PART_DATA_BYTES - 1].size;
  m->escaping_count = d[LUCET_PART_ESCAPING - 1].count;
  m->strings_size = d[LUCET_PART_STRINGS - 1].size;
  m->const_code_size = d[LUCET_PART_CONST_CODE - 1].size;
  m->tag_count = d[LUCET_PART_TAGS - 1].count;
  m->landing_count = d[LUCET_PART_LANDINGS - 1].count;
  m->try_scope_count = d[LUCET_PART_TRY_SCOPES - 1].count;
  m->catch_clause_count = d[LUCET_PART_CATCH_CLAUSES - 1].count;
  m->debug_function_count = d[LUCET_PART_DEBUG_FUNCTIONS - 1].count;
  m->debug_local_count = d[LUCET_PART_DEBUG_LOCALS - 1].count;
  m->sequence_point_count = d[LUCET_PART_SEQUENCE_POINTS - 1].count;
  m->operand_types_size = d[LUCET_PART_OPERAND_TYPES - 1].size;
  return LUCET_OK;
}

static bool string_ok(const struct metadata *m, uint32_t offset) {
  if ((uint64_t)offset + 4 > m->strings_size) return false;
  uint32_t n;
  memcpy(&n, m->strings + offset, 4);
  return (uint64_t)offset + 4 + n <= m->strings_size;
}

static bool reftype_ok(uint32_t t) { return t == LUCET_FUNCREF || t == LUCET_EXTERNREF || t == LUCET_EXNREF || t == LUCET_ANYREF; }
static bool valtype_ok(uint32_t t) { return (t >= LUCET_I32 && t <= LUCET_V128) || reftype_ok(t); }
/** An exact type with the given erasure, that names one of the first `types` types at most. */
static bool code_ok(const struct metadata *m, uint32_t code, uint32_t erasure, uint32_t types) {
  if (valtype_index(code) >= (valtype_base(code) == LUCET_VAL_TYPE_CONCRETE ? types : 1)) return false;
  return lucet_valtype_erased(m, code) == erasure;
}

static bool field_ok(const struct metadata *m, uint32_t code, uint32_t erasure, uint32_t types) {
  code &= ~(uint32_t)LUCET_FIELD_MUTABLE;
  if (code == LUCET_VAL_TYPE_I8 || code == LUCET_VAL_TYPE_I16) return erasure == LUCET_I32;
  return code_ok(m, code, erasure, types);
}

/** What a type says of its group and its supertype. */
static bool relations_ok(const struct metadata *m, uint32_t i) {
  const struct lucet_type_record *r = &m->types[i];
  if (r->group > i || m->types[r->group].group != r->group || r->group_size != m->types[r->group].group_size) return false;
  if (r->group_size > m->type_count - r->group || i - r->group >= r->group_size) return false;
  if (i > r->group ? m->types[i - 1].group != r->group : i > 0 && m->types[i - 1].group + m->types[i - 1].group_size != i) return false;
  if (r->kind > LUCET_TYPE_KIND_ARRAY || r->final > 1 || (r->kind != LUCET_TYPE_KIND_FUNC && (r->codes == NONE || r->results != 0))) return false;
  return r->supertype == NONE || (r->supertype < i && m->types[r->supertype].kind == r->kind && m->types[r->supertype].final == 0);
}

/** Largest number of pages that a memory of that kind can be declared with. */
static bool memory_ok(uint64_t min, uint64_t max, uint32_t flags, uint32_t page_log2) {
  if ((flags & ~3u) != 0 || (page_log2 != 0 && page_log2 != WASM_PAGE_LOG2)) return false;
  unsigned index_bits = (flags & 1) != 0 ? 64 : 32;
  uint64_t most = index_bits - page_log2 == 64 ? UINT64_MAX : (uint64_t)1 << (index_bits - page_log2);
  return min <= most && (max == NO_MAX || (min <= max && max <= most));
}

static lucet_status check_counts(struct checker *c) {
  const struct metadata *m = c->m;
  const struct lucet_artifact_header *h = m->header;
  c->part = "header";
  c->part_offset = 0;
  if (h->functions < h->imported_functions || (uint64_t)h->functions + h->imported_functions > m->function_count)
    return bad(c, 0, 0, "wrong number of functions");
  if (h->imported_memories > m->memory_count || h->imported_tables > m->table_count || h->imported_globals > m->global_count)
    return bad(c, 0, 0, "more imports than entities");
  return LUCET_OK;
}

static lucet_status check_header(struct checker *c) {
  const struct metadata *m = c->m;
  const struct lucet_artifact_header *h = m->header;
  c->part = "header";
  c->part_offset = 0;
  if (h->memory_mode >= LUCET_MEMORY_MODE_COUNT) return lucet_fail(c->error, LUCET_ERROR_FORMAT, c->file_offset, "unknown memory mode %u", h->memory_mode);
  if ((h->flags & ~(uint64_t)LUCET_MODULE_FLAG_NO_FLOATS) != 0) return lucet_fail(c->error, LUCET_ERROR_FORMAT, c->file_offset, "unknown flags %#llx", (unsigned long long)h->flags);
  if (h->vmctx_memories != LUCET_VMCTX_HEADER_SIZE + (uint64_t)m->memory_count * LUCET_MEMORY_ENTRY_SIZE ||
      h->vmctx_tables != h->vmctx_memories + (uint64_t)m->table_count * LUCET_TABLE_DESC_SIZE ||
      h->vmctx_globals != h->vmctx_tables + (uint64_t)m->global_count * LUCET_GLOBAL_ENTRY_SIZE ||
      h->vmctx_imports != round_up(h->vmctx_globals + (uint64_t)h->imported_functions * LUCET_IMPORT_ENTRY_SIZE, 16) ||
      h->vmctx_size != h->vmctx_imports)
    return bad(c, 0, 0, "vmctx layout doesn't fit the counts");
  if (h->start_function != NONE) {
    if (lucet_metadata_escape(m, h->start_function) == NONE) return bad(c, 0, 0, "bad start function");
    const struct lucet_type_record *t = &m->types[m->functions[h->start_function].type];
    if (t->params != 0 || t->results != 0) return bad(c, 0, 0, "start function has parameters or results");
  }
  if (!string_ok(m, h->name)) return bad(c, 0, 0, "bad module name");
  return LUCET_OK;
}

static lucet_status check_types(struct checker *c) {
  const struct metadata *m = c->m;
  /* Records of types, and of segments below, share no bytes: so the checks take no longer than the file is long. */
  uint64_t end = 0;
  enter_part(c, LUCET_PART_TYPES);
  for (uint32_t i = 0; i < m->type_count; i++) {
    const struct lucet_type_record *r = &m->types[i];
    uint32_t n = (uint32_t)r->params + r->results;
    CHECK(relations_ok(m, i), "bad group or supertype");
    CHECK(r->bytes >= end, "type bytes out of order");
    end = (uint64_t)r->bytes + n;
    CHECK(end <= m->type_bytes_size, "bad type bytes");
    for (uint32_t k = 0; k < n; k++) CHECK(valtype_ok(m->type_bytes[r->bytes + k]), "bad value type");
    if (r->codes != NONE) {
      CHECK(r->codes == end && end + 4 * (uint64_t)n <= m->type_bytes_size, "bad exact types");
      for (uint32_t k = 0; k < n; k++) {
        uint32_t code;
        memcpy(&code, m->type_bytes + end + 4 * (uint64_t)k, 4);
        CHECK((r->kind == LUCET_TYPE_KIND_FUNC ? code_ok : field_ok)(m, code, m->type_bytes[r->bytes + k], r->group + r->group_size), "bad exact type");
      }
      end += 4 * (uint64_t)n;
    }
    CHECK(r->canonical <= i, "bad canonical type");
    const struct lucet_type_record *t = &m->types[r->canonical];
    CHECK(t->kind == r->kind && t->params == r->params && t->results == r->results && memcmp(m->type_bytes + t->bytes, m->type_bytes + r->bytes, n) == 0,
          "canonical type is another type");
    CHECK(r->entry_thunk == NONE || (r->entry_thunk >= m->header->functions + m->header->imported_functions &&
                                     r->entry_thunk < m->function_count && m->functions[r->entry_thunk].length != 0),
          "bad entry thunk");
  }
  return LUCET_OK;
}

/** rbx rbp r12–r15 */
#define SAVED_REGISTERS 0xf028u

static lucet_status check_functions(struct checker *c) {
  const struct metadata *m = c->m;
  const struct lucet_artifact_header *h = m->header;
  uint64_t end = 0;
  enter_part(c, LUCET_PART_FUNCTIONS);
  for (uint32_t i = 0; i < m->function_count; i++) {
    const struct lucet_function_record *r = &m->functions[i];
    CHECK(r->type < m->type_count && m->types[r->type].kind == LUCET_TYPE_KIND_FUNC, "bad type");
    CHECK(string_ok(m, r->name), "bad name");
    CHECK((uint64_t)r->pc_map + r->pc_map_length <= m->pc_map_size, "bad pc map");
    if (r->length == 0) {
      CHECK(i < h->imported_functions, "function without code");
      continue;
    }
    CHECK(r->code % 16 == 0 && r->code >= end, "code out of order");
    end = (uint64_t)r->code + r->length;
    CHECK(end <= h->text_size, "code outside of .text");
    CHECK(r->frame_size % 8 == 0 && r->frame_size <= INT32_MAX, "bad frame size");
    CHECK(r->popped % 16 == 0 && r->popped <= UINT16_MAX, "bad stack arguments");
    CHECK((r->saved & ~SAVED_REGISTERS) == 0 && 8 * (uint32_t)__builtin_popcount(r->saved) <= r->frame_size, "bad saved registers");
  }
  return LUCET_OK;
}

enum { KINDS = LUCET_EXTERN_TAG + 1 };

static lucet_status check_imports(struct checker *c) {
  const struct metadata *m = c->m;
  const struct lucet_artifact_header *h = m->header;
  uint32_t seen[KINDS] = {0};
  /* The number of imported tags is that of their imports. */
  const uint32_t most[KINDS] = {h->imported_functions, h->imported_tables, h->imported_memories, h->imported_globals, m->tag_count};
  enter_part(c, LUCET_PART_IMPORTS);
  for (uint32_t i = 0; i < m->import_count; i++) {
    const struct lucet_import_record *r = &m->imports[i];
    CHECK(string_ok(m, r->module) && string_ok(m, r->name) && string_ok(m, r->symbol), "bad name");
    CHECK(r->kind < KINDS, "bad kind");
    CHECK(seen[r->kind] < most[r->kind] && r->index == seen[r->kind]++, "bad index");
    /* Types of the other kinds are in the entities' own records, which come first in their index spaces. */
    if (r->kind == LUCET_EXTERN_FUNC) CHECK(r->type == m->functions[r->index].type, "bad type");
    if (r->kind == LUCET_EXTERN_TAG) CHECK(r->type == m->tags[r->index].type, "bad type");
  }
  c->m->imported_tags = seen[LUCET_EXTERN_TAG];
  for (uint32_t k = 0; k < LUCET_EXTERN_TAG; k++)
    if (seen[k] != most[k]) return bad(c, m->import_count, sizeof(struct lucet_import_record), "imports are missing");
  return LUCET_OK;
}

static bool is_image(const struct metadata *m, uint32_t table) { return (m->tables[table].flags & LUCET_TABLE_FLAG_IMAGE) != 0; }

/** An element of a table's image: no reference is ever made of it. */
static bool image_item_ok(const struct metadata *m, uint32_t kind, uint32_t index) {
  return kind == LUCET_CONST_KIND_REF_NULL || (kind == LUCET_CONST_KIND_REF_FUNC && index < m->header->functions);
}

static lucet_status check_exports(struct checker *c) {
  const struct metadata *m = c->m;
  enter_part(c, LUCET_PART_EXPORTS);
  for (uint32_t i = 0; i < m->export_count; i++) {
    const struct lucet_export_record *r = &m->exports[i];
    CHECK(string_ok(m, r->name), "bad name");
    switch (r->kind) {
      case LUCET_EXTERN_FUNC: CHECK(lucet_metadata_escape(m, r->index) != NONE, "bad function"); break;
      case LUCET_EXTERN_TABLE: CHECK(r->index < m->table_count && !is_image(m, r->index), "bad table"); break;
      case LUCET_EXTERN_MEMORY: CHECK(r->index < m->memory_count, "bad memory"); break;
      case LUCET_EXTERN_GLOBAL: CHECK(r->index < m->global_count, "bad global"); break;
      case LUCET_EXTERN_TAG: CHECK(r->index < m->tag_count, "bad tag"); break;
      default: CHECK(false, "bad kind");
    }
  }
  return LUCET_OK;
}

static lucet_status check_escaping(struct checker *c) {
  const struct metadata *m = c->m;
  enter_part(c, LUCET_PART_ESCAPING);
  for (uint32_t i = 0; i < m->escaping_count; i++) {
    const struct lucet_escaping_record *r = &m->escaping[i];
    CHECK(r->function < m->header->functions && (i == 0 || r->function > r[-1].function), "not ascending");
    CHECK(m->functions[r->function].length != 0, "no code");
    CHECK(m->types[m->functions[r->function].type].entry_thunk != NONE ||
              m->types[m->types[m->functions[r->function].type].canonical].entry_thunk != NONE,
          "no entry thunk");
  }
  return LUCET_OK;
}

/**
 * An expression in ConstCode that yields `type` and reads only the first `globals` globals, and no mutable one.
 * Afterwards evaluate (segments.c) may run it: it ends inside of the part, and its stack stays within CONST_DEPTH.
 */
static bool const_code_ok(struct checker *c, uint32_t at, uint32_t type, uint32_t globals) {
  const struct metadata *m = c->m;
  uint8_t stack[LUCET_CONST_DEPTH];
  uint32_t depth = 0;
  uint64_t p = at;
  if (p < c->const_end) return false;
  for (;;) {
    if (p >= m->const_code_size) return false;
    uint32_t op = m->const_code[p++], result = LUCET_I64;
    switch (op) {
      case LUCET_CONST_CODE_END: c->const_end = p; return depth == 1 && stack[0] == type;
      case LUCET_CONST_CODE_I32CONST:
        result = LUCET_I32;
        p += 4;
        break;
      case LUCET_CONST_CODE_I64CONST: p += 8; break;
      case LUCET_CONST_CODE_GLOBAL_GET: {
        if (m->const_code_size - p < 4) return false;
        uint32_t global;
        memcpy(&global, m->const_code + p, 4);
        if (global >= globals || m->globals[global].mutable != 0) return false;
        result = m->globals[global].type;
        p += 4;
        break;
      }
      case LUCET_CONST_CODE_I32ADD:
      case LUCET_CONST_CODE_I32SUB:
      case LUCET_CONST_CODE_I32MUL: result = LUCET_I32; /* fall through */
      case LUCET_CONST_CODE_I64ADD:
      case LUCET_CONST_CODE_I64SUB:
      case LUCET_CONST_CODE_I64MUL:
        if (depth < 2 || stack[depth - 1] != result || stack[depth - 2] != result) return false;
        depth -= 2;
        break;
      case LUCET_CONST_CODE_ARRAY_NEW_DEFAULT: {
        if (m->const_code_size - p < 4 || depth == 0 || stack[depth - 1] != LUCET_I32) return false;
        uint32_t array;
        memcpy(&array, m->const_code + p, 4);
        if (array >= m->type_count || m->types[array].kind != LUCET_TYPE_KIND_ARRAY || m->types[array].params != 1) return false;
        result = LUCET_ANYREF;
        depth--;
        p += 4;
        break;
      }
      default: return false;
    }
    if (p > m->const_code_size || depth == LUCET_CONST_DEPTH) return false;
    stack[depth++] = (uint8_t)result;
  }
}

/** A reference-valued constant of the given type. `globals`: how many globals it may use. */
static bool reference_ok(struct checker *c, uint32_t kind, uint32_t index, uint32_t type, uint32_t globals) {
  const struct metadata *m = c->m;
  switch (kind) {
    case LUCET_CONST_KIND_REF_NULL: return true;
    case LUCET_CONST_KIND_REF_FUNC: return type == LUCET_FUNCREF && lucet_metadata_escape(m, index) != NONE;
    case LUCET_CONST_KIND_GLOBAL_GET: return index < globals && m->globals[index].type == type;
    case LUCET_CONST_KIND_CODE: return const_code_ok(c, index, type, globals);
    default: return false;
  }
}

static bool offset_ok(struct checker *c, uint32_t kind, uint32_t index, bool index64) {
  const struct metadata *m = c->m;
  uint32_t type = index64 ? LUCET_I64 : LUCET_I32;
  return kind == LUCET_CONST_KIND_BITS ||
         (kind == LUCET_CONST_KIND_GLOBAL_GET && index < m->global_count && m->globals[index].type == type) ||
         (kind == LUCET_CONST_KIND_CODE && const_code_ok(c, index, type, m->global_count));
}

static lucet_status check_entities(struct checker *c) {
  const struct metadata *m = c->m;
  enter_part(c, LUCET_PART_MEMORIES);
  for (uint32_t i = 0; i < m->memory_count; i++) {
    const struct lucet_memory_record *r = &m->memories[i];
    CHECK(memory_ok(r->min, r->max, r->flags, r->page_size_log2), "bad type");
  }
  enter_part(c, LUCET_PART_TABLES);
  for (uint32_t i = 0; i < m->table_count; i++) {
    const struct lucet_table_record *r = &m->tables[i];
    CHECK(reftype_ok(r->element) && r->flags <= (LUCET_TABLE_FLAG_INDEX64 | LUCET_TABLE_FLAG_IMAGE | LUCET_TABLE_FLAG_WRITTEN) && r->min <= r->max, "bad type");
    CHECK(code_ok(m, r->code, r->element, m->type_count), "bad exact type");
    if (is_image(m, i))
      CHECK(i >= m->header->imported_tables && r->element == LUCET_FUNCREF && image_item_ok(m, r->init, r->index), "bad image");
    else
      CHECK(reference_ok(c, r->init, r->index, r->element, m->header->imported_globals), "bad initial value");
  }
  enter_part(c, LUCET_PART_GLOBALS);
  for (uint32_t i = 0; i < m->global_count; i++) {
    const struct lucet_global_record *r = &m->globals[i];
    CHECK(valtype_ok(r->type) && r->mutable <= 1, "bad type");
    CHECK(code_ok(m, r->code, r->type, m->type_count), "bad exact type");
    if (i < m->header->imported_globals) continue;
    if (reftype_ok(r->type))
      CHECK(reference_ok(c, r->init, r->index, r->type, i), "bad initial value");
    else
      CHECK(r->init == LUCET_CONST_KIND_BITS ||
                (r->init == LUCET_CONST_KIND_GLOBAL_GET && r->index < i && m->globals[r->index].type == r->type) ||
                (r->init == LUCET_CONST_KIND_CODE && (r->type == LUCET_I32 || r->type == LUCET_I64) && const_code_ok(c, r->index, r->type, i)),
            "bad initial value");
  }
  return LUCET_OK;
}

static lucet_status check_segments(struct checker *c) {
  const struct metadata *m = c->m;
  uint64_t items_end = 0, bytes_end = 0;
  uint32_t values = 0;
  enter_part(c, LUCET_PART_ELEMS);
  for (uint32_t i = 0; i < m->elem_count; i++) {
    const struct lucet_elem_record *r = &m->elems[i];
    CHECK(r->mode <= LUCET_SEGMENT_MODE_DECLARATIVE && reftype_ok(r->type), "bad segment");
    CHECK(r->first >= items_end, "items out of order");
    items_end = (uint64_t)r->first + r->count;
    CHECK(items_end <= m->elem_item_count, "items are missing");
    if (r->values != NONE) {
      CHECK(r->values == values, "values of items out of order");
      values += r->count;
    }
    if (r->mode == LUCET_SEGMENT_MODE_ACTIVE) {
      CHECK(r->table < m->table_count && m->tables[r->table].element == r->type, "bad table");
      CHECK(offset_ok(c, r->offset_kind, r->offset_index, m->tables[r->table].flags & LUCET_TABLE_FLAG_INDEX64), "bad offset");
      if (is_image(m, r->table)) {
        uint64_t length = m->tables[r->table].min;
        CHECK(r->offset_kind == LUCET_CONST_KIND_BITS && r->offset <= length && r->count <= length - r->offset, "not inside of the image");
        for (uint32_t k = r->first; k < r->first + r->count; k++)
          CHECK(image_item_ok(m, m->elem_items[k].kind, m->elem_items[k].index), "bad item");
        continue;
      }
    }
    for (uint32_t k = r->first; k < r->first + r->count; k++)
      CHECK((r->values != NONE || m->elem_items[k].kind != LUCET_CONST_KIND_CODE) &&
                reference_ok(c, m->elem_items[k].kind, m->elem_items[k].index, r->type, m->global_count),
            "bad item");
  }
  c->m->elem_values = values;
  enter_part(c, LUCET_PART_DATA);
  for (uint32_t i = 0; i < m->data_count; i++) {
    const struct lucet_data_record *r = &m->data[i];
    CHECK(r->mode <= LUCET_SEGMENT_MODE_PASSIVE, "bad segment");
    CHECK(r->first >= bytes_end, "bytes out of order");
    bytes_end = (uint64_t)r->first + r->length;
    CHECK(bytes_end <= m->data_bytes_size, "bytes are missing");
    if (r->mode == LUCET_SEGMENT_MODE_ACTIVE) {
      CHECK(r->memory < m->memory_count, "bad memory");
      CHECK(offset_ok(c, r->offset_kind, r->offset_index, m->memories[r->memory].flags & 1), "bad offset");
    }
  }
  return LUCET_OK;
}

/** Every imported function needs its host thunk. */
static lucet_status check_thunks(struct checker *c) {
  const struct metadata *m = c->m;
  enter_part(c, LUCET_PART_FUNCTIONS);
  for (uint32_t k = 0; k < m->header->imported_functions; k++) {
    uint32_t i = m->header->functions + k;
    const struct lucet_function_record *r = &m->functions[i];
    CHECK(r->length != 0, "no host thunk");
  }
  return LUCET_OK;
}

/**
 * Tags, and landing pads: afterwards each call site and its pad lie in the code of one function, and the ways from
 * scope to scope outwards come to an end, as each leads to a lower number.
 */
static lucet_status check_exceptions(struct checker *c) {
  const struct metadata *m = c->m;
  enter_part(c, LUCET_PART_TAGS);
  for (uint32_t i = 0; i < m->tag_count; i++) {
    const struct lucet_tag_record *r = &m->tags[i];
    CHECK(r->type < m->type_count && m->types[r->type].results == 0, "bad type");
  }
  enter_part(c, LUCET_PART_CATCH_CLAUSES);
  for (uint32_t i = 0; i < m->catch_clause_count; i++) {
    const struct lucet_catch_clause_record *r = &m->catch_clauses[i];
    CHECK(r->tag < m->tag_count || r->tag == NONE, "bad tag");
  }
  uint64_t end = 0;
  enter_part(c, LUCET_PART_TRY_SCOPES);
  for (uint32_t i = 0; i < m->try_scope_count; i++) {
    const struct lucet_try_scope_record *r = &m->try_scopes[i];
    CHECK(r->parent < i || r->parent == NONE, "bad scope around it");
    CHECK(r->first >= end, "clauses out of order");
    end = (uint64_t)r->first + r->count;
    CHECK(end <= m->catch_clause_count, "clauses are missing");
  }
  uint32_t function = 0;
  enter_part(c, LUCET_PART_LANDINGS);
  for (uint32_t i = 0; i < m->landing_count; i++) {
    const struct lucet_landing_record *r = &m->landings[i];
    CHECK(i == 0 || r->site > r[-1].site, "not ascending");
    CHECK(r->scope < m->try_scope_count, "bad scope");
    /* A return address may lie at the very end of its function. */
    while (function < m->function_count && (uint64_t)m->functions[function].code + m->functions[function].length < r->site) function++;
    CHECK(function < m->function_count, "call site outside of code");
    const struct lucet_function_record *f = &m->functions[function];
    CHECK(r->site > f->code && r->pad > f->code && r->pad < f->code + f->length, "landing pad outside of its function");
  }
  return LUCET_OK;
}

/** Debug code: afterwards homes lie in their function's frame, and points in its code, each a byte that is there. */
static lucet_status check_debug(struct checker *c) {
  const struct metadata *m = c->m;
  uint64_t local = 0, point = 0, function = 0;
  enter_part(c, LUCET_PART_DEBUG_FUNCTIONS);
  for (uint32_t i = 0; i < m->debug_function_count; i++) {
    const struct lucet_debug_function_record *r = &m->debug_functions[i];
    CHECK(r->function >= function && r->function < m->header->functions && m->functions[r->function].length != 0, "bad function");
    function = (uint64_t)r->function + 1;
    CHECK(r->first_local >= local && (uint64_t)r->first_local + r->local_count <= m->debug_local_count, "bad locals");
    CHECK(r->first_point >= point && (uint64_t)r->first_point + r->point_count <= m->sequence_point_count, "bad points");
    local = (uint64_t)r->first_local + r->local_count;
    point = (uint64_t)r->first_point + r->point_count;
    const struct lucet_function_record *f = &m->functions[r->function];
    for (uint32_t k = r->first_local; k < local; k++) {
      const struct lucet_debug_local_record *l = &m->debug_locals[k];
      CHECK(l->type != 0 && (uint64_t)l->home + (l->type == LUCET_V128 ? 16 : 8) <= f->frame_size, "a local's home is outside of the frame");
    }
    for (uint32_t k = r->first_point; k < point; k++) {
      const struct lucet_sequence_point_record *p = &m->sequence_points[k];
      CHECK(p->pc >= f->code && p->pc - f->code < f->length && (k == r->first_point || p->pc > p[-1].pc), "a point is outside of its function's code");
      CHECK((uint64_t)p->first_type + p->operand_count <= m->operand_types_size, "types of operands are missing");
      CHECK(p->operand_count == 0 || r->operands + LUCET_OPERAND_HOME_SIZE * (uint64_t)p->operand_count <= f->frame_size, "an operand's home is outside of the frame");
    }
  }
  return LUCET_OK;
}

/** In order of need: a step may index with what the steps before it have checked. */
static lucet_status (*const STEPS[])(struct checker *) = {
    check_directory, check_counts,  check_types,    check_functions, check_escaping, check_header,
    check_exceptions, check_imports,   check_exports, check_entities, check_segments,  check_thunks,    check_debug,
};

lucet_status lucet_metadata_check(struct metadata *m, uint64_t file_offset, lucet_error *error) {
  struct checker c = {.m = m, .file_offset = file_offset, .error = error};
  m->header = (const struct lucet_artifact_header *)(const void *)m->bytes;
  for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
    lucet_status status = STEPS[i](&c);
    if (status != LUCET_OK) return status;
  }
  return lucet_ok(error);
}

uint32_t lucet_metadata_escape(const struct metadata *m, uint32_t function) {
  uint32_t low = 0, high = m->escaping_count;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (m->escaping[mid].function < function)
      low = mid + 1;
    else
      high = mid;
  }
  return low < m->escaping_count && m->escaping[low].function == function ? low : NONE;
}

const char *lucet_metadata_string(const struct metadata *m, uint32_t offset, uint32_t *length) {
  memcpy(length, m->strings + offset, 4);
  return (const char *)m->strings + offset + 4;
}
