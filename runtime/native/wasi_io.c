/**
 * Reading, writing, and waiting.
 *
 * Whether a descriptor of the host's blocks is not for a guest to change, nor is the guest to notice what others made
 * of it: its O_NONBLOCK is played here. No transfer ever blocks in the kernel, but on files. One that would block fails
 * with EAGAIN if the guest set that flag; otherwise it waits in wasi_wait, and is then tried again. So there is one
 * place where a guest waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "wasi_internal.h"

_Static_assert(WASI_MAX_VECTORS <= IOV_MAX, "the kernel takes no more");

/* --------------------------------------------------------------------------------------------------------------- Vectors */

int wasi_gather(const wasi_call *c, uint32_t at, uint32_t count, struct iovec vec[WASI_MAX_VECTORS], uint64_t *total) {
  const uint8_t *from = wasi_memory(c, at, (uint64_t)count * sizeof(wasi_ciovec));
  if (from == NULL) {
    if (GUARD(VECTOR_BOUND)) return -1;
    from = (const uint8_t *)wasi_memory(c, 0, 0) + at;
  }
  int n = count > WASI_MAX_VECTORS && GUARD(VECTOR_COUNT) ? WASI_MAX_VECTORS : (int)count;
  *total = 0;
  for (int i = 0; i < n; i++) {
    // Copied before it is checked: another thread may write to a shared memory.
    wasi_ciovec v;
    memcpy(&v, from + (size_t)i * sizeof v, sizeof v);
    void *base = wasi_memory(c, v.at, v.length);
    if (base == NULL) {
      if (GUARD(VECTOR_ELEMENT)) return -1;
      base = (uint8_t *)wasi_memory(c, 0, 0) + v.at;
    }
    vec[i] = (struct iovec){.iov_base = base, .iov_len = v.length};
    *total += v.length;
  }
  return n;
}

/** The first `most` of all bytes. */
static void shorten(struct iovec *vec, int *count, uint64_t *total, uint64_t most) {
  if (*total <= most) return;
  *total = most;
  int n = 0;
  while (most > 0) {
    if (vec[n].iov_len > most) vec[n].iov_len = most;
    most -= vec[n++].iov_len;
  }
  *count = n;
}

bool wasi_allow_writing(const lucet_wasi_ctx *ctx, struct iovec *vec, int *count, uint64_t *total) {
  uint64_t left = ctx->template->limits.written - ctx->written;
  if (!GUARD(WRITE_LIMIT) || *total <= left) return true;
  if (left == 0) return false;
  shorten(vec, count, total, left);
  return true;
}

/* --------------------------------------------------------------------------------------------------------------- Waiting */

static uint64_t monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/**
 * A guest that is killed or to be stopped waits no longer: its kick interrupts ppoll, and is repeated until it has been
 * heard, so it does no harm if one arrives between the question and the call. The EINTR that a killed guest would see
 * is never seen: it ends where it would go on.
 */
int wasi_wait(const wasi_call *c, struct pollfd *polls, uint32_t count, uint64_t deadline) {
  for (;;) {
    bool waits = deadline != 0;
    lucet_wait asked = waits ? lucet_vmctx_wait(c->vm) : LUCET_WAIT_ON;
    if (asked != LUCET_WAIT_ON) {
      errno = asked == LUCET_WAIT_STOPS ? WASI_WAIT_STOPPED : EINTR;
      return -1;
    }
    struct timespec timeout = {0};
    uint64_t present = deadline == 0 || deadline == UINT64_MAX ? 0 : monotonic();
    if (deadline > present) {
      timeout.tv_sec = (time_t)((deadline - present) / 1000000000);
      timeout.tv_nsec = (long)((deadline - present) % 1000000000);
    }
    int got = ppoll(polls, count, deadline == UINT64_MAX ? NULL : &timeout, NULL);
    int why = errno;
    if (waits) lucet_vmctx_waited(c->vm);
    errno = why;
    if (got > 0 || (got < 0 && why != EINTR)) return got;
    if (got == 0 && (!waits || (deadline != UINT64_MAX && deadline <= monotonic()))) return 0;
  }
}

int wasi_wait_for(const wasi_call *c, int host, short events) {
  struct pollfd p = {.fd = host, .events = events};
  return wasi_wait(c, &p, 1, UINT64_MAX) < 0 ? errno : 0;
}

/* ------------------------------------------------------------------------------------------------------ Streams in memory */

size_t wasi_buffer_available(const lucet_wasi_ctx *ctx, const wasi_fd *fd) {
  return fd->stream == 0 ? ctx->buffers[0].length - ctx->buffers[0].at : 0;
}

static int64_t read_buffer(wasi_buffer *b, const struct iovec *vec, int count) {
  int64_t moved = 0;
  for (int i = 0; i < count && b->at < b->length; i++) {
    size_t n = b->length - b->at < vec[i].iov_len ? b->length - b->at : vec[i].iov_len;
    memcpy(vec[i].iov_base, b->bytes + b->at, n);
    b->at += n;
    moved += (int64_t)n;
  }
  return moved;
}

static int64_t write_buffer(wasi_buffer *b, const struct iovec *vec, int count, uint64_t total) {
  if (total > b->capacity - b->length) {
    size_t capacity = b->capacity < 4096 ? 4096 : b->capacity;
    while (capacity - b->length < total) {
      if (capacity > SIZE_MAX / 2) return -ENOMEM;
      capacity *= 2;
    }
    uint8_t *bytes = realloc(b->bytes, capacity);
    if (bytes == NULL) return -ENOMEM;
    b->bytes = bytes;
    b->capacity = capacity;
  }
  for (int i = 0; i < count; i++) {
    if (vec[i].iov_len > 0) memcpy(b->bytes + b->length, vec[i].iov_base, vec[i].iov_len);
    b->length += vec[i].iov_len;
  }
  return (int64_t)total;
}

/** Vector by vector; it ends where one is not moved whole. */
static int64_t call_stream(const lucet_wasi_stream *s, bool writing, const struct iovec *vec, int count) {
  if (writing ? s->write == NULL : s->read == NULL) return -EBADF;
  int64_t moved = 0;
  for (int i = 0; i < count; i++) {
    if (vec[i].iov_len == 0) continue;
    int64_t n = writing ? s->write(s->data, vec[i].iov_base, vec[i].iov_len) : s->read(s->data, vec[i].iov_base, vec[i].iov_len);
    if (n < 0) return moved > 0 ? moved : n;
    if ((uint64_t)n > vec[i].iov_len) return -EIO;
    moved += n;
    if ((uint64_t)n < vec[i].iov_len) break;
  }
  return moved;
}

/* ------------------------------------------------------------------------------------------------------------- Transfers */

static ssize_t transfer_socket(int host, bool writing, struct iovec *vec, int count) {
  struct msghdr m = {.msg_iov = vec, .msg_iovlen = (size_t)count};
  int quiet = GUARD(SOCKET_SIGPIPE) ? MSG_NOSIGNAL : 0;
  return writing ? sendmsg(host, &m, MSG_DONTWAIT | quiet) : recvmsg(host, &m, MSG_DONTWAIT);
}

/**
 * Writing to what the guest itself has opened: a pipe that it finds in a directory of its own, and of which it closes
 * the other end, is no reason for the host to die. A SIGPIPE of the write's own goes to this thread, so it is pending
 * when the write has failed, and is taken away again.
 */
static ssize_t write_quietly(int host, const struct iovec *vec, int count) {
  sigset_t broken, before, pending;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  sigemptyset(&pending);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &broken, &before);
  ssize_t moved = writev(host, vec, count);
  int why = errno;
  if (moved < 0 && why == EPIPE && !sigismember(&pending, SIGPIPE)) {
    static const struct timespec none;
    while (sigtimedwait(&broken, NULL, &none) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = why;
  return moved;
}

/** One try. -1 with errno; EAGAIN: it would have to wait. */
static ssize_t transfer_once(wasi_fd *fd, bool writing, bool at_position, off_t offset, struct iovec *vec, int count) {
  int host = fd->host;
  if (at_position) return writing ? pwritev(host, vec, count, offset) : preadv(host, vec, count, offset);
  if (fd->filetype == WASI_FILETYPE_SOCKET_STREAM || fd->filetype == WASI_FILETYPE_SOCKET_DGRAM) return transfer_socket(host, writing, vec, count);
  if (fd->blocks == WASI_BLOCKS_ASK) {
    ssize_t moved = writing ? pwritev2(host, vec, count, -1, RWF_NOWAIT) : preadv2(host, vec, count, -1, RWF_NOWAIT);
    if (moved >= 0 || (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS && errno != ESPIPE)) return moved;
    fd->blocks = WASI_BLOCKS_POLL;
  }
  if (fd->blocks == WASI_BLOCKS_POLL) {
    struct pollfd p = {.fd = host, .events = writing ? POLLOUT : POLLIN};
    if (poll(&p, 1, 0) == 0) {
      errno = EAGAIN;
      return -1;
    }
  }
  if (writing && fd->owned && fd->blocks != WASI_BLOCKS_NEVER && GUARD(PIPE_SIGPIPE)) return write_quietly(host, vec, count);
  // One vector is what most guests pass, and a little less work for the kernel.
  if (count == 1) return writing ? write(host, vec->iov_base, vec->iov_len) : read(host, vec->iov_base, vec->iov_len);
  return writing ? writev(host, vec, count) : readv(host, vec, count);
}

/** Bytes, or -errno. */
static int64_t transfer_host(const wasi_call *c, wasi_fd *fd, bool writing, bool at_position, struct iovec *vec, int count) {
  off_t offset = at_position ? (off_t)wasi_arg64(c, 3) : 0;
  for (;;) {
    ssize_t moved = transfer_once(fd, writing, at_position, offset, vec, count);
    if (moved >= 0) return moved;
    if (errno == EINTR && !lucet_vmctx_terminating(c->vm)) continue;
    if (errno != EAGAIN || (fd->fdflags & WASI_FDFLAG_NONBLOCK) != 0) return -errno;
    int error = wasi_wait_for(c, fd->host, writing ? POLLOUT : POLLIN);
    if (error != 0) return -error;
  }
}

/** What the guest writes to our own standard output or error: see lucet_wasi_ctx_within_line. */
static void note_last_byte(lucet_wasi_ctx *ctx, int host, const struct iovec *vec, uint64_t moved) {
  while (moved > vec->iov_len) moved -= vec++->iov_len;
  ctx->last_byte[host - 1] = ((const uint8_t *)vec->iov_base)[moved - 1];
  ctx->last_stream = (uint8_t)host;
}

enum { AT_POSITION = 1, WRITING = 2 };

static inline wasi_errno transfer(const wasi_call *c, int how) {
  bool writing = (how & WRITING) != 0;
  bool at_position = (how & AT_POSITION) != 0;
  uint64_t right = writing ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ;
  if (at_position) right |= WASI_RIGHT_FD_SEEK;
  wasi_errno error;
  wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), right, &error);
  if (fd == NULL) return error;
  uint32_t result_at = wasi_arg(c, at_position ? 4 : 3);
  struct iovec vec[WASI_MAX_VECTORS];
  uint64_t total;
  int n = wasi_gather(c, wasi_arg(c, 1), wasi_arg(c, 2), vec, &total);
  // The place of the result is checked beforehand, so that no data is moved which the guest isn't told of.
  if (n < 0 || (GUARD(RESULT_BOUND) && wasi_memory(c, result_at, 4) == NULL)) return WASI_EFAULT;
  if (writing && !wasi_allow_writing(c->ctx, vec, &n, &total)) return WASI_EDQUOT;
  if ((fd->kind == WASI_FD_BUFFER || fd->kind == WASI_FD_STREAM) && GUARD(COPY_BOUND)) shorten(vec, &n, &total, WASI_MAX_COPIED);
  int64_t moved;
  switch (fd->kind) {
    case WASI_FD_HOST:
      moved = transfer_host(c, fd, writing, at_position, vec, n);
      if (writing && moved > 0 && (fd->host == 1 || fd->host == 2)) note_last_byte(c->ctx, fd->host, vec, (uint64_t)moved);
      break;
    case WASI_FD_BUFFER: {
      wasi_buffer *b = &c->ctx->buffers[fd->stream];
      moved = writing ? write_buffer(b, vec, n, total) : read_buffer(b, vec, n);
      break;
    }
    case WASI_FD_STREAM: {
      const lucet_wasi_stream *stream = &c->ctx->stdio[fd->stream].stream;
      /* The embedder is told addresses. */
      (void)lucet_vmctx_memory(c->vm, 0, 0);
      moved = call_stream(stream, writing, vec, n);
      if (moved == -EAGAIN && stream->data != NULL && (fd->fdflags & WASI_FDFLAG_NONBLOCK) == 0) {
        c->ctx->wait = (lucet_wasi_wait){.streams = {stream->data}, .count = 1, .timeout = UINT64_MAX};
        return wasi_wait_for_embedder(c);
      }
      break;
    }
    default: moved = writing ? (int64_t)(total > INT32_MAX ? INT32_MAX : total) : 0;
  }
  if (moved < 0) return wasi_errno_of((int)-moved);
  if (writing) c->ctx->written += (uint64_t)moved;
  wasi_store32(c, result_at, (uint32_t)moved);
  return WASI_OK;
}

wasi_errno wasi_do_fd_read(const wasi_call *c) { return transfer(c, 0); }
wasi_errno wasi_do_fd_write(const wasi_call *c) { return transfer(c, WRITING); }
wasi_errno wasi_do_fd_pread(const wasi_call *c) { return transfer(c, AT_POSITION); }
wasi_errno wasi_do_fd_pwrite(const wasi_call *c) { return transfer(c, AT_POSITION | WRITING); }

static wasi_errno seek(const wasi_call *c, uint32_t number, uint64_t right, int64_t offset, int whence, uint32_t result_at) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, number, right, &error);
  if (fd == NULL) return error;
  if (wasi_memory(c, result_at, 8) == NULL) return WASI_EFAULT;
  off_t at = 0;
  if (fd->kind == WASI_FD_HOST) at = lseek(fd->host, offset, whence);
  if (at < 0) return wasi_errno_of(errno);
  wasi_store64(c, result_at, (uint64_t)at);
  return WASI_OK;
}

static wasi_errno seek_call(const wasi_call *c, const int whences[3]) {
  uint32_t whence = wasi_arg(c, 2) & 0xff;
  if (whence > 2) return WASI_EINVAL;
  int64_t offset = (int64_t)wasi_arg64(c, 1);
  // To ask for the position is to tell it.
  uint64_t right = offset == 0 && whences[whence] == SEEK_CUR ? WASI_RIGHT_FD_TELL : WASI_RIGHT_FD_SEEK;
  return seek(c, wasi_arg(c, 0), right, offset, whences[whence], wasi_arg(c, 3));
}

wasi_errno wasi_do_fd_seek(const wasi_call *c) { return seek_call(c, (const int[]){SEEK_SET, SEEK_CUR, SEEK_END}); }
wasi_errno wasi_do_unstable_fd_seek(const wasi_call *c) { return seek_call(c, (const int[]){SEEK_CUR, SEEK_END, SEEK_SET}); }
wasi_errno wasi_do_fd_tell(const wasi_call *c) { return seek(c, wasi_arg(c, 0), WASI_RIGHT_FD_TELL, 0, SEEK_CUR, wasi_arg(c, 1)); }
