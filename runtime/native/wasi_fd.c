/** The guest's descriptors, and the calls on one descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wasi_internal.h"

/* ----------------------------------------------------------------------------------------------------- Descriptor table */

bool wasi_fds_build(lucet_wasi_ctx *ctx) {
  const lucet_wasi_template *t = ctx->template;
  uint32_t count = 3 + t->grant_count;
  uint32_t room = count < WASI_FEW_FDS ? WASI_FEW_FDS : count;
  wasi_fd *fds = room == WASI_FEW_FDS ? ctx->few : malloc(room * sizeof *fds);
  if (fds == NULL) return false;
  memset(fds, 0, room * sizeof *fds);
  uint32_t open = t->grant_count;
  for (uint8_t k = 0; k < 3; k++) {
    if (ctx->stdio[k].kind == WASI_FD_FREE) continue;
    fds[k].kind = ctx->stdio[k].kind;
    fds[k].host = ctx->stdio[k].host;
    fds[k].stream = k;
    open++;
  }
  for (uint32_t k = 0; k < t->grant_count; k++) fds[3 + k] = t->grants[k].fd;
  ctx->fds = fds;
  ctx->fd_count = room;
  ctx->open = open;
  return true;
}

void wasi_fds_drop(lucet_wasi_ctx *ctx) {
  for (uint32_t i = 0; i < ctx->fd_count; i++) {
    if (ctx->fds[i].owned) close(ctx->fds[i].host);
  }
  if (ctx->fds != ctx->few) free(ctx->fds);
  ctx->fds = NULL;
  ctx->fd_count = 0;
}

int wasi_fd_add(lucet_wasi_ctx *ctx, const wasi_fd *fd, uint32_t from, uint32_t *number) {
  if (GUARD(FD_LIMIT) && ctx->open >= ctx->template->limits.descriptors) return EMFILE;
  uint32_t i = from;
  while (i < ctx->fd_count && ctx->fds[i].kind != WASI_FD_FREE) i++;
  if (i >= ctx->fd_count) {
    uint32_t count = 2 * i;
    wasi_fd *fds = realloc(ctx->fds == ctx->few ? NULL : ctx->fds, count * sizeof *fds);
    if (fds == NULL) return ENOMEM;
    if (ctx->fds == ctx->few) memcpy(fds, ctx->few, sizeof ctx->few);
    memset(fds + ctx->fd_count, 0, (count - ctx->fd_count) * sizeof *fds);
    ctx->fds = fds;
    ctx->fd_count = count;
  }
  ctx->fds[i] = *fd;
  ctx->open++;
  *number = i;
  return 0;
}

int wasi_fd_drop(lucet_wasi_ctx *ctx, wasi_fd *fd) {
  int error = 0;
  // After EINTR the descriptor is closed all the same (Linux).
  if (fd->owned && close(fd->host) != 0 && errno != EINTR) error = errno;
  memset(fd, 0, sizeof *fd);
  ctx->open--;
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
  if (fd->kind != WASI_FD_HOST) {
    fd->filetype = WASI_FILETYPE_CHARACTER_DEVICE;
    // Positions in a stream of the embedder's or in memory don't exist; a discarding one accepts any.
    seekable = fd->kind == WASI_FD_NULL;
  } else {
    struct stat st;
    if (fstat(fd->host, &st) != 0) return false;
    fd->filetype = wasi_filetype_of(st.st_mode);
    if (GUARD(STDIO_DIRECTORY) && fd->filetype == WASI_FILETYPE_DIRECTORY) return false;
    if (fd->filetype == WASI_FILETYPE_SOCKET_STREAM) {
      int type = 0;
      socklen_t length = sizeof type;
      if (getsockopt(fd->host, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM) fd->filetype = WASI_FILETYPE_SOCKET_DGRAM;
    }
    seekable = fd->filetype == WASI_FILETYPE_REGULAR_FILE || (fd->filetype == WASI_FILETYPE_CHARACTER_DEVICE && !isatty(fd->host));
    int flags = fcntl(fd->host, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) != 0) fd->fdflags |= WASI_FDFLAG_APPEND;
// Pipes, sockets and terminals can block for long; other devices (/dev/null) don't.
    fd->blocks = seekable || fd->filetype == WASI_FILETYPE_BLOCK_DEVICE ? WASI_BLOCKS_NEVER : WASI_BLOCKS_ASK;
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
  if (!GUARD(RIGHTS) || (fd->rights_base & right) == right) return fd;
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
  return wasi_errno_of(wasi_fd_drop(c->ctx, fd));
}

wasi_errno wasi_do_fd_renumber(const wasi_call *c) {
  wasi_fd *from = wasi_fd_get(c, wasi_arg(c, 0));
  wasi_fd *to = wasi_fd_get(c, wasi_arg(c, 1));
  if (from == NULL || to == NULL) return WASI_EBADF;
  if (from == to) return WASI_OK;
  wasi_fd_drop(c->ctx, to);
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
  bool ours = fd->owned || !GUARD(BORROWED_FLAGS);
  if (fd->kind == WASI_FD_HOST && ((flags ^ fd->fdflags) & WASI_FDFLAG_APPEND) != 0) {
    // A borrowed descriptor's are the host's. O_NONBLOCK is played for all (wasi_io.c).
    if (!ours) return WASI_ENOTSUP;
    int host = fcntl(fd->host, F_GETFL);
    if (host < 0) return wasi_errno_of(errno);
    host = (flags & WASI_FDFLAG_APPEND) != 0 ? host | O_APPEND : host & ~O_APPEND;
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
  if (GUARD(RIGHTS_GROW) && ((base & ~fd->rights_base) != 0 || (inheriting & ~fd->rights_inheriting) != 0)) return WASI_ENOTCAPABLE;
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
  if (fd->kind != WASI_FD_HOST || wasi_arg64(c, 1) > INT64_MAX) return WASI_EINVAL;
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
  if (fd->kind != WASI_FD_HOST || !wasi_times(wasi_arg64(c, 1), wasi_arg64(c, 2), wasi_arg(c, 3), times)) return WASI_EINVAL;
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
  if (fd->kind != WASI_FD_HOST) return WASI_OK;
  return wasi_errno_of(posix_fadvise(fd->host, (off_t)offset, (off_t)length, advices[advice]));
}

wasi_errno wasi_do_fd_allocate(const wasi_call *c) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), WASI_RIGHT_FD_ALLOCATE, &error);
  if (fd == NULL) return error;
  uint64_t offset = wasi_arg64(c, 1);
  uint64_t length = wasi_arg64(c, 2);
  if (fd->kind != WASI_FD_HOST || offset > INT64_MAX || length > INT64_MAX) return WASI_EINVAL;
  // It takes room on the disk as writing does.
  lucet_wasi_ctx *ctx = c->ctx;
  if (GUARD(WRITE_LIMIT) && length > ctx->template->limits.written - ctx->written) return WASI_EDQUOT;
  int result = fallocate(fd->host, 0, (off_t)offset, (off_t)length);
  if (result == 0) ctx->written += length;
  return done(result);
}

static wasi_errno sync_with(const wasi_call *c, uint64_t right, int (*sync)(int)) {
  wasi_errno error;
  const wasi_fd *fd = wasi_fd_with(c, wasi_arg(c, 0), right, &error);
  if (fd == NULL) return error;
  return fd->kind != WASI_FD_HOST ? WASI_OK : done(sync(fd->host));
}

wasi_errno wasi_do_fd_sync(const wasi_call *c) { return sync_with(c, WASI_RIGHT_FD_SYNC, fsync); }
wasi_errno wasi_do_fd_datasync(const wasi_call *c) { return sync_with(c, WASI_RIGHT_FD_DATASYNC, fdatasync); }
