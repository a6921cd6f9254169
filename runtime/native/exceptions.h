/** Tags and exceptions (exceptions.c), and how they are thrown (throw.c). */
#ifndef LUCET_EXCEPTIONS_H
#define LUCET_EXCEPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucet.h"

struct group;
struct lucet_activation;

struct lucet_tag {
  atomic_uint references;
  /** Where it was defined, and the number of its type there. Counted. */
  lucet_module *module;
  uint32_t type;
  uint32_t sig_id;
  uint32_t params;
  /** Of the payload. */
  uint32_t words;
  /** There are exnrefs in it. */
  bool references_in_payload;
  /** lucet_valtype of each value. */
  uint8_t types[];
};

struct lucet_exception {
  struct lucet_tag *tag;
  /** NULL: it is gone, the embedder still holds the exception. */
  struct group *group;
  /** While dead ones are looked for. */
  struct lucet_exception *next;
  /** The embedder's references. */
  uint64_t pins;
  bool marked;
  uint64_t reserved;
  uint64_t payload[];
};

/** Those of a group: a hash table by address. */
struct exceptions {
  struct lucet_exception **slots;
  size_t capacity;
  unsigned shift;
  size_t count;
  size_t bytes;
  /** When dead ones are to be looked for. */
  size_t next_count;
  size_t next_bytes;
  /** All addresses lie between. */
  uint64_t lowest;
  uint64_t highest;
};

/** NULL: out of memory. */
struct lucet_tag *lucet_tag_new(lucet_module *m, uint32_t type);
void lucet_tag_retain(struct lucet_tag *tag);
/** NULL is allowed. */
void lucet_tag_release(struct lucet_tag *tag);
/** NULL: out of memory. `may_collect`: all that `values` refer to is known to the group. */
struct lucet_exception *lucet_exception_make(struct lucet_instance *i, struct lucet_tag *tag, const uint64_t *values, bool may_collect);
/**
 * A reference to an exception, or null, was handed to `i`. False: the group that it belonged to is gone, or out of
 * memory.
 */
bool lucet_exception_adopt(struct lucet_instance *i, uint64_t word);
/** Move them over. */
void lucet_exceptions_unite(struct group *into, struct group *from);
void lucet_exceptions_free(struct group *g);

LUCET_NORETURN void lucet_throw(uint8_t *base, uint64_t tag, const uint64_t *values);
LUCET_NORETURN void lucet_throw_ref(uint8_t *base, struct lucet_exception *e);
/**
 * Throw where `a`, suspended, called the host: true if it is caught, and `a` goes on at the landing pad when it
 * returns.
 */
bool lucet_throw_suspended(struct lucet_activation *a, struct lucet_exception *e);

#endif
