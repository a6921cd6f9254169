/** Embed contexts. Each instance has few, so they are a list that is searched from its start. */
#include <stdlib.h>

#include "internal.h"

static struct embed_entry *find(const lucet_instance *i, const void *key) {
  for (uint32_t k = 0; k < i->embed_count; k++)
    if (i->embed[k].key == key) return &i->embed[k];
  return NULL;
}

lucet_status lucet_instance_embed_insert(lucet_instance *i, const void *key, void *value, void (*drop)(void *value)) {
  struct embed_entry *e = find(i, key);
  if (e != NULL) {
    struct embed_entry old = *e;
    e->value = value;
    e->drop = drop;
    if (old.drop != NULL) old.drop(old.value);
    return LUCET_OK;
  }
  struct embed_entry *grown = realloc(i->embed, ((size_t)i->embed_count + 1) * sizeof *grown);
  if (grown == NULL) return LUCET_ERROR_RESOURCES;
  i->embed = grown;
  grown[i->embed_count++] = (struct embed_entry){.key = key, .value = value, .drop = drop};
  return LUCET_OK;
}

void *lucet_instance_embed_get(const lucet_instance *i, const void *key) {
  const struct embed_entry *e = find(i, key);
  return e != NULL ? e->value : NULL;
}

void *lucet_instance_embed_remove(lucet_instance *i, const void *key) {
  struct embed_entry *e = find(i, key);
  if (e == NULL) return NULL;
  void *value = e->value;
  *e = i->embed[--i->embed_count];
  return value;
}

void lucet_embed_free(struct lucet_instance *i) {
  /* A drop function may still look at the others. */
  while (i->embed_count != 0) {
    struct embed_entry e = i->embed[--i->embed_count];
    if (e.drop != NULL) e.drop(e.value);
  }
  free(i->embed);
  i->embed = NULL;
}
