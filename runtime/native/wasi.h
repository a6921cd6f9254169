/**
 * WASI preview 1 for guests of Lucet: what a module compiled for wasm32-wasi imports, as native host functions.
 *
 *     lucet_wasi_template *t = lucet_wasi_template_new();
 *     lucet_wasi_template_set_args(t, "prog\0x\0", 7, 2);
 *     lucet_wasi_template_preopen(t, "/srv/data", "/", LUCET_WASI_READONLY);
 *     // for each function import: lucet_wasi_lookup(module, name, &import.signature), and import.data = NULL
 *     lucet_wasi_ctx *w = lucet_wasi_ctx_new(t);
 *     lucet_instance_set_wasi(instance, w);
 *     …run the instance…
 *     lucet_wasi_ctx_free(w);
 *     lucet_wasi_template_release(t);
 *
 * A template says what guests are granted; any number of contexts, on any threads, share it. A context is what one
 * guest makes of it: its open descriptors, and the state of its standard streams. To make one takes no system call and
 * one small allocation; its table of descriptors is built when the guest first asks for one. A context belongs to one
 * instance. It must outlive the instance's last run and, like the instance, is used by one thread at a time.
 *
 * A new template grants nothing: no arguments, no environment, no files, and standard streams that are empty (input) or
 * discard (output).
 *
 * proc_exit ends the run with LUCET_EVENT_TERMINATED, LUCET_REASON_EXIT and the exit status; proc_raise of a signal
 * that would end a process does the same with 128 + the host's number of that signal. Nothing is ever raised in the
 * host.
 *
 * Writing to a standard stream that is a pipe without a reader raises SIGPIPE as usual (to a socket, and to what the
 * guest has opened: never): an embedder who wants an error for the guest instead ignores that signal.
 */
#ifndef LUCET_WASI_H
#define LUCET_WASI_H

#include "lucet.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lucet_wasi_template lucet_wasi_template;
typedef struct lucet_wasi_ctx lucet_wasi_ctx;

/*
 * Functions that return an int return 0 or an errno of the host.
 */

/* ------------------------------------------------------------------------------------------------------------- Templates */

/** NULL: out of memory. */
LUCET_API lucet_wasi_template *lucet_wasi_template_new(void);
/** Gives the caller's handle back. It goes with its last context; then what was preopened by path is closed. */
LUCET_API void lucet_wasi_template_release(lucet_wasi_template *t);

/* A template can be changed until the first context is made of it; from then on these return EBUSY. */

/**
 * `count` strings, each with its terminating zero, one behind the other in `length` bytes. The first is the program's
 * name.
 */
LUCET_API int lucet_wasi_template_set_args(lucet_wasi_template *t, const char *strings, size_t length, uint32_t count);
/** The same, each "NAME=value". */
LUCET_API int lucet_wasi_template_set_env(lucet_wasi_template *t, const char *strings, size_t length, uint32_t count);

enum {
  /** The guest has no such descriptor. */
  LUCET_WASI_STDIO_CLOSED = 0,
  /** Reads end at once, writes are discarded. */
  LUCET_WASI_STDIO_NULL = 1,
  /** The host's descriptor `host_fd`, which stays the caller's and must stay open. */
  LUCET_WASI_STDIO_FD = 2,
  /**
   * Memory: input is what lucet_wasi_ctx_set_input gives, output is kept for lucet_wasi_ctx_output. One call of the
   * guest moves 16 MiB at most: its total is bounded by the limits.
   */
  LUCET_WASI_STDIO_BUFFER = 3,
};
/** What the guest's descriptor 0, 1 or 2 is. */
LUCET_API int lucet_wasi_template_set_stdio(lucet_wasi_template *t, uint32_t guest_fd, uint32_t kind, int host_fd);

/**
 * A stream of the embedder's. Called on the thread that runs the guest, on the host's stack. A function that would have
 * to wait returns -EAGAIN: if `data` is not NULL, and the guest did not ask for that error itself, the run stops with
 * LUCET_EVENT_YIELDED (see lucet_wasi_waiting), and the function is called again when the run is resumed. A guest that
 * polls asks streams whose `data` is not NULL with a `length` of 0 (`bytes` is NULL) whether they would have to wait: 0
 * or -EAGAIN; other streams count as ready.
 */
typedef struct lucet_wasi_stream {
  /** Stores up to `length` bytes; returns their number (0: the end) or -errno. NULL: not for reading. */
  int64_t (*read)(void *data, void *bytes, uint64_t length);
  /**
   * Takes up to `length` bytes; returns their number or -errno. NULL: not for writing. One call of the guest moves 16
   * MiB at most, in whatever pieces it has.
   */
  int64_t (*write)(void *data, const void *bytes, uint64_t length);
  void *data;
} lucet_wasi_stream;
LUCET_API int lucet_wasi_template_set_stream(lucet_wasi_template *t, uint32_t guest_fd, const lucet_wasi_stream *stream);

enum {
  /** Nothing below can be changed, whatever the guest opens it as: EROFS. */
  LUCET_WASI_READONLY = 1,
};
/** Grants a directory under a guest name. It gets the lowest free descriptor from 3. */
LUCET_API int lucet_wasi_template_preopen(lucet_wasi_template *t, const char *host_path, const char *guest_path, uint32_t flags);
/** The same for a directory that is open already; `host_fd` stays the caller's. */
LUCET_API int lucet_wasi_template_preopen_fd(lucet_wasi_template *t, int host_fd, const char *guest_path, uint32_t flags);
/**
 * Grants a socket, listening or connected. It gets the next descriptor, as a directory does; `host_fd` stays the
 * caller's.
 */
LUCET_API int lucet_wasi_template_socket(lucet_wasi_template *t, int host_fd);

typedef struct lucet_wasi_limits {
  /** Most descriptors that a guest has at a time, granted ones included: EMFILE beyond. Default: 65,536. */
  uint32_t descriptors;
  /** Most bytes that a guest writes in all, to files, streams and sockets: EDQUOT beyond. Default: none, all ones. */
  uint64_t written;
} lucet_wasi_limits;
LUCET_API int lucet_wasi_template_set_limits(lucet_wasi_template *t, const lucet_wasi_limits *limits);

/**
 * What a guest waits for: the first of these streams of the embedder's that is ready, by their `data`, or a time. None
 * of them: for the time alone.
 */
typedef struct lucet_wasi_wait {
  void *streams[3];
  uint64_t count;
  /** Nanoseconds after which it is to be resumed in any case; UINT64_MAX: none. */
  uint64_t timeout;
} lucet_wasi_wait;
/**
 * 1 and what an instance which has yielded waits for, 0: it yielded for another reason, or it hasn't. If it is resumed
 * earlier, it yields again.
 */
LUCET_API int lucet_wasi_waiting(const lucet_instance *instance, lucet_wasi_wait *wait);

/* -------------------------------------------------------------------------------------------------------------- Contexts */

/** NULL: out of memory. Makes no system call. */
LUCET_API lucet_wasi_ctx *lucet_wasi_ctx_new(lucet_wasi_template *t);
/** Closes what the guest has open. */
LUCET_API void lucet_wasi_ctx_free(lucet_wasi_ctx *ctx);
/**
 * The same as a new one of its template, for the next guest: nothing of the last one is left but memory to be used
 * again.
 */
LUCET_API void lucet_wasi_ctx_reset(lucet_wasi_ctx *ctx);

/*
 * What one guest has instead of what its template says. To be called before the guest runs (again); a reset takes it
 * back.
 */

LUCET_API int lucet_wasi_ctx_set_args(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count);
LUCET_API int lucet_wasi_ctx_set_env(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count);
LUCET_API int lucet_wasi_ctx_set_stdio(lucet_wasi_ctx *ctx, uint32_t guest_fd, uint32_t kind, int host_fd);
LUCET_API int lucet_wasi_ctx_set_stream(lucet_wasi_ctx *ctx, uint32_t guest_fd, const lucet_wasi_stream *stream);
/** Standard input is these bytes, which are copied. */
LUCET_API int lucet_wasi_ctx_set_input(lucet_wasi_ctx *ctx, const void *bytes, size_t length);
/**
 * What the guest has written to a standard stream that is LUCET_WASI_STDIO_BUFFER. Valid until it runs, or is reset or
 * freed.
 */
LUCET_API const void *lucet_wasi_ctx_output(const lucet_wasi_ctx *ctx, uint32_t guest_fd, size_t *length);

/**
 * Has the guest left the process's standard error (descriptor 2) within a line? For hosts that then have something to
 * say there. `together`: so has the last write to either of 1 and 2, since both are one terminal or file.
 */
LUCET_API int lucet_wasi_ctx_within_line(const lucet_wasi_ctx *ctx, int together);

/**
 * The context that WASI functions without one of their own (lucet_import.data is NULL) use when this instance calls
 * them. It stays the caller's. So one linkage serves any number of instances.
 */
LUCET_API void lucet_instance_set_wasi(lucet_instance *instance, lucet_wasi_ctx *ctx);
/**
 * Not 0: where poll_oneoff would wait in a run of this instance, the run stops with LUCET_EVENT_YIELDED
 * (lucet_wasi_waiting), even if there is no stream of the embedder's to be waited for. For an embedder that has other
 * things to do on the thread. Descriptors of the host's are looked at again after 10 ms.
 */
LUCET_API void lucet_instance_set_wasi_yields(lucet_instance *instance, int yields);

/** What lucet_command_run needs to know; fill it once for any number of runs. Holds no handles. */
typedef struct lucet_command {
  lucet_region *region;
  lucet_module *module;
  const lucet_import *imports;
  uint32_t import_count;
  /** The function to run, usually `_start`: its number among the exports. It has no parameters. */
  uint32_t export_;
  /** May be NULL. */
  const lucet_instance_options *options;
  /** Nanoseconds that a run may take; 0: no limit. */
  uint64_t timeout;
  lucet_wasi_ctx *wasi;
} lucet_command;
/**
 * A new instance, a run of its function, and the instance given back: for programs that get a new instance for each
 * request. When the run ends with RETURNED or TERMINATED, `*instance` is NULL. Otherwise it is the caller's: to be
 * resumed, or asked about its trap, and released. LUCET_ERROR_STATE: the module has a start function, whose run may be
 * interrupted as well; that takes more than one call.
 */
LUCET_API lucet_status lucet_command_run(const lucet_command *command, lucet_instance **instance, lucet_event *event, lucet_error *error);

/** See lucet_call_block. */
typedef struct lucet_command_block {
  lucet_command command;
  /** The context has been reset and set up by the caller. */
  uint32_t prepared;
  /**
   * The output didn't fit: it is still to be had by lucet_wasi_ctx_output, and the context is to be reset afterwards.
   */
  uint32_t truncated;
  /** NULL unless it is the caller's. */
  lucet_instance *instance;
  /** Room for standard output and error, one behind the other; and how much of it the two take. */
  uint8_t *room;
  uint64_t room_size;
  uint64_t output[2];
} lucet_command_block;
/**
 * lucet_command_run in a context that is as new, or prepared; a new one gets the bytes, unless `input` is NULL, as
 * standard input. Afterwards it is reset. Status, event, error and arguments of a hostcall are left in the
 * lucet_call_block.
 */
LUCET_API void lucet_block_run(double call, double command, const void *input, size_t input_length);

/**
 * A function of module "wasi_snapshot_preview1" or "wasi_unstable"; NULL: there is none of that name. `signature` gets
 * its type as in lucet_import.signature. Its `data` is a lucet_wasi_ctx, or NULL: the calling instance's.
 */
LUCET_API lucet_host_function lucet_wasi_lookup(const char *module, const char *name, const char **signature);

#ifdef __cplusplus
}
#endif
#endif
