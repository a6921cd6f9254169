/** Arguments and results of --invoke, as text. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

static const char *type_name(uint8_t type) {
  static const char *const names[] = {"?", "i32", "i64", "f32", "f64", "v128", "funcref", "externref"};
  return type == LUCET_EXNREF ? "exnref" : type == LUCET_ANYREF ? "anyref" : names[type < sizeof names / sizeof *names ? type : 0];
}

const char *show_type(const lucet_extern *f) {
  size_t room = 16 + 12 * ((size_t)f->params + f->results);
  char *text = allocate(room);
  char *at = text;
  at += sprintf(at, "(");
  for (uint32_t k = 0; k < f->params; k++) at += sprintf(at, "%s%s", k > 0 ? ", " : "", type_name(f->types[k]));
  at += sprintf(at, ") -> (");
  for (uint32_t k = 0; k < f->results; k++) at += sprintf(at, "%s%s", k > 0 ? ", " : "", type_name(f->types[f->params + k]));
  sprintf(at, ")");
  return text;
}

/** Accepts both signed and unsigned: people mean either. */
static bool parse_integer(const char *text, unsigned bits, uint64_t *word) {
  bool negative = text[0] == '-';
  const char *at = text + (text[0] == '-' || text[0] == '+');
  bool hex = at[0] == '0' && (at[1] | 0x20) == 'x';
  const char *digits = hex ? at + 2 : at;
  if (digits[0] == 0 || strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits)) return false;
  errno = 0;
  uint64_t n = strtoull(digits, NULL, hex ? 16 : 10);
  uint64_t most = negative ? UINT64_C(1) << (bits - 1) : bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
  if (errno != 0 || n > most) return false;
  *word = negative ? -n : n;
  return true;
}

static bool parse_float(const char *text, double *value) {
  // Not what strtod takes besides: leading spaces, nan(...).
  if (text[0] == 0 || strpbrk(text, " \t\n\v\f\r(") != NULL) return false;
  char *end;
  *value = strtod(text, &end);
  return *end == 0;
}

uint64_t *parse_values(const lucet_extern *f, const char *name, char **args, int count) {
  if ((uint32_t)count != f->params)
    fail_usage("%s is of type %s: it takes %u arguments, not %d", name, show_type(f), f->params, count);
  uint64_t *words = allocate((2 * ((size_t)f->params + f->results) + 1) * sizeof *words);
  for (uint32_t k = 0; k < f->params; k++) {
    const char *text = args[k];
    uint8_t type = f->types[k];
    bool good = false;
    double d = 0;
    if (type == LUCET_I32 || type == LUCET_I64) good = parse_integer(text, type == LUCET_I32 ? 32 : 64, &words[k]);
    else if (type == LUCET_F32 || type == LUCET_F64) good = parse_float(text, &d);
    else fail_usage("argument %u: a %s can't be given on the command line", k + 1, type_name(type));
    if (!good) fail_usage("argument %u: \"%s\" is no %s", k + 1, text, type_name(type));
    if (type == LUCET_F64) memcpy(&words[k], &d, 8);
    if (type == LUCET_F32) {
      float single = strtof(text, NULL);
      words[k] = 0;
      memcpy(&words[k], &single, 4);
    }
  }
  return words;
}

/** With as few digits as read back as the same number. */
static void print_float(double d, bool single) {
  if (isnan(d)) {
    puts("NaN");
    return;
  }
  if (isinf(d)) {
    puts(d < 0 ? "-Infinity" : "Infinity");
    return;
  }
  char text[40];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, d);
    if (single ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d) break;
  }
  puts(text);
}

void print_values(const lucet_extern *f, const uint64_t *words) {
  for (uint32_t k = 0; k < f->results; k++) {
    uint8_t type = f->types[f->params + k];
    double d;
    float single;
    switch (type) {
      case LUCET_I32: printf("%d\n", (int32_t)(uint32_t)*words); break;
      case LUCET_I64: printf("%lld\n", (long long)*words); break;
      case LUCET_F32:
        memcpy(&single, words, 4);
        print_float((double)single, true);
        break;
      case LUCET_F64:
        memcpy(&d, words, 8);
        print_float(d, false);
        break;
      case LUCET_V128: printf("0x%016llx%016llx\n", (unsigned long long)words[1], (unsigned long long)words[0]); break;
      default: puts(*words == 0 ? "null" : "reference");
    }
    words += type == LUCET_V128 ? 2 : 1;
  }
}
