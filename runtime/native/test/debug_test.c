/** Breakpoints, steps, registers and stacks of stopped guests. */
#define _GNU_SOURCE
#include "control.h"

/** Where a function's code has these bytes. */
static uint32_t place(uint32_t function, const char *bytes, size_t n) {
  const struct lucet_function_record *f = &module->meta.functions[function];
  const uint8_t *at = memmem(module->text + f->code, f->length, bytes, n);
  if (at == NULL) exit(2);
  return (uint32_t)(at - module->text);
}

static void set(uint32_t at) { CHECK(lucet_module_set_breakpoint(module, at, NULL) == LUCET_OK && module->text[at] == 0xcc); }
static void clear(uint32_t at) { CHECK(lucet_module_clear_breakpoint(module, at, NULL) == LUCET_OK && module->text[at] != 0xcc); }
static bool stopped_at(lucet_event e, uint32_t code, uint32_t at) {
  return e.kind == LUCET_EVENT_STOPPED && e.code == code && e.id == (uint64_t)(uintptr_t)(module->text + at);
}

static void test_breakpoints(void) {
  section = "breakpoints";
  lucet_instance *i = instance();
  lucet_event e;
  uint64_t args[2];
  uint32_t at = module->meta.functions[F_ADD].code;
  const lucet_funcref *add = lucet_instance_function(i, F_ADD);
  CHECK(lucet_instance_registers(i) == NULL && lucet_instance_step(i, NULL) == LUCET_ERROR_STATE);
  set(at);
  set(at);
  for (uint64_t n = 0; n < 3; n++) {
    args[0] = 40;
    args[1] = 2;
    CHECK(lucet_instance_call(i, add, args, &e, NULL) == LUCET_OK && stopped_at(e, LUCET_STOP_BREAKPOINT, at));
    CHECK(lucet_instance_state(i) == LUCET_STATE_INTERRUPTED && module->text[at] == 0xcc);
    uint64_t *r = lucet_instance_registers(i);
    size_t size;
    CHECK(r[7] == 40 && r[6] == 2 && lucet_instance_extended(i, &size) != NULL && size >= 512);
    lucet_frame frame;
    CHECK(lucet_instance_backtrace(i, &frame, 1) == 1 && frame.function == F_ADD && frame.pc == r[16]);
    r[6] += n;
    e = resume(i);
    CHECK(e.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 42 + n);
  }
  /* Removed while a guest is stopped there. */
  CHECK(lucet_instance_call(i, add, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_STOPPED);
  clear(at);
  clear(at);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED && usable(i));
  /* Paused while it is stopped there: the breakpoint is not told of again. */
  set(at);
  CHECK(lucet_instance_call(i, add, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_STOPPED);
  lucet_kill_switch *k = kill_switch(i);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_PENDING && resume(i).kind == LUCET_EVENT_INTERRUPTED && resume(i).kind == LUCET_EVENT_RETURNED);
  lucet_kill_switch_release(k);
  clear(at);
  CHECK(lucet_module_set_breakpoint(module, UINT32_MAX, NULL) == LUCET_ERROR_ARGUMENT);
  /* A one-byte NOP. */
  at = place(F_MODES, "\x90", 1);
  set(at);
  e = call(i, F_MODES, 0);
  CHECK(stopped_at(e, LUCET_STOP_BREAKPOINT, at));
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED);
  e = call(i, F_MODES, 0);
  CHECK(stopped_at(e, LUCET_STOP_BREAKPOINT, at) && lucet_instance_step(i, NULL) == LUCET_OK);
  CHECK(stopped_at(resume(i), LUCET_STOP_STEP, at + 1) && module->text[at] == 0xcc);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED);
  clear(at);
  /* On the instruction that traps. */
  at = place(F_UNREACHABLE, "\xf4", 1);
  set(at);
  CHECK(stopped_at(call(i, F_UNREACHABLE, 0), LUCET_STOP_BREAKPOINT, at));
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_UNREACHABLE && module->text[at] == 0xcc);
  clear(at);
  /* The same of a call of the trap stub, which is stepped into from the breakpoint. */
  at = place(F_CHECK, "\x41\xff\x57", 3);
  set(at);
  CHECK(stopped_at(call(i, F_CHECK, 2), LUCET_STOP_BREAKPOINT, at));
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_UNREACHABLE && module->text[at] == 0xcc && lucet_instance_trap_info(i)->total_frames == 3);
  CHECK(stopped_at(call(i, F_CHECK, 2), LUCET_STOP_BREAKPOINT, at) && lucet_instance_step(i, NULL) == LUCET_OK);
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_UNREACHABLE && (lucet_instance_trap_info(i)->registers[17] & 0x100) == 0);
  clear(at);
  CHECK(usable(i));
  lucet_instance_release(i);
}

static void test_stack(void) {
  section = "stack of a stopped guest";
  lucet_instance *i = instance();
  lucet_event e;
  uint64_t args[2] = {84, 2};
  uint32_t at = place(F_DIVIDE, "\xf7\x7c\x24\x0c", 4), divisor;
  set(at);
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_DIVIDE), args, &e, NULL) == LUCET_OK && stopped_at(e, LUCET_STOP_BREAKPOINT, at));
  uint64_t sp = lucet_instance_registers(i)[4];
  CHECK(lucet_instance_stack_read(i, sp + 12, &divisor, 4) == LUCET_OK && divisor == 2);
  divisor = 7;
  CHECK(lucet_instance_stack_write(i, sp + 12, &divisor, 4) == LUCET_OK);
  CHECK(lucet_instance_stack_read(i, (uint64_t)(uintptr_t)i->slot->stack_top - 3, &divisor, 4) == LUCET_ERROR_ARGUMENT);
  CHECK(lucet_instance_stack_write(i, (uint64_t)(uintptr_t)i->slot->stack_low - 8, &divisor, 4) == LUCET_ERROR_ARGUMENT);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 12);
  CHECK(lucet_instance_stack_read(i, sp, &divisor, 4) == LUCET_ERROR_ARGUMENT);
  clear(at);
  lucet_instance_release(i);
}

static atomic_int hostcalls;
static void count_hostcall(lucet_vmctx *vm, uint64_t *args) {
  (void)vm;
  atomic_fetch_add(&hostcalls, 1);
  args[0] = 77;
}

/** Instruction by instruction, across a native hostcall and one of the embedder's. */
static void test_steps(void) {
  section = "steps";
  static const uint32_t FUNCTIONS[] = {F_CALL_NATIVE, F_CALL_HOST, F_GROW};
  lucet_instance *i = instance();
  on_hostcall = count_hostcall;
  for (size_t k = 0; k < 3; k++) {
    uint32_t at = module->meta.functions[FUNCTIONS[k]].code;
    lucet_event e;
    uint64_t args[2] = {0, 0};
    int steps = 0, events = 0;
    uint64_t last = 0;
    set(at);
    CHECK(lucet_instance_call(i, lucet_instance_function(i, FUNCTIONS[k]), args, &e, NULL) == LUCET_OK && stopped_at(e, LUCET_STOP_BREAKPOINT, at));
    while (e.kind == LUCET_EVENT_STOPPED && steps < 1000) {
      CHECK(e.id != last);
      last = e.id;
      steps++;
      CHECK(lucet_registry_is_guest(lucet_instance_registers(i)[16]) && lucet_instance_step(i, NULL) == LUCET_OK);
      e = resume(i);
      if (e.kind == LUCET_EVENT_HOSTCALL) {
        events++;
        e.args[0] = 77;
        e = resume(i);
      }
    }
    CHECK(e.kind == LUCET_EVENT_RETURNED && steps > 7 && steps < 100 && events == (k == 1));
    CHECK((uint32_t)args[0] == (k == 2 ? 1 : 77));
    clear(at);
  }
  CHECK(atomic_load(&hostcalls) == 1);
  on_hostcall = NULL;
  CHECK(usable(i));
  lucet_instance_release(i);
}

/**
 * Guests that run elsewhere: one is paused and looked into, another one stops at a breakpoint that is set while it
 * runs.
 */
static void test_running(void) {
  section = "breakpoints for running guests";
  lucet_pool *p;
  lucet_pool_event e;
  CHECK(lucet_pool_create(&(lucet_pool_options){.threads = 2, .slice = 200000}, &p, NULL) == LUCET_OK);
  lucet_instance *i = instance();
  uint64_t args[2] = {4, 0};
  hold(i);
  CHECK(lucet_pool_call(p, i, lucet_instance_function(i, F_WAIT), args, 1, NULL) == LUCET_OK);
  await_guest(i);
  /* testl %eax, %eax in its loop */
  uint32_t at = place(F_WAIT, "\x85\xc0", 2);
  for (int n = 0; n < 20; n++) {
    set(at);
    CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && stopped_at(e.event, LUCET_STOP_BREAKPOINT, at));
    if (n % 2 == 0) {
      /* It comes there again. */
      CHECK(lucet_pool_resume(p, i, NULL, 1, NULL) == LUCET_OK);
      CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && stopped_at(e.event, LUCET_STOP_BREAKPOINT, at));
    }
    clear(at);
    CHECK(lucet_pool_resume(p, i, NULL, 1, NULL) == LUCET_OK);
    if (n % 3 == 0) await_guest(i);
  }
  lucet_kill_switch *k = kill_switch(i);
  await_guest(i);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED);
  CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && e.event.kind == LUCET_EVENT_INTERRUPTED);
  uint64_t *r = lucet_instance_registers(i);
  CHECK(r != NULL && r[7] == 4 && r[15] == (uint64_t)(uintptr_t)i->base);
  /* The word at 8 is not 0: the loop ends. */
  r[7] = 8;
  CHECK(lucet_pool_resume(p, i, NULL, 1, NULL) == LUCET_OK);
  CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && e.event.kind == LUCET_EVENT_RETURNED);
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
  lucet_pool_release(p);
}

int main(void) {
  begin_tests();
  test_breakpoints();
  test_stack();
  test_steps();
  test_running();
  return end_tests();
}
