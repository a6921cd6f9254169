/**
 * Fuzz target (libFuzzer): a guest that calls WASI functions with hostile arguments, in any order. What it must never
 * do, whatever it calls: make the sanitizers speak, change or learn anything outside of its directories, change what it
 * has read-only, or hang.
 *
 * An input is a list of calls: a byte for the function, then one or more for each argument (see `word`). Guest memory
 * holds paths and structures at fixed places, which the calls themselves overwrite.
 *
 *     clang -fsanitize=fuzzer,address,undefined wasi*.c test/wasi_fuzz.c && ./a.out -max_total_time=300
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../wasi_internal.h"
#include "wasi_host.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A wait is over at once: what would have to be waited for is an error. */
int ppoll(struct pollfd *polls, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  (void)mask;
  int got = poll(polls, count, 0);
  if (got == 0 && (timeout == NULL || timeout->tv_sec != 0 || timeout->tv_nsec != 0)) {
    errno = EDEADLK;
    return -1;
  }
  return got;
}

enum { MEMORY = 1 << 17 };
#define SECRET "\x7f" "what-no-guest-may-see" "\x7f"

static const struct {
  const char *name;
  int params;
  const char *signature;
} FUNCTIONS[] = {
#define F(name, signature) {#name, sizeof signature - 2, signature},
    WASI_FUNCTIONS(F)
#undef F
};
enum { FUNCTION_COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS };

static char world[PATH_MAX];
static lucet_vmctx vm;
static int outside_fd, pair[2];

/** Names that guests put together; at multiples of 64 in guest memory. */
static const char *const PATHS[] = {
    "file", "sub", "sub/inner", "..", "../outside/secret", "up", "up/secret", "abs", "loop", "new", "new/x", "./sub/../file", "sub/", "file/", "/", "/etc/passwd",
    "dangling", "within/inner", "fifo", "a/b/c/d", "../", ".", "", "new2", "up/new", "socket",
};
enum { PATH_COUNT = sizeof PATHS / sizeof *PATHS };

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st;
  (void)type;
  return ftw->level > 0 ? remove(path) : 0;
}

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  abort();
}

static void write_file(int dir, const char *path, const char *text) {
  int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
  close(fd);
}

static void fill(void) {
  nftw("d", remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  char absolute[PATH_MAX + 20];
  snprintf(absolute, sizeof absolute, "%s/outside/secret", world);
  must(mkdir("d/sub", 0700) == 0 && symlink(absolute, "d/abs") == 0 && symlink("../outside", "d/up") == 0 && symlink("loop", "d/loop") == 0 &&
           symlink("sub", "d/within") == 0 && symlink("../outside/new", "d/dangling") == 0 && mkfifo("d/fifo", 0600) == 0,
       "d");
  write_file(AT_FDCWD, "d/file", "content");
  write_file(AT_FDCWD, "d/sub/inner", "inner");
}

static void remove_world(void) {
  if (chdir("/") == 0) {
    nftw(world, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(world);
  }
}

static lucet_wasi_template *template;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  const char *base = getenv("TMPDIR");
  snprintf(world, sizeof world, "%s/lucet-wasi-fuzz-XXXXXX", base != NULL ? base : "/tmp");
  must(mkdtemp(world) != NULL && chdir(world) == 0, world);
  atexit(remove_world);
  must(mkdir("outside", 0700) == 0 && mkdir("d", 0700) == 0 && mkdir("ro", 0700) == 0, "world");
  write_file(AT_FDCWD, "outside/secret", SECRET);
  write_file(AT_FDCWD, "ro/file", "fixed");
  outside_fd = open("outside", O_RDONLY | O_DIRECTORY);
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
  fill();
  template = lucet_wasi_template_new();
  const lucet_wasi_limits limits = {.descriptors = 32, .written = 1 << 16};
  lucet_wasi_template_set_args(template, "a\0bc", 5, 2);
  lucet_wasi_template_set_env(template, "A=1", 4, 1);
  lucet_wasi_template_set_stdio(template, 1, LUCET_WASI_STDIO_BUFFER, -1);
  lucet_wasi_template_set_stdio(template, 2, LUCET_WASI_STDIO_NULL, -1);
  must(lucet_wasi_template_preopen(template, "d", "/d", 0) == 0 && lucet_wasi_template_preopen(template, "ro", "/ro", LUCET_WASI_READONLY) == 0 &&
           lucet_wasi_template_socket(template, pair[0]) == 0 && lucet_wasi_template_set_limits(template, &limits) == 0,
       "template");
  return 0;
}

struct input {
  const uint8_t *at;
  const uint8_t *end;
};

static uint8_t byte(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

/** An argument: a small number, a place near an edge, a path's address or length, a bit of a set, or anything. */
static uint64_t word(struct input *in) {
  uint8_t b = byte(in);
  uint8_t n = b & 31;
  switch (b >> 5) {
    case 0: return n;
    case 1: return 64u * n;
    case 2: return MEMORY - n;
    case 3: return n < PATH_COUNT ? strlen(PATHS[n]) : n;
    case 4: return UINT64_MAX >> (2 * n);
    case 5: return UINT64_C(1) << (2 * n + (byte(in) & 1));
    case 6: return 4096u + 16u * n;
    default: {
      uint64_t w = 0;
      for (int k = 0; k <= (n & 7); k++) w = w << 8 | byte(in);
      return w;
    }
  }
}

static void lay_out(struct input *in) {
  memset(vm.memory, 0, MEMORY);
  for (int k = 0; k < PATH_COUNT; k++) memcpy(vm.memory + 64 * k, PATHS[k], strlen(PATHS[k]));
  // Vectors, and subscriptions.
  for (uint32_t k = 0; k < 8; k++) {
    wasi_ciovec v = {8192 + 512 * k, 64 * k};
    memcpy(vm.memory + 4096 + 8 * k, &v, sizeof v);
  }
  for (uint32_t k = 0; k < 16; k++) {
    wasi_subscription s = {.userdata = k, .tag = (uint8_t)(k % 3)};
    if (s.tag != 0) s.fd = k / 3;
    memcpy(vm.memory + 4352 + 48 * k, &s, sizeof s);
  }
  // And a bit of it as the fuzzer likes.
  for (int k = byte(in) & 15; k > 0; k--) {
    uint32_t at = (uint32_t)word(in) & (MEMORY - 1);
    vm.memory[at] = byte(in);
  }
}

static void unharmed(void) {
  char text[64] = "";
  int fd = openat(outside_fd, "secret", O_RDONLY);
  must(fd >= 0 && read(fd, text, sizeof text) == sizeof SECRET - 1 && memcmp(text, SECRET, sizeof SECRET - 1) == 0, "outside/secret");
  close(fd);
  fd = open("ro/file", O_RDONLY);
  must(fd >= 0 && read(fd, text, sizeof text) == 5 && memcmp(text, "fixed", 5) == 0, "ro/file");
  close(fd);
  struct stat st;
  must(fstat(outside_fd, &st) == 0 && st.st_nlink == 2, "outside");
  must(fstatat(outside_fd, "new", &st, AT_SYMLINK_NOFOLLOW) != 0 && fstatat(outside_fd, "new2", &st, AT_SYMLINK_NOFOLLOW) != 0, "outside/new");
  must(memmem(vm.memory, MEMORY, SECRET, sizeof SECRET - 1) == NULL, "the secret is in the guest's memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned runs;
  struct input in = {data, data + size};
  uint8_t mode = byte(&in);
  wasi_path_set_walk((mode & 1) != 0 ? WASI_WALK_OPENAT2 : WASI_WALK_COMPONENTS);
  // Allocated anew: the sanitizer watches both ends.
  vm.memory = malloc(MEMORY);
  vm.length = MEMORY;
  vm.ctx = lucet_wasi_ctx_new(template);
  must(vm.memory != NULL && vm.ctx != NULL, "memory");
  if ((mode & 2) != 0) must(lucet_wasi_ctx_set_input(vm.ctx, "input", 5) == 0, "input");
  lay_out(&in);
  for (int calls = 0; in.at < in.end && calls < 64; calls++) {
    int f = byte(&in) % FUNCTION_COUNT;
    uint64_t words[10];
    for (int k = 0; k < FUNCTIONS[f].params; k++) words[k] = word(&in);
    // Syncing takes the disk's time.
    if (strcmp(FUNCTIONS[f].name, "fd_sync") == 0 || strcmp(FUNCTIONS[f].name, "fd_datasync") == 0) continue;
    call_words(&vm, FUNCTIONS[f].name, words, FUNCTIONS[f].params);
  }
  char drain[4096];
  while (recv(pair[1], drain, sizeof drain, MSG_DONTWAIT) > 0) {
  }
  unharmed();
  lucet_wasi_ctx_free(vm.ctx);
  free(vm.memory);
  if (++runs % 64 == 0) fill();
  return 0;
}
