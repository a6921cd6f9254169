/**
 * lucet-wasi: runs a WASI program. stdout is the guest's alone; all that we have to say goes to stderr.
 *
 * The same executable with an artifact behind it (lucetc --emit exe) is a program of its own: every argument is the
 * guest's, and what it is granted was written behind the artifact when it was made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

extern char **environ;

static const char *tool = "lucet-wasi";

/** One line. Names in it come from the command line, from modules and from the system. */
static void say(const char *format, va_list args, const char *end) {
  char *text = NULL;
  fflush(stdout);
  fprintf(stderr, "%s: ", tool);
  int length = vasprintf(&text, format, args);
  if (length >= 0) print_safely(stderr, text, (size_t)length);
  else fputs("out of memory", stderr);
  fprintf(stderr, "%s\n", end);
  free(text);
}

void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args, "");
  va_end(args);
  exit(EXIT_ERROR);
}

void fail_usage(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args, " (see lucet-wasi --help)");
  va_end(args);
  exit(EXIT_ERROR);
}

__attribute__((format(printf, 1, 2))) static void warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args, "");
  va_end(args);
}

void *allocate(size_t size) {
  void *p = calloc(1, size);
  if (p == NULL) fail("out of memory");
  return p;
}

/** errno as a sentence begins nowhere: in lower case. */
static const char *error_text(int error) {
  static char text[128];
  snprintf(text, sizeof text, "%s", strerror(error));
  if (text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z')) text[0] = (char)(text[0] | 0x20);
  return text;
}

/* ----------------------------------------------------------------------------------------------------- Embedded programs */

/** Last bytes of an executable that carries a program: see compiler/cli/executable.ts. */
struct trailer {
  uint64_t artifact_offset;
  uint64_t artifact_length;
  /** Options of lucet-wasi, one after the other, each with its terminating zero. */
  uint64_t options_length;
  char magic[8];
};
static const char TRAILER_MAGIC[8] = {'L', 'U', 'C', 'E', 'T', 'E', 'X', 'E'};

struct embedded {
  uint8_t *artifact;
  size_t length;
  char *options;
  size_t options_length;
};

static void read_exactly(int fd, void *to, size_t length, uint64_t offset) {
  for (size_t at = 0; at < length;) {
    ssize_t n = pread(fd, (char *)to + at, length - at, (off_t)(offset + at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("the program in this executable can't be read: %s", n < 0 ? error_text(errno) : "it is cut short");
    at += (size_t)n;
  }
}

static bool find_embedded(struct embedded *e) {
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat st;
  struct trailer t;
  bool found = fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof t && pread(fd, &t, sizeof t, st.st_size - (off_t)sizeof t) == (ssize_t)sizeof t &&
               memcmp(t.magic, TRAILER_MAGIC, sizeof t.magic) == 0;
  if (found) {
    uint64_t size = (uint64_t)st.st_size - sizeof t;
    if (t.artifact_offset > size || t.artifact_length > size - t.artifact_offset || t.options_length != size - t.artifact_offset - t.artifact_length)
      fail("this executable is damaged");
    e->length = t.artifact_length;
    e->options_length = t.options_length;
    e->artifact = allocate(e->length + 1);
    e->options = allocate(e->options_length + 1);
    read_exactly(fd, e->artifact, e->length, t.artifact_offset);
    read_exactly(fd, e->options, e->options_length, t.artifact_offset + t.artifact_length);
  }
  close(fd);
  return found;
}

/** The baked-in options as a command line whose module is "". */
static void embedded_command_line(const struct embedded *e, int argc, char **argv, struct command_line *line) {
  char **options = allocate((e->options_length + 2) * sizeof *options);
  int count = 0;
  for (size_t at = 0; at < e->options_length; at += strlen(e->options + at) + 1) options[count++] = e->options + at;
  parse_command_line(count, options, line);
  if (line->module != NULL) fail("the options in this executable are damaged");
  line->module = argv[0] != NULL ? argv[0] : "program";
  line->args = argv + 1;
  line->arg_count = argc > 0 ? argc - 1 : 0;
}

/* --------------------------------------------------------------------------------------------------------------- Loading */

struct program {
  lucet_module *module;
  /** Name for people. */
  const char *label;
  /** Of the artifact; NULL: it is in no file of its own. */
  const char *path;
  bool temporary;
};

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

static int open_file(const char *path, struct stat *st) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, st) != 0) fail("%s: %s", path, error_text(errno));
  return fd;
}

/** Verifies the signature of a file's bytes, then loads those: whoever can change the file afterwards gains nothing. */
static lucet_status load_verified(const char *path, const char *public_key, lucet_module **module, lucet_error *error) {
  struct stat st;
  int fd = open_file(path, &st);
  if (!S_ISREG(st.st_mode)) fail("%s: not a regular file", path);
  if (st.st_size > UINT32_MAX) fail("%s: larger than 4 GiB", path);
  size_t length = (size_t)st.st_size;
  uint8_t *bytes = allocate(length + 1);
  for (size_t at = 0; at < length;) {
    ssize_t n = pread(fd, bytes + at, length - at, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("%s: %s", path, n < 0 ? error_text(errno) : "it is cut short");
    at += (size_t)n;
  }
  close(fd);
  helper_verify(path, bytes, length, public_key);
  lucet_status status = lucet_module_load_bytes(bytes, length, module, error);
  free(bytes);
  return status;
}

/** Is it an artifact? Otherwise it is one that can be compiled. */
static bool is_artifact(const char *path) {
  struct stat st;
  int fd = open_file(path, &st);
  if (S_ISDIR(st.st_mode)) fail("%s is a directory", path);
  unsigned char head[8] = {0};
  ssize_t n = read(fd, head, sizeof head);
  if (n < 0) fail("%s: %s", path, error_text(errno));
  close(fd);
  if (memcmp(head, "\177ELF", 4) == 0) return true;
  if (memcmp(head, "\0asm", 4) == 0 && head[6] == 1)
    fail("%s is a component (WASI 0.2). Build the program for WASI preview 1 (wasm32-wasip1).", path);
  if (memcmp(head, "\0a", 2) != 0 && !ends_with(path, ".wat") && !ends_with(path, ".wast"))
    fail("%s is no module: neither a .so of lucetc, nor a .wasm or .wat", path);
  return false;
}

static void name_program(struct program *p, const char *path) {
  uint32_t length;
  const char *name = lucet_module_name(p->module, &length);
  if (length == 0) {
    p->label = base_name(path);
    return;
  }
  char *label = allocate((size_t)length + 1);
  memcpy(label, name, length);
  p->label = label;
}

static bool counts_instructions(const lucet_module *module) {
  static const char counting[] = "\"countInstructions\":true";
  uint32_t length;
  const char *options = lucet_module_options(module, &length);
  return length > 0 && memmem(options, length, counting, sizeof counting - 1) != NULL;
}

static void check_module(int file, const struct module_check *look) { check_imports(file, look->label, look->unknown); }

static struct program load_program(const struct command_line *line, const struct embedded *e, enum unknown_imports unknown) {
  static const char *const levels[] = {"2", "1", "0", NULL};
  struct program p = {0};
  lucet_error error;
  int level = 2 - choice_of(line, OPTION_OPT_LEVEL, levels);
  lucet_status status;
  if (e != NULL) {
    status = lucet_module_load_bytes(e->artifact, e->length, &p.module, &error);
  } else {
    const char *public_key = value_of(line, OPTION_SIGNATURE_PK);
    p.path = line->module;
    bool compiled = is_artifact(p.path);
    // Whoever asks for a signature wants nobody to look at the module before it is verified.
    const struct module_check look = {.check = check_module, .label = base_name(p.path), .unknown = unknown};
    int source = compiled || public_key != NULL ? -1 : open(p.path, O_RDONLY | O_CLOEXEC);
    if (source >= 0) check_imports(source, look.label, unknown);
    if (source >= 0) close(source);
    if (!compiled)
      p.path = helper_compile(p.path, level, has(line, OPTION_FUEL), !has(line, OPTION_NO_CACHE), public_key, public_key == NULL ? &look : NULL, &p.temporary);
    status = compiled && public_key != NULL ? load_verified(p.path, public_key, &p.module, &error) : lucet_module_load_file(p.path, &p.module, &error);
  }
  if (status != LUCET_OK) fail("%s: %s", line->module, error.message);
  name_program(&p, line->module);
  // Code that does not count would run without end.
  if (has(line, OPTION_FUEL) && !counts_instructions(p.module))
    fail("%s: --fuel needs a module that counts: compile it with lucetc-wasi --count-instructions", line->module);
  return p;
}

enum { EXPORTS_SHOWN = 8 };
/** Bytes shown of a name: C++ has some of thousands. */
enum { NAME_SHOWN = 100 };

/** How many bytes a name begins with alike, whatever their case and leading underscores. */
static size_t likeness(const char *a, size_t a_length, const char *b, size_t b_length) {
  while (a_length > 1 && *a == '_') a++, a_length--;
  while (b_length > 1 && *b == '_') b++, b_length--;
  size_t same = 0;
  while (same < a_length && same < b_length && (a[same] | 0x20) == (b[same] | 0x20)) same++;
  return same;
}

/** " It exports …, and 1,234 more": those first that are most alike to `wanted`. */
static void print_exports(const lucet_module *module, const char *wanted) {
  struct {
    lucet_extern function;
    size_t likeness;
  } best[EXPORTS_SHOWN];
  uint32_t count = 0, kept = 0;
  size_t wanted_length = strlen(wanted);
  for (uint32_t k = 0; k < lucet_module_export_count(module); k++) {
    lucet_extern e;
    lucet_module_export(module, k, &e);
    if (e.kind != LUCET_EXTERN_FUNC) continue;
    count++;
    size_t alike = likeness(e.name, e.name_length, wanted, wanted_length);
    uint32_t at = kept;
    while (at > 0 && best[at - 1].likeness < alike) at--;
    if (at == EXPORTS_SHOWN) continue;
    if (kept < EXPORTS_SHOWN) kept++;
    memmove(&best[at + 1], &best[at], (kept - 1 - at) * sizeof *best);
    best[at].function = e;
    best[at].likeness = alike;
  }
  if (count == 0) fprintf(stderr, " It exports no functions.\n");
  for (uint32_t k = 0; k < kept; k++) {
    const lucet_extern *e = &best[k].function;
    fprintf(stderr, "%s", k == 0 ? " It exports: " : ", ");
    uint32_t length = e->name_length;
    // Not within a character.
    if (length > NAME_SHOWN)
      for (length = NAME_SHOWN; length > NAME_SHOWN - 3 && (e->name[length] & 0xc0) == 0x80;) length--;
    print_safely(stderr, e->name, length);
    if (length < e->name_length) fprintf(stderr, "…");
  }
  if (count > kept) fprintf(stderr, ", and %u more (lucet-objdump lists all)", count - kept);
  if (count > 0) fprintf(stderr, ".\n");
}

/** The function to run: number of the export. Ends the process if there is none, with what there is instead. */
static uint32_t find_function(const struct program *p, const char *name, bool may_take_arguments, lucet_extern *function) {
  int32_t number = lucet_module_find_export(p->module, name, strlen(name));
  if (number >= 0) lucet_module_export(p->module, (uint32_t)number, function);
  if (number >= 0 && function->kind == LUCET_EXTERN_FUNC) {
    if (!may_take_arguments && (function->params > 0 || function->results > 0))
      fail("%s is of type %s; an entry point takes and returns nothing. Call it with --invoke %s.", name, show_type(function), name);
    return (uint32_t)number;
  }
  fprintf(stderr, "%s: ", tool);
  print_safely(stderr, p->label, strlen(p->label));
  fprintf(stderr, " exports no function ");
  print_safely(stderr, name, strlen(name));
  fputc('.', stderr);
  if (lucet_module_find_export(p->module, "_initialize", 11) >= 0)
    fprintf(stderr, " It is a library (a WASI reactor), not a program: call one of its functions with --invoke NAME.");
  else if (strcmp(name, "_start") == 0)
    fprintf(stderr,
            " A WASI program must: link it as a command (the default of WASI compilers), or choose a function with --entrypoint or --invoke.");
  print_exports(p->module, name);
  exit(EXIT_ERROR);
}

/* -------------------------------------------------------------------------------------------------------------- Granting */

/** Strings one behind the other, each with its terminating zero. */
struct joined {
  char *bytes;
  size_t length;
  uint32_t count;
};

static void join(struct joined *j, const char *text, size_t length) {
  char *bytes = realloc(j->bytes, j->length + length + 1);
  if (bytes == NULL) fail("out of memory");
  memcpy(bytes + j->length, text, length);
  bytes[j->length + length] = 0;
  j->bytes = bytes;
  j->length += length + 1;
  j->count++;
}

/** A variable that is given again replaces the one before. */
static void set_variable(struct joined *env, const char *text, size_t name_length) {
  for (size_t at = 0; at < env->length;) {
    size_t n = strlen(env->bytes + at) + 1;
    if (strncmp(env->bytes + at, text, name_length) == 0 && env->bytes[at + name_length] == '=') {
      memmove(env->bytes + at, env->bytes + at + n, env->length - at - n);
      env->length -= n;
      env->count--;
    } else {
      at += n;
    }
  }
  join(env, text, strlen(text));
}

static struct joined environment(const struct command_line *line) {
  struct joined env = {0};
  if (has(line, OPTION_INHERIT_ENV))
    for (char **e = environ; *e != NULL; e++)
      if (strchr(*e, '=') != NULL && (*e)[0] != '=') join(&env, *e, strlen(*e));
  for (size_t k = 0; k < line->options[OPTION_ENV].count; k++) {
    const char *text = line->options[OPTION_ENV].items[k];
    size_t name_length = strcspn(text, "=");
    if (name_length == 0) fail_usage("--env %s: expected NAME or NAME=VALUE", text);
    if (text[name_length] == '=') {
      set_variable(&env, text, name_length);
      continue;
    }
    const char *value = getenv(text);
    if (value == NULL) continue;
    char *pair = allocate(name_length + strlen(value) + 2);
    sprintf(pair, "%s=%s", text, value);
    set_variable(&env, pair, name_length);
    free(pair);
  }
  return env;
}

static void grant_directories(lucet_wasi_template *t, const struct command_line *line, enum option_id o, uint32_t flags) {
  for (size_t k = 0; k < line->options[o].count; k++) {
    struct directory d = parse_directory(o, line->options[o].items[k]);
    int error = lucet_wasi_template_preopen(t, d.host, d.guest, flags);
    if (error != 0) fail("directory %s: %s", d.host, error_text(error));
    free(d.host);
    free(d.guest);
  }
}

/**
 * A standard stream that whoever started us has closed is closed for the guest; and its number is taken, so that no
 * file of ours becomes what the guest then reads or writes.
 */
static void grant_stdio(lucet_wasi_template *t, const bool closed[3]) {
  for (uint32_t fd = 0; fd < 3; fd++) lucet_wasi_template_set_stdio(t, fd, closed[fd] ? LUCET_WASI_STDIO_CLOSED : LUCET_WASI_STDIO_FD, (int)fd);
}

static void fill_closed(bool closed[3]) {
  for (int fd = 0; fd < 3; fd++) {
    closed[fd] = fcntl(fd, F_GETFD) < 0;
    if (closed[fd]) open("/dev/null", O_RDWR | O_CLOEXEC);
  }
}

static lucet_wasi_template *make_template(const struct command_line *line, const char *name, const bool closed[3]) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  if (t == NULL) fail("out of memory");
  struct joined args = {0};
  join(&args, name, strlen(name));
  if (!has(line, OPTION_INVOKE))
    for (int k = 0; k < line->arg_count; k++) join(&args, line->args[k], strlen(line->args[k]));
  struct joined env = environment(line);
  int error = lucet_wasi_template_set_args(t, args.bytes, args.length, args.count);
  if (error == 0) error = lucet_wasi_template_set_env(t, env.bytes, env.length, env.count);
  if (error != 0) fail("arguments and environment: %s", error_text(error));
  free(args.bytes);
  free(env.bytes);
  grant_stdio(t, closed);
  grant_directories(t, line, OPTION_DIR, 0);
  grant_directories(t, line, OPTION_READONLY_DIR, LUCET_WASI_READONLY);
  for (size_t k = 0; k < line->options[OPTION_SOCKET].count; k++) {
    const char *text = line->options[OPTION_SOCKET].items[k];
    char *end;
    long fd = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || fd < 0 || fd > INT32_MAX) fail_usage("--socket %s: expected the number of a descriptor that is open", text);
    error = lucet_wasi_template_socket(t, (int)fd);
    if (error != 0) fail("socket %s: %s", text, error_text(error));
  }
  return t;
}

/* --------------------------------------------------------------------------------------------------------------- Running */

struct run {
  const struct command_line *line;
  struct program program;
  lucet_wasi_ctx *wasi;
  lucet_instance *instance;
  struct report_style style;
};

/**
 * Of larger memories only the start is handed on, where stacks and static data usually are: a program that has run out
 * of memory is to be told of as well.
 */
#define MOST_MEMORY_BYTES (1ull << 30)
#define START_BYTES (64ull << 20)

/** A file in memory with what the guest's memory 0 holds, without its pages of zeros; -1: there is none. */
static int copy_memory(lucet_instance *instance) {
  enum { PAGE = 4096 };
  static const unsigned char zeros[PAGE];
  uint64_t length = 0;
  const unsigned char *bytes = lucet_instance_memory(instance, 0, &length);
  if (bytes == NULL || length == 0) return -1;
  if (length > MOST_MEMORY_BYTES) length = START_BYTES;
  int fd = memfd_create("memory", MFD_CLOEXEC);
  if (fd < 0) return -1;
  bool good = ftruncate(fd, (off_t)length) == 0;
  for (uint64_t at = 0; good && at < length; at += PAGE) {
    size_t n = length - at < PAGE ? (size_t)(length - at) : PAGE;
    if (memcmp(bytes + at, zeros, n) != 0) good = pwrite(fd, bytes + at, n, (off_t)at) == (ssize_t)n;
  }
  if (good) return fd;
  close(fd);
  return -1;
}

/** The folder of what is run, with its last slash; "": the present one. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
  char *folder = allocate(length + 1);
  memcpy(folder, path, length);
  folder[length] = 0;
  return folder;
}

/** It has trapped, and that is its status: a file that can't be written is only told of. */
static void write_facts(const char *path, const char *json, size_t length) {
  FILE *file = json != NULL ? fopen(path, "w") : NULL;
  bool written = file != NULL && fwrite(json, 1, length, file) == length;
  if (file != NULL && fclose(file) != 0) written = false;
  if (!written) warn("can't write %s: %s", path, json != NULL ? error_text(errno) : "out of memory");
}

/**
 * The whole report is made by JavaScript, which reads the debug information; what is known here is told if it can't.
 */
static int report_trap(const struct run *r, const lucet_event *event) {
  const lucet_trap_info *info = lucet_instance_trap_info(r->instance);
  const char *json_path = value_of(r->line, OPTION_TRAP_JSON), *core_path = value_of(r->line, OPTION_COREDUMP);
  char *json = NULL, *folder = folder_of(r->line->module);
  char told[LUCET_ASSEMBLYSCRIPT_TOLD];
  const char *aborted = lucet_assemblyscript_told(r->instance, told) > 0 ? told : NULL;
  size_t length = 0;
  FILE *to = open_memstream(&json, &length);
  if (to != NULL) {
    write_trap_json(to, event, r->instance, aborted, r->program.label, r->program.path, folder);
    fclose(to);
  }
  int memory = copy_memory(r->instance);
  if (json == NULL || !helper_report(json, length, memory, json_path, core_path, &r->style)) {
    print_trap(stderr, event, info, aborted, r->program.label, &r->style);
    if (json_path != NULL) write_facts(json_path, json, length);
    if (core_path != NULL) warn("%s: core dumps are written by JavaScript, which takes Node.js", core_path);
  }
  if (memory >= 0) close(memory);
  free(folder);
  free(json);
  return EXIT_TRAP;
}

/** What we have to say begins on a line of its own, also when the guest has not ended its last one. */
static void begin_line(const struct run *r) {
  struct stat out, err;
  bool together = fstat(1, &out) == 0 && fstat(2, &err) == 0 && out.st_dev == err.st_dev && out.st_ino == err.st_ino;
  fflush(stdout);
  if (lucet_wasi_ctx_within_line(r->wasi, together)) fputc('\n', stderr);
}

/** Exit status, or -1: it returned. */
static int outcome(const struct run *r, lucet_status status, const lucet_event *event, const lucet_error *error) {
  if (status == LUCET_OK && event->kind == LUCET_EVENT_RETURNED) return -1;
  // A process has eight bits for its status, on this host as on any other.
  if (status == LUCET_OK && event->kind == LUCET_EVENT_TERMINATED && event->code == LUCET_REASON_EXIT) return (int)(event->id & 0xff);
  begin_line(r);
  if (status != LUCET_OK) fail("%s", error->message);
  switch (event->kind) {
    case LUCET_EVENT_TERMINATED:
      if (event->code == LUCET_REASON_TIMEOUT) {
        fprintf(stderr, "%s: the time is over (--timeout %s)\n", tool, value_of(r->line, OPTION_TIMEOUT));
        return EXIT_TIMEOUT;
      }
      fail("the guest was terminated");
    case LUCET_EVENT_BOUND_EXPIRED:
      fprintf(stderr, "%s: the fuel is spent (--fuel %s)\n", tool, value_of(r->line, OPTION_FUEL));
      return EXIT_TIMEOUT;
    case LUCET_EVENT_TRAPPED:
    case LUCET_EVENT_EXCEPTION:
    case LUCET_EVENT_FAULTED: return report_trap(r, event);
    default: fail("the guest stopped for a reason that is unknown here (event %u)", event->kind);
  }
}

static int call(const struct run *r, uint32_t number, uint64_t *words) {
  lucet_event event;
  lucet_error error;
  lucet_status status = lucet_instance_call_export(r->instance, number, words, &event, &error);
  return outcome(r, status, &event, &error);
}

static int run_guest(struct run *r) {
  const struct command_line *line = r->line;
  const char *invoke = value_of(line, OPTION_INVOKE);
  const char *name = invoke != NULL ? invoke : has(line, OPTION_ENTRYPOINT) ? value_of(line, OPTION_ENTRYPOINT) : "_start";
  lucet_extern function;
  uint32_t number = find_function(&r->program, name, invoke != NULL, &function);
  uint64_t none = 0;
  uint64_t *words = invoke != NULL ? parse_values(&function, name, line->args, line->arg_count) : &none;
  lucet_event event;
  lucet_error error;
  if (lucet_instance_needs_start(r->instance)) {
    lucet_status status = lucet_instance_run_start(r->instance, &event, &error);
    int ended = outcome(r, status, &event, &error);
    if (ended >= 0) return ended;
  }
  int32_t initialize = invoke != NULL && strcmp(invoke, "_initialize") != 0 ? lucet_module_find_export(r->program.module, "_initialize", 11) : -1;
  if (initialize >= 0) {
    int ended = call(r, (uint32_t)initialize, &none);
    if (ended >= 0) return ended;
  }
  int ended = call(r, number, words);
  if (ended >= 0) return ended;
  if (invoke != NULL) print_values(&function, words);
  return fflush(stdout) == 0 ? EXIT_OK : EXIT_ERROR;
}

static lucet_instance *instantiate(const struct command_line *line, lucet_module *module, const lucet_import *imports) {
  lucet_limits limits;
  lucet_limits_default(&limits);
  limits.heap_memory_size = size_of(line, OPTION_MAX_HEAP_SIZE, limits.heap_memory_size);
  limits.heap_address_space_size = size_of(line, OPTION_HEAP_ADDRESS_SPACE, limits.heap_address_space_size);
  limits.stack_size = size_of(line, OPTION_STACK_SIZE, UINT64_C(8) << 20);
  uint32_t count = lucet_module_import_count(module);
  lucet_region *region;
  lucet_instance *instance;
  lucet_error error;
  if (lucet_region_create(1, &limits, &region, &error) != LUCET_OK || lucet_instance_new(region, module, imports, count, &instance, &error) != LUCET_OK)
    fail("%s: %s", line->module, error.message);
  return instance;
}

static bool want_color(const struct command_line *line) {
  static const char *const choices[] = {"auto", "always", "never", NULL};
  int choice = choice_of(line, OPTION_COLOR, choices);
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  if (choice != 0) return choice == 1;
  return (no_color == NULL || no_color[0] == 0) && (term == NULL || strcmp(term, "dumb") != 0) && isatty(2);
}

/** True: the command line asked for something to be printed, and it was. */
static bool print_information(const struct command_line *line) {
  static const char *const shells[] = {"bash", "zsh", "fish", NULL};
  static const char *const scripts[] = {LUCET_WASI_BASH, LUCET_WASI_ZSH, LUCET_WASI_FISH};
  if (has(line, OPTION_HELP)) fputs(LUCET_WASI_HELP, stdout);
  else if (has(line, OPTION_VERSION) && has(line, OPTION_JSON))
    printf("{\"name\":\"lucet-wasi\",\"version\":\"%s\",\"artifactVersion\":%d}\n", LUCET_WASI_VERSION, LUCET_WASI_ARTIFACT_VERSION);
  else if (has(line, OPTION_VERSION)) printf("lucet-wasi %s\n", LUCET_WASI_VERSION);
  else if (has(line, OPTION_COMPLETION)) fputs(scripts[choice_of(line, OPTION_COMPLETION, shells)], stdout);
  else return false;
  return true;
}

int main(int argc, char **argv) {
  static const char *const backtraces[] = {"short", "full", NULL};
  static const char *const unknowns[] = {"refuse", "trap", "zero", NULL};
  bool closed[3];
  fill_closed(closed);
  struct embedded embedded;
  bool is_program = find_embedded(&embedded);
  struct command_line line;
  if (is_program) {
    tool = base_name(argc > 0 ? argv[0] : "program");
    embedded_command_line(&embedded, argc, argv, &line);
  } else {
    parse_command_line(argc > 0 ? argc - 1 : 0, argv + 1, &line);
    if (print_information(&line)) return fflush(stdout) == 0 ? EXIT_OK : EXIT_ERROR;
    if (line.module == NULL) fail_usage("no module is given");
  }
  if (has(&line, OPTION_INVOKE) && has(&line, OPTION_ENTRYPOINT)) fail_usage("--invoke and --entrypoint exclude each other");
  if (has(&line, OPTION_SIGNATURE_VERIFY) != has(&line, OPTION_SIGNATURE_PK))
    fail_usage("--signature-verify and --signature-pk FILE need each other");
  struct run r = {.line = &line};
  r.style = (struct report_style){.color = want_color(&line), .full = choice_of(&line, OPTION_BACKTRACE, backtraces) == 1};
  // All options are looked at before anything is done.
  size_of(&line, OPTION_MAX_HEAP_SIZE, 0);
  size_of(&line, OPTION_HEAP_ADDRESS_SPACE, 0);
  size_of(&line, OPTION_STACK_SIZE, 0);
  duration_of(&line, OPTION_TIMEOUT);
  enum unknown_imports unknown = (enum unknown_imports)choice_of(&line, OPTION_UNKNOWN_IMPORTS, unknowns);
  count_of(&line, OPTION_FUEL);
  // Whoever started us may be killed, and could then end nothing any more.
  if (has(&line, OPTION_DIE_WITH_PARENT)) prctl(PR_SET_PDEATHSIG, SIGKILL);
  r.program = load_program(&line, is_program ? &embedded : NULL, unknown);
  lucet_wasi_template *t = make_template(&line, base_name(line.module), closed);
  lucet_wasi_ctx *ctx = r.wasi = lucet_wasi_ctx_new(t);
  if (ctx == NULL) fail("out of memory");
  lucet_import *imports = link_imports(r.program.module, r.program.label, ctx, unknown);
  r.instance = instantiate(&line, r.program.module, imports);
  if (has(&line, OPTION_FUEL)) lucet_instance_set_instruction_bound(r.instance, count_of(&line, OPTION_FUEL));
  lucet_instance_set_timeout(r.instance, duration_of(&line, OPTION_TIMEOUT));
  int status = run_guest(&r);
  if (r.program.temporary) unlink(r.program.path);
  // The system takes back the rest, and faster.
  return status;
}
