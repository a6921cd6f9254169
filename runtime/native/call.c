/**
 * Calling guests. Calls that have nothing to look at are all in call_x64.S: such a call takes a few nanoseconds more
 * than its guest does. Here is what makes an instance ready for them, and everything else.
 */
#include "activations.h"
#include "internal.h"
#include "watch.h"

_Static_assert(offsetof(struct lucet_instance, innermost) == INSTANCE_INNERMOST && offsetof(struct lucet_instance, ready) == INSTANCE_READY &&
                   offsetof(struct lucet_instance, token) == INSTANCE_TOKEN && offsetof(struct lucet_instance, plain_base) == INSTANCE_PLAIN_BASE &&
                   offsetof(struct lucet_instance, modes_base) == INSTANCE_MODES_BASE && offsetof(struct lucet_instance, control) == INSTANCE_CONTROL,
               "activation.h differs from struct lucet_instance");
_Static_assert(offsetof(struct lucet_control, where) == CONTROL_WHERE && offsetof(lucet_prepared_call, instance) == PREPARED_INSTANCE,
               "activation.h differs from struct lucet_control, or lucet_prepared_call");
_Static_assert(offsetof(lucet_event, kind) == 0 && offsetof(lucet_event, code) == 4 && LUCET_EVENT_RETURNED == 0 && LUCET_OK == 0 && offsetof(lucet_error, message) == 16 && offsetof(lucet_error, offset) == 8,
               "what call_x64.S tells of a guest that has returned");
_Static_assert(RUNS_UNLOOKED == 64, "call_x64.S tests as many bits of the run's number");
_Static_assert(offsetof(lucet_prepared_call, entry) == offsetof(struct lucet_funcref, entry) &&
                   offsetof(lucet_prepared_call, code) == offsetof(struct lucet_funcref, code) &&
                   offsetof(lucet_prepared_call, base) == offsetof(struct lucet_funcref, vmctx),
               "the stubs of call_x64.S take either");
_Static_assert(offsetof(struct lucet_control, requests) == 0, "they look at it");

/**
 * Native host functions and guests may call each other this deep; each level takes host stack, whose end isn't known.
 */
#define MOST_NESTED 256
/**
 * A new activation needs this much stack before its first instruction, so that a full stack overflows in guest code.
 */
#define LEAST_ROOM LUCET_STACK_RED_AREA

static lucet_status no_signals(lucet_error *error) {
  return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the system refuses signal handlers or their stack");
}

lucet_status lucet_may_run(const struct lucet_instance *i, lucet_error *error) {
  if (i->poisoned) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance faulted in a way that guest code can't: it is never run again");
  if (i->innermost != NULL && i->innermost->state == ACTIVATION_RUNNING) {
    const struct lucet_activation *a = lucet_current;
    while (a != NULL && a != i->innermost) a = a->parent;
    if (a == NULL) return lucet_fail(error, LUCET_ERROR_STATE, 0, "another thread runs the instance");
  }
  return lucet_current != NULL || lucet_signals_ready() ? LUCET_OK : no_signals(error);
}

static bool takes_references(const lucet_module *m, uint32_t function) {
  return (m->type_refs[m->meta.functions[function].type] & (TYPE_FUNCREF_PARAM | TYPE_EXACT_PARAM)) != 0;
}

/** Nothing about the function keeps a call of it on the stack of `i` from being one of a ready instance. */
static bool is_plain(const struct lucet_instance *i, const struct lucet_funcref *f) {
  return f->vmctx == i->base && (!i->module->takes_references || !takes_references(i->module, f->func_index));
}

/** References among the arguments are of the right types, and from now on tied to the callee. */
static lucet_status take_references(struct lucet_instance *callee, const struct lucet_funcref *f, const uint64_t *args, lucet_error *error) {
  const struct metadata *d = &callee->module->meta;
  uint32_t type = d->functions[f->func_index].type;
  if (!lucet_valtypes_hold(callee, callee->module, type, false, args))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "an argument is a reference of another type than function %u takes", f->func_index);
  if ((callee->module->type_refs[type] & TYPE_FUNCREF_PARAM) != 0 &&
      !lucet_adopt_words(callee, d->type_bytes + d->types[type].bytes, d->types[type].params, args))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "an argument is a reference that can't be linked with the instance");
  return LUCET_OK;
}

/** A function of another instance may run on the stack of `i`. */
static lucet_status may_host(struct lucet_instance *i, const struct lucet_funcref *f, lucet_error *error) {
  struct lucet_instance *callee = instance_of(f->vmctx);
  if (callee->group == i->group || lucet_group_unite(i, callee)) return LUCET_OK;
  return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "the function can't run on the stack of an instance in a dense region: it was not compiled with --memory dense");
}

static bool arm_deadline(struct lucet_instance *i) {
  return lucet_watchdog_arm(&i->control->deadline, i->control, control_run(i->control), i->timeout);
}

/**
 * Sandbox argument for calls of a *ready* instance. It becomes ready where a run has ended and nothing runs or waits on
 * it, if nothing about it needs to be looked at: not poisoned, started, no time limit, no watchpoints, a control block,
 * no fences, no trap that could be asked about, at rest as after a run that returned. What changes one of these calls
 * lucet_call_unready, or frees the activation (lucet_activations_free); every other way to begin a run takes it, too
 * (activation_push), unless it is running, which `innermost` tells. The activation has everything that its runs have in
 * common; what a run changes of it otherwise (guest_rsp, saved, host_*) is written before it is read. So a call writes
 * what others may look at meanwhile, and nothing else.
 *
 * What is the thread's (whom to kick, the stack limit) is settled by the first of such calls, which gives a number that
 * is given once (token_next) to both, the instance and the thread. As long as the two have the same one, the thread has
 * settled nothing else since, nor any other thread this instance; the thread forgets its number when it begins any
 * other run (activation_begin), so no run of another activation is under way on it, either; and the instance has none
 * when it isn't ready, or its handlers are to be looked at.
 *
 * So these calls compare four words (call_x64.S): the number; lucet_signals_stale; `innermost`, since the run that a
 * nested call is made in has the same number; and the function's instance with plain_base or modes_base, which tells
 * that it is this one, whose functions take no references.
 */
static void make_ready(struct lucet_instance *i) {
  bool room = i->slot->stack_top - i->slot->stack_low >= LEAST_ROOM;
  if (i->innermost != NULL || i->poisoned || i->start_pending || i->timeout != 0 || i->trap_valid || atomic_load(&i->watches) != NULL || !room) return;
  if (atomic_load_explicit(&lucet_control_fences, memory_order_relaxed)) return;
  if (i->spare != NULL && i->spare != i->first) activation_discard(i, i->spare);
  i->spare = i->first;
  struct lucet_activation *a = activation_push(i);
  a->state = ACTIVATION_RUNNING;
  a->parent = NULL;
  a->depth = 1;
  i->innermost = NULL;
  i->ready = a;
  i->keeps_modes = lucet_group_keeps_modes(i);
  uint8_t *base = i->module->takes_references ? NULL : i->base;
  i->plain_base = i->keeps_modes ? base : NULL;
  i->modes_base = i->keeps_modes ? NULL : base;
}

void lucet_call_unready(struct lucet_instance *i) {
  struct lucet_activation *a = i->ready;
  instance_unready(i);
  /* One that runs finds out at its end. */
  if (a == NULL || i->innermost != NULL) return;
  if (i->spare != NULL) activation_discard(i, i->spare);
  i->spare = a;
}

/** Its control block counts the runs of the instance that have ended. */
static inline bool looks(const struct lucet_control *c) {
  return (atomic_load_explicit(&c->requests, memory_order_relaxed) >> 8) % RUNS_UNLOOKED == 0;
}

/** Never given before: a thread takes many at a time, so that threads don't wait for each other. */
static uint64_t token_next(struct thread_area *t) {
  enum { AT_A_TIME = 1 << 20 };
  static _Atomic(uint64_t) given = AT_A_TIME;
  if (t->token % AT_A_TIME == 0) t->token = atomic_fetch_add_explicit(&given, AT_A_TIME, memory_order_relaxed);
  return t->token++;
}

/** May the call become one of a ready instance? Then *settled. */
static lucet_status settle(struct lucet_instance *i, bool *settled, lucet_error *error) {
  *settled = false;
  if (i->ready == NULL || i->innermost != NULL || lucet_current != NULL) return LUCET_OK;
  if (lucet_thread != NULL && looks(i->control)) lucet_thread->unasked = 0;
  if (!lucet_signals_ready()) return no_signals(error);
  struct thread_area *t = lucet_thread;
  lucet_here.token = token_next(t);
  /* Another thread sets watchpoints, then takes the number away: either it takes this one, or they are seen here. */
  __atomic_store_n(&i->token, lucet_here.token, __ATOMIC_SEQ_CST);
  if (atomic_load(&i->watches) != NULL) {
    lucet_call_unready(i);
    return LUCET_OK;
  }
  atomic_store_explicit(&i->control->thread, t->thread, memory_order_relaxed);
  /* Nothing looks at it between outermost runs, so it need not be put back. */
  lucet_stack_limit = (uint64_t)(uintptr_t)i->slot->stack_low + LUCET_STACK_RED_AREA;
  *settled = true;
  return LUCET_OK;
}

lucet_status lucet_call_left(uint64_t left, lucet_event *event, lucet_error *error) {
  struct lucet_activation *a = lucet_current;
  lucet_current = NULL;
  instance_unready(a->instance);
  /* If it goes on, whoever is the host then is found at its end. */
  memcpy((uint8_t *)(uintptr_t)a->stack_top - sizeof(uint64_t), &(const uint8_t *){lucet_enter_return}, sizeof(uint64_t));
  /* It may be resumed along lucet_enter. */
  if (left == LUCET_LEFT_STOPPED_ENTERING) a->guest_rsp = a->stack_top;
  lucet_activation_left(a, left, event);
  return lucet_ok(error);
}

/** Everything was looked at but what changes with each call. */
static lucet_status run(struct lucet_instance *i, const lucet_prepared_call *what, uint64_t *args, lucet_event *event, lucet_error *error) {
  struct lucet_activation *a = lucet_control_of(i) != NULL ? activation_push(i) : NULL;
  if (a == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  if (a->stack_top < (uint64_t)(uintptr_t)i->slot->stack_low + LEAST_ROOM || (lucet_current != NULL && lucet_current->depth >= MOST_NESTED)) {
    memset(event, 0, sizeof *event);
    event->kind = LUCET_EVENT_TRAPPED;
    event->code = LUCET_TRAP_STACK_OVERFLOW;
    i->trap_valid = false;
    activation_end(i, LUCET_STATE_FAULTED);
    return lucet_ok(error);
  }
  a->entry = what->entry;
  a->code = what->code;
  a->base = what->base;
  a->args = args;
  if (i->timeout != 0 && a->outer == NULL && !arm_deadline(i)) {
    activation_end(i, i->rest);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no thread to watch the time");
  }
  activation_begin(a);
  if (atomic_load_explicit(&i->watches, memory_order_relaxed) != NULL) lucet_watch_arm(a, false);
  uint64_t left = activation_go(a, lucet_enter);
  bool watched = atomic_load_explicit(&i->watches, memory_order_relaxed) != NULL;
  if (left == LUCET_LEFT_RETURNED && i->innermost == a && !a->step.stepping && !watched && !lucet_group_dying(i)) {
    memset(event, 0, sizeof *event);
    event->kind = LUCET_EVENT_RETURNED;
    activation_end(i, LUCET_STATE_READY);
    make_ready(i);
  } else {
    lucet_activation_left(a, left, event);
  }
  return lucet_ok(error);
}

static lucet_status call(struct lucet_instance *i, const struct lucet_funcref *f, uint64_t *args, lucet_event *event, lucet_error *error) {
  if (i->start_pending) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the start function has not been run");
  lucet_status status = lucet_may_run(i, error);
  if (status == LUCET_OK && f->vmctx != i->base) status = may_host(i, f, error);
  if (status == LUCET_OK) {
    struct lucet_instance *callee = instance_of(f->vmctx);
    if (callee->module->takes_references) status = take_references(callee, f, args, error);
  }
  if (status != LUCET_OK) return status;
  const lucet_prepared_call what = {.instance = i, .entry = f->entry, .code = f->code, .base = f->vmctx};
  return run(i, &what, args, event, error);
}

/**
 * Sandbox argument for calls that leave the floating-point modes alone (keeps_modes). Code without operators on
 * floating-point numbers does the same in any modes, so it need not be given its own, and host functions that it calls
 * have the host's all along. All code that can run in such a call is the instance's own: it is alone in its group, and
 * holds no other instance. Where that ends (lucet_group_unite, lucet_group_hold), its calls are plain ones no more, and
 * those that are under way get the modes of guests from there on, the host's being kept in their frames
 * (lucet_modes_matter). A guest that is stopped, and may be resumed elsewhere, has the modes of guests in its saved
 * state (lucet_context_save, lucet_machine_at_check); a fault's handler is left in a way that restores what the guest
 * had (lucet_context_may_leave).
 */
lucet_status lucet_call_unsettled(struct lucet_instance *i, const lucet_funcref *f, uint64_t *args, lucet_event *event, lucet_error *error) {
  bool settled = false;
  lucet_status status = is_plain(i, f) ? settle(i, &settled, error) : LUCET_OK;
  if (status != LUCET_OK) return status;
  if (!settled) return call(i, f, args, event, error);
  return i->keeps_modes ? lucet_call_plain(i, f, args, event, error) : lucet_call_function(i, f, args, event, error);
}

lucet_status lucet_instance_call_export(lucet_instance *i, uint32_t number, uint64_t *args, lucet_event *event, lucet_error *error) {
  const struct metadata *d = &i->module->meta;
  if (number >= d->export_count || d->exports[number].kind != LUCET_EXTERN_FUNC)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "export %u is no function", number);
  return lucet_instance_call(i, lucet_instance_funcref(i, d->exports[number].index), args, event, error);
}

lucet_status lucet_instance_run_start(lucet_instance *i, lucet_event *event, lucet_error *error) {
  if (!i->start_pending) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the module has no start function, or it has been run");
  uint64_t none = 0;
  i->start_pending = false;
  return lucet_instance_call(i, lucet_instance_funcref(i, i->module->meta.header->start_function), &none, event, error);
}

/* ---- Prepared calls */

lucet_status lucet_call_prepare(lucet_instance *i, const lucet_funcref *f, lucet_prepared_call *call, lucet_error *error) {
  lucet_status status = f->vmctx != i->base ? may_host(i, f, error) : LUCET_OK;
  if (status != LUCET_OK) return status;
  const lucet_module *m = instance_of(f->vmctx)->module;
  if (takes_references(m, f->func_index))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "function %u takes references, which have to be looked at in each call", f->func_index);
  *call = (lucet_prepared_call){.instance = i, .entry = f->entry, .code = f->code, .base = f->vmctx};
  return lucet_ok(error);
}

/** The instance isn't ready. */
static lucet_status run_prepared(const lucet_prepared_call *call, uint64_t *args, lucet_event *event, lucet_error *error) {
  struct lucet_instance *i = call->instance;
  if (i->start_pending) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the start function has not been run");
  lucet_status status = lucet_may_run(i, error);
  return status == LUCET_OK ? run(i, call, args, event, error) : status;
}

lucet_status lucet_call_prepared_unsettled(const lucet_prepared_call *call, uint64_t *args, lucet_event *event, lucet_error *error) {
  bool settled;
  lucet_status status = settle(call->instance, &settled, error);
  if (status != LUCET_OK) return status;
  return settled ? lucet_call_plain(call->instance, call, args, event, error) : run_prepared(call, args, event, error);
}
