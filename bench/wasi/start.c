/**
 * `start --time N COMMAND… -- COMMAND…`: runs the commands in turns, N times each, and prints the nanoseconds of each
 * run, a line for each command. A small process starts others faster than a large one does.
 *
 * Otherwise: what `wasmtime run --allow-precompiled` does and no more, over its C API: `start LIBRARY PROGRAM.cwasm`.
 * The peer of `lucet-wasi PROGRAM.so` when whole processes are measured.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

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

extern char **environ;

static long long run(char **command) {
  struct timespec from, to;
  pid_t child;
  int status;
  clock_gettime(CLOCK_MONOTONIC, &from);
  if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0 || waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "%s failed\n", command[0]);
    exit(1);
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  return (to.tv_sec - from.tv_sec) * 1000000000ll + to.tv_nsec - from.tv_nsec;
}

static int time_commands(int rounds, char **at) {
  char **commands[8];
  int count = 0;
  commands[count++] = at;
  for (; *at != NULL; at++) {
    if (strcmp(*at, "--") != 0 || count == 8) continue;
    *at = NULL;
    commands[count++] = at + 1;
  }
  long long *times = calloc((size_t)(rounds * count), sizeof *times);
  for (int r = 0; r < rounds; r++)
    for (int k = 0; k < count; k++) times[k * rounds + r] = run(commands[k]);
  for (int k = 0; k < count; k++)
    for (int r = 0; r < rounds; r++) fprintf(stderr, "%lld%c", times[k * rounds + r], r + 1 < rounds ? ' ' : '\n');
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 3 && strcmp(argv[1], "--time") == 0) return time_commands(atoi(argv[2]), argv + 3);
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
