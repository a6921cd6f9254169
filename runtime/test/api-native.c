/**
 * What lucet.h offers beyond calls, by a program that includes no other header of Lucet's: what is known of a module,
 * start functions, instruction bounds, contexts that host functions find, typed yields, and everything that functions
 * of the host may ask for. argv[1] is a module compiled from the text in api-native.test.ts, which counts instructions.
 * Prints the states that it went through.
 */
#include <pthread.h>
#include <string.h>

#include "native-expect.h"

static lucet_module *module;
static lucet_region *region;

/** Types of values that cross yields, and keys of contexts, are addresses. */
static const char NUMBER, TEXT, SESSION, OTHER;

static const char *const STATES[] = {"NotStarted", "Ready", "Running", "Faulted", "Terminating", "Terminated", "Yielding", "Yielded", "BoundExpired", "Suspended", "Interrupted", "Poisoned"};
static void print_state(const lucet_instance *i) { printf("%s\n", STATES[lucet_instance_state(i)]); }

struct session {
  int calls;
  int dropped;
};
static void drop_session(void *value) { ((struct session *)value)->dropped++; }

static void answered(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) {
  EXPECT(value.type == &NUMBER && data == &NUMBER);
  EXPECT(lucet_instance_embed_get(lucet_vmctx_instance(vm), &SESSION) != NULL);
  args[0] = (uint32_t)value.bits;
}

/** 0: counts a call; 1: asks a question; 2: grows memory; 3: looks at memory; other: traps. */
static void native(lucet_vmctx *vm, uint64_t *args, void *data) {
  lucet_instance *i = lucet_vmctx_instance(vm);
  struct session *session = lucet_instance_embed_get(i, &SESSION);
  EXPECT(data == &module && session != NULL && lucet_instance_embed_get(i, &OTHER) == NULL);
  EXPECT(lucet_instance_data(i) == session && !lucet_vmctx_terminating(vm));
  switch ((uint32_t)args[0]) {
    case 0:
      print_state(i);
      args[0] = (uint32_t)++session->calls;
      break;
    case 1:
      lucet_vmctx_yield(vm, (lucet_value){&TEXT, (uintptr_t) "how many?"}, &NUMBER, answered, (void *)(uintptr_t)&NUMBER);
      print_state(i);
      break;
    case 2: args[0] = (uint32_t)lucet_vmctx_memory_grow(vm, 1); break;
    case 3: {
      uint64_t length = lucet_vmctx_memory_length(vm);
      EXPECT(lucet_vmctx_memory(vm, length, 0) != NULL && lucet_vmctx_memory(vm, length, 1) == NULL && lucet_vmctx_memory(vm, UINT64_MAX, 2) == NULL);
      uint8_t *bytes = lucet_vmctx_memory(vm, length - 4, 4);
      EXPECT(bytes != NULL);
      bytes[3] = 9;
      args[0] = length;
      break;
    }
    default: lucet_vmctx_trap(vm, 1000);
  }
}

static uint32_t export_number(const char *name) {
  int32_t n = lucet_module_find_export(module, name, strlen(name));
  EXPECT(n >= 0);
  return (uint32_t)n;
}

static lucet_event call(lucet_instance *i, const char *name, uint64_t *args) {
  lucet_event event;
  EXPECT(lucet_instance_call_export(i, export_number(name), args, &event, &error) == LUCET_OK);
  return event;
}

static lucet_instance *instance(void) {
  const lucet_import imports[] = {
      {.kind = LUCET_IMPORT_NATIVE, .function = native, .data = &module, .signature = "i:i"},
      {.kind = LUCET_IMPORT_HOSTCALL, .id = 5, .signature = "I:I"},
  };
  lucet_instance *i;
  EXPECT(lucet_instance_new(region, module, imports, 2, &i, &error) == LUCET_OK);
  return i;
}

static void test_module(void) {
  uint32_t length;
  const char *text = lucet_module_name(module, &length);
  EXPECT(length == 5 && memcmp(text, "guest", 5) == 0);
  text = lucet_module_options(module, &length);
  EXPECT(length > 2 && text[0] == '{' && memmem(text, length, "\"countInstructions\":true", 24) != NULL);
  const uint8_t none[16] = {0};
  EXPECT(memcmp(lucet_module_hash(module), none, 16) != 0);
  size_t size;
  EXPECT(lucet_module_code(module, &size) != NULL && size > 100);
  EXPECT(lucet_module_import_count(module) == 2 && lucet_module_export_count(module) == 8);
  lucet_extern e;
  EXPECT(lucet_module_import(module, 1, &e) == LUCET_OK && e.kind == LUCET_EXTERN_FUNC && e.params == 1 && e.results == 1 && e.types[0] == LUCET_I64);
  EXPECT(e.module_length == 1 && e.module[0] == 'h' && e.name_length == 3 && memcmp(e.name, "ask", 3) == 0);
  EXPECT(lucet_module_import(module, 2, &e) == LUCET_ERROR_ARGUMENT && lucet_module_export(module, 8, &e) == LUCET_ERROR_ARGUMENT);
  EXPECT(lucet_module_export(module, export_number("memory"), &e) == LUCET_OK && e.kind == LUCET_EXTERN_MEMORY && e.min == 1 && e.max == 3);
  EXPECT(lucet_module_find_export(module, "memor", 5) == -1 && lucet_module_find_export(module, "", 0) == -1);
}

/** Its start function is for the embedder to run, once. */
static void test_start(lucet_instance *i) {
  uint64_t value[2];
  lucet_event event;
  EXPECT(lucet_instance_needs_start(i) == 1);
  print_state(i);
  EXPECT(lucet_instance_run_start(i, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_RETURNED);
  print_state(i);
  EXPECT(lucet_instance_needs_start(i) == 0 && lucet_instance_run_start(i, &event, &error) == LUCET_ERROR_STATE);
  lucet_extern e;
  EXPECT(lucet_module_export(module, export_number("started"), &e) == LUCET_OK);
  EXPECT(lucet_instance_global_get(i, e.index, value) == LUCET_OK && value[0] == 8);
  value[0] = 9;
  EXPECT(lucet_instance_global_set(i, e.index, value) == LUCET_OK);
  EXPECT(lucet_module_export(module, export_number("constant"), &e) == LUCET_OK && e.flags == 0);
  EXPECT(lucet_instance_global_set(i, e.index, value) == LUCET_ERROR_STATE);
}

static void *resume_there(void *p) {
  static lucet_event event;
  EXPECT(lucet_instance_resume(p, &event, &error) == LUCET_OK);
  return &event;
}

/**
 * runAsync: a run that gives the thread back each time so many operators were run; here, or on another thread, it goes
 * on.
 */
static void test_bound(lucet_instance *i) {
  enum { BOUND = 1000 };
  uint64_t args[1] = {3000}, before = lucet_instance_instruction_count(i);
  EXPECT(call(i, "sum", args).kind == LUCET_EVENT_RETURNED && args[0] == 3000 * 3001 / 2);
  uint64_t all = lucet_instance_instruction_count(i) - before;
  EXPECT(all > 3000);

  args[0] = 3000;
  before = lucet_instance_instruction_count(i);
  lucet_instance_set_instruction_bound(i, before + BOUND);
  lucet_event event = call(i, "sum", args);
  unsigned turns = 0;
  for (; event.kind == LUCET_EVENT_BOUND_EXPIRED; turns++) {
    uint64_t count = lucet_instance_instruction_count(i);
    /* It yields at the next place where it can: within one round of the loop. */
    EXPECT(count >= before + BOUND * (turns + 1) && count < before + BOUND * (turns + 1) + 20);
    if (turns == 0) print_state(i);
    lucet_instance_set_instruction_bound(i, before + BOUND * (turns + 2));
    pthread_t thread;
    void *there = NULL;
    if (turns % 2 == 0) {
      EXPECT(lucet_instance_resume(i, &event, &error) == LUCET_OK);
    } else {
      EXPECT(pthread_create(&thread, NULL, resume_there, i) == 0 && pthread_join(thread, &there) == 0);
      event = *(lucet_event *)there;
    }
  }
  EXPECT(event.kind == LUCET_EVENT_RETURNED && args[0] == 3000 * 3001 / 2 && turns == all / BOUND);
  EXPECT(lucet_instance_instruction_count(i) - before == all);

  /* Spent, and given up. */
  args[0] = 3000;
  lucet_instance_set_instruction_bound(i, lucet_instance_instruction_count(i) + BOUND);
  EXPECT(call(i, "sum", args).kind == LUCET_EVENT_BOUND_EXPIRED && lucet_instance_abort(i, &error) == LUCET_OK);
  print_state(i);
  lucet_instance_set_instruction_bound(i, UINT64_MAX);
  args[0] = 4;
  EXPECT(call(i, "sum", args).kind == LUCET_EVENT_RETURNED && args[0] == 10);
}

static void test_yield(lucet_instance *i) {
  uint64_t args[1] = {1};
  lucet_event event = call(i, "native", args);
  EXPECT(event.kind == LUCET_EVENT_YIELDED && event.code == 1);
  print_state(i);
  lucet_value question = lucet_instance_yielded(i);
  EXPECT(question.type == &TEXT && strcmp((const char *)(uintptr_t)question.bits, "how many?") == 0);
  EXPECT(lucet_instance_resume(i, &event, &error) == LUCET_ERROR_YIELD_TYPE);
  EXPECT(lucet_instance_resume_with(i, question, &event, &error) == LUCET_ERROR_YIELD_TYPE);
  print_state(i);
  EXPECT(lucet_instance_resume_with(i, (lucet_value){&NUMBER, 77}, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 77);
}

static void test_host_functions(lucet_instance *i, const struct session *session) {
  uint64_t args[1] = {0};
  EXPECT(call(i, "native", args).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 1 && session->calls == 1);
  args[0] = 2;
  EXPECT(call(i, "native", args).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 1);
  args[0] = 3;
  uint64_t length;
  EXPECT(call(i, "native", args).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 2 << 16);
  const uint8_t *bytes = lucet_instance_memory(i, 0, &length);
  EXPECT(length == 2 << 16 && bytes[length - 1] == 9);
  args[0] = 4;
  lucet_event event = call(i, "native", args);
  EXPECT(strcmp(lucet_trap_name(1000), "Unknown") == 0);
  EXPECT(event.kind == LUCET_EVENT_TRAPPED && event.code == 1000 && lucet_instance_trap_info(i)->signal == 0);
  print_state(i);
  /* One that the embedder carries out. */
  args[0] = 30;
  event = call(i, "ask", args);
  EXPECT(event.kind == LUCET_EVENT_HOSTCALL && event.id == 5 && event.instance == i && event.args[0] == 30);
  print_state(i);
  event.args[0] = 31;
  EXPECT(lucet_instance_resume(i, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_RETURNED && args[0] == 31);
}

/** Unreachable, with its name and in the words of the official suite. */
static void test_trap(lucet_instance *i) {
  uint64_t args[1];
  lucet_event event = call(i, "trap", args);
  EXPECT(event.kind == LUCET_EVENT_TRAPPED && strcmp(lucet_trap_name(event.code), "Unreachable") == 0);
  EXPECT(strcmp(lucet_trap_message(event.code), "unreachable") == 0);
}

/** By its number in a table, as Lucet's run_func_idx. */
static void test_table(lucet_instance *i) {
  uint64_t word;
  lucet_extern e;
  EXPECT(lucet_module_export(module, export_number("table"), &e) == LUCET_OK && lucet_instance_table_size(i, e.index) == 2);
  EXPECT(lucet_instance_table_get(i, e.index, 0, &word) == LUCET_OK && word == 0);
  EXPECT(lucet_instance_table_get(i, e.index, 1, &word) == LUCET_OK && lucet_instance_table_get(i, e.index, 2, &word) == LUCET_ERROR_ARGUMENT);
  const lucet_funcref *f = (const lucet_funcref *)(uintptr_t)word;
  uint32_t params, results;
  const uint8_t *types = lucet_funcref_type(f, &params, &results);
  EXPECT(params == 1 && results == 1 && types[0] == LUCET_I64 && types[1] == LUCET_I64 && lucet_funcref_instance(f) == i);
  EXPECT(lucet_instance_function(i, lucet_funcref_index(f)) == f);
  uint64_t args[1] = {5};
  lucet_event event;
  EXPECT(lucet_instance_call(i, f, args, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_RETURNED && args[0] == 15);
}

static void test_terminated(lucet_instance *i) {
  lucet_kill_switch *k;
  EXPECT(lucet_instance_kill_switch(i, &k, &error) == LUCET_OK);
  lucet_kill_switch_retain(k);
  lucet_kill_switch_release(k);
  EXPECT(lucet_kill_switch_terminate(k) == LUCET_KILL_CANCELLED);
  print_state(i);
  uint64_t args[1] = {5};
  lucet_event event = call(i, "sum", args);
  EXPECT(event.kind == LUCET_EVENT_TERMINATED && event.code == LUCET_REASON_REMOTE);
  print_state(i);
  lucet_kill_switch_release(k);
}

int main(int argc, char **argv) {
  if (argc != 2) return 1;
  struct session session = {0, 0};
  EXPECT(lucet_module_load_file(argv[1], &module, &error) == LUCET_OK);
  EXPECT(lucet_region_create(3, NULL, &region, &error) == LUCET_OK);
  EXPECT(lucet_region_capacity(region) == 3 && lucet_region_kind_of(region) == LUCET_REGION_GUARDED && lucet_region_used_slots(region) == 0);
  lucet_module_retain(module);
  lucet_module_release(module);
  test_module();
  lucet_instance *i = instance();
  EXPECT(lucet_instance_module(i) == module && lucet_region_used_slots(region) == 1 && lucet_region_free_slots(region) == 2);
  EXPECT(lucet_instance_embed_insert(i, &SESSION, &session, drop_session) == LUCET_OK && lucet_instance_data(i) == NULL);
  lucet_instance_set_data(i, &session);
  test_start(i);
  test_bound(i);
  test_yield(i);
  test_host_functions(i, &session);
  test_trap(i);
  test_table(i);
  test_terminated(i);
  lucet_instance_retain(i);
  lucet_instance_release(i);
  EXPECT(lucet_region_used_slots(region) == 1 && session.dropped == 0);
  lucet_instance_release(i);
  EXPECT(lucet_region_used_slots(region) == 0 && session.dropped == 1);
  lucet_region_release(region);
  lucet_module_release(module);
  printf("done\n");
  return 0;
}
