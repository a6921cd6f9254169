/**
 * Lets another engine's guests call the WASI functions, over a memory that is passed in: a host of the tests
 * (wasi_host.c) behind three doors.
 */
#include "../native/test/wasi_host.h"

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
