/** Reading directories. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wasi_internal.h"

/** What SYS_getdents64 stores. */
struct host_dirent {
  uint64_t ino;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[];
};

static uint8_t filetype_of_dirent(uint8_t type) { return wasi_filetype_of((uint32_t)type << 12); }

/** Appends to the guest's buffer as much as there is room for. */
static void put(uint8_t *buffer, uint32_t capacity, uint32_t *used, const void *bytes, size_t length) {
  size_t room = capacity - *used;
  size_t n = length < room ? length : room;
  memcpy(buffer + *used, bytes, n);
  *used += (uint32_t)n;
}

bool wasi_fd_is_root(const wasi_fd *fd, const struct stat *st) {
  return fd->preopen != NULL || (fd->root_ino == st->st_ino && fd->root_dev == st->st_dev);
}

/**
 * A cookie is the position that the kernel gave with the entry before it, so no state is kept between calls. An entry
 * that doesn't fit is cut off; a full buffer tells the guest to go on from the last whole entry.
 */
wasi_errno wasi_do_fd_readdir(const wasi_call *c) {
  wasi_errno error;
  wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_READDIR, &error);
  if (fd == NULL) return error;
  uint32_t capacity = wasi_arg(c, 2);
  uint64_t cookie = wasi_arg64(c, 3);
  uint32_t result_at = wasi_arg(c, 4);
  uint8_t *buffer = wasi_memory(c, wasi_arg(c, 1), capacity);
  if (buffer == NULL || wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  if (cookie > INT64_MAX) return WASI_EINVAL;
  if (!fd->owned && GUARD(BORROWED_POSITION)) {
    // The position of a borrowed descriptor is shared with others who borrowed it.
    int own = openat(fd->host, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) return wasi_errno_of(errno);
    fd->host = own;
    fd->owned = true;
    fd->dir_at = 0;
  }
  // A fresh start sees what has changed; otherwise the position is mostly where the last call ended.
  if ((cookie != fd->dir_at || cookie == 0) && lseek(fd->host, (off_t)cookie, SEEK_SET) < 0) return wasi_errno_of(errno);
  fd->dir_at = UINT64_MAX;
  _Alignas(struct host_dirent) char entries[32768];
  uint32_t used = 0;
  while (used < capacity) {
    // A record of the kernel's is about as long as ours: ask for no more than can be passed on, but for at least one
    // name.
    size_t left = capacity - used;
    size_t chunk = left < 512 ? 512 : left > sizeof entries ? sizeof entries : left;
    long got = syscall(SYS_getdents64, fd->host, entries, chunk);
    if (got < 0) return wasi_errno_of(errno);
    if (got == 0) break;
    uint64_t next = 0;
    for (long at = 0; at < got && used < capacity;) {
      const struct host_dirent *e = (const struct host_dirent *)(entries + at);
      at += e->length;
      next = (uint64_t)e->next;
      size_t length = strlen(e->name);
      wasi_dirent d = {
          .next = (uint64_t)e->next,
          .ino = e->ino,
          .name_length = (uint32_t)length,
          .type = filetype_of_dirent(e->type),
      };
      if (GUARD(ROOT_PARENT) && strcmp(e->name, "..") == 0) {
        // What is above the root is not the guest's to know: it is its own parent, as the root of a file system is.
        struct stat st;
        if (fstat(fd->host, &st) != 0) d.ino = 0;
        else if (wasi_fd_is_root(fd, &st)) d.ino = st.st_ino;
      }
      put(buffer, capacity, &used, &d, sizeof d);
      put(buffer, capacity, &used, e->name, length);
    }
    // All that was read has been passed on, whole: the next call goes on here.
    fd->dir_at = used < capacity ? next : UINT64_MAX;
  }
  wasi_store32(c, result_at, used);
  return WASI_OK;
}
