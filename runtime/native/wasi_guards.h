/**
 * The protections that keep a guest inside of what it was granted, by name. Each can be taken out when a test is
 * compiled (-DLUCET_GUARD_OFF=GUARD_x), to see that an attack then succeeds: scripts/wasi-mutants.ts does that with
 * every one. What can't fail a test protects nothing, or is not tested.
 */
#ifndef LUCET_WASI_GUARDS_H
#define LUCET_WASI_GUARDS_H

#define WASI_GUARDS(X)                                                               \
  /* Paths (wasi_path.c) */                                                          \
  X(BENEATH)             /* openat2 is told to stay beneath the root */              \
  X(FAST_OPEN)           /* the same flags where a file is opened by one openat2 */  \
  X(WALK_PARENT)         /* the walk refuses `..` at the root */                     \
  X(WALK_NOFOLLOW)       /* the walk opens no symbolic link */                       \
  X(WALK_ABSOLUTE)       /* a link's absolute target is refused */                   \
  X(LINK_BOUND)          /* links are followed a bounded number of times */          \
  X(DEPTH_BOUND)         /* the walk holds a bounded number of descriptors */        \
  X(ABSOLUTE_PATH)       /* absolute paths are refused */                            \
  X(DOT_DOT_LAST)        /* `..` as the last component is walked, not named */       \
  X(SPLICE_BOUND)        /* a link's target that makes the path too long */          \
  X(NAME_BOUND)          /* a component that is longer than a name can be */         \
  /* Operations on a place (wasi_fs.c) */                                            \
  X(OPEN_NOFOLLOW)       /* what is opened last is no link */                        \
  X(STAT_NOFOLLOW)       /* nor is what is looked at */                              \
  X(TIMES_NOFOLLOW)      /* nor is what gets new times */                            \
  X(SYMLINK_ABSOLUTE)    /* a guest makes no absolute links */                       \
  X(PATH_LENGTH)         /* a path fits its buffer */                                \
  X(PATH_NUL)            /* a path holds no zero byte */                             \
  X(OPEN_NONBLOCK)       /* opening a pipe does not hang the host */                 \
  /* Read-only directories */                                                        \
  X(READONLY)            /* what changes an entry or a file, and rights to do so */  \
  X(READONLY_OPEN)       /* opening to write, create or truncate */                  \
  X(READONLY_INHERIT)    /* what is opened beneath is read-only too */               \
  /* Descriptors (wasi_fd.c, wasi_io.c, wasi_dir.c) */                               \
  X(FD_BOUND)            /* numbers are checked */                                   \
  X(FD_FREE)             /* a closed descriptor is none */                           \
  X(RIGHTS)              /* a right that was not granted */                          \
  X(RIGHTS_GROW)         /* rights are only given up */                              \
  X(RIGHTS_INHERIT)      /* nothing opened has more than its directory passes on */  \
  X(FD_LIMIT)            /* number of descriptors */                                 \
  X(WRITE_LIMIT)         /* bytes written */                                         \
  X(STDIO_DIRECTORY)     /* a standard stream is never a directory to open from */   \
  X(BORROWED_FLAGS)      /* flags of the host's descriptors stay */                  \
  X(BORROWED_POSITION)   /* so does the position of a preopened directory */         \
  X(ROOT_PARENT)         /* the number of what is above the root */                  \
  /* Guest memory */                                                                 \
  X(VECTOR_BOUND)        /* the array of vectors */                                  \
  X(VECTOR_ELEMENT)      /* each vector's bytes */                                   \
  X(VECTOR_COUNT)        /* more vectors than there is room for */                   \
  X(COPY_BOUND)          /* bytes that one call has the host copy */                  \
  X(RESULT_BOUND)        /* where results go, before anything is done */             \
  X(POLL_COUNT)          /* number of subscriptions */                               \
  X(STRINGS_BOUND)       /* arguments and environment */                             \
  /* Process */                                                                      \
  X(RAISE)               /* a guest's signal is not the host's */                    \
  X(SOCKET_SIGPIPE)      /* nor is that of a broken connection */                    \
  X(PIPE_SIGPIPE)        /* nor that of a pipe which it opened itself */

enum {
  GUARD_NONE,
#define X(name) GUARD_##name,
  WASI_GUARDS(X)
#undef X
};

#ifndef LUCET_GUARD_OFF
#define LUCET_GUARD_OFF GUARD_NONE
#endif

/** 1, unless this protection was taken out. */
#define GUARD(name) (LUCET_GUARD_OFF != GUARD_##name)

#endif
