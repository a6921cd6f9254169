/**
 * Process-wide ids of types: equal types have equal ids, whatever module they come from, so an indirect call compares
 * two numbers. Modules hold their ids; an id without holder is given to the next new type.
 *
 * The table is one for all modules of a process, strangers' among them. So its hash has a random key, without which
 * nobody can make types that collide, and it has at least as many chains as types: finding one takes one or two
 * comparisons, whatever the types. What is left of a type without holder is its record, which the next takes.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "internal.h"

struct signature {
  /** Next in the hash chain, or in the list of free ids; 0 ends it. */
  uint32_t next;
  uint32_t references;
  uint64_t hash;
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
/** Types that have holders. */
static uint32_t held;
/** First ids of the chains; a power of two of them, or 0. */
static uint32_t *chains, chain_count;
static uint64_t compared;
static uint64_t key[2];

static void make_key(void) {
  if (getrandom(key, sizeof key, GRND_NONBLOCK) == sizeof key) return;
  /* Where that is forbidden: 16 random bytes that the system gives every process. */
  const void *random = (const void *)getauxval(AT_RANDOM);
  if (random != NULL) memcpy(key, random, sizeof key);
}

static uint64_t rotated(uint64_t x, int n) { return x << n | x >> (64 - n); }

static void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = rotated(v[1], 13) ^ v[0];
  v[0] = rotated(v[0], 32);
  v[2] += v[3];
  v[3] = rotated(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotated(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotated(v[1], 17) ^ v[2];
  v[2] = rotated(v[2], 32);
}

/** SipHash-1-3 (Aumasson, Bernstein: SipHash: a fast short-input PRF) of the number of parameters and the types. */
static uint64_t hash_of(const uint8_t *types, uint32_t params, uint32_t n) {
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
  uint64_t word = params;
  /* Words: the number of parameters, all types, and the length with what does not fill a word. */
  for (uint32_t at = 0;; at += 8) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    if (n - at < 8) {
      word = (uint64_t)n << 56;
      for (uint32_t i = at; i < n; i++) word |= (uint64_t)types[i] << 8 * (i - at);
      break;
    }
    memcpy(&word, types + at, 8);
  }
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/** An unused record; 0: out of memory. */
static uint32_t take(void) {
  if (first_free != 0) {
    uint32_t id = first_free;
    first_free = all[id].next;
    return id;
  }
  if (count >= capacity) {
    if (capacity > UINT32_MAX / 2) return 0;
    uint32_t wanted = capacity == 0 ? 64 : capacity * 2;
    struct signature *grown = realloc(all, wanted * sizeof *grown);
    if (grown == NULL) return 0;
    all = grown;
    capacity = wanted;
  }
  return count++;
}

static uint32_t *chain_of(uint64_t hash) { return &chains[hash & (chain_count - 1)]; }

/** Room for one more type: as many chains as types. False: there are none at all; too few only cost time. */
static bool grow_chains(void) {
  if (held < chain_count || chain_count > UINT32_MAX / 2) return true;
  uint32_t wanted = chain_count == 0 ? 64 : chain_count * 2, *old = chains, old_count = chain_count;
  uint32_t *grown = calloc(wanted, sizeof *grown);
  if (grown == NULL) return chains != NULL;
  chains = grown;
  chain_count = wanted;
  for (uint32_t i = 0; i < old_count; i++) {
    for (uint32_t id = old[i], next; id != 0; id = next) {
      next = all[id].next;
      uint32_t *chain = chain_of(all[id].hash);
      all[id].next = *chain;
      *chain = id;
    }
  }
  free(old);
  return true;
}

static uint32_t intern(const uint8_t *types, uint32_t params, uint32_t results) {
  if (chains == NULL) make_key();
  if (!grow_chains()) return 0;
  uint32_t n = params + results;
  uint64_t hash = hash_of(types, params, n);
  uint32_t *chain = chain_of(hash);
  for (uint32_t id = *chain; id != 0; id = all[id].next) {
    struct signature *s = &all[id];
    compared++;
    if (s->hash == hash && s->params == params && s->results == results && memcmp(s->types, types, n) == 0) {
      if (s->references == UINT32_MAX) return 0;
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
  all[id] = (struct signature){.next = *chain, .references = 1, .hash = hash, .params = params, .results = results, .types = copy};
  *chain = id;
  held++;
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
    uint32_t *link = chain_of(s->hash);
    while (*link != id) link = &all[*link].next;
    *link = s->next;
    free(s->types);
    s->types = NULL;
    s->next = first_free;
    first_free = id;
    held--;
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

void lucet_signature_counts(struct signature_counts *c) {
  pthread_mutex_lock(&lock);
  *c = (struct signature_counts){.held = held, .records = count - 1, .compared = compared};
  pthread_mutex_unlock(&lock);
}
