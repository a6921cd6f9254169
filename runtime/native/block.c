/**
 * Calls by way of a block of memory: for embedders in languages in which each argument of a foreign call takes longer
 * than the whole call here.
 */
#include <string.h>

#include "internal.h"

static lucet_call_block *block_at(double address) { return (lucet_call_block *)(uintptr_t)address; }

void lucet_block_tell(lucet_call_block *b) {
  b->words = LUCET_NO_WORDS;
  if (b->status != LUCET_OK || b->event.kind != LUCET_EVENT_HOSTCALL || b->event.words > LUCET_BLOCK_WORDS) return;
  b->words = (uint32_t)b->event.words;
  memcpy(b->args, b->event.args, b->event.words * sizeof *b->args);
}

void lucet_block_call(double address) {
  lucet_call_block *b = block_at(address);
  b->status = lucet_instance_call((lucet_instance *)(uintptr_t)b->instance, (const lucet_funcref *)(uintptr_t)b->function, b->args, &b->event, &b->error);
  lucet_block_tell(b);
}

void lucet_block_resume(double address) {
  lucet_call_block *b = block_at(address);
  struct lucet_instance *i = (lucet_instance *)(uintptr_t)b->instance;
  const struct lucet_activation *a = i->innermost;
  if (b->words != LUCET_NO_WORDS && a != NULL && a->state == ACTIVATION_SUSPENDED && a->waits == LUCET_EVENT_HOSTCALL) {
    const lucet_module *m = instance_of(a->host_base)->module;
    uint64_t room = m->type_words[m->meta.functions[a->host_import].type];
    memcpy(a->host_args, b->args, min_u64(min_u64(b->words, room), LUCET_BLOCK_WORDS) * sizeof *b->args);
  }
  b->status = lucet_instance_resume(i, &b->event, &b->error);
  lucet_block_tell(b);
}
