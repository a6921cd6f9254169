/**
 * What a fault, or a trap raised in C, means: code, place, backtrace. All of it happens on the host's stack, after the
 * guest has been left and before its stack is used again. The code is found at once; the rest when somebody asks for
 * it, since many don't, and it takes as long as the fault itself. The guest's frames stay as they are until the
 * instance runs again; those of instances that called it through a host function don't, so there the backtrace isn't
 * put off.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct trap_text {
  const char *name;
  const char *message;
};

static const struct trap_text TRAPS[] = {
#define TEXT(identifier, code, name, spec) [code] = {name, spec},
    LUCET_TRAPS(TEXT)
#undef TEXT
};

const char *lucet_trap_name(uint32_t code) { return code < LUCET_TRAP_COUNT ? TRAPS[code].name : "Unknown"; }
const char *lucet_trap_message(uint32_t code) { return code < LUCET_TRAP_COUNT ? TRAPS[code].message : "unknown trap"; }

/** A backtrace keeps this many frames of either end. */
#define END_FRAMES 100u
enum { MOST_FRAMES = 2 * END_FRAMES + 1 };

struct trap_record {
  lucet_trap_info info;
  /** The rest of `info` is still to be found, from these. */
  bool begun;
  bool faulted;
  struct machine_state *machine;
  struct lucet_activation trapped;
  lucet_frame frames[MOST_FRAMES];
};

/* ---- Backtraces */

/** Collects frames: up to `head` from the start, and the last `tail` of the others. */
struct collector {
  lucet_frame *out;
  uint32_t head;
  uint32_t tail;
  uint32_t total;
  lucet_frame ring[END_FRAMES];
};

static void collect(struct collector *c, const lucet_frame *f) {
  if (c->total < c->head)
    c->out[c->total] = *f;
  else if (c->tail != 0)
    c->ring[(c->total - c->head) % c->tail] = *f;
  c->total++;
}

/** The wasm offset is looked up for frames that are kept only: it takes reading the pc map. */
static void complete(lucet_frame *f, bool exact) {
  if (f->kind != LUCET_FRAME_WASM) return;
  uint64_t start = (uint64_t)(uintptr_t)f->module->text + f->module->meta.functions[f->function].code;
  f->wasm_offset = lucet_module_pc_entry(f->module, f->function, (uint32_t)(f->pc - start - (exact ? 0 : 1))).wasm_offset;
}

static void collect_activation(struct collector *c, const struct lucet_activation *a, const struct machine_state *m) {
  struct cursor u;
  for (bool more = lucet_unwind_start(&u, a, m); more; more = lucet_unwind_next(&u)) {
    /* Thunks and wrappers of imports are ours, not the program's. */
    const struct lucet_artifact_header *h = u.module->meta.header;
    if (u.function < h->imported_functions || u.function >= h->functions) continue;
    lucet_frame f = {.module = u.module, .pc = u.pc, .sp = u.frame, .kind = LUCET_FRAME_WASM, .function = u.function};
    /* For the time being: whether pc is the instruction itself. */
    f.count = u.exact;
    collect(c, &f);
  }
}

/** All frames of `a` and of the activations that led to it. Returns the number of records in `c->out`. */
static uint32_t backtrace(struct collector *c, const struct lucet_activation *a, const struct machine_state *m) {
  for (;;) {
    collect_activation(c, a, m);
    a = a->parent != NULL ? a->parent : a->outer;
    if (a == NULL) break;
    lucet_frame host = {.kind = LUCET_FRAME_HOST};
    collect(c, &host);
    m = stopped_anywhere(a) ? a->machine : NULL;
  }
  uint32_t n = c->total < c->head ? c->total : c->head, rest = c->total - n;
  if (c->tail != 0 && rest > c->tail) {
    c->out[n++] = (lucet_frame){.kind = LUCET_FRAME_ELIDED, .count = rest - c->tail};
    for (uint32_t k = 0; k < c->tail; k++) c->out[n++] = c->ring[(rest + k) % c->tail];
  } else if (c->tail != 0) {
    for (uint32_t k = 0; k < rest; k++) c->out[n++] = c->ring[k];
  }
  for (uint32_t k = 0; k < n; k++) {
    lucet_frame *f = &c->out[k];
    bool exact = f->kind == LUCET_FRAME_WASM && f->count != 0;
    if (f->kind == LUCET_FRAME_WASM) f->count = 0;
    complete(f, exact);
  }
  return n;
}

uint32_t lucet_instance_backtrace(lucet_instance *i, lucet_frame *frames, uint32_t limit) {
  if (i->innermost == NULL) return 0;
  const struct lucet_activation *a = i->innermost;
  struct collector c = {.out = frames, .head = limit};
  if (stopped_in_host(a)) {
    lucet_frame f = {.module = instance_of(a->host_base)->module, .kind = LUCET_FRAME_WAITING, .function = a->host_import};
    collect(&c, &f);
  }
  backtrace(&c, a, stopped_anywhere(a) ? a->machine : NULL);
  return c.total;
}

/* ---- Classification */

/** `hlt`: what a check comes to where there may be no stack for a call. */
#define HALT 0xf4

/** The memory in whose address space `address` lies. */
static uint32_t memory_at(const struct lucet_instance *i, uint64_t address) {
  for (uint32_t k = 0; k < i->module->meta.memory_count; k++) {
    const struct memory *m = i->memories[k];
    uint64_t base = (uint64_t)(uintptr_t)m->base;
    if (address >= base && address - base < m->reserved + HEAP_GUARD) return k;
  }
  return NONE;
}

/**
 * A signal whose handler wants no alternate stack arrived when the guest's stack had no room for its frame: the kernel
 * turns that into a SIGSEGV without an address, at whatever instruction the guest was. The signal is lost, and the
 * guest's stack may be called full.
 */
static bool no_room_for_signal(const struct lucet_activation *a, const struct machine_state *m) {
  uint64_t low = (uint64_t)(uintptr_t)a->instance->slot->stack_low, rsp = m->registers[4];
  return rsp >= low - HOST_PAGE && rsp - low + HOST_PAGE < lucet_xsave_size() + 2 * HOST_PAGE;
}

static bool in_stack_guard(const struct lucet_activation *a, uint64_t address) {
  const struct slot *s = a->instance->slot;
  return address >= (uint64_t)(uintptr_t)s->stack_guard && address < (uint64_t)(uintptr_t)s->stack_low;
}

/**
 * A check that failed where the stack had no room for the return address of its call: the call faulted, before anything
 * else happened. It is made what the trap stub would have made of it, so no trap depends on how deep the stack is.
 */
static void complete_check(const struct lucet_activation *a, const struct cursor *c, struct machine_state *m) {
  if (m->signal == SIGSEGV && m->address_known && in_stack_guard(a, m->address) && lucet_trap_call_at(c->module, c->pc)) lucet_machine_at_check(m);
}

/** Code of the fault of `a`, or 0. `c` is at the faulting instruction. */
static uint32_t classify(const struct lucet_activation *a, const struct machine_state *f, const struct cursor *c, lucet_trap_info *info) {
  bool access = (f->signal == SIGSEGV || f->signal == SIGBUS) && f->address_known;
  if (access) {
    info->fault_address = f->address;
    if (in_stack_guard(a, f->address)) return LUCET_TRAP_STACK_OVERFLOW;
  }
  bool check = f->signal == SIGILL && lucet_trap_call_at(c->module, c->pc);
  check |= f->signal == SIGSEGV && !access && lucet_code_byte(c->module, (uint32_t)(c->pc - (uint64_t)(uintptr_t)c->module->text)) == HALT;
  if (f->signal == SIGSEGV && !access && !check && no_room_for_signal(a, f)) return LUCET_TRAP_STACK_OVERFLOW;
  uint64_t start = (uint64_t)(uintptr_t)c->module->text + c->module->meta.functions[c->function].code;
  uint32_t pc = (uint32_t)(c->pc - start);
  struct pc_entry e = lucet_module_pc_entry(c->module, c->function, pc);
  if (!e.found || e.pc != pc || e.trap == LUCET_TRAP_NONE) return 0;
  /* The instance that the code works for: it must be one that can run here, and of the code's module. */
  struct lucet_instance *i = lucet_group_find(a->instance, f->registers[15]);
  if (i == NULL || i->module != c->module) return 0;
  if (f->signal == SIGFPE) {
    uint64_t divisor;
    if (e.trap != LUCET_TRAP_INTEGER_DIVISION || !lucet_divisor(a, f, i, &divisor)) return 0;
    return divisor == 0 ? LUCET_TRAP_INTEGER_DIV_BY_ZERO : LUCET_TRAP_INTEGER_OVERFLOW;
  }
  if (!access) return check ? e.trap : 0;
  if (e.trap == LUCET_TRAP_HEAP_OUT_OF_BOUNDS) {
    uint32_t k = memory_at(i, f->address);
    if (k == NONE) return 0;
    info->memory = k;
    info->memory_offset = f->address - (uint64_t)(uintptr_t)i->memories[k]->base;
    info->memory_length = *i->memories[k]->length;
    return e.trap;
  }
  /* The record behind a null reference. */
  return f->address < HOST_PAGE ? e.trap : 0;
}

/* ---- The record */

static struct trap_record *record_of(struct lucet_instance *i) {
  if (i->trap != NULL) return i->trap;
  struct trap_record *r = calloc(1, sizeof *r);
  if (r != NULL && (r->machine = lucet_machine_new()) == NULL) {
    free(r);
    r = NULL;
  }
  return i->trap = r;
}

void lucet_trap_free(struct lucet_instance *i) {
  if (i->trap != NULL) free(i->trap->machine);
  free(i->trap);
  i->trap = NULL;
}

static void complete_info(struct trap_record *r) {
  lucet_trap_info *info = &r->info;
  const struct machine_state *m = r->faulted ? r->machine : NULL;
  struct collector c = {.out = r->frames, .head = END_FRAMES, .tail = END_FRAMES};
  r->begun = false;
  if (m != NULL) {
    info->signal = (uint32_t)m->signal;
    memcpy(info->registers, m->registers, sizeof info->registers);
    info->extended = m->extended_size != 0 ? m->extended : NULL;
    info->extended_size = m->extended_size;
  }
  info->frames = r->frames;
  info->frame_count = backtrace(&c, &r->trapped, m);
  info->total_frames = c.total;
  if (info->frame_count == 0 || r->frames[0].kind != LUCET_FRAME_WASM) return;
  info->module = r->frames[0].module;
  info->function = r->frames[0].function;
  info->wasm_offset = r->frames[0].wasm_offset;
  if (m == NULL) info->pc = r->frames[0].pc;
}

uint32_t lucet_trap_describe(const struct lucet_activation *a, uint32_t code, struct machine_state **m) {
  struct lucet_instance *i = a->instance;
  struct trap_record *r = record_of(i);
  lucet_trap_info scratch, *info = r != NULL ? &r->info : &scratch;
  memset(info, 0, sizeof *info);
  info->fault_address = UINT64_MAX;
  info->memory = NONE;
  info->memory_offset = info->memory_length = UINT64_MAX;
  info->function = NONE;
  info->code = code;
  if (m != NULL) {
    struct cursor c;
    info->pc = (*m)->registers[16];
    if (code == LUCET_TRAP_NONE && lucet_unwind_start(&c, a, *m)) {
      complete_check(a, &c, *m);
      info->code = classify(a, *m, &c, info);
    }
  }
  if (r == NULL) return info->code;
  r->begun = true;
  r->faulted = m != NULL;
  r->trapped = *a;
  if (m != NULL) {
    struct machine_state *fresh = r->machine;
    r->machine = *m;
    *m = fresh;
  }
  if (a->parent != NULL) complete_info(r);
  i->trap_valid = true;
  lucet_call_unready(i);
  return info->code;
}

bool lucet_trap_take_back(struct lucet_instance *i, struct machine_state **m) {
  if (i->trap == NULL) return false;
  struct machine_state *fresh = *m != NULL ? *m : lucet_machine_new();
  if (fresh == NULL) return false;
  *m = i->trap->machine;
  i->trap->machine = fresh;
  i->trap_valid = false;
  return true;
}

const lucet_trap_info *lucet_instance_trap_info(const lucet_instance *i) {
  if (!i->trap_valid) return NULL;
  if (i->trap->begun) complete_info(i->trap);
  return &i->trap->info;
}
