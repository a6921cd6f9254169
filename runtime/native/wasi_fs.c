/**
 * The calls that take a path. Each finds its place with wasi_path.c and then acts on one component of one directory,
 * never following a symbolic link; each that changes something refuses on a read-only descriptor first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wasi_internal.h"

/** The path argument: copied, so that it can't change under the checks. */
static wasi_errno load_path(const wasi_call *c, uint32_t at, uint32_t length, wasi_path *path) {
  const char *from = wasi_memory(c, at, length);
  if (from == NULL) return WASI_EFAULT;
  if (GUARD(PATH_LENGTH) && length >= sizeof path->text) return WASI_ENAMETOOLONG;
  memcpy(path->text, from, length);
  path->text[length] = 0;
  path->length = length;
  // A zero would end the name early for the host.
  if (GUARD(PATH_NUL) && memchr(path->text, 0, length) != NULL) return WASI_EINVAL;
  return WASI_OK;
}

/** A call's directory and path, and the place they lead to. */
typedef struct target {
  wasi_fd *fd;
  wasi_path path;
  wasi_place place;
} target;

enum { NO_FOLLOW = 0, FOLLOW = 1, MODIFIES = 2 };

/**
 * Descriptor, rights, path: all checks that come before a place is looked for. `how`: FOLLOW (the last link), MODIFIES.
 */
static wasi_errno check_target(const wasi_call *c, uint32_t fd, uint64_t right, uint32_t path_at, uint32_t path_length, int how, target *t) {
  wasi_errno error = WASI_OK;
  t->fd = wasi_fd_with(c, fd, right, &error);
  if (t->fd == NULL) return error;
  if (t->fd->filetype != WASI_FILETYPE_DIRECTORY) return WASI_ENOTDIR;
  if (GUARD(READONLY) && (how & MODIFIES) != 0 && t->fd->readonly) return WASI_EROFS;
  return load_path(c, path_at, path_length, &t->path);
}

/** 0 or an errno of the host. */
static int find_target(int how, target *t) {
  return (how & FOLLOW) != 0 ? wasi_path_find_followed(t->fd->host, &t->path, &t->place)
                             : wasi_path_find(t->fd->host, &t->path, &t->place);
}

/** Both. */
static wasi_errno open_target(const wasi_call *c, uint32_t fd, uint64_t right, uint32_t path_at, uint32_t path_length, int how, target *t) {
  wasi_errno error = check_target(c, fd, right, path_at, path_length, how, t);
  return error != WASI_OK ? error : wasi_errno_of(find_target(how, t));
}

/** Follow the last link: when asked to, and always before a trailing slash, which says that a directory is meant. */
static int follow_if(const wasi_call *c, uint32_t lookup, uint32_t path_at, uint32_t path_length) {
  if ((lookup & WASI_LOOKUP_SYMLINK_FOLLOW) != 0) return FOLLOW;
  const char *last = path_length > 0 ? wasi_memory(c, path_at, path_length) : NULL;
  return last != NULL && last[path_length - 1] == '/' ? FOLLOW : NO_FOLLOW;
}

static wasi_errno finish(target *t, int result) {
  wasi_errno error = result == 0 ? WASI_OK : wasi_errno_of(errno);
  wasi_place_done(&t->place);
  return error;
}

static int fail(int error) {
  errno = error;
  return -1;
}

/** 0 if the entry is a directory; -1 with ENOTDIR, or why it can't be told. */
static int check_directory(const wasi_place *p) {
  struct stat st;
  if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  return S_ISDIR(st.st_mode) ? 0 : fail(ENOTDIR);
}

wasi_errno wasi_do_path_create_directory(const wasi_call *c) {
  target t;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_CREATE_DIRECTORY, wasi_arg(c, 1), wasi_arg(c, 2), MODIFIES, &t);
  if (error != WASI_OK) return error;
  return finish(&t, mkdirat(t.place.dir, t.place.name, 0777));
}

static wasi_errno path_filestat_get(const wasi_call *c, bool unstable) {
  uint32_t at = wasi_arg(c, 2);
  uint32_t length = wasi_arg(c, 3);
  target t;
  int how = follow_if(c, wasi_arg(c, 1), at, length);
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_FILESTAT_GET, at, length, how, &t);
  if (error != WASI_OK) return error;
  struct stat st;
  int result = fstatat(t.place.dir, t.place.name, &st, GUARD(STAT_NOFOLLOW) ? AT_SYMLINK_NOFOLLOW : 0);
  if (result == 0 && t.place.must_be_dir && !S_ISDIR(st.st_mode)) result = fail(ENOTDIR);
  error = finish(&t, result);
  return error == WASI_OK ? wasi_store_filestat(c, wasi_arg(c, 4), &st, unstable) : error;
}

wasi_errno wasi_do_path_filestat_get(const wasi_call *c) { return path_filestat_get(c, false); }
wasi_errno wasi_do_unstable_path_filestat_get(const wasi_call *c) { return path_filestat_get(c, true); }

wasi_errno wasi_do_path_filestat_set_times(const wasi_call *c) {
  uint32_t at = wasi_arg(c, 2);
  uint32_t length = wasi_arg(c, 3);
  struct timespec times[2];
  if (!wasi_times(wasi_arg64(c, 4), wasi_arg64(c, 5), wasi_arg(c, 6), times)) return WASI_EINVAL;
  target t;
  int how = follow_if(c, wasi_arg(c, 1), at, length) | MODIFIES;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_FILESTAT_SET_TIMES, at, length, how, &t);
  if (error != WASI_OK) return error;
  int result = t.place.must_be_dir ? check_directory(&t.place) : 0;
  if (result == 0) result = utimensat(t.place.dir, t.place.name, times, GUARD(TIMES_NOFOLLOW) ? AT_SYMLINK_NOFOLLOW : 0);
  return finish(&t, result);
}

/** A hard link to a symbolic link's target is not offered: with `follow` the call is invalid. */
wasi_errno wasi_do_path_link(const wasi_call *c) {
  if ((wasi_arg(c, 1) & WASI_LOOKUP_SYMLINK_FOLLOW) != 0) return WASI_EINVAL;
  target from;
  target to;
  // A link to a file is a way to write to it: not out of a read-only directory.
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_LINK_SOURCE, wasi_arg(c, 2), wasi_arg(c, 3), MODIFIES, &from);
  if (error != WASI_OK) return error;
  error = open_target(c, wasi_arg(c, 4), WASI_RIGHT_PATH_LINK_TARGET, wasi_arg(c, 5), wasi_arg(c, 6), MODIFIES, &to);
  if (error == WASI_OK) {
    int result = from.place.must_be_dir ? check_directory(&from.place) : 0;
    // No file can have a name with a slash behind it.
    if (result == 0 && to.place.must_be_dir) result = fail(ENOENT);
    if (result == 0) result = linkat(from.place.dir, from.place.name, to.place.dir, to.place.name, 0);
    error = finish(&to, result);
  }
  wasi_place_done(&from.place);
  return error;
}

wasi_errno wasi_do_path_symlink(const wasi_call *c) {
  wasi_path contents;
  wasi_errno error = load_path(c, wasi_arg(c, 0), wasi_arg(c, 1), &contents);
  if (error != WASI_OK) return error;
  // The guest could not follow it, but the host's programs would.
  if (GUARD(SYMLINK_ABSOLUTE) && contents.text[0] == '/') return WASI_EPERM;
  target t;
  error = open_target(c, wasi_arg(c, 2), WASI_RIGHT_PATH_SYMLINK, wasi_arg(c, 3), wasi_arg(c, 4), MODIFIES, &t);
  if (error != WASI_OK) return error;
  int result = 0;
  if (t.place.must_be_dir) {
    struct stat st;
    result = fail(fstatat(t.place.dir, t.place.name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? ENOENT : S_ISDIR(st.st_mode) ? EEXIST : ENOTDIR);
  }
  if (result == 0) result = symlinkat(contents.text, t.place.dir, t.place.name);
  return finish(&t, result);
}

wasi_errno wasi_do_path_readlink(const wasi_call *c) {
  uint32_t capacity = wasi_arg(c, 4);
  uint32_t result_at = wasi_arg(c, 5);
  uint8_t *buffer = wasi_memory(c, wasi_arg(c, 3), capacity);
  if (buffer == NULL || wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  target t;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_READLINK, wasi_arg(c, 1), wasi_arg(c, 2), NO_FOLLOW, &t);
  if (error != WASI_OK) return error;
  char text[PATH_MAX];
  ssize_t got = t.place.must_be_dir ? fail(EINVAL) : readlinkat(t.place.dir, t.place.name, text, sizeof text);
  error = finish(&t, got < 0 ? -1 : 0);
  if (error != WASI_OK) return error;
  size_t n = (size_t)got < capacity ? (size_t)got : capacity;
  memcpy(buffer, text, n);
  wasi_store32(c, result_at, (uint32_t)n);
  return WASI_OK;
}

wasi_errno wasi_do_path_remove_directory(const wasi_call *c) {
  target t;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_REMOVE_DIRECTORY, wasi_arg(c, 1), wasi_arg(c, 2), MODIFIES, &t);
  if (error != WASI_OK) return error;
  return finish(&t, unlinkat(t.place.dir, t.place.name, AT_REMOVEDIR));
}

wasi_errno wasi_do_path_unlink_file(const wasi_call *c) {
  target t;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_UNLINK_FILE, wasi_arg(c, 1), wasi_arg(c, 2), MODIFIES, &t);
  if (error != WASI_OK) return error;
  int result = t.place.must_be_dir ? check_directory(&t.place) : 0;
  if (result == 0) result = unlinkat(t.place.dir, t.place.name, 0);
  return finish(&t, result);
}

wasi_errno wasi_do_path_rename(const wasi_call *c) {
  target from;
  target to;
  wasi_errno error = open_target(c, wasi_arg(c, 0), WASI_RIGHT_PATH_RENAME_SOURCE, wasi_arg(c, 1), wasi_arg(c, 2), MODIFIES, &from);
  if (error != WASI_OK) return error;
  error = open_target(c, wasi_arg(c, 3), WASI_RIGHT_PATH_RENAME_TARGET, wasi_arg(c, 4), wasi_arg(c, 5), MODIFIES, &to);
  if (error == WASI_OK) {
    int result = from.place.must_be_dir || to.place.must_be_dir ? check_directory(&from.place) : 0;
    if (result == 0) result = renameat(from.place.dir, from.place.name, to.place.dir, to.place.name);
    error = finish(&to, result);
  }
  wasi_place_done(&from.place);
  return error;
}

/* ----------------------------------------------------------------------------------------------------------------- Open */

typedef struct opening {
  uint32_t oflags;
  uint32_t fdflags;
  bool read;
  bool write;
  bool readonly;
} opening;

static int host_flags(const opening *o) {
  // Non-blocking: a pipe without another end must not hang the host, nor must a transfer (wasi_io.c). Files don't know
  // the flag.
  int flags = O_CLOEXEC | O_NOCTTY;
  if (GUARD(OPEN_NOFOLLOW)) flags |= O_NOFOLLOW;
  if (GUARD(OPEN_NONBLOCK)) flags |= O_NONBLOCK;
  flags |= !o->write ? O_RDONLY : o->read ? O_RDWR : O_WRONLY;
  if ((o->oflags & WASI_OFLAG_DIRECTORY) != 0) flags |= O_DIRECTORY;
  if ((o->oflags & WASI_OFLAG_CREAT) != 0) flags |= O_CREAT;
  if ((o->oflags & WASI_OFLAG_EXCL) != 0) flags |= O_EXCL;
  if ((o->oflags & WASI_OFLAG_TRUNC) != 0) flags |= O_TRUNC;
  if ((o->fdflags & WASI_FDFLAG_APPEND) != 0) flags |= O_APPEND;
  if ((o->fdflags & WASI_FDFLAG_DSYNC) != 0) flags |= O_DSYNC;
  if ((o->fdflags & (WASI_FDFLAG_RSYNC | WASI_FDFLAG_SYNC)) != 0) flags |= O_SYNC;
  return flags;
}

/** Opens the entry; -1 with errno. */
static int open_place(const wasi_place *p, const opening *o) {
  int flags = host_flags(o);
  if (p->must_be_dir) {
    if ((flags & O_CREAT) != 0) return fail(EISDIR);
    flags |= O_DIRECTORY;
  }
  if (GUARD(READONLY_OPEN) && o->readonly && (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != 0) {
    struct stat st;
    if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) != 0) return fail(errno == ENOENT && (flags & O_CREAT) != 0 ? EROFS : errno);
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return fail(EEXIST);
    if (o->write) return fail(S_ISDIR(st.st_mode) ? EISDIR : EROFS);
    if ((flags & O_TRUNC) != 0) return fail(EROFS);
    // What exists may be opened; only creating it is refused.
    flags &= ~O_CREAT;
  }
  int fd;
  do fd = openat(p->dir, p->name, flags, 0666);
  while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno == EACCES && (flags & (O_DIRECTORY | O_ACCMODE)) == O_DIRECTORY) {
    // A directory that may be passed but not listed.
    fd = openat(p->dir, p->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  return fd;
}

/**
 * Opens what the path leads to: -1 with errno. Mostly by one call of the kernel's (wasi_path_open). What that refuses
 * is looked at again step by step, for the error that both ways of walking agree upon; as is everything where more than
 * opening is to be decided.
 */
static int open_path(target *t, const opening *o, int how) {
  bool plain = t->path.length > 0 && t->path.text[t->path.length - 1] != '/' && !o->readonly;
  if (plain) {
    int fd = wasi_path_open(t->fd->host, &t->path, host_flags(o) & ((how & FOLLOW) != 0 ? ~O_NOFOLLOW : ~0));
    if (fd >= 0 || errno == ENOENT || errno == EEXIST) return fd;
  }
  int error = find_target(how, t);
  if (error != 0) return fail(error);
  int fd = open_place(&t->place, o);
  int failed = errno;
  wasi_place_done(&t->place);
  errno = failed;
  return fd;
}

/** What is opened beneath a directory has the same root. */
static int inherit_root(wasi_fd *parent, wasi_fd *child) {
  if (parent->root_ino == 0) {
    // Only a preopen doesn't know it yet: it is its own.
    struct stat st;
    if (fstat(parent->host, &st) != 0) return -1;
    parent->root_dev = st.st_dev;
    parent->root_ino = st.st_ino;
  }
  child->root_dev = parent->root_dev;
  child->root_ino = parent->root_ino;
  return 0;
}

wasi_errno wasi_do_path_open(const wasi_call *c) {
  uint32_t lookup = wasi_arg(c, 1);
  uint32_t at = wasi_arg(c, 2);
  uint32_t length = wasi_arg(c, 3);
  uint32_t result_at = wasi_arg(c, 8);
  opening o = {.oflags = wasi_arg(c, 4) & 0xffff, .fdflags = wasi_arg(c, 7) & 0xffff};
  if ((o.oflags & ~UINT32_C(15)) != 0 || (o.fdflags & ~UINT32_C(31)) != 0) return WASI_EINVAL;
  // Linux would accept it and create a file.
  if ((o.oflags & WASI_OFLAG_DIRECTORY) != 0 && (o.oflags & WASI_OFLAG_CREAT) != 0) return WASI_EINVAL;
  uint64_t right = WASI_RIGHT_PATH_OPEN;
  const wasi_fd *parent = wasi_fd_get(c, wasi_arg(c, 0));
  if (parent != NULL && !parent->readonly) {
    if ((o.oflags & WASI_OFLAG_CREAT) != 0) right |= WASI_RIGHT_PATH_CREATE_FILE;
    if ((o.oflags & WASI_OFLAG_TRUNC) != 0) right |= WASI_RIGHT_PATH_FILESTAT_SET_SIZE;
  }
  if (wasi_memory(c, result_at, 4) == NULL) return WASI_EFAULT;
  // O_EXCL is about the entry itself, link or not.
  bool exclusive = (o.oflags & WASI_OFLAG_CREAT) != 0 && (o.oflags & WASI_OFLAG_EXCL) != 0;
  int how = exclusive ? NO_FOLLOW : follow_if(c, lookup, at, length);
  target t;
  wasi_errno error = check_target(c, wasi_arg(c, 0), right, at, length, how, &t);
  if (error != WASI_OK) return error;

  uint64_t asked = wasi_arg64(c, 5);
  o.readonly = t.fd->readonly;
  o.read = (asked & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR)) != 0;
  // What a read-only directory does not pass on counts all the same: that writing is in vain must show when the file is
  // opened.
  uint64_t passed = o.readonly ? asked : asked & t.fd->rights_inheriting;
  o.write = (passed & (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE)) != 0;
  // Toolchains ask for all rights that there are: what the directory does not pass on is left out rather than refused.
  wasi_fd fd = {
      .kind = WASI_FD_HOST,
      .owned = true,
      .readonly = GUARD(READONLY_INHERIT) && o.readonly,
      .described = true,
      .fdflags = (uint16_t)o.fdflags,
      .rights_base = asked & (GUARD(RIGHTS_INHERIT) ? t.fd->rights_inheriting : UINT64_MAX) & ~(o.readonly && GUARD(READONLY) ? WASI_MODIFYING_RIGHTS : 0),
      .rights_inheriting = wasi_arg64(c, 6) & t.fd->rights_inheriting,
  };
  fd.host = open_path(&t, &o, how);
  struct stat st;
  int result = fd.host < 0 ? -1 : fstat(fd.host, &st);
  if (result == 0 && S_ISDIR(st.st_mode)) result = inherit_root(t.fd, &fd);
  error = result == 0 ? WASI_OK : wasi_errno_of(errno);
  if (error == WASI_OK) {
    fd.filetype = wasi_filetype_of(st.st_mode);
    if (fd.filetype != WASI_FILETYPE_REGULAR_FILE && fd.filetype != WASI_FILETYPE_BLOCK_DEVICE) fd.blocks = WASI_BLOCKS_NOT;
    if (fd.filetype == WASI_FILETYPE_DIRECTORY) {
      fd.rights_base &= WASI_DIRECTORY_RIGHTS;
    } else {
      fd.rights_base &= WASI_FILE_RIGHTS;
      fd.rights_inheriting = 0;
    }
    uint32_t number;
    error = wasi_errno_of(wasi_fd_add(c->ctx, &fd, 0, &number));
    if (error == WASI_OK) wasi_store32(c, result_at, number);
  }
  if (error != WASI_OK && fd.host >= 0) close(fd.host);
  return error;
}
