/**
 * What guests are granted (templates), and what one guest makes of it (contexts).
 *
 * A template is written by one thread, then fixed by its first context, and only read from then on. Descriptors of the
 * host that it holds are never closed, moved or changed by a context: contexts borrow them, and what a guest does to
 * them (position, flags) is played on its own entry.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wasi_internal.h"

/* ------------------------------------------------------------------------------------------------------------- Templates */

lucet_wasi_template *lucet_wasi_template_new(void) {
  lucet_wasi_template *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  atomic_init(&t->references, 1);
  for (int fd = 0; fd < 3; fd++) t->stdio[fd] = (wasi_stdio){.kind = WASI_FD_NULL, .host = -1};
  t->limits = (lucet_wasi_limits){.descriptors = WASI_MAX_FDS, .written = UINT64_MAX};
  return t;
}

void lucet_wasi_template_release(lucet_wasi_template *t) {
  if (t == NULL || atomic_fetch_sub(&t->references, 1) != 1) return;
  for (uint32_t i = 0; i < t->grant_count; i++) {
    if (t->grants[i].owned) close(t->grants[i].fd.host);
    free((char *)(uintptr_t)t->grants[i].fd.preopen);
  }
  free(t->grants);
  free(t->args.bytes);
  free(t->env.bytes);
  free(t);
}

int wasi_strings_set(wasi_strings *to, const char *strings, size_t length, uint32_t count) {
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

int lucet_wasi_template_set_args(lucet_wasi_template *t, const char *strings, size_t length, uint32_t count) {
  return atomic_load(&t->fixed) ? EBUSY : wasi_strings_set(&t->args, strings, length, count);
}

int lucet_wasi_template_set_env(lucet_wasi_template *t, const char *strings, size_t length, uint32_t count) {
  return atomic_load(&t->fixed) ? EBUSY : wasi_strings_set(&t->env, strings, length, count);
}

static int set_stdio(wasi_stdio *to, uint32_t guest_fd, uint32_t kind, int host_fd) {
  static const uint8_t kinds[] = {WASI_FD_FREE, WASI_FD_NULL, WASI_FD_HOST, WASI_FD_BUFFER};
  if (guest_fd > 2 || kind >= sizeof kinds) return EINVAL;
  if (kind == LUCET_WASI_STDIO_FD && host_fd < 0) return EBADF;
  to[guest_fd] = (wasi_stdio){.kind = kinds[kind], .host = kind == LUCET_WASI_STDIO_FD ? host_fd : -1};
  return 0;
}

static int set_stream(wasi_stdio *to, uint32_t guest_fd, const lucet_wasi_stream *stream) {
  if (guest_fd > 2) return EINVAL;
  to[guest_fd] = (wasi_stdio){.kind = WASI_FD_STREAM, .host = -1, .stream = *stream};
  return 0;
}

int lucet_wasi_template_set_stdio(lucet_wasi_template *t, uint32_t guest_fd, uint32_t kind, int host_fd) {
  return atomic_load(&t->fixed) ? EBUSY : set_stdio(t->stdio, guest_fd, kind, host_fd);
}

int lucet_wasi_template_set_stream(lucet_wasi_template *t, uint32_t guest_fd, const lucet_wasi_stream *stream) {
  return atomic_load(&t->fixed) ? EBUSY : set_stream(t->stdio, guest_fd, stream);
}

int lucet_wasi_template_set_limits(lucet_wasi_template *t, const lucet_wasi_limits *limits) {
  if (atomic_load(&t->fixed)) return EBUSY;
  if (limits->descriptors > WASI_MAX_FDS) return EINVAL;
  t->limits = *limits;
  return 0;
}

static int grant(lucet_wasi_template *t, const wasi_grant *g) {
  if (atomic_load(&t->fixed)) return EBUSY;
  if (t->grant_count >= WASI_MAX_FDS - 3) return EMFILE;
  wasi_grant *grants = realloc(t->grants, (t->grant_count + 1) * sizeof *grants);
  if (grants == NULL) return ENOMEM;
  t->grants = grants;
  grants[t->grant_count++] = *g;
  return 0;
}

static int add_preopen(lucet_wasi_template *t, int host_fd, bool owned, const char *guest_path, uint32_t flags) {
  wasi_grant g = {.owned = owned,
                  .fd = {
                      .kind = WASI_FD_HOST,
                      .filetype = WASI_FILETYPE_DIRECTORY,
                      .readonly = (flags & LUCET_WASI_READONLY) != 0,
                      .described = true,
                      .host = host_fd,
                      .rights_base = WASI_DIRECTORY_RIGHTS,
                      .rights_inheriting = WASI_DIRECTORY_RIGHTS | WASI_FILE_RIGHTS,
                  }};
  // The rights that it passes on stay: wasi-libc asks for no more than these, and opening for writing would quietly
  // open for reading.
  if (g.fd.readonly && GUARD(READONLY)) g.fd.rights_base &= ~WASI_MODIFYING_RIGHTS;
  char *name = strdup(guest_path);
  if (name == NULL) return ENOMEM;
  g.fd.preopen = name;
  int error = grant(t, &g);
  if (error != 0) free(name);
  return error;
}

int lucet_wasi_template_preopen(lucet_wasi_template *t, const char *host_path, const char *guest_path, uint32_t flags) {
  if ((flags & ~(uint32_t)LUCET_WASI_READONLY) != 0) return EINVAL;
  int fd = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = add_preopen(t, fd, true, guest_path, flags);
  if (error != 0) close(fd);
  return error;
}

int lucet_wasi_template_preopen_fd(lucet_wasi_template *t, int host_fd, const char *guest_path, uint32_t flags) {
  if ((flags & ~(uint32_t)LUCET_WASI_READONLY) != 0) return EINVAL;
  return add_preopen(t, host_fd, false, guest_path, flags);
}

int lucet_wasi_template_socket(lucet_wasi_template *t, int host_fd) {
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(host_fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || getsockopt(host_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) return errno;
  const wasi_grant g = {.fd = {
                            .kind = WASI_FD_HOST,
                            .filetype = type == SOCK_STREAM ? WASI_FILETYPE_SOCKET_STREAM : WASI_FILETYPE_SOCKET_DGRAM,
                            .described = true,
                            .blocks = WASI_BLOCKS_ASK,
                            .host = host_fd,
                            .rights_base = WASI_SOCKET_RIGHTS & ~(listening ? 0 : WASI_RIGHT_SOCK_ACCEPT),
                            // What a connection gets that is accepted.
                            .rights_inheriting = WASI_SOCKET_RIGHTS & ~WASI_RIGHT_SOCK_ACCEPT,
                        }};
  return grant(t, &g);
}

/* -------------------------------------------------------------------------------------------------------------- Contexts */

/** As in a new context, but for memory that is kept. */
static void begin(lucet_wasi_ctx *ctx) {
  lucet_wasi_template *t = ctx->template;
  ctx->args = &t->args;
  ctx->env = &t->env;
  ctx->fds = NULL;
  ctx->fd_count = 0;
  ctx->open = 0;
  ctx->written = 0;
  ctx->last_byte[0] = ctx->last_byte[1] = -1;
  ctx->last_stream = 0;
  memcpy(ctx->stdio, t->stdio, sizeof ctx->stdio);
}

lucet_wasi_ctx *lucet_wasi_ctx_new(lucet_wasi_template *t) {
  lucet_wasi_ctx *ctx = malloc(sizeof *ctx);
  if (ctx == NULL) return NULL;
  if (!atomic_load_explicit(&t->fixed, memory_order_relaxed)) atomic_store(&t->fixed, true);
  atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
  ctx->template = t;
  memset(ctx->buffers, 0, sizeof ctx->buffers);
  memset(&ctx->own_args, 0, sizeof ctx->own_args);
  memset(&ctx->own_env, 0, sizeof ctx->own_env);
  // `few` stays as it is: it is written when the table is built.
  begin(ctx);
  return ctx;
}

/** A buffer that was of use once is kept for the next guest, unless it would be a burden. */
#define MOST_KEPT (UINT32_C(1) << 20)

void lucet_wasi_ctx_reset(lucet_wasi_ctx *ctx) {
  wasi_fds_drop(ctx);
  for (int k = 0; k < 3; k++) {
    wasi_buffer *b = &ctx->buffers[k];
    if (b->capacity > MOST_KEPT) {
      free(b->bytes);
      *b = (wasi_buffer){0};
    }
    b->length = b->at = 0;
  }
  begin(ctx);
}

void lucet_wasi_ctx_free(lucet_wasi_ctx *ctx) {
  if (ctx == NULL) return;
  wasi_fds_drop(ctx);
  for (int k = 0; k < 3; k++) free(ctx->buffers[k].bytes);
  free(ctx->own_args.bytes);
  free(ctx->own_env.bytes);
  lucet_wasi_template_release(ctx->template);
  free(ctx);
}

int lucet_wasi_ctx_within_line(const lucet_wasi_ctx *ctx, int together) {
  int byte = together && ctx->last_stream != 0 ? ctx->last_byte[ctx->last_stream - 1] : ctx->last_byte[1];
  return byte >= 0 && byte != '\n';
}

int lucet_wasi_ctx_set_args(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count) {
  int error = wasi_strings_set(&ctx->own_args, strings, length, count);
  if (error == 0) ctx->args = &ctx->own_args;
  return error;
}

int lucet_wasi_ctx_set_env(lucet_wasi_ctx *ctx, const char *strings, size_t length, uint32_t count) {
  int error = wasi_strings_set(&ctx->own_env, strings, length, count);
  if (error == 0) ctx->env = &ctx->own_env;
  return error;
}

int lucet_wasi_ctx_set_stdio(lucet_wasi_ctx *ctx, uint32_t guest_fd, uint32_t kind, int host_fd) {
  return ctx->fds != NULL ? EBUSY : set_stdio(ctx->stdio, guest_fd, kind, host_fd);
}

int lucet_wasi_ctx_set_stream(lucet_wasi_ctx *ctx, uint32_t guest_fd, const lucet_wasi_stream *stream) {
  return ctx->fds != NULL ? EBUSY : set_stream(ctx->stdio, guest_fd, stream);
}

int lucet_wasi_ctx_set_input(lucet_wasi_ctx *ctx, const void *bytes, size_t length) {
  int error = lucet_wasi_ctx_set_stdio(ctx, 0, LUCET_WASI_STDIO_BUFFER, -1);
  if (error != 0) return error;
  wasi_buffer *b = &ctx->buffers[0];
  if (length > b->capacity) {
    uint8_t *room = malloc(length);
    if (room == NULL) return ENOMEM;
    free(b->bytes);
    b->bytes = room;
    b->capacity = length;
  }
  if (length > 0) memcpy(b->bytes, bytes, length);
  b->length = length;
  b->at = 0;
  return 0;
}

const void *lucet_wasi_ctx_output(const lucet_wasi_ctx *ctx, uint32_t guest_fd, size_t *length) {
  if (guest_fd != 1 && guest_fd != 2) {
    *length = 0;
    return NULL;
  }
  *length = ctx->buffers[guest_fd].length;
  return ctx->buffers[guest_fd].bytes;
}
