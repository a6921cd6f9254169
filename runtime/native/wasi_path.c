/**
 * Path resolution beneath a directory. This file and the readonly checks of wasi_fs.c are all that keeps a guest in its
 * directories.
 *
 * The rule: no path with more than one component, and none that the kernel would follow a symbolic link in, is ever
 * given to the kernel, but to openat2 with RESOLVE_BENEATH. So every operation of a guest has two steps:
 *
 *   1. `open_beneath` opens the directory that holds the last component (O_PATH), following symbolic links on the way, and refuses to
 *      leave the root. Two implementations of equal strictness:
 *        - openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS): the kernel refuses absolute links and any step above the root,
 *          also against concurrent renames;
 *        - component by component: each is opened with O_NOFOLLOW relative to the directory before it; `..` goes back to the
 *          descriptor that we came from and never asks the kernel for a parent; links are read and spliced into what is left
 *          to walk, absolute ones are refused. Every descriptor was reached from the root downwards, so none lies outside.
 *   2. The operation itself, on (directory, one component), always with O_NOFOLLOW or AT_SYMLINK_NOFOLLOW. If the last component is a
 *      link that is to be followed, it is read, put in place of the component, and step 1 starts over from the root.
 *
 * Opening a file, where it is nothing but that, is one step with openat2 (wasi_path_open), by the same argument.
 *
 * Between the steps another process may swap the component for a link: the operation does not follow it. It may move
 * the directory out of the root: then the guest still acts on a directory it had been granted, as with any descriptor.
 */
#define _GNU_SOURCE
#include "wasi_path.h"

#include "wasi_guards.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/** As many links as Linux itself follows in one path. */
#define MAX_LINKS 40
/** Most directories below the root at which the walk by components holds descriptors. */
#define MAX_DEPTH 256
/** How often a step that raced with a rename is repeated. */
#define MAX_RACES 64

static atomic_int walk_mode = WASI_WALK_AUTO;

void wasi_path_set_walk(int walk) { atomic_store(&walk_mode, walk); }

/** -1 with errno. The kernel creates files with the mode that the process's umask leaves of 0666. */
static int open_by_openat2(int root, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(unsigned)flags, .mode = (flags & O_CREAT) != 0 ? 0666 : 0, .resolve = resolve};
  for (int race = 0; race < MAX_RACES; race++) {
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0) return (int)fd;
    if (errno != EAGAIN && errno != EINTR) break;
  }
  if (errno == EXDEV) errno = EPERM;
  return -1;
}

static int open_directory_by_openat2(int root, const char *path) {
  return open_by_openat2(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC,
                         (GUARD(BENEATH) ? RESOLVE_BENEATH : 0u) | RESOLVE_NO_MAGICLINKS);
}

/** Puts a link's target before what is left to walk. Returns 0 or an errno. */
static int put_before(char *rest, size_t capacity, const char *target, size_t target_length, const char *behind) {
  size_t behind_length = strlen(behind);
  if (target_length == 0) return ENOENT;
  if (GUARD(WALK_ABSOLUTE) && target[0] == '/') return EPERM;
  if (GUARD(SPLICE_BOUND) && target_length + behind_length >= capacity) return ENAMETOOLONG;
  // `behind` lies in `rest`.
  memmove(rest + target_length, behind, behind_length + 1);
  memcpy(rest, target, target_length);
  return 0;
}

/** A walk by components. Each descriptor in `opened` was reached from the one before it, the first from the root. */
struct walk {
  int root;
  int depth;
  int opened[MAX_DEPTH];
  int links;
  int races;
  /** What is left of the path, in `rest`. */
  const char *at;
  char rest[PATH_MAX];
};

static int walk_directory(const struct walk *w) { return w->depth > 0 ? w->opened[w->depth - 1] : w->root; }

/** `..`: back to the descriptor that the walk came from. Returns 0 or an errno. */
static int walk_up(struct walk *w) {
  if (w->depth > 0) {
    close(w->opened[--w->depth]);
    return 0;
  }
  if (GUARD(WALK_PARENT)) return EPERM;
  w->opened[w->depth++] = openat(w->root, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return 0;
}

/**
 * `name` was not opened as a directory, for the reason `refusal`. If it is a symbolic link, its target takes the place
 * of `name` before `behind`. Returns 0 if the walk is to go on (with `name` once more, if that has just become
 * something else), or an errno.
 */
static int walk_link(struct walk *w, const char *name, const char *behind, int refusal) {
  char target[PATH_MAX];
  ssize_t got = readlinkat(walk_directory(w), name, target, sizeof target);
  if (got < 0) {
    if (errno != EINVAL) return errno;
    // No link either: a file, or what has become a directory meanwhile.
    struct stat st;
    if (fstatat(walk_directory(w), name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG(st.st_mode) || ++w->races > MAX_RACES) return refusal;
    return 0;
  }
  if (GUARD(LINK_BOUND) && ++w->links > MAX_LINKS) return ELOOP;
  int error = put_before(w->rest, sizeof w->rest, target, (size_t)got, behind);
  w->at = w->rest;
  return error;
}

/**
 * Into the component of `n` bytes at `at`, which is neither `.` nor `..`. Returns 0, also if the component is to be
 * tried again; or an errno.
 */
static int walk_down(struct walk *w, size_t n) {
  if ((GUARD(NAME_BOUND) && n > NAME_MAX) || (GUARD(DEPTH_BOUND) && w->depth == MAX_DEPTH)) return ENAMETOOLONG;
  char name[NAME_MAX + 1];
  memcpy(name, w->at, n);
  name[n] = 0;
  int fd = openat(walk_directory(w), name, O_PATH | O_DIRECTORY | (GUARD(WALK_NOFOLLOW) ? O_NOFOLLOW : 0) | O_CLOEXEC);
  if (fd >= 0) {
    w->opened[w->depth++] = fd;
    w->at += n;
    return 0;
  }
  if (errno == EINTR) return 0;
  if (errno != ENOTDIR && errno != ELOOP) return errno;
  return walk_link(w, name, w->at + n, errno);
}

static int open_by_components(int root, const char *path) {
  struct walk w;
  w.root = root;
  w.depth = w.links = w.races = 0;
  size_t length = strlen(path);
  if (length >= sizeof w.rest) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(w.rest, path, length + 1);
  w.at = w.rest;
  int error = 0;
  while (error == 0) {
    while (*w.at == '/') w.at++;
    if (*w.at == 0) break;
    size_t n = strcspn(w.at, "/");
    if (n == 1 && w.at[0] == '.') {
      w.at++;
    } else if (n == 2 && w.at[0] == '.' && w.at[1] == '.') {
      w.at += 2;
      error = walk_up(&w);
    } else {
      error = walk_down(&w, n);
    }
  }
  int result = -1;
  if (error == 0) {
    result = w.depth > 0 ? w.opened[--w.depth] : openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (result < 0) error = errno;
  }
  while (w.depth > 0) close(w.opened[--w.depth]);
  errno = error;
  return result;
}

static int open_beneath(int root, const char *path) {
  int mode = atomic_load_explicit(&walk_mode, memory_order_relaxed);
  if (mode != WASI_WALK_COMPONENTS) {
    int fd = open_directory_by_openat2(root, path);
    if (fd >= 0 || mode == WASI_WALK_OPENAT2) return fd;
    // No such system call, or a sandbox that forbids it (with EPERM: then it also refuses the root's own ".").
    int error = errno;
    if (error == EPERM) {
      int self = open_directory_by_openat2(root, ".");
      if (self >= 0) {
        close(self);
        errno = EPERM;
        atomic_store_explicit(&walk_mode, WASI_WALK_OPENAT2, memory_order_relaxed);
        return -1;
      }
    } else if (error != ENOSYS) {
      errno = error;
      return -1;
    }
    atomic_store_explicit(&walk_mode, WASI_WALK_COMPONENTS, memory_order_relaxed);
  }
  return open_by_components(root, path);
}

/** Length of `text` without trailing slashes (0 if there is nothing else). */
static size_t without_slashes(const char *text, size_t length) {
  while (length > 0 && text[length - 1] == '/') length--;
  return length;
}

/** Splits off the last component and opens what is before it. `*base` is where the last component starts. */
static int find(int root, const wasi_path *path, wasi_place *place, size_t *base) {
  const char *text = path->text;
  place->dir = root;
  place->owned = 0;
  if (path->length == 0) return ENOENT;
  if (GUARD(ABSOLUTE_PATH) && text[0] == '/') return EPERM;
  size_t end = without_slashes(text, path->length);
  place->must_be_dir = end < path->length;
  size_t start = end;
  while (start > 0 && text[start - 1] != '/') start--;
  size_t n = end - start;
  if (GUARD(NAME_BOUND) && n > NAME_MAX) return ENAMETOOLONG;
  memcpy(place->name, text + start, n);
  place->name[n] = 0;
  *base = start;
  size_t parent = start;
  if ((GUARD(DOT_DOT_LAST) && strcmp(place->name, "..") == 0) || strcmp(place->name, ".") == 0) {
    // No entry but a way: walk it to its end and name the directory itself.
    parent = end;
    strcpy(place->name, ".");
    place->must_be_dir = 1;
  }
  if (parent == 0) return 0;
  char prefix[PATH_MAX];
  memcpy(prefix, text, parent);
  prefix[parent] = 0;
  if (strcmp(prefix, ".") == 0) return 0;
  int fd = open_beneath(root, prefix);
  if (fd < 0) return errno;
  place->dir = fd;
  place->owned = 1;
  return 0;
}

int wasi_path_find_followed(int root, wasi_path *path, wasi_place *place) {
  for (int links = 0;; links++) {
    size_t base = 0;
    int error = find(root, path, place, &base);
    if (error != 0) return error;
    if (strcmp(place->name, ".") == 0) return 0;
    char target[PATH_MAX];
    ssize_t got = readlinkat(place->dir, place->name, target, sizeof target);
    // No link, or nothing there: the operation will see what it is.
    if (got < 0) return 0;
    int must_be_dir = place->must_be_dir;
    wasi_place_done(place);
    if (GUARD(LINK_BOUND) && links == MAX_LINKS) return ELOOP;
    if ((size_t)got == sizeof target) return ENAMETOOLONG;
    error = put_before(path->text + base, sizeof path->text - base - 1, target, (size_t)got, "");
    if (error != 0) return error;
    path->length = base + (size_t)got;
    if (must_be_dir) {
      path->text[path->length++] = '/';
      path->text[path->length] = 0;
    }
  }
}

int wasi_path_find(int root, const wasi_path *path, wasi_place *place) {
  size_t base;
  return find(root, path, place, &base);
}

/**
 * The whole path, its last component included, under the flags that keep the walk beneath the root: the kernel then
 * neither follows a link nor steps up to anywhere else, so what is opened lies beneath, in one step without a time
 * between.
 */
int wasi_path_open(int root, const wasi_path *path, int flags) {
  if (atomic_load_explicit(&walk_mode, memory_order_relaxed) == WASI_WALK_COMPONENTS || path->text[0] == '/') {
    errno = ENOSYS;
    return -1;
  }
  return open_by_openat2(root, path->text, flags, GUARD(FAST_OPEN) ? RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS : 0);
}

void wasi_place_done(wasi_place *place) {
  if (place->owned) close(place->dir);
  place->owned = 0;
}
