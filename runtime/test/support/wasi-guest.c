// A guest that tries what well-behaved programs don't. argv[1] chooses; a failed check prints its line and exits with
// 1.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#define CHECK(c)                                             \
  do {                                                       \
    if (!(c)) {                                              \
      fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); \
      exit(1);                                               \
    }                                                        \
  } while (0)
#define FAILS(call, code) CHECK((errno = 0, (call) < 0 && errno == (code)))

#define WILD ((void *)(uintptr_t)0xfffffff0u)

// Every function that is given an address, with one outside of the memory.
static void pointers(void) {
  __wasi_size_t n;
  uint8_t byte = 0;
  __wasi_iovec_t in = {&byte, 1};
  __wasi_iovec_t wild = {WILD, 100};
  // A length that wraps around the end of the address space.
  __wasi_iovec_t wraps = {&byte, 0xffffffffu};
  const int fault = __WASI_ERRNO_FAULT;
  CHECK(__wasi_fd_read(0, &wild, 1, &n) == fault);
  CHECK(__wasi_fd_read(0, &wraps, 1, &n) == fault);
  CHECK(__wasi_fd_read(0, WILD, 1, &n) == fault);
  CHECK(__wasi_fd_read(0, &in, 0x20000000u, &n) == fault);
  CHECK(__wasi_fd_read(0, &in, 1, WILD) == fault);
  CHECK(__wasi_fd_write(1, (__wasi_ciovec_t *)&wild, 1, &n) == fault);
  CHECK(__wasi_fd_write(1, WILD, 0xffffffffu, &n) == fault);
  CHECK(__wasi_args_get(WILD, &byte) == fault);
  CHECK(__wasi_args_get((uint8_t **)&n, WILD) == fault);
  CHECK(__wasi_args_sizes_get(&n, WILD) == fault);
  CHECK(__wasi_environ_sizes_get(WILD, &n) == fault);
  CHECK(__wasi_random_get(WILD, 100) == fault);
  CHECK(__wasi_random_get(&byte, 0xffffffffu) == fault);
  CHECK(__wasi_clock_time_get(0, 0, WILD) == fault);
  CHECK(__wasi_clock_res_get(0, WILD) == fault);
  CHECK(__wasi_fd_fdstat_get(0, WILD) == fault);
  CHECK(__wasi_fd_filestat_get(3, WILD) == fault);
  CHECK(__wasi_fd_prestat_get(3, WILD) == fault);
  CHECK(__wasi_fd_prestat_dir_name(3, WILD, 100) == fault);
  CHECK(__wasi_fd_readdir(3, WILD, 100, 0, &n) == fault);
  CHECK(__wasi_fd_readdir(3, &byte, 1, 0, WILD) == fault);
  CHECK(__wasi_poll_oneoff(WILD, (void *)&byte, 1, &n) == fault);
  CHECK(__wasi_poll_oneoff((void *)1024, WILD, 1, &n) == fault);
  // The C functions take terminated strings; these are the imports themselves.
  __wasi_filestat_t st;
  CHECK(__wasi_path_filestat_get(3, 0, "file", WILD) == fault);
  CHECK(__wasi_path_filestat_get(3, 0, "missing", &st) == __WASI_ERRNO_NOENT);
  CHECK(__wasi_path_readlink(3, "file", WILD, 100, &n) == fault);
}

static void raw_paths(void) {
  extern int32_t path_create_directory(int32_t, int32_t, int32_t)
      __attribute__((__import_module__("wasi_snapshot_preview1"), __import_name__("path_create_directory")));
  const int fault = __WASI_ERRNO_FAULT;
  CHECK(path_create_directory(3, (int32_t)0xfffffff0, 100) == fault);
  CHECK(path_create_directory(3, (int32_t)0xffffffff, (int32_t)0xffffffff) == fault);
  static char nul[] = "a\0b";
  CHECK(path_create_directory(3, (int32_t)nul, 3) == __WASI_ERRNO_INVAL);
  static char longest[5000];
  memset(longest, 'x', sizeof longest);
  CHECK(path_create_directory(3, (int32_t)longest, 5000) == __WASI_ERRNO_NAMETOOLONG);
  CHECK(path_create_directory(3, (int32_t)longest, 4096) == __WASI_ERRNO_NAMETOOLONG);
  CHECK(path_create_directory(3, (int32_t)longest, 256) == __WASI_ERRNO_NAMETOOLONG);
  CHECK(path_create_directory(3, (int32_t)longest, 0) == __WASI_ERRNO_NOENT);
}

// The host made /d/{file,sub/,up -> ../outside,abs -> /…} and, beside /d, outside/secret.
static void escape(void) {
  static const char *const ways[] = {
      "/d/../outside/secret", "/d/sub/../../outside/secret", "/d/up/secret", "/d/abs", "/d/sub/../up/secret", "/d/up/../outside/secret",
  };
  for (int i = 0; i < (int)(sizeof ways / sizeof *ways); i++) {
    struct stat st;
    CHECK(open(ways[i], O_RDONLY) < 0);
    CHECK(stat(ways[i], &st) < 0);
    CHECK(open(ways[i], O_WRONLY | O_TRUNC) < 0);
    CHECK(rename(ways[i], "/d/stolen") < 0 || i == 3);
    CHECK(link(ways[i], "/d/linked") < 0 || i == 3);
  }
  FAILS(mkdir("/d/up/new", 0700), EPERM);
  FAILS(open("/d/up/new", O_CREAT | O_WRONLY, 0600), EPERM);
  FAILS(unlink("/d/up/secret"), EPERM);
  FAILS(rename("/d/file", "/d/up/file"), EPERM);
  FAILS(symlink("/etc/passwd", "/d/passwd"), EPERM);
  // A link upwards may be made, but leads nowhere.
  CHECK(symlink("../outside/secret", "/d/trick") == 0);
  FAILS(open("/d/trick", O_RDONLY), EPERM);
  // Nor may a directory be moved so that a link in it points to somewhere else outside.
  CHECK(symlink("../../outside", "/d/sub/deep") == 0);
  FAILS(open("/d/sub/deep/secret", O_RDONLY), EPERM);
  // The parent of the root is not told.
  DIR *d = opendir("/d");
  CHECK(d != NULL);
  ino_t self = 0, parent = 0;
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0) self = e->d_ino;
    if (strcmp(e->d_name, "..") == 0) parent = e->d_ino;
  }
  closedir(d);
  CHECK(self != 0 && self == parent);
}

static void readonly(void) {
  FAILS(open("/d/file", O_WRONLY), EROFS);
  FAILS(open("/d/file", O_RDWR), EROFS);
  FAILS(open("/d/file", O_RDONLY | O_TRUNC), EROFS);
  FAILS(open("/d/new", O_CREAT | O_WRONLY, 0600), EROFS);
  FAILS(open("/d/new", O_CREAT | O_RDONLY, 0600), EROFS);
  FAILS(open("/d/missing", O_RDONLY), ENOENT);
  FAILS(mkdir("/d/new", 0700), EROFS);
  FAILS(unlink("/d/file"), EROFS);
  FAILS(rmdir("/d/sub"), EROFS);
  FAILS(rename("/d/file", "/d/other"), EROFS);
  FAILS(rename("/d/file", "/w/file"), EROFS);
  FAILS(rename("/w/mine", "/d/mine"), EROFS);
  FAILS(link("/d/file", "/d/other"), EROFS);
  FAILS(link("/d/file", "/w/other"), EROFS);
  FAILS(symlink("file", "/d/link"), EROFS);
  FAILS(truncate("/d/file", 0), EROFS);
  struct timespec times[2] = {{1, 0}, {1, 0}};
  FAILS(utimensat(AT_FDCWD, "/d/file", times, 0), EROFS);
  int fd = open("/d/file", O_RDONLY);
  CHECK(fd >= 0);
  char text[16] = "";
  CHECK(read(fd, text, 15) == 7 && strcmp(text, "content") == 0);
  CHECK(write(fd, "x", 1) < 0);
  CHECK(ftruncate(fd, 0) < 0);
  CHECK(futimens(fd, times) < 0);
  // What is opened below is read-only as well.
  int sub = open("/d/sub", O_RDONLY | O_DIRECTORY);
  CHECK(sub >= 0);
  FAILS(openat(sub, "new", O_CREAT | O_WRONLY, 0600), EROFS);
  FAILS(mkdirat(sub, "new", 0700), EROFS);
  CHECK(openat(sub, "inner", O_CREAT | O_RDONLY) >= 0);
}

static void files(void) {
  int fd = open("/d/data", O_CREAT | O_EXCL | O_RDWR, 0600);
  CHECK(fd >= 3);
  CHECK(write(fd, "hello world", 11) == 11);
  CHECK(lseek(fd, -5, SEEK_END) == 6);
  char text[16] = "";
  CHECK(read(fd, text, 15) == 5 && strcmp(text, "world") == 0);
  CHECK(pwrite(fd, "W", 1, 6) == 1 && pread(fd, text, 5, 6) == 5 && strncmp(text, "World", 5) == 0);
  FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
  struct stat st;
  CHECK(fstat(fd, &st) == 0 && st.st_size == 11 && S_ISREG(st.st_mode) && st.st_nlink == 1);
  CHECK(ftruncate(fd, 5) == 0 && fstat(fd, &st) == 0 && st.st_size == 5);
  CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && posix_fallocate(fd, 0, 100) == 0);
  struct timespec times[2] = {{1000, 5}, {2000, 7}};
  CHECK(futimens(fd, times) == 0 && stat("/d/data", &st) == 0);
  CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 5 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 7);
  CHECK(close(fd) == 0);
  FAILS(close(fd), EBADF);
  FAILS(read(fd, text, 1), EBADF);
  FAILS(open("/d/data", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
  fd = open("/d/data", O_WRONLY | O_TRUNC | O_APPEND);
  CHECK(write(fd, "ab", 2) == 2 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "cd", 2) == 2 && lseek(fd, 0, SEEK_CUR) == 4);
  CHECK((fcntl(fd, F_GETFL) & O_APPEND) != 0);
  CHECK(fcntl(fd, F_SETFL, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "X", 1) == 1);
  // The lowest free number.
  int a = open("/d/data", O_RDONLY), b = open("/d/data", O_RDONLY);
  CHECK(b == a + 1 && close(a) == 0 && open("/d/data", O_RDONLY) == a);
  CHECK(read(a, text, 15) == 4 && strncmp(text, "Xbcd", 4) == 0);
  CHECK(mkdir("/d/x", 0700) == 0 && rename("/d/data", "/d/x/moved") == 0 && link("/d/x/moved", "/d/second") == 0);
  FAILS(rmdir("/d/x"), ENOTEMPTY);
  FAILS(unlink("/d/x"), EISDIR);
  FAILS(rmdir("/d/second"), ENOTDIR);
  FAILS(mkdir("/d/x", 0700), EEXIST);
  FAILS(open("/d/second/", O_RDONLY), ENOTDIR);
  CHECK(stat("/d/second", &st) == 0 && st.st_nlink == 2);
  CHECK(symlink("x/moved", "/d/link") == 0 && readlink("/d/link", text, 16) == 7 && strncmp(text, "x/moved", 7) == 0);
  CHECK(lstat("/d/link", &st) == 0 && S_ISLNK(st.st_mode) && stat("/d/link", &st) == 0 && S_ISREG(st.st_mode));
  CHECK(open("/d/link", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
  // rmdir through a link with a slash behind it must not remove what it points to.
  CHECK(symlink("empty", "/d/to-empty") == 0 && mkdir("/d/empty", 0700) == 0);
  CHECK(rmdir("/d/to-empty/") < 0 && stat("/d/empty", &st) == 0);
}

#define PREFIX "a-rather-long-file-name-so-that-buffers-fill-"
static void directories(void) {
  char name[64];
  for (int i = 0; i < 700; i++) {
    snprintf(name, sizeof name, "/d/" PREFIX "%d", i);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
  }
  int fd = open("/d", O_RDONLY | O_DIRECTORY);
  // With any size of buffer, each entry comes exactly once.
  static const int sizes[] = {24 + 60, 100, 333, 4096, 65536};
  static uint8_t buffer[65536];
  for (int s = 0; s < 5; s++) {
    uint64_t cookie = 0;
    int total = 0;
    uint64_t sum = 0;
    for (;;) {
      __wasi_size_t used;
      CHECK(__wasi_fd_readdir(fd, buffer, (__wasi_size_t)sizes[s], cookie, &used) == 0);
      CHECK(used <= (unsigned)sizes[s]);
      uint32_t at = 0;
      while (at + sizeof(__wasi_dirent_t) <= used) {
        __wasi_dirent_t e;
        memcpy(&e, buffer + at, sizeof e);
        if (at + sizeof e + e.d_namlen > used) break;
        const char *n = (const char *)buffer + at + sizeof e;
        at += sizeof e + e.d_namlen;
        cookie = e.d_next;
        total++;
        if (e.d_namlen < sizeof PREFIX) continue;
        memset(name, 0, sizeof name);
        sum += (uint64_t)atoi(memcpy(name, n + sizeof PREFIX - 1, e.d_namlen - (sizeof PREFIX - 1)));
      }
      if (used < (unsigned)sizes[s]) break;
      CHECK(at > 0);
    }
    CHECK(total == 704 && sum == 700 * 699 / 2);
  }
  DIR *d = opendir("/d");
  int n = 0;
  while (readdir(d) != NULL) n++;
  rewinddir(d);
  while (readdir(d) != NULL) n++;
  CHECK(n == 2 * 704);
}

static void scatter(void) {
  // More parts than the host takes at a time: what fits is written, and the guest is told how much.
  static uint8_t data[3000];
  static __wasi_ciovec_t parts[3000];
  memset(data, 'x', sizeof data);
  for (int i = 0; i < 3000; i++) parts[i] = (__wasi_ciovec_t){data + i, 1};
  int fd = open("/d/scatter", O_CREAT | O_RDWR, 0600);
  __wasi_size_t n, sum = 0;
  for (int i = 0; i < 3000; i += (int)n, sum += n) CHECK(__wasi_fd_write(fd, parts + i, 3000 - (unsigned)i, &n) == 0 && n > 0);
  struct stat st;
  CHECK(sum == 3000 && fstat(fd, &st) == 0 && st.st_size == 3000);
  CHECK(__wasi_fd_write(fd, parts, 0, &n) == 0 && n == 0);
}

static void waiting(void) {
  struct timespec a, b;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0);
  struct timespec pause = {0, 30000000};
  CHECK(nanosleep(&pause, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &b) == 0);
  int64_t ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
  CHECK(ms >= 30 && ms < 5000);
  // Standard input is at its end, so it is readable at once: before the timeout of an hour, and before an absolute time
  // in the past is.
  __wasi_subscription_t in[3] = {
      {.userdata = 7, .u = {.tag = __WASI_EVENTTYPE_FD_READ, .u.fd_read.file_descriptor = 0}},
      {.userdata = 8, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 3600000000000ull}}},
      {.userdata = 9, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u.fd_write.file_descriptor = 77}},
  };
  __wasi_event_t out[3];
  __wasi_size_t n;
  CHECK(__wasi_poll_oneoff(in, out, 2, &n) == 0 && n == 1 && out[0].userdata == 7 && out[0].error == 0);
  CHECK(__wasi_poll_oneoff(in, out, 3, &n) == 0 && n == 2 && out[1].userdata == 9 && out[1].error == __WASI_ERRNO_BADF);
  in[0].u = (__wasi_subscription_u_t){.tag = __WASI_EVENTTYPE_CLOCK,
                                      .u.clock = {.id = __WASI_CLOCKID_REALTIME, .timeout = 1, .flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME}};
  CHECK(__wasi_poll_oneoff(in, out, 2, &n) == 0 && n == 1 && out[0].userdata == 7);
  CHECK(__wasi_poll_oneoff(in, out, 0, &n) == __WASI_ERRNO_INVAL);
}

static void rights(void) {
  int fd = open("/d/file", O_RDWR);
  __wasi_fdstat_t st;
  CHECK(fd >= 0 && __wasi_fd_fdstat_get((unsigned)fd, &st) == 0);
  CHECK((st.fs_rights_base & __WASI_RIGHTS_FD_WRITE) != 0);
  CHECK(__wasi_fd_fdstat_set_rights((unsigned)fd, __WASI_RIGHTS_FD_READ, 0) == 0);
  CHECK(write(fd, "x", 1) < 0);
  CHECK(ftruncate(fd, 0) < 0);
  char c;
  CHECK(read(fd, &c, 1) == 1);
  // Given up is given up.
  CHECK(__wasi_fd_fdstat_set_rights((unsigned)fd, st.fs_rights_base, 0) == __WASI_ERRNO_NOTCAPABLE);
  // A directory that may not create passes that on.
  __wasi_fdstat_t dir;
  CHECK(__wasi_fd_fdstat_get(3, &dir) == 0);
  CHECK(__wasi_fd_fdstat_set_rights(3, dir.fs_rights_base & ~__WASI_RIGHTS_PATH_CREATE_DIRECTORY,
                                    dir.fs_rights_inheriting & ~(__WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_PATH_CREATE_DIRECTORY)) == 0);
  FAILS(mkdir("/d/new", 0700), ENOTCAPABLE);
  int sub = open("/d/sub", O_RDONLY | O_DIRECTORY);
  CHECK(sub >= 0);
  FAILS(mkdirat(sub, "new", 0700), ENOTCAPABLE);
}

static void streams(void) {
  char line[64] = "";
  CHECK(fgets(line, sizeof line, stdin) != NULL);
  printf("got %s", line);
  fprintf(stderr, "told\n");
  CHECK(getc(stdin) == EOF);
  for (int fd = 4; fd < 64; fd++) {
    __wasi_fdstat_t st;
    CHECK(__wasi_fd_fdstat_get((unsigned)fd, &st) == __WASI_ERRNO_BADF);
  }
  extern char **environ;
  int n = 0;
  for (char **e = environ; *e != NULL; e++) printf("%s\n", *e), n++;
  CHECK(n == 1);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } parts[] = {{"pointers", pointers}, {"raw_paths", raw_paths}, {"escape", escape}, {"readonly", readonly}, {"files", files},
               {"directories", directories}, {"scatter", scatter}, {"waiting", waiting}, {"rights", rights}, {"streams", streams}};
  for (int i = 0; argc == 2 && i < (int)(sizeof parts / sizeof *parts); i++) {
    if (strcmp(argv[1], parts[i].name) != 0) continue;
    parts[i].run();
    return 42;
  }
  return 2;
}
