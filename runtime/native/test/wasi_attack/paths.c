/** Attacks by names: what leads out of a granted directory, and what changes while it is resolved. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "world.h"

/** Ways out of d: whatever follows them must not get there. */
static const char *const WAYS_OUT[] = {
    "../outside/secret", "up/secret", "roundabout/secret", "absdir/secret", "sub/../../outside/secret", "./../outside/secret", "within/../../outside/secret",
    "sub/./.././../outside/secret", "..//outside/secret", "up/./secret", "up/dir/../secret",
};

void ways_out(void) {
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
void last_component(void) {
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

void absolute_paths(void) {
  uint32_t result = room(64);
  const char *const paths[] = {"/", "/file", "//file", "/etc/passwd", "/proc/self/environ"};
  for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
    IS(open_at(D, 1, paths[k], 0, READ), -WASI_EPERM);
    IS(CALL(&vm, path_filestat_get, D, 1, S(paths[k]), result), WASI_EPERM);
    IS(CALL(&vm, path_unlink_file, D, S(paths[k])), WASI_EPERM);
  }
}

void endless_links(void) {
  uint32_t result = room(64);
  IS(open_at(D, 1, "loop", 0, READ), -WASI_ELOOP);
  IS(open_at(D, 0, "loop/x", 0, READ), -WASI_ELOOP);
  IS(CALL(&vm, path_filestat_get, D, 1, S("loop"), result), WASI_ELOOP);
  IS(CALL(&vm, path_filestat_get, D, 0, S("loop/x"), result), WASI_ELOOP);
}

void names(void) {
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

void trailing_slashes(void) {
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
void long_ways(void) {
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
void proc_tricks(void) {
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

void races(void) {
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

void pipes_and_devices(void) {
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

void across_preopens(void) {
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
