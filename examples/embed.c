/**
 * Guests in a C program: load, link, call, stop.
 *
 *     wat: (module (import "host" "log" (func $log (param i32))) (func (export "gcd") …) (func (export "forever") (loop (br 0))))
 *
 *     lucetc embed.wat -o embed.so
 *     cc embed.c $(lucet-config --cflags --libs) -o embed && ./embed embed.so
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lucet.h"

static lucet_error error;

static void check(lucet_status status) {
  if (status == LUCET_OK) return;
  fprintf(stderr, "error: %s\n", error.message);
  exit(1);
}

/** Arguments come in an array of 64-bit words; results go to its start. This runs on the program's own stack, so it may do what it likes. */
static void host_log(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)vm;
  printf("%s%" PRId32 "\n", (const char *)data, (int32_t)args[0]);
}

static lucet_event call(lucet_instance *instance, const char *name, uint64_t *args) {
  lucet_event event;
  int32_t number = lucet_module_find_export(lucet_instance_module(instance), name, strlen(name));
  if (number < 0) {
    fprintf(stderr, "error: the module exports no %s\n", name);
    exit(1);
  }
  check(lucet_instance_call_export(instance, (uint32_t)number, args, &event, &error));
  return event;
}

int main(int argc, char **argv) {
  lucet_module *module;
  lucet_region *region;
  lucet_instance *instance;
  if (argc != 2) {
    fprintf(stderr, "usage: embed MODULE.so\n");
    return 1;
  }
  check(lucet_module_load_file(argv[1], &module, &error));
  check(lucet_region_create(8, NULL, &region, &error));
  const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = host_log, .data = "guest says ", .signature = "i:"}};
  check(lucet_instance_new(region, module, imports, 1, &instance, &error));

  uint64_t args[2] = {1071, 462};
  lucet_event event = call(instance, "gcd", args);
  if (event.kind == LUCET_EVENT_RETURNED) printf("gcd %" PRId32 "\n", (int32_t)args[0]);

  /* A trap is an event with a report; the instance can be called again. */
  args[0] = args[1] = 0;
  event = call(instance, "divide", args);
  if (event.kind == LUCET_EVENT_TRAPPED) {
    const lucet_trap_info *trap = lucet_instance_trap_info(instance);
    uint32_t length;
    const char *function = lucet_module_function_name(trap->module, trap->function, &length);
    printf("trap %s in %.*s\n", lucet_trap_name(event.code), (int)length, function);
  }

  /* A guest that never ends is stopped, at whatever instruction it is. */
  lucet_instance_set_timeout(instance, 20000000);
  event = call(instance, "forever", args);
  if (event.kind == LUCET_EVENT_TERMINATED && event.code == LUCET_REASON_TIMEOUT) printf("took too long\n");
  lucet_instance_set_timeout(instance, 0);

  /* On other threads, in time slices: one that never ends, and one that does. */
  lucet_pool *pool;
  lucet_instance *endless;
  lucet_kill_switch *kill_switch;
  lucet_pool_event done;
  check(lucet_instance_new(region, module, imports, 1, &endless, &error));
  check(lucet_instance_kill_switch(endless, &kill_switch, &error));
  check(lucet_pool_create(&(lucet_pool_options){.threads = 1, .slice = 1000000}, &pool, &error));
  uint64_t none[1] = {0};
  uint32_t forever = (uint32_t)lucet_module_find_export(module, "forever", 7), gcd = (uint32_t)lucet_module_find_export(module, "gcd", 3);
  lucet_extern function;
  check(lucet_module_export(module, forever, &function));
  check(lucet_pool_call(pool, endless, lucet_instance_function(endless, function.index), none, 1, &error));
  args[0] = 48;
  args[1] = 36;
  check(lucet_module_export(module, gcd, &function));
  check(lucet_pool_call(pool, instance, lucet_instance_function(instance, function.index), args, 2, &error));
  for (int ended = 0; ended < 2;) {
    if (!lucet_pool_wait(pool, 1000000000) || lucet_pool_take(pool, &done, 1) == 0) continue;
    ended++;
    if (done.id == 2) {
      printf("gcd %" PRId32 " beside a guest that never ends\n", (int32_t)args[0]);
      lucet_kill_switch_terminate(kill_switch);
    } else if (done.event.kind == LUCET_EVENT_TERMINATED) {
      printf("killed\n");
    }
  }
  lucet_pool_release(pool);
  lucet_kill_switch_release(kill_switch);
  lucet_instance_release(endless);
  lucet_instance_release(instance);
  lucet_region_release(region);
  lucet_module_release(module);
  return 0;
}
