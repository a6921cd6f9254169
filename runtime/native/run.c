/**
 * Running guest code: activations, and the events that end or interrupt them.
 *
 * An activation begins at the top of its instance's stack, or below the innermost activation that is there already; it
 * is always the innermost one that is resumed, so activations on a stack end in the reverse order of their beginning,
 * however host and guest call each other.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

_Static_assert(offsetof(struct lucet_activation, host_rsp) == ACT_HOST_RSP && offsetof(struct lucet_activation, guest_rsp) == ACT_GUEST_RSP &&
                   offsetof(struct lucet_activation, saved) == ACT_SAVED && offsetof(struct lucet_activation, entry) == ACT_ENTRY &&
                   offsetof(struct lucet_activation, code) == ACT_CODE && offsetof(struct lucet_activation, args) == ACT_ARGS &&
                   offsetof(struct lucet_activation, base) == ACT_BASE,
               "activation.h differs from struct lucet_activation");

/** Native host functions and guests may call each other this deep; each level takes host stack, whose end isn't known. */
#define MOST_NESTED 256
/** A new activation needs this much stack before its first instruction, so that a full stack overflows in guest code. */
#define LEAST_ROOM LUCET_STACK_RED_AREA

_Thread_local struct lucet_activation *lucet_current __attribute__((tls_model("initial-exec"), visibility("hidden")));

_Thread_local uint64_t lucet_stack_limit __attribute__((tls_model("initial-exec"), visibility("hidden")));

/** A new innermost activation of `i`. NULL: out of memory. */
static struct lucet_activation *push(struct lucet_instance *i) {
  struct lucet_activation *a = i->spare;
  if (a != NULL)
    i->spare = NULL;
  else if ((a = calloc(1, sizeof *a)) == NULL)
    return NULL;
  a->instance = i;
  a->outer = i->innermost;
  uint64_t top = a->outer != NULL ? a->outer->guest_rsp & ~(uint64_t)15 : (uint64_t)(uintptr_t)i->slot->stack_top;
  a->stack_top = a->guest_rsp = top;
  i->innermost = a;
  return a;
}

/** Drop the innermost activation. */
static void pop(struct lucet_instance *i) {
  struct lucet_activation *a = i->innermost;
  i->innermost = a->outer;
  if (i->spare == NULL)
    i->spare = a;
  else if (a != i->first)
    free(a);
}

/** Drop what a host function left suspended on top of `a`, before `a` uses its stack again. */
static void pop_to(struct lucet_activation *a) {
  while (a->instance->innermost != a) pop(a->instance);
}

void lucet_activations_free(struct lucet_instance *i) {
  while (i->innermost != NULL) pop(i);
  if (i->spare != i->first) free(i->spare);
  i->spare = NULL;
}

void lucet_raise(uint32_t left, uint32_t code, uint64_t details) {
  struct lucet_activation *a = lucet_current;
  a->left_code = code;
  a->left_details = details;
  lucet_leave(a, left);
}

/** References in an argument array tie the instances they lead to to the one that gets them. */
static void adopt_words(struct lucet_instance *i, const uint8_t *types, uint32_t count, const uint64_t *words) {
  for (uint32_t k = 0; k < count; k++) {
    if (types[k] == LUCET_FUNCREF) lucet_group_adopt(i, *words);
    words += types[k] == LUCET_V128 ? 2 : 1;
  }
}

/** The same for the results of an imported function. */
static void adopt_results(struct lucet_instance *caller, uint32_t import, const uint64_t *words) {
  if ((caller->bindings[import].refs & TYPE_FUNCREF_RESULT) == 0) return;
  const struct metadata *d = &caller->module->meta;
  const struct lucet_type_record *t = &d->types[d->functions[import].type];
  adopt_words(caller, d->type_bytes + t->bytes + t->params, t->results, words);
}

uint64_t lucet_hostcall(struct lucet_activation *a, uint32_t import, uint64_t *args, uint8_t *base) {
  struct lucet_instance *i = instance_of(base);
  const struct binding *b = &i->bindings[import];
  a->host_import = import;
  a->host_args = args;
  a->host_base = base;
  if (b->function == NULL) return LUCET_LEFT_HOSTCALL;
  b->function((lucet_vmctx *)(void *)base, args, b->data);
  pop_to(a);
  if (!lucet_valtypes_hold(i->module, i->module->meta.functions[import].type, true, args)) lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_CAST_FAILURE, 0);
  adopt_results(i, import, args);
  return LUCET_LEFT_RETURNED;
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

/** The guest was left: tell how, and end the activation unless it is suspended. */
static void finish(struct lucet_activation *a, uint64_t left, lucet_event *event) {
  struct lucet_instance *i = a->instance;
  pop_to(a);
  memset(event, 0, sizeof *event);
  switch (left) {
    case LUCET_LEFT_HOSTCALL:
      a->state = ACTIVATION_SUSPENDED;
      a->parent = NULL;
      describe_hostcall(a, event);
      return;
    case LUCET_LEFT_TRAP:
      event->kind = LUCET_EVENT_TRAPPED;
      event->code = lucet_trap_describe(a, a->left_code, false);
      break;
    case LUCET_LEFT_FAULT:
      event->code = lucet_trap_describe(a, 0, true);
      event->kind = event->code != 0 ? LUCET_EVENT_TRAPPED : LUCET_EVENT_FAULTED;
      if (event->code == 0) i->poisoned = true;
      break;
    case LUCET_LEFT_TERMINATED:
      event->kind = LUCET_EVENT_TERMINATED;
      event->code = a->left_code;
      event->id = a->left_details;
      break;
    default: event->kind = LUCET_EVENT_RETURNED;
  }
  pop(i);
}

/** Let the guest go on; `run` is lucet_enter or lucet_reenter. */
static void proceed(struct lucet_activation *a, uint64_t (*run)(struct lucet_activation *), lucet_event *event) {
  struct lucet_instance *i = a->instance;
  struct lucet_activation *parent = lucet_current;
  a->state = ACTIVATION_RUNNING;
  a->parent = parent;
  a->depth = parent != NULL ? parent->depth + 1 : 1;
  i->trap_valid = false;
  lucet_group_enter(i);
  lucet_current = a;
  uint64_t outer_limit = lucet_stack_limit;
  lucet_stack_limit = (uint64_t)(uintptr_t)i->slot->stack_low + LUCET_STACK_RED_AREA;
  uint64_t left = run(a);
  lucet_stack_limit = outer_limit;
  lucet_current = parent;
  finish(a, left, event);
  lucet_group_leave(i);
}

/** May this thread run `i` now? */
static lucet_status may_run(const struct lucet_instance *i, lucet_error *error) {
  if (i->poisoned) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance faulted in a way that guest code can't: it is never run again");
  if (i->innermost != NULL && i->innermost->state == ACTIVATION_RUNNING) {
    const struct lucet_activation *a = lucet_current;
    while (a != NULL && a != i->innermost) a = a->parent;
    if (a == NULL) return lucet_fail(error, LUCET_ERROR_STATE, 0, "another thread runs the instance");
  }
  if (lucet_current == NULL && !lucet_signals_ready())
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the system refuses signal handlers or their stack");
  return LUCET_OK;
}

static lucet_status call(struct lucet_instance *i, const struct lucet_funcref *f, uint64_t *args, lucet_event *event, lucet_error *error) {
  lucet_status status = may_run(i, error);
  if (status != LUCET_OK) return status;
  struct lucet_instance *callee = instance_of(f->vmctx);
  if (callee->group != i->group) lucet_group_unite(i, callee);
  const struct metadata *d = &callee->module->meta;
  uint32_t type = d->functions[f->func_index].type;
  if (!lucet_valtypes_hold(callee->module, type, false, args))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "an argument is a reference of another type than function %u takes", f->func_index);
  if ((callee->module->type_refs[type] & TYPE_FUNCREF_PARAM) != 0)
    adopt_words(callee, d->type_bytes + d->types[type].bytes, d->types[type].params, args);
  struct lucet_activation *a = push(i);
  if (a == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  if (a->stack_top < (uint64_t)(uintptr_t)i->slot->stack_low + LEAST_ROOM || (lucet_current != NULL && lucet_current->depth >= MOST_NESTED)) {
    pop(i);
    memset(event, 0, sizeof *event);
    event->kind = LUCET_EVENT_TRAPPED;
    event->code = LUCET_TRAP_STACK_OVERFLOW;
    i->trap_valid = false;
    return lucet_ok(error);
  }
  a->entry = f->entry;
  a->code = f->code;
  a->base = f->vmctx;
  a->args = args;
  proceed(a, lucet_enter, event);
  return lucet_ok(error);
}

lucet_status lucet_instance_call(lucet_instance *i, const lucet_funcref *f, uint64_t *args, lucet_event *event, lucet_error *error) {
  if (i->start_pending) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the start function has not been run");
  return call(i, f, args, event, error);
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
  return call(i, lucet_instance_funcref(i, i->module->meta.header->start_function), &none, event, error);
}

/** The innermost activation, if it waits for the host. */
static struct lucet_activation *suspended(const struct lucet_instance *i, lucet_error *error) {
  if (i->innermost != NULL && i->innermost->state == ACTIVATION_SUSPENDED) return i->innermost;
  lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance isn't suspended");
  return NULL;
}

lucet_status lucet_instance_resume(lucet_instance *i, lucet_event *event, lucet_error *error) {
  struct lucet_activation *a = suspended(i, error);
  if (a == NULL) return LUCET_ERROR_STATE;
  lucet_status status = may_run(i, error);
  if (status != LUCET_OK) return status;
  struct lucet_instance *caller = instance_of(a->host_base);
  if (!lucet_valtypes_hold(caller->module, caller->module->meta.functions[a->host_import].type, true, a->host_args)) {
    memset(event, 0, sizeof *event);
    event->kind = LUCET_EVENT_TRAPPED;
    event->code = lucet_trap_describe(a, LUCET_TRAP_CAST_FAILURE, false);
    pop(i);
    return lucet_ok(error);
  }
  adopt_results(caller, a->host_import, a->host_args);
  proceed(a, lucet_reenter, event);
  return lucet_ok(error);
}

lucet_status lucet_instance_abort(lucet_instance *i, lucet_error *error) {
  if (suspended(i, error) == NULL) return LUCET_ERROR_STATE;
  pop(i);
  return lucet_ok(error);
}

lucet_status lucet_instance_abort_with_trap(lucet_instance *i, uint32_t code, lucet_error *error) {
  struct lucet_activation *a = suspended(i, error);
  if (a == NULL) return LUCET_ERROR_STATE;
  lucet_trap_describe(a, code, false);
  pop(i);
  return lucet_ok(error);
}

lucet_state lucet_instance_state(const lucet_instance *i) {
  if (i->poisoned) return LUCET_STATE_POISONED;
  if (i->innermost == NULL) return LUCET_STATE_READY;
  return i->innermost->state == ACTIVATION_SUSPENDED ? LUCET_STATE_SUSPENDED : LUCET_STATE_RUNNING;
}
