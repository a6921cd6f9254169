/**
 * Guest code that was left: what that means, which event tells of it, and how it goes on. call.c has the ways in.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "internal.h"
#include "watch.h"

_Static_assert(offsetof(struct lucet_activation, host_rsp) == ACT_HOST_RSP && offsetof(struct lucet_activation, guest_rsp) == ACT_GUEST_RSP &&
                   offsetof(struct lucet_activation, saved) == ACT_SAVED && offsetof(struct lucet_activation, entry) == ACT_ENTRY &&
                   offsetof(struct lucet_activation, code) == ACT_CODE && offsetof(struct lucet_activation, args) == ACT_ARGS &&
                   offsetof(struct lucet_activation, base) == ACT_BASE && offsetof(struct lucet_activation, requests) == ACT_REQUESTS &&
                   offsetof(struct lucet_activation, machine) == ACT_MACHINE && offsetof(struct lucet_activation, result) == ACT_RESULT &&
                   offsetof(struct lucet_activation, clause) == ACT_CLAUSE && offsetof(struct lucet_activation, stack_top) == ACT_STACK_TOP &&
                   offsetof(struct lucet_activation, instance) == ACT_INSTANCE,
               "activation.h differs from struct lucet_activation");

_Static_assert(offsetof(struct lucet_activation, host_import) == ACT_HOST_IMPORT && offsetof(struct lucet_activation, host_args) == ACT_HOST_ARGS &&
                   offsetof(struct lucet_activation, host_base) == ACT_HOST_BASE && offsetof(struct lucet_activation, yield.asked) == ACT_YIELD_ASKED,
               "activation.h differs from struct lucet_activation");
_Static_assert(sizeof(struct binding) == 1 << BINDING_SIZE_LOG2 && offsetof(struct binding, function) == BINDING_FUNCTION && offsetof(struct binding, data) == BINDING_DATA &&
                   offsetof(struct binding, refs) == BINDING_REFS && BINDING_LOOKED_AT == (TYPE_EXACT_RESULT | TYPE_FUNCREF_RESULT | BINDING_WATCHED),
               "activation.h differs from struct binding");
_Static_assert(offsetof(struct lucet_instance, bindings) == INSTANCE_BINDINGS && offsetof(struct lucet_control, requests) == 0, "activation.h differs from them");
_Static_assert(offsetof(struct thread_here, current) == HERE_CURRENT && offsetof(struct thread_here, token) == HERE_TOKEN, "activation.h differs from struct thread_here");

_Thread_local struct thread_here lucet_here __attribute__((tls_model("initial-exec"), visibility("hidden"))) = {NULL, TOKEN_FORGOTTEN};

_Thread_local uint64_t lucet_stack_limit __attribute__((tls_model("initial-exec"), visibility("hidden")));

/** Drop what a host function left suspended on top of `a`, before `a` uses its stack again. */
static void pop_to(struct lucet_activation *a) {
  while (a->instance->innermost != a) activation_pop(a->instance);
}

void lucet_activations_free(struct lucet_instance *i) {
  lucet_watch_free(i);
  if (i->innermost != NULL) instance_unready(i);
  while (i->innermost != NULL) activation_end(i, LUCET_STATE_READY);
  if (i->spare != NULL) activation_discard(i, i->spare);
  if (i->ready != NULL) activation_discard(i, i->ready);
  instance_unready(i);
  i->spare = NULL;
  if (i->control == NULL) return;
  /* Switches for a run that never began. */
  control_end_run(i->control);
  lucet_control_release(i->control);
  i->control = NULL;
}

void lucet_raise(uint32_t left, uint32_t code, uint64_t details) {
  struct lucet_activation *a = lucet_current;
  a->left_code = code;
  a->left_details = details;
  lucet_leave(a, left);
}

bool lucet_adopt_words(struct lucet_instance *i, const uint8_t *types, uint32_t count, const uint64_t *words) {
  for (uint32_t k = 0; k < count; k++) {
    if (types[k] == LUCET_FUNCREF && !lucet_group_adopt(i, *words)) return false;
    if (types[k] == LUCET_EXNREF && !lucet_exception_adopt(i, *words)) return false;
    if (types[k] == LUCET_ANYREF && *words != 0 && lucet_object_find(i, *words) == NULL) return false;
    words += types[k] == LUCET_V128 ? 2 : 1;
  }
  return true;
}

/** The same for the results of an imported function. */
static bool adopt_results(struct lucet_instance *caller, uint32_t import, const uint64_t *words) {
  if ((caller->bindings[import].refs & TYPE_FUNCREF_RESULT) == 0) return true;
  const struct metadata *d = &caller->module->meta;
  const struct lucet_type_record *t = &d->types[d->functions[import].type];
  return lucet_adopt_words(caller, d->type_bytes + t->bytes + t->params, t->results, words);
}

uint64_t lucet_hostcall_done(struct lucet_activation *a) {
  struct lucet_instance *i = instance_of(a->host_base);
  pop_to(a);
  const struct binding *b = &i->bindings[a->host_import];
  if ((b->refs & BINDING_WATCHED) != 0) lucet_watch_returned(a);
  control_move(a->instance->control, CONTROL_GUEST);
  TEST_POINT(hostcall_after_moving_back);
  if (a->yield.asked) return LUCET_LEFT_YIELDED;
  if ((b->refs & TYPE_EXACT_RESULT) != 0 && !lucet_valtypes_hold(i, i->module, i->module->meta.functions[a->host_import].type, true, a->host_args))
    lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_CAST_FAILURE, 0);
  if (!adopt_results(i, a->host_import, a->host_args)) lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_CAST_FAILURE, 0);
  return LUCET_LEFT_RETURNED;
}

void lucet_hostcall_abandoned(struct lucet_activation *a) {
  pop_to(a);
  a->yield.asked = a->yield.stops = false;
  control_move(a->instance->control, CONTROL_GUEST);
}

uint64_t lucet_hostcall_continue(struct lucet_activation *a) {
  lucet_continuation continuation = a->yield.continuation;
  bool waited = a->yield.stops;
  a->yield.continuation = NULL;
  a->yield.stops = false;
  control_move(a->instance->control, CONTROL_HOST);
  /* A guest that was killed as it waited is not to take anything away from others, such as a line of input. */
  if (waited && (atomic_load(a->requests) & REQUEST_ENDS) != 0) return LUCET_LEFT_YIELDED;
  if (continuation != NULL) continuation((lucet_vmctx *)(void *)a->host_base, a->host_args, a->yield.value, a->yield.data);
  return lucet_hostcall_done(a);
}

static void ask(bool stops, lucet_value value, const void *expects, lucet_continuation continuation, void *data) {
  struct lucet_activation *a = lucet_current;
  a->yield.stops = stops;
  a->yield.value = value;
  a->yield.expects = expects;
  a->yield.continuation = continuation;
  a->yield.data = data;
  a->yield.asked = true;
}

void lucet_vmctx_yield(lucet_vmctx *vm, lucet_value value, const void *expects, lucet_continuation continuation, void *data) {
  (void)vm;
  ask(false, value, expects, continuation, data);
}

int lucet_vmctx_terminating(lucet_vmctx *vm) {
  (void)vm;
  return (atomic_load(lucet_current->requests) & REQUEST_ENDS) != 0;
}

lucet_wait lucet_vmctx_wait(lucet_vmctx *vm) {
  (void)vm;
  struct lucet_activation *a = lucet_current;
  control_move(a->instance->control, CONTROL_WAITING);
  TEST_POINT(wait_after_moving);
  uint64_t word = atomic_load(a->requests);
  TEST_POINT(wait_after_looking);
  if ((word & REQUEST_WAKES) == 0) return LUCET_WAIT_ON;
  control_move(a->instance->control, CONTROL_HOST);
  return (word & REQUEST_ENDS) != 0 ? LUCET_WAIT_ENDS : LUCET_WAIT_STOPS;
}

void lucet_vmctx_waited(lucet_vmctx *vm) {
  (void)vm;
  TEST_POINT(wait_before_moving_back);
  control_move(lucet_current->instance->control, CONTROL_HOST);
}

void lucet_vmctx_stop(lucet_vmctx *vm, lucet_value value, lucet_continuation continuation, void *data) {
  (void)vm;
  ask(true, value, NULL, continuation, data);
}

static void describe_hostcall(const struct lucet_activation *a, lucet_event *event) {
  struct lucet_instance *i = instance_of(a->host_base);
  event->kind = LUCET_EVENT_HOSTCALL;
  event->code = a->host_import;
  event->instance = i;
  event->args = a->host_args;
  event->id = i->bindings[a->host_import].id;
  event->words = i->module->type_words[i->module->meta.functions[a->host_import].type];
}

/** Nothing caught `e`: the embedder gets a reference to it. */
static void uncaught(struct lucet_activation *a, struct lucet_exception *e, lucet_event *event) {
  event->kind = LUCET_EVENT_EXCEPTION;
  event->code = lucet_trap_describe(a, LUCET_TRAP_UNCAUGHT_EXCEPTION, NULL);
  event->id = (uint64_t)(uintptr_t)e;
  lucet_exception_retain(e);
  activation_end(a->instance, LUCET_STATE_FAULTED);
}

static void terminated(struct lucet_activation *a, uint32_t reason, uint64_t details, lucet_event *event) {
  event->kind = LUCET_EVENT_TERMINATED;
  event->code = reason;
  event->id = details;
  activation_end(a->instance, LUCET_STATE_TERMINATED);
}

static void suspend(struct lucet_activation *a, enum resume_path path, uint32_t waits) {
  a->state = ACTIVATION_SUSPENDED;
  a->parent = NULL;
  a->path = path;
  a->waits = waits;
  control_move(a->instance->control, CONTROL_SUSPENDED);
}

static bool killed(struct lucet_activation *a, lucet_event *event) {
  uint64_t word = atomic_load(a->requests);
  if ((word & REQUEST_ENDS) == 0) return false;
  terminated(a, (word & REQUEST_KILL) != 0 ? LUCET_REASON_REMOTE : LUCET_REASON_TIMEOUT, 0, event);
  return true;
}

/** The thread's machine state becomes the activation's, who gives the one it had, or a new one, for it. */
static bool keep_machine(struct lucet_activation *a) {
  struct machine_state *fresh = a->machine != NULL ? a->machine : lucet_machine_new();
  if (fresh == NULL) return false;
  a->machine = lucet_thread->machine;
  lucet_thread->machine = fresh;
  a->guest_rsp = a->machine->registers[4];
  return true;
}

static void tell_stop(struct lucet_activation *a, uint32_t code, lucet_event *event) {
  a->step.wanted = false;
  event->kind = LUCET_EVENT_STOPPED;
  event->code = code;
  event->instance = a->instance;
  event->id = a->machine->registers[16];
  /* Behind an access: a breakpoint that is there has not been told of. */
  a->step.told = code == LUCET_STOP_WATCHPOINT ? 0 : event->id;
  suspend(a, RESUME_MACHINE, LUCET_EVENT_STOPPED);
}

/**
 * A guest behind a call of the host is as good as stopped anywhere, so that it can be looked into and stepped. False:
 * no memory.
 */
static bool behind_call(struct lucet_activation *a) {
  if (a->machine == NULL && (a->machine = lucet_machine_new()) == NULL) return false;
  lucet_machine_behind_call(a->machine, a);
  a->guest_rsp = a->machine->registers[4];
  a->path = RESUME_MACHINE;
  return true;
}

/** What is asked for on the guest's own behalf, while it is debugged. False: nothing is to be told. */
static bool stopped_by_itself(struct lucet_activation *a, enum resume_path path, lucet_event *event) {
  if ((atomic_load(a->requests) & REQUEST_WATCH) != 0) {
    atomic_fetch_and(a->requests, ~(uint64_t)REQUEST_WATCH);
    /* There can be no hit before anything has run. */
    bool hit = path != RESUME_ENTER && lucet_watch_look(a->instance);
    if (hit && (path == RESUME_MACHINE || (path == RESUME_RETURN && behind_call(a)))) {
      tell_stop(a, LUCET_STOP_WATCHPOINT, event);
      return true;
    }
  }
  if ((atomic_load(a->requests) & REQUEST_STEP) != 0) {
    atomic_fetch_and(a->requests, ~(uint64_t)REQUEST_STEP);
    if (a->step.wanted && (path == RESUME_MACHINE || (path == RESUME_RETURN && behind_call(a)))) {
      tell_stop(a, LUCET_STOP_STEP, event);
      return true;
    }
  }
  return false;
}

/** The guest was stopped because of requests: tell the first of them. False: somebody took it back. */
static bool stopped(struct lucet_activation *a, enum resume_path path, lucet_event *event) {
  a->path = path;
  if (killed(a, event)) return true;
  /* Within a host function these are left for when it has returned. */
  if (path != RESUME_CONTINUATION && stopped_by_itself(a, path, event)) return true;
  static const struct {
    uint32_t request, event, code;
  } ANSWERS[] = {
      {REQUEST_BOUND, LUCET_EVENT_BOUND_EXPIRED, 0},
      {REQUEST_PAUSE, LUCET_EVENT_INTERRUPTED, LUCET_INTERRUPTION_PAUSE},
      {REQUEST_SLICE, LUCET_EVENT_INTERRUPTED, LUCET_INTERRUPTION_SLICE},
  };
  for (size_t k = 0; k < sizeof ANSWERS / sizeof ANSWERS[0]; k++) {
    uint32_t request = ANSWERS[k].request;
    if ((atomic_load(a->requests) & request) == 0) continue;
    atomic_fetch_and(a->requests, ~(uint64_t)request);
    event->kind = ANSWERS[k].event;
    event->code = ANSWERS[k].code;
    event->instance = a->instance;
    bool look = request == REQUEST_PAUSE && path == RESUME_RETURN && behind_call(a);
    suspend(a, look ? RESUME_MACHINE : path, event->kind);
    return true;
  }
  return false;
}

/** Guest code faulted, or a check of its own failed; its state is the thread's. False: it goes on. */
static bool faulted(struct lucet_activation *a, lucet_event *event) {
  struct lucet_instance *i = a->instance;
  const struct machine_state *m = lucet_thread->machine;
  if (m->signal == SIGTRAP) {
    uint32_t stop = lucet_debug_trapped(a, m);
    if (stop != LUCET_STOP_UNKNOWN) {
      if (!keep_machine(a)) {
        terminated(a, LUCET_REASON_RESOURCES, 0, event);
        return true;
      }
      a->path = RESUME_MACHINE;
      if (stop == LUCET_STOP_NONE) return false;
      tell_stop(a, stop, event);
      return true;
    }
  }
  uint32_t code = lucet_trap_describe(a, LUCET_TRAP_NONE, &lucet_thread->machine);
  uint64_t signal = (uint64_t)m->signal;
  if (code == 0) {
    i->poisoned = true;
    lucet_call_unready(i);
    if (i->on_fatal != NULL) i->on_fatal(i, lucet_instance_trap_info(i), i->on_fatal_data);
    event->kind = LUCET_EVENT_FAULTED;
    activation_end(i, LUCET_STATE_FAULTED);
    return true;
  }
  lucet_signal_behavior then = i->on_signal != NULL ? i->on_signal(i, lucet_instance_trap_info(i), i->on_signal_data) : LUCET_SIGNAL_DEFAULT;
  if (then == LUCET_SIGNAL_TERMINATE || (then == LUCET_SIGNAL_CONTINUE && !lucet_trap_take_back(i, &a->machine))) {
    terminated(a, LUCET_REASON_SIGNAL, signal, event);
    return true;
  }
  if (then == LUCET_SIGNAL_CONTINUE) {
    a->path = RESUME_MACHINE;
    return false;
  }
  event->kind = LUCET_EVENT_TRAPPED;
  event->code = code;
  activation_end(i, LUCET_STATE_FAULTED);
  return true;
}

/** The guest was left: tell how, and end the activation unless it is suspended. False: it is to go on. */
static bool finish(struct lucet_activation *a, uint64_t left, lucet_event *event) {
  struct lucet_instance *i = a->instance;
  if (i->innermost != a) pop_to(a);
  if (a->step.stepping) lucet_debug_settle(a);
  memset(event, 0, sizeof *event);
  switch (left) {
    case LUCET_LEFT_RETURNED:
      event->kind = LUCET_EVENT_RETURNED;
      activation_end(i, LUCET_STATE_READY);
      return true;
    case LUCET_LEFT_HOSTCALL:
      if (killed(a, event)) return true;
      suspend(a, RESUME_RETURN, LUCET_EVENT_HOSTCALL);
      describe_hostcall(a, event);
      return true;
    case LUCET_LEFT_YIELDED:
      if (killed(a, event)) return true;
      a->yield.asked = false;
      if (a->yield.stops) return stopped(a, RESUME_CONTINUATION, event);
      suspend(a, RESUME_CONTINUATION, LUCET_EVENT_YIELDED);
      event->kind = LUCET_EVENT_YIELDED;
      event->code = a->yield.expects != NULL;
      event->instance = i;
      event->args = a->host_args;
      event->id = a->yield.value.bits;
      return true;
    case LUCET_LEFT_TRAP:
      event->kind = LUCET_EVENT_TRAPPED;
      event->code = lucet_trap_describe(a, a->left_code, NULL);
      activation_end(i, LUCET_STATE_FAULTED);
      return true;
    case LUCET_LEFT_EXCEPTION: uncaught(a, (struct lucet_exception *)(uintptr_t)a->left_details, event); return true;
    case LUCET_LEFT_CHECK: lucet_machine_at_check(lucet_thread->machine); return faulted(a, event);
    case LUCET_LEFT_FAULT: return faulted(a, event);
    case LUCET_LEFT_TERMINATED: terminated(a, a->left_code, a->left_details, event); return true;
    case LUCET_LEFT_STOPPED_ENTERING: return stopped(a, RESUME_ENTER, event);
    case LUCET_LEFT_STOPPED_RETURNING: return stopped(a, RESUME_RETURN, event);
    case LUCET_LEFT_STOPPED_RESUMING: a->step.told = a->step.from; return stopped(a, RESUME_MACHINE, event);
    default:
      if (killed(a, event)) return true;
      if (!keep_machine(a)) {
        terminated(a, LUCET_REASON_RESOURCES, 0, event);
        return true;
      }
      return stopped(a, RESUME_MACHINE, event);
  }
}

static uint64_t reenter_machine(struct lucet_activation *a) {
  lucet_debug_prepare(a);
  return lucet_reenter_machine(a);
}

static activation_path *path_of(const struct lucet_activation *a) {
  static activation_path *const PATHS[] = {
      [RESUME_ENTER] = lucet_enter,
      [RESUME_RETURN] = lucet_reenter,
      [RESUME_CONTINUATION] = lucet_reenter_continuing,
      [RESUME_MACHINE] = reenter_machine,
  };
  return PATHS[a->path];
}

void lucet_activation_left(struct lucet_activation *a, uint64_t left, lucet_event *event) {
  struct lucet_instance *i = a->instance;
  while (!finish(a, left, event)) {
    if (atomic_load(&i->watches) != NULL) lucet_watch_arm(a, true);
    left = activation_go(a, path_of(a));
  }
  if (atomic_load(&i->watches) != NULL) lucet_watch_disarm(i);
  if (lucet_group_dying(i)) lucet_group_leave(i);
}

/** Let the guest go on, along its path, until there is something to tell. */
static void proceed(struct lucet_activation *a, lucet_event *event) {
  activation_begin(a);
  bool in_host = a->waits == LUCET_EVENT_HOSTCALL || a->waits == LUCET_EVENT_YIELDED;
  if (atomic_load(&a->instance->watches) != NULL) lucet_watch_arm(a, in_host);
  lucet_activation_left(a, activation_go(a, path_of(a)), event);
}

/** The innermost activation, if it waits for the host. */
static struct lucet_activation *suspended(const struct lucet_instance *i, lucet_error *error) {
  if (i->innermost != NULL && i->innermost->state == ACTIVATION_SUSPENDED) return i->innermost;
  lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance isn't suspended");
  return NULL;
}

/** What the embedder did in the place of a host function must be of its type. */
static bool results_hold(struct lucet_activation *a) {
  struct lucet_instance *caller = instance_of(a->host_base);
  if (!lucet_valtypes_hold(caller, caller->module, caller->module->meta.functions[a->host_import].type, true, a->host_args)) return false;
  return adopt_results(caller, a->host_import, a->host_args);
}

lucet_status lucet_instance_resume_with(lucet_instance *i, lucet_value value, lucet_event *event, lucet_error *error) {
  struct lucet_activation *a = suspended(i, error);
  if (a == NULL) return LUCET_ERROR_STATE;
  lucet_status status = lucet_may_run(i, error);
  if (status != LUCET_OK) return status;
  if (value.type != (a->waits == LUCET_EVENT_YIELDED ? a->yield.expects : NULL))
    return lucet_fail(error, LUCET_ERROR_YIELD_TYPE, 0, "the guest expects %s", a->waits == LUCET_EVENT_YIELDED && a->yield.expects != NULL ? "a value of another type" : "no value");
  if (a->waits == LUCET_EVENT_YIELDED) a->yield.value = value;
  if (a->waits == LUCET_EVENT_HOSTCALL && !results_hold(a)) {
    memset(event, 0, sizeof *event);
    event->kind = LUCET_EVENT_TRAPPED;
    event->code = lucet_trap_describe(a, LUCET_TRAP_CAST_FAILURE, NULL);
    activation_end(i, LUCET_STATE_FAULTED);
    return lucet_ok(error);
  }
  proceed(a, event);
  return lucet_ok(error);
}

lucet_status lucet_instance_resume_throw(lucet_instance *i, lucet_exception *e, lucet_event *event, lucet_error *error) {
  struct lucet_activation *a = suspended(i, error);
  if (a == NULL) return LUCET_ERROR_STATE;
  lucet_status status = lucet_may_run(i, error);
  if (status != LUCET_OK) return status;
  if (a->waits != LUCET_EVENT_HOSTCALL && a->waits != LUCET_EVENT_YIELDED)
    return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance isn't in a host function");
  if (!lucet_exception_adopt(instance_of(a->host_base), (uint64_t)(uintptr_t)e))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "the exception's instances are gone");
  if (lucet_throw_suspended(a, e)) {
    a->path = RESUME_RETURN;
    proceed(a, event);
    return lucet_ok(error);
  }
  memset(event, 0, sizeof *event);
  uncaught(a, e, event);
  return lucet_ok(error);
}

lucet_status lucet_instance_resume(lucet_instance *i, lucet_event *event, lucet_error *error) {
  return lucet_instance_resume_with(i, (lucet_value){NULL, 0}, event, error);
}

lucet_value lucet_instance_yielded(const lucet_instance *i) {
  const struct lucet_activation *a = i->innermost;
  if (a == NULL || a->state != ACTIVATION_SUSPENDED || a->waits != LUCET_EVENT_YIELDED) return (lucet_value){NULL, 0};
  return a->yield.value;
}

lucet_status lucet_instance_abort(lucet_instance *i, lucet_error *error) {
  if (suspended(i, error) == NULL) return LUCET_ERROR_STATE;
  activation_end(i, LUCET_STATE_TERMINATED);
  return lucet_ok(error);
}

lucet_status lucet_instance_abort_with_trap(lucet_instance *i, uint32_t code, lucet_error *error) {
  struct lucet_activation *a = suspended(i, error);
  if (a == NULL) return LUCET_ERROR_STATE;
  lucet_trap_describe(a, code, stopped_anywhere(a) ? &a->machine : NULL);
  activation_end(i, LUCET_STATE_FAULTED);
  return lucet_ok(error);
}

void lucet_instance_set_signal_handler(lucet_instance *i, lucet_signal_handler handler, void *data) {
  i->on_signal = handler;
  i->on_signal_data = data;
}

void lucet_instance_set_fatal_handler(lucet_instance *i, lucet_fatal_handler handler, void *data) {
  i->on_fatal = handler;
  i->on_fatal_data = data;
}

lucet_state lucet_instance_state(const lucet_instance *i) {
  if (i->poisoned) return LUCET_STATE_POISONED;
  const struct lucet_activation *a = i->innermost;
  uint64_t requests = i->control != NULL ? atomic_load(&i->control->requests) : 0;
  if ((requests & REQUEST_ENDS) != 0) return LUCET_STATE_TERMINATING;
  if (a == NULL) return i->start_pending ? LUCET_STATE_NOT_STARTED : i->rest == 0 ? LUCET_STATE_READY : i->rest;
  if (a->state == ACTIVATION_RUNNING) return a->yield.asked ? LUCET_STATE_YIELDING : LUCET_STATE_RUNNING;
  switch (a->waits) {
    case LUCET_EVENT_YIELDED: return LUCET_STATE_YIELDED;
    case LUCET_EVENT_STOPPED:
    case LUCET_EVENT_INTERRUPTED: return LUCET_STATE_INTERRUPTED;
    case LUCET_EVENT_BOUND_EXPIRED: return LUCET_STATE_BOUND_EXPIRED;
    default: return LUCET_STATE_SUSPENDED;
  }
}
