/** Path resolution that cannot leave a directory: see wasi_path.c. Depends on nothing else of Lucet. */
#ifndef LUCET_WASI_PATH_H
#define LUCET_WASI_PATH_H

#include <limits.h>
#include <stddef.h>

/** A path as the guest gave it, terminated. */
typedef struct wasi_path {
  size_t length;
  char text[PATH_MAX];
} wasi_path;

/**
 * Where a path leads: an entry `name` of an open directory. `name` is one component, or "." for the directory itself.
 */
typedef struct wasi_place {
  int dir;
  /** `dir` is to be closed. */
  int owned;
  /** The path ended with a slash: only a directory will do. */
  int must_be_dir;
  char name[NAME_MAX + 1];
} wasi_place;

/**
 * Finds the place of `path` beneath the directory `root`. The last component may be missing, and a symbolic link in its
 * place is not followed, not even before a trailing slash. Returns 0 or an errno; EPERM: the path leads out of `root`.
 * On success give the place back with wasi_place_done.
 */
int wasi_path_find(int root, const wasi_path *path, wasi_place *place);

/**
 * The same, with a symbolic link as the last component followed. What it points to may be missing. `path` is rewritten
 * on the way.
 */
int wasi_path_find_followed(int root, wasi_path *path, wasi_place *place);

/**
 * Opens what `path` leads to with openat2: -1 with errno, ENOSYS where that is not to be used. `flags` as for open;
 * with O_NOFOLLOW a link as the last component is refused, else followed.
 */
int wasi_path_open(int root, const wasi_path *path, int flags);

void wasi_place_done(wasi_place *place);

/** How directories are walked. For tests; the default is to use openat2 if the kernel has it. */
enum { WASI_WALK_AUTO = 0, WASI_WALK_OPENAT2 = 1, WASI_WALK_COMPONENTS = 2 };
void wasi_path_set_walk(int walk);

#endif
