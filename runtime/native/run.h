/**
 * How guests are run, stopped and resumed: what run.c, control.c, watchdog.c, the signal handlers and the assembly
 * share.
 *
 * An *activation* is one run of guest code, from the host's call to its end; it lies on the stack of one instance. It
 * leaves guest code in one of few ways (LUCET_LEFT_*), every one of which ends on the host's stack, in `proceed`; and
 * it is resumed along one of four paths (enum resume_path), according to what of it was saved.
 *
 * A *control block* is what other threads may know of an instance: which requests they have for it, and on which thread
 * it runs. It outlives its instance as long as somebody holds a kill switch.
 */
#ifndef LUCET_RUN_H
#define LUCET_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "lucet.h"

/* ---- Test points: places between two steps of a race, where tests let another thread act */

#ifdef LUCET_TEST_POINTS
extern void (*lucet_test_point)(const char *name);
extern uint64_t lucet_test_patience;
#define TEST_POINT(name) \
  do { \
    if (lucet_test_point != NULL) lucet_test_point(#name); \
  } while (0)
#else
#define TEST_POINT(name) ((void)0)
#endif

/* ---- The state of the machine, written by the signal handler and by the trap stub */

struct machine_state {
  /** As in lucet_trap_info. */
  uint64_t registers[18];
  /** The signal that brought it about, or that a failed check amounts to (SIGILL); 0: a request. */
  uint64_t address;
  int signal;
  /** SIGTRAP: si_code; and whether it tells of a watchpoint. */
  int trap_code;
  bool watch;
  /** The system says that `address` is the address of the access. */
  bool address_known;
  uint32_t extended_size;
  /** In the standard form of XSAVE (or FXSAVE, when it has 512 bytes). */
  _Alignas(64) uint8_t extended[];
};

/** NULL: out of memory. */
struct machine_state *lucet_machine_new(void);

/* ---- Activations */

enum activation_state {
  /** Guest code, or host code that it called, is on a processor. */
  ACTIVATION_RUNNING,
  ACTIVATION_SUSPENDED,
};

enum resume_path {
  /** Nothing has been run yet. */
  RESUME_ENTER,
  /** Behind a hostcall or a builtin: callee-saved registers and the result are in the activation. */
  RESUME_RETURN,
  /** First the rest of a host function that yielded. */
  RESUME_CONTINUATION,
  /** Anywhere: everything is in `machine`. */
  RESUME_MACHINE,
};

struct lucet_activation {
  uint64_t host_rsp;
  /** At a hostcall and at a builtin call: points to the return address. */
  uint64_t guest_rsp;
  uint64_t saved[6];
  const uint8_t *entry;
  const uint8_t *code;
  uint64_t *args;
  uint8_t *base;
  /** The control block's word: low byte not 0 means that the guest may not go on. */
  _Atomic(uint64_t) *requests;
  struct machine_state *machine;
  /** Of a builtin that was stopped on its way back; at a landing pad: the exception, and the number of the clause. */
  uint64_t result;
  uint64_t clause;
  /** Stack pointer at the entry: the return address into the stub lies just below. */
  uint64_t stack_top;
  /** Whose stack it runs on. */
  struct lucet_instance *instance;
  enum activation_state state;
  enum resume_path path;
  /** Number of activations on the thread, this one included. */
  uint32_t depth;
  /** SUSPENDED: the kind of the event that told so. */
  uint32_t waits;
  /** The activation below on the same stack, and the one that was current on the thread when this one was entered. */
  struct lucet_activation *outer;
  struct lucet_activation *parent;
  /** LUCET_LEFT_TRAP: trap code; LUCET_LEFT_TERMINATED: reason. */
  uint32_t left_code;
  uint32_t host_import;
  uint64_t left_details;
  /** At a hostcall. */
  uint64_t *host_args;
  uint8_t *host_base;
  /** For debug.c. */
  struct {
    /** The next resume is to execute one instruction. */
    bool wanted;
    /** It runs with the trap flag. */
    bool stepping;
    /** The breakpoint that is out of the way for one step. */
    lucet_module *lifted;
    uint32_t offset;
    /** Where the embedder was told that it stopped; 0: nowhere. */
    uint64_t told;
    /** The same, when it was last let go on: should it be stopped before it does. */
    uint64_t from;
  } step;
  /** Of the yield that it asked for or waits in. */
  struct {
    bool asked;
    /** Not to yield, but to be stopped as it was asked to (lucet_vmctx_stop): `value` is its own. */
    bool stops;
    lucet_value value;
    const void *expects;
    lucet_continuation continuation;
    void *data;
  } yield;
};

/** What assembly looks at of the thread. */
struct thread_here {
  /** The activation that it runs; NULL: none. */
  struct lucet_activation *current;
  /**
   * That of the instance that it has run last, if its calls need no look at the thread (call.c); otherwise
   * TOKEN_FORGOTTEN.
   */
  uint64_t token;
};
extern _Thread_local struct thread_here lucet_here __attribute__((tls_model("initial-exec"), visibility("hidden")));
#define lucet_current (lucet_here.current)

/** Lowest address that the stack pointer may have while this thread runs guest code: what dense code compares with. */
extern _Thread_local uint64_t lucet_stack_limit __attribute__((tls_model("initial-exec"), visibility("hidden")));
/** Where it is, from any thread's thread pointer. */
uint64_t lucet_stack_limit_offset(void);

/** May this thread run `i` now? */
lucet_status lucet_may_run(const struct lucet_instance *i, lucet_error *error);
/** Something about the instance has to be looked at by its next call. */
void lucet_call_unready(struct lucet_instance *i);
/** A running activation was left: tell how, or let it go on, until there is something to tell. */
void lucet_activation_left(struct lucet_activation *a, uint64_t left, lucet_event *event);
/** References in an argument array tie the instances they lead to to the one that gets them. False: one can't be. */
bool lucet_adopt_words(struct lucet_instance *i, const uint8_t *types, uint32_t count, const uint64_t *words);
/** End all activations of an instance that is about to go, or to be made as new. */
void lucet_activations_free(struct lucet_instance *i);
/** A native host function is left by other means than returning. */
void lucet_hostcall_abandoned(struct lucet_activation *a);
/** Leave the guest from a builtin or a host function. */
LUCET_NORETURN void lucet_raise(uint32_t left, uint32_t code, uint64_t details);
/** Is its state in `machine`, and not only where its frames begin? */
static inline bool stopped_anywhere(const struct lucet_activation *a) { return a->state == ACTIVATION_SUSPENDED && a->path == RESUME_MACHINE; }
/** Was it stopped within a host function that waited? */
static inline bool stopped_in_host(const struct lucet_activation *a) {
  return a->state == ACTIVATION_SUSPENDED && a->path == RESUME_CONTINUATION && a->yield.stops;
}

/* ---- control.c */

/** Low byte of the request word: why the guest may not go on. */
enum {
  REQUEST_KILL = 1,
  REQUEST_TIMEOUT = 2,
  REQUEST_PAUSE = 4,
  REQUEST_SLICE = 8,
  /** From a builtin on the guest's own thread. */
  REQUEST_BOUND = 16,
  /** A single step has led into the host. */
  REQUEST_STEP = 32,
  /** Watchpoints have been set or cleared, or one was hit in a host function. */
  REQUEST_WATCH = 64,
  REQUEST_BITS = 0xff,
  /** Those for which a host function stops waiting. The others are for guest code. */
  REQUEST_ENDS = REQUEST_KILL | REQUEST_TIMEOUT,
  REQUEST_WAKES = REQUEST_ENDS | REQUEST_PAUSE | REQUEST_SLICE,
};

/** An entry of the watchdog's; kept inside of the control block. */
struct timer {
  uint64_t when;
  uint64_t run;
  /** In the heap; 0: not armed. */
  uint32_t position;
  /** Nanoseconds until the next time, when it repeats. */
  uint32_t wait;
  struct lucet_control *control;
};

struct lucet_control {
  /**
   * Number of the run << 8 | requests. Killers set bits while the number is theirs; the end of a run counts up and
   * clears.
   */
  _Atomic(uint64_t) requests;
  /** CONTROL_*; and the thread, by the kernel's number, while it is GUEST, HOST or WAITING. */
  _Atomic(uint32_t) where;
  _Atomic(int32_t) thread;
  atomic_uint references;
  struct timer deadline;
  struct timer resend;
};

/** The system has no membarrier: whoever begins to run must order his stores and loads himself. */
extern atomic_bool lucet_control_fences;

/** The instance's control block, made if there is none. NULL: out of memory. */
struct lucet_control *lucet_control_of(struct lucet_instance *i);
void lucet_control_retain(struct lucet_control *c);
void lucet_control_release(struct lucet_control *c);
/** From any thread. What came of it, as lucet_kill_switch_terminate tells. */
lucet_kill_result lucet_control_request(struct lucet_control *c, uint64_t run, uint32_t request);
/** Kicks that had to be repeated. */
extern atomic_uint lucet_control_resends;
/** Deliver the request word of a run that is still under way to its thread, again. False: there is no need. */
bool lucet_control_resend(struct lucet_control *c, uint64_t run);
static inline uint64_t control_run(const struct lucet_control *c) { return atomic_load_explicit(&c->requests, memory_order_acquire) >> 8; }

/**
 * Publish where the guest is, before its requests are looked at. Killers do the two things in the other order, with a
 * barrier on all threads in between (membarrier), so one of the two sees the other.
 */
static inline void control_move(struct lucet_control *c, uint32_t where) {
  atomic_store_explicit(&c->where, where, memory_order_release);
  if (atomic_load_explicit(&lucet_control_fences, memory_order_relaxed)) atomic_thread_fence(memory_order_seq_cst);
}

/** The outermost activation has ended: requests and kill switches of this run are void. */
static inline void control_end_run(struct lucet_control *c) {
  TEST_POINT(run_before_ending);
  atomic_store_explicit(&c->where, CONTROL_IDLE, memory_order_release);
  atomic_store_explicit(&c->requests, (control_run(c) + 1) << 8, memory_order_release);
  TEST_POINT(run_after_ending);
}

/* ---- debug.c */

/** Beside lucet_stop: it goes on; it is no breakpoint and no step. */
enum { LUCET_STOP_NONE = 100, LUCET_STOP_UNKNOWN };

/** Before an activation goes on along RESUME_MACHINE. */
void lucet_debug_prepare(struct lucet_activation *a);
/** After it was left, however. */
void lucet_debug_settle(struct lucet_activation *a);
/** What a SIGTRAP means: lucet_stop, or one of the above. */
uint32_t lucet_debug_trapped(const struct lucet_activation *a, const struct machine_state *m);
void lucet_breakpoints_free(lucet_module *m);
/** A byte of code, as if no breakpoint were there. */
uint8_t lucet_code_byte(const lucet_module *m, uint32_t offset);
/** Bytes of a stack that nobody runs on? */
bool lucet_stack_range(const struct lucet_instance *i, uint64_t address, size_t n);

/* ---- watchdog.c: one thread for everything that has to happen at a time */

/**
 * After `delay` ns, if the run is still that one: end it (`deadline`), or repeat the kick (`resend`). False: there is
 * no thread or memory to be had.
 */
bool lucet_watchdog_arm(struct timer *t, struct lucet_control *c, uint64_t run, uint64_t delay);
void lucet_watchdog_disarm(struct timer *t);
/** CLOCK_MONOTONIC in nanoseconds. */
uint64_t lucet_now(void);

/* ---- stack_x64.S: the paths into the guest. What they return is LUCET_LEFT_*. */

uint64_t lucet_enter(struct lucet_activation *a);
/**
 * The same for a ready instance that the thread has settled (call_x64.S), all of the call; to be called last. `what`:
 * lucet_funcref or lucet_prepared_call. `plain`: the thread's floating-point modes are good for what is called. Only if
 * the activation is stopped before the guest's first instruction it learns what was to be run.
 */
lucet_status lucet_call_function(struct lucet_instance *i, const void *what, uint64_t *args, lucet_event *event, lucet_error *error);
lucet_status lucet_call_plain(struct lucet_instance *i, const void *what, uint64_t *args, lucet_event *event, lucet_error *error);
/**
 * call.c, where calls go on that have something to look at; and where the guest was left otherwise than by returning to
 * a ready instance.
 */
lucet_status lucet_call_unsettled(struct lucet_instance *i, const lucet_funcref *f, uint64_t *args, lucet_event *event, lucet_error *error);
lucet_status lucet_call_prepared_unsettled(const lucet_prepared_call *call, uint64_t *args, lucet_event *event, lucet_error *error);
lucet_status lucet_call_left(uint64_t left, lucet_event *event, lucet_error *error);
uint64_t lucet_reenter(struct lucet_activation *a);
uint64_t lucet_reenter_continuing(struct lucet_activation *a);
uint64_t lucet_reenter_machine(struct lucet_activation *a);
/** From code that works for the guest, to the landing pad that the activation names. */
LUCET_NORETURN void lucet_land(struct lucet_activation *a);
LUCET_NORETURN void lucet_leave(struct lucet_activation *a, uint64_t left);
/**
 * Runs that are under way on this thread, and have left its floating-point modes as they were, go on in those of
 * guests; the thread gets its own back behind them. To be called by host code.
 */
void lucet_modes_matter(void);
/** Return addresses of the guest's outermost frame. */
extern const uint8_t lucet_enter_return[], lucet_call_function_return[], lucet_call_plain_return[], lucet_call_prepared_return[];
extern const uint8_t lucet_fault_return[], lucet_builtin_stub[], lucet_hostcall_stub[], lucet_trap_stub[], lucet_signal_return[];
/**
 * The host function is done, and there is something to look at: may the guest have its results? LUCET_LEFT_RETURNED, or
 * how to leave.
 */
uint64_t lucet_hostcall_done(struct lucet_activation *a);
/** Called on the way back from a yield. */
uint64_t lucet_hostcall_continue(struct lucet_activation *a);

/* ---- signals_linux.c */

/** What a thread needs to run guests. */
struct thread_area {
  /** Its alternate stack, if it is ours. */
  void *mapping;
  /** Never NULL: the handler and the trap stub write here. */
  struct machine_state *machine;
  int32_t thread;
  /** Runs until it is asked for the time again; calls of ready instances have a count of their own. */
  uint32_t unasked;
  /** The next one that it gives. */
  uint64_t token;
};
/**
 * It has run something else than the instance that it last settled, or its number has changed, or it has no area. No
 * instance has that token, nor 0, which instances have that nobody has settled.
 */
#define TOKEN_FORGOTTEN 1
static inline void thread_forget(void) { lucet_here.token = TOKEN_FORGOTTEN; }
extern _Thread_local struct thread_area *lucet_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));

/** The embedder says that handlers have been replaced. */
extern atomic_bool lucet_signals_stale __attribute__((visibility("hidden")));
/** The usual answer to lucet_signals_ready; false: ask it. */
static inline bool lucet_signals_fresh(void) {
  struct thread_area *t = lucet_thread;
  if (__builtin_expect(t == NULL || t->unasked == 0 || atomic_load_explicit(&lucet_signals_stale, memory_order_relaxed), false)) return false;
  t->unasked--;
  return true;
}
/** At each outermost entry: alternate stack and handlers are in place. False: they can't be had. */
bool lucet_signals_ready(void);
/** Interrupt a thread, so that it looks at its requests. */
void lucet_signals_kick(int32_t thread);

/* ---- context_x64_linux.c */

uint64_t lucet_context_pc(const void *ucontext);
/** Save the guest's state; false: it has more extended state than there is room for. */
bool lucet_context_save(const void *ucontext, struct machine_state *m);
/** Make the handler's return go to lucet_fault_return of `a`, to leave as `left`. */
void lucet_context_divert(void *ucontext, const struct lucet_activation *a, uint64_t left);
/**
 * May the handler be left for good, by lucet_leave, instead of by the system call that restores what was interrupted?
 * `cfa`: __builtin_dwarf_cfa of the handler.
 */
bool lucet_context_may_leave(const void *ucontext, const void *cfa);
/** Before it is: signals are blocked as they were. `cfa` as above. */
void lucet_context_restore_mask(const void *ucontext, const void *cfa);
/**
 * Install a handler of faults, which takes what SA_SIGINFO says: it may be interrupted by the signal that it handles.
 */
bool lucet_context_install(int sig, void (*handler)(void));
/** End a single step that has led into the host. */
void lucet_context_end_step(void *ucontext);
/** Everything that a guest behind a call of the host has: what isn't in the activation is arbitrary there. */
void lucet_machine_behind_call(struct machine_state *m, const struct lucet_activation *a);
/** The rest of what the trap stub has begun to write. */
void lucet_machine_at_check(struct machine_state *m);
/** If the thread is between the look at its requests and guest code, make it look again. */
void lucet_context_rewind(void *ucontext);

#endif
