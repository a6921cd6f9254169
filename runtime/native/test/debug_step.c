/**
 * Stops a guest of debug code at each of its sequence points, prints what is in the homes there, and changes one of
 * them on request: independent of the runtime's own debugging, by ptrace.
 *
 *     debug_step MODULE.so EXPORT ARGUMENT [STOP local|operand NUMBER VALUE]
 *
 * A line for each stop: "wasm offset: locals | operands", each as 64 bits in hex (of a vector the low half). Then
 * "result N".
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

enum { MOST_STEPS = 100000, NOP = 0x90 };

struct change {
  long stop;
  bool operand;
  uint32_t number;
  uint64_t value;
};

static void guest(lucet_instance *i, int32_t export_, uint64_t argument) {
  lucet_event e;
  uint64_t args[8] = {argument};
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  lucet_status status = lucet_instance_call_export(i, (uint32_t)export_, args, &e, NULL);
  if (status != LUCET_OK || e.kind != LUCET_EVENT_RETURNED) _exit(2);
  printf("result %llu\n", (unsigned long long)args[0]);
  fflush(stdout);
  _exit(0);
}

static void show(pid_t child, uint64_t home) { printf(" %llx", (unsigned long long)ptrace(PTRACE_PEEKDATA, child, home, 0)); }

/** The point whose NOP lies at `pc`, and its function. */
static const struct lucet_sequence_point_record *find(const struct metadata *d, uint64_t pc, const struct lucet_debug_function_record **function) {
  for (uint32_t i = 0; i < d->debug_function_count; i++) {
    *function = &d->debug_functions[i];
    for (uint32_t k = 0; k < (*function)->point_count; k++)
      if (d->sequence_points[(*function)->first_point + k].pc == pc) return &d->sequence_points[(*function)->first_point + k];
  }
  return NULL;
}

int main(int argc, char **argv) {
  lucet_module *m;
  lucet_region *r;
  lucet_instance *i;
  lucet_error error;
  struct change change = {.stop = -1};
  if (argc < 4 || lucet_module_load_file(argv[1], &m, &error) != LUCET_OK || lucet_region_create(1, NULL, &r, &error) != LUCET_OK ||
      lucet_instance_new(r, m, NULL, 0, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", argc < 4 ? "usage: debug_step MODULE.so EXPORT ARGUMENT [STOP local|operand NUMBER VALUE]" : error.message);
    return 1;
  }
  if (argc == 8)
    change = (struct change){strtol(argv[4], NULL, 0), argv[5][0] == 'o', (uint32_t)strtoul(argv[6], NULL, 0), strtoull(argv[7], NULL, 0)};
  int32_t export_ = lucet_module_find_export(m, argv[2], strlen(argv[2]));
  pid_t child = fork();
  if (child == 0) guest(i, export_, strtoull(argv[3], NULL, 0));
  const struct metadata *d = &m->meta;
  uint64_t text = (uint64_t)(uintptr_t)m->text;
  int status;
  waitpid(child, &status, 0);
  long stop = 0;
  for (int n = 0; WIFSTOPPED(status) && n < MOST_STEPS; n++) {
    int sig = WSTOPSIG(status);
    struct user_regs_struct u;
    const struct lucet_debug_function_record *f = NULL;
    ptrace(PTRACE_GETREGS, child, 0, &u);
    const struct lucet_sequence_point_record *p = find(d, u.rip - text, &f);
    if (p != NULL) {
      if (m->text[p->pc] != NOP) return 1;
      printf("%x:", p->wasm_offset);
      for (uint32_t k = 0; k < f->local_count; k++) show(child, u.rsp + d->debug_locals[f->first_local + k].home);
      printf(" |");
      for (uint32_t k = 0; k < p->operand_count; k++) show(child, u.rsp + f->operands + LUCET_OPERAND_HOME_SIZE * k);
      printf("\n");
      fflush(stdout);
      uint64_t home = change.operand ? f->operands + LUCET_OPERAND_HOME_SIZE * change.number : d->debug_locals[f->first_local + change.number].home;
      if (stop++ == change.stop) ptrace(PTRACE_POKEDATA, child, u.rsp + home, change.value);
    }
    ptrace(PTRACE_SINGLESTEP, child, 0, sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
    waitpid(child, &status, 0);
  }
  if (WIFSTOPPED(status)) kill(child, SIGKILL);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
