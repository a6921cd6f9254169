/**
 * Calls of instances that are ready (call.c): everything that must keep the next call from being taken for a plain one;
 * prepared calls; calls by a block.
 */
#define _GNU_SOURCE
#include <fenv.h>

#include "control.h"
#include "wasi.h"

static lucet_prepared_call prepared(lucet_instance *i, uint32_t function) {
  lucet_prepared_call c;
  CHECK(lucet_call_prepare(i, lucet_instance_function(i, function), &c, NULL) == LUCET_OK);
  return c;
}

static lucet_event call_prepared(const lucet_prepared_call *c, uint64_t a) {
  static _Thread_local uint64_t args[2];
  lucet_event e = {.kind = 99};
  args[0] = a;
  args[1] = 2;
  CHECK(lucet_call_prepared(c, args, &e, NULL) == LUCET_OK);
  if (e.kind == LUCET_EVENT_RETURNED) e.id = args[0];
  return e;
}

static bool is_sum(lucet_event e, uint32_t sum) { return e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == sum; }

static bool is_settled(const lucet_instance *i) { return i->ready != NULL && i->token == lucet_here.token; }

/**
 * The instance's next call is a plain one: the first makes it ready, the second settles it, unless its handlers are to
 * be looked at.
 */
static void make_ready(lucet_instance *i) {
  CHECK(is_sum(call(i, F_ADD, 40), 42) && i->ready != NULL);
  for (int k = 0; k < 2 && !is_settled(i); k++) CHECK(is_sum(call(i, F_ADD, 40), 42));
  CHECK(is_settled(i));
}

static void test_prepared(void) {
  section = "prepared";
  lucet_instance *i = instance();
  const lucet_prepared_call add = prepared(i, F_ADD), unreachable = prepared(i, F_UNREACHABLE), host = prepared(i, F_CALL_HOST);
  for (uint32_t k = 0; k < 200; k++) CHECK(is_sum(call_prepared(&add, k), k + 2));
  for (int k = 0; k < 3; k++) {
    CHECK(call_prepared(&unreachable, 0).kind == LUCET_EVENT_TRAPPED && lucet_instance_state(i) == LUCET_STATE_FAULTED);
    CHECK(lucet_instance_trap_info(i)->function == F_UNREACHABLE && i->ready == NULL);
    CHECK(is_sum(call_prepared(&add, 1), 3) && lucet_instance_state(i) == LUCET_STATE_READY && lucet_instance_trap_info(i) == NULL);
    CHECK(is_sum(call_prepared(&add, 2), 4));
  }
  /*
   * Suspended in a run that began as a plain one; nested calls meanwhile; ended on another thread, whose stack is
   * elsewhere.
   */
  make_ready(i);
  CHECK(call_prepared(&host, 0).kind == LUCET_EVENT_HOSTCALL && lucet_instance_state(i) == LUCET_STATE_SUSPENDED && i->ready == NULL);
  CHECK(is_sum(call_prepared(&add, 5), 7) && is_sum(call(i, F_ADD, 6), 8));
  struct runner r = {.instance = i, .resumes = true};
  pthread_create(&r.thread, NULL, run, &r);
  CHECK(join(&r).kind == LUCET_EVENT_RETURNED && lucet_instance_state(i) == LUCET_STATE_READY);
  CHECK(is_sum(call_prepared(&add, 1), 3));
  lucet_instance_release(i);
}

static __attribute__((noinline)) lucet_event at_depth(uint32_t bytes, const lucet_prepared_call *c, lucet_instance *resumed) {
  volatile uint8_t *room = __builtin_alloca(bytes + 16);
  room[0] = 1;
  lucet_event e = {.kind = 99};
  if (resumed == NULL) return call_prepared(c, 0);
  CHECK(lucet_instance_resume(resumed, &e, NULL) == LUCET_OK && room[0] == 1);
  return e;
}

/** Resumed on the same thread, where the frame of the resumption is below, at, and above the place of the call's. */
static void test_frames(void) {
  section = "frames";
  lucet_instance *i = instance();
  const lucet_prepared_call host = prepared(i, F_CALL_HOST);
  for (uint32_t bytes = 0; bytes < 4096; bytes += 16) {
    make_ready(i);
    CHECK(at_depth(2048, &host, NULL).kind == LUCET_EVENT_HOSTCALL);
    CHECK(at_depth(bytes, NULL, i).kind == LUCET_EVENT_RETURNED && lucet_instance_state(i) == LUCET_STATE_READY);
  }
  lucet_instance_release(i);
}

static void test_time_limit(void) {
  section = "time limit";
  lucet_instance *i = instance();
  const lucet_prepared_call spin = prepared(i, F_SPIN);
  make_ready(i);
  lucet_instance_set_timeout(i, 1000000);
  lucet_event e = call_prepared(&spin, 0);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT);
  lucet_instance_set_timeout(i, 0);
  make_ready(i);
  lucet_instance_release(i);
}

static lucet_instance *its_instance;
static lucet_event its_event;
static uint32_t its_function;

static void limit_time(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_instance_set_timeout(lucet_vmctx_instance(vm), 1000000);
}
static void run_again(lucet_vmctx *vm, uint64_t *args) {
  (void)vm, (void)args;
  its_event = call(its_instance, its_function, 20);
}
static void give_back(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_instance_release(lucet_vmctx_instance(vm));
}

static void test_during_a_run(void) {
  section = "set during a run";
  lucet_instance *i = instance();
  make_ready(i);
  on_hostcall = limit_time;
  CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && i->ready == NULL);
  on_hostcall = NULL;
  CHECK(call(i, F_SPIN, 0).kind == LUCET_EVENT_TERMINATED);
  lucet_instance_set_timeout(i, 0);

  section = "nested";
  its_instance = i;
  on_hostcall = run_again;
  for (int k = 0; k < 3; k++) {
    make_ready(i);
    its_function = F_ADD;
    CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && is_sum(its_event, 22));
    its_function = F_UNREACHABLE;
    CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && its_event.kind == LUCET_EVENT_TRAPPED);
    CHECK(lucet_instance_trap_info(i) != NULL && i->ready == NULL && is_sum(call(i, F_ADD, 1), 3) && lucet_instance_trap_info(i) == NULL);
    its_function = F_CALL_HOST;
    CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && its_event.kind == LUCET_EVENT_HOSTCALL);
    CHECK(lucet_instance_state(i) == LUCET_STATE_READY);
  }
  section = "poisoned by a nested run";
  make_ready(i);
  its_function = F_BROKEN;
  CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && its_event.kind == LUCET_EVENT_FAULTED);
  CHECK(i->ready == NULL && lucet_instance_state(i) == LUCET_STATE_POISONED);
  on_hostcall = NULL;
  lucet_event e;
  uint64_t args[2] = {1, 2};
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_ADD), args, &e, NULL) == LUCET_ERROR_STATE);
  lucet_instance_release(i);

  section = "given back during a run";
  i = instance();
  make_ready(i);
  on_hostcall = give_back;
  CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && lucet_region_used_slots(region) == 0);
  on_hostcall = NULL;
}

static void test_other_threads(void) {
  section = "another thread";
  lucet_instance *i = instance();
  const lucet_prepared_call add = prepared(i, F_ADD);
  make_ready(i);
  struct runner r;
  hold(i);
  start(&r, i, F_WAIT);
  await_guest(i);
  lucet_event e;
  uint64_t args[2] = {1, 2};
#ifndef __SANITIZE_THREAD__
  /* Against the rules, but as a rule it is noticed. */
  CHECK(lucet_call_prepared(&add, args, &e, NULL) == LUCET_ERROR_STATE);
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_ADD), args, &e, NULL) == LUCET_ERROR_STATE);
#endif
  release(i);
  CHECK(join(&r).kind == LUCET_EVENT_RETURNED);
  make_ready(i);

  section = "killed before it begins";
  lucet_kill_switch *k = kill_switch(i);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_CANCELLED && is_killed(call_prepared(&add, 0)));
  lucet_kill_switch_release(k);
  CHECK(is_sum(call_prepared(&add, 3), 5));

  section = "paused before it begins";
  CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && i->ready != NULL);
  k = kill_switch(i);
  (void)lucet_kill_switch_pause(k);
  CHECK(lucet_call_prepared(&add, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_INTERRUPTED && i->first->guest_rsp == i->first->stack_top);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 3);
  lucet_kill_switch_release(k);

  section = "handlers replaced";
  make_ready(i);
  struct sigaction ours, none = {.sa_handler = SIG_IGN};
  sigaction(SIGSEGV, NULL, &ours);
  sigaction(SIGSEGV, &none, NULL);
  lucet_signals_changed();
  CHECK(call(i, F_LOAD, 0x7fffffff).kind == LUCET_EVENT_TRAPPED);

  section = "handlers replaced, without a word";
  make_ready(i);
  sigaction(SIGSEGV, &none, NULL);
  usleep(20000);
  for (int n = 0; n < RUNS_UNLOOKED; n++) CHECK(is_sum(call(i, F_ADD, 1), 3));
  CHECK(call(i, F_LOAD, 0x7fffffff).kind == LUCET_EVENT_TRAPPED);

  section = "as new";
  make_ready(i);
  CHECK(lucet_instance_reset(i, NULL) == LUCET_OK && i->ready == NULL);
  make_ready(i);
  lucet_instance_release(i);
}

/** A prepared call leaves the modes alone; a call gives the guest the default ones. */
static void test_modes(void) {
  section = "modes";
  lucet_instance *i = instance();
  const lucet_prepared_call modes = prepared(i, F_MODES);
  make_ready(i);
  CHECK((call_prepared(&modes, 0).id & 0xffc0) == 0x1f80);
  fesetround(FE_UPWARD);
  CHECK((call(i, F_MODES, 0).id & 0xffc0) == 0x1f80 && fegetround() == FE_UPWARD);
  CHECK((call_prepared(&modes, 0).id & 0x6000) == 0x4000 && fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);
  lucet_instance_release(i);
}

static void *pause_later(void *none) {
  await_guest(its_instance);
  lucet_kill_switch *k = kill_switch(its_instance);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED);
  lucet_kill_switch_release(k);
  return none;
}

static uint32_t modes_of(lucet_event e) { return e.kind == LUCET_EVENT_RETURNED ? (uint32_t)e.id & MXCSR_MODES : 0; }
enum { UPWARD = 0x4000 };

static int modes_in_host;
static void look_at_modes(lucet_vmctx *vm, uint64_t *args) {
  (void)vm, (void)args;
  modes_in_host = fegetround();
}
static void take_function(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  CHECK(lucet_instance_table_set(lucet_vmctx_instance(vm), 0, 0, funcref_word(lucet_instance_function(its_instance, F_ADD))) == LUCET_OK);
}
static void hold_other(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  CHECK(lucet_group_hold(lucet_vmctx_instance(vm), its_instance) == LUCET_OK);
}

/**
 * Calls of code without floating point leave the modes alone, for as long as it can come to no other code; host
 * functions always have the host's.
 */
static void test_no_floats(void) {
  section = "no floats";
  struct guest_options o = GUEST_PLAIN;
  size_t size;
  lucet_module *m;
  o.flags = LUCET_MODULE_FLAG_NO_FLOATS;
  uint8_t *file = guest_artifact_of(&o, &size);
  CHECK(lucet_module_load_bytes(file, size, &m, NULL) == LUCET_OK);
  free(file);
  lucet_instance *i = instance_of_module(m);
  fesetround(FE_UPWARD);
  /* The first call looks at everything. */
  CHECK(modes_of(call(i, F_MODES, 0)) == DEFAULT_MXCSR && fegetround() == FE_UPWARD);
  CHECK(modes_of(call(i, F_MODES, 0)) == (DEFAULT_MXCSR | UPWARD) && fegetround() == FE_UPWARD);
  on_hostcall = look_at_modes;
  CHECK(modes_of(call(i, F_CALL_MODES, 0)) == (DEFAULT_MXCSR | UPWARD) && modes_in_host == FE_UPWARD && fegetround() == FE_UPWARD);

  section = "no floats, traps";
  static const uint32_t TRAPS[] = {F_LOAD, F_UNREACHABLE, F_CHECK};
  for (size_t k = 0; k < sizeof TRAPS / sizeof *TRAPS; k++) {
    make_ready(i);
    CHECK(call(i, TRAPS[k], TRAPS[k] == F_LOAD ? 0x7fffffff : 0).kind == LUCET_EVENT_TRAPPED && i->ready == NULL && fegetround() == FE_UPWARD);
  }

  section = "no floats, resumed";
  make_ready(i);
  CHECK(call(i, F_CALL_HOST, 0).kind == LUCET_EVENT_HOSTCALL && fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED && fegetround() == FE_TONEAREST);
  fesetround(FE_UPWARD);
  make_ready(i);
  struct runner r;
  pthread_t killer;
  its_instance = i;
  CHECK(pthread_create(&killer, NULL, pause_later, NULL) == 0);
  hold(i);
  CHECK(call(i, F_WAIT, 0).kind == LUCET_EVENT_INTERRUPTED && fegetround() == FE_UPWARD);
  pthread_join(killer, NULL);
  uint32_t mxcsr;
  memcpy(&mxcsr, i->innermost->machine->extended + 24, sizeof mxcsr);
  CHECK((mxcsr & MXCSR_MODES) == DEFAULT_MXCSR);
  release(i);
  r = (struct runner){.instance = i, .resumes = true};
  fesetround(FE_TONEAREST);
  CHECK(pthread_create(&r.thread, NULL, run, &r) == 0 && join(&r).kind == LUCET_EVENT_RETURNED && fegetround() == FE_TONEAREST);
  lucet_instance_release(i);

  void (*const joins[])(lucet_vmctx *, uint64_t *) = {take_function, hold_other};
  for (size_t k = 0; k < sizeof joins / sizeof *joins; k++) {
    section = k == 0 ? "no floats, united" : "no floats, holding another";
    i = instance_of_module(m);
    its_instance = instance();
    make_ready(i);
    fesetround(FE_UPWARD);
    on_hostcall = look_at_modes;
    CHECK(modes_of(call(i, F_CALL_MODES, 0)) == (DEFAULT_MXCSR | UPWARD) && i->keeps_modes);
    on_hostcall = joins[k];
    CHECK(modes_of(call(i, F_CALL_MODES, 0)) == DEFAULT_MXCSR && fegetround() == FE_UPWARD);
    on_hostcall = NULL;
    make_ready(i);
    CHECK(modes_of(call(i, F_MODES, 0)) == DEFAULT_MXCSR && !i->keeps_modes && fegetround() == FE_UPWARD);
    fesetround(FE_TONEAREST);
    lucet_instance_release(i);
    lucet_instance_release(its_instance);
  }
  lucet_module_release(m);
}

/** A thread's other runs, and another thread's runs of the instance, are noticed by the next call of a ready one. */
static void test_last(void) {
  section = "last on its thread";
  lucet_instance *i = instance(), *j = instance();
  make_ready(i);
  make_ready(j);
  for (int k = 0; k < 3; k++) {
    CHECK(is_sum(call(i, F_ADD, 1), 3) && lucet_here.token == i->token && lucet_stack_limit == (uint64_t)(uintptr_t)i->slot->stack_low + LUCET_STACK_RED_AREA);
    CHECK(is_sum(call(j, F_ADD, 1), 3) && lucet_here.token == j->token && lucet_stack_limit == (uint64_t)(uintptr_t)j->slot->stack_low + LUCET_STACK_RED_AREA);
  }
  CHECK(is_sum(call(i, F_ADD, 1), 3) && lucet_here.token == i->token);
  struct runner r;
  start(&r, i, F_ADD);
  CHECK(is_sum(join(&r), 2) && lucet_here.token != i->token && i->control->thread != lucet_thread->thread);
  CHECK(is_sum(call(i, F_ADD, 1), 3) && lucet_here.token == i->token && i->control->thread == lucet_thread->thread);
  CHECK(call(j, F_UNREACHABLE, 0).kind == LUCET_EVENT_TRAPPED && is_sum(call(j, F_ADD, 1), 3) && lucet_here.token != i->token);
  lucet_instance_release(i);
  lucet_instance_release(j);
}

static bool of_other;
static void call_other(lucet_vmctx *vm, uint64_t *args) {
  (void)vm, (void)args;
  CHECK(is_sum(call(its_instance, F_ADD, 30), 32));
  of_other = lucet_here.token == TOKEN_FORGOTTEN;
}

static void *end_with_token(void *i) {
  make_ready(i);
  return NULL;
}

/** What the words tell that a plain call compares. */
static void test_words(void) {
  section = "another instance's function";
  lucet_instance *i = instance(), *j = instance();
  const lucet_funcref *theirs = lucet_instance_function(j, F_CALL_HOST);
  uint64_t args[2] = {1, 2};
  lucet_event e;
  make_ready(j);
  make_ready(i);
  CHECK(lucet_instance_call(i, theirs, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_HOSTCALL && e.instance == j);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED);

  section = "another instance in a host function";
  make_ready(j);
  make_ready(i);
  its_instance = j;
  on_hostcall = call_other;
  CHECK(call(i, F_CALL_NATIVE, 0).kind == LUCET_EVENT_RETURNED && of_other && !is_settled(i) && !is_settled(j));
  on_hostcall = NULL;

  section = "a module with functions that take references";
  module->takes_references = true;
  lucet_call_unready(i);
  for (int k = 0; k < 5; k++) CHECK(is_sum(call(i, F_ADD, 1), 3) && i->plain_base == NULL && i->modes_base == NULL);
  CHECK(i->ready != NULL && lucet_instance_call(i, theirs, args, &e, NULL) == LUCET_OK && e.instance == j && resume(i).kind == LUCET_EVENT_RETURNED);
  module->takes_references = false;
  lucet_call_unready(i);

  section = "handlers are looked at";
  make_ready(i);
  int looks = 0;
  for (int k = 0; k < 10 * RUNS_UNLOOKED; k++) {
    CHECK(is_sum(call(i, F_ADD, 1), 3));
    looks += !is_settled(i);
  }
  CHECK(looks == 10);

  section = "threads that have ended";
  uint64_t last = 0;
  for (int k = 0; k < 20; k++) {
    pthread_t t;
    make_ready(i);
    CHECK(i->token > 1 && i->token != last);
    CHECK(pthread_create(&t, NULL, end_with_token, i) == 0 && pthread_join(t, NULL) == 0);
    CHECK(i->token != lucet_here.token && i->token > 1 && i->token != last);
    last = i->token;
  }

  section = "what makes it unready";
  make_ready(i);
  lucet_instance_set_timeout(i, 1000000000);
  CHECK(i->token == 0 && i->ready == NULL);
  lucet_instance_set_timeout(i, 0);
  make_ready(i);
  CHECK(call(i, F_UNREACHABLE, 0).kind == LUCET_EVENT_TRAPPED && i->token == 0);
  make_ready(i);
  CHECK(call(i, F_CALL_HOST, 0).kind == LUCET_EVENT_HOSTCALL && i->token == 0 && resume(i).kind == LUCET_EVENT_RETURNED);
  make_ready(i);
  CHECK(lucet_instance_reset(i, NULL) == LUCET_OK && i->token == 0);

  section = "what is told of a plain call";
  make_ready(i);
  lucet_error error;
  memset(&error, 1, sizeof error);
  memset(&e, 1, sizeof e);
  args[0] = 1;
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_ADD), args, &e, &error) == LUCET_OK && (uint32_t)args[0] == 3);
  CHECK(error.code == LUCET_OK && error.trap == 0 && error.offset == 0 && error.message[0] == 0 && error.message[1] == 1);
  CHECK(e.kind == LUCET_EVENT_RETURNED && e.code == 0);
  lucet_instance_release(i);
  lucet_instance_release(j);
}

static void test_block(void) {
  section = "block";
  static lucet_call_block b;
  double at = (double)(uintptr_t)&b;
  lucet_instance *i = instance();
  b.instance = (double)(uintptr_t)i;
  for (uint32_t k = 0; k < 3; k++) {
    b.function = (double)(uintptr_t)lucet_instance_function(i, F_ADD);
    b.args[0] = k;
    b.args[1] = 2;
    lucet_block_call(at);
    CHECK(b.status == LUCET_OK && b.event.kind == LUCET_EVENT_RETURNED && b.words == LUCET_NO_WORDS && (uint32_t)b.args[0] == k + 2);
    /* (i64) -> i64: more words of results than there are aren't taken. */
    b.function = (double)(uintptr_t)lucet_instance_function(i, F_CALL_HOST);
    b.args[0] = 0x123456789a;
    lucet_block_call(at);
    CHECK(b.status == LUCET_OK && b.event.kind == LUCET_EVENT_HOSTCALL && b.words == 1 && b.args[0] == b.event.args[0]);
    uint64_t *args = b.event.args, behind = args[1];
    b.args[0] = 77;
    b.args[1] = ~behind;
    b.words = k == 0 ? 1 : LUCET_BLOCK_WORDS;
    lucet_block_resume(at);
    CHECK(b.status == LUCET_OK && b.event.kind == LUCET_EVENT_RETURNED && b.args[0] == 77 && args[1] == behind);
  }
  lucet_block_resume(at);
  CHECK(b.status == LUCET_ERROR_STATE && b.error.message[0] != 0);
  lucet_instance_release(i);
}

static void ask_memory(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  CHECK(lucet_vmctx_memory(vm, 0, 8) != NULL);
}
static void ask_instance(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  CHECK(lucet_vmctx_instance(vm) != NULL);
}

/**
 * A program that runs once in each instance: hostcalls, traps and endless loops leave it to the caller, or are its end.
 */
static void test_command(void) {
  section = "command";
  static const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = native_import}, {.kind = LUCET_IMPORT_HOSTCALL}};
  lucet_wasi_template *t = lucet_wasi_template_new();
  for (int fd = 0; fd < 3; fd++) lucet_wasi_template_set_stdio(t, (uint32_t)fd, LUCET_WASI_STDIO_BUFFER, -1);
  lucet_command c = {.region = region, .module = module, .imports = imports, .import_count = 2, .wasi = lucet_wasi_ctx_new(t)};
  static const struct {
    const char *export_;
    uint64_t timeout;
    uint32_t kind;
  } RUNS[] = {{"f2", 0, LUCET_EVENT_RETURNED}, {"f4", 0, LUCET_EVENT_TRAPPED}, {"f8", 0, LUCET_EVENT_HOSTCALL}, {"f15", 1000000, LUCET_EVENT_TERMINATED}};
  for (size_t k = 0; k < 2 * sizeof RUNS / sizeof *RUNS; k++) {
    const char *name = RUNS[k / 2].export_;
    lucet_instance *i;
    lucet_event e;
    c.export_ = (uint32_t)lucet_module_find_export(module, name, strlen(name));
    c.timeout = RUNS[k / 2].timeout;
    CHECK(lucet_command_run(&c, &i, &e, NULL) == LUCET_OK && e.kind == RUNS[k / 2].kind);
    bool left = e.kind == LUCET_EVENT_TRAPPED || e.kind == LUCET_EVENT_HOSTCALL;
    CHECK((i != NULL) == left && lucet_region_used_slots(region) == left);
    if (e.kind == LUCET_EVENT_HOSTCALL) CHECK(resume(i).kind == LUCET_EVENT_RETURNED);
    if (e.kind == LUCET_EVENT_TRAPPED) CHECK(lucet_instance_trap_info(i)->function == F_UNREACHABLE);
    lucet_instance_release(i);
  }
  /* What has been touched is known to be this thread's doing, unless a host function may have let others in. */
  void (*const asks[])(lucet_vmctx *, uint64_t *) = {NULL, ask_memory, NULL, ask_instance};
  c.export_ = (uint32_t)lucet_module_find_export(module, "f7", 2);
  c.timeout = 0;
  bool known = false;
  for (size_t k = 0; k < sizeof asks / sizeof *asks; k++) {
    on_hostcall = asks[k];
    lucet_instance *i;
    lucet_event e;
    CHECK(lucet_command_run(&c, &i, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && i == NULL);
    const struct touched *touched = &region->free.newest->touched;
    CHECK(asks[k] == NULL || touched->count == 0);
    known = known || touched->count != 0;
  }
  on_hostcall = NULL;
  CHECK(known == (region->free.newest->touched.process != 0));
  lucet_wasi_ctx_free(c.wasi);
  lucet_wasi_template_release(t);
}

int main(void) {
  begin_tests();
  alarm(60);
  test_prepared();
  test_frames();
  test_time_limit();
  test_during_a_run();
  test_other_threads();
  test_modes();
  test_no_floats();
  test_last();
  test_words();
  test_block();
  test_command();
  return end_tests();
}
