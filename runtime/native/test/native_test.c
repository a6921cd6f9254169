/**
 * Tests of the runtime with the hand-written module of guest_x64.S. Linked with the runtime's objects. Prints what
 * fails; exit status 1 if anything did.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../internal.h"
#include "check.h"
#include "guest.h"

static lucet_error error;
static lucet_module *module;
static lucet_region *region;

/** What the native import is to do next. */
static struct {
  enum { DOUBLE, TRAP, EXIT, READ, NEST } what;
  lucet_instance *nested;
  uint32_t nested_function;
  lucet_event nested_event;
} native;

static lucet_status call(lucet_instance *i, uint32_t function, uint64_t a, uint64_t b, lucet_event *e, uint64_t *result) {
  static uint64_t spare[2];
  uint64_t *args = result != NULL ? result : spare;
  args[0] = a;
  args[1] = b;
  return lucet_instance_call(i, lucet_instance_function(i, function), args, e, &error);
}

static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  CHECK(data == &native);
  switch (native.what) {
    case DOUBLE: args[0] *= 2; break;
    case TRAP: lucet_vmctx_trap(vm, LUCET_TRAP_CAST_FAILURE);
    case EXIT: lucet_vmctx_terminate(vm, LUCET_REASON_EXIT, 7);
    case READ: args[0] = *(uint8_t *)lucet_vmctx_memory(vm, args[0], 1); break;
    case NEST: {
      uint64_t r[2] = {0, 0};
      CHECK(call(native.nested, native.nested_function, 20, 22, &native.nested_event, r) == LUCET_OK);
      args[0] = r[0];
    }
  }
}

static const lucet_import IMPORTS[] = {
    {.kind = LUCET_IMPORT_NATIVE, .function = native_import, .data = &native, .signature = "i:i"},
    {.kind = LUCET_IMPORT_HOSTCALL, .id = 77, .signature = "I:I"},
};

static lucet_instance *instance(void) {
  lucet_instance *i = NULL;
  if (lucet_instance_new(region, module, IMPORTS, 2, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return i;
}

static uint64_t value(lucet_instance *i, uint32_t function, uint64_t a, uint64_t b) {
  lucet_event e;
  uint64_t r[2];
  CHECK(call(i, function, a, b, &e, r) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
  return r[0];
}

static uint32_t trap(lucet_instance *i, uint32_t function, uint64_t a, uint64_t b) {
  lucet_event e;
  CHECK(call(i, function, a, b, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_TRAPPED);
  return e.kind == LUCET_EVENT_TRAPPED ? e.code : 0;
}

static void test_calls(void) {
  lucet_instance *i = instance();
  CHECK((uint32_t)value(i, F_ADD, 40, 2) == 42);
  CHECK((uint32_t)value(i, F_LOAD, 8, 0) == 0x04030201);
  CHECK((uint32_t)value(i, F_DIVIDE, 84, 2) == 42);
  native.what = DOUBLE;
  CHECK((uint32_t)value(i, F_CALL_NATIVE, 21, 0) == 42);
  native.what = READ;
  CHECK((uint32_t)value(i, F_CALL_NATIVE, 9, 0) == 2);
  uint64_t length;
  CHECK((uint32_t)value(i, F_GROW, 1, 0) == 1 && lucet_instance_memory(i, 0, &length) != NULL && length == 2 << 16);
  CHECK((uint32_t)value(i, F_LOAD, (2 << 16) - 4, 0) == 0);
  CHECK(value(i, F_GROW, 2, 0) == UINT64_MAX);
  CHECK((uint32_t)value(i, F_GROW, 0, 0) == 2);
  uint64_t v[2];
  CHECK(lucet_instance_global_get(i, 0, v) == LUCET_OK && v[0] == 0x2a);
  CHECK(lucet_instance_table_size(i, 0) == 4 && lucet_instance_table_get(i, 0, 1, v) == LUCET_OK);
  CHECK(v[0] == funcref_word(lucet_instance_function(i, F_ADD)));
  CHECK(lucet_instance_table_grow(i, 0, 6, 0) == 4 && lucet_instance_table_grow(i, 0, 1, 0) == -1);
  lucet_instance_release(i);
}

static void test_traps(void) {
  lucet_instance *i = instance();
  CHECK(trap(i, F_LOAD, 1 << 16, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  const lucet_trap_info *t = lucet_instance_trap_info(i);
  CHECK(t != NULL && t->function == F_LOAD && t->wasm_offset == 3010 && t->memory == 0 && t->memory_offset == 1 << 16);
  CHECK(t->memory_length == 1 << 16 && t->signal == SIGSEGV && t->frame_count == 1 && t->registers[7] == 1 << 16 && t->extended_size >= 512);
  CHECK(trap(i, F_LOAD, UINT32_MAX, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  CHECK(trap(i, F_LOAD1, 1 << 16, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS && lucet_instance_trap_info(i)->memory == 1);
  CHECK(trap(i, F_UNREACHABLE, 0, 0) == LUCET_TRAP_UNREACHABLE && lucet_instance_trap_info(i)->wasm_offset == 4010);
  CHECK(trap(i, F_DIVIDE, 1, 0) == LUCET_TRAP_INTEGER_DIV_BY_ZERO);
  CHECK(trap(i, F_DIVIDE, 0x80000000u, UINT32_MAX) == LUCET_TRAP_INTEGER_OVERFLOW);
  CHECK(trap(i, F_NULL_CALL, 0, 0) == LUCET_TRAP_INDIRECT_CALL_TO_NULL);
  CHECK(trap(i, F_FILL, (1 << 16) - 15, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  t = lucet_instance_trap_info(i);
  CHECK(t->signal == 0 && t->function == F_FILL && t->wasm_offset == 10010 && t->frame_count == 1);
  CHECK((uint32_t)value(i, F_FILL, (1 << 16) - 16, 0) == 1);
  CHECK(lucet_instance_trap_info(i) == NULL);
  native.what = TRAP;
  CHECK(trap(i, F_CALL_NATIVE, 0, 0) == LUCET_TRAP_CAST_FAILURE);
  t = lucet_instance_trap_info(i);
  CHECK(t->frame_count == 1 && t->function == F_CALL_NATIVE && t->wasm_offset == 7010);
  native.what = EXIT;
  lucet_event e;
  CHECK(call(i, F_CALL_NATIVE, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_EXIT && e.id == 7);
  CHECK((uint32_t)value(i, F_ADD, 1, 2) == 3);
  CHECK(call(i, F_BROKEN, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_FAULTED);
  CHECK(lucet_instance_trap_info(i)->function == F_BROKEN && lucet_instance_state(i) == LUCET_STATE_POISONED);
  CHECK(call(i, F_ADD, 0, 0, &e, NULL) == LUCET_ERROR_STATE);
  lucet_instance_release(i);
}

static void test_overflow(void) {
  lucet_instance *i = instance();
  CHECK(trap(i, F_RECURSE, 0, 0) == LUCET_TRAP_STACK_OVERFLOW);
  const lucet_trap_info *t = lucet_instance_trap_info(i);
  /*
   * 32 bytes for each frame of 1 MiB, less the entry thunk's; the last one may have got as far as one of its two
   * writes.
   */
  CHECK(t->total_frames >= 32766 && t->total_frames <= 32769);
  CHECK(t->frame_count == 201 && t->frames[100].kind == LUCET_FRAME_ELIDED && t->frames[100].count == t->total_frames - 200);
  for (uint32_t k = 0; k < 201; k++) CHECK(k == 100 || (t->frames[k].kind == LUCET_FRAME_WASM && t->frames[k].function == F_RECURSE));
  for (uint32_t k = 2; k < 201; k++)
    if (k < 100 || k > 101) CHECK(t->frames[k].sp == t->frames[k - 1].sp + 32);
  CHECK(trap(i, F_LARGE, 0, 0) == LUCET_TRAP_STACK_OVERFLOW);
  t = lucet_instance_trap_info(i);
  CHECK(t->total_frames == (1 << 20) / 40976 + 1);
  CHECK((uint32_t)value(i, F_ADD, 1, 2) == 3);
  lucet_instance_release(i);
}

static volatile sig_atomic_t ticks;
static void tick(int sig) {
  (void)sig;
  ticks++;
}

/**
 * A handler without SA_ONSTACK runs on the guest's stack. Where that has no room for it, the guest's stack overflows.
 */
static void test_signals_at_the_end_of_the_stack(void) {
  lucet_limits l;
  lucet_region *r;
  lucet_instance *small, *large = instance();
  lucet_event e;
  lucet_limits_default(&l);
  l.stack_size = 16 << 10;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_OK && lucet_instance_new(r, module, IMPORTS, 2, &small, &error) == LUCET_OK);
  struct sigaction s = {.sa_handler = tick, .sa_flags = SA_RESTART}, old;
  struct itimerval once = {{0, 0}, {0, 20000}};
  sigaction(SIGALRM, &s, &old);
  setitimer(ITIMER_REAL, &once, NULL);
  CHECK(call(large, F_SPIN, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && ticks == 1);
  setitimer(ITIMER_REAL, &once, NULL);
  CHECK(trap(small, F_SPIN, 0, 0) == LUCET_TRAP_STACK_OVERFLOW && ticks == 1);
  CHECK((uint32_t)value(small, F_ADD, 1, 2) == 3);
  sigaction(SIGALRM, &old, NULL);
  lucet_instance_release(small);
  lucet_instance_release(large);
  lucet_region_release(r);
}

static void test_suspension(void) {
  lucet_instance *i = instance();
  lucet_event e, inner;
  uint64_t r[2], q[2];
  lucet_frame frames[8];
  CHECK(call(i, F_CALL_HOST, 5, 0, &e, r) == LUCET_OK && e.kind == LUCET_EVENT_HOSTCALL && e.id == 77 && e.code == 1 && e.instance == i);
  CHECK(e.args[0] == 5 && e.words == 1 && lucet_instance_state(i) == LUCET_STATE_SUSPENDED);
  CHECK(lucet_instance_backtrace(i, frames, 8) == 1 && frames[0].function == F_CALL_HOST && frames[0].wasm_offset == 8010);
  /* Called again while it is suspended: below its own frames. */
  CHECK(call(i, F_CALL_HOST, 6, 0, &inner, q) == LUCET_OK && inner.kind == LUCET_EVENT_HOSTCALL && inner.args[0] == 6);
  CHECK(lucet_instance_backtrace(i, frames, 8) == 3 && frames[1].kind == LUCET_FRAME_HOST && frames[2].function == F_CALL_HOST);
  CHECK((uint32_t)value(i, F_ADD, 1, 2) == 3);
  CHECK(trap(i, F_RECURSE, 0, 0) == LUCET_TRAP_STACK_OVERFLOW);
  inner.args[0] = 60;
  CHECK(lucet_instance_resume(i, &inner, &error) == LUCET_OK && inner.kind == LUCET_EVENT_RETURNED && q[0] == 60);
  e.args[0] = 50;
  CHECK(lucet_instance_resume(i, &e, &error) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && r[0] == 50);
  CHECK(lucet_instance_resume(i, &e, &error) == LUCET_ERROR_STATE);
  CHECK(call(i, F_CALL_HOST, 5, 0, &e, r) == LUCET_OK && lucet_instance_abort_with_trap(i, LUCET_TRAP_INTERRUPT, &error) == LUCET_OK);
  CHECK(lucet_instance_trap_info(i)->code == LUCET_TRAP_INTERRUPT && lucet_instance_trap_info(i)->function == F_CALL_HOST);
  CHECK(call(i, F_CALL_HOST, 5, 0, &e, r) == LUCET_OK && lucet_instance_abort(i, &error) == LUCET_OK);
  CHECK(lucet_instance_state(i) == LUCET_STATE_TERMINATED);
  /* Freed while suspended. */
  CHECK(call(i, F_CALL_HOST, 5, 0, &e, r) == LUCET_OK);
  lucet_instance_release(i);
}

static void test_nesting(void) {
  lucet_instance *i = instance(), *other = instance();
  lucet_event e;
  native.what = NEST;
  native.nested = i;
  native.nested_function = F_ADD;
  CHECK((uint32_t)value(i, F_CALL_NATIVE, 0, 0) == 42);
  native.nested = other;
  CHECK((uint32_t)value(i, F_CALL_NATIVE, 0, 0) == 42);
  native.nested_function = F_UNREACHABLE;
  CHECK(call(i, F_CALL_NATIVE, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
  CHECK(native.nested_event.kind == LUCET_EVENT_TRAPPED && lucet_instance_trap_info(other)->total_frames == 3);
  /* The host function leaves a guest suspended on the stack that it returns to. */
  native.nested = i;
  native.nested_function = F_CALL_HOST;
  CHECK(call(i, F_CALL_NATIVE, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
  CHECK(native.nested_event.kind == LUCET_EVENT_HOSTCALL && lucet_instance_state(i) == LUCET_STATE_READY);
  /* Host and guest call each other without end. */
  native.nested_function = F_CALL_NATIVE;
  CHECK(call(i, F_CALL_NATIVE, 0, 0, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
  lucet_instance_release(i);
  lucet_instance_release(other);
}

static void test_links(void) {
  lucet_instance *i = instance(), *j = NULL;
  lucet_import imports[2] = {{.kind = LUCET_IMPORT_EXPORT, .index = F_LOAD - 2, .instance = i}, IMPORTS[1]};
  /* f3 : (i32) -> i32 */
  CHECK(lucet_instance_new(region, module, imports, 2, &j, &error) == LUCET_OK);
  CHECK((uint32_t)value(j, F_CALL_NATIVE, 8, 0) == 0x04030201);
  CHECK(trap(j, F_CALL_NATIVE, 1 << 16, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  const lucet_trap_info *t = lucet_instance_trap_info(j);
  CHECK(t->total_frames == 2 && t->frames[0].function == F_LOAD && t->frames[1].function == F_CALL_NATIVE && t->memory == 0);
  /* The exporter outlives its handle while the importer lives. */
  uint32_t used = lucet_region_used_slots(region);
  lucet_instance_release(i);
  CHECK(lucet_region_used_slots(region) == used);
  CHECK((uint32_t)value(j, F_CALL_NATIVE, 8, 0) == 0x04030201);
  lucet_instance_release(j);
  CHECK(lucet_region_used_slots(region) == used - 2);

  i = instance();
  imports[0] = (lucet_import){.kind = LUCET_IMPORT_EXPORT, .index = 0, .instance = i};
  CHECK(lucet_instance_new(region, module, imports, 2, &j, &error) == LUCET_ERROR_LINK && error.offset == 0);
  CHECK(strcmp(error.message, "incompatible import type: env.native is func (i32 i32) -> (i32), expected func (i32) -> (i32)") == 0);
  imports[0].index = (uint32_t)lucet_module_find_export(module, "memory", 6);
  CHECK(lucet_instance_new(region, module, imports, 2, &j, &error) == LUCET_ERROR_LINK);
  CHECK(strcmp(error.message, "incompatible import type: env.native is a memory, expected a function") == 0);
  CHECK(lucet_instance_new(region, module, imports, 0, &j, &error) == LUCET_ERROR_LINK && strcmp(error.message, "unknown import: env.native") == 0);
  lucet_instance_release(i);
  CHECK(lucet_region_used_slots(region) == used - 2);
}

/** A function reference handed from one instance to another ties them together. */
static void test_groups(void) {
  uint32_t used = lucet_region_used_slots(region);
  lucet_instance *i = instance(), *j = instance();
  lucet_funcref *add = lucet_instance_function(i, F_ADD);
  CHECK(lucet_instance_table_set(j, 0, 0, funcref_word(add)) == LUCET_OK);
  lucet_instance_release(i);
  CHECK(lucet_region_used_slots(region) == used + 2);
  lucet_event e;
  uint64_t r[2] = {1, 2}, word;
  CHECK(lucet_instance_table_get(j, 0, 0, &word) == LUCET_OK);
  CHECK(lucet_instance_call(j, funcref_of(word), r, &e, &error) == LUCET_OK && (uint32_t)r[0] == 3);
  lucet_instance_release(j);
  CHECK(lucet_region_used_slots(region) == used);
}

static size_t nonzero(const uint8_t *p, size_t n) {
  size_t count = 0;
  for (size_t k = 0; k < n; k++) count += p[k] != 0;
  return count;
}

/** An instance in a slot that was used finds it as new. Then everything that it can write is written. */
static void check_new_and_dirty(lucet_region *r, bool all) {
  lucet_instance *i, *none;
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &i, &error) == LUCET_OK);
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &none, &error) == LUCET_ERROR_REGION_FULL);
  uint64_t length;
  uint8_t *memory = lucet_instance_memory(i, 0, &length), *stack = i->slot->stack_low;
  size_t stack_size = (size_t)(i->slot->stack_top - stack);
  CHECK(length == 1 << 16 && memcmp(memory + 8, "\1\2\3\4", 4) == 0);
  CHECK(nonzero(memory, length) == 4 && nonzero(stack, stack_size) == 0);
  CHECK(trap(i, F_LOAD, 1 << 16, 0) == LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  if (all) {
    CHECK((uint32_t)value(i, F_GROW, 2, 0) == 1);
    CHECK(nonzero(memory, 3 << 16) == 4);
    memset(memory, 0xff, 3 << 16);
    memset(stack, 0xff, stack_size);
  } else {
    memset(memory, 0xff, 5000);
    memset(memory + 50000, 0xff, 10000);
    memset(stack + stack_size - 9000, 0xff, 9000);
    stack[5000] = 1;
  }
  uint64_t v[2] = {7, 8};
  CHECK(lucet_instance_global_set(i, 0, v) == LUCET_OK);
  lucet_instance_release(i);
}

/** Of element segment 2: an array of three, null, an array of none. */
static void test_objects(void) {
  lucet_instance *i, *other;
  CHECK(lucet_instance_new(region, module, IMPORTS, 2, &i, &error) == LUCET_OK);
  CHECK(lucet_instance_new(region, module, IMPORTS, 2, &other, &error) == LUCET_OK);
  const uint64_t *words = i->elem_values;
  const struct lucet_object *three = lucet_object_find(i, words[0]);
  CHECK(i->objects.count == 2 && words[1] == 0 && words[0] != words[2]);
  CHECK(three != NULL && three->kind == LUCET_TYPE_KIND_ARRAY && three->length == 3 && three->type == module->sig_ids[4]);
  static const uint8_t zero[24];
  CHECK(memcmp(three->payload, zero, sizeof zero) == 0 && words[0] % 16 == 0);
  CHECK(lucet_object_find(i, words[2]) != NULL && lucet_object_find(i, words[2])->length == 0);
  CHECK(lucet_object_find(i, words[0] + 16) == NULL && lucet_object_find(i, 0) == NULL && lucet_object_find(i, UINT64_MAX) == NULL);
  CHECK(lucet_object_find(other, words[0]) == NULL && lucet_object_find(other, other->elem_values[0]) != NULL);
  CHECK(!lucet_valtype_holds(other, module, LUCET_ANYREF, words[0]));
  CHECK(lucet_valtype_holds(i, module, LUCET_VAL_TYPE_EQ_REF, words[0]) && lucet_valtype_holds(i, module, LUCET_VAL_TYPE_ARRAY_REF, words[0]));
  CHECK(lucet_valtype_holds(i, module, LUCET_VAL_TYPE_CONCRETE | 4 << 9, words[0]) && !lucet_valtype_holds(i, module, LUCET_VAL_TYPE_STRUCT_REF, words[0]));
  CHECK(!lucet_valtype_holds(i, module, LUCET_VAL_TYPE_I31REF, words[0]) && !lucet_valtype_holds(i, module, LUCET_VAL_TYPE_NONE, words[0]));
  for (int k = 0; k < 3; k++) CHECK(lucet_instance_reset(i, &error) == LUCET_OK && i->objects.count == 2);
  /* Linked: what one makes stays with the other. */
  CHECK(lucet_group_hold(other, i) == LUCET_OK);
  uint64_t kept = words[0];
  CHECK(lucet_object_find(other, kept) != NULL && lucet_instance_reset(i, &error) == LUCET_OK && i->objects.count == 4);
  CHECK(lucet_object_find(other, kept) != NULL && lucet_object_find(i, other->elem_values[0]) == NULL);
  lucet_instance_release(i);
  CHECK(lucet_object_find(other, kept)->length == 3);
  lucet_instance_release(other);
  lucet_limits l;
  lucet_region *r;
  lucet_limits_default(&l);
  l.object_memory_size = (16 + 24 + 32) + (16 + 32) - 1;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_OK);
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &i, &error) == LUCET_ERROR_LIMIT && strstr(error.message, "0 elements exceeds the 119 bytes") != NULL);
  lucet_region_release(r);
}

static void test_reuse(void) {
  lucet_region *r;
  CHECK(lucet_region_create(1, NULL, &r, &error) == LUCET_OK);
  for (int round = 0; round < 8; round++) check_new_and_dirty(r, (round & 2) != 0);
  lucet_region_release(r);
}

/** In a process made by fork, which must not be told about its parent's pages. */
static void reuse_in_child(void) {
  failures = 0;
  test_reuse();
  _exit(failures != 0);
}

static void test_limits(void) {
  lucet_limits l;
  lucet_region *r;
  lucet_instance *i;
  lucet_limits_default(&l);
  l.heap_address_space_size = (uint64_t)4 << 30;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_OK);
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &i, &error) == LUCET_ERROR_LIMIT);
  lucet_region_release(r);
  lucet_limits_default(&l);
  l.heap_memory_size = (1 << 16) - 1;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_OK);
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &i, &error) == LUCET_ERROR_LIMIT && lucet_region_used_slots(r) == 0);
  lucet_region_release(r);
  lucet_limits_default(&l);
  l.table_elements = 3;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_OK);
  CHECK(lucet_instance_new(r, module, IMPORTS, 2, &i, &error) == LUCET_ERROR_LIMIT);
  lucet_region_release(r);
  l.heap_memory_size = UINT64_MAX;
  CHECK(lucet_region_create(1, &l, &r, &error) == LUCET_ERROR_ARGUMENT);
}

/** Every byte of the metadata and of the ELF structures, changed in several ways, with a checksum that is right. */
static void test_hostile_files(void) {
  static const uint8_t CHANGES[] = {0x00, 0xff, 0x80, 0x01, 0x7f};
  size_t size;
  uint8_t *file = guest_artifact(&size), *copy = malloc(size);
  lucet_module *m;
  uint32_t loaded = 0, refused = 0;
  for (size_t at = 0; at < size; at++) {
    const struct lucet_artifact_header *h = (void *)(file + METADATA_OFFSET);
    if (at >= METADATA_OFFSET + h->size && at < TEXT_ADDRESS + h->text_size) continue;
    if (at >= sizeof(uint64_t) * 8 && at < METADATA_OFFSET) continue;
    for (size_t k = 0; k < sizeof CHANGES; k++) {
      memcpy(copy, file, size);
      copy[at] = k == 3 ? (uint8_t)(copy[at] + 1) : CHANGES[k];
      guest_seal(copy, size);
      if (lucet_module_load_bytes(copy, size, &m, &error) != LUCET_OK) {
        refused++;
        CHECK(error.message[0] != 0);
        continue;
      }
      loaded++;
      for (uint32_t f = 0; f < m->meta.function_count; f++) {
        uint32_t n;
        (void)lucet_module_function_name(m, f, &n);
        (void)lucet_module_pc_entry(m, f, UINT32_MAX);
      }
      lucet_instance *i;
      if (lucet_instance_new(region, m, IMPORTS, 2, &i, &error) == LUCET_OK) lucet_instance_release(i);
      lucet_module_release(m);
    }
  }
  CHECK(loaded > 0 && refused > 1000);
  for (size_t n = 0; n < size; n += 61) {
    uint8_t *cut = malloc(n + 1);
    memcpy(cut, file, n);
    CHECK(lucet_module_load_bytes(cut, n, &m, &error) != LUCET_OK);
    free(cut);
  }
  file[METADATA_OFFSET + 200] ^= 1;
  CHECK(lucet_module_load_bytes(file, size, &m, &error) == LUCET_ERROR_CHECKSUM);
  file[METADATA_OFFSET + 8] ^= 1;
  CHECK(lucet_module_load_bytes(file, size, &m, &error) == LUCET_ERROR_VERSION);
  file[METADATA_OFFSET + 8] ^= 1;
  file[METADATA_OFFSET + 200] ^= 1;
  file[METADATA_OFFSET + offsetof(struct lucet_artifact_header, cpu_features) + 7] = 0x80;
  guest_seal(file, size);
  CHECK(lucet_module_load_bytes(file, size, &m, &error) == LUCET_ERROR_CPU);
  free(file);
  free(copy);
  CHECK(lucet_module_load_file("/nonexistent", &m, &error) == LUCET_ERROR_IO);
}

/* ---- Signals that aren't the guest's. Each in a process of its own. */

static int status_of(void (*body)(void)) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  return status;
}

static int *volatile nowhere = (int *)16;
static volatile sig_atomic_t seen;
static void count(int sig) { seen = sig; }

static void *fault_elsewhere(void *unused) {
  (void)unused;
  usleep(1000);
  *nowhere = 1;
  return NULL;
}

static void host_fault(void) {
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  *nowhere = 1;
}

static void host_fault_on_other_thread(void) {
  lucet_instance *i = instance();
  pthread_t t;
  value(i, F_ADD, 1, 2);
  pthread_create(&t, NULL, fault_elsewhere, NULL);
  for (int n = 0; n < 1000000; n++) value(i, F_ADD, 1, 2);
}

static void host_breakpoint(void) {
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  __asm__ volatile("int3");
}

static void sent_signal(void) {
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  kill(getpid(), SIGFPE);
  pause();
}

static void earlier_handler(void) {
  signal(SIGILL, count);
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  raise(SIGILL);
  if (seen != SIGILL) _exit(1);
}

static void replaced_handlers(void) {
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  signal(SIGSEGV, count);
  lucet_signals_changed();
  if (trap(i, F_LOAD, 1 << 16, 0) != LUCET_TRAP_HEAP_OUT_OF_BOUNDS || seen != 0) _exit(1);
  raise(SIGSEGV);
  if (seen != SIGSEGV) _exit(2);
  signal(SIGFPE, count);
  usleep(20000);
  for (int n = 0; n < 64; n++) value(i, F_ADD, 1, 2);
  if (trap(i, F_DIVIDE, 1, 0) != LUCET_TRAP_INTEGER_DIV_BY_ZERO) _exit(3);
}

/** Somebody's handler above ours that hands what it doesn't want back to ours. */
static struct sigaction below;
static void hands_back(int sig, siginfo_t *info, void *context) { below.sa_sigaction(sig, info, context); }
/** As hands_back, but it has something to do afterwards. */
static volatile sig_atomic_t came_back;
static void looks_after(int sig, siginfo_t *info, void *context) {
  below.sa_sigaction(sig, info, context);
  came_back++;
}

/** Signals that this thread blocks, as bits. */
static uint64_t blocked(void) {
  sigset_t set;
  uint64_t bits = 0;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  for (int k = 1; k < 64; k++) bits |= (uint64_t)(sigismember(&set, k) == 1) << k;
  return bits;
}

static void trap_of_each_kind(lucet_instance *i) {
  for (int n = 0; n < 3; n++) {
    if (trap(i, F_LOAD, 1 << 16, 0) != LUCET_TRAP_HEAP_OUT_OF_BOUNDS) _exit(1);
    if (trap(i, F_DIVIDE, 1, 0) != LUCET_TRAP_INTEGER_DIV_BY_ZERO) _exit(2);
    if (trap(i, F_UNREACHABLE, 0, 0) != LUCET_TRAP_UNREACHABLE) _exit(3);
    if (trap(i, F_RECURSE, 0, 0) != LUCET_TRAP_STACK_OVERFLOW) _exit(4);
  }
}

/** A trap leaves the signal handler for good: the thread is as it was all the same. */
static void undisturbed_thread(void) {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &some, NULL);
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  uint64_t before = blocked();
  stack_t stack, after;
  sigaltstack(NULL, &stack);
  trap_of_each_kind(i);
  sigaltstack(NULL, &after);
  if (blocked() != before || after.ss_sp != stack.ss_sp || after.ss_size != stack.ss_size || after.ss_flags != stack.ss_flags) _exit(5);
  /* What the kernel returns to tells handlers whose mask it is. */
  struct {
    const void *handler;
    unsigned long flags;
    const uint8_t *restorer;
    uint64_t mask;
  } now;
  if (syscall(SYS_rt_sigaction, SIGSEGV, NULL, &now, sizeof now.mask) != 0 || now.restorer != lucet_signal_return || now.mask != 0) _exit(6);
}

/**
 * … also when somebody's handler is called in the place of ours and calls ours, with a mask that is to be taken back.
 */
static void chain(void (*above)(int, siginfo_t *, void *)) {
  lucet_instance *i = instance();
  /* From now on, nobody looks at handlers for 63 runs. */
  lucet_signals_changed();
  value(i, F_ADD, 1, 2);
  uint64_t before = blocked();
  static const int SIGNALS[] = {SIGSEGV, SIGFPE};
  for (int k = 0; k < 2; k++) {
    struct sigaction s = {.sa_sigaction = above, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&s.sa_mask);
    sigaction(SIGNALS[k], &s, &below);
  }
  /* Not noticed yet. */
  trap_of_each_kind(i);
  if (blocked() != before) _exit(5);
}
static void chained(void) { chain(hands_back); }
static void chained_looking_after(void) {
  chain(looks_after);
  if (came_back != 12) _exit(6);
}

/** A stack that the kernel takes away while a handler runs on it. */
static void disarmed_stack(void) {
  stack_t stack = {.ss_sp = malloc(1 << 17), .ss_size = 1 << 17, .ss_flags = (int)(1u << 31)};
  if (sigaltstack(&stack, NULL) != 0) return;
  lucet_instance *i = instance();
  trap_of_each_kind(i);
}

/** What isn't for us is handled with its own signal blocked, as its handler may rely on. */
static void look_at_mask(int sig) { seen = (blocked() >> sig & 1) != 0 && (blocked() >> SIGUSR2 & 1) != 0 ? sig : -1; }

static void blocked_in_earlier_handler(void) {
  struct sigaction s = {.sa_handler = look_at_mask};
  sigemptyset(&s.sa_mask);
  sigaddset(&s.sa_mask, SIGUSR2);
  sigaction(SIGFPE, &s, NULL);
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  raise(SIGFPE);
  if (seen != SIGFPE || (blocked() >> SIGFPE & 1) != 0) _exit(1);
}

static void endless_chain(void) {
  lucet_instance *i = instance();
  value(i, F_ADD, 1, 2);
  struct sigaction s = {.sa_sigaction = hands_back, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &s, &below);
  lucet_signals_changed();
  value(i, F_ADD, 1, 2);
  *nowhere = 1;
}

static void test_foreign_signals(void) {
#ifdef __SANITIZE_ADDRESS__
  bool sanitized = true;
#else
  bool sanitized = false;
#endif
  static void (*const LIVES[])(void) = {earlier_handler, reuse_in_child, replaced_handlers, undisturbed_thread, chained, chained_looking_after, disarmed_stack, blocked_in_earlier_handler};
  int s;
  for (size_t k = 0; k < sizeof LIVES / sizeof *LIVES; k++) {
    s = status_of(LIVES[k]);
    CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 0);
  }
  if (sanitized) return; /* its runtime ends such processes in its own way */
  s = status_of(host_fault);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
  s = status_of(host_fault_on_other_thread);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
  s = status_of(host_breakpoint);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGTRAP);
  s = status_of(sent_signal);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGFPE);
  s = status_of(endless_chain);
  CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
}

static void *run_on_thread(void *unused) {
  (void)unused;
  lucet_instance *i = instance();
  for (int n = 0; n < 2000; n++) {
    if (trap(i, F_LOAD, 1 << 16, 0) != LUCET_TRAP_HEAP_OUT_OF_BOUNDS) return (void *)1;
    if ((uint32_t)value(i, F_ADD, (uint64_t)n, 1) != (uint32_t)n + 1) return (void *)1;
  }
  lucet_instance_release(i);
  return NULL;
}

/** Traps on several threads while modules come and go. */
static void test_threads(void) {
  pthread_t t[4];
  for (int k = 0; k < 4; k++) pthread_create(&t[k], NULL, run_on_thread, NULL);
  size_t size;
  uint8_t *file = guest_artifact(&size);
  for (int n = 0; n < 200; n++) {
    lucet_module *m;
    CHECK(lucet_module_load_bytes(file, size, &m, NULL) == LUCET_OK);
    lucet_module_release(m);
  }
  free(file);
  for (int k = 0; k < 4; k++) {
    void *result;
    pthread_join(t[k], &result);
    CHECK(result == NULL);
  }
}

static lucet_instance *migrant;
static void *resume_elsewhere(void *event) {
  CHECK(lucet_instance_resume(migrant, event, NULL) == LUCET_OK);
  return NULL;
}

static void test_migration(void) {
  lucet_event e;
  uint64_t r[2];
  pthread_t t;
  migrant = instance();
  CHECK(call(migrant, F_CALL_HOST, 5, 0, &e, r) == LUCET_OK && e.kind == LUCET_EVENT_HOSTCALL);
  e.args[0] = 9;
  pthread_create(&t, NULL, resume_elsewhere, &e);
  pthread_join(t, NULL);
  CHECK(e.kind == LUCET_EVENT_RETURNED && r[0] == 9);
  lucet_instance_release(migrant);
}

int main(void) {
  size_t size;
  uint8_t *file = guest_artifact(&size);
  if (lucet_module_load_bytes(file, size, &module, &error) != LUCET_OK) {
    fprintf(stderr, "%s at %#llx\n", error.message, (unsigned long long)error.offset);
    return 1;
  }
  free(file);
  CHECK(lucet_region_create(64, NULL, &region, &error) == LUCET_OK);
  test_calls();
  test_traps();
  test_overflow();
  test_signals_at_the_end_of_the_stack();
  test_suspension();
  test_nesting();
  test_links();
  test_groups();
  test_objects();
  test_reuse();
  test_limits();
  test_foreign_signals();
  test_threads();
  test_migration();
  test_hostile_files();
  CHECK(lucet_region_used_slots(region) == 0);
  lucet_region_release(region);
  lucet_module_release(module);
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
