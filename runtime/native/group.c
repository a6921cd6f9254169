/**
 * Lifetimes of instances.
 *
 * Function references are bare addresses, in tables, globals, memories of hosts: they can't be counted. So whatever may
 * hold each other's references lives and dies together: a *group*. Linking through something that references can flow
 * back through (a table, a mutable global of type funcref, a function with funcref parameters; the same of type
 * anyref), or handing over a function reference, unites the groups of both sides. So does importing from a group that
 * can throw: see exceptions.c. Any other import is a one-way relation: the importer holds a handle on the exporter's
 * group, so a module that many short-lived instances import from doesn't keep them.
 *
 * A group is freed when no handle to it is left and none of its members runs. Whoever runs an instance has a handle to
 * its group, unless a host function of that very run, on the same thread, gives the last one back: so runs aren't
 * counted, but looked for when the last handle goes. Handles that members of one group hold on each other vanish when
 * the groups are united, or the group would hold itself.
 */
#include <pthread.h>
#include <stdlib.h>

#include "internal.h"

/** Guards membership and what members hold. Never held while guest code or a host function runs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void lucet_group_new(struct lucet_instance *i) {
  struct group *g = &i->own_group;
  g->members = i;
  g->size = 1;
  atomic_init(&g->references, 1);
  g->throws = i->module->throws;
  g->dense_stacks = i->slot->dense;
  g->guarded_code = i->module->meta.header->memory_mode != LUCET_MEMORY_DENSE;
  i->group = g;
}

/**
 * Give back the handles that members hold on their own group. The lock is held; the caller's own handle keeps the
 * group.
 */
static void drop_inner_handles(struct group *g) {
  for (struct lucet_instance *i = g->members; i != NULL; i = i->group_next) {
    uint32_t kept = 0;
    for (uint32_t k = 0; k < i->held_count; k++) {
      if (i->held[k]->group == g) {
        atomic_fetch_sub_explicit(&g->references, 1, memory_order_relaxed);
        g->importers--;
      } else
        i->held[kept++] = i->held[k];
    }
    i->held_count = kept;
  }
}

/**
 * All groups that code of `from` can reach, as a list by `next`; NULL if one that an earlier search found (`visited` is
 * then `found`) is among them. The lock is held.
 */
static struct group *reach_apart_from(struct group *from, uint64_t found) {
  static uint64_t visit;
  if (from->visited == found) return NULL;
  visit++;
  from->visited = visit;
  from->next = NULL;
  for (struct group *g = from; g != NULL; g = g->next) {
    for (const struct lucet_instance *i = g->members; i != NULL; i = i->group_next) {
      for (uint32_t k = 0; k < i->held_count; k++) {
        struct group *other = i->held[k]->group;
        if (other->visited == visit) continue;
        if (other->visited == found) return NULL;
        other->visited = visit;
        /* Behind the one that is looked at: it is looked at next. */
        other->next = g->next;
        g->next = other;
      }
    }
  }
  return from;
}

static struct group *reach(struct group *from) { return reach_apart_from(from, UINT64_MAX); }

bool lucet_groups_meet(struct group *a, struct group *b) {
  if (a == b) return true;
  if (!atomic_load(&a->holds) && !atomic_load(&b->holds)) return false;
  pthread_mutex_lock(&lock);
  bool meet = reach_apart_from(b, reach(a)->visited) == NULL;
  pthread_mutex_unlock(&lock);
  return meet;
}

/**
 * Sandbox argument. Code that was compiled for guarded memory doesn't look at the stack's limit, and a dense slot's
 * stack has nothing below it that would stop it. It is kept from dense regions (instance.c), and here from being
 * linked, directly or by way of others, with an instance whose stack is dense: calls among linked instances run on the
 * caller's stack. The lock is held.
 * @returns false when code of `g` can't run there
 */
static bool allow_dense_stacks(struct group *g) {
  if (g->dense_stacks) return true;
  struct group *all = reach(g);
  for (const struct group *x = all; x != NULL; x = x->next)
    if (x->guarded_code) return false;
  for (struct group *x = all; x != NULL; x = x->next) x->dense_stacks = true;
  return true;
}

bool lucet_group_keeps_modes(const struct lucet_instance *i) {
  return (i->module->meta.header->flags & LUCET_MODULE_FLAG_NO_FLOATS) != 0 && i->group->size == 1 && i->held_count == 0;
}

/**
 * A member of `g` may come to run code of others: if its calls have left the floating-point modes alone, these matter
 * now.
 */
static void join(struct group *g) {
  if (g->size != 1 || !lucet_group_keeps_modes(g->members)) return;
  lucet_call_unready(g->members);
  lucet_modes_matter();
}

/**
 * The group goes when the run that is under way on this thread has ended: its members' runs look for that at their
 * ends.
 */
static void condemn(struct group *g) {
  atomic_store(&g->dying, true);
  for (struct lucet_instance *i = g->members; i != NULL; i = i->group_next) lucet_call_unready(i);
}

bool lucet_group_unite(struct lucet_instance *a, struct lucet_instance *b) {
  pthread_mutex_lock(&lock);
  struct group *into = a->group, *from = b->group;
  bool allowed = (!into->dense_stacks && !from->dense_stacks) || (allow_dense_stacks(into) && allow_dense_stacks(from));
  if (into != from && allowed) {
    join(into);
    join(from);
    if (into->size < from->size) {
      into = b->group;
      from = a->group;
    }
    struct lucet_instance *last = from->members;
    for (struct lucet_instance *i = from->members; i != NULL; i = i->group_next) {
      i->group = into;
      last = i;
    }
    last->group_next = into->members;
    into->members = from->members;
    into->size += from->size;
    atomic_fetch_add_explicit(&into->references, atomic_exchange_explicit(&from->references, 0, memory_order_relaxed), memory_order_relaxed);
    if (atomic_load(&from->dying) || atomic_load(&into->dying)) condemn(into);
    into->importers += from->importers;
    into->guarded_code |= from->guarded_code;
    if (atomic_load(&from->holds)) atomic_store(&into->holds, true);
    into->throws |= from->throws;
    into->keeps_exceptions |= from->keeps_exceptions;
    lucet_exceptions_unite(into, from);
    drop_inner_handles(into);
    if (into->throws && into->importers != 0) into->keeps_exceptions = true;
  }
  pthread_mutex_unlock(&lock);
  return allowed;
}

lucet_status lucet_group_hold(struct lucet_instance *i, struct lucet_instance *other) {
  pthread_mutex_lock(&lock);
  bool held = i->group == other->group;
  for (uint32_t k = 0; !held && k < i->held_count; k++) held = i->held[k]->group == other->group;
  if (!held && i->group->dense_stacks && !allow_dense_stacks(other->group)) {
    pthread_mutex_unlock(&lock);
    return LUCET_ERROR_LINK;
  }
  if (!held) {
    struct lucet_instance **grown = realloc(i->held, (i->held_count + 1) * sizeof *grown);
    if (grown != NULL) {
      join(i->group);
      grown[i->held_count++] = other;
      i->held = grown;
      atomic_store(&i->group->holds, true);
      atomic_fetch_add_explicit(&other->group->references, 1, memory_order_relaxed);
      other->group->importers++;
      held = true;
    }
  }
  pthread_mutex_unlock(&lock);
  return held ? LUCET_OK : LUCET_ERROR_RESOURCES;
}

bool lucet_group_adopt(struct lucet_instance *i, uint64_t funcref) {
  if (funcref == 0) return true;
  struct lucet_instance *other = instance_of(funcref_of(funcref)->vmctx);
  return other->group == i->group || lucet_group_unite(i, other);
}

/** Does a member run? If so, on this thread. */
static bool runs(const struct group *g) {
  for (const struct lucet_instance *i = g->members; i != NULL; i = i->group_next)
    if (i->innermost != NULL && i->innermost->state == ACTIVATION_RUNNING) return true;
  return false;
}

/** Give one reference back; true if it was the last: the group is the caller's to free. */
static bool drop(struct group *g) {
  if (atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1) return false;
  if (!runs(g)) return true;
  condemn(g);
  return false;
}

/** Free the group, and those that only it held. Nobody else can reach it any more. */
static void bury(struct group *dead) {
  dead->next = NULL;
  while (dead != NULL) {
    struct group *g = dead;
    dead = g->next;
    lucet_exceptions_free(g);
    for (struct lucet_instance *i = g->members; i != NULL;) {
      struct lucet_instance *next = i->group_next;
      if (i->held_count != 0) {
        pthread_mutex_lock(&lock);
        for (uint32_t k = 0; k < i->held_count; k++) {
          struct group *other = i->held[k]->group;
          other->importers--;
          if (drop(other)) {
            other->next = dead;
            dead = other;
          }
        }
        pthread_mutex_unlock(&lock);
      }
      /* With the instance that it lies in, the group's own record goes back to its slot: it isn't used again here. */
      lucet_instance_free(i);
      i = next;
    }
  }
}

void lucet_group_leave(struct lucet_instance *i) {
  struct group *g = i->group;
  if (runs(g)) return;
  atomic_store(&g->dying, false);
  bury(g);
}

void lucet_instance_retain(lucet_instance *i) { atomic_fetch_add_explicit(&i->group->references, 1, memory_order_relaxed); }

void lucet_instance_release(lucet_instance *i) {
  if (i != NULL && drop(i->group)) bury(i->group);
}

bool lucet_group_any(struct lucet_instance *i, bool (*holds)(struct lucet_instance *, const void *), const void *data) {
  if (holds(i, data)) return true;
  bool found = false;
  pthread_mutex_lock(&lock);
  for (struct group *g = reach(i->group); g != NULL && !found; g = g->next)
    for (struct lucet_instance *member = g->members; member != NULL && !found; member = member->group_next) found = holds(member, data);
  pthread_mutex_unlock(&lock);
  return found;
}

bool lucet_group_alone(const struct lucet_instance *i) {
  pthread_mutex_lock(&lock);
  bool alone = i->group->size == 1 && i->group->importers == 0;
  pthread_mutex_unlock(&lock);
  return alone;
}

struct lucet_instance *lucet_group_find(struct lucet_instance *from, uint64_t base) {
  if ((uint64_t)(uintptr_t)from->base == base) return from;
  struct lucet_instance *found = NULL;
  pthread_mutex_lock(&lock);
  for (struct group *g = reach(from->group); g != NULL && found == NULL; g = g->next)
    for (struct lucet_instance *i = g->members; i != NULL; i = i->group_next)
      if ((uint64_t)(uintptr_t)i->base == base) found = i;
  pthread_mutex_unlock(&lock);
  return found;
}
