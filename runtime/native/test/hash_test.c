/**
 * Tests of the hashes: the artifacts' checksum, and the table of type ids. Prints what fails; exit status 1 if anything
 * did.
 */
#include <stdlib.h>
#include <string.h>

#include "../internal.h"
#include "check.h"

static void test_checksum(void) {
  struct xxh32 x;
  /* Known answers of the reference implementation. */
  lucet_xxh32_init(&x);
  CHECK(lucet_xxh32_final(&x) == 0x02CC5D05);
  lucet_xxh32_update(&x, (const uint8_t *)"a", 1);
  CHECK(lucet_xxh32_final(&x) == 0x550D7456);
  const char *text = "Nobody inspects the spammish repetition";
  for (size_t cut = 0; cut <= strlen(text); cut++) {
    lucet_xxh32_init(&x);
    lucet_xxh32_update(&x, (const uint8_t *)text, cut);
    lucet_xxh32_update(&x, (const uint8_t *)text + cut, strlen(text) - cut);
    CHECK(lucet_xxh32_final(&x) == 0xE2293B2F);
  }
}

static void test_signatures(void) {
  const uint8_t a[] = {1, 2}, b[] = {1, 2};
  uint32_t x = lucet_signature_intern(a, 1, 1), y = lucet_signature_intern(b, 1, 1), z = lucet_signature_intern(a, 2, 0);
  CHECK(x == y && x != z && x != 0);
  for (uint32_t n = 0; n < 10000; n++) {
    uint8_t t[] = {(uint8_t)(n & 0xff), (uint8_t)(n >> 8), 9};
    CHECK(lucet_signature_intern(t, 3, 0) != 0);
  }
  CHECK(lucet_signature_intern(a, 1, 1) == x);
  for (int k = 0; k < 3; k++) lucet_signature_release(x);
  lucet_signature_release(z);
}

/**
 * The next type, of four bytes, whose FNV hash is 0 modulo 4096. What is no key of the table's own can be computed by
 * anybody, like this.
 */
static void colliding_type(uint32_t *from, uint8_t type[4]) {
  for (;; ++*from) {
    uint32_t h = 2166136261u ^ 4;
    for (int i = 0; i < 3; i++) h = (h ^ (type[i] = (uint8_t)(*from >> 8 * i))) * 16777619u;
    if ((h & 0xf00) == 0) break;
  }
  ++*from;
  uint32_t h = 2166136261u ^ 4;
  for (int i = 0; i < 3; i++) h = (h ^ type[i]) * 16777619u;
  type[3] = (uint8_t)h;
}

/**
 * Types made to collide under an unkeyed hash are found like all others, and leave no memory that the next ones don't
 * take.
 */
static void test_colliding_signatures(void) {
  enum { TYPES = 100000 };
  uint32_t *ids = malloc(TYPES * sizeof *ids);
  struct signature_counts before, made, found, after;
  lucet_signature_counts(&before);
  for (int round = 0; round < 3; round++) {
    uint32_t from = 0;
    uint8_t t[4];
    for (uint32_t k = 0; k < TYPES; k++) {
      colliding_type(&from, t);
      ids[k] = lucet_signature_intern(t, 4, 0);
      CHECK(ids[k] != 0);
    }
    lucet_signature_counts(&made);
    from = 0;
    for (uint32_t k = 0; k < TYPES; k++) {
      colliding_type(&from, t);
      CHECK(lucet_signature_intern(t, 4, 0) == ids[k]);
    }
    lucet_signature_counts(&found);
    CHECK(found.held == before.held + TYPES && found.records == made.records);
    CHECK(found.compared - made.compared < 2 * TYPES);
    for (uint32_t k = 0; k < TYPES; k++) {
      lucet_signature_release(ids[k]);
      lucet_signature_release(ids[k]);
    }
    lucet_signature_counts(&after);
    CHECK(after.held == before.held && after.records <= before.records + TYPES);
    CHECK(round == 0 || after.compared - before.compared < (uint64_t)(round + 1) * 4 * TYPES);
  }
  free(ids);
}

int main(void) {
  test_checksum();
  test_signatures();
  test_colliding_signatures();
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
