/**
 * Faults and interruptions of guest code, out of the process's signals.
 *
 * A signal is the guest's if the kernel raised it for an instruction (si_code > 0) whose address is registered guest
 * code, on a thread that runs an activation. The handler then only saves state and goes over to the host side, where
 * everything else happens outside of signal context (lucet_context_may_leave argues why it need not return). Any other
 * signal goes to whoever had the handler before, in the way the kernel would have delivered it.
 *
 * A *kick* (SIGURG, which is ignored where nobody handles it, and of which at most one is pending) makes a thread look
 * at the requests of the activation that it runs. In guest code, all state is saved and the thread is diverted as with
 * a fault. Between the look at the requests and guest code it is made to look again. In other code of the host nothing
 * is to be done: the request stays, and is looked at on the way back. What is left is somebody else's signal handler
 * that interrupted the guest and is interrupted in turn: for its sake kicks are repeated until they are heard
 * (control.c). System calls that a kick interrupts are not restarted, so that host functions that wait find out.
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
#include "watch.h"

#define ALTERNATE_STACK (64u << 10)
/** With a guard page below. */
#define MAPPING (HOST_PAGE + ALTERNATE_STACK)

#define KICK SIGURG
static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, KICK};
enum { SIGNAL_COUNT = sizeof SIGNALS / sizeof SIGNALS[0] };

/**
 * A handler that was there before ours. Records are never freed, as a handler may be reading one; equal ones are made
 * once.
 */
struct record {
  struct sigaction action;
  struct record *next;
};
static struct record *records;
/** What each signal did before, by number. */
static _Atomic(const struct sigaction *) previous[NSIG];
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

_Thread_local struct thread_area *lucet_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));
/** What is sent along with a kick, to tell it from anybody's SIGURG. */
static char kick_mark;
static pthread_key_t area_key;
static pthread_once_t area_once = PTHREAD_ONCE_INIT;
static bool area_key_made;

/* ---- Handing on */

/** Whether the fault recurs when the handler returns. */
static bool recurs(int sig, const siginfo_t *info) { return info->si_code > 0 && sig != SIGTRAP; }

/** As if the signal had no handler. */
static void by_default(int sig, siginfo_t *info, bool ignored) {
  if ((ignored && info->si_code <= 0) || sig == KICK) return;
  struct sigaction d;
  memset(&d, 0, sizeof d);
  d.sa_handler = SIG_DFL;
  sigemptyset(&d.sa_mask);
  sigaction(sig, &d, NULL);
  /* The faulting instruction runs again and dies of it, with its own registers in the core dump. What doesn't recur is sent again, and blocked until this
   * handler returns. */
  if (recurs(sig, info)) return;
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, sig);
  pthread_sigmask(SIG_BLOCK, &one, NULL);
  syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), sig, info);
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
  sigset_t mask, blocked = old->sa_mask;
  if ((old->sa_flags & SA_NODEFER) == 0) sigaddset(&blocked, sig);
  handing = context;
  pthread_sigmask(SIG_BLOCK, &blocked, &mask);
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
  /* A breakpoint leaves the program counter behind it. */
  uint64_t behind = sig == SIGTRAP && info->si_code == SI_KERNEL ? 1 : 0;
  bool guest = a != NULL && info->si_code > 0 && lucet_registry_is_guest(lucet_context_pc(context) - behind);
  uint64_t mark;
  bool watch = sig == SIGTRAP && lucet_watch_mark(info, &mark);
  enum watch_owner owner = watch ? lucet_watch_signalled(a, mark, guest) : WATCH_NOBODYS;
  if (guest && (!watch || owner == WATCH_OWN)) {
    struct machine_state *m = lucet_thread->machine;
    (void)lucet_context_save(context, m);
    m->registers[16] -= behind;
    m->trap_code = info->si_code;
    m->watch = watch;
    m->signal = sig;
    m->address = (uint64_t)(uintptr_t)info->si_addr;
    m->address_known = info->si_code != SI_KERNEL;
    if (lucet_context_may_leave(context, __builtin_dwarf_cfa())) {
      lucet_context_restore_mask(context, __builtin_dwarf_cfa());
      errno = saved_errno;
      lucet_leave(a, LUCET_LEFT_FAULT);
    }
    lucet_context_divert(context, a, LUCET_LEFT_FAULT);
  } else if (owner == WATCH_OTHERS) {
    /* What is to be done about it has been done. */
  } else if (a != NULL && sig == SIGTRAP && info->si_code == TRAP_TRACE && a->step.stepping) {
    atomic_fetch_or(a->requests, REQUEST_STEP);
    lucet_context_end_step(context);
  } else {
    hand_on(sig, info, context);
  }
  errno = saved_errno;
}

static void kick_handler(int sig, siginfo_t *info, void *context) {
  int saved_errno = errno;
  struct lucet_activation *a = lucet_current;
  TEST_POINT(handler_before_looking);
  if (a != NULL && (atomic_load_explicit(a->requests, memory_order_acquire) & REQUEST_BITS) != 0) {
    struct machine_state *m = lucet_thread->machine;
    if (!lucet_registry_is_guest(lucet_context_pc(context))) {
      lucet_context_rewind(context);
    } else if (lucet_context_save(context, m)) {
      m->signal = 0;
      lucet_context_divert(context, a, LUCET_LEFT_STOPPED);
    }
  }
  TEST_POINT(handler_before_returning);
  /* A kick that found somebody's SIGURG pending was merged with it. */
  if (info->si_code != SI_QUEUE || info->si_value.sival_ptr != &kick_mark) hand_on(sig, info, context);
  errno = saved_errno;
}

void lucet_signals_kick(int32_t thread) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = KICK;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = &kick_mark;
  /* A thread that has ended meanwhile, or another one that got its number, isn't harmed. */
  syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, KICK, &info);
}

/* ---- Installing */

static void (*handler_of(int sig))(int, siginfo_t *, void *) { return sig == KICK ? kick_handler : handler; }
static bool ours(int sig, const struct sigaction *s) { return (s->sa_flags & SA_SIGINFO) != 0 && s->sa_sigaction == handler_of(sig); }

static bool same(const struct sigaction *a, const struct sigaction *b) {
  return a->sa_flags == b->sa_flags && memcmp(&a->sa_mask, &b->sa_mask, sizeof a->sa_mask) == 0 &&
         ((a->sa_flags & SA_SIGINFO) != 0 ? a->sa_sigaction == b->sa_sigaction : a->sa_handler == b->sa_handler);
}

/** The lock is held. NULL: out of memory. */
static const struct sigaction *record_of(const struct sigaction *action) {
  struct record *r = records;
  while (r != NULL && !same(&r->action, action)) r = r->next;
  if (r == NULL && (r = malloc(sizeof *r)) != NULL) {
    r->action = *action;
    r->next = records;
    records = r;
  }
  return r != NULL ? &r->action : NULL;
}

static bool install(int sig) {
  if (sig != KICK) return lucet_context_install(sig, (void (*)(void))handler);
  struct sigaction fresh;
  memset(&fresh, 0, sizeof fresh);
  fresh.sa_sigaction = kick_handler;
  fresh.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&fresh.sa_mask);
  return sigaction(sig, &fresh, NULL) == 0;
}

/** Put our handler in place if another one is there. */
static bool ensure_handler(int sig) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) != 0) return false;
  if (ours(sig, &now)) return true;
  pthread_mutex_lock(&install_lock);
  bool ok = sigaction(sig, NULL, &now) == 0;
  if (ok && !ours(sig, &now)) {
    const struct sigaction *record = record_of(&now);
    ok = record != NULL;
    if (ok) {
      atomic_store(&previous[sig], record);
      ok = install(sig);
    }
  }
  pthread_mutex_unlock(&install_lock);
  return ok;
}

static void release_area(struct thread_area *t) {
  if (t->mapping != MAP_FAILED) munmap(t->mapping, MAPPING);
  free(t->machine);
  free(t);
}

static void free_area(void *p) {
  struct thread_area *t = p;
  stack_t now;
  if (sigaltstack(NULL, &now) == 0 && now.ss_sp == (uint8_t *)t->mapping + HOST_PAGE) {
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
  }
  lucet_thread = NULL;
  thread_forget();
  release_area(t);
}

/**
 * In a child made by fork the thread has another number: kicks to the old one would be lost, and no guest could be
 * stopped.
 */
static void in_child(void) {
  if (lucet_thread == NULL) return;
  lucet_thread->thread = (int32_t)syscall(SYS_gettid);
  thread_forget();
}

static void make_key(void) { area_key_made = pthread_key_create(&area_key, free_area) == 0 && pthread_atfork(NULL, NULL, in_child) == 0; }

/** An alternate stack that is there already is kept if it is large enough: it is somebody's. */
static bool make_stack(struct thread_area *t) {
  stack_t now, fresh = {.ss_size = ALTERNATE_STACK};
  if (sigaltstack(NULL, &now) != 0) return false;
  if ((now.ss_flags & SS_DISABLE) == 0 && now.ss_size >= ALTERNATE_STACK) return true;
  t->mapping = mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (t->mapping == MAP_FAILED || mprotect(t->mapping, HOST_PAGE, PROT_NONE) != 0) return false;
  fresh.ss_sp = (uint8_t *)t->mapping + HOST_PAGE;
  return sigaltstack(&fresh, NULL) == 0;
}

/**
 * Most handlers don't ask for the alternate stack, and would run on the guest's: near its end there is no room for the
 * kernel's frame, the signal is lost, and the guest seems to fault; below a dense stack without a guard the frame would
 * lie in memory of others. So they are made to ask for it, with all else as it was. A thread that has no alternate
 * stack goes on without.
 */
static void keep_off_guest_stacks(int sig) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) != 0 || (now.sa_flags & SA_ONSTACK) != 0) return;
  if ((now.sa_flags & SA_SIGINFO) == 0 && (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)) return;
  now.sa_flags |= SA_ONSTACK;
  sigaction(sig, &now, NULL);
}

static void keep_all_off_guest_stacks(void) {
  for (int sig = 1; sig < NSIG; sig++) keep_off_guest_stacks(sig);
}

static bool make_area(void) {
  pthread_once(&area_once, make_key);
  struct thread_area *t = area_key_made ? calloc(1, sizeof *t) : NULL;
  if (t == NULL) return false;
  t->mapping = MAP_FAILED;
  t->thread = (int32_t)syscall(SYS_gettid);
  t->machine = lucet_machine_new();
  if (t->machine == NULL || pthread_setspecific(area_key, t) != 0) {
    release_area(t);
    return false;
  }
  if (!make_stack(t)) {
    pthread_setspecific(area_key, NULL);
    release_area(t);
    return false;
  }
  /* A blocked fault kills the process at once. */
  sigset_t set;
  sigemptyset(&set);
  for (int k = 0; k < SIGNAL_COUNT; k++) sigaddset(&set, SIGNALS[k]);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  lucet_thread = t;
  keep_all_off_guest_stacks();
  return true;
}

atomic_bool lucet_signals_stale __attribute__((visibility("hidden")));
/** The coarse time of the last look at handlers. */
static _Atomic(uint64_t) checked;

void lucet_signals_changed(void) { atomic_store(&lucet_signals_stale, true); }

static uint64_t coarse_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/**
 * Embedders do replace handlers, and a guest's fault would then be handled, and repeated, without end. Asking the
 * system about six signals takes longer than a short run, and so does asking for the time. So the time is asked for
 * once in RUNS_UNLOOKED runs of a thread, the system once for each tick of the coarse clock (1 to 10 ms), and whenever
 * the embedder says that something changed.
 */
/** Signals of others that are looked at each time, in turn. */
#define OTHERS_ASKED 4

bool lucet_signals_ready(void) {
  if (lucet_thread == NULL && !make_area()) return false;
  if (lucet_signals_fresh()) return true;
  lucet_thread->unasked = RUNS_UNLOOKED - 1;
  uint64_t now = coarse_time();
  if (atomic_load_explicit(&checked, memory_order_relaxed) == now && !atomic_load_explicit(&lucet_signals_stale, memory_order_relaxed)) return true;
  static _Atomic(unsigned) turn;
  if (atomic_exchange(&lucet_signals_stale, false)) keep_all_off_guest_stacks();
  for (int k = 0; k < OTHERS_ASKED; k++) keep_off_guest_stacks((int)(1 + atomic_fetch_add(&turn, 1) % (NSIG - 1)));
  for (int k = 0; k < SIGNAL_COUNT; k++)
    if (!ensure_handler(SIGNALS[k])) return false;
  atomic_store(&checked, now);
  return true;
}
