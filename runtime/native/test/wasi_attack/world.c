/** The world of the attacks, and what guests of theirs do often. */
#define _GNU_SOURCE
#include <dirent.h>

#include "world.h"

int failures, checks;
const char *test_name = "";

void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(2);
}

char work[PATH_MAX];
lucet_vmctx vm;
uint32_t next_free;
int d_fd;

uint32_t put(const void *bytes, size_t length) {
  uint32_t at = next_free;
  must(at + length <= MEMORY, "room in the guest's memory");
  memcpy(vm.memory + at, bytes, length);
  next_free = (uint32_t)((at + length + 15) & ~(size_t)15);
  return at;
}

uint32_t room(uint32_t length) {
  uint32_t at = next_free;
  must(at + length <= MEMORY, "room in the guest's memory");
  memset(vm.memory + at, 0, length);
  next_free = (at + length + 15) & ~15u;
  return at;
}

uint32_t load32(uint32_t at) {
  uint32_t n;
  memcpy(&n, vm.memory + at, 4);
  return n;
}

void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
  close(fd);
}

int file_is(const char *path, const char *text) {
  char got[256] = "";
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, got, sizeof got - 1);
  close(fd);
  return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

int exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

void make_world(const char *dir) {
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

lucet_wasi_template *granted(void) {
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

void begin_guest(lucet_wasi_template *t) {
  in_use = t;
  vm.memory = malloc(MEMORY);
  must(vm.memory != NULL, "memory");
  memset(vm.memory, 0, MEMORY);
  vm.length = MEMORY;
  next_free = 16;
  vm.ctx = lucet_wasi_ctx_new(t);
  must(vm.ctx != NULL, "context");
}

void end_guest(void) {
  lucet_wasi_ctx_free(vm.ctx);
  lucet_wasi_template_release(in_use);
  free(vm.memory);
  close(d_fd);
}

int open_at(int dir, int follow, const char *path, int oflags, uint64_t rights) {
  uint32_t result = room(4);
  int error = CALL(&vm, path_open, (uint64_t)dir, (uint64_t)follow, S(path), (uint64_t)oflags, rights, EVERYTHING, 0, result);
  return error == 0 ? (int)load32(result) : -error;
}

int close_guest(int fd) { return CALL(&vm, fd_close, (uint64_t)fd); }

int move(const char *function, int fd, uint32_t at, uint32_t length) {
  wasi_ciovec v = {at, length};
  uint32_t vector = put(&v, sizeof v), result = room(4);
  int error = call_words(&vm, function, (const uint64_t[]){(uint64_t)fd, vector, 1, result}, 4);
  return error == 0 ? (int)load32(result) : -error;
}

void nothing_outside_changed(void) {
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
