/** Lets another engine's guests call the WASI functions: the part of the runtime that they use, over a memory that is passed in. */
#include <setjmp.h>
#include <stdlib.h>

#include "../native/wasi.h"
#include "../native/wasi_path.h"

struct lucet_vmctx {
  uint8_t *memory;
  uint64_t length;
  jmp_buf exit;
  uint64_t exit_code;
};

void *lucet_vmctx_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) {
  if (length > vm->length || offset > vm->length - length) return NULL;
  return vm->memory + offset;
}

lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm) {
  (void)vm;
  return NULL;
}

int lucet_vmctx_terminating(lucet_vmctx *vm) {
  (void)vm;
  return 0;
}

void lucet_vmctx_terminate(lucet_vmctx *vm, uint32_t reason, uint64_t details) {
  vm->exit_code = details;
  longjmp(vm->exit, reason == LUCET_REASON_EXIT ? 1 : 2);
}

/** No stream of these tests makes a guest wait. */
void lucet_vmctx_yield(lucet_vmctx *vm, lucet_value value, const void *expects, lucet_continuation continuation, void *data) {
  (void)vm, (void)value, (void)expects, (void)continuation, (void)data;
  abort();
}

lucet_value lucet_instance_yielded(const lucet_instance *instance) {
  (void)instance;
  return (lucet_value){NULL, 0};
}

/** 0: returned, its result is in args[0]. 1: the guest exits, with the code in args[0]. */
LUCET_API int wasi_v8_call(const char *module, const char *name, uint8_t *memory, uint64_t length, uint64_t *args, lucet_wasi_ctx *ctx) {
  lucet_vmctx vm = {.memory = memory, .length = length};
  lucet_host_function f = lucet_wasi_lookup(module, name, NULL);
  int left = setjmp(vm.exit);
  if (left == 0) f(&vm, args, ctx);
  else args[0] = vm.exit_code;
  return left;
}

LUCET_API const char *wasi_v8_signature(const char *module, const char *name) {
  const char *signature = NULL;
  return lucet_wasi_lookup(module, name, &signature) == NULL ? NULL : signature;
}

LUCET_API void wasi_v8_set_walk(int walk) { wasi_path_set_walk(walk); }
