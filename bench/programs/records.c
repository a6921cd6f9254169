/*
 * Records of many lengths that are put together, moved and cleared: copies and fills of few bytes, of numbers that the
 * compiler knows and that it doesn't.
 */
#include "bench.h"

enum { RECORDS = 4096, TEXT = 48, ROUNDS = 300 };
struct record {
  uint32_t key, length;
  char text[TEXT];
  uint32_t marks[30];
};
static struct record records[RECORDS];
static char words[1 << 16], joined[1 << 16];

int main(void) {
  uint32_t seed = 5;
  for (int i = 0; i < 1 << 16; i++) words[i] = 'a' + random32(&seed) % 26;
  for (int i = 0; i < RECORDS; i++) records[i].key = random32(&seed);
  bench_start();
  uint32_t sum = 0;
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t end = 0;
    for (int i = 0; i < RECORDS; i++) {
      struct record *r = &records[i];
      r->length = (r->key >> (round & 15)) % TEXT;
      memset(r->text, ' ', sizeof r->text - r->length);
      memcpy(r->text, words + (r->key & 0x7fff), r->length);
      memmove(joined + (end & 0x7fff), r->text, r->length);
      end += r->length;
      if ((i & 3) == 0) records[(i + round) & (RECORDS - 1)] = *r;
      r->marks[round % 30] += i;
      r->key = r->key * 1664525 + 1013904223;
    }
    sum = sum * 31 + end + (uint8_t)joined[round];
  }
  bench_end();
  for (int i = 0; i < RECORDS; i++) sum = sum * 33 + records[i].marks[i % 30] + (uint8_t)records[i].text[i % TEXT];
  printf("records %u\n", sum);
}
