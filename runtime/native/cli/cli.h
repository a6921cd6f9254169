/** What the files of the lucet-wasi executable share. */
#ifndef LUCET_CLI_H
#define LUCET_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../wasi.h"
#include "options_text.h"

/** As for a process that SIGABRT ended. */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_TIMEOUT = 124, EXIT_TRAP = 134 };

/** Prints "lucet-wasi: …" and a new line to stderr, then exits with EXIT_ERROR. */
LUCET_NORETURN void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** The same for a wrong command line: tells of --help. */
LUCET_NORETURN void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Never NULL. */
void *allocate(size_t size);

/* ---- options.c */

enum option_id {
#define X(id, name, short_name, value, multiple) OPTION_##id,
  LUCET_WASI_OPTIONS(X)
#undef X
      OPTION_COUNT
};

struct strings {
  const char **items;
  size_t count;
};

struct command_line {
  /** Values in order; a switch has one empty value. */
  struct strings options[OPTION_COUNT];
  const char *module;
  /** All that stands behind the module, NULL-terminated. */
  char **args;
  int arg_count;
};

/** Options stand before the module; everything behind it is the guest's. Ends the process if the line is wrong. */
void parse_command_line(int argc, char **argv, struct command_line *line);
static inline bool has(const struct command_line *line, enum option_id o) { return line->options[o].count > 0; }
/** The value, or NULL. */
static inline const char *value_of(const struct command_line *line, enum option_id o) { return has(line, o) ? line->options[o].items[0] : NULL; }
/** A whole number above zero; 0: not given. */
uint64_t count_of(const struct command_line *line, enum option_id o);
/** A size in bytes, or `otherwise`. */
uint64_t size_of(const struct command_line *line, enum option_id o, uint64_t otherwise);
/** Position of the value in a NULL-terminated list; 0 if the option is not given. */
int choice_of(const struct command_line *line, enum option_id o, const char *const *choices);
/** A duration in nanoseconds: a bare number is milliseconds; ns, us, ms, s, m, h. 0: not given. */
uint64_t duration_of(const struct command_line *line, enum option_id o);
const char *option_name(enum option_id o);

struct directory {
  /** Both allocated. */
  char *host;
  char *guest;
};
/** HOST::GUEST, HOST:GUEST or one path for both. */
struct directory parse_directory(enum option_id o, const char *text);

/* ---- values.c: arguments and results of --invoke */

/** The words of the arguments, and room for results. Ends the process if one is wrong. */
uint64_t *parse_values(const lucet_extern *function, const char *name, char **args, int count);
void print_values(const lucet_extern *function, const uint64_t *words);
/** "(i32, i64) -> (f32)" */
const char *show_type(const lucet_extern *function);

/* ---- imports.c */

/** What becomes of functions that WASI does not provide, in the order of the option's choices. */
enum unknown_imports { UNKNOWN_REFUSED = 0, UNKNOWN_TRAPS = 1, UNKNOWN_RETURNS_ZERO = 2 };
/**
 * WASI's functions for the module's imports; the array and what it refers to live as long as the process. Ends the
 * process, with advice, if one is refused.
 */
lucet_import *link_imports(const lucet_module *module, const char *label, lucet_wasi_ctx *ctx, enum unknown_imports unknown);

/**
 * The same before a .wasm is compiled, read from its start, for what surely is refused: it need not be well-formed, and
 * what is not understood of it, or whether functions have the right types, is left to those that come later.
 */
void check_imports(int file, const char *label, enum unknown_imports unknown);

/* ---- wasm_imports.c */

/**
 * Imports of a WebAssembly binary, which is read from its start, without their types; what it returns stays. NULL and
 * 0: it has none, or is not understood.
 */
lucet_extern *wasm_imports(int file, uint32_t *count);

/* ---- report.c */

struct report_style {
  bool color;
  bool full;
};
/** "Accessed address …", the function and the backtrace: what is known without the module's debug information. */
void print_trap(FILE *to, const lucet_event *event, const lucet_trap_info *info, const char *aborted, const char *label, const struct report_style *style);
/**
 * What a report is made of (runtime/trap-facts.ts): {facts: TrapFacts, state: StateCopy, folder}.
 * `path`: of the artifact, or NULL. `folder`: where names in its debug information count from.
 */
void write_trap_json(FILE *to, const lucet_event *event, lucet_instance *instance, const char *aborted, const char *label, const char *path, const char *folder);
/** Text that came out of a module: nothing in it may act on the terminal. */
void print_safely(FILE *to, const char *text, size_t length);

/* ---- helper.c: what is left to JavaScript */

/** Something that is done with the bytes of a module before it is compiled. */
struct module_check {
  void (*check)(int file, const struct module_check *self);
  const char *label;
  enum unknown_imports unknown;
};

/** False: Node or its part of Lucet isn't there. */
bool helper_found(void);
/**
 * Compiles a .wasm or .wat: path of the artifact, allocated. `public_key`: file with the key that its signature must
 * fit, or NULL. `*temporary`: to be removed after use. Ends the process if it fails. `look` is called, unless it is
 * NULL, with a file that holds a .wat as a .wasm, once that is known and before it is compiled; not if it has been
 * compiled before.
 */
char *helper_compile(const char *source, int opt_level, bool count_instructions, bool cache, const char *public_key, const struct module_check *look, bool *temporary);
/** Ends the process unless the artifact (read from `path`) is signed by the key in that file. */
void helper_verify(const char *path, const uint8_t *bytes, size_t length, const char *public_key);
/**
 * Prints a trap from its JSON. `memory`: a descriptor of a file with the contents of memory 0, or -1. Paths: files to
 * write the whole report and the core dump to; NULL: none. False: it could not.
 */
bool helper_report(const char *json, size_t length, int memory, const char *json_path, const char *core_path, const struct report_style *style);

#endif
