/*
 * An interpreter that jumps from operation to operation by computed gotos: LLVM makes of them one block that fetches
 * and a jump through a table.
 */
#include "bench.h"

enum { PUSH, ADD, MULTIPLY, LESS, JUMP_IF_ZERO, JUMP, LOAD, STORE, XOR, REMAINDER, HALT };
enum { TIMES = 3000000, BODY = 8, END = 40 };

/* v0 = v1 = 0; while (v1 < TIMES) { v0 = ((v0 ^ v1) * 3) % 65521; v1 = v1 + 1; } */
static const int code[] = {
    PUSH, 0, STORE, 0, PUSH, 0, STORE, 1,
    LOAD, 1, PUSH, TIMES, LESS, JUMP_IF_ZERO, END,
    LOAD, 0, LOAD, 1, XOR, PUSH, 3, MULTIPLY, PUSH, 65521, REMAINDER, STORE, 0,
    LOAD, 1, PUSH, 1, ADD, STORE, 1, JUMP, BODY, HALT, HALT, HALT, HALT,
};

static int run(void) {
  static const void *const operations[] = {&&push, &&add, &&multiply, &&less, &&jump_if_zero, &&jump, &&load, &&store, &&xor, &&remainder, &&halt};
  int stack[16], *top = stack, variables[2] = {0, 0}, pc = 0;
#define NEXT goto *operations[code[pc++]]
  NEXT;
push:
  *top++ = code[pc++];
  NEXT;
add:
  top--, top[-1] += *top;
  NEXT;
multiply:
  top--, top[-1] *= *top;
  NEXT;
less:
  top--, top[-1] = top[-1] < *top;
  NEXT;
jump_if_zero:
  pc = *--top ? pc + 1 : code[pc];
  NEXT;
jump:
  pc = code[pc];
  NEXT;
load:
  *top++ = variables[code[pc++]];
  NEXT;
store:
  variables[code[pc++]] = *--top;
  NEXT;
xor:
  top--, top[-1] ^= *top;
  NEXT;
remainder:
  top--, top[-1] %= *top;
  NEXT;
halt:
  return variables[0];
}

int main(void) {
  bench_start();
  int result = 0;
  for (int k = 0; k < 3; k++) result += run();
  bench_end();
  printf("threaded %d\n", result);
}
