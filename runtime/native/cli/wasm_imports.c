/**
 * The imports of a .wasm that has yet to be compiled: what can't be provided is told before the time that compiling
 * takes. The file is anybody's. Whatever is not understood here ends the reading without a word: the compiler will say
 * what is wrong with it, and what it takes is looked at again once it is loaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct reader {
  const uint8_t *at;
  const uint8_t *end;
  bool failed;
};

static uint32_t read_byte(struct reader *r) {
  if (r->at < r->end) return *r->at++;
  r->failed = true;
  return 0;
}

/** LEB128 of up to `bits` bits, signed ones included: nobody wants their value. */
static uint64_t read_number(struct reader *r, unsigned bits) {
  uint64_t n = 0;
  for (unsigned shift = 0; shift < bits; shift += 7) {
    uint32_t byte = read_byte(r);
    n |= (uint64_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return n;
  }
  r->failed = true;
  return 0;
}

/** `*length` bytes; NULL: there are not as many. */
static const char *read_bytes(struct reader *r, uint32_t *length) {
  uint64_t n = read_number(r, 32);
  const char *bytes = (const char *)r->at;
  if (r->failed || n > (uint64_t)(r->end - r->at)) {
    r->failed = true;
    return NULL;
  }
  r->at += n;
  *length = (uint32_t)n;
  return bytes;
}

static void skip_value_type(struct reader *r) {
  uint32_t code = read_byte(r);
  // (ref null ht), (ref ht)
  if (code == 0x63 || code == 0x64) read_number(r, 35);
  else if ((code & 0xc0) != 0x40) r->failed = true;
}

static void skip_limits(struct reader *r) {
  uint32_t flags = read_byte(r);
  if ((flags & ~0x0fu) != 0) r->failed = true;
  read_number(r, 64);
  if ((flags & 1) != 0) read_number(r, 64);
  // Its pages have a size of their own.
  if ((flags & 8) != 0) read_number(r, 32);
}

static void read_import(struct reader *r, lucet_extern *import) {
  static const uint8_t kinds[] = {LUCET_EXTERN_FUNC, LUCET_EXTERN_TABLE, LUCET_EXTERN_MEMORY, LUCET_EXTERN_GLOBAL, LUCET_EXTERN_TAG};
  import->module = read_bytes(r, &import->module_length);
  import->name = read_bytes(r, &import->name_length);
  uint32_t kind = read_byte(r);
  switch (kind) {
    case 0: read_number(r, 32); break;
    case 1:
      skip_value_type(r);
      skip_limits(r);
      break;
    case 2: skip_limits(r); break;
    case 3:
      skip_value_type(r);
      if (read_byte(r) > 1) r->failed = true;
      break;
    case 4:
      read_byte(r);
      read_number(r, 32);
      break;
    default: r->failed = true;
  }
  if (!r->failed) import->kind = kinds[kind];
}

/** Its import section; false: there is none that can be found. */
static bool find_imports(struct reader *file, struct reader *section) {
  static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
  if ((size_t)(file->end - file->at) < sizeof head || memcmp(file->at, head, sizeof head) != 0) return false;
  file->at += sizeof head;
  while (file->at < file->end) {
    uint32_t id = read_byte(file), length;
    const char *bytes = read_bytes(file, &length);
    if (bytes == NULL) return false;
    // Types and custom sections are all that may stand in front.
    if (id > 2) return false;
    *section = (struct reader){.at = (const uint8_t *)bytes, .end = (const uint8_t *)bytes + length};
    if (id == 2) return true;
  }
  return false;
}

/** Imports stand near the start; of a file that has them further behind nothing is told here. */
enum { MOST_BYTES = 4 << 20 };

lucet_extern *wasm_imports(int file, uint32_t *count) {
  // A copy: a file that is mapped, and then cut short by someone, would end us by a signal. The names in the result are
  // in it.
  uint8_t *bytes = allocate(MOST_BYTES);
  size_t length = 0;
  while (length < MOST_BYTES) {
    ssize_t n = pread(file, bytes + length, MOST_BYTES - length, (off_t)length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    length += (size_t)n;
  }
  struct reader whole = {.at = bytes, .end = bytes + length}, section;
  lucet_extern *imports = NULL;
  if (find_imports(&whole, &section)) {
    uint64_t n = read_number(&section, 32);
    // An import takes at least four bytes.
    if (n > 0 && n <= (uint64_t)(section.end - section.at) / 4) {
      imports = allocate(n * sizeof *imports);
      *count = (uint32_t)n;
      for (uint64_t k = 0; k < n && !section.failed; k++) read_import(&section, &imports[k]);
      if (!section.failed) return imports;
    }
  }
  free(imports);
  free(bytes);
  *count = 0;
  return NULL;
}
