/* An interpreter of a little register machine: one switch for each instruction. */
#include "bench.h"

enum op { LOAD, ADD, SUB, MUL, XOR, SHIFT, LESS, BRANCH, JUMP, STORE, FETCH, HALT };
struct instruction {
  uint8_t op, a, b, c;
  int32_t immediate;
};

static uint32_t memory[256];

static uint32_t run(const struct instruction *code) {
  uint32_t r[16] = {0};
  for (const struct instruction *i = code;; i++) {
    switch (i->op) {
      case LOAD: r[i->a] = (uint32_t)i->immediate; break;
      case ADD: r[i->a] = r[i->b] + r[i->c]; break;
      case SUB: r[i->a] = r[i->b] - r[i->c]; break;
      case MUL: r[i->a] = r[i->b] * r[i->c]; break;
      case XOR: r[i->a] = r[i->b] ^ r[i->c]; break;
      case SHIFT: r[i->a] = r[i->b] >> (r[i->c] & 31); break;
      case LESS: r[i->a] = r[i->b] < r[i->c]; break;
      case BRANCH: if (r[i->a]) i += i->immediate; break;
      case JUMP: i += i->immediate; break;
      case STORE: memory[r[i->a] & 255] = r[i->b]; break;
      case FETCH: r[i->a] = memory[r[i->b] & 255]; break;
      case HALT: return r[i->a];
    }
  }
}

int main(void) {
  static const struct instruction CODE[] = {
      {LOAD, 0, 0, 0, 0},         {LOAD, 1, 0, 0, 6000000},  {LOAD, 2, 0, 0, 1},         {LOAD, 3, 0, 0, 0x2545f491}, {LOAD, 4, 0, 0, 12345},
      {LOAD, 5, 0, 0, 13},        {MUL, 4, 4, 3, 0},         {SHIFT, 6, 4, 5, 0},        {XOR, 4, 4, 6, 0},           {FETCH, 7, 4, 0, 0},
      {ADD, 7, 7, 6, 0},          {STORE, 4, 7, 0, 0},       {LESS, 8, 7, 4, 0},         {BRANCH, 8, 0, 0, 1},        {SUB, 9, 9, 7, 0},
      {ADD, 9, 9, 6, 0},          {ADD, 0, 0, 2, 0},         {LESS, 8, 0, 1, 0},         {BRANCH, 8, 0, 0, -13},      {HALT, 9, 0, 0, 0},
  };
  bench_start();
  uint32_t result = run(CODE);
  bench_end();
  printf("interp %u\n", result);
}
