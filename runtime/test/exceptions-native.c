/*
 * Exceptions by the C API: argv[1] is a module compiled from the text in exceptions-native.test.ts. Prints what it
 * sees.
 */
#include <string.h>

#include "native-expect.h"

static lucet_module *module;
static lucet_instance *instance;
static lucet_tag *tag;

static uint32_t export_number(const char *name) {
  int32_t n = lucet_module_find_export(module, name, strlen(name));
  EXPECT(n >= 0);
  return (uint32_t)n;
}

static lucet_event call(const char *name, uint64_t *args) {
  lucet_event event;
  EXPECT(lucet_instance_call_export(instance, export_number(name), args, &event, &error) == LUCET_OK);
  return event;
}

/** Throws what it is given. */
static void host_throw(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  uint64_t values[3] = {args[0], 0x1122334455667788, 0x99aabbccddeeff00};
  lucet_vmctx_throw(vm, tag, values);
}

/** Calls the guest, and lets its exception pass. */
static void host_pass(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  uint64_t inner[4] = {args[0]};
  lucet_event event;
  EXPECT(lucet_instance_call_export(lucet_vmctx_instance(vm), export_number("thrower"), inner, &event, &error) == LUCET_OK);
  EXPECT(event.kind == LUCET_EVENT_EXCEPTION);
  lucet_vmctx_rethrow(vm, (lucet_exception *)(uintptr_t)event.id);
}

/** Calls the guest, and keeps its exception to itself. */
static void host_swallow(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  uint64_t inner[4] = {args[0]};
  lucet_event event;
  EXPECT(lucet_instance_call_export(lucet_vmctx_instance(vm), export_number("thrower"), inner, &event, &error) == LUCET_OK);
  lucet_exception *e = (lucet_exception *)(uintptr_t)event.id;
  EXPECT(event.kind == LUCET_EVENT_EXCEPTION && lucet_exception_tag(e) == tag && (uint32_t)lucet_exception_values(e)[0] == (uint32_t)args[0]);
  lucet_exception_release(e);
}

int main(int argc, char **argv) {
  lucet_region *region;
  (void)argc;
  EXPECT(lucet_module_load_file(argv[1], &module, &error) == LUCET_OK);
  EXPECT(lucet_region_create(2, NULL, &region, &error) == LUCET_OK);
  lucet_import imports[4];
  memset(imports, 0, sizeof imports);
  imports[0] = (lucet_import){.kind = LUCET_IMPORT_NATIVE, .function = host_throw, .signature = "i:"};
  imports[1] = (lucet_import){.kind = LUCET_IMPORT_NATIVE, .function = host_pass, .signature = "i:"};
  imports[2] = (lucet_import){.kind = LUCET_IMPORT_NATIVE, .function = host_swallow, .signature = "i:"};
  imports[3] = (lucet_import){.kind = LUCET_IMPORT_HOSTCALL, .id = 7};
  EXPECT(lucet_instance_new(region, module, imports, 4, &instance, &error) == LUCET_OK);
  tag = lucet_instance_tag(instance, 0);
  uint32_t params;
  const uint8_t *types = lucet_tag_types(tag, &params);
  EXPECT(params == 2 && types[0] == LUCET_I32 && types[1] == LUCET_V128 && lucet_instance_tag(instance, 1) == NULL);

  /* Caught: by each way that the exception can come; what the guest kept in registers is still there. */
  for (uint64_t way = 0; way < 3; way++) {
    uint64_t args[3] = {way, 40};
    lucet_event event = call("catch", args);
    EXPECT(event.kind == LUCET_EVENT_RETURNED);
    EXPECT((uint32_t)args[0] == (way == 2 ? 1000 : 40));
    EXPECT(way == 2 || args[1] == (way == 0 ? 0x1122334455667788 : 41));
    printf("caught %d\n", (int)way);
  }

  /* Uncaught. */
  uint64_t args[4] = {5};
  lucet_event event = call("thrower", args);
  EXPECT(event.kind == LUCET_EVENT_EXCEPTION && strcmp(lucet_trap_name(event.code), "UncaughtException") == 0);
  const lucet_trap_info *info = lucet_instance_trap_info(instance);
  EXPECT(info != NULL && info->frame_count == 1 && info->signal == 0);
  lucet_exception *kept = (lucet_exception *)(uintptr_t)event.id;
  printf("uncaught %u\n", (unsigned)lucet_exception_values(kept)[0]);

  /* At a hostcall of the embedder's, again and again; the one that is kept stays what it is. */
  for (int k = 0; k < 5000; k++) {
    args[0] = 3, args[1] = 9;
    event = call("catch", args);
    EXPECT(event.kind == LUCET_EVENT_HOSTCALL && event.id == 7);
    lucet_exception *e;
    uint64_t values[3] = {(uint64_t)k, 1, 2};
    EXPECT(lucet_exception_new(instance, tag, values, &e, &error) == LUCET_OK);
    EXPECT(lucet_instance_resume_throw(instance, e, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_RETURNED);
    EXPECT((uint32_t)args[0] == (uint32_t)k && args[1] == 1);
    lucet_exception_release(e);
  }
  EXPECT((uint32_t)lucet_exception_values(kept)[0] == 5);
  args[0] = 4, args[1] = 9;
  event = call("catch", args);
  EXPECT(event.kind == LUCET_EVENT_HOSTCALL);
  EXPECT(lucet_instance_resume_throw(instance, kept, &event, &error) == LUCET_OK && event.kind == LUCET_EVENT_EXCEPTION);
  EXPECT((lucet_exception *)(uintptr_t)event.id == kept);
  lucet_exception_release(kept);

  /* On a pool's thread. */
  lucet_pool *pool;
  lucet_pool_event done;
  EXPECT(lucet_pool_create(&(lucet_pool_options){.threads = 1}, &pool, &error) == LUCET_OK);
  lucet_exception_retain(kept);
  args[0] = 3, args[1] = 9;
  lucet_extern e;
  EXPECT(lucet_module_export(module, export_number("catch"), &e) == LUCET_OK);
  EXPECT(lucet_pool_call(pool, instance, lucet_instance_function(instance, e.index), args, 1, &error) == LUCET_OK);
  EXPECT(lucet_pool_wait(pool, 20000000000u) && lucet_pool_take(pool, &done, 1) == 1 && done.event.kind == LUCET_EVENT_HOSTCALL);
  EXPECT(lucet_pool_resume_throw(pool, instance, kept, 2, &error) == LUCET_OK);
  EXPECT(lucet_pool_wait(pool, 20000000000u) && lucet_pool_take(pool, &done, 1) == 1 && done.id == 2);
  EXPECT(done.event.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 5);
  lucet_exception_release(kept);
  lucet_pool_release(pool);
  EXPECT(lucet_instance_resume_throw(instance, kept, &event, &error) == LUCET_ERROR_STATE);

  /* It outlives its instance. */
  lucet_instance_release(instance);
  EXPECT((uint32_t)lucet_exception_values(kept)[0] == 5);
  EXPECT(lucet_instance_new(region, module, imports, 4, &instance, &error) == LUCET_OK);
  args[0] = 3, args[1] = 9;
  event = call("catch", args);
  EXPECT(lucet_instance_resume_throw(instance, kept, &event, &error) == LUCET_ERROR_ARGUMENT);
  EXPECT(lucet_instance_abort(instance, &error) == LUCET_OK);
  lucet_exception_release(kept);
  lucet_instance_release(instance);
  lucet_module_release(module);
  lucet_region_release(region);
  printf("done\n");
  return 0;
}
