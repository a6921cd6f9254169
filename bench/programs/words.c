/* Words counted in a chained hash table: strings, allocation, pointers. */
#include "bench.h"

enum { BUCKETS = 1 << 14, TEXT = 6000000 };
struct word {
  struct word *next;
  uint32_t count, length;
  char text[];
};
static struct word *table[BUCKETS];
static char text[TEXT + 1];

static void count(const char *s, uint32_t length) {
  uint32_t h = 2166136261u;
  for (uint32_t i = 0; i < length; i++) h = (h ^ (uint8_t)s[i]) * 16777619u;
  struct word **at = &table[h % BUCKETS];
  for (struct word *w = *at; w != NULL; w = w->next)
    if (w->length == length && memcmp(w->text, s, length) == 0) {
      w->count++;
      return;
    }
  struct word *w = malloc(sizeof *w + length);
  *w = (struct word){*at, 1, length};
  memcpy(w->text, s, length);
  *at = w;
}

int main(void) {
  uint32_t seed = 17;
  for (int i = 0; i < TEXT; i++) {
    uint32_t r = random32(&seed);
    text[i] = r % 5 == 0 ? ' ' : (char)('a' + (r >> 8) % 6);
  }
  bench_start();
  for (const char *s = text; *s != 0;) {
    const char *end = s;
    while (*end != 0 && *end != ' ') end++;
    if (end > s) count(s, (uint32_t)(end - s));
    s = *end == ' ' ? end + 1 : end;
  }
  uint32_t different = 0, most = 0;
  for (int b = 0; b < BUCKETS; b++)
    for (const struct word *w = table[b]; w != NULL; w = w->next) {
      different++;
      if (w->count > most) most = w->count;
    }
  bench_end();
  printf("words %u %u\n", different, most);
}
