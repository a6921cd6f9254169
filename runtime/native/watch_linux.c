/**
 * Debug registers, by perf_event_open: a breakpoint event of the calling thread, which sends it a SIGTRAP at each
 * overflow, that is each hit (Linux 5.13). It needs no privilege where kernel.perf_event_paranoid is 2 or less, as the
 * kernel is left out. On x86 the signal comes behind the access.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "watch.h"

/** include/uapi/asm-generic/siginfo.h; the C library may not have it. */
#define CODE_PERF 6
/** What stands behind si_addr in such a signal: si_perf_data, then si_perf_type. */
struct perf_info {
  uint64_t data;
  uint32_t type;
};
_Static_assert(sizeof(siginfo_t) >= offsetof(siginfo_t, si_addr) + 8 + sizeof(struct perf_info), "siginfo_t is smaller than the kernel's");

/** <linux/perf_event.h> of before 5.13 has no names for them. */
struct attributes {
  struct perf_event_attr known;
  uint64_t room[4];
};
enum { SIZE_WITH_SIG_DATA = 128, SIG_DATA_AT = 120, FLAGS_AT = 40 };
#define FLAG_REMOVE_ON_EXEC ((uint64_t)1 << 36)
#define FLAG_SIGTRAP ((uint64_t)1 << 37)

int lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark) {
  struct attributes a;
  memset(&a, 0, sizeof a);
  a.known.type = PERF_TYPE_BREAKPOINT;
  a.known.size = SIZE_WITH_SIG_DATA;
  a.known.bp_type = reads ? HW_BREAKPOINT_RW : HW_BREAKPOINT_W;
  a.known.bp_addr = (uint64_t)(uintptr_t)at;
  a.known.bp_len = size;
  a.known.sample_period = 1;
  a.known.exclude_kernel = 1;
  a.known.exclude_hv = 1;
  uint64_t flags;
  memcpy(&flags, (uint8_t *)&a + FLAGS_AT, sizeof flags);
  flags |= FLAG_REMOVE_ON_EXEC | FLAG_SIGTRAP;
  memcpy((uint8_t *)&a + FLAGS_AT, &flags, sizeof flags);
  memcpy((uint8_t *)&a + SIG_DATA_AT, &mark, sizeof mark);
  long fd = syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  return fd >= 0 ? (int)fd : -errno;
}

void lucet_watch_close(int fd) { close(fd); }

bool lucet_watch_mark(const void *siginfo, uint64_t *mark) {
  const siginfo_t *info = siginfo;
  if (info->si_signo != SIGTRAP || info->si_code != CODE_PERF) return false;
  struct perf_info perf;
  memcpy(&perf, (const uint8_t *)info + offsetof(siginfo_t, si_addr) + sizeof(void *), sizeof perf);
  *mark = perf.data;
  return perf.type == PERF_TYPE_BREAKPOINT;
}

static int paranoia(void) {
  char text[16] = "";
  int fd = open("/proc/sys/kernel/perf_event_paranoid", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
  if (fd >= 0) close(fd);
  return n > 0 ? atoi(text) : -1;
}

void lucet_watch_explain(int error, char *text, uint64_t size) {
  switch (error) {
    case EACCES:
    case EPERM:
      snprintf(text, size, "the system lets this process use no hardware watchpoints (kernel.perf_event_paranoid is %d; up to 2 allows them, unless a container's rules don't)",
               paranoia());
      return;
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP: snprintf(text, size, "this machine has no hardware watchpoints, as is usual for some virtual ones"); return;
    case ENOSYS: snprintf(text, size, "the system has no hardware watchpoints for programs: perf_event_open is not there, or a container's rules forbid it"); return;
    case E2BIG:
    case EINVAL: snprintf(text, size, "the system's hardware watchpoints send no signals: that takes Linux 5.13"); return;
    case ENOSPC: snprintf(text, size, "all of the processor's hardware watchpoints are in use"); return;
    default: snprintf(text, size, "the system gives no hardware watchpoint: %s", strerror(error)); return;
  }
}
