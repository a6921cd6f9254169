/** A host for the WASI functions in place of the runtime. */
#include "wasi_host.h"

void *lucet_guest_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) {
  if (length > vm->length || offset > vm->length - length) return NULL;
  return vm->memory + offset;
}

void *lucet_vmctx_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) { return lucet_guest_memory(vm, offset, length); }

lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm) { return vm->ctx; }

int lucet_vmctx_terminating(lucet_vmctx *vm) {
  (void)vm;
  return 0;
}

lucet_wait lucet_vmctx_wait(lucet_vmctx *vm) {
  (void)vm;
  return LUCET_WAIT_ON;
}

void lucet_vmctx_waited(lucet_vmctx *vm) { (void)vm; }

void lucet_vmctx_stop(lucet_vmctx *vm, lucet_value value, lucet_continuation continuation, void *data) {
  (void)vm, (void)value, (void)continuation, (void)data;
  abort();
}

bool lucet_vmctx_wasi_yields(lucet_vmctx *vm) {
  (void)vm;
  return false;
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

int call_words(lucet_vmctx *vm, const char *name, const uint64_t *words, int count) {
  const char *signature;
  lucet_host_function f = lucet_wasi_lookup("wasi_snapshot_preview1", name, &signature);
  uint64_t args[10] = {0};
  if (f == NULL) abort();
  for (int k = 0; k < count && signature[k] != ':'; k++) args[k] = signature[k] == 'I' ? words[k] : 0xdeadbeef00000000u | (uint32_t)words[k];
  int left = setjmp(vm->exit);
  if (left != 0) return left == 1 ? EXITED : ENDED;
  f(vm, args, NULL);
  return (int)(uint32_t)args[0];
}
