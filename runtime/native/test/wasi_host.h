/**
 * A host for the WASI functions in place of the runtime: guest memory of an exact size, so that the sanitizer sees
 * every byte beyond it.
 */
#ifndef LUCET_WASI_HOST_H
#define LUCET_WASI_HOST_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../wasi.h"
#include "../wasi_abi.h"
#include "../wasi_guards.h"
#include "../wasi_path.h"

struct lucet_vmctx {
  uint8_t *memory;
  uint64_t length;
  lucet_wasi_ctx *ctx;
  jmp_buf exit;
  uint64_t exit_code;
};

/** What a call came to when the guest was ended: never an errno. */
enum { EXITED = 1000, ENDED = 1001 };

/**
 * Calls a function with words as arguments; the upper halves of i32s are filled with what would be noticed.
 * @return its errno, EXITED or ENDED
 */
int call_words(lucet_vmctx *vm, const char *name, const uint64_t *words, int count);

#define CALL(vm, name, ...) \
  call_words(vm, #name, (const uint64_t[]){__VA_ARGS__}, (int)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

#endif
