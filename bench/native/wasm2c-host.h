/**
 * A host for a module that wasm2c has made C of: our WASI functions (runtime/native/wasi*.c) over its memory.
 * engine-wasm2c.ts writes the file that includes this one: a stub for each import, and what of wasm2c's names depends
 * on its version.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "wasi.h"

#include "clock.h"

struct lucet_vmctx {
  wasm_rt_memory_t *memory;
  lucet_wasi_ctx *ctx;
  jmp_buf exit;
  int status;
};
static lucet_vmctx vmctx;

void *lucet_guest_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) {
  const uint64_t size = vm->memory->size;
  return length > size || offset > size - length ? NULL : vm->memory->data + offset;
}

void *lucet_vmctx_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) { return lucet_guest_memory(vm, offset, length); }

lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm) { return vm->ctx; }

int lucet_vmctx_terminating(lucet_vmctx *vm) {
  (void)vm;
  return 0;
}

void lucet_vmctx_terminate(lucet_vmctx *vm, uint32_t reason, uint64_t details) {
  vm->status = reason == LUCET_REASON_EXIT ? (int)details : 254;
  longjmp(vm->exit, 1);
}

// Nobody pauses a guest here, or waits in its place.
lucet_wait lucet_vmctx_wait(lucet_vmctx *vm) {
  (void)vm;
  return LUCET_WAIT_ON;
}

void lucet_vmctx_waited(lucet_vmctx *vm) { (void)vm; }

bool lucet_vmctx_wasi_yields(lucet_vmctx *vm) {
  (void)vm;
  return false;
}

void lucet_vmctx_stop(lucet_vmctx *vm, lucet_value value, lucet_continuation continuation, void *data) {
  (void)vm, (void)value, (void)continuation, (void)data;
  abort();
}

// Only streams that would have to be waited for yield: there are none here.
void lucet_vmctx_yield(lucet_vmctx *vm, lucet_value value, const void *expects, lucet_continuation continuation, void *data) {
  (void)vm, (void)value, (void)expects, (void)continuation, (void)data;
  abort();
}

lucet_value lucet_instance_yielded(const lucet_instance *instance) {
  (void)instance;
  return (lucet_value){NULL, 0};
}

/** Arguments and result as 64-bit words. */
static uint64_t wasi_call(const char *module, const char *name, uint64_t *words) {
  const char *signature;
  lucet_host_function f = lucet_wasi_lookup(module, name, &signature);
  if (f == NULL) {
    fprintf(stderr, "no function %s.%s\n", module, name);
    exit(253);
  }
  f(&vmctx, words, NULL);
  return words[0];
}

/**
 * Arguments: the program's name as the guest sees it, the file for the time, then the guest's own. The current
 * directory is granted as ".".
 */
static void host_begin(int argc, char **argv, wasm_rt_memory_t *memory) {
  char strings[4096];
  size_t length = 0;
  uint32_t count = 0;
  for (int k = 1; k < argc; k++) {
    if (k == 2) continue;
    const size_t size = strlen(argv[k]) + 1;
    if (size > sizeof strings - length) exit(253);
    memcpy(strings + length, argv[k], size);
    length += size;
    count++;
  }
  lucet_wasi_template *t = lucet_wasi_template_new();
  if (t == NULL || lucet_wasi_template_set_args(t, strings, length, count) != 0) exit(253);
  for (uint32_t fd = 0; fd < 3; fd++) {
    if (lucet_wasi_template_set_stdio(t, fd, LUCET_WASI_STDIO_FD, (int)fd) != 0) exit(253);
  }
  if (lucet_wasi_template_preopen(t, ".", ".", 0) != 0) exit(253);
  vmctx.memory = memory;
  vmctx.ctx = lucet_wasi_ctx_new(t);
  if (vmctx.ctx == NULL) exit(253);
}
