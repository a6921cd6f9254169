/**
 * Which free slot the next instance gets.
 *
 * LINEAR prefers, in this order: the slot that was last given back by an instance of the same module (its pages are in
 * the processor's caches and hold the module's image); a slot that has never been used, as long as few are kept for
 * other modules; the slot that has been free for longest. RANDOM and CUSTOM choose among all free slots, and pay for a
 * cold one.
 *
 * The region's lock is held by the callers.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "internal.h"

/** How many free slots are kept for modules that may come again, before one of them is given to another module. */
#define MOST_KEPT 64

bool lucet_free_slots_init(struct free_slots *f, struct slot *slots, uint32_t capacity, const lucet_region_options *options) {
  *f = (struct free_slots){
      .strategy = options->strategy, .chooser = options->chooser, .chooser_data = options->chooser_data, .slots = slots, .capacity = capacity};
  if (f->strategy == LUCET_SLOTS_LINEAR) return true;
  f->numbers = malloc(capacity * sizeof *f->numbers);
  if (f->numbers == NULL) return false;
  for (uint32_t i = 0; i < capacity; i++) f->numbers[i] = i;
  f->count = capacity;
  /* What it is for is that guests can't tell where others are. Without entropy it is merely a permutation. */
  if (getrandom(&f->random, sizeof f->random, GRND_NONBLOCK) != sizeof f->random) f->random = (uint64_t)(uintptr_t)f;
  return true;
}

void lucet_free_slots_destroy(struct free_slots *f) { free(f->numbers); }

static struct slot **warm_list(struct free_slots *f, uint64_t serial) { return &f->warm[serial % WARM_LISTS]; }

static void unlink_slot(struct free_slots *f, struct slot *s) {
  if (s->newer != NULL) s->newer->older = s->older;
  else f->newest = s->older;
  if (s->older != NULL) s->older->newer = s->newer;
  else f->oldest = s->newer;
  if (s->warm_newer != NULL) s->warm_newer->warm_older = s->warm_older;
  else *warm_list(f, s->warm) = s->warm_older;
  if (s->warm_older != NULL) s->warm_older->warm_newer = s->warm_newer;
  f->kept--;
}

static struct slot *take_linear(struct free_slots *f, uint64_t serial) {
  struct slot *s = *warm_list(f, serial);
  while (s != NULL && s->warm != serial) s = s->warm_older;
  if (s == NULL && f->fresh < f->capacity && (f->kept < MOST_KEPT || f->oldest == NULL)) return &f->slots[f->fresh++];
  if (s == NULL) s = f->oldest;
  unlink_slot(f, s);
  return s;
}

/** splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

struct slot *lucet_free_slots_take(struct free_slots *f, uint64_t serial) {
  if (f->strategy == LUCET_SLOTS_LINEAR) return take_linear(f, serial);
  uint32_t at = 0;
  if (f->strategy == LUCET_SLOTS_RANDOM)
    at = (uint32_t)(next_random(&f->random) % f->count);
  else
    at = f->chooser(f->numbers, f->count, f->chooser_data) % f->count;
  struct slot *s = &f->slots[f->numbers[at]];
  f->numbers[at] = f->numbers[--f->count];
  return s;
}

void lucet_free_slots_give(struct free_slots *f, struct slot *s) {
  if (f->strategy != LUCET_SLOTS_LINEAR) {
    f->numbers[f->count++] = s->number;
    return;
  }
  s->newer = NULL;
  s->older = f->newest;
  if (f->newest != NULL) f->newest->newer = s;
  else f->oldest = s;
  f->newest = s;
  struct slot **list = warm_list(f, s->warm);
  s->warm_newer = NULL;
  s->warm_older = *list;
  if (*list != NULL) (*list)->warm_newer = s;
  *list = s;
  f->kept++;
}
