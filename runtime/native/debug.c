/**
 * Breakpoints in guest code, single steps, and what a stopped guest holds.
 *
 * A breakpoint is the byte of `int3` in the place of an instruction's first one. Code is mapped executable and never
 * writable; when the first breakpoint of a module is set, its pages get a second mapping, elsewhere, that can be
 * written, so no thread ever sees the code gone. (Private memory, where the system forbids executable shared memory, is
 * written through /proc/self/mem.) A single byte is written at once, and processors agree on what they see.
 *
 * Going on from a breakpoint: a one-byte NOP, which is what sequence points are, is skipped. For any other instruction
 * the byte is put back, the guest runs one step by the processor's trap flag, and the breakpoint is set again; another
 * thread that runs the same code may slip through meanwhile. A step that calls the host ends when the host returns: the
 * signal handler finds the thread in host code, and makes it a request.
 *
 * A trap may arrive after its breakpoint was removed: then the instruction is there again, and is executed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "watch.h"

#define INT3 0xccu
#define NOP 0x90u
#define TRAP_FLAG 0x100u

struct breakpoint {
  uint32_t offset;
  uint8_t original;
};

/** Guards the breakpoints of all modules. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint all;

static struct breakpoint *find(const lucet_module *m, uint32_t offset) {
  for (uint32_t k = 0; k < m->breakpoint_count; k++)
    if (m->breakpoints[k].offset == offset) return &m->breakpoints[k];
  return NULL;
}

/** The pages that hold the code. */
static uint8_t *pages(const lucet_module *m, size_t *size) {
  uintptr_t start = (uintptr_t)m->text & ~(uintptr_t)(HOST_PAGE - 1), end = (uintptr_t)m->text + m->meta.header->text_size;
  *size = (size_t)(round_up(end, HOST_PAGE) - start);
  return (uint8_t *)start;
}

static bool write_through(const uint8_t *at, uint8_t byte) {
  int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  bool ok = pwrite(fd, &byte, 1, (off_t)(uintptr_t)at) == 1;
  close(fd);
  return ok;
}

/** The lock is held. */
static bool patch(lucet_module *m, uint32_t offset, uint8_t byte) {
  size_t size;
  uint8_t *start = pages(m, &size);
  if (m->writable == NULL && !m->private_code) {
    /* An old size of 0 makes a second mapping of shared pages. */
    void *p = mremap(start, 0, size, MREMAP_MAYMOVE);
    if (p != MAP_FAILED && mprotect(p, size, PROT_READ | PROT_WRITE) != 0) {
      munmap(p, size);
      p = MAP_FAILED;
    }
    m->writable = p != MAP_FAILED ? p : NULL;
    m->private_code = p == MAP_FAILED;
  }
  if (m->private_code) return write_through(m->text + offset, byte);
  __atomic_store_n(m->writable + (m->text - start) + offset, byte, __ATOMIC_SEQ_CST);
  return true;
}

lucet_status lucet_module_set_breakpoint(lucet_module *m, uint32_t offset, lucet_error *error) {
  if (offset >= m->meta.header->text_size) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "there is no code at %u", offset);
  pthread_mutex_lock(&lock);
  bool ok = true;
  if (find(m, offset) == NULL) {
    struct breakpoint *grown = realloc(m->breakpoints, (m->breakpoint_count + 1) * sizeof *grown);
    ok = grown != NULL;
    if (ok) {
      m->breakpoints = grown;
      grown[m->breakpoint_count] = (struct breakpoint){offset, m->text[offset]};
      ok = patch(m, offset, INT3);
    }
    if (ok) {
      m->breakpoint_count++;
      atomic_fetch_add(&all, 1);
    }
  }
  pthread_mutex_unlock(&lock);
  return ok ? lucet_ok(error) : lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the system lets nobody write code");
}

lucet_status lucet_module_clear_breakpoint(lucet_module *m, uint32_t offset, lucet_error *error) {
  pthread_mutex_lock(&lock);
  struct breakpoint *b = find(m, offset);
  bool ok = b == NULL || patch(m, offset, b->original);
  if (b != NULL && ok) {
    *b = m->breakpoints[--m->breakpoint_count];
    atomic_fetch_sub(&all, 1);
  }
  pthread_mutex_unlock(&lock);
  return ok ? lucet_ok(error) : lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the system lets nobody write code");
}

void lucet_breakpoints_free(lucet_module *m) {
  size_t size;
  if (m->writable != NULL && pages(m, &size) != NULL) munmap(m->writable, size);
  atomic_fetch_sub(&all, m->breakpoint_count);
  free(m->breakpoints);
}

uint8_t lucet_code_byte(const lucet_module *m, uint32_t offset) {
  uint8_t byte = m->text[offset];
  if (byte != INT3 || atomic_load(&all) == 0) return byte;
  pthread_mutex_lock(&lock);
  const struct breakpoint *b = find(m, offset);
  if (b != NULL) byte = b->original;
  pthread_mutex_unlock(&lock);
  return byte;
}

/** The breakpoint that was put back for a step, and may have been removed meanwhile. */
static void set_again(struct lucet_activation *a) {
  lucet_module *m = a->step.lifted;
  if (m == NULL) return;
  a->step.lifted = NULL;
  pthread_mutex_lock(&lock);
  if (find(m, a->step.offset) != NULL) (void)patch(m, a->step.offset, INT3);
  pthread_mutex_unlock(&lock);
}

void lucet_debug_prepare(struct lucet_activation *a) {
  uint64_t *r = a->machine->registers, told = a->step.told;
  a->step.told = 0;
  a->step.from = told;
  if (told == r[16] && atomic_load(&all) != 0) {
    lucet_module *m = lucet_registry_find(r[16]);
    uint32_t offset = m != NULL ? (uint32_t)(r[16] - (uint64_t)(uintptr_t)m->text) : 0;
    pthread_mutex_lock(&lock);
    const struct breakpoint *b = m != NULL ? find(m, offset) : NULL;
    if (b != NULL && b->original == NOP && !a->step.wanted) {
      r[16]++;
    } else if (b != NULL && patch(m, offset, b->original)) {
      a->step.lifted = m;
      a->step.offset = offset;
    }
    pthread_mutex_unlock(&lock);
  }
  if (a->step.wanted || a->step.lifted != NULL) r[17] |= TRAP_FLAG;
  a->step.stepping = (r[17] & TRAP_FLAG) != 0;
}

void lucet_debug_settle(struct lucet_activation *a) {
  a->step.stepping = false;
  set_again(a);
  if (a->machine != NULL) a->machine->registers[17] &= ~(uint64_t)TRAP_FLAG;
}

uint32_t lucet_debug_trapped(const struct lucet_activation *a, const struct machine_state *m) {
  uint64_t pc = m->registers[16];
  if (m->watch) return lucet_watch_look(a->instance) ? LUCET_STOP_WATCHPOINT : LUCET_STOP_NONE;
  /* A step's signal and a watchpoint's become one. */
  if (m->trap_code == TRAP_TRACE && lucet_watch_look(a->instance)) return LUCET_STOP_WATCHPOINT;
  if (m->trap_code == TRAP_TRACE) return a->step.wanted ? LUCET_STOP_STEP : LUCET_STOP_NONE;
  const lucet_module *module = m->trap_code == SI_KERNEL ? lucet_registry_find(pc) : NULL;
  if (module == NULL) return LUCET_STOP_UNKNOWN;
  uint32_t offset = (uint32_t)(pc - (uint64_t)(uintptr_t)module->text);
  pthread_mutex_lock(&lock);
  bool set = find(module, offset) != NULL, gone = __atomic_load_n(module->text + offset, __ATOMIC_SEQ_CST) != INT3;
  pthread_mutex_unlock(&lock);
  return set ? LUCET_STOP_BREAKPOINT : gone ? LUCET_STOP_NONE : LUCET_STOP_UNKNOWN;
}

/* ---- What a stopped guest holds */

static struct lucet_activation *stopped_one(const lucet_instance *i) {
  return i->innermost != NULL && stopped_anywhere(i->innermost) ? i->innermost : NULL;
}

uint64_t *lucet_instance_registers(lucet_instance *i) {
  struct lucet_activation *a = stopped_one(i);
  return a != NULL ? a->machine->registers : NULL;
}

uint8_t *lucet_instance_extended(lucet_instance *i, size_t *size) {
  struct lucet_activation *a = stopped_one(i);
  *size = a != NULL ? a->machine->extended_size : 0;
  return a != NULL ? a->machine->extended : NULL;
}

lucet_status lucet_instance_step(lucet_instance *i, lucet_error *error) {
  struct lucet_activation *a = stopped_one(i);
  if (a == NULL) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the instance isn't stopped at an instruction");
  a->step.wanted = true;
  return lucet_ok(error);
}

bool lucet_stack_range(const lucet_instance *i, uint64_t address, size_t n) {
  const struct lucet_activation *a = i->innermost;
  uint64_t low = (uint64_t)(uintptr_t)i->slot->stack_low, top = (uint64_t)(uintptr_t)i->slot->stack_top;
  return a != NULL && a->state == ACTIVATION_SUSPENDED && address >= low && address <= top && n <= top - address;
}

lucet_status lucet_instance_stack_read(const lucet_instance *i, uint64_t address, void *to, size_t n) {
  if (!lucet_stack_range(i, address, n)) return LUCET_ERROR_ARGUMENT;
  memcpy(to, (const void *)(uintptr_t)address, n);
  return LUCET_OK;
}

lucet_status lucet_instance_stack_write(lucet_instance *i, uint64_t address, const void *from, size_t n) {
  if (!lucet_stack_range(i, address, n)) return LUCET_ERROR_ARGUMENT;
  memcpy((void *)(uintptr_t)address, from, n);
  return LUCET_OK;
}
