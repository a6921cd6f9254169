/**
 * Walking guest stacks: frames of fixed size, known from the metadata, so a return address is found by adding.
 *
 * The callee pops its stack arguments, and the caller takes the room back behind the call
 * (compiler/backend/x64/regs.ts): so a caller's stack pointer is found from the end of the arguments, and in the one
 * instruction behind a call it is not back in its place yet.
 *
 * Between a function's first instruction and the end of its prologue, and in an epilogue, the stack pointer is
 * elsewhere: there, and only there, the code is decoded. A prologue may move the return address down, pushes
 * callee-saved registers, then subtracts the rest of the frame (functions with large frames touch its pages before or
 * behind that); an epilogue adds it back, pops, and returns or jumps to the callee of a tail call (frame.ts).
 * Everything that is read is checked to be stack or code.
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
  if (c->module == NULL || pc - (uint64_t)(uintptr_t)c->module->text >= c->module->meta.header->text_size) c->module = lucet_registry_find(pc);
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

static bool bytes_at(const uint8_t *p, const uint8_t *end, const char *bytes, size_t n) {
  return (size_t)(end - p) >= n && memcmp(p, bytes, n) == 0;
}

/** `mov r11, [rsp]` and `mov [rsp], r11`, with the subtraction between them: only the prologue does that. */
#define LOAD_RETURN "\x4c\x8b\x1c\x24"
#define STORE_RETURN "\x4c\x89\x1c\x24"

/** `lea r10, [rsp - n]`: the first of five instructions (frame.ts). */
#define COMPARE_SHIFT "\x4c\x8d\x94\x24"
#define COMPARE_SHIFT_LENGTH 19u

/** The shape when `at` is in the prologue; false behind it. */
static bool in_prologue(const uint8_t *start, const uint8_t *end, const uint8_t *at, uint32_t frame_size, struct frame_shape *s) {
  uint32_t pushed = 0, amount = 0;
  const uint8_t *p = start;
  /*
   * Dense code compares with the stack's limit before it moves a return address far: until then nothing has happened.
   */
  if (bytes_at(p, end, COMPARE_SHIFT, 4) && (size_t)(end - p) > COMPARE_SHIFT_LENGTH) p += COMPARE_SHIFT_LENGTH;
  if (bytes_at(p, end, LOAD_RETURN, 4)) {
    const uint8_t *sub = p + 4, *store = sub + adjust_length(sub, end, 0xec, &amount);
    if (at <= store) {
      s->depth = at == store ? amount : 0;
      s->args -= amount;
      return true;
    }
    p = store + 4;
  }
  for (uint32_t n; pushed < frame_size && (n = push_length(p, end, 0x50)) != 0; p += n, pushed += 8) {
    if (at == p) {
      s->depth = pushed;
      return true;
    }
  }
  if (pushed >= frame_size) return false;
  /* The subtraction is the next instruction, or stands behind the touching of pages. */
  while (p < end && (adjust_length(p, end, 0xec, &amount) == 0 || pushed + amount != frame_size)) p++;
  s->depth = pushed;
  return p < end && at <= p;
}

/**
 * Length of the jump of a tail call at p, or 0. Other jumps stay in the function, behind its first instruction, and
 * have no REX.W.
 */
static uint32_t tail_jump_length(const uint8_t *start, const uint8_t *p, const uint8_t *end) {
  if (bytes_at(p, end, "\x48\xff\xe0", 3)) return 3;
  if (end - p < 5 || *p != 0xe9) return 0;
  int32_t distance;
  memcpy(&distance, p + 1, 4);
  const uint8_t *target = p + 5 + distance;
  return target > start && target < end ? 0 : 5;
}

bool lucet_trap_call_at(const lucet_module *m, uint64_t pc) {
  static const uint8_t CALL[TRAP_CALL_LENGTH] = {0x41, 0xff, 0x57, (uint8_t)-LUCET_VMCTX_TRAP_STUB};
  uint64_t offset = pc - (uint64_t)(uintptr_t)m->text;
  if (offset > m->meta.header->text_size || m->meta.header->text_size - offset < sizeof CALL) return false;
  /* There may be a breakpoint on it. */
  return lucet_code_byte(m, (uint32_t)offset) == CALL[0] && memcmp(m->text + offset + 1, CALL + 1, sizeof CALL - 1) == 0;
}

/** `lea rsp, [rsp + imm]` */
static uint32_t lea_length(const uint8_t *p, const uint8_t *end) {
  if (bytes_at(p, end, "\x48\x8d\x64\x24", 4)) return 5;
  return bytes_at(p, end, "\x48\x8d\xa4\x24", 4) ? 8 : 0;
}

/** The same for an epilogue, behind its `add`. */
static bool in_epilogue(const uint8_t *start, const uint8_t *end, const uint8_t *at, struct frame_shape *s) {
  const uint8_t *p = at;
  uint32_t popped = 0;
  for (uint32_t n; (n = push_length(p, end, 0x58)) != 0; p += n) popped += 8;
  p += lea_length(p, end);
  if (p >= end) return false;
  uint32_t jump = tail_jump_length(start, p, end);
  if (*p != 0xc3 && *p != 0xc2 && jump == 0) return false;
  s->depth = popped;
  /* The return address may have been moved: what stands behind the jump says how many arguments are left. */
  if (jump != 0 && at == p && end - p >= jump + 3 && p[jump] == 0xc2) {
    uint16_t args;
    memcpy(&args, p + jump + 1, 2);
    s->args = args;
  }
  return true;
}

/** What the callee of the call before `p` has popped: the caller's next instruction takes it back. */
static uint32_t popped_before(const uint8_t *p, const uint8_t *end) {
  uint32_t amount = 0;
  return adjust_length(p, end, 0xec, &amount) != 0 ? amount : 0;
}

struct frame_shape lucet_unwind_shape(const lucet_module *m, uint32_t function, uint64_t pc) {
  const struct lucet_function_record *f = &m->meta.functions[function];
  const uint8_t *start = m->text + f->code, *end = start + f->length, *at = (const uint8_t *)(uintptr_t)pc;
  struct frame_shape s = {.depth = f->frame_size, .args = f->popped};
  if (in_prologue(start, end, at, f->frame_size, &s) || in_epilogue(start, end, at, &s)) return s;
  s.depth = f->frame_size - popped_before(at, end);
  return s;
}

uint64_t lucet_unwind_caller_sp(const lucet_module *m, uint32_t function, uint64_t pc, uint64_t args_end) {
  const struct lucet_function_record *f = &m->meta.functions[function];
  return args_end - popped_before((const uint8_t *)(uintptr_t)pc, m->text + f->code + f->length);
}

/** Behind a call there is no need to look at the code. */
static struct frame_shape shape_of(const struct cursor *c) {
  if (c->exact) return lucet_unwind_shape(c->module, c->function, c->pc);
  const struct lucet_function_record *f = &c->module->meta.functions[c->function];
  return (struct frame_shape){.depth = f->frame_size, .args = f->popped};
}

static void set_frame(struct cursor *c) {
  c->frame = c->sp + shape_of(c).depth - c->module->meta.functions[c->function].frame_size;
}

/**
 * Registers that a function may save, in the order in which they lie below its return address, and their places in
 * cursor.saved.
 */
static const uint8_t SAVED_ORDER[] = {3, 5, 12, 13, 14, 15};

/**
 * The base register of the function that the cursor has come to: a call that leaves the instance changes it, and the
 * function has its own in the frame. The prologue is over at every call.
 */
static void find_base(struct cursor *c) {
  const struct lucet_function_record *f = &c->module->meta.functions[c->function];
  if ((f->saved & 1u << 15) == 0) return;
  uint64_t pushed = 8 * (uint64_t)(uint32_t)__builtin_popcount(f->saved);
  read_word(c->activation, c->sp + f->frame_size - pushed, &c->saved[SAVED_BASE]);
}

/** What the caller has in its registers again when the function returns; `at`: where the return address lies. */
static void restore_saved(struct cursor *c, uint64_t at) {
  uint32_t saved = c->module->meta.functions[c->function].saved & ~(1u << 15);
  for (uint32_t k = 0; saved != 0 && k < SAVED_BASE; k++) {
    if ((saved & 1u << SAVED_ORDER[k]) == 0) continue;
    at -= 8;
    read_word(c->activation, at, &c->saved[k]);
  }
}

bool lucet_unwind_start(struct cursor *c, const struct lucet_activation *a, const struct machine_state *m) {
  memset(c, 0, sizeof *c);
  c->activation = a;
  c->exact = m != NULL;
  if (m != NULL) {
    c->pc = m->registers[16];
    c->sp = m->registers[4];
  } else {
    if (!read_word(a, a->guest_rsp, &c->pc)) return false;
    c->sp = a->guest_rsp + 8;
    memcpy(c->saved, a->saved, sizeof c->saved);
  }
  if (!locate(c)) return false;
  set_frame(c);
  if (m == NULL) find_base(c);
  return true;
}

/** Is it where the guest returns to at the end of its activation? */
static bool ends(uint64_t pc) {
  const uint8_t *p = (const uint8_t *)(uintptr_t)pc;
  return p == lucet_enter_return || p == lucet_call_function_return || p == lucet_call_plain_return || p == lucet_call_prepared_return;
}

bool lucet_unwind_next(struct cursor *c) {
  struct frame_shape s = shape_of(c);
  uint64_t at = c->sp + s.depth, pc;
  if (!read_word(c->activation, at, &pc) || ends(pc)) return false;
  if (!c->exact) restore_saved(c, at);
  c->pc = pc;
  c->exact = false;
  if (!locate(c)) return false;
  c->sp = lucet_unwind_caller_sp(c->module, c->function, pc, at + 8 + s.args);
  set_frame(c);
  find_base(c);
  return true;
}
