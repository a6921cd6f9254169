/**
 * Runs compiled functions over the same operands and writes their results behind them on the disk: see emulator.ts,
 * which reads both.
 */
#include <stdint.h>

/** Of what emulator.ts writes at sector PAYLOAD; offsets count from its start. */
struct payload {
  uint32_t sectors;
  uint32_t cases;
  uint32_t rounds;
  /** Bytes from the operands of one round to those of the next; where in them the 16 bytes of the result are. */
  uint32_t stride;
  uint32_t result;
  /** Address in the guest's memory of the first round's. */
  uint32_t at;
  uint32_t image;
  uint32_t image_length;
  /** First sector for results. */
  uint32_t results;
  /** Offset of each case's code. */
  uint32_t code[];
};

enum { PAYLOAD = 64, SECTOR = 512 };
#define LOADED ((struct payload *)0x200000)
#define MEMORY ((uint8_t *)0x2000000)
#define RESULTS ((uint8_t *)0x3000000)

void call_guest(const void *code, void *base, uint32_t argument);
void run(void);

static inline void outb(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
static inline uint8_t inb(uint16_t port) {
  uint8_t v;
  __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}

/** A sector of the first disk, by programmed input and output. */
static void transfer(uint32_t sector, void *at, int write) {
  outb(0x1f6, (uint8_t)(0xe0 | sector >> 24));
  outb(0x1f2, 1);
  outb(0x1f3, (uint8_t)sector);
  outb(0x1f4, (uint8_t)(sector >> 8));
  outb(0x1f5, (uint8_t)(sector >> 16));
  outb(0x1f7, write ? 0x30 : 0x20);
  while ((inb(0x1f7) & 0x88) != 8) {}
  uint64_t words = SECTOR / 2;
  if (write)
    __asm__ volatile("rep outsw" : "+S"(at), "+c"(words) : "d"(0x1f0) : "memory");
  else
    __asm__ volatile("rep insw" : "+D"(at), "+c"(words) : "d"(0x1f0) : "memory");
  while ((inb(0x1f7) & 0x80) != 0) {}
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t n) {
  for (uint32_t k = 0; k < n; k++) to[k] = from[k];
}

void run(void) {
  struct payload *p = LOADED;
  transfer(PAYLOAD, p, 0);
  for (uint32_t k = 1; k < p->sectors; k++) transfer(PAYLOAD + k, (uint8_t *)p + k * SECTOR, 0);
  uint8_t *out = RESULTS;
  for (uint32_t c = 0; c < p->cases; c++) {
    copy(MEMORY + p->at, (const uint8_t *)p + p->image, p->image_length);
    for (uint32_t k = 0; k < p->rounds; k++) {
      uint32_t at = p->at + k * p->stride;
      call_guest((const uint8_t *)p + p->code[c], MEMORY, at);
      copy(out, MEMORY + at + p->result, 16);
      out += 16;
    }
  }
  uint32_t sectors = (uint32_t)(out - RESULTS + SECTOR - 1) / SECTOR;
  for (uint32_t k = 0; k < sectors; k++) transfer(p->results + k, RESULTS + k * SECTOR, 1);
  /* Done: no sectors are left. */
  p->sectors = 0;
  transfer(PAYLOAD, p, 1);
  /* Bochs ends. */
  for (const char *s = "Shutdown"; *s != 0; s++) outb(0x8900, (uint8_t)*s);
}
