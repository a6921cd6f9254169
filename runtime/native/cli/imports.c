/** Why a module's imports can't be satisfied, in words that help whoever built it. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "../abi.h"
#include "cli.h"

static const char WASM_BINDGEN[] =
    "The module was built with wasm-bindgen, for a JavaScript host. Build the program for wasm32-wasi (Rust: --target wasm32-wasip1) without "
    "wasm-bindgen.";
static const char EMSCRIPTEN[] =
    "The module was built with Emscripten, for a JavaScript host. Build the program for wasm32-wasi (wasi-sdk, or any clang with a WASI "
    "sysroot), or with emcc -sSTANDALONE_WASM.";
static const char GO[] = "The module was built by Go for a JavaScript host. Build it with GOOS=wasip1 GOARCH=wasm.";
static const char ASSEMBLYSCRIPT[] =
    "The module looks like AssemblyScript for a JavaScript host. Build it with the WASI shim (@assemblyscript/wasi-shim).";
static const char COMPONENT[] = "The module is part of a WASI 0.2 component. Build it for WASI preview 1 (wasm32-wasip1).";
static const char THREADS[] = "The module was built for WASI with threads (wasm32-wasip1-threads). Build it for wasm32-wasip1.";

/** Builders of modules that need another host, and how it shows in their imports: the first that fits any import. */
static const struct {
  const char *module;
  const char *name;
  const char *advice;
} ORIGINS[] = {
    {"wbg", "*", WASM_BINDGEN},
    {"__wbindgen_placeholder__", "*", WASM_BINDGEN},
    {"__wbindgen_externref_xform__", "*", WASM_BINDGEN},
    {"*", "__wbindgen_*", WASM_BINDGEN},
    {"*", "__wbg_*", WASM_BINDGEN},
    // What emcc -O2 calls "env".
    {"a", "*", EMSCRIPTEN},
    {"env", "emscripten_*", EMSCRIPTEN},
    {"env", "_emscripten_*", EMSCRIPTEN},
    {"env", "__syscall_*", EMSCRIPTEN},
    {"env", "invoke_[vijfd]*", EMSCRIPTEN},
    {"env", "__cxa_*", EMSCRIPTEN},
    {"env", "_embind_*", EMSCRIPTEN},
    {"env", "_emval_*", EMSCRIPTEN},
    {"env", "__assert_fail", EMSCRIPTEN},
    {"env", "abort_on_*", EMSCRIPTEN},
    {"go", "*", GO},
    {"gojs", "*", GO},
    {"env", "abort", ASSEMBLYSCRIPT},
    {"env", "seed", ASSEMBLYSCRIPT},
    {"env", "trace", ASSEMBLYSCRIPT},
    {"env", "console.log", ASSEMBLYSCRIPT},
    {"wasi:*", "*", COMPONENT},
    {"cm32p2*", "*", COMPONENT},
    {"[[]export]*", "*", COMPONENT},
    {"wasi", "thread-spawn", THREADS},
};
enum { ORIGIN_COUNT = sizeof ORIGINS / sizeof *ORIGINS };

/** Names shown of a longer list. */
enum { SHOWN = 8 };

static char *terminated(const char *text, uint32_t length) {
  char *copy = allocate((size_t)length + 1);
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

/* ------------------------------------------------------------------------------------------------------- Unknown functions */

static void print_import(const lucet_extern *import) {
  print_safely(stderr, import->module, import->module_length);
  fputc('.', stderr);
  print_safely(stderr, import->name, import->name_length);
}

static void trap_unknown(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)args;
  fflush(stdout);
  fputs("lucet-wasi: the program called ", stderr);
  print_import(data);
  fputs(", which is not provided (--unknown-imports trap)\n", stderr);
  lucet_vmctx_trap(vm, LUCET_TRAP_UNREACHABLE);
}

static void return_zero(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)vm;
  const lucet_extern *import = data;
  for (uint32_t k = 0; k < import->results; k++) {
    if (import->types[import->params + k] == LUCET_V128) *args++ = 0;
    *args++ = 0;
  }
}

/** References have no zero. */
static bool can_stand_in(const lucet_extern *import, enum unknown_imports unknown) {
  if (import->kind != LUCET_EXTERN_FUNC || unknown == UNKNOWN_REFUSED) return false;
  if (unknown == UNKNOWN_RETURNS_ZERO)
    for (uint32_t k = 0; k < import->results; k++)
      if (import->types[import->params + k] > LUCET_V128) return false;
  return true;
}

static lucet_import stand_in(const lucet_extern *import, enum unknown_imports unknown) {
  lucet_extern *copy = allocate(sizeof *copy);
  *copy = *import;
  return (lucet_import){
      .kind = LUCET_IMPORT_NATIVE,
      .function = unknown == UNKNOWN_TRAPS ? trap_unknown : return_zero,
      .data = copy,
  };
}

/* ----------------------------------------------------------------------------------------------------------------- Missing */

struct missing {
  lucet_extern *imports;
  uint32_t count;
  /** The first of ORIGINS that fits one of them. */
  int origin;
};

static void add_missing(struct missing *m, const lucet_extern *import, const char *from, const char *name) {
  m->imports = realloc(m->imports, (m->count + 1) * sizeof *m->imports);
  if (m->imports == NULL) fail("out of memory");
  m->imports[m->count++] = *import;
  for (int o = 0; o < m->origin; o++)
    if (fnmatch(ORIGINS[o].module, from, 0) == 0 && fnmatch(ORIGINS[o].name, name, 0) == 0) m->origin = o;
}

/** Ends the process if there are any. */
static void refuse_missing(const struct missing *m, const char *label) {
  static const char *const kinds[] = {"function", "table", "memory", "global", "tag"};
  if (m->count == 0) return;
  fflush(stdout);
  fprintf(stderr, "lucet-wasi: ");
  print_safely(stderr, label, strlen(label));
  fprintf(stderr, " needs ");
  if (m->count == 1) fprintf(stderr, "an import that is not provided:\n");
  else fprintf(stderr, "%u imports that are not provided:\n", m->count);
  for (uint32_t k = 0; k < m->count && k < SHOWN; k++) {
    fprintf(stderr, "  %s ", m->imports[k].kind < 5 ? kinds[m->imports[k].kind] : "import");
    print_import(&m->imports[k]);
    fputc('\n', stderr);
  }
  if (m->count > SHOWN) fprintf(stderr, "  and %u more\n", m->count - SHOWN);
  fprintf(stderr, "%s\n", m->origin < ORIGIN_COUNT ? ORIGINS[m->origin].advice : "Only WASI preview 1 is provided. Programs are built for it with the target wasm32-wasi.");
  exit(EXIT_ERROR);
}

/* ----------------------------------------------------------------------------------------------------------------- Linking */

/** Its names with an end; false: one of them holds a zero byte, which no name of ours does. */
static bool names_of(const lucet_extern *import, char **from, char **name) {
  *from = terminated(import->module, import->module_length);
  *name = terminated(import->name, import->name_length);
  return strlen(*from) == import->module_length && strlen(*name) == import->name_length;
}

/** AssemblyScript's programs give it this type; others have functions of that name, too. */
static bool is_abort(const lucet_extern *import) {
  if (import->params != 4 || import->results != 0) return false;
  for (uint32_t k = 0; k < import->params; k++)
    if (import->types[k] != LUCET_I32) return false;
  return true;
}

void check_imports(int file, const char *label, enum unknown_imports unknown) {
  struct missing missing = {.origin = ORIGIN_COUNT};
  uint32_t count;
  const lucet_extern *imports = wasm_imports(file, &count);
  for (uint32_t k = 0; k < count; k++) {
    char *from, *name;
    const char *signature;
    bool whole = names_of(&imports[k], &from, &name), is_function = imports[k].kind == LUCET_EXTERN_FUNC;
    // Types are not compared here.
    bool may_be_there = is_function && whole && (lucet_wasi_lookup(from, name, &signature) != NULL || lucet_assemblyscript_lookup(from, name, NULL) != NULL);
    if (!may_be_there && !(is_function && unknown != UNKNOWN_REFUSED)) add_missing(&missing, &imports[k], from, name);
    free(from);
    free(name);
  }
  refuse_missing(&missing, label);
}

lucet_import *link_imports(const lucet_module *module, const char *label, lucet_wasi_ctx *ctx, enum unknown_imports unknown) {
  uint32_t count = lucet_module_import_count(module);
  lucet_import *imports = allocate((count + 1) * sizeof *imports);
  struct missing missing = {.origin = ORIGIN_COUNT};
  for (uint32_t k = 0; k < count; k++) {
    lucet_extern import;
    lucet_module_import(module, k, &import);
    char *from, *name;
    bool whole = names_of(&import, &from, &name);
    imports[k] = (lucet_import){.kind = LUCET_IMPORT_NATIVE, .data = ctx};
    if (whole && import.kind == LUCET_EXTERN_FUNC) {
      imports[k].function = lucet_wasi_lookup(from, name, &imports[k].signature);
      if (imports[k].function == NULL && is_abort(&import)) imports[k].function = lucet_assemblyscript_lookup(from, name, &imports[k].signature);
    }
    if (imports[k].function == NULL && can_stand_in(&import, unknown)) imports[k] = stand_in(&import, unknown);
    if (imports[k].function == NULL) add_missing(&missing, &import, from, name);
    free(from);
    free(name);
  }
  refuse_missing(&missing, label);
  return imports;
}
