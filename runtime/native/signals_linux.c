/**
 * Faults of guest code, out of the process's signals.
 *
 * A signal is the guest's if the kernel raised it for an instruction (si_code > 0) whose address is registered guest
 * code, on a thread that runs an activation. The handler then only saves state and diverts the thread to the host
 * side, where everything else happens outside of signal context. Any other signal goes to whoever had the handler
 * before, in the way the kernel would have delivered it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define ALTERNATE_STACK (64u << 10)

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
enum { SIGNAL_COUNT = sizeof SIGNALS / sizeof SIGNALS[0] };

/** What each signal did before, by number. Records are never freed: a handler may be reading one. */
static _Atomic(struct sigaction *) previous[NSIG];
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

/** This thread's alternate stack and, below it in the same mapping, room for the extended state. */
struct thread_area {
  size_t size;
  uint8_t *stack;
  uint8_t *extended;
  size_t room;
  size_t used;
};
static _Thread_local struct thread_area *area __attribute__((tls_model("initial-exec")));
static pthread_key_t area_key;
static pthread_once_t area_once = PTHREAD_ONCE_INIT;
static bool area_key_made;

const uint8_t *lucet_thread_extended(size_t *size) {
  *size = area != NULL ? area->used : 0;
  return area != NULL ? area->extended : NULL;
}

/* ---- Handing on */

/** Does the fault come again when the handler returns? */
static bool recurs(int sig, const siginfo_t *info) { return info->si_code > 0 && sig != SIGTRAP; }

/** As if the signal had no handler. */
static void by_default(int sig, siginfo_t *info, bool ignored) {
  if (ignored && info->si_code <= 0) return;
  struct sigaction d;
  memset(&d, 0, sizeof d);
  d.sa_handler = SIG_DFL;
  sigemptyset(&d.sa_mask);
  sigaction(sig, &d, NULL);
  /* The faulting instruction runs again and dies of it, with its own registers in the core dump. What doesn't recur is sent again; it is
   * blocked until this handler returns. */
  if (!recurs(sig, info)) syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), sig, info);
}

static void hand_on(int sig, siginfo_t *info, void *context) {
  /* A handler that was installed over ours may hand on to us what we handed to it: the second time, nobody wants it. */
  static _Thread_local const void *handing __attribute__((tls_model("initial-exec")));
  const struct sigaction *old = atomic_load(&previous[sig]);
  bool again = handing == context;
  if (old == NULL || again || (!(old->sa_flags & SA_SIGINFO) && (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN))) {
    by_default(sig, info, old != NULL && !again && old->sa_handler == SIG_IGN);
    return;
  }
  const void *outer = handing;
  sigset_t mask;
  handing = context;
  pthread_sigmask(SIG_BLOCK, &old->sa_mask, &mask);
  if (old->sa_flags & SA_SIGINFO)
    old->sa_sigaction(sig, info, context);
  else
    old->sa_handler(sig);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  handing = outer;
}

static void handler(int sig, siginfo_t *info, void *context) {
  int saved_errno = errno;
  struct lucet_activation *a = lucet_current;
  if (a != NULL && info->si_code > 0 && lucet_registry_is_guest(lucet_context_pc(context))) {
    a->fault.signal = sig;
    a->fault.address = (uint64_t)(uintptr_t)info->si_addr;
    a->fault.address_known = info->si_code != SI_KERNEL;
    lucet_context_divert(context, a, area->extended, area->room, &area->used);
  } else {
    hand_on(sig, info, context);
  }
  errno = saved_errno;
}

/* ---- Installing */

static bool ours(const struct sigaction *s) { return (s->sa_flags & SA_SIGINFO) != 0 && s->sa_sigaction == handler; }

/** Put our handler in place if another one is there. */
static bool ensure_handler(int sig) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) != 0) return false;
  if (ours(&now)) return true;
  pthread_mutex_lock(&install_lock);
  bool ok = sigaction(sig, NULL, &now) == 0;
  if (ok && !ours(&now)) {
    struct sigaction *record = malloc(sizeof *record), fresh;
    memset(&fresh, 0, sizeof fresh);
    fresh.sa_sigaction = handler;
    fresh.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&fresh.sa_mask);
    ok = record != NULL;
    if (ok) {
      *record = now;
      atomic_store(&previous[sig], record);
      ok = sigaction(sig, &fresh, NULL) == 0;
    }
  }
  pthread_mutex_unlock(&install_lock);
  return ok;
}

static void free_area(void *p) {
  struct thread_area *t = p;
  stack_t now;
  if (sigaltstack(NULL, &now) == 0 && now.ss_sp == t->stack) {
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
  }
  area = NULL;
  munmap(t, t->size);
}

static void make_key(void) { area_key_made = pthread_key_create(&area_key, free_area) == 0; }

/**
 * One mapping for each thread: [struct thread_area, extended state][guard page][alternate stack]. An alternate stack
 * that is there already is kept if it is large enough: it is somebody's.
 */
static bool make_area(void) {
  pthread_once(&area_once, make_key);
  if (!area_key_made) return false;
  size_t room = lucet_xsave_size(), head = (size_t)round_up(round_up(sizeof(struct thread_area), 64) + room, HOST_PAGE);
  size_t size = head + HOST_PAGE + ALTERNATE_STACK;
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  struct thread_area *t = p;
  t->size = size;
  t->extended = (uint8_t *)p + round_up(sizeof *t, 64);
  t->room = room;
  t->stack = (uint8_t *)p + head + HOST_PAGE;
  stack_t now, fresh = {.ss_sp = t->stack, .ss_size = ALTERNATE_STACK};
  bool ok = mprotect((uint8_t *)p + head, HOST_PAGE, PROT_NONE) == 0 && sigaltstack(NULL, &now) == 0;
  if (ok && ((now.ss_flags & SS_DISABLE) != 0 || now.ss_size < ALTERNATE_STACK)) ok = sigaltstack(&fresh, NULL) == 0;
  if (!ok || pthread_setspecific(area_key, t) != 0) {
    munmap(p, size);
    return false;
  }
  /* A blocked fault kills the process at once. */
  sigset_t set;
  sigemptyset(&set);
  for (int k = 0; k < SIGNAL_COUNT; k++) sigaddset(&set, SIGNALS[k]);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  area = t;
  return true;
}

/** Set when handlers are known to have changed; `checked` is the coarse time of the last look at them. */
static atomic_bool changed;
static _Atomic(uint64_t) checked;

void lucet_signals_changed(void) { atomic_store(&changed, true); }

static uint64_t coarse_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/**
 * Embedders do replace handlers, and a guest's fault would then be handled, and repeated, without end. Asking the
 * system about five signals takes longer than a short run, so it is done once for each tick of the coarse clock (1 to
 * 10 ms), and whenever the embedder says that something changed.
 */
bool lucet_signals_ready(void) {
  if (area == NULL && !make_area()) return false;
  uint64_t now = coarse_time();
  if (atomic_load_explicit(&checked, memory_order_relaxed) == now && !atomic_load_explicit(&changed, memory_order_relaxed)) return true;
  atomic_store(&changed, false);
  for (int k = 0; k < SIGNAL_COUNT; k++)
    if (!ensure_handler(SIGNALS[k])) return false;
  atomic_store(&checked, now);
  return true;
}
