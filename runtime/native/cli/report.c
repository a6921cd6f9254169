/** A trap, from the facts that the runtime keeps: as text, and as the record that everything else shows it from. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

/* --------------------------------------------------------------------------------------------------------------- Strings */

/**
 * Bytes of the character at `at`, if it may act on a terminal: controls, and what changes the direction of text. 0: it
 * may not.
 */
static size_t acting(const unsigned char *at, size_t left) {
  if (at[0] < 0x20 || at[0] == 0x7f) return 1;
  if (left >= 2 && at[0] == 0xc2 && at[1] < 0xa0) return 2;
  if (left >= 3 && at[0] == 0xe2 && at[1] == 0x80 && ((at[2] >= 0x8b && at[2] <= 0x8f) || (at[2] >= 0xaa && at[2] <= 0xae))) return 3;
  if (left >= 3 && at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xaf) return 3;
  if (left >= 3 && at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf) return 3;
  return 0;
}

void print_safely(FILE *to, const char *text, size_t length) {
  const unsigned char *at = (const unsigned char *)text;
  for (size_t k = 0; k < length;) {
    size_t n = acting(at + k, length - k);
    if (n == 0) fputc(at[k++], to);
    for (size_t end = k + n; k < end; k++) fprintf(to, "\\x%02x", at[k]);
  }
}

static void json_string(FILE *to, const char *text, size_t length) {
  fputc('"', to);
  for (size_t k = 0; k < length; k++) {
    unsigned char c = (unsigned char)text[k];
    if (c == '"' || c == '\\') fprintf(to, "\\%c", c);
    else if (c < 0x20) fprintf(to, "\\u%04x", c);
    else fputc(c, to);
  }
  fputc('"', to);
}

/** Without the hash that Rust appends. */
static uint32_t shown_length(const char *name, uint32_t length) {
  if (length < 20 || memcmp(name + length - 19, "::h", 3) != 0) return length;
  for (uint32_t k = length - 16; k < length; k++)
    if (strchr("0123456789abcdef", name[k]) == NULL) return length;
  return length - 19;
}

/* ------------------------------------------------------------------------------------------------------------------ Text */

static const char *explanation(const char *code) {
  static const struct {
    const char *code;
    const char *words;
  } WORDS[] = {
      {"StackOverflow", "The stack is full. Deep recursion, or large variables on the stack; --stack-size gives it more."},
      {"IntegerDivByZero", "An integer was divided by zero."},
      {"IntegerOverflow", "The result of a division, or of a conversion from floating point, does not fit its type."},
      {"BadConversionToInteger", "A floating-point number that is not a number (NaN) was converted to an integer."},
      {"IndirectCallToNull", "A function was called through a null function pointer."},
      {"BadSignature", "A function was called through a pointer of another type than the function has."},
      {"TableOutOfBounds", "A function pointer, or another table index, is beyond the end of its table: likely a corrupted or uninitialised pointer."},
      {"UncaughtException", "The program threw an exception, and nothing caught it."},
      {"Unreachable", "The program gave up: an abort, a failed assertion or a panic, or code that its compiler took for unreachable."},
  };
  for (size_t k = 0; k < sizeof WORDS / sizeof *WORDS; k++)
    if (strcmp(WORDS[k].code, code) == 0) return WORDS[k].words;
  return NULL;
}

/** Frames that a short backtrace shows. */
enum { SHORT_FRAMES = 12 };

static void print_backtrace(FILE *to, const lucet_trap_info *info, const char *label, const struct report_style *style) {
  if (info->frame_count == 0) return;
  fprintf(to, "\n  backtrace:\n");
  uint32_t number = 0, shown = 0;
  for (uint32_t k = 0; k < info->frame_count; k++) {
    const lucet_frame *f = &info->frames[k];
    if (!style->full && (f->kind == LUCET_FRAME_HOST || shown == SHORT_FRAMES)) continue;
    shown++;
    if (f->kind == LUCET_FRAME_ELIDED) {
      fprintf(to, "        ... %" PRIu32 " frames ...\n", f->count);
      number += f->count;
    } else if (f->kind == LUCET_FRAME_HOST) {
      fprintf(to, "        (host)\n");
    } else {
      uint32_t length;
      const char *name = lucet_module_function_name(f->module, f->function, &length);
      char hash[16];
      snprintf(hash, sizeof hash, "#%" PRIu32, number++);
      fprintf(to, "  %5s ", hash);
      if (length > 0) print_safely(to, name, shown_length(name, length));
      else fprintf(to, "function %" PRIu32, f->function);
      fprintf(to, " at ");
      print_safely(to, label, strlen(label));
      fprintf(to, "+0x%" PRIx32 "\n", f->wasm_offset);
    }
  }
  if (info->total_frames > number) fprintf(to, "        ... %" PRIu32 " more%s\n", info->total_frames - number, style->full ? "" : " (--backtrace full shows more)");
}

void print_trap(FILE *to, const lucet_event *event, const lucet_trap_info *info, const char *aborted, const char *label, const struct report_style *style) {
  const char *red = style->color ? "\033[1;31m" : "", *plain = style->color ? "\033[0m" : "";
  const char *code = lucet_trap_name(event->code);
  if (event->kind == LUCET_EVENT_FAULTED)
    fprintf(to, "%sinternal fault: generated code failed where it can't. This is a defect of Lucet; please report it with the module.%s\n", red, plain);
  else if (event->kind == LUCET_EVENT_EXCEPTION)
    fprintf(to, "%s%s%s\n", red, lucet_trap_message(event->code), plain);
  else
    fprintf(to, "%strap: %s (%s)%s\n", red, lucet_trap_message(event->code), code, plain);
  if (info != NULL && info->memory != UINT32_MAX)
    fprintf(to, "  Accessed address 0x%" PRIx64 ", but memory %" PRIu32 " has 0x%" PRIx64 " bytes.\n", info->memory_offset, info->memory, info->memory_length);
  else if (aborted != NULL) {
    fprintf(to, "  The program aborted: ");
    print_safely(to, aborted, strlen(aborted));
    fprintf(to, ".\n");
  } else if (explanation(code) != NULL)
    fprintf(to, "  %s\n", explanation(code));
  if (info != NULL) print_backtrace(to, info, label, style);
}

/* ------------------------------------------------------------------------------------------------------------------ JSON */

static const lucet_trap_info NOTHING = {.function = UINT32_MAX, .memory = UINT32_MAX, .fault_address = UINT64_MAX};

/** The innermost frame's module, and those of the other frames: frames name them by number. */
enum { MOST_MODULES = 64 };
struct modules {
  const lucet_module *list[MOST_MODULES];
  int count;
};

/** Number of a module, or -1: there are too many of them. */
static int number_of(struct modules *all, const lucet_module *module) {
  if (module == NULL) return -1;
  for (int k = 0; k < all->count; k++)
    if (all->list[k] == module) return k;
  if (all->count == MOST_MODULES) return -1;
  all->list[all->count] = module;
  return all->count++;
}

static void json_frame(FILE *to, const lucet_frame *f, int module) {
  uint32_t length = 0;
  const char *name = module >= 0 ? lucet_module_function_name(f->module, f->function, &length) : NULL;
  int64_t text = -1;
  size_t code_length;
  if (module >= 0) text = (int64_t)(f->pc - (uint64_t)(uintptr_t)lucet_module_code(f->module, &code_length));
  fprintf(to, "\n    {\"kind\": %" PRIu32 ", \"module\": %d, \"functionIndex\": %" PRIu32 ", \"functionName\": ", f->kind, module, f->function);
  json_string(to, name != NULL ? name : "", length);
  fprintf(to, ", \"wasmOffset\": %" PRIu32 ", \"textOffset\": %" PRId64 ", \"count\": %" PRIu32 "}", f->wasm_offset, text, f->count);
}

static void json_modules(FILE *to, const struct modules *all, const lucet_module *own, const char *label, const char *path) {
  fprintf(to, "  \"modules\": [");
  for (int k = 0; k < all->count; k++) {
    const lucet_module *m = all->list[k];
    uint32_t length;
    const char *name = lucet_module_name(m, &length);
    fprintf(to, "%s{\"label\": ", k > 0 ? ", " : "");
    if (m == own) json_string(to, label, strlen(label));
    else json_string(to, name, length);
    fprintf(to, ", \"path\": ");
    if (m == own && path != NULL) json_string(to, path, strlen(path));
    else fprintf(to, "null");
    fprintf(to, ", \"hash\": \"");
    for (int b = 0; b < 16; b++) fprintf(to, "%02x", lucet_module_hash(m)[b]);
    fprintf(to, "\"}");
  }
  fprintf(to, "],\n");
}

static const char *kind_of(const lucet_event *event) {
  switch (event->kind) {
    case LUCET_EVENT_FAULTED: return "fault";
    case LUCET_EVENT_EXCEPTION: return "exception";
    default: return "trap";
  }
}

static void json_facts(FILE *to, const lucet_event *event, const lucet_trap_info *info, const char *aborted, const lucet_module *own, const char *label, const char *path) {
  static const char *const registers[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8",
                                          "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
  struct modules all = {.count = 0};
  number_of(&all, own);
  int module = number_of(&all, info->module);
  fprintf(to, "{\n  \"kind\": \"%s\",\n  \"code\": %" PRIu32 ",\n", kind_of(event), event->code);
  fprintf(to, "  \"frames\": [");
  for (uint32_t k = 0; k < info->frame_count; k++) {
    const lucet_frame *f = &info->frames[k];
    if (k > 0) fputc(',', to);
    json_frame(to, f, f->kind == LUCET_FRAME_WASM ? number_of(&all, f->module) : -1);
  }
  fprintf(to, "\n  ],\n");
  json_modules(to, &all, own, label, path);
  fprintf(to, "  \"module\": %d,\n  \"functionIndex\": %" PRId64 ",\n", module < 0 ? 0 : module, info->function == UINT32_MAX ? -1 : (int64_t)info->function);
  fprintf(to, "  \"wasmOffset\": %" PRId64 ",\n  \"access\": ", info->function == UINT32_MAX ? -1 : (int64_t)info->wasm_offset);
  if (info->memory != UINT32_MAX)
    fprintf(to, "{\"memory\": %" PRIu32 ", \"offset\": \"%" PRIu64 "\", \"memorySize\": %" PRIu64 "}", info->memory, info->memory_offset, info->memory_length);
  else fprintf(to, "null");
  fprintf(to, ",\n  \"signal\": %" PRIu32 ",\n  \"faultAddress\": ", info->signal);
  if (info->fault_address != UINT64_MAX) fprintf(to, "\"0x%" PRIx64 "\"", info->fault_address);
  else fprintf(to, "null");
  fprintf(to, ",\n  \"pc\": \"0x%" PRIx64 "\",\n  \"registers\": {", info->pc);
  for (int k = 0; k < 18 && info->signal != 0; k++) fprintf(to, "%s\"%s\": \"0x%" PRIx64 "\"", k > 0 ? ", " : "", registers[k], info->registers[k]);
  fprintf(to, "},\n  \"totalFrames\": %" PRIu32 ",\n  \"aborted\": ", info->total_frames);
  if (aborted != NULL) json_string(to, aborted, strlen(aborted));
  else fprintf(to, "null");
  fprintf(to, "\n}");
}

/** Elements of a table that are told. */
enum { MOST_ELEMENTS = 20000, MOST_TABLES = 16, MOST_GLOBALS = 4096, MOST_MEMORIES = 16 };

static bool concerns_table(uint32_t code) {
  const char *name = lucet_trap_name(code);
  return strcmp(name, "BadSignature") == 0 || strcmp(name, "IndirectCallToNull") == 0 || strcmp(name, "TableOutOfBounds") == 0;
}

/** Elements as [function index or -1, address of the record], where it matters what they are. */
static void json_table(FILE *to, lucet_instance *instance, uint32_t table, bool elements) {
  uint64_t size = lucet_instance_table_size(instance, table);
  fprintf(to, "%s{\"size\": %" PRIu64 ", \"elements\": [", table > 0 ? ", " : "", size);
  for (uint64_t k = 0; elements && k < size && k < MOST_ELEMENTS; k++) {
    uint64_t value = 0;
    if (lucet_instance_table_get(instance, table, k, &value) != LUCET_OK) break;
    const lucet_funcref *f = (const lucet_funcref *)(uintptr_t)value;
    fprintf(to, "%s[%" PRId64 ", \"0x%" PRIx64 "\"]", k > 0 ? ", " : "", f == NULL ? -1 : (int64_t)lucet_funcref_index(f), value);
  }
  fprintf(to, "]}");
}

/** What can be told of the instance in a few words; its memory goes another way. */
static void json_state(FILE *to, const lucet_event *event, lucet_instance *instance) {
  fprintf(to, "{\"memorySizes\": [");
  for (uint32_t k = 0; k < MOST_MEMORIES; k++) {
    uint64_t length = 0;
    if (lucet_instance_memory(instance, k, &length) == NULL) break;
    fprintf(to, "%s%" PRIu64, k > 0 ? ", " : "", length);
  }
  fprintf(to, "], \"globals\": [");
  uint64_t value[2];
  for (uint32_t k = 0; k < MOST_GLOBALS && lucet_instance_global_get(instance, k, value) == LUCET_OK; k++) fprintf(to, "%s\"0x%" PRIx64 "\"", k > 0 ? ", " : "", value[0]);
  fprintf(to, "], \"tables\": [");
  // There is no count of tables: one of no elements may be the end, and what is behind it is not told.
  for (uint32_t k = 0; k < MOST_TABLES && lucet_instance_table_size(instance, k) > 0; k++) json_table(to, instance, k, concerns_table(event->code) && k == 0);
  fprintf(to, "]}");
}

void write_trap_json(FILE *to, const lucet_event *event, lucet_instance *instance, const char *aborted, const char *label, const char *path, const char *folder) {
  const lucet_trap_info *info = lucet_instance_trap_info(instance);
  fprintf(to, "{\"facts\": ");
  json_facts(to, event, info != NULL ? info : &NOTHING, aborted, lucet_instance_module(instance), label, path);
  fprintf(to, ",\n\"state\": ");
  json_state(to, event, instance);
  fprintf(to, ",\n\"folder\": ");
  json_string(to, folder, strlen(folder));
  fprintf(to, "}\n");
}
