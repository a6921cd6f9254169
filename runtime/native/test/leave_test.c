/**
 * Jumps in host functions, as lucet.h (lucet_host_function) allows them: within one, and behind the call that one has
 * ended. runtime/test/embed-exceptions.cc is the same with exceptions of C++.
 */
#define _GNU_SOURCE
#include <setjmp.h>

#include "control.h"

static jmp_buf recovery;
static int depth;
static const uint64_t FAILED = 0xbad;

static void raise_error(void) { longjmp(recovery, 7); }
/** Not known to the compiler. */
static void (*volatile fails_inside)(void) = raise_error;

/** An interpreter's error, caught where the host function begins. */
static void jumps_within(lucet_vmctx *vm, uint64_t *args) {
  (void)vm;
  int caught = setjmp(recovery);
  if (caught == 0) fails_inside();
  args[0] = (uint64_t)caught;
}

/** The same, and its caller is to know: the guest is unwound first. */
static void jumps_and_ends(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  if (setjmp(recovery) == 0) fails_inside();
  lucet_vmctx_terminate(vm, LUCET_REASON_PROVIDED, FAILED);
}

/** A guest within a guest, of which the inner one ends so: its caller jumps only when its own call is over. */
static void jumps_between(lucet_vmctx *vm, uint64_t *args) {
  if (depth++ > 0) jumps_and_ends(vm, args);
  jmp_buf own;
  lucet_instance *i = lucet_vmctx_instance(vm);
  int caught = setjmp(own);
  if (caught == 0) {
    lucet_event e = call(i, F_CALL_NATIVE, 1);
    CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_PROVIDED && e.id == FAILED);
    longjmp(own, 3);
  }
  args[0] = (uint64_t)caught;
}

static void test_jumps(void) {
  section = "jumps";
  lucet_instance *i = instance();
  for (int n = 0; n < 1000; n++) {
    on_hostcall = jumps_within;
    lucet_event e = call(i, F_CALL_NATIVE, 1);
    CHECK(e.kind == LUCET_EVENT_RETURNED && lucet_current == NULL);
    on_hostcall = jumps_between;
    depth = 0;
    CHECK(call(i, F_CALL_NATIVE, 1).kind == LUCET_EVENT_RETURNED && depth == 2 && lucet_current == NULL);
    /* Behind the call, the embedder may jump as it likes. */
    on_hostcall = jumps_and_ends;
    static jmp_buf outside;
    if (setjmp(outside) == 0) {
      e = call(i, F_CALL_NATIVE, 1);
      CHECK(e.kind == LUCET_EVENT_TERMINATED && e.id == FAILED);
      longjmp(outside, 1);
    }
    CHECK(usable(i) && lucet_current == NULL);
  }
  on_hostcall = NULL;
  lucet_instance_release(i);
}

int main(void) {
  begin_tests();
  test_jumps();
  return end_tests();
}
