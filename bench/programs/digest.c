/* The rounds of SHA-256 (FIPS 180-4) over 64 MB: rotations and additions of 32 bits. */
#include "bench.h"

static uint32_t K[64], state[8];

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void block(const uint8_t *p) {
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  memcpy(s, state, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t e = s[4], a = s[0];
    uint32_t t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + K[i] + w[i];
    uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof s[0]);
    s[4] += t1, s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

int main(void) {
  enum { BYTES = 1 << 20, ROUNDS = 64 };
  static uint8_t data[BYTES];
  uint32_t seed = 29;
  /* Any constants take the same time. */
  for (int i = 0; i < 64; i++) K[i] = random32(&seed);
  for (int i = 0; i < 8; i++) state[i] = random32(&seed);
  for (int i = 0; i < BYTES; i++) data[i] = (uint8_t)random32(&seed);
  bench_start();
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < BYTES; i += 64) block(data + i);
  bench_end();
  printf("digest %08x%08x\n", state[0], state[7]);
}
