/** Shared by the wasi*.c files. */
#ifndef LUCET_WASI_INTERNAL_H
#define LUCET_WASI_INTERNAL_H

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

struct stat;
struct timespec;

#include "guest_memory.h"
#include "wasi.h"
#include "wasi_abi.h"
#include "wasi_guards.h"
#include "wasi_path.h"

/** Most descriptors of one guest, unless the template says otherwise; the host's own limit usually comes first. */
#define WASI_MAX_FDS 65536
/** Descriptors that a context has room for without another allocation. */
#define WASI_FEW_FDS 8

enum {
  WASI_FD_FREE = 0,
  /** A descriptor of the host's. */
  WASI_FD_HOST = 1,
  /** Reads end, writes are discarded. */
  WASI_FD_NULL = 2,
  /** Memory of the context's: `stream` is the number of the standard stream. */
  WASI_FD_BUFFER = 3,
  /** Functions of the embedder's; the same. */
  WASI_FD_STREAM = 4,
};

/** How a transfer on a host descriptor is kept from blocking where it must not (wasi_io.c). */
enum {
  /** It never does: files. */
  WASI_BLOCKS_NEVER = 0,
  /** Ours, and non-blocking: a transfer that would block says so. */
  WASI_BLOCKS_NOT = 1,
  /** Borrowed: its flags are the host's, so each transfer asks not to block (RWF_NOWAIT). */
  WASI_BLOCKS_ASK = 2,
  /** Borrowed, and it does not know that flag: it is polled first. */
  WASI_BLOCKS_POLL = 3,
};

/** One descriptor of a guest. */
typedef struct wasi_fd {
  /** WASI_FD_* */
  uint8_t kind;
  uint8_t filetype;
  /**
   * Ours to close. A borrowed descriptor's flags are the host's too: they are never changed, `fdflags` stands in for
   * them.
   */
  bool owned;
  bool readonly;
  /**
   * Filetype and rights are known. A standard stream is looked at when the guest first uses it, so that granting it
   * costs no system call.
   */
  bool described;
  /** WASI_BLOCKS_* */
  uint8_t blocks;
  uint8_t stream;
  uint16_t fdflags;
  int host;
  uint64_t rights_base;
  uint64_t rights_inheriting;
  /** Guest name of a preopen, which is the template's; NULL for everything else. */
  const char *preopen;
  /** A directory's preopen, once one was opened beneath it: for the guest, nothing is above that one. */
  uint64_t root_dev;
  uint64_t root_ino;
  /** Directory that is ours: where the next entry would be read. */
  uint64_t dir_at;
} wasi_fd;

typedef struct wasi_strings {
  char *bytes;
  uint32_t length;
  uint32_t count;
} wasi_strings;

/** A standard stream. */
typedef struct wasi_stdio {
  /** WASI_FD_*; FREE: closed. */
  uint8_t kind;
  int host;
  lucet_wasi_stream stream;
} wasi_stdio;

/** A standard stream in memory; kept when a context is reset. */
typedef struct wasi_buffer {
  uint8_t *bytes;
  size_t length;
  size_t capacity;
  /** Input: how much has been read. */
  size_t at;
} wasi_buffer;

/** A directory or a socket that a template grants. */
typedef struct wasi_grant {
  wasi_fd fd;
  /** To be closed with the template. */
  bool owned;
} wasi_grant;

struct lucet_wasi_template {
  atomic_uint references;
  /** A context was made: nothing changes any more, so contexts on all threads read without a lock. */
  atomic_bool fixed;
  wasi_strings args;
  wasi_strings env;
  wasi_stdio stdio[3];
  wasi_grant *grants;
  uint32_t grant_count;
  lucet_wasi_limits limits;
};

struct lucet_wasi_ctx {
  lucet_wasi_template *template;
  /** The template's, or this context's own. */
  const wasi_strings *args;
  const wasi_strings *env;
  /** NULL: not built yet. */
  wasi_fd *fds;
  uint32_t fd_count;
  uint32_t open;
  uint64_t written;
  /**
   * Last byte written to the process's own standard output and error; -1: none. And to which of them (1, 2) the last
   * one of all went; 0: none.
   */
  int16_t last_byte[2];
  uint8_t last_stream;
  wasi_stdio stdio[3];
  /**
   * While the guest has yielded: what it waits for; and since when it polls, or was polling when it was stopped
   * (CLOCK_MONOTONIC).
   */
  lucet_wasi_wait wait;
  uint64_t polling_since;
  wasi_buffer buffers[3];
  wasi_strings own_args;
  wasi_strings own_env;
  wasi_fd few[WASI_FEW_FDS];
};

/* What a directory or a file can at most be used for. */
#define WASI_FILE_RIGHTS                                                                                                              \
  (WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC |           \
   WASI_RIGHT_FD_TELL | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ADVISE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_GET |            \
   WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_POLL_FD_READWRITE)
#define WASI_SOCKET_RIGHTS                                                                                                            \
  (WASI_STREAM_RIGHTS | WASI_RIGHT_SOCK_SHUTDOWN | WASI_RIGHT_SOCK_ACCEPT)
/** Without seek and tell: wasi-libc's isatty takes a character device that lacks them for a terminal. */
#define WASI_STREAM_RIGHTS                                                                                                            \
  (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_POLL_FD_READWRITE)
#define WASI_DIRECTORY_RIGHTS                                                                                                         \
  (WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC | WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_PATH_CREATE_DIRECTORY |                  \
   WASI_RIGHT_PATH_CREATE_FILE | WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET | WASI_RIGHT_PATH_OPEN |                   \
   WASI_RIGHT_FD_READDIR | WASI_RIGHT_PATH_READLINK | WASI_RIGHT_PATH_RENAME_SOURCE | WASI_RIGHT_PATH_RENAME_TARGET |                 \
   WASI_RIGHT_PATH_FILESTAT_GET | WASI_RIGHT_PATH_FILESTAT_SET_SIZE | WASI_RIGHT_PATH_FILESTAT_SET_TIMES |                            \
   WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK | WASI_RIGHT_PATH_REMOVE_DIRECTORY |       \
   WASI_RIGHT_PATH_UNLINK_FILE)
#define WASI_MODIFYING_RIGHTS                                                                                                         \
  (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_FILESTAT_SET_TIMES |                \
   WASI_RIGHT_PATH_CREATE_DIRECTORY | WASI_RIGHT_PATH_CREATE_FILE | WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET |       \
   WASI_RIGHT_PATH_RENAME_SOURCE | WASI_RIGHT_PATH_RENAME_TARGET | WASI_RIGHT_PATH_FILESTAT_SET_SIZE |                                \
   WASI_RIGHT_PATH_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK | WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE)

/** A hostcall as its implementation sees it. */
typedef struct wasi_call {
  lucet_vmctx *vm;
  lucet_wasi_ctx *ctx;
  const uint64_t *args;
  /** Makes the same call again, after the guest has waited for the embedder, or was stopped. */
  lucet_continuation anew;
  /** It is one that is made again: since when it polls. 0: it isn't. */
  uint64_t since;
} wasi_call;

/** Argument `n` of type i32: the upper half of its word is undefined. */
static inline uint32_t wasi_arg(const wasi_call *c, int n) { return (uint32_t)c->args[n]; }
static inline uint64_t wasi_arg64(const wasi_call *c, int n) { return c->args[n]; }

/** instance.c */
struct lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm);
bool lucet_vmctx_wasi_yields(lucet_vmctx *vm);

/*
 * Guest memory. Every access of this folder's WASI code goes through these; lucet_guest_memory checks bounds without
 * overflow.
 */

/** `length` bytes at guest address `at`, or NULL. */
static inline void *wasi_memory(const wasi_call *c, uint32_t at, uint64_t length) { return lucet_guest_memory(c->vm, at, length); }

/** Copies out of, or into, guest memory, at any alignment. */
static inline bool wasi_load(const wasi_call *c, uint32_t at, void *to, size_t length) {
  const void *from = wasi_memory(c, at, length);
  if (from == NULL) return false;
  memcpy(to, from, length);
  return true;
}

static inline bool wasi_store(const wasi_call *c, uint32_t at, const void *from, size_t length) {
  void *to = wasi_memory(c, at, length);
  if (to == NULL) return false;
  memcpy(to, from, length);
  return true;
}

static inline bool wasi_store32(const wasi_call *c, uint32_t at, uint32_t value) { return wasi_store(c, at, &value, sizeof value); }
static inline bool wasi_store64(const wasi_call *c, uint32_t at, uint64_t value) { return wasi_store(c, at, &value, sizeof value); }

/** WASI's number for an errno of the host. */
wasi_errno wasi_errno_of(int error);

/* ---- wasi_context.c */

int wasi_strings_set(wasi_strings *to, const char *strings, size_t length, uint32_t count);

/* ---- wasi_fd.c */

/** Fills the table with what the template grants. False: out of memory. */
bool wasi_fds_build(lucet_wasi_ctx *ctx);
/** Closes all that is open; the table is not built afterwards. */
void wasi_fds_drop(lucet_wasi_ctx *ctx);
/** Fills in filetype, flags and rights of a standard stream. False: the host's descriptor is not open. */
bool wasi_fd_describe(wasi_fd *fd, uint32_t number);

/** The guest's descriptor, or NULL. Valid until the table changes. */
static inline wasi_fd *wasi_fd_get(const wasi_call *c, uint32_t number) {
  lucet_wasi_ctx *ctx = c->ctx;
  if (ctx->fds == NULL && !wasi_fds_build(ctx)) return NULL;
  if (GUARD(FD_BOUND) && number >= ctx->fd_count) return NULL;
  wasi_fd *fd = &ctx->fds[number];
  if (GUARD(FD_FREE) && fd->kind == WASI_FD_FREE) return NULL;
  if (!fd->described && !wasi_fd_describe(fd, number)) return NULL;
  return fd;
}

/**
 * Puts a descriptor into the lowest free entry from `from`. Returns 0 or an errno; the caller keeps what he passed if
 * it fails.
 */
int wasi_fd_add(lucet_wasi_ctx *ctx, const wasi_fd *fd, uint32_t from, uint32_t *number);
/** Closes what is ours and frees the entry. Returns 0 or an errno. */
int wasi_fd_drop(lucet_wasi_ctx *ctx, wasi_fd *fd);
uint8_t wasi_filetype_of(uint32_t mode);
/** Is the directory, whose state is `st`, where the guest's tree begins? */
bool wasi_fd_is_root(const wasi_fd *fd, const struct stat *st);
wasi_errno wasi_store_filestat(const wasi_call *c, uint32_t at, const struct stat *st, bool unstable);
/** False: the flags contradict each other. */
bool wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec out[2]);
/** The descriptor with a right; otherwise `*error` says why not. */
wasi_fd *wasi_fd_with(const wasi_call *c, uint32_t number, uint64_t right, wasi_errno *error);

/* ---- wasi_io.c */

/** Room for the host's form of a guest's vectors. */
enum { WASI_MAX_VECTORS = 1024 };
/**
 * Bytes that one call moves to or from a stream in the embedder's memory, or one of the embedder's functions: vectors
 * may overlap, so that a thousand of them come to a thousand times the guest's memory. What is beyond isn't moved, as
 * the kernel does beyond 2 GiB: the guest calls again.
 */
enum { WASI_MAX_COPIED = 16 << 20 };

/**
 * The guest's vectors as the host's, pointing into guest memory. Only the first WASI_MAX_VECTORS are looked at: a call
 * may transfer less than was asked for. Returns their number, or -1: out of bounds.
 */
int wasi_gather(const wasi_call *c, uint32_t at, uint32_t count, struct iovec vec[WASI_MAX_VECTORS], uint64_t *total);
/** How much of `total` bytes the guest may still write: cuts the vectors. False: nothing, and there was something. */
bool wasi_allow_writing(const lucet_wasi_ctx *ctx, struct iovec *vec, int *count, uint64_t *total);
/**
 * Until the descriptor is ready. 0 or an errno. Every wait of a guest for a descriptor or a time comes through
 * wasi_wait.
 */
int wasi_wait_for(const wasi_call *c, int host, short events);
/**
 * In the place of an errno: the guest is to be stopped before the waiting is over. None of the kernel's is as large.
 */
enum { WASI_WAIT_STOPPED = 4096 };
/**
 * As ppoll: `deadline` on the monotonic clock in ns, UINT64_MAX: none. Number of ready ones (0: the time is over), or
 * -1 with errno, or WASI_WAIT_STOPPED in its place: whoever has done nothing yet then returns WASI_STOPS, which
 * wasi_errno_of makes of it, and the call is made anew when the guest goes on. A deadline of 0 is no waiting, and never
 * stopped.
 */
int wasi_wait(const wasi_call *c, struct pollfd *polls, uint32_t count, uint64_t deadline);
/**
 * The guest yields until the embedder says that what ctx->wait names is ready; then the call is made anew. Returns
 * WASI_WAITS, or WASI_STOPS.
 */
wasi_errno wasi_wait_for_embedder(const wasi_call *c);
/** Bytes that a stream in memory has to read. */
size_t wasi_buffer_available(const lucet_wasi_ctx *ctx, const wasi_fd *fd);

/** name, signature */
#define WASI_FUNCTIONS(X)                        \
  X(args_get, "ii:i")                            \
  X(args_sizes_get, "ii:i")                      \
  X(environ_get, "ii:i")                         \
  X(environ_sizes_get, "ii:i")                   \
  X(clock_res_get, "ii:i")                       \
  X(clock_time_get, "iIi:i")                     \
  X(fd_advise, "iIIi:i")                         \
  X(fd_allocate, "iII:i")                        \
  X(fd_close, "i:i")                             \
  X(fd_datasync, "i:i")                          \
  X(fd_fdstat_get, "ii:i")                       \
  X(fd_fdstat_set_flags, "ii:i")                 \
  X(fd_fdstat_set_rights, "iII:i")               \
  X(fd_filestat_get, "ii:i")                     \
  X(fd_filestat_set_size, "iI:i")                \
  X(fd_filestat_set_times, "iIIi:i")             \
  X(fd_pread, "iiiIi:i")                         \
  X(fd_prestat_get, "ii:i")                      \
  X(fd_prestat_dir_name, "iii:i")                \
  X(fd_pwrite, "iiiIi:i")                        \
  X(fd_read, "iiii:i")                           \
  X(fd_readdir, "iiiIi:i")                       \
  X(fd_renumber, "ii:i")                         \
  X(fd_seek, "iIii:i")                           \
  X(fd_sync, "i:i")                              \
  X(fd_tell, "ii:i")                             \
  X(fd_write, "iiii:i")                          \
  X(path_create_directory, "iii:i")              \
  X(path_filestat_get, "iiiii:i")                \
  X(path_filestat_set_times, "iiiiIIi:i")        \
  X(path_link, "iiiiiii:i")                      \
  X(path_open, "iiiiiIIii:i")                    \
  X(path_readlink, "iiiiii:i")                   \
  X(path_remove_directory, "iii:i")              \
  X(path_rename, "iiiiii:i")                     \
  X(path_symlink, "iiiii:i")                     \
  X(path_unlink_file, "iii:i")                   \
  X(poll_oneoff, "iiii:i")                       \
  X(proc_exit, "i:")                             \
  X(proc_raise, "i:i")                           \
  X(random_get, "ii:i")                          \
  X(sched_yield, ":i")                           \
  X(sock_accept, "iii:i")                        \
  X(sock_recv, "iiiiii:i")                       \
  X(sock_send, "iiiii:i")                        \
  X(sock_shutdown, "ii:i")

/** Those of wasi_unstable that have the same type but other layouts or numbers. */
#define WASI_UNSTABLE_FUNCTIONS(X)               \
  X(fd_filestat_get, "ii:i")                     \
  X(fd_seek, "iIii:i")                           \
  X(path_filestat_get, "iiiii:i")                \
  X(poll_oneoff, "iiii:i")

#define WASI_DECLARE(name, signature) wasi_errno wasi_do_##name(const wasi_call *c);
WASI_FUNCTIONS(WASI_DECLARE)
#undef WASI_DECLARE
#define WASI_DECLARE(name, signature) wasi_errno wasi_do_unstable_##name(const wasi_call *c);
WASI_UNSTABLE_FUNCTIONS(WASI_DECLARE)
#undef WASI_DECLARE

#endif
