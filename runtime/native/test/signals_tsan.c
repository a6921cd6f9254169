/**
 * Linked into tests for the thread sanitizer, which puts off handlers until the thread next calls the system: a guest
 * that never does would not be interrupted. So handlers are installed without its knowledge. The files whose code runs
 * in them are compiled without it, as a handler may interrupt the sanitizer itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);

static sigaction_function *real;
__attribute__((constructor)) static void find(void) { *(void **)&real = dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), "sigaction"); }

int __wrap_sigaction(int sig, const struct sigaction *action, struct sigaction *old) {
  return real(sig, action, old);
}
