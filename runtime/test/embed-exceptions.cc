// An embedder in C++ whose host function fails (lucet.h, lucet_host_function): `embed-exceptions MODULE.so kept` hands the
// exception on behind the call, `escapes` lets it get out. With REFUSED defined it does not compile.
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "lucet.h"

static bool escapes;
static std::exception_ptr kept;

static void fails() { throw std::runtime_error("no such thing"); }

static void log(lucet_vmctx *vm, uint64_t *, void *) noexcept {
  if (escapes) fails();
  try {
    fails();
  } catch (...) {
    kept = std::current_exception();
  }
  // Not in the handler: the exception would be in use for ever.
  lucet_vmctx_terminate(vm, LUCET_REASON_PROVIDED, 0);
}

#ifdef REFUSED
static void throws(lucet_vmctx *, uint64_t *, void *) { fails(); }
lucet_host_function refused = throws;
#endif

static void gcd(lucet_instance *instance) {
  uint64_t args[2] = {6, 4};
  lucet_event event;
  int32_t number = lucet_module_find_export(lucet_instance_module(instance), "gcd", 3);
  if (lucet_instance_call_export(instance, static_cast<uint32_t>(number), args, &event, nullptr) != LUCET_OK) throw std::logic_error("the call is refused");
  if (event.kind == LUCET_EVENT_TERMINATED && kept) std::rethrow_exception(std::exchange(kept, nullptr));
}

int main(int, char **argv) {
  lucet_module *module;
  lucet_region *region;
  lucet_instance *instance;
  escapes = std::strcmp(argv[2], "escapes") == 0;
  lucet_import import = {};
  import.kind = LUCET_IMPORT_NATIVE;
  import.function = log;
  import.signature = "i:";
  if (lucet_module_load_file(argv[1], &module, nullptr) != LUCET_OK || lucet_region_create(1, nullptr, &region, nullptr) != LUCET_OK ||
      lucet_instance_new(region, module, &import, 1, &instance, nullptr) != LUCET_OK)
    return 1;
  for (int n = 0; n < 1000; n++) {
    try {
      gcd(instance);
      return 1;
    } catch (const std::runtime_error &e) {
      if (n == 999) std::printf("%s\n", e.what());
    }
  }
  lucet_instance_release(instance);
  lucet_region_release(region);
  lucet_module_release(module);
  return 0;
}
