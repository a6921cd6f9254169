/**
 * Walking guest stacks: frames of fixed size, known from the metadata, so a return address is found by adding.
 *
 * Between a function's first instruction and the end of its prologue, and in an epilogue, the stack pointer is elsewhere: there, and only there, the
 * code is decoded. A prologue pushes callee-saved registers, then subtracts the rest of the frame (functions with large frames touch its pages
 * before or behind that); an epilogue adds it back, pops, and returns. Everything that is read is checked to be stack or code.
 */
#include <string.h>

#include "internal.h"

bool lucet_stack_holds(const struct lucet_activation *a, uint64_t address, uint64_t size) {
  uint64_t low = (uint64_t)(uintptr_t)a->instance->slot->stack_low, top = a->stack_top;
  return address >= low && address <= top && size <= top - address;
}

static bool read_word(const struct lucet_activation *a, uint64_t address, uint64_t *word) {
  if (!lucet_stack_holds(a, address, 8)) return false;
  memcpy(word, (const void *)(uintptr_t)address, 8);
  return true;
}

/**
 * Find the module and function of the cursor's pc. A return address may lie behind the end of its function: the call is
 * before it. In a deep recursion most frames are of the function before: `c` still has that one.
 */
static bool locate(struct cursor *c) {
  uint64_t pc = c->exact ? c->pc : c->pc - 1;
  if (c->module != NULL) {
    const struct lucet_function_record *f = &c->module->meta.functions[c->function];
    if (pc - (uint64_t)(uintptr_t)c->module->text - f->code < f->length) return true;
  }
  c->module = lucet_registry_find(pc);
  if (c->module == NULL) return false;
  c->function = lucet_module_function_at(c->module, (uint32_t)(pc - (uint64_t)(uintptr_t)c->module->text));
  return c->function != NONE;
}

/** Length of `push r64` at p, or 0. `op` 0x50: push, 0x58: pop. */
static uint32_t push_length(const uint8_t *p, const uint8_t *end, uint8_t op) {
  if (p < end && (*p & 0xf8) == op) return 1;
  return p + 1 < end && *p == 0x41 && (p[1] & 0xf8) == op ? 2 : 0;
}

/** Length of `sub rsp, imm` (op /5) or `add rsp, imm` (op /0) at p, or 0. */
static uint32_t adjust_length(const uint8_t *p, const uint8_t *end, uint8_t modrm, uint32_t *amount) {
  if (end - p >= 4 && p[0] == 0x48 && p[1] == 0x83 && p[2] == modrm) {
    *amount = (uint32_t)(int32_t)(int8_t)p[3];
    return 4;
  }
  if (end - p >= 7 && p[0] == 0x48 && p[1] == 0x81 && p[2] == modrm) {
    memcpy(amount, p + 3, 4);
    return 7;
  }
  return 0;
}

/** Bytes from rsp to the return address when `at` is in the prologue; false behind it. */
static bool in_prologue(const uint8_t *start, const uint8_t *end, const uint8_t *at, uint32_t frame_size, uint32_t *depth) {
  uint32_t pushed = 0, amount = 0;
  const uint8_t *p = start;
  for (uint32_t n; pushed < frame_size && (n = push_length(p, end, 0x50)) != 0; p += n, pushed += 8) {
    if (at == p) {
      *depth = pushed;
      return true;
    }
  }
  if (pushed >= frame_size) return false;
  /* The subtraction is the next instruction, or stands behind the touching of pages. */
  while (p < end && (adjust_length(p, end, 0xec, &amount) == 0 || pushed + amount != frame_size)) p++;
  *depth = pushed;
  return p < end && at <= p;
}

/** The same for an epilogue, behind its `add`: pops, then a return. */
static bool in_epilogue(const uint8_t *end, const uint8_t *at, uint32_t *depth) {
  const uint8_t *p = at;
  uint32_t popped = 0;
  for (uint32_t n; (n = push_length(p, end, 0x58)) != 0; p += n) popped += 8;
  *depth = popped;
  return p < end && *p == 0xc3;
}

uint32_t lucet_unwind_depth(const lucet_module *m, uint32_t function, uint64_t pc) {
  const struct lucet_function_record *f = &m->meta.functions[function];
  const uint8_t *start = m->text + f->code, *end = start + f->length, *at = (const uint8_t *)(uintptr_t)pc;
  uint32_t depth;
  return in_prologue(start, end, at, f->frame_size, &depth) || in_epilogue(end, at, &depth) ? depth : f->frame_size;
}

/** Bytes from the stack pointer to the return address. Behind a call there is no need to look at the code. */
static uint32_t depth_of(const struct cursor *c) {
  return c->exact ? lucet_unwind_depth(c->module, c->function, c->pc) : c->module->meta.functions[c->function].frame_size;
}

static void set_frame(struct cursor *c) {
  c->frame = c->sp + depth_of(c) - c->module->meta.functions[c->function].frame_size;
}

bool lucet_unwind_start(struct cursor *c, const struct lucet_activation *a, bool faulted) {
  memset(c, 0, sizeof *c);
  c->activation = a;
  c->exact = faulted;
  if (faulted) {
    c->pc = a->fault.registers[16];
    c->sp = a->fault.registers[4];
  } else {
    if (!read_word(a, a->guest_rsp, &c->pc)) return false;
    c->sp = a->guest_rsp + 8;
  }
  if (!locate(c)) return false;
  set_frame(c);
  return true;
}

bool lucet_unwind_next(struct cursor *c) {
  uint64_t at = c->sp + depth_of(c), pc;
  if (!read_word(c->activation, at, &pc) || pc == (uint64_t)(uintptr_t)lucet_enter_return) return false;
  c->pc = pc;
  c->sp = at + 8;
  c->exact = false;
  if (!locate(c)) return false;
  set_frame(c);
  return true;
}
