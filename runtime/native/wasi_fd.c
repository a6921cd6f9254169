/** The guest's descriptors, and the calls on one descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wasi_internal.h"

/* ----------------------------------------------------------------------------------------------------- Descriptor table */

int wasi_fd_add(lucet_wasi_ctx *ctx, const wasi_fd *fd, uint32_t from, uint32_t *number) {
  uint32_t i = from;
  while (i < ctx->fd_count && ctx->fds[i].kind != WASI_FD_FREE) i++;
  if (i >= ctx->fd_count) {
    if (i >= WASI_MAX_FDS) return EMFILE;
    uint32_t count = i + 1 < 8 ? 8 : 2 * i;
    wasi_fd *fds = realloc(ctx->fds, count * sizeof *fds);
    if (fds == NULL) return ENOMEM;
    memset(fds + ctx->fd_count, 0, (count - ctx->fd_count) * sizeof *fds);
    ctx->fds = fds;
    ctx->fd_count = count;
  }
  ctx->fds[i] = *fd;
  *number = i;
  return 0;
}

int wasi_fd_drop(wasi_fd *fd) {
  int error = 0;
  // After EINTR the descriptor is closed all the same (Linux).
  if (fd->owned && close(fd->host) != 0 && errno != EINTR) error = errno;
  free(fd->preopen);
  memset(fd, 0, sizeof *fd);
  return error;
}

uint8_t wasi_filetype_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return WASI_FILETYPE_REGULAR_FILE;
    case S_IFDIR: return WASI_FILETYPE_DIRECTORY;
    case S_IFLNK: return WASI_FILETYPE_SYMBOLIC_LINK;
    case S_IFCHR: return WASI_FILETYPE_CHARACTER_DEVICE;
    case S_IFBLK: return WASI_FILETYPE_BLOCK_DEVICE;
    case S_IFSOCK: return WASI_FILETYPE_SOCKET_STREAM;
    default: return WASI_FILETYPE_UNKNOWN;
  }
}

bool wasi_fd_describe(wasi_fd *fd, uint32_t number) {
  bool seekable = true;
  if (fd->kind == WASI_FD_NULL) {
    fd->filetype = WASI_FILETYPE_CHARACTER_DEVICE;
  } else {
    struct stat st;
    if (fstat(fd->host, &st) != 0) return false;
    fd->filetype = wasi_filetype_of(st.st_mode);
    if (fd->filetype == WASI_FILETYPE_DIRECTORY) return false;
    if (fd->filetype == WASI_FILETYPE_SOCKET_STREAM) {
      int type = 0;
      socklen_t length = sizeof type;
      if (getsockopt(fd->host, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM) fd->filetype = WASI_FILETYPE_SOCKET_DGRAM;
    }
    seekable = fd->filetype == WASI_FILETYPE_REGULAR_FILE || (fd->filetype == WASI_FILETYPE_CHARACTER_DEVICE && !isatty(fd->host));
    int flags = fcntl(fd->host, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) != 0) fd->fdflags |= WASI_FDFLAG_APPEND;
  }
  fd->rights_base = (seekable ? WASI_FILE_RIGHTS : WASI_STREAM_RIGHTS) & ~(number == 0 ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ);
  fd->described = true;
  return true;
}

wasi_fd *wasi_fd_with(const wasi_call *c, uint32_t number, uint64_t right, wasi_errno *error) {
  wasi_fd *fd = wasi_fd_get(c, number);
  if (fd == NULL) {
    *error = WASI_EBADF;
    return NULL;
  }
  if ((fd->rights_base & right) == right) return fd;
  // What a kind of file can't do at all is told as POSIX does; what was not granted, as a missing capability.
  bool directory = fd->filetype == WASI_FILETYPE_DIRECTORY;
  if (fd->readonly && (right & WASI_MODIFYING_RIGHTS) != 0) *error = WASI_EROFS;
  else if (directory && (right & WASI_DIRECTORY_RIGHTS) == 0) *error = WASI_EBADF;
  else if (!directory && (right & (WASI_DIRECTORY_RIGHTS & ~WASI_FILE_RIGHTS)) != 0) *error = WASI_ENOTDIR;
  else if (!directory && (right & (WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL)) != 0) *error = WASI_ESPIPE;
  else if (!directory && (right & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE)) != 0) *error = WASI_EBADF;
  else *error = WASI_ENOTCAPABLE;
  return NULL;
}

/** Result of a host call on a descriptor that returns 0 or -1. */
static wasi_errno done(int result) { return result == 0 ? WASI_OK : wasi_errno_of(errno); }

wasi_errno wasi_do_fd_close(const wasi_call *c) {
  wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL) return WASI_EBADF;
  return wasi_errno_of(wasi_fd_drop(fd));
}

wasi_errno wasi_do_fd_renumber(const wasi_call *c) {
  wasi_fd *from = wasi_fd_get(c, wasi_arg(c, 0));
  wasi_fd *to = wasi_fd_get(c, wasi_arg(c, 1));
  if (from == NULL || to == NULL) return WASI_EBADF;
  if (from == to) return WASI_OK;
  wasi_fd_drop(to);
  *to = *from;
  memset(from, 0, sizeof *from);
  return WASI_OK;
}

wasi_errno wasi_do_fd_prestat_get(const wasi_call *c) {
  const wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL || fd->preopen == NULL) return WASI_EBADF;
  wasi_prestat p = {.name_length = (uint32_t)strlen(fd->preopen)};
  return wasi_store(c, wasi_arg(c, 1), &p, sizeof p) ? WASI_OK : WASI_EFAULT;
}

wasi_errno wasi_do_fd_prestat_dir_name(const wasi_call *c) {
  const wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL || fd->preopen == NULL) return WASI_EBADF;
  size_t length = strlen(fd->preopen);
  if (wasi_arg(c, 2) < length) return WASI_ENAMETOOLONG;
  return wasi_store(c, wasi_arg(c, 1), fd->preopen, length) ? WASI_OK : WASI_EFAULT;
}

/* ---------------------------------------------------------------------------------------------------------------- State */

wasi_errno wasi_do_fd_fdstat_get(const wasi_call *c) {
  const wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL) return WASI_EBADF;
  wasi_fdstat s = {
      .filetype = fd->filetype,
      .flags = fd->fdflags,
      .rights_base = fd->rights_base,
      .rights_inheriting = fd->rights_inheriting,
  };
  return wasi_store(c, wasi_arg(c, 1), &s, sizeof s) ? WASI_OK : WASI_EFAULT;
}

wasi_errno wasi_do_fd_fdstat_set_flags(const wasi_call *c) {
  wasi_errno error;
  wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &error);
  if (fd == NULL) return error;
  uint32_t flags = wasi_arg(c, 1);
  const uint32_t settable = WASI_FDFLAG_APPEND | WASI_FDFLAG_NONBLOCK;
  if ((flags & ~UINT32_C(31)) != 0) return WASI_EINVAL;
  // Linux can't change these of an open file.
  if (((flags ^ fd->fdflags) & ~settable) != 0) return WASI_ENOTSUP;
  if (fd->owned) {
    int host = fcntl(fd->host, F_GETFL);
    if (host < 0) return wasi_errno_of(errno);
    host &= ~(O_APPEND | O_NONBLOCK);
    if ((flags & WASI_FDFLAG_APPEND) != 0) host |= O_APPEND;
    if ((flags & WASI_FDFLAG_NONBLOCK) != 0) host |= O_NONBLOCK;
    if (fcntl(fd->host, F_SETFL, host) != 0) return wasi_errno_of(errno);
  }
  fd->fdflags = (uint16_t)flags;
  return WASI_OK;
}

/** Rights can only be given up. */
wasi_errno wasi_do_fd_fdstat_set_rights(const wasi_call *c) {
  wasi_fd *fd = wasi_fd_get(c, wasi_arg(c, 0));
  if (fd == NULL) return WASI_EBADF;
  uint64_t base = wasi_arg64(c, 1);
  uint64_t inheriting = wasi_arg64(c, 2);
  if ((base & ~fd->rights_base) != 0 || (inheriting & ~fd->rights_inheriting) != 0) return WASI_ENOTCAPABLE;
  fd->rights_base = base;
  fd->rights_inheriting = inheriting;
  return WASI_OK;
}

static uint64_t nanoseconds(struct timespec t) { return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec; }

wasi_errno wasi_store_filestat(const wasi_call *c, uint32_t at, const struct stat *st, bool unstable) {
  wasi_filestat s = {
      .dev = st->st_dev,
      .ino = st->st_ino,
      .filetype = wasi_filetype_of(st->st_mode),
      .nlink = st->st_nlink,
      .size = (uint64_t)st->st_size,
      .atim = nanoseconds(st->st_atim),
      .mtim = nanoseconds(st->st_mtim),
      .ctim = nanoseconds(st->st_ctim),
  };
  if (!unstable) return wasi_store(c, at, &s, sizeof s) ? WASI_OK : WASI_EFAULT;
  wasi_filestat_unstable u = {
      .dev = s.dev,
      .ino = s.ino,
      .filetype = s.filetype,
      .nlink = (uint32_t)s.nlink,
      .size = s.size,
      .atim = s.atim,
      .mtim = s.mtim,
      .ctim = s.ctim,
  };
  return wasi_store(c, at, &u, sizeof u) ? WASI_OK : WASI_EFAULT;
}

static wasi_errno filestat_get(const wasi_call *c, bool unstable) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_FILESTAT_GET, &error);
  if (fd == NULL) return error;
  struct stat st = {.st_mode = S_IFCHR, .st_nlink = 1};
  if (fd->kind == WASI_FD_HOST && fstat(fd->host, &st) != 0) return wasi_errno_of(errno);
  return wasi_store_filestat(c, wasi_arg(c, 1), &st, unstable);
}

wasi_errno wasi_do_fd_filestat_get(const wasi_call *c) { return filestat_get(c, false); }
wasi_errno wasi_do_unstable_fd_filestat_get(const wasi_call *c) { return filestat_get(c, true); }

wasi_errno wasi_do_fd_filestat_set_size(const wasi_call *c) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_FILESTAT_SET_SIZE, &error);
  if (fd == NULL) return error;
  if (fd->kind == WASI_FD_NULL || wasi_arg64(c, 1) > INT64_MAX) return WASI_EINVAL;
  return done(ftruncate(fd->host, (off_t)wasi_arg64(c, 1)));
}

static bool one_time(uint64_t time, bool set, bool now, struct timespec *out) {
  if (set && now) return false;
  out->tv_sec = (time_t)(time / 1000000000);
  out->tv_nsec = now ? UTIME_NOW : set ? (long)(time % 1000000000) : UTIME_OMIT;
  return true;
}

bool wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec out[2]) {
  if ((flags & ~UINT32_C(15)) != 0) return false;
  return one_time(atim, (flags & WASI_FSTFLAG_ATIM) != 0, (flags & WASI_FSTFLAG_ATIM_NOW) != 0, &out[0]) &&
         one_time(mtim, (flags & WASI_FSTFLAG_MTIM) != 0, (flags & WASI_FSTFLAG_MTIM_NOW) != 0, &out[1]);
}

wasi_errno wasi_do_fd_filestat_set_times(const wasi_call *c) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_FILESTAT_SET_TIMES, &error);
  if (fd == NULL) return error;
  struct timespec times[2];
  if (fd->kind == WASI_FD_NULL || !wasi_times(wasi_arg64(c, 1), wasi_arg64(c, 2), wasi_arg(c, 3), times)) return WASI_EINVAL;
  return done(futimens(fd->host, times));
}

wasi_errno wasi_do_fd_advise(const wasi_call *c) {
  static const int advices[] = {POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE};
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_ADVISE, &error);
  if (fd == NULL) return error;
  uint64_t offset = wasi_arg64(c, 1);
  uint64_t length = wasi_arg64(c, 2);
  uint32_t advice = wasi_arg(c, 3) & 0xff;
  if (advice >= sizeof advices / sizeof *advices || offset > INT64_MAX || length > INT64_MAX) return WASI_EINVAL;
  if (fd->kind == WASI_FD_NULL) return WASI_OK;
  return wasi_errno_of(posix_fadvise(fd->host, (off_t)offset, (off_t)length, advices[advice]));
}

wasi_errno wasi_do_fd_allocate(const wasi_call *c) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_ALLOCATE, &error);
  if (fd == NULL) return error;
  uint64_t offset = wasi_arg64(c, 1);
  uint64_t length = wasi_arg64(c, 2);
  if (fd->kind == WASI_FD_NULL || offset > INT64_MAX || length > INT64_MAX) return WASI_EINVAL;
  return done(fallocate(fd->host, 0, (off_t)offset, (off_t)length));
}

static wasi_errno sync_with(const wasi_call *c, uint64_t right, int (*sync)(int)) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), right, &error);
  if (fd == NULL) return error;
  return fd->kind == WASI_FD_NULL ? WASI_OK : done(sync(fd->host));
}

wasi_errno wasi_do_fd_sync(const wasi_call *c) { return sync_with(c, WASI_RIGHT_FD_SYNC, fsync); }
wasi_errno wasi_do_fd_datasync(const wasi_call *c) { return sync_with(c, WASI_RIGHT_FD_DATASYNC, fdatasync); }

/* ---------------------------------------------------------------------------------------------------- Reading and writing */

/**
 * The guest's iovecs as the host's, pointing into guest memory. Only the first IOV_MAX are looked at: a call may transfer less than
 * was asked for. Returns their number, or -1: out of bounds.
 */
static int gather(const wasi_call *c, struct iovec vec[IOV_MAX], uint64_t *total) {
  uint32_t count = wasi_arg(c, 2);
  const uint8_t *from = wasi_memory(c, wasi_arg(c, 1), (uint64_t)count * sizeof(wasi_ciovec));
  if (from == NULL) return -1;
  int n = count > IOV_MAX ? IOV_MAX : (int)count;
  *total = 0;
  for (int i = 0; i < n; i++) {
    // Copied before it is checked: another thread may write to a shared memory.
    wasi_ciovec v;
    memcpy(&v, from + (size_t)i * sizeof v, sizeof v);
    void *base = wasi_memory(c, v.at, v.length);
    if (base == NULL) return -1;
    vec[i] = (struct iovec){.iov_base = base, .iov_len = v.length};
    *total += v.length;
  }
  return n;
}

/**
 * A borrowed descriptor is shared with other processes: whether it blocks is not for the guest to change, nor is the guest to notice what others
 * made of it. So O_NONBLOCK is played: a transfer that would block fails if the guest set the flag, and waits if it did not.
 */
static bool would_block(const wasi_fd *fd, short events) {
  if (fd->owned || (fd->fdflags & WASI_FDFLAG_NONBLOCK) == 0) return false;
  struct pollfd p = {.fd = fd->host, .events = events};
  return poll(&p, 1, 0) == 0;
}

/** After a transfer failed: is it to be tried again? */
static bool try_again(const wasi_fd *fd, short events) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN || fd->owned || (fd->fdflags & WASI_FDFLAG_NONBLOCK) != 0) return false;
  struct pollfd p = {.fd = fd->host, .events = events};
  return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

enum { AT_POSITION = 1, WRITING = 2 };

static wasi_errno transfer(const wasi_call *c, int how) {
  bool writing = (how & WRITING) != 0;
  bool at_position = (how & AT_POSITION) != 0;
  uint64_t right = writing ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ;
  if (at_position) right |= WASI_RIGHT_FD_SEEK;
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), right, &error);
  if (fd == NULL) return error;
  uint32_t result_at = wasi_arg(c, at_position ? 4 : 3);
  struct iovec vec[IOV_MAX];
  uint64_t total;
  int n = gather(c, vec, &total);
  // The place of the result is checked beforehand, so that no data is moved which the guest isn't told of.
  if (n < 0 || wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  ssize_t moved;
  if (fd->kind == WASI_FD_NULL) {
    moved = writing ? (ssize_t)(total > INT32_MAX ? INT32_MAX : total) : 0;
  } else {
    short events = writing ? POLLOUT : POLLIN;
    if (would_block(fd, events)) return WASI_EAGAIN;
    off_t offset = at_position ? (off_t)wasi_arg64(c, 3) : 0;
    do {
      if (at_position) moved = writing ? pwritev(fd->host, vec, n, offset) : preadv(fd->host, vec, n, offset);
      else moved = writing ? writev(fd->host, vec, n) : readv(fd->host, vec, n);
    } while (moved < 0 && try_again(fd, events));
    if (moved < 0) return wasi_errno_of(errno);
  }
  wasi_store32(c, result_at, (uint32_t)moved);
  return WASI_OK;
}

wasi_errno wasi_do_fd_read(const wasi_call *c) { return transfer(c, 0); }
wasi_errno wasi_do_fd_write(const wasi_call *c) { return transfer(c, WRITING); }
wasi_errno wasi_do_fd_pread(const wasi_call *c) { return transfer(c, AT_POSITION); }
wasi_errno wasi_do_fd_pwrite(const wasi_call *c) { return transfer(c, AT_POSITION | WRITING); }

static wasi_errno seek(const wasi_call *c, uint32_t number, uint64_t right, int64_t offset, int whence, uint32_t result_at) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, number, right, &error);
  if (fd == NULL) return error;
  if (wasi_memory(c, result_at, 8) == NULL) return WASI_EFAULT;
  off_t at = 0;
  if (fd->kind == WASI_FD_HOST) at = lseek(fd->host, offset, whence);
  if (at < 0) return wasi_errno_of(errno);
  wasi_store64(c, result_at, (uint64_t)at);
  return WASI_OK;
}

static wasi_errno seek_call(const wasi_call *c, const int whences[3]) {
  uint32_t whence = wasi_arg(c, 2) & 0xff;
  if (whence > 2) return WASI_EINVAL;
  int64_t offset = (int64_t)wasi_arg64(c, 1);
  // To ask for the position is to tell it.
  uint64_t right = offset == 0 && whences[whence] == SEEK_CUR ? WASI_RIGHT_FD_TELL : WASI_RIGHT_FD_SEEK;
  return seek(c, wasi_arg(c, 0), right, offset, whences[whence], wasi_arg(c, 3));
}

wasi_errno wasi_do_fd_seek(const wasi_call *c) { return seek_call(c, (const int[]){SEEK_SET, SEEK_CUR, SEEK_END}); }
wasi_errno wasi_do_unstable_fd_seek(const wasi_call *c) { return seek_call(c, (const int[]){SEEK_CUR, SEEK_END, SEEK_SET}); }
wasi_errno wasi_do_fd_tell(const wasi_call *c) { return seek(c, wasi_arg(c, 0), WASI_RIGHT_FD_TELL, 0, SEEK_CUR, wasi_arg(c, 1)); }

/* ---------------------------------------------------------------------------------------------------------- Directories */

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
 * A cookie is the position that the kernel gave with the entry before it, so no state is kept between calls. An entry that doesn't fit
 * is cut off; a full buffer tells the guest to go on from the last whole entry.
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
  if (!fd->owned) {
    // The position of a borrowed descriptor is shared with others who borrowed it.
    int own = openat(fd->host, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) return wasi_errno_of(errno);
    fd->host = own;
    fd->owned = true;
  }
  if (lseek(fd->host, (off_t)cookie, SEEK_SET) < 0) return wasi_errno_of(errno);
  _Alignas(struct host_dirent) char entries[32768];
  size_t chunk = capacity < 2048 ? 2048 : capacity > sizeof entries ? sizeof entries : capacity;
  uint32_t used = 0;
  while (used < capacity) {
    long got = syscall(SYS_getdents64, fd->host, entries, chunk);
    if (got < 0) return wasi_errno_of(errno);
    if (got == 0) break;
    for (long at = 0; at < got && used < capacity;) {
      const struct host_dirent *e = (const struct host_dirent *)(entries + at);
      at += e->length;
      size_t length = strlen(e->name);
      wasi_dirent d = {
          .next = (uint64_t)e->next,
          .ino = e->ino,
          .name_length = (uint32_t)length,
          .type = filetype_of_dirent(e->type),
      };
      if (strcmp(e->name, "..") == 0) {
        // What is above the root is not the guest's to know: it is its own parent, as the root of a file system is.
        struct stat st;
        if (fstat(fd->host, &st) != 0) d.ino = 0;
        else if (wasi_fd_is_root(fd, &st)) d.ino = st.st_ino;
      }
      put(buffer, capacity, &used, &d, sizeof d);
      put(buffer, capacity, &used, e->name, length);
    }
  }
  wasi_store32(c, result_at, used);
  return WASI_OK;
}
