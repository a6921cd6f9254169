/** Clocks, and waiting for them and for descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "wasi_internal.h"

#define SECOND UINT64_C(1000000000)

static bool host_clock(uint32_t id, clockid_t *clock) {
  static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
  if (id >= sizeof clocks / sizeof *clocks) return false;
  *clock = clocks[id];
  return true;
}

static wasi_errno clock_call(const wasi_call *c, int (*get)(clockid_t, struct timespec *), uint32_t result_at) {
  clockid_t clock;
  struct timespec t;
  if (!host_clock(wasi_arg(c, 0), &clock)) return WASI_EINVAL;
  if (get(clock, &t) != 0) return wasi_errno_of(errno);
  return wasi_store64(c, result_at, (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec) ? WASI_OK : WASI_EFAULT;
}

wasi_errno wasi_do_clock_res_get(const wasi_call *c) { return clock_call(c, clock_getres, wasi_arg(c, 1)); }
wasi_errno wasi_do_clock_time_get(const wasi_call *c) { return clock_call(c, clock_gettime, wasi_arg(c, 2)); }

/** More can't have a use; the memory for them is taken from the host. */
#define MAX_SUBSCRIPTIONS 65536

/** A subscription, and what came of it. */
typedef struct waiter {
  uint64_t userdata;
  uint8_t tag;
  bool ready;
  uint16_t error;
  uint16_t flags;
  uint64_t nbytes;
  /** Clock: when, on the host's monotonic clock. */
  uint64_t deadline;
  /** Descriptor: index into the pollfds, or -1. */
  int poll;
} waiter;

/** How long a guest that has yielded may leave descriptors of the host unlooked at. */
#define LOOK_AGAIN UINT64_C(10000000)

static uint64_t now(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t add_saturating(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

/** @param since when the guest began to wait, on the host's monotonic clock */
static void subscribe_clock(waiter *w, uint32_t id, uint64_t timeout, uint16_t flags, uint64_t since) {
  clockid_t clock;
  // Waiting for processor time would be waiting for oneself.
  if (!host_clock(id, &clock) || id > WASI_CLOCK_MONOTONIC) {
    w->error = WASI_EINVAL;
    w->ready = true;
    return;
  }
  if ((flags & WASI_SUBCLOCK_ABSTIME) == 0) {
    w->deadline = add_saturating(since, timeout);
    return;
  }
  uint64_t present = now(clock);
  w->deadline = add_saturating(now(CLOCK_MONOTONIC), timeout > present ? timeout - present : 0);
}

static bool would_wait(const lucet_wasi_stream *s, uint8_t tag) {
  if (s->data == NULL) return false;
  if (tag == WASI_EVENT_FD_READ) return s->read != NULL && s->read(s->data, NULL, 0) == -EAGAIN;
  return s->write != NULL && s->write(s->data, NULL, 0) == -EAGAIN;
}

static void wait_for_stream(lucet_wasi_wait *wait, const lucet_wasi_stream *s) {
  for (uint64_t i = 0; i < wait->count; i++)
    if (wait->streams[i] == s->data) return;
  // A context has three streams.
  wait->streams[wait->count++] = s->data;
}

/** @param wait gets the stream, if it is one that is not ready */
static void subscribe_fd(const wasi_call *c, waiter *w, uint32_t number, struct pollfd *polls, int *poll_count, lucet_wasi_wait *wait) {
  wasi_errno error = WASI_OK;
  const wasi_fd *fd = wasi_fd_with(c, number, WASI_RIGHT_POLL_FD_READWRITE, &error);
  if (fd == NULL) {
    w->error = (uint16_t)error;
    w->ready = true;
  } else if (fd->kind == WASI_FD_STREAM && would_wait(&c->ctx->stdio[fd->stream].stream, w->tag)) {
    wait_for_stream(wait, &c->ctx->stdio[fd->stream].stream);
  } else if (fd->kind != WASI_FD_HOST || fd->filetype == WASI_FILETYPE_REGULAR_FILE) {
    w->ready = true;
    w->nbytes = fd->kind == WASI_FD_NULL ? 0 : fd->kind == WASI_FD_BUFFER ? wasi_buffer_available(c->ctx, fd) : 1;
  } else {
    w->poll = *poll_count;
    polls[(*poll_count)++] = (struct pollfd){.fd = fd->host, .events = w->tag == WASI_EVENT_FD_READ ? POLLIN : POLLOUT};
  }
}

static void take_poll(waiter *w, const struct pollfd *p) {
  if (p->revents == 0) return;
  w->ready = true;
  if ((p->revents & POLLNVAL) != 0) w->error = WASI_EBADF;
  else if ((p->revents & (POLLIN | POLLOUT)) == 0 && (p->revents & POLLERR) != 0) w->error = WASI_EIO;
  if ((p->revents & POLLHUP) != 0) w->flags |= WASI_EVENT_FD_HANGUP;
  int available = 0;
  if (w->tag == WASI_EVENT_FD_READ && ioctl(p->fd, FIONREAD, &available) == 0 && available > 0) w->nbytes = (uint64_t)available;
}

/**
 * Waits until a descriptor is ready or the earliest deadline has passed. Returns 0 or an errno.
 * @param looks it only looks: the embedder waits
 * @param wait gets the time until the deadline
 */
static int wait_for(const wasi_call *c, waiter *waiters, uint32_t count, struct pollfd *polls, int poll_count, bool looks, lucet_wasi_wait *wait) {
  uint64_t deadline = UINT64_MAX;
  bool ready = false;
  for (uint32_t i = 0; i < count; i++) {
    ready |= waiters[i].ready;
    if (waiters[i].tag == WASI_EVENT_CLOCK && !waiters[i].ready && waiters[i].deadline < deadline) deadline = waiters[i].deadline;
  }
  if (wasi_wait(c, polls, (uint32_t)poll_count, ready || looks ? 0 : deadline) < 0) return errno;
  uint64_t present = now(CLOCK_MONOTONIC);
  wait->timeout = deadline == UINT64_MAX ? UINT64_MAX : deadline > present ? deadline - present : 0;
  if (poll_count > 0 && wait->timeout > LOOK_AGAIN) wait->timeout = LOOK_AGAIN;
  for (uint32_t i = 0; i < count; i++) {
    waiter *w = &waiters[i];
    if (w->ready) continue;
    if (w->tag == WASI_EVENT_CLOCK) w->ready = w->deadline <= present;
    else if (w->poll >= 0) take_poll(w, &polls[w->poll]);
  }
  return 0;
}

/** As many as need no memory of their own. */
#define FEW_SUBSCRIPTIONS 16

/** `stride`: bytes of a subscription; `shift`: how far its clock's fields lie behind where preview 1 has them. */
static wasi_errno poll_oneoff(const wasi_call *c, size_t stride, size_t shift) {
  uint32_t count = wasi_arg(c, 2);
  uint32_t result_at = wasi_arg(c, 3);
  if (count == 0) return WASI_EINVAL;
  if (GUARD(POLL_COUNT) && count > MAX_SUBSCRIPTIONS) return WASI_ENOMEM;
  const uint8_t *in = wasi_memory(c, wasi_arg(c, 0), (uint64_t)count * stride);
  uint8_t *out = wasi_memory(c, wasi_arg(c, 1), (uint64_t)count * sizeof(wasi_event));
  if (in == NULL || out == NULL || wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  struct {
    waiter waiters[FEW_SUBSCRIPTIONS];
    struct pollfd polls[FEW_SUBSCRIPTIONS];
  } few;
  void *many = NULL;
  waiter *waiters = few.waiters;
  struct pollfd *polls = few.polls;
  if (count > FEW_SUBSCRIPTIONS) {
    many = waiters = malloc(count * (sizeof *waiters + sizeof *polls));
    if (many == NULL) return WASI_ENOMEM;
    polls = (struct pollfd *)(waiters + count);
  }
  int poll_count = 0;
  lucet_wasi_wait wait = {.count = 0};
  uint64_t since = c->since != 0 ? c->since : now(CLOCK_MONOTONIC);
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *from = in + i * stride;
    wasi_subscription s;
    memset(&s, 0, sizeof s);
    memcpy(&s, from, 16);
    memcpy((uint8_t *)&s + 16, from + 16 + (s.tag == WASI_EVENT_CLOCK ? shift : 0), 32);
    waiter *w = &waiters[i];
    *w = (waiter){.userdata = s.userdata, .tag = s.tag, .poll = -1};
    if (s.tag == WASI_EVENT_CLOCK) {
      subscribe_clock(w, s.clock.id, s.clock.timeout, s.clock.flags, since);
    } else if (s.tag == WASI_EVENT_FD_READ || s.tag == WASI_EVENT_FD_WRITE) {
      subscribe_fd(c, w, s.fd, polls, &poll_count, &wait);
    } else {
      free(many);
      return WASI_EINVAL;
    }
  }
  bool embedder_waits = wait.count > 0 || lucet_vmctx_wasi_yields(c->vm);
  c->ctx->polling_since = since;
  int error = wait_for(c, waiters, count, polls, poll_count, embedder_waits, &wait);
  uint32_t events = 0;
  for (uint32_t i = 0; error == 0 && i < count; i++) {
    const waiter *w = &waiters[i];
    if (!w->ready) continue;
    wasi_event e = {.userdata = w->userdata, .error = w->error, .type = w->tag, .nbytes = w->nbytes, .flags = w->flags};
    memcpy(out + (size_t)events * sizeof e, &e, sizeof e);
    events++;
  }
  free(many);
  if (error != 0) return wasi_errno_of(error);
  if (events == 0 && embedder_waits) {
    c->ctx->wait = wait;
    return wasi_wait_for_embedder(c);
  }
  wasi_store32(c, result_at, events);
  return WASI_OK;
}

wasi_errno wasi_do_poll_oneoff(const wasi_call *c) { return poll_oneoff(c, sizeof(wasi_subscription), 0); }
/** There a clock's id is preceded by an identifier of 64 bits. */
wasi_errno wasi_do_unstable_poll_oneoff(const wasi_call *c) { return poll_oneoff(c, sizeof(wasi_subscription) + 8, 8); }
