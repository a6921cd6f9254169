/** Attacks by pointers, lengths and vectors; and every function with every hostile argument. */
#define _GNU_SOURCE
#include <sys/socket.h>

#include "world.h"

void vectors(void) {
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

static uint64_t told;
static int64_t tell(void *data, const void *bytes, size_t length) {
  (void)data, (void)bytes;
  told += length;
  return (int64_t)length;
}

/**
 * Vectors that each are all of the guest's memory: what is captured, or handed to the embedder, is bounded for each
 * call.
 */
void more_than_there_is(void) {
  enum { TIMES = 64, MOST = 16 << 20 };
  lucet_wasi_template *t = granted();
  const lucet_wasi_stream stream = {.write = tell};
  must(lucet_wasi_template_set_stdio(t, 1, LUCET_WASI_STDIO_BUFFER, -1) == 0 && lucet_wasi_template_set_stream(t, 2, &stream) == 0, "streams");
  lucet_wasi_ctx *own = lucet_wasi_ctx_new(t), *saved = vm.ctx;
  vm.ctx = own;
  static wasi_ciovec all[TIMES];
  for (int k = 0; k < TIMES; k++) all[k] = (wasi_ciovec){0, MEMORY};
  told = 0;
  uint32_t result = room(16), at = put(all, sizeof all);
  size_t length;
  IS(CALL(&vm, fd_write, 1, at, TIMES, result), WASI_OK);
  (void)lucet_wasi_ctx_output(own, 1, &length);
  CHECK(load32(result) == MOST && length == MOST);
  IS(CALL(&vm, fd_write, 1, at, 3, result), WASI_OK);
  (void)lucet_wasi_ctx_output(own, 1, &length);
  CHECK(load32(result) == 3 * MEMORY && length == MOST + 3 * MEMORY);
  IS(CALL(&vm, fd_write, 2, at, TIMES, result), WASI_OK);
  CHECK(load32(result) == MOST && told == MOST);
  vm.ctx = saved;
  lucet_wasi_ctx_free(own);
  lucet_wasi_template_release(t);
}

void pointers(void) {
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
void everything_everywhere(void) {
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
