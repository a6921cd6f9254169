/**
 * Guests that try to get at what they were not granted, and hosts that change things meanwhile. Each protection in wasi_guards.h has an attack here
 * that succeeds without it: scripts/wasi-mutants.ts compiles this program without each of them and wants it to fail.
 *
 * The argument is an empty directory to work in. Exits with 0 if all is well; otherwise says what is not.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wasi_host.h"

static int failures, checks;
static const char *test_name = "";

#define CHECK(condition)                                                          \
  do {                                                                            \
    checks++;                                                                     \
    if (!(condition) && failures++ < 20) fprintf(stderr, "%s: line %d: %s\n", test_name, __LINE__, #condition); \
  } while (0)
#define IS(call, expected)                                                        \
  do {                                                                            \
    int got_ = (call);                                                            \
    checks++;                                                                     \
    if (got_ != (int)(expected) && failures++ < 20)                               \
      fprintf(stderr, "%s: line %d: %s is %d, not %s\n", test_name, __LINE__, #call, got_, #expected); \
  } while (0)

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(2);
}

/* ------------------------------------------------------------------------------------------------------------- The world */

enum { MEMORY = 1 << 20, READ = 1 << 1, ALL = -1 };
#define EVERYTHING ((uint64_t)ALL & ((UINT64_C(1) << 30) - 1))

/** What a directory can be opened with. */
#define LOOKING (EVERYTHING & ~(uint64_t)(WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE))

/** Descriptors of the guest: what is below is granted in this order. */
enum { D = 3, RO = 4, E = 5, FREE = 6 };

static char work[PATH_MAX];
static lucet_vmctx vm;
static uint32_t next_free;
static int d_fd;

/** Puts bytes where the guest has them: their address. */
static uint32_t put(const void *bytes, size_t length) {
  uint32_t at = next_free;
  must(at + length <= MEMORY, "room in the guest's memory");
  memcpy(vm.memory + at, bytes, length);
  next_free = (uint32_t)((at + length + 15) & ~(size_t)15);
  return at;
}

static uint32_t room(uint32_t length) {
  uint32_t at = next_free;
  must(at + length <= MEMORY, "room in the guest's memory");
  memset(vm.memory + at, 0, length);
  next_free = (at + length + 15) & ~15u;
  return at;
}

static uint32_t load32(uint32_t at) {
  uint32_t n;
  memcpy(&n, vm.memory + at, 4);
  return n;
}

#define S(text) put(text, strlen(text)), strlen(text)

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
  close(fd);
}

static int file_is(const char *path, const char *text) {
  char got[256] = "";
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, got, sizeof got - 1);
  close(fd);
  return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

static int exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

static void make_world(const char *dir) {
  must(realpath(dir, work) != NULL && chdir(work) == 0, dir);
  must(mkdir("outside", 0700) == 0 && mkdir("outside/dir", 0700) == 0 && mkdir("d", 0700) == 0 && mkdir("d/sub", 0700) == 0 &&
           mkdir("ro", 0700) == 0 && mkdir("ro/sub", 0700) == 0 && mkdir("e", 0700) == 0,
       "mkdir");
  write_file("outside/secret", "secret");
  write_file("d/file", "content");
  write_file("d/sub/inner", "inner");
  write_file("ro/file", "fixed");
  write_file("ro/sub/x", "fixed");
  char absolute[PATH_MAX + 20];
  snprintf(absolute, sizeof absolute, "%s/outside/secret", work);
  must(symlink(absolute, "d/abs") == 0, "abs");
  snprintf(absolute, sizeof absolute, "%s/outside", work);
  must(symlink(absolute, "d/absdir") == 0, "absdir");
  must(symlink("../outside", "d/up") == 0 && symlink("sub/../../outside", "d/roundabout") == 0 && symlink("loop", "d/loop") == 0 &&
           symlink("sub", "d/within") == 0 && symlink("../outside/new", "d/dangling") == 0,
       "symlink");
  must(mkfifo("d/fifo", 0600) == 0, "mkfifo");
}

/** What guests get unless a test has its own. */
static lucet_wasi_template *granted(void) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  must(t != NULL, "template");
  must(lucet_wasi_template_set_args(t, "guest\0argument", 15, 2) == 0 && lucet_wasi_template_set_env(t, "A=1", 4, 1) == 0, "strings");
  d_fd = open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(lucet_wasi_template_preopen_fd(t, d_fd, "/d", 0) == 0 && lucet_wasi_template_preopen(t, "ro", "/ro", LUCET_WASI_READONLY) == 0 &&
           lucet_wasi_template_preopen(t, "e", "/e", 0) == 0,
       "preopens");
  return t;
}

static lucet_wasi_template *in_use;

static void begin_with(lucet_wasi_template *t) {
  in_use = t;
  vm.memory = malloc(MEMORY);
  must(vm.memory != NULL, "memory");
  memset(vm.memory, 0, MEMORY);
  vm.length = MEMORY;
  next_free = 16;
  vm.ctx = lucet_wasi_ctx_new(t);
  must(vm.ctx != NULL, "context");
}

static void end(void) {
  lucet_wasi_ctx_free(vm.ctx);
  lucet_wasi_template_release(in_use);
  free(vm.memory);
  close(d_fd);
}

/** path_open with all rights: a descriptor, or -errno. */
static int open_at(int dir, int follow, const char *path, int oflags, uint64_t rights) {
  uint32_t result = room(4);
  int error = CALL(&vm, path_open, (uint64_t)dir, (uint64_t)follow, S(path), (uint64_t)oflags, rights, EVERYTHING, 0, result);
  return error == 0 ? (int)load32(result) : -error;
}

enum { CREATE = WASI_OFLAG_CREAT, DIRECTORY = WASI_OFLAG_DIRECTORY, EXCLUSIVE = WASI_OFLAG_EXCL, TRUNCATE = WASI_OFLAG_TRUNC };

static int close_guest(int fd) { return CALL(&vm, fd_close, (uint64_t)fd); }

/** fd_write or fd_read of one vector: bytes moved, or -errno. */
static int move(const char *function, int fd, uint32_t at, uint32_t length) {
  wasi_ciovec v = {at, length};
  uint32_t vector = put(&v, sizeof v), result = room(4);
  int error = call_words(&vm, function, (const uint64_t[]){(uint64_t)fd, vector, 1, result}, 4);
  return error == 0 ? (int)load32(result) : -error;
}

static void nothing_outside_changed(void) {
  CHECK(file_is("outside/secret", "secret"));
  CHECK(!exists("outside/new"));
  int entries = 0;
  DIR *dir = opendir("outside");
  must(dir != NULL, "outside");
  while (readdir(dir) != NULL) entries++;
  closedir(dir);
  CHECK(entries == 4);
  CHECK(file_is("ro/file", "fixed") && file_is("ro/sub/x", "fixed"));
}

/* ----------------------------------------------------------------------------------------------------------------- Paths */

/** Ways out of d: whatever follows them must not get there. */
static const char *const WAYS_OUT[] = {
    "../outside/secret", "up/secret", "roundabout/secret", "absdir/secret", "sub/../../outside/secret", "./../outside/secret", "within/../../outside/secret",
    "sub/./.././../outside/secret", "..//outside/secret", "up/./secret", "up/dir/../secret",
};

static void ways_out(void) {
  for (size_t k = 0; k < sizeof WAYS_OUT / sizeof *WAYS_OUT; k++) {
    const char *path = WAYS_OUT[k];
    uint32_t result = room(64);
    for (int follow = 0; follow < 2; follow++) {
      IS(open_at(D, follow, path, 0, READ), -WASI_EPERM);
      IS(open_at(D, follow, path, TRUNCATE, EVERYTHING), -WASI_EPERM);
      IS(CALL(&vm, path_filestat_get, D, (uint64_t)follow, S(path), result), WASI_EPERM);
      IS(CALL(&vm, path_filestat_set_times, D, (uint64_t)follow, S(path), 1, 1, 5), WASI_EPERM);
    }
    IS(CALL(&vm, path_unlink_file, D, S(path)), WASI_EPERM);
    IS(CALL(&vm, path_remove_directory, D, S(path)), WASI_EPERM);
    IS(CALL(&vm, path_create_directory, D, S(path)), WASI_EPERM);
    IS(CALL(&vm, path_readlink, D, S(path), result, 64, result), WASI_EPERM);
    IS(CALL(&vm, path_symlink, S("x"), D, S(path)), WASI_EPERM);
    IS(CALL(&vm, path_link, D, 0, S(path), D, S("linked")), WASI_EPERM);
    IS(CALL(&vm, path_link, D, 0, S("file"), D, S(path)), WASI_EPERM);
    IS(CALL(&vm, path_rename, D, S(path), D, S("renamed")), WASI_EPERM);
    IS(CALL(&vm, path_rename, D, S("file"), D, S(path)), WASI_EPERM);
    next_free = 16;
  }
}

/** The way out is the last component itself. */
static void last_component(void) {
  uint32_t result = room(64);
  IS(open_at(D, 1, "abs", 0, READ), -WASI_EPERM);
  IS(open_at(D, 0, "abs", 0, READ), -WASI_ELOOP);
  IS(open_at(D, 0, "abs", TRUNCATE, EVERYTHING), -WASI_ELOOP);
  IS(open_at(D, 1, "up", DIRECTORY, READ), -WASI_EPERM);
  IS(open_at(D, 0, "up", DIRECTORY, READ), -WASI_ENOTDIR);
  IS(open_at(D, 0, "up/", DIRECTORY, READ), -WASI_EPERM);
  IS(open_at(D, 1, "dangling", CREATE, EVERYTHING), -WASI_EPERM);
  IS(open_at(D, 0, "dangling", CREATE | EXCLUSIVE, EVERYTHING), -WASI_EEXIST);
  for (int follow = 0; follow < 2; follow++) {
    IS(open_at(D, follow, "..", DIRECTORY, READ), -WASI_EPERM);
    IS(open_at(D, follow, "sub/../..", DIRECTORY, READ), -WASI_EPERM);
    IS(CALL(&vm, path_filestat_get, D, (uint64_t)follow, S(".."), result), WASI_EPERM);
    IS(CALL(&vm, path_filestat_get, D, (uint64_t)follow, S("../"), result), WASI_EPERM);
  }
  IS(CALL(&vm, path_filestat_get, D, 0, S("abs"), result), WASI_OK);
  CHECK(vm.memory[result + 16] == WASI_FILETYPE_SYMBOLIC_LINK);
  IS(CALL(&vm, path_filestat_get, D, 1, S("abs"), result), WASI_EPERM);
  struct stat before, after;
  must(stat("outside/secret", &before) == 0, "stat");
  IS(CALL(&vm, path_filestat_set_times, D, 0, S("abs"), 1000, 1000, 5), WASI_OK);
  must(stat("outside/secret", &after) == 0, "stat");
  CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_atim.tv_sec == after.st_atim.tv_sec);
  IS(CALL(&vm, path_symlink, S("/etc/passwd"), D, S("made")), WASI_EPERM);
  CHECK(!exists("d/made"));
  IS(CALL(&vm, path_link, D, 1, S("abs"), D, S("made")), WASI_EINVAL);
  // A hard link to a link is a link: it leads nowhere either.
  IS(CALL(&vm, path_link, D, 0, S("abs"), D, S("made")), WASI_OK);
  IS(open_at(D, 1, "made", 0, READ), -WASI_EPERM);
  IS(CALL(&vm, path_unlink_file, D, S("made")), WASI_OK);
}

static void absolute_paths(void) {
  uint32_t result = room(64);
  const char *const paths[] = {"/", "/file", "//file", "/etc/passwd", "/proc/self/environ"};
  for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
    IS(open_at(D, 1, paths[k], 0, READ), -WASI_EPERM);
    IS(CALL(&vm, path_filestat_get, D, 1, S(paths[k]), result), WASI_EPERM);
    IS(CALL(&vm, path_unlink_file, D, S(paths[k])), WASI_EPERM);
  }
}

static void endless_links(void) {
  uint32_t result = room(64);
  IS(open_at(D, 1, "loop", 0, READ), -WASI_ELOOP);
  IS(open_at(D, 0, "loop/x", 0, READ), -WASI_ELOOP);
  IS(CALL(&vm, path_filestat_get, D, 1, S("loop"), result), WASI_ELOOP);
  IS(CALL(&vm, path_filestat_get, D, 0, S("loop/x"), result), WASI_ELOOP);
}

static void names(void) {
  static char text[30000];
  uint32_t result = room(64);
  memset(text, 'x', sizeof text);
  const size_t lengths[] = {256, 2000, 4095, 4096, 4097, 20000};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
    uint32_t at = put(text, lengths[k]);
    IS(CALL(&vm, path_filestat_get, D, 1, at, lengths[k], result), WASI_ENAMETOOLONG);
    IS(CALL(&vm, path_create_directory, D, at, lengths[k]), WASI_ENAMETOOLONG);
    IS(CALL(&vm, path_symlink, S("x"), D, at, lengths[k]), WASI_ENAMETOOLONG);
    IS(CALL(&vm, path_link, D, 0, S("file"), D, at, lengths[k]), WASI_ENAMETOOLONG);
    IS(CALL(&vm, path_open, D, 1, at, lengths[k], CREATE, EVERYTHING, EVERYTHING, 0, result), WASI_ENAMETOOLONG);
    // The same as a component in the middle.
    char *middle = (char *)vm.memory + at;
    middle[lengths[k] - 1] = 'y', middle[lengths[k] - 2] = '/';
    IS(CALL(&vm, path_filestat_get, D, 1, at, lengths[k], result), lengths[k] - 2 > NAME_MAX ? WASI_ENAMETOOLONG : WASI_ENOENT);
    next_free = 80;
  }
  // 4,096 bytes of short names.
  for (size_t k = 0; k < sizeof text; k += 2) memcpy(text + k, "./", 2);
  text[4094] = 'f';
  IS(CALL(&vm, path_filestat_get, D, 1, put(text, 4095), 4095, result), WASI_ENOENT);
  IS(CALL(&vm, path_filestat_get, D, 1, put(text, 4096), 4096, result), WASI_ENAMETOOLONG);
  IS(CALL(&vm, path_filestat_get, D, 0, put("file\0x", 6), 6, result), WASI_EINVAL);
  IS(CALL(&vm, path_open, D, 0, put("file\0x", 6), 6, 0, READ, READ, 0, result), WASI_EINVAL);
  IS(CALL(&vm, path_unlink_file, D, put("file\0", 5), 5), WASI_EINVAL);
  IS(CALL(&vm, path_symlink, put("sub\0x", 5), 5, D, S("made")), WASI_EINVAL);
  // A name is bytes to the host: what isn't UTF-8 is a name like any other.
  IS(close_guest(open_at(D, 0, "\xff\xfe\x80", CREATE | EXCLUSIVE, EVERYTHING)), WASI_OK);
  CHECK(exists("d/\xff\xfe\x80"));
  IS(CALL(&vm, path_unlink_file, D, S("\xff\xfe\x80")), WASI_OK);
  IS(CALL(&vm, path_filestat_get, D, 0, 16, 0, result), WASI_ENOENT);
}

static void trailing_slashes(void) {
  uint32_t result = room(64);
  IS(open_at(D, 1, "file/", 0, READ), -WASI_ENOTDIR);
  IS(open_at(D, 1, "new/", CREATE, EVERYTHING), -WASI_EISDIR);
  IS(CALL(&vm, path_filestat_get, D, 1, S("file/"), result), WASI_ENOTDIR);
  IS(CALL(&vm, path_unlink_file, D, S("file/")), WASI_ENOTDIR);
  IS(CALL(&vm, path_rename, D, S("file/"), D, S("renamed")), WASI_ENOTDIR);
  IS(CALL(&vm, path_rename, D, S("file"), D, S("renamed/")), WASI_ENOTDIR);
  IS(CALL(&vm, path_link, D, 0, S("file"), D, S("linked/")), WASI_ENOENT);
  IS(CALL(&vm, path_symlink, S("x"), D, S("linked/")), WASI_ENOENT);
  IS(CALL(&vm, path_filestat_get, D, 0, S("within/"), result), WASI_OK);
  CHECK(vm.memory[result + 16] == WASI_FILETYPE_DIRECTORY);
  CHECK(file_is("d/file", "content"));
}

/** Links whose targets are as long as they can be, and trees deeper than the walk can hold. */
static void long_ways(void) {
  static char target[4000], path[4000];
  uint32_t result = room(64);
  for (size_t k = 0; k + 2 < sizeof target; k += 2) memcpy(target + k, "./", 2);
  must(symlink(target, "d/long") == 0, "long");
  strcpy(path, "long/");
  for (size_t k = 5; k + 3 < sizeof path; k += 2) memcpy(path + k, "./", 2);
  strcpy(path + sizeof path - 2, "x");
  int error = CALL(&vm, path_filestat_get, D, 1, S(path), result);
  // The kernel resolves a link's target apart from the rest; the walk has one buffer for both.
  CHECK(error == WASI_OK || error == WASI_ENAMETOOLONG);
  must(unlink("d/long") == 0, "unlink");
  int at = open("d", O_RDONLY | O_DIRECTORY);
  for (int k = 0; k < 300; k++) {
    must(mkdirat(at, "n", 0700) == 0, "mkdirat");
    int below = openat(at, "n", O_RDONLY | O_DIRECTORY);
    must(below >= 0, "openat");
    close(at);
    at = below;
  }
  close(at);
  path[0] = 0;
  for (int k = 0; k < 299; k++) memcpy(path + 2 * k, "n/", 3);
  strcat(path, "n");
  error = CALL(&vm, path_filestat_get, D, 1, S(path), result);
  CHECK(error == WASI_OK || error == WASI_ENAMETOOLONG);
  must(system("rm -rf d/n") == 0, "rm");
}

/** Links of /proc lead to anywhere, without being paths. */
static void proc_tricks(void) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  must(lucet_wasi_template_preopen(t, "/proc/self", "/p", LUCET_WASI_READONLY) == 0, "/proc/self");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  uint32_t result = room(64);
  int secret = open("outside/secret", O_RDONLY);
  char path[64];
  snprintf(path, sizeof path, "fd/%d", secret);
  const char *const ways[] = {"cwd/outside/secret", "root/etc/passwd", "cwd", "root", "exe", path};
  for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
    for (int follow = 0; follow < 2; follow++) CHECK(open_at(3, follow, ways[k], 0, READ) < 0);
    int error = CALL(&vm, path_filestat_get, 3, 1, S(ways[k]), result);
    CHECK(error == WASI_ELOOP || error == WASI_EPERM);
  }
  CHECK(open_at(3, 1, "task/../../1/cwd", 0, READ) < 0);
  close(secret);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}

/** The host swaps a folder for a link to the outside, back and forth, while the guest opens what is in it. */
static atomic_bool racing;

static void *swap(void *unused) {
  (void)unused;
  while (atomic_load(&racing)) {
    renameat2(AT_FDCWD, "d/victim", AT_FDCWD, "d/decoy", 2 /* RENAME_EXCHANGE */);
  }
  return NULL;
}

static void races(void) {
  must(mkdir("d/victim", 0700) == 0 && symlink("../outside", "d/decoy") == 0, "victim");
  write_file("d/victim/secret", "harmless");
  atomic_store(&racing, true);
  pthread_t thread;
  must(pthread_create(&thread, NULL, swap, NULL) == 0, "thread");
  int opened = 0;
  for (int k = 0; k < 4000; k++) {
    next_free = 16;
    int fd = open_at(D, k & 1, "victim/secret", 0, READ);
    if (fd >= 0) {
      uint32_t buffer = room(16);
      int n = move("fd_read", fd, buffer, 16);
      CHECK(n == 8 && memcmp(vm.memory + buffer, "harmless", 8) == 0);
      close_guest(fd);
      opened++;
    }
    uint32_t result = room(64);
    if (CALL(&vm, path_filestat_get, D, 1, S("victim/secret"), result) == WASI_OK) CHECK(load32(result + 32) == 8);
    int error = CALL(&vm, path_create_directory, D, S("victim/new"));
    CHECK(error == WASI_OK || error == WASI_EPERM || error == WASI_EEXIST || error == WASI_ENOENT || error == WASI_ENOTDIR);
    CALL(&vm, path_remove_directory, D, S("victim/new"));
  }
  atomic_store(&racing, false);
  pthread_join(thread, NULL);
  CHECK(opened > 0);
  must(system("rm -rf d/victim d/decoy") == 0, "rm");
}

static volatile sig_atomic_t signals;
static void count_signal(int number) {
  (void)number;
  signals++;
}

static void pipes_and_devices(void) {
  uint32_t result = room(64);
  // Nobody will ever write: neither opening nor reading without waiting may hang.
  int fd = open_at(D, 0, "fifo", 0, READ | WASI_RIGHT_FD_FDSTAT_SET_FLAGS);
  CHECK(fd >= 0);
  IS(CALL(&vm, fd_fdstat_set_flags, (uint64_t)fd, WASI_FDFLAG_NONBLOCK), WASI_OK);
  int n = move("fd_read", fd, result, 4);
  CHECK(n == 0 || n == -WASI_EAGAIN);
  // A pipe whose reader the guest itself takes away: an error for it, and no signal for the host, then or later.
  int writer = open_at(D, 0, "fifo", 0, WASI_RIGHT_FD_WRITE);
  CHECK(writer >= 0);
  IS(close_guest(fd), WASI_OK);
  void (*old)(int) = signal(SIGPIPE, count_signal);
  IS(move("fd_write", writer, result, 4), -WASI_EPIPE);
  sigset_t mask;
  must(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0, "mask");
  CHECK(signals == 0 && sigismember(&mask, SIGPIPE) == 0);
  signal(SIGPIPE, old);
  IS(close_guest(writer), WASI_OK);
}

static void across_preopens(void) {
  uint32_t result = room(64);
  // Granted both ways: allowed. To or from what is read-only: never.
  IS(CALL(&vm, path_rename, D, S("file"), E, S("moved")), WASI_OK);
  IS(CALL(&vm, path_rename, E, S("moved"), D, S("file")), WASI_OK);
  IS(CALL(&vm, path_link, D, 0, S("file"), E, S("linked")), WASI_OK);
  IS(CALL(&vm, path_unlink_file, E, S("linked")), WASI_OK);
  IS(CALL(&vm, path_rename, D, S("file"), RO, S("moved")), WASI_EROFS);
  IS(CALL(&vm, path_rename, RO, S("file"), D, S("moved")), WASI_EROFS);
  IS(CALL(&vm, path_link, RO, 0, S("file"), D, S("linked")), WASI_EROFS);
  IS(CALL(&vm, path_link, D, 0, S("file"), RO, S("linked")), WASI_EROFS);
  // A directory that was moved under the guest's feet is still what it was granted, and `..` from it leads nowhere.
  int sub = open_at(D, 0, "sub", DIRECTORY, LOOKING);
  must(rename("d/sub", "outside/moved") == 0, "rename");
  IS(open_at(sub, 0, "../secret", 0, READ), -WASI_EPERM);
  IS(CALL(&vm, path_filestat_get, (uint64_t)sub, 1, S(".."), result), WASI_EPERM);
  must(rename("outside/moved", "d/sub") == 0, "rename");
  IS(close_guest(sub), WASI_OK);
}

/* ------------------------------------------------------------------------------------------------------------- Read-only */

static void readonly(void) {
  uint32_t result = room(64);
  IS(CALL(&vm, path_create_directory, RO, S("new")), WASI_EROFS);
  IS(CALL(&vm, path_unlink_file, RO, S("file")), WASI_EROFS);
  IS(CALL(&vm, path_remove_directory, RO, S("sub")), WASI_EROFS);
  IS(CALL(&vm, path_symlink, S("x"), RO, S("new")), WASI_EROFS);
  IS(CALL(&vm, path_rename, RO, S("file"), RO, S("new")), WASI_EROFS);
  IS(CALL(&vm, path_link, RO, 0, S("file"), RO, S("new")), WASI_EROFS);
  IS(CALL(&vm, path_filestat_set_times, RO, 0, S("file"), 1, 1, 5), WASI_EROFS);
  IS(open_at(RO, 0, "new", CREATE, EVERYTHING), -WASI_EROFS);
  IS(open_at(RO, 0, "new", CREATE, READ), -WASI_EROFS);
  IS(open_at(RO, 0, "file", TRUNCATE, READ), -WASI_EROFS);
  IS(open_at(RO, 0, "file", 0, EVERYTHING), -WASI_EROFS);
  IS(open_at(RO, 0, "file", CREATE | EXCLUSIVE, READ), -WASI_EEXIST);
  CHECK(!exists("ro/new"));
  int file = open_at(RO, 0, "file", CREATE, READ);
  CHECK(file >= 0);
  IS(move("fd_write", file, result, 4), -WASI_EROFS);
  IS(CALL(&vm, fd_filestat_set_size, (uint64_t)file, 0), WASI_EROFS);
  IS(CALL(&vm, fd_filestat_set_times, (uint64_t)file, 1, 1, 5), WASI_EROFS);
  IS(CALL(&vm, fd_allocate, (uint64_t)file, 0, 100), WASI_EROFS);
  IS(CALL(&vm, fd_pwrite, (uint64_t)file, result, 1, 0, result), WASI_EROFS);
  close_guest(file);
  // What is opened beneath is as read-only, by whatever rights it is asked for.
  int sub = open_at(RO, 0, "sub", DIRECTORY, LOOKING);
  CHECK(sub >= 0);
  IS(open_at(sub, 0, "x", 0, EVERYTHING), -WASI_EROFS);
  IS(open_at(sub, 0, "new", CREATE, READ), -WASI_EROFS);
  IS(open_at(sub, 0, "x", TRUNCATE, READ), -WASI_EROFS);
  IS(CALL(&vm, path_unlink_file, (uint64_t)sub, S("x")), WASI_EROFS);
  close_guest(sub);
}

/* ----------------------------------------------------------------------------------------------------------- Descriptors */

static void descriptors(void) {
  uint32_t result = room(64);
  const uint32_t wrong[] = {FREE, 7, 8, 9, 1000, 65536, 10000000, 0x7fffffff, 0x80000000u, 0xffffffffu};
  for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
    IS(CALL(&vm, fd_fdstat_get, wrong[k], result), WASI_EBADF);
    IS(CALL(&vm, fd_close, wrong[k]), WASI_EBADF);
    IS(CALL(&vm, fd_renumber, wrong[k], 0), WASI_EBADF);
    IS(CALL(&vm, fd_renumber, 0, wrong[k]), WASI_EBADF);
    IS(open_at((int)wrong[k], 0, "file", 0, READ), -WASI_EBADF);
    IS(CALL(&vm, sock_accept, wrong[k], 0, result), WASI_EBADF);
  }
  int file = open_at(D, 0, "file", 0, READ);
  IS(close_guest(file), WASI_OK);
  IS(close_guest(file), WASI_EBADF);
  IS(move("fd_read", file, result, 4), -WASI_EBADF);
  IS(CALL(&vm, fd_fdstat_get, (uint64_t)file, result), WASI_EBADF);
}

static void rights(void) {
  uint32_t stat = room(24), result = room(64);
  uint64_t some = WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE;
  int file = open_at(D, 0, "file", 0, some);
  IS(CALL(&vm, fd_filestat_set_size, (uint64_t)file, 0), WASI_ENOTCAPABLE);
  IS(CALL(&vm, fd_filestat_get, (uint64_t)file, result), WASI_ENOTCAPABLE);
  CHECK(file_is("d/file", "content"));
  IS(CALL(&vm, fd_fdstat_set_rights, (uint64_t)file, EVERYTHING, 0), WASI_ENOTCAPABLE);
  IS(CALL(&vm, fd_fdstat_set_rights, (uint64_t)file, WASI_RIGHT_FD_READ, 0), WASI_OK);
  IS(CALL(&vm, fd_fdstat_set_rights, (uint64_t)file, some, 0), WASI_ENOTCAPABLE);
  IS(move("fd_write", file, result, 4), -WASI_EBADF);
  IS(CALL(&vm, fd_filestat_set_size, (uint64_t)file, 0), WASI_ENOTCAPABLE);
  close_guest(file);
  // A directory that passes on reading only.
  uint32_t opened = room(4);
  IS(CALL(&vm, path_open, D, 0, S("sub"), DIRECTORY, WASI_RIGHT_PATH_OPEN, WASI_RIGHT_FD_READ, 0, opened), WASI_OK);
  int sub = (int)load32(opened);
  int inner = open_at(sub, 0, "inner", 0, EVERYTHING);
  CHECK(inner >= 0);
  IS(CALL(&vm, fd_fdstat_get, (uint64_t)inner, stat), WASI_OK);
  uint64_t base;
  memcpy(&base, vm.memory + stat + 8, 8);
  CHECK(base == WASI_RIGHT_FD_READ);
  IS(open_at(sub, 0, "new", CREATE, EVERYTHING), -WASI_ENOTCAPABLE);
  IS(CALL(&vm, path_unlink_file, (uint64_t)sub, S("inner")), WASI_ENOTCAPABLE);
  close_guest(inner);
  close_guest(sub);
}

static int entry_inode(int dir, const char *name, uint64_t *ino) {
  uint32_t buffer = room(4096), used = room(4);
  if (CALL(&vm, fd_readdir, (uint64_t)dir, buffer, 4096, 0, used) != WASI_OK) return 0;
  for (uint32_t at = 0; at + 24 <= load32(used);) {
    wasi_dirent e;
    memcpy(&e, vm.memory + buffer + at, sizeof e);
    if (e.name_length == strlen(name) && memcmp(vm.memory + buffer + at + 24, name, e.name_length) == 0) {
      *ino = e.ino;
      return 1;
    }
    at += 24 + e.name_length;
  }
  return 0;
}

/** What is the host's stays as it is. */
static void borrowed(void) {
  uint64_t here, parent;
  CHECK(entry_inode(D, ".", &here) && entry_inode(D, "..", &parent) && here == parent);
  CHECK(lseek(d_fd, 0, SEEK_CUR) == 0);
  int host = open("e/stream", O_RDWR | O_CREAT, 0600), directory = open("outside", O_RDONLY | O_DIRECTORY);
  must(host >= 0 && directory >= 0, "stream");
  lucet_wasi_template *t = lucet_wasi_template_new();
  lucet_wasi_template_set_stdio(t, 0, LUCET_WASI_STDIO_FD, directory);
  lucet_wasi_template_set_stdio(t, 1, LUCET_WASI_STDIO_FD, host);
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  uint32_t result = room(64);
  IS(CALL(&vm, fd_fdstat_set_flags, 1, WASI_FDFLAG_NONBLOCK), WASI_OK);
  IS(CALL(&vm, fd_fdstat_set_flags, 1, WASI_FDFLAG_APPEND | WASI_FDFLAG_NONBLOCK), WASI_ENOTSUP);
  CHECK((fcntl(host, F_GETFL) & (O_APPEND | O_NONBLOCK)) == 0);
  // A directory as a standard stream is no way into it.
  IS(CALL(&vm, fd_filestat_get, 0, result), WASI_EBADF);
  IS(CALL(&vm, fd_fdstat_get, 0, result), WASI_EBADF);
  IS(open_at(0, 0, "secret", 0, READ), -WASI_EBADF);
  IS(CALL(&vm, fd_close, 1), WASI_OK);
  CHECK(fcntl(host, F_GETFD) >= 0);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
  close(host);
  close(directory);
  unlink("e/stream");
}

/** Entries come and go between two calls: what stays comes once, whatever happens to the others. */
static void cookies(void) {
  enum { FILES = 300, REMOVED = 3 };
  char path[64], seen[FILES] = {0};
  for (int k = 0; k < FILES; k++) {
    snprintf(path, sizeof path, "e/%d", k);
    write_file(path, "");
  }
  uint32_t buffer = room(512), used = room(4);
  uint64_t cookie = 0;
  for (int calls = 0;; calls++) {
    IS(CALL(&vm, fd_readdir, E, buffer, 512, cookie, used), WASI_OK);
    uint32_t at = 0, end = load32(used);
    while (at + 24 <= end) {
      wasi_dirent e;
      memcpy(&e, vm.memory + buffer + at, sizeof e);
      if (at + 24 + e.name_length > end) break;
      char name[32] = "";
      memcpy(name, vm.memory + buffer + at + 24, e.name_length < 31 ? e.name_length : 31);
      if (name[0] >= '0' && name[0] <= '9') {
        int k = atoi(name);
        CHECK(!seen[k]);
        seen[k] = 1;
        if (k % REMOVED == 0) {
          snprintf(path, sizeof path, "e/%d", k);
          unlink(path);
        }
      }
      cookie = e.next;
      at += 24 + e.name_length;
    }
    if (end < 512) break;
    snprintf(path, sizeof path, "e/new-%d", calls);
    write_file(path, "");
  }
  for (int k = 0; k < FILES; k++) CHECK(seen[k]);
  IS(CALL(&vm, fd_readdir, E, buffer, 512, UINT64_MAX, used), WASI_EINVAL);
  // From the start again, after the end.
  IS(CALL(&vm, fd_readdir, E, buffer, 512, 0, used), WASI_OK);
  CHECK(load32(used) == 512);
  must(system("rm -rf e && mkdir -m 700 e") == 0, "rm");
}

/** Devices that were granted with their folder: usable, and no way to the host's terminal. */
static void devices(void) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  must(lucet_wasi_template_preopen(t, "/dev", "/dev", LUCET_WASI_READONLY) == 0, "/dev");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  uint32_t buffer = room(64);
  memset(vm.memory + buffer, 1, 64);
  int zero = open_at(3, 0, "zero", 0, READ);
  IS(move("fd_read", zero, buffer, 32), 32);
  CHECK(vm.memory[buffer + 31] == 0 && vm.memory[buffer + 32] == 1);
  IS(move("fd_read", open_at(3, 0, "null", 0, READ), buffer, 32), 0);
  IS(open_at(3, 0, "null", 0, EVERYTHING), -WASI_EROFS);
  IS(CALL(&vm, fd_allocate, (uint64_t)zero, 0, 10), WASI_EROFS);
  // Links of /dev lead out of it.
  CHECK(open_at(3, 1, "fd/0", 0, READ) < 0 && open_at(3, 1, "stdin", 0, READ) < 0);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}

static void limits(void) {
  lucet_wasi_template *t = granted();
  const lucet_wasi_limits few = {.descriptors = 9, .written = 100};
  must(lucet_wasi_template_set_limits(t, &few) == 0, "limits");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  for (int round = 0; round < 3; round++) {
    int fds[3];
    for (int k = 0; k < 3; k++) fds[k] = open_at(D, 0, "file", 0, READ);
    CHECK(fds[2] >= 0);
    IS(open_at(D, 0, "file", 0, READ), -WASI_EMFILE);
    for (int k = 0; k < 3; k++) IS(close_guest(fds[k]), WASI_OK);
  }
  int file = open_at(D, 0, "written", CREATE, EVERYTHING);
  uint32_t bytes = room(200);
  IS(move("fd_write", file, bytes, 60), 60);
  IS(CALL(&vm, fd_allocate, (uint64_t)file, 0, 41), WASI_EDQUOT);
  IS(move("fd_write", file, bytes, 60), 40);
  IS(move("fd_write", file, bytes, 1), -WASI_EDQUOT);
  IS(move("fd_write", 1, bytes, 1), -WASI_EDQUOT);
  close_guest(file);
  struct stat st;
  CHECK(stat("d/written", &st) == 0 && st.st_size == 100);
  unlink("d/written");
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}

/** The host has no more descriptors: an error, and nothing is lost. */
static void exhaustion(void) {
  struct rlimit old, low;
  must(getrlimit(RLIMIT_NOFILE, &old) == 0, "getrlimit");
  low = old;
  low.rlim_cur = 64;
  must(setrlimit(RLIMIT_NOFILE, &low) == 0, "setrlimit");
  int last[2] = {-1, -1}, n = 0;
  for (int fd; (fd = open_at(D, 0, "file", 0, READ)) >= 0; n++) last[n & 1] = fd, next_free = 16;
  CHECK(n > 10 && n < 64);
  uint32_t result = room(64);
  IS(open_at(D, 0, "sub/inner", 0, READ), -WASI_EMFILE);
  IS(CALL(&vm, path_filestat_get, D, 0, S("sub/inner"), result), WASI_EMFILE);
  IS(CALL(&vm, fd_readdir, D, result, 64, 0, result), WASI_EMFILE);
  IS(close_guest(last[0]), WASI_OK);
  IS(close_guest(last[1]), WASI_OK);
  CHECK(open_at(D, 0, "sub/inner", 0, READ) >= 0);
  must(setrlimit(RLIMIT_NOFILE, &old) == 0, "setrlimit");
}

/* -------------------------------------------------------------------------------------------------------------- Pointers */

static void vectors(void) {
  uint32_t result = room(16), buffer = room(4096);
  int file = open_at(D, 0, "vectors", CREATE, EVERYTHING);
  uint64_t fd = (uint64_t)file;
  IS(CALL(&vm, fd_write, fd, MEMORY - 4, 1, result), WASI_EFAULT);
  IS(CALL(&vm, fd_write, fd, 16, 0x20000000, result), WASI_EFAULT);
  IS(CALL(&vm, fd_write, fd, 0xfffffff8u, 2, result), WASI_EFAULT);
  IS(CALL(&vm, fd_write, fd, MEMORY, 1, result), WASI_EFAULT);
  IS(move("fd_write", file, MEMORY - 4, 8), -WASI_EFAULT);
  IS(move("fd_write", file, MEMORY, 16), -WASI_EFAULT);
  IS(move("fd_write", file, 0xffffffffu, 0xffffffffu), -WASI_EFAULT);
  IS(move("fd_read", file, MEMORY - 1, 2), -WASI_EFAULT);
  // A result that can't be told: nothing is done.
  wasi_ciovec one = {buffer, 5};
  uint32_t at = put(&one, sizeof one);
  IS(CALL(&vm, fd_write, fd, at, 1, MEMORY - 3), WASI_EFAULT);
  IS(CALL(&vm, fd_write, fd, at, 1, 0xfffffffeu), WASI_EFAULT);
  IS(CALL(&vm, fd_pwrite, fd, at, 1, 0, MEMORY - 3), WASI_EFAULT);
  struct stat st;
  CHECK(stat("d/vectors", &st) == 0 && st.st_size == 0);
  // More vectors than the kernel takes: a part is moved.
  enum { MANY = 3000 };
  static wasi_ciovec many[MANY];
  for (int k = 0; k < MANY; k++) many[k] = (wasi_ciovec){buffer + (uint32_t)k % 64, 1};
  at = put(many, sizeof many);
  IS(CALL(&vm, fd_write, fd, at, MANY, result), WASI_OK);
  CHECK(load32(result) > 0 && load32(result) <= MANY);
  // Vectors that overlap each other, and themselves.
  for (int k = 0; k < 8; k++) many[k] = (wasi_ciovec){at + (uint32_t)k * 4, 64};
  vm.memory[at] = 1;
  uint32_t overlapping = put(many, 8 * sizeof *many);
  IS(CALL(&vm, fd_seek, fd, 0, 0, result), WASI_OK);
  IS(CALL(&vm, fd_read, fd, overlapping, 8, result), WASI_OK);
  wasi_ciovec itself = {next_free, 8};
  uint32_t self = put(&itself, sizeof itself);
  IS(CALL(&vm, fd_seek, fd, 0, 0, result), WASI_OK);
  IS(CALL(&vm, fd_read, fd, self, 1, result), WASI_OK);
  close_guest(file);
  unlink("d/vectors");
}

static void pointers(void) {
  const uint32_t wild[] = {MEMORY - 3, MEMORY, MEMORY + 1, 0x7fffffff, 0x80000000u, 0xfffffff0u, 0xffffffffu};
  for (size_t k = 0; k < sizeof wild / sizeof *wild; k++) {
    uint32_t w = wild[k];
    IS(CALL(&vm, args_get, w, 64), WASI_EFAULT);
    IS(CALL(&vm, args_get, 64, w), WASI_EFAULT);
    IS(CALL(&vm, environ_get, 64, w), WASI_EFAULT);
    IS(CALL(&vm, args_sizes_get, w, 64), WASI_EFAULT);
    IS(CALL(&vm, args_sizes_get, 64, w), WASI_EFAULT);
    IS(CALL(&vm, random_get, w, 16), WASI_EFAULT);
    IS(CALL(&vm, clock_time_get, 0, 0, w), WASI_EFAULT);
    IS(CALL(&vm, poll_oneoff, w, 64, 1, 256), WASI_EFAULT);
    IS(CALL(&vm, poll_oneoff, 64, w, 1, 256), WASI_EFAULT);
    IS(CALL(&vm, poll_oneoff, 64, 256, 1, w), WASI_EFAULT);
    IS(CALL(&vm, path_open, D, 0, w, 16, 0, READ, READ, 0, 64), WASI_EFAULT);
    IS(CALL(&vm, path_open, D, 0, S("file"), 0, READ, READ, 0, w), WASI_EFAULT);
    IS(CALL(&vm, fd_readdir, D, w, 64, 0, 64), WASI_EFAULT);
    IS(CALL(&vm, fd_readdir, D, 64, 64, 0, w), WASI_EFAULT);
  }
  IS(CALL(&vm, poll_oneoff, 64, 128, 0, 256), WASI_EINVAL);
  IS(CALL(&vm, poll_oneoff, 64, 128, 70000, 256), WASI_ENOMEM);
  IS(CALL(&vm, poll_oneoff, 64, 128, 0xffffffffu, 256), WASI_ENOMEM);
}

/** Every function, with every value in every place: whatever it says, the sanitizers say nothing. */
static void everything_everywhere(void) {
  static const char *const names[] = {
      "args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get", "clock_time_get", "fd_advise", "fd_allocate", "fd_datasync",
      "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_filestat_get", "fd_filestat_set_size", "fd_filestat_set_times",
      "fd_pread", "fd_prestat_get", "fd_prestat_dir_name", "fd_pwrite", "fd_read", "fd_readdir", "fd_renumber", "fd_seek", "fd_sync", "fd_tell", "fd_write",
      "path_create_directory", "path_filestat_get", "path_filestat_set_times", "path_link", "path_open", "path_readlink", "path_remove_directory",
      "path_rename", "path_symlink", "path_unlink_file", "poll_oneoff", "random_get", "sched_yield", "sock_accept", "sock_recv", "sock_send",
      "sock_shutdown", "proc_raise", "proc_exit", "fd_close"};
  static const uint64_t values[] = {0, 1, 3, 4, 6, 16, 64, 4096, MEMORY - 8, MEMORY - 1, MEMORY, 0x7fffffff, 0x80000000u, 0xfffffff8u, 0xffffffffu, UINT64_MAX};
  enum { VALUES = sizeof values / sizeof *values };
  for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
    const char *signature;
    must(lucet_wasi_lookup("wasi_snapshot_preview1", names[f], &signature) != NULL, names[f]);
    int params = (int)(strchr(signature, ':') - signature);
    for (int place = 0; place < params; place++) {
      for (int v = 0; v < VALUES; v++) {
        for (int others = 0; others < 3; others++) {
          uint64_t words[10];
          for (int k = 0; k < params; k++) words[k] = others == 0 ? 0 : others == 1 ? (k == 0 ? D : 64) : 5;
          words[place] = values[v];
          call_words(&vm, names[f], words, params);
          checks++;
        }
      }
    }
  }
}

/* ---------------------------------------------------------------------------------------------------- Process and sockets */

static void process(void) {
  IS(CALL(&vm, proc_raise, 0), WASI_OK);
  IS(CALL(&vm, proc_raise, 6), EXITED);
  CHECK(vm.exit_code == 128 + SIGABRT);
  IS(CALL(&vm, proc_raise, 10), EXITED);
  CHECK(vm.exit_code == 128 + SIGUSR1);
  IS(CALL(&vm, proc_raise, 9), EXITED);
  CHECK(vm.exit_code == 137);
  IS(CALL(&vm, proc_raise, 16), WASI_OK);
  IS(CALL(&vm, proc_raise, 18), WASI_ENOTSUP);
  IS(CALL(&vm, proc_raise, 31), WASI_EINVAL);
  IS(CALL(&vm, proc_exit, 300), EXITED);
  CHECK(vm.exit_code == 300);
}

static void sockets(void) {
  int pair[2], listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "e/socket"};
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && listening >= 0, "socketpair");
  must(bind(listening, (struct sockaddr *)&address, sizeof address) == 0 && listen(listening, 4) == 0, "listen");
  lucet_wasi_template *t = lucet_wasi_template_new();
  must(lucet_wasi_template_socket(t, pair[0]) == 0 && lucet_wasi_template_socket(t, listening) == 0 && lucet_wasi_template_socket(t, d_fd) == ENOTSOCK, "grant");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  uint32_t result = room(4), flags = room(4), buffer = room(64);
  wasi_ciovec v[2] = {{buffer, 3}, {buffer + 3, 5}};
  uint32_t vector = put(v, sizeof v);
  memcpy(vm.memory + buffer, "hello, socket", 13);
  char got[64];
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, result), WASI_OK);
  CHECK(load32(result) == 8 && recv(pair[1], got, sizeof got, 0) == 8 && memcmp(got, "hello, s", 8) == 0);
  IS(CALL(&vm, sock_send, 3, vector, 2, 1, result), WASI_EINVAL);
  IS(CALL(&vm, sock_send, 3, MEMORY - 4, 1, 0, result), WASI_EFAULT);
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, MEMORY), WASI_EFAULT);
  IS(CALL(&vm, fd_fdstat_set_flags, 3, WASI_FDFLAG_NONBLOCK), WASI_OK);
  CHECK((fcntl(pair[0], F_GETFL) & O_NONBLOCK) == 0);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, result, flags), WASI_EAGAIN);
  IS(move("fd_read", 3, buffer, 4), -WASI_EAGAIN);
  must(send(pair[1], "abcdefgh", 8, 0) == 8, "send");
  IS(CALL(&vm, sock_recv, 3, vector, 2, WASI_RIFLAG_PEEK, result, flags), WASI_OK);
  CHECK(load32(result) == 8);
  IS(CALL(&vm, sock_recv, 3, vector, 2, WASI_RIFLAG_WAITALL, result, flags), WASI_OK);
  CHECK(load32(result) == 8 && memcmp(vm.memory + buffer, "abcdefgh", 8) == 0);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 4, result, flags), WASI_EINVAL);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, MEMORY, flags), WASI_EFAULT);
  IS(CALL(&vm, sock_recv, 3, vector, 2, 0, result, MEMORY - 1), WASI_EFAULT);
  IS(CALL(&vm, sock_accept, 3, 0, result), WASI_ENOTCAPABLE);
  IS(CALL(&vm, fd_seek, 3, 1, 0, result), WASI_ESPIPE);
  // Listening: nobody is there, then somebody is.
  IS(CALL(&vm, fd_fdstat_set_flags, 4, WASI_FDFLAG_NONBLOCK), WASI_OK);
  IS(CALL(&vm, sock_accept, 4, 0, result), WASI_EAGAIN);
  IS(CALL(&vm, sock_accept, 4, 1, result), WASI_EINVAL);
  int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(connect(peer, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  IS(CALL(&vm, sock_accept, 4, 0, MEMORY), WASI_EFAULT);
  IS(CALL(&vm, sock_accept, 4, WASI_FDFLAG_NONBLOCK, result), WASI_OK);
  uint32_t connection = load32(result);
  IS(move("fd_write", (int)connection, buffer, 5), 5);
  CHECK(recv(peer, got, sizeof got, 0) == 5);
  IS(CALL(&vm, sock_accept, connection, 0, result), WASI_ENOTCAPABLE);
  IS(CALL(&vm, sock_shutdown, connection, 0), WASI_EINVAL);
  IS(CALL(&vm, sock_shutdown, connection, 4), WASI_EINVAL);
  IS(CALL(&vm, sock_shutdown, connection, 3), WASI_OK);
  CHECK(recv(peer, got, sizeof got, 0) == 0);
  IS(CALL(&vm, sock_shutdown, 0, 3), WASI_ENOTSOCK);
  IS(CALL(&vm, sock_recv, 1, vector, 2, 0, result, flags), WASI_ENOTSOCK);
  // Nobody is left: an error, not the host's death.
  close(pair[1]);
  IS(move("fd_write", 3, buffer, 4), -WASI_EPIPE);
  IS(CALL(&vm, sock_send, 3, vector, 2, 0, result), WASI_EPIPE);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
  CHECK(fcntl(pair[0], F_GETFD) >= 0);
  close(pair[0]);
  close(peer);
  close(listening);
  unlink("e/socket");
}

/** Nothing of one guest is left for the next on the same context. */
static void reuse(void) {
  lucet_wasi_template *t = lucet_wasi_template_new();
  lucet_wasi_template_set_stdio(t, 1, LUCET_WASI_STDIO_BUFFER, -1);
  must(lucet_wasi_template_preopen(t, "d", "/d", 0) == 0, "preopen");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  must(lucet_wasi_ctx_set_input(own, "first guest", 11) == 0 && lucet_wasi_ctx_set_args(own, "secret", 7, 1) == 0, "input");
  uint32_t buffer = room(64), sizes = room(8);
  IS(move("fd_read", 0, buffer, 5), 5);
  IS(move("fd_write", 1, buffer, 5), 5);
  int kept = open_at(3, 0, "file", 0, READ);
  CHECK(kept >= 0);
  IS(CALL(&vm, fd_close, 3), WASI_OK);
  lucet_wasi_ctx_reset(own);
  IS(move("fd_read", kept, buffer, 5), -WASI_EBADF);
  IS(move("fd_read", 0, buffer, 5), 0);
  IS(CALL(&vm, args_sizes_get, sizes, sizes + 4), WASI_OK);
  CHECK(load32(sizes) == 0);
  size_t length;
  lucet_wasi_ctx_output(own, 1, &length);
  CHECK(length == 0);
  CHECK(open_at(3, 0, "file", 0, READ) >= 0);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}

/* ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
  const char *name;
  void (*run)(void);
} TESTS[] = {
    {"ways out", ways_out},
    {"last component", last_component},
    {"absolute paths", absolute_paths},
    {"endless links", endless_links},
    {"names", names},
    {"trailing slashes", trailing_slashes},
    {"long ways", long_ways},
    {"/proc", proc_tricks},
    {"pipes and devices", pipes_and_devices},
    {"across preopens", across_preopens},
    {"read-only", readonly},
    {"descriptors", descriptors},
    {"rights", rights},
    {"borrowed", borrowed},
    {"cookies", cookies},
    {"devices", devices},
    {"limits", limits},
    {"exhaustion", exhaustion},
    {"vectors", vectors},
    {"pointers", pointers},
    {"process", process},
    {"sockets", sockets},
    {"reuse", reuse},
    {"races", races},
    {"everything everywhere", everything_everywhere},
};

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  make_world(argv[1]);
  const int walks[] = {WASI_WALK_OPENAT2, WASI_WALK_COMPONENTS};
  for (int w = 0; w < 2; w++) {
    wasi_path_set_walk(walks[w]);
    for (size_t k = 0; k < sizeof TESTS / sizeof *TESTS; k++) {
      test_name = TESTS[k].name;
      // What hangs has failed.
      alarm(20);
      begin_with(granted());
      TESTS[k].run();
      end();
      test_name = "afterwards";
      if (k + 1 < sizeof TESTS / sizeof *TESTS) nothing_outside_changed();
    }
  }
  printf("%d checks, %d failed\n", checks, failures);
  return failures != 0;
}
