/** What the attacks on WASI share: checks, the guest, and the world around it (world.c). */
#ifndef LUCET_WASI_ATTACK_H
#define LUCET_WASI_ATTACK_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../wasi_host.h"

/** Each is run by a guest of its own, in this order: the last one spoils the world. */
#define ATTACKS(X) \
  X("ways out", ways_out) \
  X("last component", last_component) \
  X("absolute paths", absolute_paths) \
  X("endless links", endless_links) \
  X("names", names) \
  X("trailing slashes", trailing_slashes) \
  X("long ways", long_ways) \
  X("/proc", proc_tricks) \
  X("pipes and devices", pipes_and_devices) \
  X("across preopens", across_preopens) \
  X("read-only", readonly) \
  X("descriptors", descriptors) \
  X("rights", rights) \
  X("borrowed", borrowed) \
  X("cookies", cookies) \
  X("devices", devices) \
  X("limits", limits) \
  X("exhaustion", exhaustion) \
  X("vectors", vectors) \
  X("more than there is", more_than_there_is) \
  X("pointers", pointers) \
  X("process", process) \
  X("sockets", sockets) \
  X("reuse", reuse) \
  X("races", races) \
  X("everything everywhere", everything_everywhere)

#define DECLARE(name, function) void function(void);
ATTACKS(DECLARE)
#undef DECLARE

extern int failures, checks;
extern const char *test_name;


#define CHECK(condition)                                                          \
  do {                                                                            \
    checks++;                                                                     \
    if (!(condition) && failures++ < 20) fprintf(stderr, "%s: line %d: %s\n", test_name, __LINE__, #condition); \
  } while (0)
#define IS(call, expected)                                                        \
  do {                                                                            \
    int got_ = (call);                                                            \
    checks++;                                                                     \
    if (got_ != (int)(expected) && failures++ < 20)                               \
      fprintf(stderr, "%s: line %d: %s is %d, not %s\n", test_name, __LINE__, #call, got_, #expected); \
  } while (0)

void must(int ok, const char *what);

/* ------------------------------------------------------------------------------------------------------------- The world */

enum { MEMORY = 1 << 20, READ = 1 << 1, ALL = -1 };
#define EVERYTHING ((uint64_t)ALL & ((UINT64_C(1) << 30) - 1))

/** What a directory can be opened with. */
#define LOOKING (EVERYTHING & ~(uint64_t)(WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE))

/** Descriptors of the guest: what is below is granted in this order. */
enum { D = 3, RO = 4, E = 5, FREE = 6 };


/** Directory to work in. */
extern char work[PATH_MAX];
extern lucet_vmctx vm;
/** Where the next bytes go. A test that puts many sets it back. */
extern uint32_t next_free;
/** The host's descriptor of what the guest has as D. */
extern int d_fd;

/** Puts bytes where the guest has them: their address. */
uint32_t put(const void *bytes, size_t length);
/** The same for zeros. */
uint32_t room(uint32_t length);
uint32_t load32(uint32_t at);

#define S(text) put(text, strlen(text)), strlen(text)

void write_file(const char *path, const char *text);
int file_is(const char *path, const char *text);
int exists(const char *path);
void make_world(const char *dir);
/** What guests get unless a test has its own. */
lucet_wasi_template *granted(void);
void begin_guest(lucet_wasi_template *t);
void end_guest(void);

/** path_open with all rights: a descriptor, or -errno. */
int open_at(int dir, int follow, const char *path, int oflags, uint64_t rights);

enum { CREATE = WASI_OFLAG_CREAT, DIRECTORY = WASI_OFLAG_DIRECTORY, EXCLUSIVE = WASI_OFLAG_EXCL, TRUNCATE = WASI_OFLAG_TRUNC };

int close_guest(int fd);
/** fd_write or fd_read of one vector: bytes moved, or -errno. */
int move(const char *function, int fd, uint32_t at, uint32_t length);
void nothing_outside_changed(void);

#endif
