/** The table of WASI functions, and the calls that need no descriptor. */
#define _GNU_SOURCE
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
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
    case WASI_WAIT_STOPPED: return WASI_STOPS;
    default: return WASI_EIO;
  }
}

/* --------------------------------------------------------------------------------------------------- Table of functions */

typedef wasi_errno wasi_function(const wasi_call *);

/**
 * Type of the value that a call which was stopped has for itself: since when it polls. Others may poll before it goes
 * on.
 */
static const char stopped;

/** A call that isn't over has its arguments still. */
static inline void enter(wasi_function *implementation, lucet_continuation anew, lucet_vmctx *vm, uint64_t *args, void *data, uint64_t since) {
  const wasi_call call = {.vm = vm, .ctx = data != NULL ? data : lucet_vmctx_wasi(vm), .args = args, .anew = anew, .since = since};
  // Nobody said what the guest is granted: that is the embedder's mistake, and nothing can be right for the guest.
  if (call.ctx == NULL) lucet_vmctx_terminate(vm, LUCET_REASON_PROVIDED, 0);
  wasi_errno error = implementation(&call);
  if (error == WASI_STOPS) lucet_vmctx_stop(vm, (lucet_value){&stopped, call.ctx->polling_since}, anew, call.ctx);
  else if (error != WASI_WAITS) args[0] = error;
}

/** Since when a call polls that is made anew. */
static uint64_t since(const lucet_wasi_ctx *ctx, lucet_value value) { return value.type == &stopped ? value.bits : ctx->polling_since; }

#define HOST_FUNCTIONS_OF(name)                                                                              \
  static void anew_##name(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *ctx) {                   \
    enter(wasi_do_##name, anew_##name, vm, args, ctx, since(ctx, value));                                    \
  }                                                                                                          \
  static void host_##name(lucet_vmctx *vm, uint64_t *args, void *data) { enter(wasi_do_##name, anew_##name, vm, args, data, 0); }
#define HOST_FUNCTION(name, signature) HOST_FUNCTIONS_OF(name)
#define HOST_FUNCTION_UNSTABLE(name, signature) HOST_FUNCTIONS_OF(unstable_##name)
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

/* --------------------------------------------------------------------------------------------------- Embedder's streams */

/** Type of the value that a guest yields which waits for streams: its bits are the address of what it waits for. */
static const char waiting;

wasi_errno wasi_wait_for_embedder(const wasi_call *c) {
  // Whoever wants it to stop has no need to wait for the embedder's stream.
  lucet_wait asked = lucet_vmctx_wait(c->vm);
  if (asked == LUCET_WAIT_STOPS) return WASI_STOPS;
  if (asked == LUCET_WAIT_ON) lucet_vmctx_waited(c->vm);
  lucet_value value = {.type = &waiting, .bits = (uintptr_t)&c->ctx->wait};
  lucet_vmctx_yield(c->vm, value, NULL, c->anew, c->ctx);
  return WASI_WAITS;
}

int lucet_wasi_waiting(const lucet_instance *instance, lucet_wasi_wait *wait) {
  lucet_value value = lucet_instance_yielded(instance);
  if (value.type != &waiting) return 0;
  *wait = *(const lucet_wasi_wait *)(uintptr_t)value.bits;
  return 1;
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
  if (GUARD(STRINGS_BOUND) && (p == NULL || b == NULL)) return WASI_EFAULT;
  if (s->length > 0) memcpy(b, s->bytes, s->length);
  uint32_t at = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    uint32_t address = buffer + at;
    memcpy(p + 4 * (size_t)i, &address, 4);
    at += (uint32_t)strlen(s->bytes + at) + 1;
  }
  return WASI_OK;
}

wasi_errno wasi_do_args_get(const wasi_call *c) { return strings_get(c, c->ctx->args); }
wasi_errno wasi_do_args_sizes_get(const wasi_call *c) { return strings_sizes_get(c, c->ctx->args); }
wasi_errno wasi_do_environ_get(const wasi_call *c) { return strings_get(c, c->ctx->env); }
wasi_errno wasi_do_environ_sizes_get(const wasi_call *c) { return strings_sizes_get(c, c->ctx->env); }

/* -------------------------------------------------------------------------------------------------------------- Process */

wasi_errno wasi_do_proc_exit(const wasi_call *c) { lucet_vmctx_terminate(c->vm, LUCET_REASON_EXIT, wasi_arg(c, 0)); }

/** WASI's numbers of signals, and the host's. */
static const uint8_t signals[] = {
    0,       SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE, SIGKILL,   SIGUSR1, SIGSEGV,  SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,
    SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG,  SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGPOLL, SIGPWR,  SIGSYS,
};

/**
 * A guest has no handlers, so a signal does what it does to a process that has none: it ends the guest, with the status
 * that a shell would see, or nothing. A guest can't be stopped and continued. The host's process never gets any.
 */
wasi_errno wasi_do_proc_raise(const wasi_call *c) {
  uint32_t number = wasi_arg(c, 0) & 0xff;
  if (number >= sizeof signals) return WASI_EINVAL;
  int signal = signals[number];
  if (!GUARD(RAISE)) return raise(signal) == 0 ? WASI_OK : WASI_EINVAL;
  switch (signal) {
    case 0:
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH: return WASI_OK;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return WASI_ENOTSUP;
    default: lucet_vmctx_terminate(c->vm, LUCET_REASON_EXIT, 128 + (uint64_t)signal);
  }
}

wasi_errno wasi_do_sched_yield(const wasi_call *c) {
  (void)c;
  sched_yield();
  return WASI_OK;
}

/** Asked for at a time: some milliseconds' worth. */
#define RANDOM_CHUNK (UINT32_C(1) << 20)

wasi_errno wasi_do_random_get(const wasi_call *c) {
  uint32_t length = wasi_arg(c, 1);
  uint8_t *to = wasi_memory(c, wasi_arg(c, 0), length);
  if (to == NULL) return WASI_EFAULT;
  while (length > 0) {
    // Gigabytes of it take seconds.
    if (lucet_vmctx_terminating(c->vm)) return WASI_EINTR;
    ssize_t got = getrandom(to, length < RANDOM_CHUNK ? length : RANDOM_CHUNK, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return wasi_errno_of(errno);
    }
    to += got;
    length -= (uint32_t)got;
  }
  return WASI_OK;
}
