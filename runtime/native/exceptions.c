/**
 * Exceptions and tags as objects.
 *
 * A tag is an identity: what `catch` compares. The instance that defines it and those that import it count it.
 *
 * An exception belongs to a group (group.c): references to it lie in exnref globals and tables of the group's
 * instances, in the payload of other exceptions of the group, on the stacks on which the group's instances run, and
 * with the embedder, who counts his own. They can't be counted in generated code, so what is not reached any more is
 * found by looking: when so many have been made that the looking is paid for, everything reachable is marked, the rest
 * is freed. Stacks are looked at word by word, whatever a word means; a word that looks like the address of an
 * exception keeps it. The exception that was thrown last, in a landing pad, is in a callee-saved register or on the
 * stack when the next one is thrown, or nobody needs it any more.
 *
 * Why stacks of the group's own instances are enough: code of an instance that can make or hold exceptions runs on
 * another instance's stack only if that one imports it, and importing from such a group unites the two (link.c). Where
 * groups come together later in a way that leaves an importer outside, the group's exceptions are kept until it goes.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(struct lucet_exception) == LUCET_EXCEPTION_PAYLOAD, "differs from abi/exceptions.ts");

/** Exceptions, and their bytes, that may be made before it is worth looking for dead ones. */
enum { LEAST_COUNT = 1024 };
#define LEAST_BYTES (1u << 20)
/** Words that may be looked at for each exception that is made. */
enum { WORDS_FOR_EACH = 16 };

/* ---- Tags */

struct lucet_tag *lucet_tag_new(lucet_module *m, uint32_t type) {
  const struct lucet_type_record *t = &m->meta.types[type];
  struct lucet_tag *tag = malloc(sizeof *tag + t->params);
  if (tag == NULL) return NULL;
  atomic_init(&tag->references, 1);
  lucet_module_retain(m);
  tag->module = m;
  tag->type = type;
  tag->sig_id = m->sig_ids[type];
  tag->params = t->params;
  tag->words = 0;
  tag->references_in_payload = false;
  memcpy(tag->types, m->meta.type_bytes + t->bytes, t->params);
  for (uint32_t k = 0; k < t->params; k++) {
    tag->words += tag->types[k] == LUCET_V128 ? 2 : 1;
    if (tag->types[k] == LUCET_EXNREF) tag->references_in_payload = true;
  }
  return tag;
}

void lucet_tag_retain(struct lucet_tag *tag) { atomic_fetch_add(&tag->references, 1); }

void lucet_tag_release(struct lucet_tag *tag) {
  if (tag == NULL || atomic_fetch_sub(&tag->references, 1) != 1) return;
  lucet_module_release(tag->module);
  free(tag);
}

/* ---- The set of a group's exceptions: open addressing by address */

static size_t home_of(const struct exceptions *s, const void *e) { return (size_t)(((uint64_t)(uintptr_t)e >> 4) * 0x9e3779b97f4a7c15u >> s->shift); }

static void insert(struct exceptions *s, struct lucet_exception *e) {
  size_t at = home_of(s, e);
  while (s->slots[at] != NULL) at = (at + 1) & (s->capacity - 1);
  s->slots[at] = e;
}

/** Room for `count` exceptions, at most half full. */
static bool resize(struct exceptions *s, size_t count) {
  size_t capacity = 64;
  unsigned shift = 64 - 6;
  while (capacity < 2 * count) {
    capacity *= 2;
    shift--;
  }
  struct lucet_exception **slots = calloc(capacity, sizeof *slots), **old = s->slots;
  if (slots == NULL) return false;
  size_t n = s->capacity;
  s->slots = slots;
  s->capacity = capacity;
  s->shift = shift;
  for (size_t k = 0; k < n; k++)
    if (old[k] != NULL) insert(s, old[k]);
  free(old);
  return true;
}

static struct lucet_exception *find(const struct exceptions *s, uint64_t word) {
  if (word < s->lowest || word > s->highest) return NULL;
  for (size_t at = home_of(s, (const void *)(uintptr_t)word); s->slots[at] != NULL; at = (at + 1) & (s->capacity - 1))
    if ((uint64_t)(uintptr_t)s->slots[at] == word) return s->slots[at];
  return NULL;
}

static void destroy(struct lucet_exception *e) {
  lucet_tag_release(e->tag);
  free(e);
}

/* ---- Finding the dead ones */

struct marking {
  const struct exceptions *set;
  /** Marked, but the payload has not been looked at. */
  struct lucet_exception *grey;
  uint64_t words;
};

static void mark(struct marking *m, uint64_t word) {
  m->words++;
  struct lucet_exception *e = find(m->set, word);
  if (e == NULL || e->marked) return;
  e->marked = true;
  e->next = m->grey;
  m->grey = e;
}

static void mark_payload(struct marking *m, const struct lucet_exception *e) {
  if (!e->tag->references_in_payload) return;
  const uint64_t *word = e->payload;
  for (uint32_t k = 0; k < e->tag->params; k++) {
    if (e->tag->types[k] == LUCET_EXNREF) mark(m, *word);
    word += e->tag->types[k] == LUCET_V128 ? 2 : 1;
  }
}

/** What the sanitizer takes for a stack of its own kind is only read here. */
__attribute__((no_sanitize("address"))) static void mark_activation(struct marking *m, const struct lucet_activation *a) {
  mark(m, a->result);
  for (size_t k = 0; k < sizeof a->saved / sizeof a->saved[0]; k++) mark(m, a->saved[k]);
  if (a->machine != NULL)
    for (size_t k = 0; k < 16; k++) mark(m, a->machine->registers[k]);
  for (uint64_t at = a->guest_rsp & ~(uint64_t)7; at < a->stack_top; at += 8) mark(m, *(const uint64_t *)(uintptr_t)at);
}

static void mark_instance(struct marking *m, const struct lucet_instance *i) {
  const struct metadata *d = &i->module->meta;
  for (uint32_t k = 0; k < d->global_count; k++)
    if (d->globals[k].type == LUCET_EXNREF && i->globals[k] != NULL) mark(m, *(const uint64_t *)(const void *)i->globals[k]);
  for (uint32_t k = 0; k < d->table_count - d->header->imported_tables; k++) {
    const struct table *t = &i->own_tables[k];
    if (t->desc == NULL || t->element != LUCET_EXNREF) continue;
    for (uint64_t at = 0; at < t->desc->length; at++) mark(m, t->desc->elements[at]);
  }
  for (const struct lucet_activation *a = i->innermost; a != NULL; a = a->outer) mark_activation(m, a);
}

static void sweep(struct exceptions *s) {
  size_t live = 0, bytes = 0;
  struct lucet_exception *kept = NULL;
  for (size_t k = 0; k < s->capacity; k++) {
    struct lucet_exception *e = s->slots[k];
    s->slots[k] = NULL;
    if (e == NULL) continue;
    if (!e->marked) {
      destroy(e);
      continue;
    }
    e->marked = false;
    e->next = kept;
    kept = e;
    live++;
    bytes += sizeof *e + 8 * (size_t)e->tag->words;
  }
  s->lowest = UINT64_MAX;
  s->highest = 0;
  s->count = live;
  s->bytes = bytes;
  for (; kept != NULL; kept = kept->next) {
    insert(s, kept);
    s->lowest = min_u64(s->lowest, (uint64_t)(uintptr_t)kept);
    s->highest = max_u64(s->highest, (uint64_t)(uintptr_t)kept);
  }
}

static void collect(struct group *g) {
  struct exceptions *s = &g->exceptions;
  struct marking m = {.set = s};
  for (size_t k = 0; k < s->capacity; k++) {
    struct lucet_exception *e = s->slots[k];
    if (e != NULL && e->pins != 0) mark(&m, (uint64_t)(uintptr_t)e);
  }
  for (const struct lucet_instance *i = g->members; i != NULL; i = i->group_next) mark_instance(&m, i);
  while (m.grey != NULL) {
    struct lucet_exception *e = m.grey;
    m.grey = e->next;
    mark_payload(&m, e);
  }
  sweep(s);
  size_t paid = (size_t)(m.words / WORDS_FOR_EACH);
  s->next_count = 2 * s->count + LEAST_COUNT;
  if (s->next_count < s->count + paid) s->next_count = s->count + paid;
  s->next_bytes = 2 * s->bytes + LEAST_BYTES;
}

/* ---- Making and keeping */

struct lucet_exception *lucet_exception_make(struct lucet_instance *i, struct lucet_tag *tag, const uint64_t *values, bool may_collect) {
  struct group *g = i->group;
  struct exceptions *s = &g->exceptions;
  size_t size = sizeof(struct lucet_exception) + 8 * (size_t)tag->words;
  if (s->next_count == 0) {
    s->next_count = LEAST_COUNT;
    s->next_bytes = LEAST_BYTES;
    s->lowest = UINT64_MAX;
  }
  if (may_collect && !g->keeps_exceptions && (s->count >= s->next_count || s->bytes + size > s->next_bytes)) collect(g);
  if (2 * (s->count + 1) > s->capacity && !resize(s, s->count + 1)) return NULL;
  struct lucet_exception *e = malloc(size);
  if (e == NULL) return NULL;
  *e = (struct lucet_exception){.tag = tag, .group = g};
  lucet_tag_retain(tag);
  if (tag->words != 0) memcpy(e->payload, values, 8 * (size_t)tag->words);
  insert(s, e);
  s->count++;
  s->bytes += size;
  s->lowest = min_u64(s->lowest, (uint64_t)(uintptr_t)e);
  s->highest = max_u64(s->highest, (uint64_t)(uintptr_t)e);
  return e;
}

void lucet_exceptions_unite(struct group *into, struct group *from) {
  struct exceptions *to = &into->exceptions, *s = &from->exceptions;
  bool room = s->count == 0 || 2 * (to->count + s->count) <= to->capacity || resize(to, to->count + s->count);
  for (size_t k = 0; k < s->capacity; k++) {
    struct lucet_exception *e = s->slots[k];
    if (e == NULL) continue;
    e->group = room ? into : NULL;
    /* Out of memory: in no list, it is never freed. */
    if (room)
      insert(to, e);
    else
      e->pins++;
  }
  if (room && s->count != 0) {
    to->lowest = to->count == 0 ? s->lowest : min_u64(to->lowest, s->lowest);
    to->highest = max_u64(to->highest, s->highest);
    to->count += s->count;
    to->bytes += s->bytes;
    if (to->next_count == 0) {
      to->next_count = s->next_count;
      to->next_bytes = s->next_bytes;
    }
  }
  free(s->slots);
  *s = (struct exceptions){.slots = NULL};
}

void lucet_exceptions_free(struct group *g) {
  struct exceptions *s = &g->exceptions;
  for (size_t k = 0; k < s->capacity; k++) {
    struct lucet_exception *e = s->slots[k];
    if (e == NULL) continue;
    e->group = NULL;
    if (e->pins == 0) destroy(e);
  }
  free(s->slots);
}

bool lucet_exception_adopt(struct lucet_instance *i, uint64_t word) {
  if (word == 0) return true;
  struct lucet_exception *e = (struct lucet_exception *)(uintptr_t)word;
  if (e->group == i->group) return true;
  if (e->group == NULL) return false;
  lucet_group_unite(i, e->group->members);
  return e->group == i->group;
}

/* ---- For the embedder */

lucet_tag *lucet_instance_tag(const lucet_instance *i, uint32_t tag) { return tag < i->module->meta.tag_count ? i->tags[tag] : NULL; }

const uint8_t *lucet_tag_types(const lucet_tag *tag, uint32_t *params) {
  *params = tag->params;
  return tag->types;
}

lucet_status lucet_exception_new(lucet_instance *i, lucet_tag *tag, const uint64_t *values, lucet_exception **exception, lucet_error *error) {
  const uint64_t *word = values;
  /* Who catches it relies on the types of references. */
  if (!lucet_valtypes_hold(i, tag->module, tag->type, false, values))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a value is a reference of another type than the tag takes");
  for (uint32_t k = 0; k < tag->params; k++) {
    if (tag->types[k] == LUCET_FUNCREF && !lucet_group_adopt(i, *word))
      return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a value is a function that can't be linked with the instance: see lucet_region_kind");
    if (tag->types[k] == LUCET_EXNREF && !lucet_exception_adopt(i, *word))
      return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a value is an exception whose instances are gone");
    if (tag->types[k] == LUCET_ANYREF && *word != 0 && lucet_object_find(i, *word) == NULL)
      return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a value is no object that the instance can have");
    word += tag->types[k] == LUCET_V128 ? 2 : 1;
  }
  struct lucet_exception *e = lucet_exception_make(i, tag, values, false);
  if (e == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  e->pins = 1;
  *exception = e;
  return lucet_ok(error);
}

lucet_tag *lucet_exception_tag(const lucet_exception *e) { return e->tag; }
const uint64_t *lucet_exception_values(const lucet_exception *e) { return e->payload; }
void lucet_exception_retain(lucet_exception *e) { e->pins++; }

void lucet_exception_release(lucet_exception *e) {
  if (e != NULL && --e->pins == 0 && e->group == NULL) destroy(e);
}
