/**
 * Steps a guest instruction by instruction and compares, at each one, what the unwinder says of the innermost frame,
 * its return address and the stack pointer of its caller, with what they were at the call. A tail call is no call: the
 * frame that it makes has the return address of the one before.
 *
 *     unwind_step MODULE.so EXPORT [INTEGER…]
 *
 * Prints the numbers of steps in bodies, and in prologues and epilogues. Exit status 1: some were wrong.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../internal.h"

enum { MOST_STEPS = 100000, MOST_DEPTH = 4096 };

/** Calls that have not returned: the return address, and the stack pointer at the call instruction. */
static struct {
  uint64_t pc, sp;
} calls[MOST_DEPTH];
static size_t depth;
static unsigned bodies, edges, wrong;
static bool returning;

static void step(const lucet_module *m, pid_t child, uint64_t pc, uint64_t sp) {
  static uint64_t last_sp;
  uint64_t text = (uint64_t)(uintptr_t)m->text;
  bool returned = returning, called = sp == last_sp - 8;
  last_sp = sp;
  returning = false;
  if (pc < text || pc - text >= m->meta.header->text_size) return;
  uint32_t f = lucet_module_function_at(m, (uint32_t)(pc - text));
  if (f == NONE) return;
  const struct lucet_function_record *r = &m->meta.functions[f];
  if (returned && depth > 0) depth--;
  if (called && pc - text == r->code && depth < MOST_DEPTH) {
    calls[depth].pc = (uint64_t)ptrace(PTRACE_PEEKDATA, child, sp, 0);
    calls[depth++].sp = sp + 8;
  }
  const uint8_t *code = (const uint8_t *)(uintptr_t)pc;
  returning = *code == 0xc3 || *code == 0xc2;
  struct frame_shape s = lucet_unwind_shape(m, f, pc);
  if (s.depth == r->frame_size)
    bodies++;
  else
    edges++;
  uint64_t ra = (uint64_t)ptrace(PTRACE_PEEKDATA, child, sp + s.depth, 0), caller = sp + s.depth + 8 + s.args;
  if (ra - text < m->meta.header->text_size) {
    uint32_t g = lucet_module_function_at(m, (uint32_t)(ra - 1 - text));
    if (g != NONE) caller = lucet_unwind_caller_sp(m, g, ra, caller);
  }
  if (depth == 0 || ra != calls[depth - 1].pc || caller != calls[depth - 1].sp) {
    wrong++;
    fprintf(stderr, "function %u + %#llx: return address %#llx, caller's stack pointer %#llx, should be %#llx, %#llx\n", f,
            (unsigned long long)(pc - text - r->code), (unsigned long long)ra, (unsigned long long)caller,
            depth != 0 ? (unsigned long long)calls[depth - 1].pc : 0, depth != 0 ? (unsigned long long)calls[depth - 1].sp : 0);
  }
}

static void guest(lucet_instance *i, int32_t export_, uint64_t *args) {
  lucet_event e;
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  lucet_status status = lucet_instance_call_export(i, (uint32_t)export_, args, &e, NULL);
  _exit(status == LUCET_OK && e.kind == LUCET_EVENT_RETURNED ? 0 : 2);
}

int main(int argc, char **argv) {
  lucet_module *m;
  lucet_region *r;
  lucet_instance *i;
  lucet_error error;
  uint64_t args[64] = {0};
  if (argc < 3 || lucet_module_load_file(argv[1], &m, &error) != LUCET_OK || lucet_region_create(1, NULL, &r, &error) != LUCET_OK ||
      lucet_instance_new(r, m, NULL, 0, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", argc < 3 ? "usage: unwind_step MODULE.so EXPORT [INTEGER...]" : error.message);
    return 1;
  }
  for (int k = 3; k < argc && k < 64; k++) args[k - 3] = strtoull(argv[k], NULL, 0);
  int32_t export_ = lucet_module_find_export(m, argv[2], strlen(argv[2]));
  pid_t child = fork();
  if (child == 0) guest(i, export_, args);
  int status;
  waitpid(child, &status, 0);
  for (int n = 0; WIFSTOPPED(status) && n < MOST_STEPS; n++) {
    struct user_regs_struct u;
    int sig = WSTOPSIG(status);
    ptrace(PTRACE_GETREGS, child, 0, &u);
    step(m, child, u.rip, u.rsp);
    ptrace(PTRACE_SINGLESTEP, child, 0, sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
    waitpid(child, &status, 0);
  }
  bool finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFSTOPPED(status)) kill(child, SIGKILL);
  printf("%u %u\n", bodies, edges);
  return finished && wrong == 0 ? 0 : 1;
}
