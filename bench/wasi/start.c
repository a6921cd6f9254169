/**
 * What `wasmtime run --allow-precompiled` does and no more, over its C API: `start LIBRARY PROGRAM.cwasm`. The peer of `lucet-wasi PROGRAM.so` when
 * whole processes are measured.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

static void *symbol(const char *name) {
  void *s = dlsym(library, name);
  if (s != NULL) return s;
  fprintf(stderr, "%s: %s\n", name, dlerror());
  exit(1);
}

#define CALL(result, name, ...) (((result(*)())symbol(name))(__VA_ARGS__))

static void check(void *error, const char *what) {
  if (error == NULL) return;
  int status;
  if (CALL(bool, "wasmtime_error_exit_status", error, &status)) exit(status);
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  void *engine = CALL(void *, "wasm_engine_new"), *module, *trap = NULL;
  check(CALL(void *, "wasmtime_module_deserialize_file", engine, argv[2], &module), "loading");
  void *store = CALL(void *, "wasmtime_store_new", engine, NULL, NULL), *context = CALL(void *, "wasmtime_store_context", store);
  void *wasi = CALL(void *, "wasi_config_new");
  CALL(void, "wasi_config_inherit_stdin", wasi);
  CALL(void, "wasi_config_inherit_stdout", wasi);
  CALL(void, "wasi_config_inherit_stderr", wasi);
  check(CALL(void *, "wasmtime_context_set_wasi", context, wasi), "WASI");
  void *linker = CALL(void *, "wasmtime_linker_new", engine);
  check(CALL(void *, "wasmtime_linker_define_wasi", linker), "linking");
  // wasmtime_instance_t, and wasmtime_extern_t: the kind, then the function.
  uint64_t instance[8], start[16];
  check(CALL(void *, "wasmtime_linker_instantiate", linker, context, module, instance, &trap), "instantiating");
  CALL(bool, "wasmtime_instance_export_get", context, instance, "_start", (size_t)6, start);
  check(CALL(void *, "wasmtime_func_call", context, start + 1, NULL, (size_t)0, NULL, (size_t)0, &trap), "running");
  return trap != NULL;
}
