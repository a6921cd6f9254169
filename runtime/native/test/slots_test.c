/**
 * Regions and slots: limits, strategies, reuse, resetting, embed contexts.
 *
 *     slots_test                all, with few reuses
 *     slots_test leaks N        no byte of one guest reaches another, over N reuses in each kind of region
 *     slots_test threads N      N rounds of making and releasing on four threads (for the thread sanitizer)
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slots.h"
#include "system.h"

/* ---- Limits */

/** What creating a region with `change` made to the defaults gives. */
static lucet_status create(lucet_region_kind kind, void (*change)(lucet_limits *)) {
  lucet_limits l;
  if (kind == LUCET_REGION_DENSE) lucet_limits_default_dense(&l);
  else lucet_limits_default(&l);
  change(&l);
  const lucet_region_options o = {.kind = kind, .limits = &l};
  lucet_region *r = NULL;
  lucet_status status = lucet_region_create_with(4, &o, &r, &error);
  CHECK((status == LUCET_OK) == (r != NULL));
  lucet_region_release(r);
  return status;
}

static void nothing(lucet_limits *l) { (void)l; }
static void small_stack(lucet_limits *l) { l->stack_size = (16u << 10) - 1; }
static void least_stack(lucet_limits *l) { l->stack_size = 16u << 10; }
static void huge_stack(lucet_limits *l) { l->stack_size = UINT64_MAX; }
static void no_vmctx(lucet_limits *l) { l->vmctx_size = 0; }
static void huge_vmctx(lucet_limits *l) { l->vmctx_size = UINT64_MAX - 4095; }
static void huge_heap(lucet_limits *l) { l->heap_memory_size = l->heap_address_space_size = ((uint64_t)1 << 46) + 1; }
static void heap_above_space(lucet_limits *l) { l->heap_memory_size = l->heap_address_space_size + 1; }
static void huge_table(lucet_limits *l) { l->table_elements = UINT64_MAX; }
static void many_bytes(lucet_limits *l) { l->heap_memory_size = (uint64_t)1 << 45; }

static void test_region_limits(void) {
  for (int k = 0; k < 2; k++) {
    CHECK(create(KINDS[k], nothing) == LUCET_OK);
    CHECK(create(KINDS[k], least_stack) == LUCET_OK);
    CHECK(create(KINDS[k], small_stack) == LUCET_ERROR_ARGUMENT);
    CHECK(create(KINDS[k], huge_stack) == LUCET_ERROR_ARGUMENT);
    CHECK(create(KINDS[k], no_vmctx) == LUCET_ERROR_ARGUMENT);
    CHECK(create(KINDS[k], huge_vmctx) == LUCET_ERROR_ARGUMENT);
    CHECK(create(KINDS[k], huge_heap) == LUCET_ERROR_ARGUMENT);
    CHECK(create(KINDS[k], huge_table) == LUCET_ERROR_ARGUMENT);
  }
  CHECK(create(LUCET_REGION_GUARDED, heap_above_space) == LUCET_ERROR_ARGUMENT);
  /* Four such slots exceed the address space; one wouldn't. */
  CHECK(create(LUCET_REGION_DENSE, many_bytes) == LUCET_ERROR_ARGUMENT);
  lucet_region *r;
  CHECK(lucet_region_create(0, NULL, &r, &error) == LUCET_ERROR_ARGUMENT);
  const lucet_region_options no_kind = {.kind = 7}, no_chooser = {.strategy = LUCET_SLOTS_CUSTOM};
  CHECK(lucet_region_create_with(1, &no_kind, &r, &error) == LUCET_ERROR_ARGUMENT);
  CHECK(lucet_region_create_with(1, &no_chooser, &r, &error) == LUCET_ERROR_ARGUMENT);
}

/** Makes an instance in a region with such limits. */
static lucet_status fits(lucet_region_kind kind, lucet_module *m, lucet_limits l, const lucet_instance_options *options) {
  const lucet_region_options o = {.kind = kind, .limits = &l};
  lucet_region *r;
  lucet_instance *i = NULL;
  CHECK(lucet_region_create_with(1, &o, &r, &error) == LUCET_OK);
  lucet_status status = lucet_instance_new_with(r, m, IMPORTS, 2, options, &i, &error);
  CHECK(lucet_region_used_slots(r) == (status == LUCET_OK) && lucet_region_free_slots(r) == (status != LUCET_OK));
  if (status == LUCET_OK) lucet_instance_release(i);
  CHECK(lucet_region_used_slots(r) == 0);
  lucet_region_release(r);
  return status;
}

static void test_instance_limits(void) {
  for (int k = 0; k < 2; k++) {
    lucet_module *m = guest(&(struct guest_options){.memory_mode = mode(KINDS[k]), .pages = 2, .data_offset = 0x1fff0, .data_length = 16});
    lucet_limits l;
    if (k == 1) lucet_limits_default_dense(&l);
    else lucet_limits_default(&l);
    CHECK(fits(KINDS[k], m, l, NULL) == LUCET_OK);
    lucet_limits x = l;
    x.heap_memory_size = (2u << 16) - 1;
    CHECK(fits(KINDS[k], m, x, NULL) == LUCET_ERROR_LIMIT);
    x.heap_memory_size = 2u << 16;
    CHECK(fits(KINDS[k], m, x, NULL) == LUCET_OK);
    x = l;
    x.table_elements = 3;
    CHECK(fits(KINDS[k], m, x, NULL) == LUCET_ERROR_LIMIT);
    x.table_elements = 4;
    CHECK(fits(KINDS[k], m, x, NULL) == LUCET_OK);
    const lucet_instance_options small_heap = {.heap_memory_size = (2u << 16) - 1}, small_table = {.table_elements = 3};
    CHECK(fits(KINDS[k], m, l, &small_heap) == LUCET_ERROR_LIMIT);
    CHECK(fits(KINDS[k], m, l, &small_table) == LUCET_ERROR_LIMIT);

    lucet_region *r = region_of(KINDS[k], 1, LUCET_SLOTS_LINEAR);
    const lucet_instance_options three = {.heap_memory_size = 3u << 16, .table_elements = 5, .data = &error};
    lucet_instance *i;
    CHECK(lucet_instance_new_with(r, m, IMPORTS, 2, &three, &i, &error) == LUCET_OK && lucet_instance_data(i) == &error);
    CHECK(lucet_instance_memory_grow(i, 0, 2) == -1 && lucet_instance_memory_grow(i, 0, 1) == 2 && lucet_instance_memory_grow(i, 0, 1) == -1);
    CHECK(lucet_instance_table_grow(i, 0, 2, 0) == -1 && lucet_instance_table_grow(i, 0, 1, 0) == 4);
    /* Resetting keeps the limits. */
    CHECK(lucet_instance_reset(i, &error) == LUCET_OK);
    CHECK(lucet_instance_memory_grow(i, 0, 2) == -1 && lucet_instance_memory_grow(i, 0, 1) == 2);
    lucet_instance_release(i);
    /* Larger than the region's: the region's count. */
    const lucet_instance_options large = {.heap_memory_size = UINT64_MAX, .table_elements = UINT64_MAX};
    CHECK(lucet_instance_new_with(r, m, IMPORTS, 2, &large, &i, &error) == LUCET_OK);
    CHECK(lucet_instance_memory_grow(i, 0, 2) == 2 && lucet_instance_memory_grow(i, 0, 1) == -1);
    lucet_instance_release(i);
    lucet_region_release(r);
    lucet_module_release(m);
  }
  /* Code without checks must not get into a dense region. */
  lucet_module *m = guest(&GUEST_PLAIN);
  lucet_limits l;
  lucet_limits_default_dense(&l);
  l.heap_memory_size = (uint64_t)16 << 30;
  CHECK(fits(LUCET_REGION_DENSE, m, l, NULL) == LUCET_ERROR_LIMIT);
  lucet_module_release(m);
}

/* ---- Strategies */

static uint32_t last(const uint32_t *free_slots, uint32_t count, void *data) {
  uint32_t *seen = data, best = 0;
  *seen = count;
  for (uint32_t k = 1; k < count; k++)
    if (free_slots[k] > free_slots[best]) best = k;
  return best;
}

static void test_strategies(void) {
  lucet_module *m = guest(&GUEST_PLAIN), *other = guest(&GUEST_PLAIN);
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 8, LUCET_SLOTS_LINEAR);
  lucet_instance *a = instance(r, m), *b = instance(r, m), *c = instance(r, other);
  CHECK(lucet_instance_slot(a) == 0 && lucet_instance_slot(b) == 1 && lucet_instance_slot(c) == 2);
  lucet_instance_release(a);
  lucet_instance_release(c);
  lucet_instance_release(b);
  /* The one that the module used last, though another was given back between; then the one before. */
  a = instance(r, m);
  b = instance(r, m);
  c = instance(r, other);
  CHECK(lucet_instance_slot(a) == 1 && lucet_instance_slot(b) == 0 && lucet_instance_slot(c) == 2);
  lucet_instance_release(a);
  lucet_instance_release(b);
  lucet_instance_release(c);
  lucet_region_release(r);

  uint32_t seen = 0;
  const lucet_region_options custom = {.strategy = LUCET_SLOTS_CUSTOM, .chooser = last, .chooser_data = &seen};
  CHECK(lucet_region_create_with(5, &custom, &r, &error) == LUCET_OK);
  a = instance(r, m);
  CHECK(lucet_instance_slot(a) == 4 && seen == 5);
  b = instance(r, m);
  CHECK(lucet_instance_slot(b) == 3 && seen == 4 && lucet_region_free_slots(r) == 3);
  lucet_instance_release(a);
  a = instance(r, m);
  CHECK(lucet_instance_slot(a) == 4);
  lucet_instance_release(a);
  lucet_instance_release(b);
  lucet_region_release(r);

  /* Random: every slot comes, not always in the same order, and none twice at a time. */
  enum { N = 16 };
  uint32_t orders[2][N];
  for (int round = 0; round < 2; round++) {
    r = region_of(LUCET_REGION_GUARDED, N, LUCET_SLOTS_RANDOM);
    lucet_instance *all[N];
    uint32_t found = 0;
    for (int k = 0; k < N; k++) {
      all[k] = instance(r, m);
      orders[round][k] = lucet_instance_slot(all[k]);
      found |= 1u << orders[round][k];
    }
    CHECK(found == (1u << N) - 1 && lucet_instance_new(r, m, IMPORTS, 2, &a, &error) == LUCET_ERROR_REGION_FULL);
    for (int k = 0; k < N; k++) lucet_instance_release(all[k]);
    CHECK(lucet_region_free_slots(r) == N);
    lucet_region_release(r);
  }
  CHECK(memcmp(orders[0], orders[1], sizeof orders[0]) != 0);
  lucet_module_release(m);
  lucet_module_release(other);
}

/** More modules than are kept warm: the oldest free slot is taken, not a new one each time. */
static void test_many_modules(void) {
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 200, LUCET_SLOTS_LINEAR);
  uint32_t highest = 0;
  for (int k = 0; k < 150; k++) {
    lucet_module *m = guest(&GUEST_PLAIN);
    lucet_instance *i = instance(r, m);
    uint64_t length;
    CHECK(memcmp((uint8_t *)lucet_instance_memory(i, 0, &length) + 8, "\1\2\3\4", 4) == 0);
    if (lucet_instance_slot(i) > highest) highest = lucet_instance_slot(i);
    lucet_instance_release(i);
    lucet_module_release(m);
  }
  CHECK(highest < 100);
  lucet_region_release(r);
}

/** Further memories stay with a slot as long as its module, and no longer. */
static void test_further_memories(void) {
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 1, LUCET_SLOTS_LINEAR);
  lucet_module *m[2] = {guest(&GUEST_PLAIN), guest(&GUEST_PLAIN)};
  struct system_usage before = {.mappings = 0};
  for (int k = 0; k < 20; k++) {
    uint64_t length;
    lucet_instance *i = instance(r, m[k % 2]);
    const uint8_t *first = lucet_instance_memory(i, 1, &length);
    lucet_instance_release(i);
    i = instance(r, m[k % 2]);
    CHECK(lucet_instance_memory(i, 1, &length) == first && length == 1 << 16);
    lucet_instance_release(i);
    if (k == 1) before = system_usage();
  }
#ifdef __SANITIZE_ADDRESS__
  before.mappings = system_usage().mappings;
#endif
  CHECK(system_usage().mappings == before.mappings);
  lucet_region_release(r);
  for (int k = 0; k < 2; k++) lucet_module_release(m[k]);
}

/* ---- Leaks */

static const uint8_t SECRET[16] = {0xa5, 0x5e, 0xc3, 0xe7, 0x99, 0x42, 0xf0, 0x0d, 0x5e, 0xc2, 0xe7, 0x11, 0xba, 0xdc, 0x0f, 0xfe};

static void plant(uint8_t *p, size_t size, size_t step) {
  for (size_t at = 0; at + sizeof SECRET <= size; at += step) memcpy(p + at, SECRET, sizeof SECRET);
}

static bool holds_secret(const uint8_t *p, size_t size) { return memmem(p, size, SECRET, sizeof SECRET) != NULL; }

/** As a guest that writes wherever it can: little of it, or all. */
static void write_everywhere(lucet_instance *i, unsigned seed) {
  uint64_t length;
  bool much = seed % 7 == 0;
  if (seed % 3 == 0) lucet_instance_memory_grow(i, 0, 1 + seed % 2);
  uint8_t *memory = lucet_instance_memory(i, 0, &length);
  if (much) {
    plant(memory, length, 512);
  } else {
    for (int k = 0; k < 4; k++) {
      seed = seed * 1103515245u + 12345u;
      plant(memory + (seed >> 8) % (length - sizeof SECRET), sizeof SECRET, sizeof SECRET);
    }
    plant(memory + length - sizeof SECRET, sizeof SECRET, sizeof SECRET);
  }
  uint8_t *other = lucet_instance_memory(i, 1, &length);
  plant(other, length, 4096);
  uint8_t *low = i->slot->stack_low, *top = i->slot->stack_top;
  plant(much ? low : top - 3000, (size_t)(much ? top - low : 3000), 256);
  uint64_t v[2];
  memcpy(v, SECRET, sizeof v);
  lucet_instance_global_set(i, 0, v);
  /* Otherwise nobody but its code can have written them, which doesn't: they are kept as they are. */
  if (seed % 2 == 0) return;
  uint64_t f = funcref_word(lucet_instance_function(i, F_LOAD));
  for (uint64_t k = 0; k < lucet_instance_table_size(i, 0); k++) lucet_instance_table_set(i, 0, k, f);
  if (seed % 5 == 0) lucet_instance_table_grow(i, 0, 3, f);
}

/** Looks at all that a guest, or the code that works for it, could read. */
static void check_clean(lucet_instance *i, const struct guest_options *o) {
  uint64_t length;
  uint8_t *memory = lucet_instance_memory(i, 0, &length);
  CHECK(length == (uint64_t)o->pages << 16);
  bool right = true;
  for (uint32_t k = 0; k < o->data_length; k++) right = right && memory[o->data_offset + k] == (uint8_t)(k + 1);
  CHECK(right);
  CHECK(!holds_secret(memory, length));
  size_t others = 0;
  for (uint64_t k = 0; k < length; k += 8) {
    uint64_t word;
    memcpy(&word, memory + k, 8);
    if (word != 0 && (k + 8 <= o->data_offset || k >= o->data_offset + (uint64_t)o->data_length)) others++;
  }
  CHECK(others == 0);
  CHECK(lucet_instance_memory_grow(i, 0, 2) == o->pages && !holds_secret(memory + length, 2u << 16));
  uint8_t *other = lucet_instance_memory(i, 1, &length);
  CHECK(!holds_secret(other, length));
  CHECK(!holds_secret(i->slot->stack_low, (size_t)(i->base - i->slot->stack_low)));
  uint64_t v[2];
  CHECK(lucet_instance_global_get(i, 0, v) == LUCET_OK && v[0] == 0x2a && v[1] == 0);
  CHECK(lucet_instance_table_size(i, 0) == 4);
  for (uint64_t k = 0; k < 4; k++) {
    uint64_t expected = k == 1 ? funcref_word(lucet_instance_function(i, F_ADD)) : 0;
    CHECK(lucet_instance_table_get(i, 0, k, v) == LUCET_OK && v[0] == expected);
  }
}

/** Guests of three modules take turns in two slots, so that most reuses are warm and many are not. */
static void leaks(lucet_region_kind kind, bool blind, unsigned reuses) {
  const struct guest_options options[] = {
      {.memory_mode = mode(kind), .pages = 1, .data_offset = 8, .data_length = 4},
      {.memory_mode = mode(kind), .pages = 2, .data_offset = 60000, .data_length = 9000},
      /* Mapped, not copied. */
      {.memory_mode = mode(kind), .pages = 3, .data_offset = 5000, .data_length = 150000},
  };
  lucet_module *modules[3];
  for (int k = 0; k < 3; k++) modules[k] = guest(&options[k]);
  lucet_region *r = region_of(kind, 2, LUCET_SLOTS_LINEAR);
  lucet_reset_blind = blind;
  unsigned state = 1;
  for (unsigned n = 0; n < reuses && failures == 0; n++) {
    state = state * 1664525u + 1013904223u;
    unsigned which = state >> 16 & 15, which_module = which < 8 ? 0 : which < 12 ? 1 : 2;
    lucet_instance *i = instance(r, modules[which_module]);
    /* Looking at all of it takes long; every guest that wrote little is looked at. */
    check_clean(i, &options[which_module]);
    write_everywhere(i, state >> 8);
    if (which % 4 == 3) {
      CHECK(lucet_instance_reset(i, &error) == LUCET_OK);
      check_clean(i, &options[which_module]);
      write_everywhere(i, state >> 4);
    }
    /* All of it by this thread. */
    i->sole = (which & 1) != 0;
    lucet_instance_release(i);
  }
  lucet_reset_blind = false;
  lucet_region_release(r);
  for (int k = 0; k < 3; k++) lucet_module_release(modules[k]);
}

/** When no more extents may be mapped, slots have copies: which one a slot has must make no difference. */
static void test_most_mapped(void) {
  for (int k = 0; k < 2; k++) {
    const struct guest_options o = {.memory_mode = mode(KINDS[k]), .pages = 3, .data_offset = 5000, .data_length = 150000};
    lucet_module *m = guest(&o);
    unsigned most = lucet_most_mapped;
    lucet_most_mapped = 1;
    for (int round = 0; round < 3; round++) {
      lucet_region *r = region_of(KINDS[k], 3, LUCET_SLOTS_LINEAR);
      lucet_instance *all[3];
      for (int n = 0; n < 3; n++) all[n] = instance(r, m);
      CHECK(all[0]->slot->mapped != 0 && all[1]->slot->mapped == 0 && all[2]->slot->mapped == 0);
      for (int n = 0; n < 3; n++) {
        check_clean(all[n], &o);
        write_everywhere(all[n], 7);
        lucet_instance_release(all[n]);
      }
      lucet_reset_blind = round == 1;
      for (int n = 0; n < 3; n++) check_clean(all[n] = instance(r, m), &o);
      for (int n = 0; n < 3; n++) lucet_instance_release(all[n]);
      lucet_reset_blind = false;
      lucet_region_release(r);
    }
    lucet_most_mapped = most;
    lucet_module_release(m);
  }
}

/** PAGEMAP_SCAN is there. */
static bool lists_pages(void) {
  struct utsname u;
  int major = 0, minor = 0;
  return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 7));
}

/** Of this thread, in this process. */
static int64_t faults(void) {
  struct rusage u;
  return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_minflt + u.ru_majflt : -1;
}

/** Counts of two threads, or of a process and its child, may be equal by chance: this is the worst of chances. */
static void *release_elsewhere(void *instance) {
  lucet_instance *i = instance;
  (void)faults();
  i->slot->touched.faults = faults();
  lucet_instance_release(i);
  return NULL;
}

/** The kernel isn't asked for touched pages when this thread has had no fault since: only then. */
static void test_remembered(void) {
  for (int k = 0; k < 2; k++) {
    const struct guest_options o = {.memory_mode = mode(KINDS[k]), .pages = 16, .data_offset = 5000, .data_length = 20};
    lucet_module *m = guest(&o);
    lucet_region *r = region_of(KINDS[k], 1, LUCET_SLOTS_LINEAR);
    struct slot *s = NULL;
    uint32_t hits = 0;
    enum { SAME, FRESH, TOLD, ELSEWHERE, CHILD, ALIKE = 20, ROUNDS = 60 };
    for (uint32_t round = 0; round < ROUNDS && failures == 0; round++) {
      unsigned what = round < ALIKE ? SAME : round % 5;
      uint64_t length;
      lucet_instance *i = instance(r, m);
      s = i->slot;
      uint8_t *memory = lucet_instance_memory(i, 0, &length);
      plant(memory + 4090, 64, 16);
      /* Pages that no round before has touched, and none after. */
      if (what != SAME) plant(memory + (4 + round) * 16384, 64, 16);
      i->sole = what != TOLD;
      if (what == ELSEWHERE) {
        pthread_t t;
        CHECK(pthread_create(&t, NULL, release_elsewhere, i) == 0 && pthread_join(t, NULL) == 0);
      } else if (what == CHILD) {
        pid_t child = fork();
        if (child == 0) {
          uint32_t before = s->touched.hits;
          i->sole = true;
          s->touched.faults = faults();
          /* Releasing has some faults of its own here. */
          s->touched.faults = faults() + round / 5 - 4;
          lucet_instance_release(i);
          _exit(s->touched.hits == before && !holds_secret(memory, length) ? 0 : 1);
        }
        int status = 1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
        lucet_instance_release(i);
      } else {
        lucet_instance_release(i);
      }
      CHECK(!holds_secret(memory, length));
      CHECK(what == SAME || s->touched.hits == hits);
      hits = s->touched.hits;
    }
    if (lists_pages()) CHECK(s->touched.hits > 0 && s->touched.misses > 0);
    lucet_region_release(r);
    lucet_module_release(m);
  }
}

/** Tables are filled for the first instance of a slot, and again only after somebody may have written them. */
static void test_kept_tables(void) {
  lucet_module *m = guest(&GUEST_PLAIN);
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 1, LUCET_SLOTS_LINEAR);
  uint64_t mine = 0, v;
  for (int n = 0; n < 8; n++) {
    lucet_instance *i = instance(r, m);
    struct lucet_instance *host = i;
    CHECK(lucet_instance_table_get(i, 0, 1, &v) == LUCET_OK && v == funcref_word(lucet_instance_function(i, F_ADD)));
    /* What the runtime doesn't know to be written stays: by that it is told apart. */
    CHECK(host->tables[0]->desc->elements[3] == (n % 4 == 2 || n % 4 == 3 ? mine : 0));
    if (n % 4 == 1) {
      mine = funcref_word(lucet_instance_function(i, F_LOAD));
      host->tables[0]->desc->elements[3] = mine;
    }
    if (n % 4 == 3) CHECK(lucet_instance_table_set(i, 0, 0, mine) == LUCET_OK);
    lucet_instance_release(i);
  }
  lucet_region_release(r);
  lucet_module_release(m);
}

static void test_leaks(unsigned reuses) {
  for (int k = 0; k < 2; k++) {
    leaks(KINDS[k], false, reuses);
    leaks(KINDS[k], true, reuses / 10 + 1);
  }
}

/* ---- Reset */

static lucet_event call(lucet_instance *i, uint32_t function, uint64_t a) {
  lucet_event e = {.kind = LUCET_EVENT_FAULTED};
  static uint64_t args[2];
  args[0] = a;
  args[1] = 0;
  CHECK(lucet_instance_call(i, lucet_instance_function(i, function), args, &e, &error) == LUCET_OK);
  return e;
}

static void test_reset(void) {
  for (int k = 0; k < 2; k++) {
    lucet_module *m = guest(&(struct guest_options){.memory_mode = mode(KINDS[k]), .pages = 1, .data_offset = 8, .data_length = 4});
    lucet_region *r = region_of(KINDS[k], 1, LUCET_SLOTS_LINEAR);
    lucet_instance *i = instance(r, m);
    static const char key;
    CHECK(lucet_instance_embed_insert(i, &key, &error, NULL) == LUCET_OK);
    /* Suspended activations are aborted. */
    CHECK(call(i, F_CALL_HOST, 5).kind == LUCET_EVENT_HOSTCALL && call(i, F_CALL_HOST, 6).kind == LUCET_EVENT_HOSTCALL);
    CHECK(lucet_instance_state(i) == LUCET_STATE_SUSPENDED);
    CHECK(lucet_instance_reset(i, &error) == LUCET_OK && lucet_instance_state(i) == LUCET_STATE_READY);
    check_clean(i, &(struct guest_options){.pages = 1, .data_offset = 8, .data_length = 4});
    CHECK(lucet_instance_embed_get(i, &key) == &error);
    /* Resetting costs no slot, and the instance is as usable as before. */
    CHECK(lucet_region_used_slots(r) == 1 && call(i, F_CALL_HOST, 5).kind == LUCET_EVENT_HOSTCALL);
    lucet_instance_release(i);
    lucet_region_release(r);
    lucet_module_release(m);
  }
}

/* ---- Embed contexts */

static int dropped;
static void count_drop(void *value) { dropped += *(int *)value; }

static void test_embed(void) {
  static const char first, second, third;
  static int one = 1, ten = 10, hundred = 100;
  lucet_module *m = guest(&GUEST_PLAIN);
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 1, LUCET_SLOTS_LINEAR);
  lucet_instance *i = instance(r, m);
  CHECK(lucet_instance_embed_get(i, &first) == NULL && lucet_instance_embed_remove(i, &first) == NULL);
  CHECK(lucet_instance_embed_insert(i, &first, &one, count_drop) == LUCET_OK);
  CHECK(lucet_instance_embed_insert(i, &second, &ten, count_drop) == LUCET_OK);
  CHECK(lucet_instance_embed_insert(i, &third, &hundred, NULL) == LUCET_OK);
  CHECK(lucet_instance_embed_get(i, &first) == &one && lucet_instance_embed_get(i, &second) == &ten && lucet_instance_embed_get(i, &third) == &hundred);
  CHECK(lucet_instance_embed_insert(i, &first, &hundred, count_drop) == LUCET_OK && dropped == 1 && lucet_instance_embed_get(i, &first) == &hundred);
  CHECK(lucet_instance_embed_remove(i, &second) == &ten && lucet_instance_embed_get(i, &second) == NULL && dropped == 1);
  CHECK(lucet_instance_embed_get(i, &first) == &hundred && lucet_instance_embed_get(i, &third) == &hundred);
  lucet_instance_release(i);
  CHECK(dropped == 101);
  /* The next instance in the slot has none. */
  i = instance(r, m);
  CHECK(lucet_instance_embed_get(i, &first) == NULL && lucet_instance_embed_get(i, &third) == NULL);
  lucet_instance_release(i);
  lucet_region_release(r);
  lucet_module_release(m);
}

/* ---- Threads */

struct hammer {
  pthread_t thread;
  lucet_region *region;
  lucet_module **modules;
  unsigned rounds, seed;
  bool ok;
};

static void *hammer(void *data) {
  struct hammer *h = data;
  h->ok = true;
  for (unsigned n = 0; n < h->rounds; n++) {
    h->seed = h->seed * 1664525u + 1013904223u;
    lucet_instance *held[3] = {NULL, NULL, NULL};
    for (unsigned k = 0; k < 1 + h->seed % 3; k++) {
      lucet_error e;
      lucet_status status = lucet_instance_new(h->region, h->modules[h->seed >> (8 + k) & 1], IMPORTS, 2, &held[k], &e);
      if (status == LUCET_ERROR_REGION_FULL) continue;
      uint64_t length;
      uint8_t *memory = status == LUCET_OK ? lucet_instance_memory(held[k], 0, &length) : NULL;
      h->ok = h->ok && memory != NULL && memory[8] == 1 && memory[20000] == 0;
      if (memory != NULL) memory[20000] = 1;
    }
    for (int k = 0; k < 3; k++) lucet_instance_release(held[k]);
  }
  return NULL;
}

static void test_threads(unsigned rounds) {
  enum { THREADS = 4 };
  for (int k = 0; k < 2; k++) {
    for (int strategy = 0; strategy < 2; strategy++) {
      const struct guest_options o = {.memory_mode = mode(KINDS[k]), .pages = 1, .data_offset = 8, .data_length = 4};
      lucet_module *modules[2] = {guest(&o), guest(&o)};
      lucet_region *r = region_of(KINDS[k], 8, (lucet_slot_strategy)strategy);
      struct hammer h[THREADS];
      for (unsigned t = 0; t < THREADS; t++) {
        h[t] = (struct hammer){.region = r, .modules = modules, .rounds = rounds, .seed = t + 1};
        CHECK(pthread_create(&h[t].thread, NULL, hammer, &h[t]) == 0);
      }
      for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(h[t].thread, NULL);
        CHECK(h[t].ok);
      }
      CHECK(lucet_region_used_slots(r) == 0 && lucet_region_free_slots(r) == 8);
      lucet_region_release(r);
      lucet_module_release(modules[0]);
      lucet_module_release(modules[1]);
    }
  }
}

int main(int argc, char **argv) {
  unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
  if (argc > 2 && strcmp(argv[1], "leaks") == 0) {
    test_leaks(n);
  } else if (argc > 2 && strcmp(argv[1], "threads") == 0) {
    test_threads(n);
  } else {
    test_region_limits();
    test_instance_limits();
    test_strategies();
    test_many_modules();
    test_further_memories();
    test_reset();
    test_embed();
    test_leaks(300);
    test_kept_tables();
    test_most_mapped();
    test_remembered();
    test_threads(200);
  }
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
