/**
 * Process-wide ids of types: equal types have equal ids, whatever module they come from, so an indirect call compares two
 * numbers. Modules hold their ids; an id without holder is given to the next new type.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct signature {
  /** Next in the hash chain, or in the list of free ids; 0 ends it. */
  uint32_t next;
  uint32_t references;
  uint32_t hash;
  uint32_t params;
  uint32_t results;
  /** Id of the type directly above, or 0. */
  uint32_t super;
  uint8_t *types;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/** Indexed by id; id 0 is no type. */
static struct signature *all;
static uint32_t count = 1, capacity, first_free;
enum { BUCKETS = 4096 };
static uint32_t buckets[BUCKETS];

static uint32_t hash_of(const uint8_t *types, uint32_t params, uint32_t n) {
  uint32_t h = 2166136261u ^ params;
  for (uint32_t i = 0; i < n; i++) h = (h ^ types[i]) * 16777619u;
  return h;
}

/** An unused record; 0: out of memory. */
static uint32_t take(void) {
  if (first_free != 0) {
    uint32_t id = first_free;
    first_free = all[id].next;
    return id;
  }
  if (count >= capacity) {
    uint32_t wanted = capacity == 0 ? 64 : capacity * 2;
    struct signature *grown = realloc(all, wanted * sizeof *grown);
    if (grown == NULL) return 0;
    all = grown;
    capacity = wanted;
  }
  return count++;
}

static uint32_t intern(const uint8_t *types, uint32_t params, uint32_t results) {
  uint32_t n = params + results, hash = hash_of(types, params, n), *bucket = &buckets[hash % BUCKETS];
  for (uint32_t id = *bucket; id != 0; id = all[id].next) {
    struct signature *s = &all[id];
    if (s->hash == hash && s->params == params && s->results == results && memcmp(s->types, types, n) == 0) {
      s->references++;
      return id;
    }
  }
  uint8_t *copy = malloc((size_t)n + 1);
  uint32_t id = copy != NULL ? take() : 0;
  if (id == 0) {
    free(copy);
    return 0;
  }
  memcpy(copy, types, n);
  all[id] = (struct signature){.next = *bucket, .references = 1, .hash = hash, .params = params, .results = results, .types = copy};
  *bucket = id;
  return id;
}

uint32_t lucet_signature_intern(const uint8_t *types, uint32_t params, uint32_t results) {
  pthread_mutex_lock(&lock);
  uint32_t id = intern(types, params, results);
  pthread_mutex_unlock(&lock);
  return id;
}

void lucet_signature_release(uint32_t id) {
  pthread_mutex_lock(&lock);
  struct signature *s = &all[id];
  if (--s->references == 0) {
    uint32_t *link = &buckets[s->hash % BUCKETS];
    while (*link != id) link = &all[*link].next;
    *link = s->next;
    free(s->types);
    s->types = NULL;
    s->next = first_free;
    first_free = id;
  }
  pthread_mutex_unlock(&lock);
}

void lucet_signature_set_super(uint32_t id, uint32_t super) {
  pthread_mutex_lock(&lock);
  all[id].super = super;
  pthread_mutex_unlock(&lock);
}

bool lucet_signature_matches(uint32_t id, uint32_t other) {
  if (id == other) return true;
  pthread_mutex_lock(&lock);
  while (id != 0 && id != other) id = all[id].super;
  pthread_mutex_unlock(&lock);
  return id == other;
}
