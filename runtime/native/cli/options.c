/**
 * The command line. What there is to say about each option is data (runtime/lucet-wasi-options.ts, from which the build
 * writes options_text.h).
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct option {
  const char *name;
  char short_name;
  /** What stands for its value; NULL: a switch. */
  const char *value;
  bool multiple;
};

static const struct option OPTIONS[] = {
#define X(id, name, short_name, value, multiple) {name, short_name, value, multiple},
    LUCET_WASI_OPTIONS(X)
#undef X
};

const char *option_name(enum option_id o) { return OPTIONS[o].name; }

static bool differs_by_one(const char *a, const char *b) {
  size_t la = strlen(a), lb = strlen(b), least = la < lb ? la : lb, most = la > lb ? la : lb;
  size_t start = 0;
  while (start < la && a[start] == b[start]) start++;
  size_t end = 0;
  while (end < least - (start < least ? start : least) && a[la - 1 - end] == b[lb - 1 - end]) end++;
  // One more, one less, another one, or two that are in each other's place.
  if (la == lb && start + 2 + end == la && a[start] == b[start + 1] && a[start + 1] == b[start]) return true;
  return most - start - end <= 1;
}

LUCET_NORETURN static void unknown(const char *name) {
  for (int o = 0; o < OPTION_COUNT && name[0] != 0; o++) {
    const char *known = OPTIONS[o].name;
    if (strncmp(known, name, strlen(name)) == 0 || strncmp(name, known, strlen(known)) == 0 || differs_by_one(known, name))
      fail_usage("unknown option --%s (did you mean --%s?)", name, known);
  }
  fail_usage("unknown option --%s", name);
}

static enum option_id find_option(const char *name, size_t length) {
  for (int o = 0; o < OPTION_COUNT; o++) {
    if (strlen(OPTIONS[o].name) == length && memcmp(OPTIONS[o].name, name, length) == 0) return (enum option_id)o;
  }
  char *text = allocate(length + 1);
  memcpy(text, name, length);
  text[length] = 0;
  unknown(text);
}

static enum option_id find_short(const char *arg) {
  for (int o = 0; o < OPTION_COUNT; o++) {
    if (OPTIONS[o].short_name != 0 && arg[1] == OPTIONS[o].short_name && arg[2] == 0) return (enum option_id)o;
  }
  fail_usage("unknown option %s", arg);
}

static void add(struct strings *s, const char *value) {
  const char **items = realloc(s->items, (s->count + 1) * sizeof *items);
  if (items == NULL) fail("out of memory");
  s->items = items;
  items[s->count++] = value;
}

void parse_command_line(int argc, char **argv, struct command_line *line) {
  memset(line, 0, sizeof *line);
  int i = 0;
  for (; i < argc; i++) {
    char *arg = argv[i];
    if (strcmp(arg, "--") == 0) {
      i++;
      break;
    }
    if (arg[0] != '-' || arg[1] == 0) break;
    const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
    enum option_id o = arg[1] != '-' ? find_short(arg) : find_option(arg + 2, equals != NULL ? (size_t)(equals - arg) - 2 : strlen(arg + 2));
    const struct option *option = &OPTIONS[o];
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (option->value == NULL) {
      if (value != NULL) fail_usage("--%s takes no value", option->name);
      value = "";
    } else if (value == NULL) {
      if (i + 1 >= argc) fail_usage("--%s needs a value: %s", option->name, option->value);
      value = argv[++i];
    }
    if (line->options[o].count > 0 && !option->multiple && option->value != NULL) fail_usage("--%s is given twice", option->name);
    add(&line->options[o], value);
  }
  line->module = i < argc ? argv[i] : NULL;
  line->args = argv + (i < argc ? i + 1 : argc);
  line->arg_count = i < argc ? argc - i - 1 : 0;
}

/** Digits at the start of `text`; false: none, or too large. */
static bool parse_digits(const char **text, uint64_t *n) {
  const char *at = *text;
  *n = 0;
  while (*at >= '0' && *at <= '9') {
    if (__builtin_mul_overflow(*n, UINT64_C(10), n) || __builtin_add_overflow(*n, (uint64_t)(*at - '0'), n)) return false;
    at++;
  }
  if (at == *text) return false;
  *text = at;
  return true;
}

uint64_t count_of(const struct command_line *line, enum option_id o) {
  const char *text = value_of(line, o), *at = text;
  uint64_t n;
  if (text == NULL) return 0;
  if (parse_digits(&at, &n) && *at == 0 && n > 0) return n;
  fail_usage("--%s %s: expected a whole number above zero", option_name(o), text);
}

static bool equal_ignoring_case(const char *a, const char *b) {
  for (; *a != 0 && *b != 0; a++, b++)
    if ((*a | 0x20) != (*b | 0x20)) return false;
  return *a == *b;
}

uint64_t size_of(const struct command_line *line, enum option_id o, uint64_t otherwise) {
  static const char letters[] = "kmgt";
  const char *text = value_of(line, o);
  if (text == NULL) return otherwise;
  const char *at = text;
  uint64_t n;
  if (parse_digits(&at, &n)) {
    const char *unit = *at != 0 ? strchr(letters, *at | 0x20) : NULL;
    if (unit != NULL) at++;
    if (*at == 0 || equal_ignoring_case(at, "b") || (unit != NULL && equal_ignoring_case(at, "ib"))) {
      unsigned shift = unit != NULL ? 10 * (unsigned)(unit - letters + 1) : 0;
      if (n <= (UINT64_C(1) << 53) >> shift) return n << shift;
    }
  }
  fail_usage("--%s %s: expected a size, such as 65536, 512K or 4GiB", option_name(o), text);
}

uint64_t duration_of(const struct command_line *line, enum option_id o) {
  static const struct {
    const char *unit;
    uint64_t ns;
  } UNITS[] = {{"", 1000000}, {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)}};
  const char *text = value_of(line, o);
  if (text == NULL) return 0;
  const char *at = text;
  uint64_t n, ns;
  if (parse_digits(&at, &n) && n > 0) {
    for (size_t k = 0; k < sizeof UNITS / sizeof *UNITS; k++)
      if (strcmp(at, UNITS[k].unit) == 0 && !__builtin_mul_overflow(n, UNITS[k].ns, &ns)) return ns;
  }
  fail_usage("--%s %s: expected a time above zero, such as 500 (milliseconds), 500ms, 2s or 1m", option_name(o), text);
}

int choice_of(const struct command_line *line, enum option_id o, const char *const *choices) {
  const char *text = value_of(line, o);
  if (text == NULL) return 0;
  char list[200] = "";
  for (int k = 0; choices[k] != NULL; k++) {
    if (strcmp(choices[k], text) == 0) return k;
    if (k > 0) strcat(list, ", ");
    strcat(list, choices[k]);
  }
  fail_usage("--%s %s: expected %s", option_name(o), text, list);
}

static char *part(const char *from, size_t length) {
  char *text = allocate(length + 1);
  memcpy(text, from, length);
  text[length] = 0;
  return text;
}

struct directory parse_directory(enum option_id o, const char *text) {
  const char *twice = strstr(text, "::");
  const char *once = strchr(text, ':');
  struct directory d;
  if (twice != NULL) {
    d = (struct directory){part(text, (size_t)(twice - text)), part(twice + 2, strlen(twice + 2))};
  } else if (once != NULL) {
    d = (struct directory){part(text, (size_t)(once - text)), part(once + 1, strlen(once + 1))};
    if (strchr(d.guest, ':') != NULL) fail_usage("--%s %s: write HOST::GUEST when a path holds a colon", option_name(o), text);
  } else {
    d = (struct directory){part(text, strlen(text)), part(text, strlen(text))};
  }
  if (d.host[0] == 0 || d.guest[0] == 0) fail_usage("--%s %s: expected HOST::GUEST or one path", option_name(o), text);
  return d;
}
