/** What tests of regions and slots have in common: guests, regions and instances of each kind. */
#ifndef LUCET_TEST_SLOTS_H
#define LUCET_TEST_SLOTS_H

#include <stdint.h>
#include <stdlib.h>

#include "../internal.h"
#include "check.h"
#include "guest.h"

#define USABLE __attribute__((unused))

static lucet_error error;

static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)vm;
  (void)args;
  (void)data;
}

static const lucet_import IMPORTS[] = {
    {.kind = LUCET_IMPORT_NATIVE, .function = native_import, .signature = "i:i"},
    {.kind = LUCET_IMPORT_HOSTCALL, .id = 77, .signature = "I:I"},
};

USABLE static lucet_module *guest(const struct guest_options *o) {
  size_t size;
  uint8_t *file = guest_artifact_of(o, &size);
  lucet_module *m = NULL;
  CHECK(lucet_module_load_bytes(file, size, &m, &error) == LUCET_OK);
  free(file);
  return m;
}

USABLE static lucet_region *region_of(lucet_region_kind kind, uint32_t capacity, lucet_slot_strategy strategy) {
  lucet_region *r = NULL;
  const lucet_region_options o = {.kind = kind, .strategy = strategy};
  CHECK(lucet_region_create_with(capacity, &o, &r, &error) == LUCET_OK);
  return r;
}

USABLE static lucet_instance *instance(lucet_region *r, lucet_module *m) {
  lucet_instance *i = NULL;
  if (lucet_instance_new(r, m, IMPORTS, 2, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return i;
}

static const lucet_region_kind KINDS[] = {LUCET_REGION_GUARDED, LUCET_REGION_DENSE};
USABLE static uint32_t mode(lucet_region_kind kind) { return kind == LUCET_REGION_DENSE ? LUCET_MEMORY_DENSE : LUCET_MEMORY_GUARDED; }

#endif
