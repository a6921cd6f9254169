/**
 * Steps a guest instruction by instruction and compares, at each one, where the unwinder says that the return address lies with where it was when the
 * function was entered.
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

static uint64_t entries[MOST_DEPTH];
static size_t depth;
static unsigned bodies, edges, wrong;

static void step(const lucet_module *m, uint64_t pc, uint64_t sp) {
  uint64_t text = (uint64_t)(uintptr_t)m->text;
  if (pc < text || pc - text >= m->meta.header->text_size) return;
  uint32_t f = lucet_module_function_at(m, (uint32_t)(pc - text));
  if (f == NONE) return;
  while (depth > 0 && sp > entries[depth - 1]) depth--;
  if (pc - text == m->meta.functions[f].code && depth < MOST_DEPTH) entries[depth++] = sp;
  uint32_t size = lucet_unwind_depth(m, f, pc);
  if (size == m->meta.functions[f].frame_size)
    bodies++;
  else
    edges++;
  if (depth == 0 || sp + size != entries[depth - 1]) {
    wrong++;
    fprintf(stderr, "function %u + %#llx: return address %u bytes above the stack pointer, should be %lld\n", f,
            (unsigned long long)(pc - text - m->meta.functions[f].code), size,
            depth != 0 ? (long long)(entries[depth - 1] - sp) : -1);
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
    step(m, u.rip, u.rsp);
    ptrace(PTRACE_SINGLESTEP, child, 0, sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
    waitpid(child, &status, 0);
  }
  bool finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFSTOPPED(status)) kill(child, SIGKILL);
  printf("%u %u\n", bodies, edges);
  return finished && wrong == 0 ? 0 : 1;
}
