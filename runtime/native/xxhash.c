/**
 * xxHash32, seed 0, incremental (specification: "xxHash fast digest algorithm" v0.2.0, section "XXH32 algorithm
 * description").
 */
#include <string.h>

#include "internal.h"

static const uint32_t P1 = 0x9E3779B1u, P2 = 0x85EBCA77u, P3 = 0xC2B2AE3Du, P4 = 0x27D4EB2Fu, P5 = 0x165667B1u;

static uint32_t rotl(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }

static uint32_t read32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static uint32_t lane(uint32_t acc, uint32_t input) { return rotl(acc + input * P2, 13) * P1; }

static void stripe(uint32_t v[4], const uint8_t *p) {
  for (int i = 0; i < 4; i++) v[i] = lane(v[i], read32(p + 4 * i));
}

void lucet_xxh32_init(struct xxh32 *x) {
  memset(x, 0, sizeof *x);
  x->v[0] = P1 + P2;
  x->v[1] = P2;
  x->v[3] = 0u - P1;
}

void lucet_xxh32_update(struct xxh32 *x, const uint8_t *p, size_t n) {
  x->total += n;
  if (x->tail_length != 0) {
    size_t take = 16 - x->tail_length;
    if (take > n) take = n;
    memcpy(x->tail + x->tail_length, p, take);
    x->tail_length += (uint32_t)take;
    p += take;
    n -= take;
    if (x->tail_length < 16) return;
    stripe(x->v, x->tail);
    x->tail_length = 0;
  }
  for (; n >= 16; p += 16, n -= 16) stripe(x->v, p);
  if (n != 0) memcpy(x->tail, p, n);
  x->tail_length = (uint32_t)n;
}

uint32_t lucet_xxh32_final(const struct xxh32 *x) {
  uint32_t h = x->total >= 16 ? rotl(x->v[0], 1) + rotl(x->v[1], 7) + rotl(x->v[2], 12) + rotl(x->v[3], 18) : P5;
  h += (uint32_t)x->total;
  const uint8_t *p = x->tail;
  uint32_t n = x->tail_length;
  for (; n >= 4; p += 4, n -= 4) h = rotl(h + read32(p) * P3, 17) * P4;
  for (; n > 0; p++, n--) h = rotl(h + *p * P5, 11) * P1;
  h = (h ^ h >> 15) * P2;
  h = (h ^ h >> 13) * P3;
  return h ^ h >> 16;
}
