/**
 * Throwing: from the place of the throw outwards, frame by frame, to the first call that catches (abi/artifact.ts:
 * LANDING_RECORD).
 *
 * A frame is left by restoring the registers that its function saved, so that at a landing pad they are what they were
 * at the call. Only frames of one activation are searched: an exception that leaves it ends the run, with all frames
 * still in place for the backtrace. Faults are no exceptions: nothing here ever sees them.
 */
#include <string.h>

#include "internal.h"

/** The record of the call that returns to `pc`, or NULL. */
static const struct lucet_landing_record *landing_at(const lucet_module *m, uint64_t pc) {
  uint64_t site = pc - (uint64_t)(uintptr_t)m->text;
  uint32_t low = 0, high = m->meta.landing_count;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (m->meta.landings[mid].site < site)
      low = mid + 1;
    else
      high = mid;
  }
  return low < m->meta.landing_count && m->meta.landings[low].site == site ? &m->meta.landings[low] : NULL;
}

/**
 * The clause that catches exceptions of a tag, from scope to scope outwards, or NULL. Scopes lead to lower numbers
 * (artifact.c).
 */
static const struct lucet_catch_clause_record *clause_for(const struct lucet_instance *i, uint32_t scope, const struct lucet_tag *tag) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t s = scope; s != NONE; s = d->try_scopes[s].parent) {
    const struct lucet_catch_clause_record *c = &d->catch_clauses[d->try_scopes[s].first];
    for (uint32_t k = 0; k < d->try_scopes[s].count; k++)
      if (c[k].tag == NONE || i->tags[c[k].tag] == tag) return &c[k];
  }
  return NULL;
}

/**
 * Find who catches `e`, thrown where `a` called the host. If it is caught, `a` is made to go on at the landing pad.
 *
 * Safety: the landing pad is written into the word below its frame, which belongs to frames that are being left, so it
 * is stack.
 */
static bool find_handler(struct lucet_activation *a, struct lucet_exception *e) {
  struct cursor c;
  for (bool more = lucet_unwind_start(&c, a, NULL); more; more = lucet_unwind_next(&c)) {
    const struct lucet_landing_record *l = landing_at(c.module, c.pc);
    if (l == NULL) continue;
    struct lucet_instance *i = lucet_group_find(a->instance, c.saved[SAVED_BASE]);
    if (i == NULL || i->module != c.module) return false;
    const struct lucet_catch_clause_record *clause = clause_for(i, l->scope, e->tag);
    if (clause == NULL) continue;
    if (!lucet_exception_adopt(i, (uint64_t)(uintptr_t)e)) return false;
    uint64_t pad = (uint64_t)(uintptr_t)c.module->text + l->pad;
    if (!lucet_stack_holds(a, c.frame - 8, 8)) return false;
    memcpy((void *)(uintptr_t)(c.frame - 8), &pad, 8);
    a->guest_rsp = c.frame - 8;
    memcpy(a->saved, c.saved, sizeof a->saved);
    a->result = (uint64_t)(uintptr_t)e;
    a->clause = clause->number;
    return true;
  }
  return false;
}

/** Throw from code that works for the guest, whose state `a` has. */
LUCET_NORETURN static void raise(struct lucet_activation *a, struct lucet_exception *e) {
  if (find_handler(a, e)) lucet_land(a);
  lucet_raise(LUCET_LEFT_EXCEPTION, LUCET_TRAP_UNCAUGHT_EXCEPTION, (uint64_t)(uintptr_t)e);
}

LUCET_NORETURN static void out_of_memory(void) { lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_UNCAUGHT_EXCEPTION, 0); }

void lucet_throw(uint8_t *base, uint64_t tag, const uint64_t *values) {
  struct lucet_activation *a = lucet_current;
  struct lucet_instance *i = instance_of(base);
  struct lucet_exception *e = lucet_exception_make(i, i->tags[tag], values, true);
  if (e == NULL) out_of_memory();
  raise(a, e);
}

void lucet_throw_ref(uint8_t *base, struct lucet_exception *e) {
  (void)base;
  if (e == NULL) lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_NULL_REFERENCE, 0);
  raise(lucet_current, e);
}

void lucet_vmctx_throw(lucet_vmctx *vm, lucet_tag *tag, const uint64_t *values) {
  lucet_exception *e;
  lucet_status status = lucet_exception_new(lucet_vmctx_instance(vm), tag, values, &e, NULL);
  /* As for a result of a host function that is not of its type. */
  if (status == LUCET_ERROR_ARGUMENT) lucet_raise(LUCET_LEFT_TRAP, LUCET_TRAP_CAST_FAILURE, 0);
  if (status != LUCET_OK) out_of_memory();
  lucet_vmctx_rethrow(vm, e);
}

void lucet_vmctx_rethrow(lucet_vmctx *vm, lucet_exception *e) {
  struct lucet_activation *a = lucet_current;
  if (!lucet_exception_adopt(lucet_vmctx_instance(vm), (uint64_t)(uintptr_t)e)) out_of_memory();
  lucet_exception_release(e);
  lucet_hostcall_abandoned(a);
  raise(a, e);
}

bool lucet_throw_suspended(struct lucet_activation *a, struct lucet_exception *e) { return find_handler(a, e); }
