/**
 * Every way out of a guest leaves the host's registers as they were: those that functions keep, the modes of both
 * floating-point units, the direction and trap flags, the signal mask and the alternate stack. Each is tried in several
 * modes of the host's, on instances that are ready and that aren't; and guests have their own modes meanwhile.
 */
#define _GNU_SOURCE
#include "control.h"

struct host_state {
  uint64_t callee[6];
  uint64_t rsp;
  uint64_t rflags;
  uint64_t vector[4];
  uint32_t mxcsr;
  uint16_t x87_control;
  uint16_t x87_tag;
};
_Static_assert(offsetof(struct host_state, mxcsr) == 96 && offsetof(struct host_state, x87_tag) == 102, "border_host_x64.S has these offsets");
void border_call(void (*f)(void *), void *data, struct host_state *planted, struct host_state *found);

enum { DIRECTION_FLAG = 0x400, TRAP_FLAG = 0x100, ALIGNMENT_FLAG = 0x40000, X87_EMPTY = 0xffff };
enum { FLUSH_TO_ZERO = 0x8000, UPWARD = 0x4000, DENORMALS_ARE_ZERO = 0x40, DIVIDE_MASK = 0x200 };

/** Modes of the host's. */
static const struct {
  uint32_t mxcsr;
  uint16_t x87;
} MODES[] = {
    {DEFAULT_MXCSR, 0x37f},
    {DEFAULT_MXCSR | FLUSH_TO_ZERO | UPWARD | DENORMALS_ARE_ZERO, 0x37f},
    {DEFAULT_MXCSR, 0xa7f},
    {DEFAULT_MXCSR & ~DIVIDE_MASK, 0xa7f},
};

/* ---- What is done in between: one run, from its beginning to its end */

static lucet_instance *its_instance;
static lucet_kill_switch *its_switch;
/** How the run is to end: lucet_event_kind. */
static uint32_t ended;
static uint64_t result;
static uint32_t guest_modes;

static void go(uint32_t function, uint64_t argument, lucet_event *e) {
  static uint64_t args[2];
  args[0] = argument;
  args[1] = 0;
  if (lucet_instance_call(its_instance, lucet_instance_function(its_instance, function), args, e, NULL) != LUCET_OK) e->kind = 99;
  result = args[0];
  ended = e->kind;
}
static void go_on(lucet_event *e) {
  if (lucet_instance_resume(its_instance, e, NULL) != LUCET_OK) e->kind = 99;
  ended = e->kind;
}
static void simply(uint32_t function, uint64_t argument) {
  lucet_event e;
  go(function, argument, &e);
}

static void returns(void) {
  simply(F_MODES, 0);
  guest_modes = (uint32_t)result;
}
static void returns_prepared(void) {
  lucet_event e;
  uint64_t args[2] = {40, 2};
  lucet_prepared_call c;
  ended = 99;
  if (lucet_call_prepare(its_instance, lucet_instance_function(its_instance, F_ADD), &c, NULL) == LUCET_OK && lucet_call_prepared(&c, args, &e, NULL) == LUCET_OK)
    ended = (uint32_t)args[0] == 42 ? e.kind : 98;
}
static void calls_native(void) {
  simply(F_CALL_MODES, 0);
  guest_modes = (uint32_t)result;
}
static void calls_embedder(void) {
  lucet_event e;
  go(F_CALL_HOST, 1, &e);
  if (ended == LUCET_EVENT_HOSTCALL) go_on(&e);
}
static void abandoned_at_hostcall(void) {
  lucet_event e;
  go(F_CALL_HOST, 1, &e);
  if (lucet_instance_abort(its_instance, NULL) != LUCET_OK) ended = 99;
}
static void faults(void) { simply(F_UNREACHABLE, 0); }
static void loads_beyond(void) { simply(F_LOAD, 0x7fffffff); }
static void fails_check(void) { simply(F_CHECK, 3); }
static void divides(void) { simply(F_DIVIDE, 1); }
static void overflows(void) { simply(F_RECURSE, 0); }
static void grows(void) { simply(F_GROW, 0); }

static void trap_it(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_vmctx_trap(vm, LUCET_TRAP_CAST_FAILURE);
}
static void terminate_it(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_vmctx_terminate(vm, LUCET_REASON_EXIT, 1);
}
static void nest_fault(lucet_vmctx *vm, uint64_t *args) {
  (void)vm, (void)args;
  CHECK(call(its_instance, F_LOAD, 0x7fffffff).kind == LUCET_EVENT_TRAPPED && call(its_instance, F_ADD, 1).kind == LUCET_EVENT_RETURNED);
}
static void continue_it(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) { (void)vm, (void)args, (void)value, (void)data; }
static void yield_it(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_vmctx_yield(vm, (lucet_value){NULL, 0}, NULL, continue_it, NULL);
}
static void in_host(void (*what)(lucet_vmctx *vm, uint64_t *args)) {
  on_hostcall = what;
  simply(F_CALL_MODES, 0);
  on_hostcall = NULL;
}
static void host_traps(void) { in_host(trap_it); }
static void host_terminates(void) { in_host(terminate_it); }
static void host_nests(void) {
  in_host(nest_fault);
  guest_modes = (uint32_t)result;
}
static void yields(void) {
  lucet_event e;
  in_host(yield_it);
  if (ended == LUCET_EVENT_YIELDED) go_on(&e);
}

/** From another thread, once the guest is in its endless loop. */
static void *ask_later(void *pause) {
  await_guest(its_instance);
  if (pause != NULL) (void)lucet_kill_switch_pause(its_switch);
  else (void)lucet_kill_switch_terminate(its_switch);
  return NULL;
}
static void asked(bool pause, lucet_event *e) {
  pthread_t t;
  hold(its_instance);
  its_switch = kill_switch(its_instance);
  pthread_create(&t, NULL, ask_later, pause ? e : NULL);
  go(F_WAIT, 0, e);
  pthread_join(t, NULL);
  lucet_kill_switch_release(its_switch);
}
static void is_killed_in_a_loop(void) {
  lucet_event e;
  asked(false, &e);
}
static void is_paused(void) {
  lucet_event e;
  asked(true, &e);
  if (ended != LUCET_EVENT_INTERRUPTED) return;
  release(its_instance);
  go_on(&e);
}
static void *pause_elsewhere(void *unused) {
  lucet_event e;
  (void)unused;
  asked(true, &e);
  return NULL;
}
/** Its vector registers, and nothing else of that thread's, come along. */
static void goes_on_here(void) {
  pthread_t t;
  lucet_event e;
  pthread_create(&t, NULL, pause_elsewhere, NULL);
  pthread_join(t, NULL);
  if (ended != LUCET_EVENT_INTERRUPTED) return;
  release(its_instance);
  go_on(&e);
}
static void is_late(void) {
  hold(its_instance);
  lucet_instance_set_timeout(its_instance, 1000000);
  simply(F_WAIT, 0);
  lucet_instance_set_timeout(its_instance, 0);
}
static lucet_signal_behavior say_terminate(lucet_instance *i, const lucet_trap_info *info, void *data) {
  (void)i, (void)info, (void)data;
  return LUCET_SIGNAL_TERMINATE;
}
static lucet_signal_behavior say_continue(lucet_instance *i, const lucet_trap_info *info, void *data) {
  (void)info, (void)data;
  return lucet_instance_memory_grow(i, 0, 1) >= 0 ? LUCET_SIGNAL_CONTINUE : LUCET_SIGNAL_DEFAULT;
}
static void handled(lucet_signal_handler handler) {
  uint64_t length;
  (void)lucet_instance_memory(its_instance, 0, &length);
  lucet_instance_set_signal_handler(its_instance, handler, NULL);
  simply(F_LOAD, length);
  lucet_instance_set_signal_handler(its_instance, NULL, NULL);
}
static void handler_terminates(void) { handled(say_terminate); }
static void handler_continues(void) { handled(say_continue); }
static void is_broken(void) { simply(F_BROKEN, 0); }

static void release_it(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_instance_release(lucet_vmctx_instance(vm));
}
static lucet_signal_behavior release_at_trap(lucet_instance *i, const lucet_trap_info *info, void *data) {
  (void)info, (void)data;
  lucet_instance_release(i);
  return LUCET_SIGNAL_DEFAULT;
}
static void handler_releases(void) {
  lucet_instance_set_signal_handler(its_instance, release_at_trap, NULL);
  simply(F_LOAD, 0x7fffffff);
  its_instance = NULL;
}
static void release_at_fault(lucet_instance *i, const lucet_trap_info *info, void *data) {
  (void)info, (void)data;
  lucet_instance_release(i);
}
static void fatal_handler_releases(void) {
  lucet_instance_set_fatal_handler(its_instance, release_at_fault, NULL);
  simply(F_BROKEN, 0);
  its_instance = NULL;
}
/** What can't be done to an instance that runs is an error, and changes nothing. */
static void reset_it(lucet_vmctx *vm, uint64_t *args) {
  lucet_instance *i = lucet_vmctx_instance(vm);
  lucet_event e;
  (void)args;
  CHECK(lucet_instance_reset(i, NULL) != LUCET_OK && lucet_instance_abort(i, NULL) == LUCET_ERROR_STATE && lucet_instance_resume(i, &e, NULL) == LUCET_ERROR_STATE);
}
static void host_resets(void) {
  in_host(reset_it);
  guest_modes = (uint32_t)result;
}
static void is_released(void) {
  in_host(release_it);
  its_instance = NULL;
}

static const struct {
  const char *name;
  void (*run)(void);
  uint32_t ends;
  bool tells_modes;
} WAYS[] = {
    {"returns", returns, LUCET_EVENT_RETURNED, true},
    {"returns, prepared", returns_prepared, LUCET_EVENT_RETURNED, false},
    {"native hostcall", calls_native, LUCET_EVENT_RETURNED, true},
    {"hostcall", calls_embedder, LUCET_EVENT_RETURNED, false},
    {"abandoned at a hostcall", abandoned_at_hostcall, LUCET_EVENT_HOSTCALL, false},
    {"builtin", grows, LUCET_EVENT_RETURNED, false},
    {"fault", faults, LUCET_EVENT_TRAPPED, false},
    {"load beyond the memory", loads_beyond, LUCET_EVENT_TRAPPED, false},
    {"failed check", fails_check, LUCET_EVENT_TRAPPED, false},
    {"division by zero", divides, LUCET_EVENT_TRAPPED, false},
    {"stack overflow", overflows, LUCET_EVENT_TRAPPED, false},
    {"host function traps", host_traps, LUCET_EVENT_TRAPPED, false},
    {"host function terminates", host_terminates, LUCET_EVENT_TERMINATED, false},
    {"host function calls, and that traps", host_nests, LUCET_EVENT_RETURNED, true},
    {"yields", yields, LUCET_EVENT_RETURNED, false},
    {"killed", is_killed_in_a_loop, LUCET_EVENT_TERMINATED, false},
    {"paused", is_paused, LUCET_EVENT_RETURNED, false},
    {"paused on another thread", goes_on_here, LUCET_EVENT_RETURNED, false},
    {"time limit", is_late, LUCET_EVENT_TERMINATED, false},
    {"handler terminates", handler_terminates, LUCET_EVENT_TERMINATED, false},
    {"handler continues", handler_continues, LUCET_EVENT_RETURNED, false},
    {"host function tries to reset it", host_resets, LUCET_EVENT_RETURNED, true},
    {"released by a host function", is_released, LUCET_EVENT_RETURNED, false},
    {"released by its signal handler", handler_releases, LUCET_EVENT_TRAPPED, false},
    {"released by its fatal handler", fatal_handler_releases, LUCET_EVENT_FAULTED, false},
    {"internal fault", is_broken, LUCET_EVENT_FAULTED, false},
};

static void run_way(void *way) { WAYS[*(size_t *)way].run(); }

static void test_way(size_t way, size_t modes, bool ready) {
  struct host_state planted = {.mxcsr = MODES[modes].mxcsr, .x87_control = MODES[modes].x87}, found = {.rsp = 0};
  for (uint64_t k = 0; k < 6; k++) planted.callee[k] = 0x5ec7e70000000000 + (k << 32) + way;
  for (uint64_t k = 0; k < 4; k++) planted.vector[k] = 0x5ec7e7ffffffffff;
  its_instance = instance();
  /* Made before two threads look for it. */
  CHECK(lucet_control_of(its_instance) != NULL);
  for (int k = 0; ready && k < 3; k++) (void)call(its_instance, F_ADD, 1);
  sigset_t mask_before, mask_after;
  stack_t stack_before, stack_after;
  CHECK(lucet_signals_ready());
  pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
  sigaltstack(NULL, &stack_before);
  ended = 99;
  border_call(run_way, &way, &planted, &found);
  pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
  sigaltstack(NULL, &stack_after);
  CHECK(ended == WAYS[way].ends);
  CHECK(memcmp(planted.callee, found.callee, sizeof found.callee) == 0 && found.rsp == planted.rsp);
  CHECK((found.rflags & (DIRECTION_FLAG | TRAP_FLAG | ALIGNMENT_FLAG)) == 0);
  CHECK((found.mxcsr & MXCSR_MODES) == (planted.mxcsr & MXCSR_MODES));
  CHECK(found.x87_control == planted.x87_control && found.x87_tag == X87_EMPTY);
  /* As much as the kernel has. */
  CHECK(memcmp(&mask_before, &mask_after, sizeof(uint64_t)) == 0);
  CHECK(stack_before.ss_sp == stack_after.ss_sp && stack_before.ss_flags == stack_after.ss_flags && stack_before.ss_size == stack_after.ss_size);
  CHECK(lucet_here.current == NULL);
  if (WAYS[way].tells_modes) CHECK((guest_modes & MXCSR_MODES) == DEFAULT_MXCSR);
  if (failures != 0) fprintf(stderr, "  with mxcsr %#x, x87 %#x, ready %d\n", planted.mxcsr, planted.x87_control, ready);
  lucet_instance_release(its_instance);
}

/* ---- What the usual ways cost, in instructions: these don't depend on what else the machine does */

/** A few more than they are, since the loops and the host function are the C compiler's. */
enum { MOST_FOR_CALL = 100, MOST_FOR_PREPARED = 97, MOST_FOR_HOSTCALL = 90 };
static volatile long steps;
static void count_step(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info, (void)context;
  steps = steps + 1;
}
static void step_on(void) { __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc"); }
static void step_off(void) { __asm__ volatile("pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc"); }

static const lucet_funcref *its_function;
static lucet_prepared_call its_call;
static void call_times(int n) {
  lucet_event e;
  uint64_t args[2] = {0, 1};
  for (int k = 0; k < n; k++) lucet_instance_call(its_instance, its_function, args, &e, NULL);
}
static void call_prepared_times(int n) {
  lucet_event e;
  uint64_t args[2] = {0, 1};
  for (int k = 0; k < n; k++) lucet_call_prepared(&its_call, args, &e, NULL);
}

/** Of one of them, with those of the loop, and two for each test point. */
static long instructions(void (*times)(int)) {
  struct sigaction s = {.sa_sigaction = count_step, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
  long taken[2];
  for (int round = 0; round < 100; round++) {
    times(4);
    uint64_t token = its_instance->token;
    for (int k = 0; k < 2; k++) {
      sigaction(SIGTRAP, &s, &old);
      steps = 0;
      step_on();
      times(k == 0 ? 1 : 5);
      step_off();
      taken[k] = steps;
      sigaction(SIGTRAP, &old, NULL);
    }
    /* None has looked at handlers of signals, that of the steps among them. */
    if (token != 0 && token == its_instance->token) return (taken[1] - taken[0]) / 4;
  }
  return 0;
}

static void test_instructions(void) {
  section = "instructions";
  size_t size;
  const struct guest_options plain = {.pages = 1, .flags = LUCET_MODULE_FLAG_NO_FLOATS};
  uint8_t *file = guest_artifact_of(&plain, &size);
  lucet_module *m;
  if (lucet_module_load_bytes(file, size, &m, NULL) != LUCET_OK) exit(1);
  free(file);
  its_instance = instance_of_module(m);
  its_function = lucet_instance_function(its_instance, F_ADD);
  CHECK(lucet_call_prepare(its_instance, its_function, &its_call, NULL) == LUCET_OK);
  long call = instructions(call_times), prepared = instructions(call_prepared_times);
  CHECK(its_instance->plain_base == its_instance->base);
  its_function = lucet_instance_function(its_instance, F_CALL_NATIVE);
  long hostcall = instructions(call_times) - call;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
  /* More of them are the sanitizer's than ours. */
  CHECK(call > 50 && prepared > 50 && hostcall > 50);
#else
  CHECK(call > 50 && call <= MOST_FOR_CALL && prepared > 50 && prepared <= MOST_FOR_PREPARED && hostcall > 50 && hostcall <= MOST_FOR_HOSTCALL);
  if (failures != 0) fprintf(stderr, "  %ld for a call, %ld for a prepared one, %ld for a hostcall\n", call, prepared, hostcall);
#endif
  lucet_instance_release(its_instance);
  lucet_module_release(m);
}

int main(void) {
  begin_tests();
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  for (size_t way = 0; way < sizeof WAYS / sizeof WAYS[0]; way++) {
    section = WAYS[way].name;
    for (size_t modes = 0; modes < sizeof MODES / sizeof MODES[0]; modes++)
      for (int ready = 0; ready < 2; ready++) test_way(way, modes, ready != 0);
  }
  /* Where the system has no membarrier, no instance is ready. */
  bool fences = atomic_exchange(&lucet_control_fences, true);
  for (size_t way = 0; way < sizeof WAYS / sizeof WAYS[0]; way++) {
    section = WAYS[way].name;
    test_way(way, 1, true);
  }
  atomic_store(&lucet_control_fences, fences);
  test_instructions();
  return end_tests();
}
