/**
 * WASI preview 1 for guests of Lucet: what a module compiled for wasm32-wasi imports, as native host functions.
 *
 *     lucet_wasi_ctx *w = lucet_wasi_ctx_new();
 *     lucet_wasi_ctx_set_args(w, "prog\0x\0", 7, 2);
 *     lucet_wasi_ctx_preopen(w, "/srv/data", "/", LUCET_WASI_READONLY);
 *     // for each function import: lucet_wasi_lookup(module, name, &import.signature) and import.data = w
 *     …
 *     lucet_wasi_ctx_free(w);
 *
 * A context belongs to one instance. It must outlive the instance's last run and, like the instance, is used by one thread at a time.
 * A new context grants nothing: no arguments, no environment, no files, and standard streams that are empty (input) or discard (output).
 *
 * proc_exit ends the run with LUCET_EVENT_TERMINATED, LUCET_REASON_EXIT and the exit status.
 *
 * Writing to a pipe without a reader raises SIGPIPE as usual: an embedder who wants an error for the guest instead ignores that signal.
 */
#ifndef LUCET_WASI_H
#define LUCET_WASI_H

#include "lucet.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lucet_wasi_ctx lucet_wasi_ctx;

/** NULL: out of memory. */
LUCET_API lucet_wasi_ctx *lucet_wasi_ctx_new(void);
/** Closes what the guest has open and what was preopened by path. */
LUCET_API void lucet_wasi_ctx_free(lucet_wasi_ctx *ctx);

/*
 * The functions below return 0 or an errno of the host.
 */

/** `count` strings, each with its terminating zero, one behind the other in `length` bytes. The first is the program's name. */
LUCET_API int lucet_wasi_ctx_set_args(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count);
/** The same, each "NAME=value". */
LUCET_API int lucet_wasi_ctx_set_env(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count);

enum {
  /** The guest has no such descriptor. */
  LUCET_WASI_STDIO_CLOSED = 0,
  /** Reads end at once, writes are discarded. */
  LUCET_WASI_STDIO_NULL = 1,
  /** The host's descriptor `host_fd`, which stays the caller's and must stay open. */
  LUCET_WASI_STDIO_FD = 2,
};
/** What the guest's descriptor 0, 1 or 2 is. */
LUCET_API int lucet_wasi_ctx_set_stdio(lucet_wasi_ctx *ctx, uint32_t guest_fd, uint32_t kind, int host_fd);

enum {
  /** Nothing below can be changed, whatever the guest opens it as: EROFS. */
  LUCET_WASI_READONLY = 1,
};
/** Grants a directory under a guest name. It gets the lowest free descriptor from 3. */
LUCET_API int lucet_wasi_ctx_preopen(lucet_wasi_ctx *ctx, const char *host_path, const char *guest_path, uint32_t flags);
/** The same for a directory that is open already; `host_fd` stays the caller's. Costs no system call. */
LUCET_API int lucet_wasi_ctx_preopen_fd(lucet_wasi_ctx *ctx, int host_fd, const char *guest_path, uint32_t flags);

/**
 * A function of module "wasi_snapshot_preview1" or "wasi_unstable"; NULL: there is none of that name. `signature` gets its type as in
 * lucet_import.signature. Its `data` is the lucet_wasi_ctx.
 */
LUCET_API lucet_host_function lucet_wasi_lookup(const char *module, const char *name, const char **signature);

#ifdef __cplusplus
}
#endif
#endif
