/** Attacks on descriptors: rights, read-only directories, what is borrowed of the host, limits. */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "world.h"

/* ------------------------------------------------------------------------------------------------------------- Read-only */

void readonly(void) {
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

void descriptors(void) {
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

void rights(void) {
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
void borrowed(void) {
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
void cookies(void) {
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
void devices(void) {
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

void limits(void) {
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
void exhaustion(void) {
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
