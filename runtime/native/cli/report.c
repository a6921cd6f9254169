/** A trap, from the facts that the runtime keeps: as text, and as the record that everything else shows it from. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

/* --------------------------------------------------------------------------------------------------------------- Strings */

/** Bytes of the character at `at`, if it may act on a terminal: controls, and what changes the direction of text. 0: it may not. */
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
      fprintf(to, " at %s+0x%" PRIx32 "\n", label, f->wasm_offset);
    }
  }
  if (info->total_frames > number) fprintf(to, "        ... %" PRIu32 " more%s\n", info->total_frames - number, style->full ? "" : " (--backtrace full shows more)");
}

void print_trap(FILE *to, const lucet_event *event, const lucet_trap_info *info, const char *label, const struct report_style *style) {
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
  else if (explanation(code) != NULL)
    fprintf(to, "  %s\n", explanation(code));
  if (info != NULL) print_backtrace(to, info, label, style);
}

/* ------------------------------------------------------------------------------------------------------------------ JSON */

static void json_name(FILE *to, const lucet_module *module, uint32_t function) {
  uint32_t length = 0;
  const char *name = module != NULL && function != UINT32_MAX ? lucet_module_function_name(module, function, &length) : NULL;
  json_string(to, name != NULL ? name : "", length);
}

static void json_frame(FILE *to, const lucet_frame *f, const char *label) {
  static const char *const kinds[] = {"wasm", "host", "elided"};
  bool wasm = f->kind == LUCET_FRAME_WASM;
  fprintf(to, "\n    {\"kind\": \"%s\", \"moduleName\": ", kinds[f->kind < 3 ? f->kind : 0]);
  json_string(to, wasm ? label : "", wasm ? strlen(label) : 0);
  fprintf(to, ", \"functionIndex\": %" PRIu32 ", \"functionName\": ", f->function);
  json_name(to, wasm ? f->module : NULL, f->function);
  fprintf(to, ", \"wasmOffset\": %" PRIu32 ", \"source\": null, \"count\": %" PRIu32 "}", f->wasm_offset, f->count);
}

static const char *kind_of(const lucet_event *event) {
  switch (event->kind) {
    case LUCET_EVENT_FAULTED: return "fault";
    case LUCET_EVENT_EXCEPTION: return "exception";
    default: return "trap";
  }
}

void write_trap_json(FILE *to, const lucet_event *event, const lucet_trap_info *info, const char *label, const char *path) {
  static const char *const registers[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8",
                                          "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
  static const lucet_trap_info nothing = {.function = UINT32_MAX, .memory = UINT32_MAX, .fault_address = UINT64_MAX};
  if (info == NULL) info = &nothing;
  fprintf(to, "{\n  \"version\": 1,\n  \"kind\": \"%s\",\n  \"code\": ", kind_of(event));
  json_string(to, lucet_trap_name(event->code), strlen(lucet_trap_name(event->code)));
  fprintf(to, ",\n  \"message\": ");
  json_string(to, lucet_trap_message(event->code), strlen(lucet_trap_message(event->code)));
  fprintf(to, ",\n  \"moduleName\": ");
  json_string(to, label, strlen(label));
  fprintf(to, ",\n  \"modulePath\": ");
  if (path != NULL) json_string(to, path, strlen(path));
  else fprintf(to, "null");
  fprintf(to, ",\n  \"moduleHash\": \"");
  if (info->module != NULL)
    for (int k = 0; k < 16; k++) fprintf(to, "%02x", lucet_module_hash(info->module)[k]);
  if (info->function != UINT32_MAX) fprintf(to, "\",\n  \"functionIndex\": %" PRIu32 ",\n  \"wasmOffset\": %" PRIu32, info->function, info->wasm_offset);
  else fprintf(to, "\",\n  \"functionIndex\": null,\n  \"wasmOffset\": null");
  fprintf(to, ",\n  \"functionName\": ");
  json_name(to, info->module, info->function);
  fprintf(to, ",\n  \"source\": null,\n  \"access\": ");
  if (info->memory != UINT32_MAX)
    fprintf(to, "{\"memory\": %" PRIu32 ", \"offset\": \"%" PRIu64 "\", \"memorySize\": %" PRIu64 "}", info->memory, info->memory_offset, info->memory_length);
  else fprintf(to, "null");
  fprintf(to, ",\n  \"signal\": %" PRIu32 ",\n  \"faultAddress\": ", info->signal);
  if (info->fault_address != UINT64_MAX) fprintf(to, "\"0x%" PRIx64 "\"", info->fault_address);
  else fprintf(to, "null");
  fprintf(to, ",\n  \"pc\": \"0x%" PRIx64 "\",\n  \"registers\": {", info->pc);
  for (int k = 0; k < 18 && info->signal != 0; k++) fprintf(to, "%s\"%s\": \"0x%" PRIx64 "\"", k > 0 ? ", " : "", registers[k], info->registers[k]);
  fprintf(to, "},\n  \"frames\": [");
  for (uint32_t k = 0; k < info->frame_count; k++) {
    if (k > 0) fputc(',', to);
    json_frame(to, &info->frames[k], label);
  }
  fprintf(to, "\n  ],\n  \"totalFrames\": %" PRIu32 "\n}\n", info->total_frames);
}
