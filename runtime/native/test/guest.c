#include "guest.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../internal.h"

struct guest_function {
  const uint8_t *code;
  uint64_t length;
  uint64_t type;
  uint64_t frame;
  const uint8_t *pc_map;
  uint64_t pc_map_length;
};
extern const struct guest_function guest_functions[];
extern const uint32_t guest_function_count;
/** memories, tables, globals, imports, size */
extern const uint32_t guest_vmctx[5];

enum { IMPORTED = 2, MEMORIES = 2 };

/** Metadata being written: parts one behind the other. */
struct writer {
  uint8_t *bytes;
  uint32_t at;
  struct lucet_directory_entry *directory;
};

static void part(struct writer *w, uint32_t kind, const void *data, uint32_t size, uint32_t count) {
  w->at = (uint32_t)round_up(w->at, 16);
  w->directory[kind - 1] = (struct lucet_directory_entry){kind, w->at, size, count};
  if (size != 0) memcpy(w->bytes + w->at, data, size);
  w->at += size;
}

#define RECORDS(w, kind, array, n) part(w, kind, array, (uint32_t)((n) * sizeof *(array)), n)

struct strings {
  uint8_t bytes[4096];
  uint32_t at;
};

static uint32_t string(struct strings *s, const char *text) {
  uint32_t n = (uint32_t)strlen(text), at = s->at;
  memcpy(s->bytes + at, &n, 4);
  memcpy(s->bytes + at + 4, text, n);
  s->at += 4 + n;
  return at;
}

/** Behind the metadata. */
static uint32_t text_address(uint32_t metadata) {
  uint32_t at = (uint32_t)round_up(METADATA_OFFSET + (uint64_t)metadata, HOST_PAGE);
  return at > TEXT_ADDRESS ? at : TEXT_ADDRESS;
}

/** The last one is that of an array, with its exact type behind it. */
static const uint8_t TYPE_BYTES[] = {LUCET_I32, LUCET_I32, LUCET_I32, LUCET_I32, LUCET_I32, LUCET_I64, LUCET_I64, LUCET_I64, LUCET_I64, 0, 0, LUCET_FIELD_MUTABLE >> 24};

/** array.new_default of type 4, with 3 elements and with none. */
static const uint8_t CONST_CODE[] = {
    LUCET_CONST_CODE_I32CONST, 3, 0, 0, 0, LUCET_CONST_CODE_ARRAY_NEW_DEFAULT, 4, 0, 0, 0, LUCET_CONST_CODE_END,
    LUCET_CONST_CODE_I32CONST, 0, 0, 0, 0, LUCET_CONST_CODE_ARRAY_NEW_DEFAULT, 4, 0, 0, 0, LUCET_CONST_CODE_END,
};

const struct guest_options GUEST_PLAIN = {.memory_mode = LUCET_MEMORY_GUARDED, .pages = 1, .data_offset = 8, .data_length = 4};

static void write_metadata(struct writer *w, const struct guest_options *o) {
  struct lucet_artifact_header *h = (void *)w->bytes;
  struct strings s = {.at = 0};
  uint32_t n = guest_function_count, functions = n - IMPORTED - 4;
  string(&s, "");
  w->directory = (void *)(w->bytes + sizeof *h);
  w->at = (uint32_t)(sizeof *h + LUCET_PART_COUNT * sizeof *w->directory);

  struct lucet_type_record types[] = {
      {0, 2, 1, 0, n - 4, NONE, NONE, 0, 1, LUCET_TYPE_KIND_FUNC, 1},
      {3, 1, 1, 1, n - 3, NONE, NONE, 1, 1, LUCET_TYPE_KIND_FUNC, 1},
      {5, 0, 0, 2, n - 2, NONE, NONE, 2, 1, LUCET_TYPE_KIND_FUNC, 1},
      {5, 1, 1, 3, n - 1, NONE, NONE, 3, 1, LUCET_TYPE_KIND_FUNC, 1},
      {7, 1, 0, 4, NONE, 8, NONE, 4, 1, LUCET_TYPE_KIND_ARRAY, 1},
  };
  RECORDS(w, LUCET_PART_TYPES, types, 5);
  part(w, LUCET_PART_TYPE_BYTES, TYPE_BYTES, sizeof TYPE_BYTES, 0);

  struct lucet_function_record *f = calloc(n, sizeof *f);
  const uint8_t *text = guest_functions[IMPORTED].code;
  uint8_t maps[1024];
  uint32_t map = 0;
  for (uint32_t i = 0; i < n; i++) {
    const struct guest_function *g = &guest_functions[i];
    char name[16];
    snprintf(name, sizeof name, "fn%u", i);
    f[i] = (struct lucet_function_record){.code = g->code != NULL ? (uint32_t)(g->code - text) : 0, .length = (uint32_t)g->length,
                                          .type = (uint32_t)g->type, .frame_size = (uint32_t)g->frame, .pc_map = map,
                                          .pc_map_length = (uint32_t)g->pc_map_length, .wasm_start = 1000 * i, .name = string(&s, name)};
    if (g->pc_map_length != 0) memcpy(maps + map, g->pc_map, g->pc_map_length);
    map += (uint32_t)g->pc_map_length;
  }
  RECORDS(w, LUCET_PART_FUNCTIONS, f, n);
  part(w, LUCET_PART_PC_MAP, maps, map, 0);

  uint32_t env = string(&s, "env");
  struct lucet_import_record imports[] = {
      {.module = env, .name = string(&s, "native"), .kind = LUCET_EXTERN_FUNC, .type = 1, .index = 0},
      {.module = env, .name = string(&s, "host"), .kind = LUCET_EXTERN_FUNC, .type = 3, .index = 1},
  };
  RECORDS(w, LUCET_PART_IMPORTS, imports, 2);

  struct lucet_export_record exports[64];
  struct lucet_escaping_record escaping[64];
  uint32_t e = 0;
  for (uint32_t i = IMPORTED; i < functions; i++) {
    char name[16];
    snprintf(name, sizeof name, "f%u", i);
    escaping[i - IMPORTED].function = i;
    exports[e++] = (struct lucet_export_record){string(&s, name), LUCET_EXTERN_FUNC, i, 0};
  }
  exports[e++] = (struct lucet_export_record){string(&s, "memory"), LUCET_EXTERN_MEMORY, 0, 0};
  exports[e++] = (struct lucet_export_record){string(&s, "memory1"), LUCET_EXTERN_MEMORY, 1, 0};
  exports[e++] = (struct lucet_export_record){string(&s, "table"), LUCET_EXTERN_TABLE, 0, 0};
  exports[e++] = (struct lucet_export_record){string(&s, "global"), LUCET_EXTERN_GLOBAL, 0, 0};
  RECORDS(w, LUCET_PART_EXPORTS, exports, e);

  struct lucet_memory_record memories[MEMORIES] = {{o->pages, o->pages + 2, 0, 16}, {1, NO_MAX, 0, 16}};
  RECORDS(w, LUCET_PART_MEMORIES, memories, MEMORIES);
  struct lucet_table_record tables[] = {{.min = 4, .max = 10, .element = LUCET_FUNCREF, .code = LUCET_FUNCREF, .init = LUCET_CONST_KIND_REF_NULL}};
  RECORDS(w, LUCET_PART_TABLES, tables, 1);
  struct lucet_global_record globals[] = {{.value = {0x2a}, .type = LUCET_I64, .code = LUCET_I64, .mutable = 1}};
  RECORDS(w, LUCET_PART_GLOBALS, globals, 1);
  struct lucet_elem_record elems[] = {{.offset = 1, .type = LUCET_FUNCREF, .count = 2, .values = NONE},
                                      {.mode = 1, .type = LUCET_FUNCREF, .first = 2, .values = NONE},
                                      {.mode = 1, .type = LUCET_ANYREF, .first = 2, .count = 3}};
  RECORDS(w, LUCET_PART_ELEMS, elems, 3);
  struct lucet_elem_item items[] = {{LUCET_CONST_KIND_REF_FUNC, F_ADD}, {LUCET_CONST_KIND_REF_NULL, 0}, {LUCET_CONST_KIND_CODE, 0}, {LUCET_CONST_KIND_REF_NULL, 0},
                                    {LUCET_CONST_KIND_CODE, sizeof CONST_CODE / 2}};
  RECORDS(w, LUCET_PART_ELEM_ITEMS, items, 5);
  struct lucet_data_record data[] = {{.offset = o->data_offset, .length = o->data_length},
                                      {.offset = 16, .mode = 1, .first = o->data_length, .length = 4}};
  RECORDS(w, LUCET_PART_DATA, data, 2);
  uint8_t *bytes = malloc(o->data_length + 4u);
  for (uint32_t i = 0; i < o->data_length + 4; i++) bytes[i] = (uint8_t)(i + 1);
  part(w, LUCET_PART_DATA_BYTES, bytes, o->data_length + 4, 0);
  free(bytes);
  RECORDS(w, LUCET_PART_ESCAPING, escaping, functions - IMPORTED);
  uint32_t module_name = string(&s, "handmade");
  part(w, LUCET_PART_STRINGS, s.bytes, s.at, 0);
  part(w, LUCET_PART_OPTIONS, "{}", 2, 0);
  part(w, LUCET_PART_CONST_CODE, CONST_CODE, sizeof CONST_CODE, 0);
  for (uint32_t kind = LUCET_PART_CONST_CODE + 1; kind <= LUCET_PART_COUNT; kind++) part(w, kind, NULL, 0, 0);

  *h = (struct lucet_artifact_header){
      .magic = LUCET_ARTIFACT_MAGIC_U64,
      .version = LUCET_ARTIFACT_VERSION,
      .size = w->at,
      .parts = LUCET_PART_COUNT,
      .text_size = f[n - 1].code + f[n - 1].length,
      .text_offset = text_address(w->at),
      .text_address = text_address(w->at),
      .machine = EM_X86_64,
      .memory_mode = o->memory_mode,
      .flags = o->flags,
      .reserved_size = (uint64_t)8 << 30,
      .vmctx_memories = guest_vmctx[0],
      .vmctx_tables = guest_vmctx[1],
      .vmctx_globals = guest_vmctx[2],
      .vmctx_imports = guest_vmctx[3],
      .vmctx_size = guest_vmctx[4],
      .imported_functions = IMPORTED,
      .start_function = NONE,
      .functions = functions,
      .data_count = 2,
      .name = module_name,
  };
  free(f);
}

uint8_t *guest_artifact_of(const struct guest_options *o, size_t *size) {
  static const char names[] = "\0.lucet.module\0.shstrtab";
  const struct guest_function *last = &guest_functions[guest_function_count - 1];
  const uint8_t *text = guest_functions[IMPORTED].code;
  struct writer w = {.bytes = calloc(1, 0x2000 + (size_t)o->data_length)};
  write_metadata(&w, o);
  uint32_t text_at = text_address(w.at);
  size_t text_size = (size_t)(last->code + last->length - text), names_at = text_at + text_size;
  size_t sections_at = round_up(names_at + sizeof names, 8);
  *size = sections_at + 3 * sizeof(Elf64_Shdr);
  uint8_t *file = calloc(1, *size);
  memcpy(file + METADATA_OFFSET, w.bytes, w.at);
  free(w.bytes);
  memcpy(file + text_at, text, text_size);
  memcpy(file + names_at, names, sizeof names);
  Elf64_Ehdr e = {.e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = 1, .e_shoff = sections_at, .e_ehsize = sizeof e,
                  .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 3, .e_shstrndx = 2};
  memcpy(e.e_ident, ELFMAG, SELFMAG);
  e.e_ident[EI_CLASS] = ELFCLASS64;
  e.e_ident[EI_DATA] = ELFDATA2LSB;
  memcpy(file, &e, sizeof e);
  Elf64_Shdr s[3] = {
      {.sh_type = SHT_NULL},
      {.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = METADATA_OFFSET, .sh_size = w.at},
      {.sh_name = 15, .sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof names},
  };
  memcpy(file + sections_at, s, sizeof s);
  guest_seal(file, *size);
  return file;
}

uint8_t *guest_artifact(size_t *size) { return guest_artifact_of(&GUEST_PLAIN, size); }

void guest_seal(uint8_t *file, size_t size) {
  struct xxh32 x;
  size_t field = METADATA_OFFSET + offsetof(struct lucet_artifact_header, checksum);
  memset(file + field, 0, 4);
  lucet_xxh32_init(&x);
  lucet_xxh32_update(&x, file, size);
  uint32_t sum = lucet_xxh32_final(&x);
  memcpy(file + field, &sum, 4);
}
