/** WASI contexts, the table of functions, and the calls that need no descriptor. */
#define _GNU_SOURCE
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "wasi_internal.h"

/* -------------------------------------------------------------------------------------------------------------- Errors */

wasi_errno wasi_errno_of(int error) {
  switch (error) {
#define E(name) case name: return WASI_##name;
    E(E2BIG) E(EACCES) E(EADDRINUSE) E(EADDRNOTAVAIL) E(EAFNOSUPPORT) E(EAGAIN) E(EALREADY) E(EBADF) E(EBADMSG) E(EBUSY) E(ECANCELED)
    E(ECHILD) E(ECONNABORTED) E(ECONNREFUSED) E(ECONNRESET) E(EDEADLK) E(EDESTADDRREQ) E(EDOM) E(EDQUOT) E(EEXIST) E(EFAULT) E(EFBIG)
    E(EHOSTUNREACH) E(EIDRM) E(EILSEQ) E(EINPROGRESS) E(EINTR) E(EINVAL) E(EIO) E(EISCONN) E(EISDIR) E(ELOOP) E(EMFILE) E(EMLINK)
    E(EMSGSIZE) E(EMULTIHOP) E(ENAMETOOLONG) E(ENETDOWN) E(ENETRESET) E(ENETUNREACH) E(ENFILE) E(ENOBUFS) E(ENODEV) E(ENOENT)
    E(ENOEXEC) E(ENOLCK) E(ENOLINK) E(ENOMEM) E(ENOMSG) E(ENOPROTOOPT) E(ENOSPC) E(ENOSYS) E(ENOTCONN) E(ENOTDIR) E(ENOTEMPTY)
    E(ENOTRECOVERABLE) E(ENOTSOCK) E(ENOTSUP) E(ENOTTY) E(ENXIO) E(EOVERFLOW) E(EOWNERDEAD) E(EPERM) E(EPIPE) E(EPROTO)
    E(EPROTONOSUPPORT) E(EPROTOTYPE) E(ERANGE) E(EROFS) E(ESPIPE) E(ESRCH) E(ESTALE) E(ETIMEDOUT) E(ETXTBSY) E(EXDEV)
#undef E
    case 0: return WASI_OK;
    default: return WASI_EIO;
  }
}

/* ------------------------------------------------------------------------------------------------------------ Contexts */

lucet_wasi_ctx *lucet_wasi_ctx_new(void) {
  lucet_wasi_ctx *ctx = calloc(1, sizeof *ctx);
  if (ctx == NULL) return NULL;
  for (uint32_t fd = 0; fd < 3; fd++) {
    if (lucet_wasi_ctx_set_stdio(ctx, fd, LUCET_WASI_STDIO_NULL, -1) != 0) {
      lucet_wasi_ctx_free(ctx);
      return NULL;
    }
  }
  return ctx;
}

void lucet_wasi_ctx_free(lucet_wasi_ctx *ctx) {
  if (ctx == NULL) return;
  for (uint32_t i = 0; i < ctx->fd_count; i++) wasi_fd_drop(&ctx->fds[i]);
  free(ctx->fds);
  free(ctx->args.bytes);
  free(ctx->env.bytes);
  free(ctx);
}

static int set_strings(wasi_strings *to, const char *strings, size_t length, uint32_t count) {
  // The guest is told these numbers as 32 bits, and will hold all of it in a memory of 32-bit addresses.
  if (length > INT32_MAX || count > length) return E2BIG;
  uint32_t zeros = 0;
  for (size_t i = 0; i < length; i++) zeros += strings[i] == 0;
  if (zeros != count || (length > 0 && strings[length - 1] != 0)) return EINVAL;
  char *bytes = NULL;
  if (length > 0) {
    bytes = malloc(length);
    if (bytes == NULL) return ENOMEM;
    memcpy(bytes, strings, length);
  }
  free(to->bytes);
  *to = (wasi_strings){.bytes = bytes, .length = (uint32_t)length, .count = count};
  return 0;
}

int lucet_wasi_ctx_set_args(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count) {
  return set_strings(&ctx->args, strings, length, count);
}

int lucet_wasi_ctx_set_env(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count) {
  return set_strings(&ctx->env, strings, length, count);
}

int lucet_wasi_ctx_set_stdio(lucet_wasi_ctx *ctx, uint32_t guest_fd, uint32_t kind, int host_fd) {
  if (guest_fd > 2) return EINVAL;
  wasi_fd fd = {.host = -1};
  if (kind == LUCET_WASI_STDIO_NULL) {
    fd.kind = WASI_FD_NULL;
  } else if (kind == LUCET_WASI_STDIO_FD) {
    if (host_fd < 0) return EBADF;
    fd.kind = WASI_FD_HOST;
    fd.host = host_fd;
  } else if (kind != LUCET_WASI_STDIO_CLOSED) {
    return EINVAL;
  }
  if (guest_fd >= ctx->fd_count) {
    uint32_t number;
    // Entries from 0 to 2 are filled in order by lucet_wasi_ctx_new.
    return wasi_fd_add(ctx, &fd, guest_fd, &number);
  }
  wasi_fd_drop(&ctx->fds[guest_fd]);
  ctx->fds[guest_fd] = fd;
  return 0;
}

static int add_preopen(lucet_wasi_ctx *ctx, int host_fd, bool owned, const char *guest_path, uint32_t flags) {
  wasi_fd fd = {
      .kind = WASI_FD_HOST,
      .filetype = WASI_FILETYPE_DIRECTORY,
      .owned = owned,
      .readonly = (flags & LUCET_WASI_READONLY) != 0,
      .described = true,
      .host = host_fd,
      .rights_base = WASI_DIRECTORY_RIGHTS,
      .rights_inheriting = WASI_DIRECTORY_RIGHTS | WASI_FILE_RIGHTS,
  };
  // The rights that it passes on stay: wasi-libc asks for no more than these, and opening for writing would quietly open for reading.
  if (fd.readonly) fd.rights_base &= ~WASI_MODIFYING_RIGHTS;
  fd.preopen = strdup(guest_path);
  if (fd.preopen == NULL) return ENOMEM;
  uint32_t number;
  int error = wasi_fd_add(ctx, &fd, 3, &number);
  if (error != 0) free(fd.preopen);
  return error;
}

int lucet_wasi_ctx_preopen(lucet_wasi_ctx *ctx, const char *host_path, const char *guest_path, uint32_t flags) {
  if ((flags & ~(uint32_t)LUCET_WASI_READONLY) != 0) return EINVAL;
  int fd = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = add_preopen(ctx, fd, true, guest_path, flags);
  if (error != 0) close(fd);
  return error;
}

int lucet_wasi_ctx_preopen_fd(lucet_wasi_ctx *ctx, int host_fd, const char *guest_path, uint32_t flags) {
  if ((flags & ~(uint32_t)LUCET_WASI_READONLY) != 0) return EINVAL;
  return add_preopen(ctx, host_fd, false, guest_path, flags);
}

/* --------------------------------------------------------------------------------------------------- Table of functions */

static wasi_errno enter(wasi_errno (*implementation)(const wasi_call *), lucet_vmctx *vm, const uint64_t *args, void *data) {
  const wasi_call call = {.vm = vm, .ctx = data, .args = args};
  return implementation(&call);
}

#define HOST_FUNCTION(name, signature) \
  static void host_##name(lucet_vmctx *vm, uint64_t *args, void *data) { args[0] = enter(wasi_do_##name, vm, args, data); }
#define HOST_FUNCTION_UNSTABLE(name, signature) \
  static void host_unstable_##name(lucet_vmctx *vm, uint64_t *args, void *data) { args[0] = enter(wasi_do_unstable_##name, vm, args, data); }
WASI_FUNCTIONS(HOST_FUNCTION)
WASI_UNSTABLE_FUNCTIONS(HOST_FUNCTION_UNSTABLE)

typedef struct entry {
  const char *name;
  const char *signature;
  lucet_host_function function;
} entry;

#define ENTRY(name, signature) {#name, signature, host_##name},
#define ENTRY_UNSTABLE(name, signature) {#name, signature, host_unstable_##name},
static const entry functions[] = {WASI_FUNCTIONS(ENTRY)};
static const entry unstable_functions[] = {WASI_UNSTABLE_FUNCTIONS(ENTRY_UNSTABLE)};

static lucet_host_function find(const entry *entries, size_t count, const char *name, const char **signature) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(entries[i].name, name) == 0) {
      if (signature != NULL) *signature = entries[i].signature;
      return entries[i].function;
    }
  }
  return NULL;
}

lucet_host_function lucet_wasi_lookup(const char *module, const char *name, const char **signature) {
  if (strcmp(module, "wasi_unstable") == 0) {
    lucet_host_function f = find(unstable_functions, sizeof unstable_functions / sizeof *unstable_functions, name, signature);
    if (f != NULL) return f;
  } else if (strcmp(module, "wasi_snapshot_preview1") != 0) {
    return NULL;
  }
  return find(functions, sizeof functions / sizeof *functions, name, signature);
}

/* ------------------------------------------------------------------------------------------ Arguments and environment */

static wasi_errno strings_sizes_get(const wasi_call *c, const wasi_strings *s) {
  if (!wasi_store32(c, wasi_arg(c, 0), s->count) || !wasi_store32(c, wasi_arg(c, 1), s->length)) return WASI_EFAULT;
  return WASI_OK;
}

static wasi_errno strings_get(const wasi_call *c, const wasi_strings *s) {
  uint32_t pointers = wasi_arg(c, 0);
  uint32_t buffer = wasi_arg(c, 1);
  uint8_t *p = wasi_memory(c, pointers, (uint64_t)s->count * 4);
  char *b = wasi_memory(c, buffer, s->length);
  if (p == NULL || b == NULL) return WASI_EFAULT;
  if (s->length > 0) memcpy(b, s->bytes, s->length);
  uint32_t at = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    uint32_t address = buffer + at;
    memcpy(p + 4 * (size_t)i, &address, 4);
    at += (uint32_t)strlen(s->bytes + at) + 1;
  }
  return WASI_OK;
}

wasi_errno wasi_do_args_get(const wasi_call *c) { return strings_get(c, &c->ctx->args); }
wasi_errno wasi_do_args_sizes_get(const wasi_call *c) { return strings_sizes_get(c, &c->ctx->args); }
wasi_errno wasi_do_environ_get(const wasi_call *c) { return strings_get(c, &c->ctx->env); }
wasi_errno wasi_do_environ_sizes_get(const wasi_call *c) { return strings_sizes_get(c, &c->ctx->env); }

/* -------------------------------------------------------------------------------------------------------------- Process */

wasi_errno wasi_do_proc_exit(const wasi_call *c) { lucet_vmctx_terminate(c->vm, LUCET_REASON_EXIT, wasi_arg(c, 0)); }

/** A guest has no signals. */
wasi_errno wasi_do_proc_raise(const wasi_call *c) {
  (void)c;
  return WASI_ENOTSUP;
}

wasi_errno wasi_do_sched_yield(const wasi_call *c) {
  (void)c;
  sched_yield();
  return WASI_OK;
}

wasi_errno wasi_do_random_get(const wasi_call *c) {
  uint32_t length = wasi_arg(c, 1);
  uint8_t *to = wasi_memory(c, wasi_arg(c, 0), length);
  if (to == NULL) return WASI_EFAULT;
  while (length > 0) {
    ssize_t got = getrandom(to, length, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return wasi_errno_of(errno);
    }
    to += got;
    length -= (uint32_t)got;
  }
  return WASI_OK;
}

/* --------------------------------------------------------------------------------- Sockets: none can be opened or granted */

static wasi_errno no_socket(const wasi_call *c) {
  const wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL) return WASI_EBADF;
  bool socket = fd->filetype == WASI_FILETYPE_SOCKET_STREAM || fd->filetype == WASI_FILETYPE_SOCKET_DGRAM;
  return socket ? WASI_ENOTSUP : WASI_ENOTSOCK;
}

wasi_errno wasi_do_sock_accept(const wasi_call *c) { return no_socket(c); }
wasi_errno wasi_do_sock_recv(const wasi_call *c) { return no_socket(c); }
wasi_errno wasi_do_sock_send(const wasi_call *c) { return no_socket(c); }
wasi_errno wasi_do_sock_shutdown(const wasi_call *c) { return no_socket(c); }
