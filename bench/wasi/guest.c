/**
 * One WASI call, n times: `guest OPERATION N` prints the nanoseconds on stderr. The first directory is descriptor 3.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

static void must(int error, const char *what) {
  if (error == 0) return;
  fprintf(stderr, "%s: errno %d\n", what, error);
  exit(1);
}

static __wasi_timestamp_t now(void) {
  __wasi_timestamp_t t;
  must(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &t), "clock_time_get");
  return t;
}

static __wasi_fd_t open_file(const char *path, __wasi_oflags_t flags, __wasi_rights_t rights) {
  __wasi_fd_t fd;
  must(__wasi_path_open(3, 0, path, flags, rights, 0, 0, &fd), path);
  return fd;
}

static uint8_t buffer[65536];

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const char *operation = argv[1];
  long n = atol(argv[2]), done = 0;
  __wasi_size_t moved;
  __wasi_timestamp_t from;
  if (strcmp(operation, "write") == 0) {
    __wasi_ciovec_t v = {buffer, 1};
    for (from = now(); done < n; done++) must(__wasi_fd_write(1, &v, 1, &moved), "fd_write");
  } else if (strcmp(operation, "read") == 0) {
    __wasi_iovec_t v = {buffer, sizeof buffer};
    __wasi_fd_t fd = open_file("data", 0, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK);
    __wasi_filesize_t at;
    for (from = now(); done < n; done++) {
      must(__wasi_fd_read(fd, &v, 1, &moved), "fd_read");
      if (moved == 0) must(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at), "fd_seek");
    }
  } else if (strcmp(operation, "clock") == 0) {
    __wasi_timestamp_t t;
    for (from = now(); done < n; done++) must(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &t), "clock_time_get");
  } else if (strcmp(operation, "open") == 0) {
    for (from = now(); done < n; done++) must(__wasi_fd_close(open_file("data", 0, __WASI_RIGHTS_FD_READ)), "fd_close");
  } else if (strcmp(operation, "readdir") == 0) {
    __wasi_fd_t fd = open_file("folder", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_FD_READDIR);
    for (from = now(); done < n;) {
      for (__wasi_dircookie_t cookie = 0;;) {
        must(__wasi_fd_readdir(fd, buffer, 4096, cookie, &moved), "fd_readdir");
        __wasi_size_t at = 0;
        while (at + sizeof(__wasi_dirent_t) <= moved) {
          __wasi_dirent_t e;
          memcpy(&e, buffer + at, sizeof e);
          if (at + sizeof e + e.d_namlen > moved) break;
          at += sizeof e + e.d_namlen;
          cookie = e.d_next;
          done++;
        }
        if (moved < 4096) break;
      }
    }
  } else {
    return 2;
  }
  fprintf(stderr, "%lld %ld\n", (long long)(now() - from), done);
  return 0;
}
