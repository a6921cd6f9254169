/** Lucet, both kinds of regions. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "instances.h"
#include "lucet.h"
#include "wasi.h"

struct module {
  lucet_module *module;
  lucet_region *region;
  lucet_region_kind kind;
  lucet_wasi_template *wasi;
  lucet_import *imports;
  uint32_t import_count;
  /** Imports something of WASI. */
  bool uses_wasi;
  int32_t start;
  lucet_error error;
};

struct instance {
  lucet_instance *instance;
  struct module *module;
  lucet_wasi_ctx *wasi;
  lucet_funcref *add, *hostcalls, *load, *check, *yield, *spin;
  lucet_prepared_call prepared;
};

static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)vm;
  (void)data;
  args[0] = (uint32_t)(args[0] + args[1]);
}

static void give_imports(struct module *m) {
  m->import_count = lucet_module_import_count(m->module);
  m->imports = calloc(m->import_count + 1, sizeof *m->imports);
  for (uint32_t k = 0; k < m->import_count; k++) {
    lucet_extern e;
    lucet_module_import(m->module, k, &e);
    char module[64], name[64];
    snprintf(module, sizeof module, "%.*s", (int)e.module_length, e.module);
    snprintf(name, sizeof name, "%.*s", (int)e.name_length, e.name);
    lucet_import *i = &m->imports[k];
    if (strcmp(name, "host") == 0) {
      *i = (lucet_import){.kind = LUCET_IMPORT_NATIVE, .function = native_import, .signature = "ii:i"};
    } else if (strcmp(name, "embedder") == 0) {
      *i = (lucet_import){.kind = LUCET_IMPORT_HOSTCALL, .signature = ":"};
    } else {
      i->kind = LUCET_IMPORT_NATIVE;
      i->function = lucet_wasi_lookup(module, name, &i->signature);
      m->uses_wasi = true;
    }
  }
}

static void *load(const char *path, uint32_t capacity, lucet_region_kind kind) {
  struct module *m = calloc(1, sizeof *m);
  m->kind = kind;
  lucet_limits l;
  lucet_limits_default_dense(&l);
  l.heap_memory_size = 2u << 20;
  const lucet_region_options o = {.kind = kind, .limits = kind == LUCET_REGION_DENSE ? &l : NULL};
  if (lucet_module_load_file(path, &m->module, &m->error) != LUCET_OK || lucet_region_create_with(capacity, &o, &m->region, &m->error) != LUCET_OK) {
    fprintf(stderr, "%s\n", m->error.message);
    exit(1);
  }
  give_imports(m);
  m->start = lucet_module_find_export(m->module, "_start", 6);
  m->wasi = lucet_wasi_template_new();
  lucet_wasi_template_set_args(m->wasi, "hello", 6, 1);
  return m;
}

static void *load_guarded(const char *path, const char *wasmtime, uint32_t capacity) {
  (void)wasmtime;
  return load(path, capacity, LUCET_REGION_GUARDED);
}

static void *load_dense(const char *path, const char *wasmtime, uint32_t capacity) {
  (void)wasmtime;
  return load(path, capacity, LUCET_REGION_DENSE);
}

static void unload(void *module) {
  struct module *m = module;
  lucet_region_release(m->region);
  lucet_module_release(m->module);
  lucet_wasi_template_release(m->wasi);
  free(m->imports);
  free(m);
}

/** One for each kind of region: borders are crossed by both in turn. */
static _Thread_local struct instance states[2];
static _Thread_local lucet_error error;

static void *make(void *module) {
  struct module *m = module;
  struct instance *i = &states[m->kind == LUCET_REGION_DENSE];
  i->module = m;
  i->wasi = m->uses_wasi ? lucet_wasi_ctx_new(m->wasi) : NULL;
  if (lucet_instance_new(m->region, m->module, m->imports, m->import_count, &i->instance, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  lucet_instance_set_wasi(i->instance, i->wasi);
  return i;
}

static bool run(void *instance) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[2] = {0, 0};
  if (lucet_instance_call_export(i->instance, (uint32_t)i->module->start, args, &e, &error) != LUCET_OK) return false;
  return e.kind == LUCET_EVENT_RETURNED || (e.kind == LUCET_EVENT_TERMINATED && e.id == 0);
}

static void drop(void *instance) {
  struct instance *i = instance;
  lucet_instance_release(i->instance);
  if (i->wasi != NULL) lucet_wasi_ctx_free(i->wasi);
}

static lucet_funcref *function(struct instance *i, const char *name) {
  lucet_extern e;
  int32_t n = lucet_module_find_export(i->module->module, name, strlen(name));
  if (n < 0 || lucet_module_export(i->module->module, (uint32_t)n, &e) != LUCET_OK) return NULL;
  return lucet_instance_function(i->instance, e.index);
}

static bool find(void *instance) {
  struct instance *i = instance;
  i->add = function(i, "add");
  i->hostcalls = function(i, "hostcalls");
  i->load = function(i, "load");
  i->check = function(i, "check");
  i->yield = function(i, "yield");
  i->spin = function(i, "spin");
  if (i->add == NULL || lucet_call_prepare(i->instance, i->add, &i->prepared, &error) != LUCET_OK) return false;
  return i->hostcalls != NULL && i->load != NULL && i->check != NULL && i->yield != NULL && i->spin != NULL;
}

static uint32_t add(void *instance, uint32_t n) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[2] = {0};
  for (uint32_t k = 0; k < n; k++) {
    args[1] = k;
    lucet_instance_call(i->instance, i->add, args, &e, NULL);
  }
  return (uint32_t)args[0];
}

static uint32_t add_prepared(void *instance, uint32_t n) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[2] = {0};
  for (uint32_t k = 0; k < n; k++) {
    args[1] = k;
    lucet_call_prepared(&i->prepared, args, &e, NULL);
  }
  return (uint32_t)args[0];
}

static bool hostcalls(void *instance, uint32_t n) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[1] = {n};
  return lucet_instance_call(i->instance, i->hostcalls, args, &e, NULL) == LUCET_OK && (uint32_t)args[0] == n;
}

static bool trap(void *instance, bool check) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[1] = {0x7fffffff};
  return lucet_instance_call(i->instance, check ? i->check : i->load, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_TRAPPED;
}

static bool yield(void *instance) {
  struct instance *i = instance;
  lucet_event e;
  uint64_t args[1] = {1000};
  bool ok = lucet_instance_call(i->instance, i->yield, args, &e, NULL) == LUCET_OK;
  uint32_t n = 0;
  for (; ok && e.kind == LUCET_EVENT_HOSTCALL; n++) ok = lucet_instance_resume(i->instance, &e, NULL) == LUCET_OK;
  return ok && n == 1000;
}

/* ---- A runaway guest */

struct runaway {
  struct instance *instance;
  atomic_bool begun;
  /** When the thread had its end; 0: not yet. */
  _Atomic(uint64_t) ended;
  bool killed;
};

static void *run_away(void *data) {
  struct runaway *r = data;
  lucet_event e;
  uint64_t none[1] = {0};
  atomic_store(&r->begun, true);
  bool ok = lucet_instance_call(r->instance->instance, r->instance->spin, none, &e, NULL) == LUCET_OK;
  r->killed = ok && e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_REMOTE;
  atomic_store(&r->ended, now_ns());
  return NULL;
}

static uint64_t kill_loop(void *instance) {
  struct runaway r = {.instance = instance};
  lucet_kill_switch *k;
  pthread_t thread;
  if (lucet_instance_kill_switch(r.instance->instance, &k, NULL) != LUCET_OK || pthread_create(&thread, NULL, run_away, &r) != 0) return 0;
  while (!atomic_load(&r.begun)) usleep(20);
  usleep(200);
  uint64_t asked = now_ns();
  (void)lucet_kill_switch_terminate(k);
  pthread_join(thread, NULL);
  lucet_kill_switch_release(k);
  return r.killed ? r.ended - asked : 0;
}

const struct engine ENGINE_GUARDED = {"lucet-guarded", 0, load_guarded, unload, make, run, drop, find, add, add_prepared, hostcalls, trap, yield, kill_loop};
const struct engine ENGINE_DENSE = {"lucet-dense", 1, load_dense, unload, make, run, drop, find, add, add_prepared, hostcalls, trap, yield, kill_loop};

/* ---- Many at a time */

static const char HELLO[] = "Hello, world!\n";

/** fd_write(1, iovs, count, written) of a suspended guest, carried out. False: not what hello prints. */
static bool finish_write(const lucet_event *e) {
  uint64_t length;
  uint8_t *memory = lucet_instance_memory(e->instance, 0, &length);
  uint32_t iovs = (uint32_t)e->args[1], count = (uint32_t)e->args[2], written = (uint32_t)e->args[3], total = 0;
  char text[64];
  for (uint32_t k = 0; k < count; k++) {
    uint32_t iov[2];
    memcpy(iov, memory + iovs + 8 * (size_t)k, sizeof iov);
    if (total + iov[1] > sizeof text) return false;
    memcpy(text + total, memory + iov[0], iov[1]);
    total += iov[1];
  }
  memcpy(memory + written, &total, sizeof total);
  e->args[0] = 0;
  return total == sizeof HELLO - 1 && memcmp(text, HELLO, total) == 0;
}

/** Pages of [start, end) that are there. */
static uint64_t present(const uint8_t *start, const uint8_t *end) {
  uint64_t n = 0;
  int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  for (const uint8_t *p = start; fd >= 0 && p < end; p += 4096) {
    uint64_t entry = 0;
    if (pread(fd, &entry, 8, (off_t)((uintptr_t)p / 4096 * 8)) == 8) n += entry >> 63;
  }
  if (fd >= 0) close(fd);
  return n;
}

/**
 * Bytes that the guest itself touched of heap and stack. The stack ends a page below the heap: that page is the vmctx.
 */
static double touched(lucet_instance *i) {
  uint64_t length;
  const uint8_t *memory = lucet_instance_memory(i, 0, &length);
  return 4096.0 * (double)(present(memory, memory + length) + present(memory - (32u << 10), memory - 4096));
}

bool live_lucet(const struct engine *e, const char *path, uint32_t count) {
  bool dense = strcmp(e->name, "lucet-dense") == 0;
  lucet_limits l;
  if (dense) {
    lucet_limits_default_dense(&l);
    l.heap_memory_size = 256u << 10;
    l.stack_size = 32u << 10;
    l.vmctx_size = 4u << 10;
  }
  const lucet_region_options o = {.kind = dense ? LUCET_REGION_DENSE : LUCET_REGION_GUARDED, .limits = dense ? &l : NULL};
  struct module m = {.region = NULL};
  if (lucet_module_load_file(path, &m.module, &m.error) != LUCET_OK) return false;
  give_imports(&m);
  for (uint32_t k = 0; k < m.import_count; k++) {
    lucet_extern x;
    lucet_module_import(m.module, k, &x);
    if (x.name_length == 8 && memcmp(x.name, "fd_write", 8) == 0) m.imports[k] = (lucet_import){.kind = LUCET_IMPORT_HOSTCALL, .signature = "iiii:i"};
  }
  m.start = lucet_module_find_export(m.module, "_start", 6);
  m.wasi = lucet_wasi_template_new();
  lucet_wasi_template_set_args(m.wasi, "hello", 6, 1);
  lucet_instance **all = calloc(count, sizeof *all);
  lucet_event *events = calloc(count, sizeof *events);
  lucet_wasi_ctx **ctx = calloc(count, sizeof *ctx);
  struct usage before = usage();
  bool ok = lucet_region_create_with(count, &o, &m.region, &m.error) == LUCET_OK;
  uint64_t args[2] = {0, 0};
  uint32_t made = 0;
  uint64_t start = now_ns();
  for (; ok && made < count; made++) {
    ctx[made] = lucet_wasi_ctx_new(m.wasi);
    ok = lucet_instance_new(m.region, m.module, m.imports, m.import_count, &all[made], &m.error) == LUCET_OK;
    if (!ok) break;
    lucet_instance_set_wasi(all[made], ctx[made]);
    ok = lucet_instance_call_export(all[made], (uint32_t)m.start, args, &events[made], &m.error) == LUCET_OK &&
         events[made].kind == LUCET_EVENT_HOSTCALL;
  }
  if (!ok) fprintf(stderr, "%s: instance %u: %s\n", e->name, made, m.error.message);
  struct usage after = usage();
  row(e->name, "live instances, stopped in their run", made, made, "instances");
  row(e->name, "make and run to its first write, live", (double)(now_ns() - start) / 1e3 / made, 0, "us");
  double each = (double)(after.resident - before.resident) / made;
  row(e->name, "resident, each", each, 0, "bytes");
  if (ok) row(e->name, "resident, each, beyond what the guest touched", each - touched(all[made / 2]), 0, "bytes");
  row(e->name, "page tables, each", (double)(after.page_tables - before.page_tables) / made, 0, "bytes");
  row(e->name, "mappings, all", (double)(after.mappings - before.mappings), 0, "mappings");
  uint32_t right = 0;
  for (uint32_t k = 0; k < made; k++) {
    bool good = finish_write(&events[k]) && lucet_instance_resume(all[k], &events[k], &m.error) == LUCET_OK;
    good = good && (events[k].kind == LUCET_EVENT_RETURNED || (events[k].kind == LUCET_EVENT_TERMINATED && events[k].id == 0));
    right += good;
    lucet_instance_release(all[k]);
    lucet_wasi_ctx_free(ctx[k]);
  }
  row(e->name, "live instances, finished with the right output", right, right, "instances");
  lucet_region_release(m.region);
  lucet_module_release(m.module);
  lucet_wasi_template_release(m.wasi);
  free(m.imports);
  free(all);
  free(events);
  free(ctx);
  return ok && right == count;
}
