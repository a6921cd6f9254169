/**
 * Wasmtime, through its C API, as it is recommended for many short-lived instances: pooling allocator, modules compiled
 * before, imports resolved before (InstancePre), a store for each instance. The library is loaded at run time; what is
 * used of its interface is declared here (wasmtime.h and wasm.h of version 49).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instances.h"

typedef struct wasm_config wasm_config;
typedef struct wasm_engine wasm_engine;
typedef struct wasm_trap wasm_trap;
typedef struct wasm_functype wasm_functype;
typedef struct wasm_valtype wasm_valtype;
typedef struct pooling_config pooling_config;
typedef struct wt_error wt_error;
typedef struct wt_module wt_module;
typedef struct wt_linker wt_linker;
typedef struct wt_pre wt_pre;
typedef struct wt_store wt_store;
typedef struct wt_context wt_context;
typedef struct wt_caller wt_caller;
typedef struct wasi_config wasi_config;

typedef struct {
  size_t size;
  wasm_valtype **data;
} valtype_vec;
typedef struct {
  uint64_t store;
  void *private;
} wt_func;
typedef struct {
  uint64_t store;
  size_t private;
} wt_instance;
typedef struct {
  uint8_t kind;
  union {
    wt_func func;
    uint64_t room[4];
  } of;
} wt_extern;
typedef union {
  int32_t i32;
  uint8_t room[16];
} wt_raw;

#define FUNCTIONS(F) \
  F(wasm_config *, wasm_config_new, (void)) \
  F(wasm_engine *, wasm_engine_new_with_config, (wasm_config *)) \
  F(void, wasm_engine_delete, (wasm_engine *)) \
  F(void, wasm_trap_delete, (wasm_trap *)) \
  F(wasm_valtype *, wasm_valtype_new, (uint8_t)) \
  F(void, wasm_valtype_vec_new, (valtype_vec *, size_t, wasm_valtype *const *)) \
  F(void, wasm_valtype_vec_new_empty, (valtype_vec *)) \
  F(wasm_functype *, wasm_functype_new, (valtype_vec *, valtype_vec *)) \
  F(pooling_config *, wasmtime_pooling_allocation_config_new, (void)) \
  F(void, wasmtime_pooling_allocation_config_total_core_instances_set, (pooling_config *, uint32_t)) \
  F(void, wasmtime_pooling_allocation_config_total_memories_set, (pooling_config *, uint32_t)) \
  F(void, wasmtime_pooling_allocation_config_total_tables_set, (pooling_config *, uint32_t)) \
  F(void, wasmtime_pooling_allocation_config_linear_memory_keep_resident_set, (pooling_config *, size_t)) \
  F(void, wasmtime_pooling_allocation_config_table_keep_resident_set, (pooling_config *, size_t)) \
  F(void, wasmtime_pooling_allocation_config_max_core_instance_size_set, (pooling_config *, size_t)) \
  F(void, wasmtime_pooling_allocation_strategy_set, (wasm_config *, pooling_config *)) \
  F(wt_error *, wasmtime_module_new, (wasm_engine *, const uint8_t *, size_t, wt_module **)) \
  F(void, wasmtime_module_delete, (wt_module *)) \
  F(wt_linker *, wasmtime_linker_new, (wasm_engine *)) \
  F(void, wasmtime_linker_delete, (wt_linker *)) \
  F(wt_error *, wasmtime_linker_define_wasi, (wt_linker *)) \
  F(wt_error *, wasmtime_linker_define_func_unchecked, \
    (wt_linker *, const char *, size_t, const char *, size_t, const wasm_functype *, wasm_trap *(*)(void *, wt_caller *, wt_raw *, size_t), void *, \
     void (*)(void *))) \
  F(wt_error *, wasmtime_linker_instantiate_pre, (wt_linker *, const wt_module *, wt_pre **)) \
  F(void, wasmtime_instance_pre_delete, (wt_pre *)) \
  F(wt_error *, wasmtime_instance_pre_instantiate, (const wt_pre *, wt_context *, wt_instance *, wasm_trap **)) \
  F(wt_store *, wasmtime_store_new, (wasm_engine *, void *, void (*)(void *))) \
  F(void, wasmtime_store_delete, (wt_store *)) \
  F(wt_context *, wasmtime_store_context, (wt_store *)) \
  F(wt_error *, wasmtime_context_set_wasi, (wt_context *, wasi_config *)) \
  F(wasi_config *, wasi_config_new, (void)) \
  F(bool, wasi_config_set_argv, (wasi_config *, size_t, const char **)) \
  F(bool, wasmtime_instance_export_get, (wt_context *, const wt_instance *, const char *, size_t, wt_extern *)) \
  F(wt_error *, wasmtime_func_call_unchecked, (wt_context *, const wt_func *, wt_raw *, size_t, wasm_trap **)) \
  F(void, wasmtime_error_delete, (wt_error *)) \
  F(bool, wasmtime_error_exit_status, (const wt_error *, int *))

#define DECLARE(result, name, args) result(*name) args;
static struct {
  FUNCTIONS(DECLARE)
} wt;

static void open_library(const char *path) {
  if (wt.wasm_config_new != NULL) return;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  const char *missing = NULL;
#define FIND(result, name, args) \
  *(void **)&wt.name = dlsym(library, #name); \
  if (wt.name == NULL) missing = #name;
  FUNCTIONS(FIND)
  if (missing != NULL) {
    fprintf(stderr, "%s has no %s: this is for version 49\n", path, missing);
    exit(1);
  }
}

struct module {
  wasm_engine *engine;
  wt_module *module;
  wt_linker *linker;
  wt_pre *pre;
  bool wasi;
};

struct instance {
  struct module *module;
  wt_store *store;
  wt_context *context;
  wt_instance instance;
  wt_func add, hostcalls, load, check;
};

static _Thread_local struct instance state;

static wasm_trap *host(void *data, wt_caller *caller, wt_raw *args, size_t n) {
  (void)data;
  (void)caller;
  (void)n;
  args[0].i32 = (int32_t)((uint32_t)args[0].i32 + (uint32_t)args[1].i32);
  return NULL;
}

static wasm_trap *nothing(void *data, wt_caller *caller, wt_raw *args, size_t n) {
  (void)data;
  (void)caller;
  (void)args;
  (void)n;
  return NULL;
}

static void must(wt_error *e, const char *what) {
  if (e == NULL) return;
  fprintf(stderr, "wasmtime: %s failed\n", what);
  exit(1);
}

static void define_hosts(wt_linker *linker) {
  valtype_vec params, results, none[2];
  wasm_valtype *two[2] = {wt.wasm_valtype_new(0), wt.wasm_valtype_new(0)}, *one[1] = {wt.wasm_valtype_new(0)};
  wt.wasm_valtype_vec_new(&params, 2, two);
  wt.wasm_valtype_vec_new(&results, 1, one);
  wt.wasm_valtype_vec_new_empty(&none[0]);
  wt.wasm_valtype_vec_new_empty(&none[1]);
  must(wt.wasmtime_linker_define_func_unchecked(linker, "env", 3, "host", 4, wt.wasm_functype_new(&params, &results), host, NULL, NULL), "define");
  must(wt.wasmtime_linker_define_func_unchecked(linker, "env", 3, "embedder", 8, wt.wasm_functype_new(&none[0], &none[1]), nothing, NULL, NULL), "define");
}

static void *load_with(const char *path, const char *library, uint32_t capacity, bool pooling) {
  open_library(library);
  FILE *f = fopen(path, "rb");
  if (f == NULL) return NULL;
  fseek(f, 0, SEEK_END);
  size_t size = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(size);
  if (bytes == NULL || fread(bytes, 1, size, f) != size) exit(1);
  fclose(f);
  struct module *m = calloc(1, sizeof *m);
  wasm_config *config = wt.wasm_config_new();
  if (pooling) {
    pooling_config *p = wt.wasmtime_pooling_allocation_config_new();
    wt.wasmtime_pooling_allocation_config_total_core_instances_set(p, capacity);
    wt.wasmtime_pooling_allocation_config_total_memories_set(p, capacity);
    wt.wasmtime_pooling_allocation_config_total_tables_set(p, capacity);
    wt.wasmtime_pooling_allocation_config_max_core_instance_size_set(p, 8u << 20);
    /* What its documentation recommends for speed. */
    wt.wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(p, 128u << 10);
    wt.wasmtime_pooling_allocation_config_table_keep_resident_set(p, 16u << 10);
    wt.wasmtime_pooling_allocation_strategy_set(config, p);
  }
  m->engine = wt.wasm_engine_new_with_config(config);
  must(wt.wasmtime_module_new(m->engine, bytes, size, &m->module), "compilation");
  m->wasi = memmem(bytes, size, "wasi_snapshot_preview1", 22) != NULL;
  free(bytes);
  m->linker = wt.wasmtime_linker_new(m->engine);
  must(wt.wasmtime_linker_define_wasi(m->linker), "WASI");
  define_hosts(m->linker);
  must(wt.wasmtime_linker_instantiate_pre(m->linker, m->module, &m->pre), "linking");
  return m;
}

static void *load(const char *path, const char *library, uint32_t capacity) { return load_with(path, library, capacity, true); }

static void unload(void *module) {
  struct module *m = module;
  wt.wasmtime_instance_pre_delete(m->pre);
  wt.wasmtime_linker_delete(m->linker);
  wt.wasmtime_module_delete(m->module);
  wt.wasm_engine_delete(m->engine);
  free(m);
}

static bool make_into(struct instance *i, struct module *m) {
  i->module = m;
  i->store = wt.wasmtime_store_new(m->engine, NULL, NULL);
  i->context = wt.wasmtime_store_context(i->store);
  if (m->wasi) {
    wasi_config *w = wt.wasi_config_new();
    const char *arg = "hello";
    wt.wasi_config_set_argv(w, 1, &arg);
    must(wt.wasmtime_context_set_wasi(i->context, w), "WASI");
  }
  wasm_trap *trap = NULL;
  return wt.wasmtime_instance_pre_instantiate(m->pre, i->context, &i->instance, &trap) == NULL && trap == NULL;
}

static void *make(void *module) {
  if (!make_into(&state, module)) exit(1);
  return &state;
}

static bool function(struct instance *i, const char *name, wt_func *f) {
  wt_extern e;
  if (!wt.wasmtime_instance_export_get(i->context, &i->instance, name, strlen(name), &e) || e.kind != 0) return false;
  *f = e.of.func;
  return true;
}

static bool run(void *instance) {
  struct instance *i = instance;
  wt_func f;
  wasm_trap *trap = NULL;
  wt_raw none[1];
  if (!function(i, "_start", &f)) return false;
  wt_error *e = wt.wasmtime_func_call_unchecked(i->context, &f, none, 1, &trap);
  int status = 0;
  if (e != NULL && !wt.wasmtime_error_exit_status(e, &status)) return false;
  return trap == NULL && status == 0;
}

static void drop(void *instance) { wt.wasmtime_store_delete(((struct instance *)instance)->store); }

static bool find(void *instance) {
  struct instance *i = instance;
  return function(i, "add", &i->add) && function(i, "hostcalls", &i->hostcalls) && function(i, "load", &i->load) && function(i, "check", &i->check);
}

static uint32_t add(void *instance, uint32_t n) {
  struct instance *i = instance;
  wasm_trap *trap = NULL;
  wt_raw v[2] = {{.i32 = 0}};
  for (uint32_t k = 0; k < n; k++) {
    v[1].i32 = (int32_t)k;
    wt.wasmtime_func_call_unchecked(i->context, &i->add, v, 2, &trap);
  }
  return (uint32_t)v[0].i32;
}

static bool hostcalls(void *instance, uint32_t n) {
  struct instance *i = instance;
  wasm_trap *trap = NULL;
  wt_raw v[1] = {{.i32 = (int32_t)n}};
  return wt.wasmtime_func_call_unchecked(i->context, &i->hostcalls, v, 1, &trap) == NULL && trap == NULL && v[0].i32 == (int32_t)n;
}

static bool trap_caught(void *instance, bool check) {
  struct instance *i = instance;
  wasm_trap *trap = NULL;
  wt_raw v[1] = {{.i32 = 0x7fffffff}};
  wt.wasmtime_func_call_unchecked(i->context, check ? &i->check : &i->load, v, 1, &trap);
  if (trap == NULL) return false;
  wt.wasm_trap_delete(trap);
  return true;
}

const struct engine ENGINE_WASMTIME = {"wasmtime", 2, load, unload, make, run, drop, find, add, NULL, hostcalls, trap_caught, NULL, NULL};

/** Not in the middle of a run: the C API has no instances that are. */
bool live_wasmtime(const char *path, const char *library, uint32_t most) {
  struct module *m = load_with(path, library, 0, false);
  struct instance *all = calloc(most, sizeof *all);
  struct usage before = usage();
  uint32_t made = 0;
  while (made < most && make_into(&all[made], m)) made++;
  struct usage after = usage();
  row("wasmtime", "live instances, not started", made, made, "instances");
  row("wasmtime", "resident, each", (double)(after.resident - before.resident) / made, 0, "bytes");
  row("wasmtime", "page tables, each", (double)(after.page_tables - before.page_tables) / made, 0, "bytes");
  row("wasmtime", "mappings, all", (double)(after.mappings - before.mappings), 0, "mappings");
  return made != 0;
}
