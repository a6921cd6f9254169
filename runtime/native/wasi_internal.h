/** Shared by the wasi*.c files. */
#ifndef LUCET_WASI_INTERNAL_H
#define LUCET_WASI_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#include "wasi.h"
#include "wasi_abi.h"
#include "wasi_path.h"

/** Most descriptors of one guest; the host's own limit usually comes first. */
#define WASI_MAX_FDS 65536

enum { WASI_FD_FREE = 0, WASI_FD_HOST = 1, WASI_FD_NULL = 2 };

/** One descriptor of a guest. */
typedef struct wasi_fd {
  /** WASI_FD_* */
  uint8_t kind;
  uint8_t filetype;
  /** Ours to close. A borrowed descriptor's flags are the host's too: they are never changed, `fdflags` stands in for them. */
  bool owned;
  bool readonly;
  /** Filetype and rights are known. A standard stream is looked at when the guest first uses it, so that granting it costs no system call. */
  bool described;
  uint16_t fdflags;
  int host;
  uint64_t rights_base;
  uint64_t rights_inheriting;
  /** Guest name of a preopen; NULL for everything else. */
  char *preopen;
  /** A directory's preopen, once one was opened beneath it: for the guest, nothing is above that one. */
  uint64_t root_dev;
  uint64_t root_ino;
} wasi_fd;

typedef struct wasi_strings {
  char *bytes;
  uint32_t length;
  uint32_t count;
} wasi_strings;

struct lucet_wasi_ctx {
  wasi_strings args;
  wasi_strings env;
  wasi_fd *fds;
  uint32_t fd_count;
};

/* What a directory or a file can at most be used for. */
#define WASI_FILE_RIGHTS                                                                                                              \
  (WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC |           \
   WASI_RIGHT_FD_TELL | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ADVISE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_GET |            \
   WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_POLL_FD_READWRITE)
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
} wasi_call;

/** Argument `n` of type i32: the upper half of its word is undefined. */
static inline uint32_t wasi_arg(const wasi_call *c, int n) { return (uint32_t)c->args[n]; }
static inline uint64_t wasi_arg64(const wasi_call *c, int n) { return c->args[n]; }

/* Guest memory. Every access of this folder's WASI code goes through these; lucet_vmctx_memory checks bounds without overflow. */

/** `length` bytes at guest address `at`, or NULL. */
static inline void *wasi_memory(const wasi_call *c, uint32_t at, uint64_t length) { return lucet_vmctx_memory(c->vm, at, length); }

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

/** Fills in filetype, flags and rights of a standard stream. False: the host's descriptor is not open. */
bool wasi_fd_describe(wasi_fd *fd, uint32_t number);

/** The guest's descriptor, or NULL. Valid until the table changes. */
static inline wasi_fd *wasi_fd_get(const wasi_call *c, uint32_t number) {
  if (number >= c->ctx->fd_count) return NULL;
  wasi_fd *fd = &c->ctx->fds[number];
  if (fd->kind == WASI_FD_FREE || (!fd->described && !wasi_fd_describe(fd, number))) return NULL;
  return fd;
}

/** Puts a descriptor into the lowest free entry from `from`. Returns 0 or an errno; the caller keeps what he passed if it fails. */
int wasi_fd_add(lucet_wasi_ctx *ctx, const wasi_fd *fd, uint32_t from, uint32_t *number);
/** Closes what is owned and frees the entry. Returns an errno of close. */
int wasi_fd_drop(wasi_fd *fd);
uint8_t wasi_filetype_of(uint32_t mode);

struct stat;
/** Is the directory that `fd` is, and `st` describes, the one that was granted? */
bool wasi_fd_is_root(const wasi_fd *fd, const struct stat *st);
/** Writes a filestat to guest memory. `unstable`: in the layout of wasi_unstable. */
wasi_errno wasi_store_filestat(const wasi_call *c, uint32_t at, const struct stat *st, bool unstable);

struct timespec;
/** Times for utimensat from a WASI call's arguments. False: the flags contradict each other. */
bool wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec out[2]);

/** The guest's descriptor with a right; otherwise `*error` says why not. */
wasi_fd *wasi_fd_with(const wasi_call *c, uint32_t number, uint64_t right, wasi_errno *error);

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
