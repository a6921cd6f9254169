/**
 * Path resolution under attack. Exits with 0 if all is well; otherwise says what is not. Built with the sanitizers by
 * wasi-path.test.ts. The argument is an empty directory to work in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../native/wasi_path.h"

static int failures;
static int checks;
static char root_path[PATH_MAX];
static int root;

#define CHECK(condition, ...)                      \
  do {                                             \
    checks++;                                      \
    if (!(condition)) {                            \
      if (failures++ < 20) {                       \
        fprintf(stderr, "line %d: ", __LINE__);    \
        fprintf(stderr, __VA_ARGS__);              \
        fprintf(stderr, "\n");                     \
      }                                            \
    }                                              \
  } while (0)

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(2);
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
  close(fd);
}

static void set(wasi_path *p, const char *text) {
  p->length = strlen(text);
  must(p->length < sizeof p->text, "path length");
  memcpy(p->text, text, p->length + 1);
}

/** What came of a path: an errno, or the place as a path relative to the root ("" is the root itself). */
typedef struct outcome {
  int error;
  int must_be_dir;
  char place[PATH_MAX * 2];
} outcome;

static void resolve(int walk, const char *text, int follow, outcome *o) {
  wasi_path path;
  wasi_place place;
  set(&path, text);
  wasi_path_set_walk(walk);
  memset(o, 0, sizeof *o);
  o->error = follow ? wasi_path_find_followed(root, &path, &place) : wasi_path_find(root, &path, &place);
  if (o->error != 0) return;
  o->must_be_dir = place.must_be_dir;
  char link[64];
  char real[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", place.dir);
  ssize_t n = readlink(link, real, sizeof real - 1);
  must(n > 0, link);
  real[n] = 0;
  size_t prefix = strlen(root_path);
  int inside = strncmp(real, root_path, prefix) == 0 && (real[prefix] == 0 || real[prefix] == '/');
  CHECK(inside, "%s leads to %s", text, real);
  CHECK(strchr(place.name, '/') == NULL && place.name[0] != 0 && strcmp(place.name, "..") != 0, "%s: name %s", text, place.name);
  const char *dir = inside ? real + prefix + (real[prefix] == '/') : "?";
  if (strcmp(place.name, ".") == 0) snprintf(o->place, sizeof o->place, "%s", dir);
  else snprintf(o->place, sizeof o->place, "%s%s%s", dir, *dir != 0 ? "/" : "", place.name);
  if (follow) {
    struct stat st;
    int link_left = fstatat(place.dir, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    CHECK(!link_left, "%s: followed, but ends at the link %s", text, o->place);
  }
  wasi_place_done(&place);
}

struct expectation {
  const char *path;
  int follow;
  int error;
  const char *place;
};

static const struct expectation expectations[] = {
    {"file", 0, 0, "file"},
    {"a/b/c/deep", 0, 0, "a/b/c/deep"},
    {"./a/./b/../b//c/deep", 0, 0, "a/b/c/deep"},
    {"a/b/..", 0, 0, "a"},
    {"a/..", 0, 0, ""},
    {".", 0, 0, ""},
    {"./", 0, 0, ""},
    {"a/b/c/../../..", 0, 0, ""},
    {"new", 0, 0, "new"},
    {"a/new/", 0, 0, "a/new"},
    {"missing/new", 0, ENOENT, NULL},
    {"file/x", 0, ENOTDIR, NULL},
    {"file/..", 0, ENOTDIR, NULL},
    {"file/.", 0, ENOTDIR, NULL},
    {"", 0, ENOENT, NULL},

    // Out of the root.
    {"..", 0, EPERM, NULL},
    {"../", 0, EPERM, NULL},
    {"../root/file", 0, EPERM, NULL},
    {"../outside/secret", 0, EPERM, NULL},
    {"a/../../outside/secret", 0, EPERM, NULL},
    {"a/b/c/../../../../outside/secret", 0, EPERM, NULL},
    {"a/b/../../..", 0, EPERM, NULL},
    {"/", 0, EPERM, NULL},
    {"/etc/passwd", 0, EPERM, NULL},
    {"//etc/passwd", 0, EPERM, NULL},

    // Symbolic links on the way are followed, inside.
    {"to-b/c/deep", 0, 0, "a/b/c/deep"},
    {"a/to-root/a/b", 0, 0, "a/b"},
    {"self/self/self/file", 0, 0, "file"},
    {"to-b/..", 0, 0, "a"},
    {"to-b/../../file", 0, 0, "file"},
    {"to-b/../../../outside", 0, EPERM, NULL},
    {"up/secret", 0, EPERM, NULL},
    {"up", 1, EPERM, NULL},
    {"up/", 1, EPERM, NULL},
    {"a/up2/secret", 0, EPERM, NULL},
    {"absolute/passwd", 0, EPERM, NULL},
    {"absolute", 1, EPERM, NULL},
    {"absolute-root/file", 0, EPERM, NULL},
    {"loop1/x", 0, ELOOP, NULL},
    {"loop1", 1, ELOOP, NULL},
    {"selfloop", 1, ELOOP, NULL},

    // As the last component they are followed only when asked for.
    {"up", 0, 0, "up"},
    {"absolute", 0, 0, "absolute"},
    {"loop1", 0, 0, "loop1"},
    {"to-deep", 0, 0, "to-deep"},
    {"to-deep", 1, 0, "a/b/c/deep"},
    {"to-b", 1, 0, "a/b"},
    {"to-b/", 1, 0, "a/b"},
    {"to-to-deep", 1, 0, "a/b/c/deep"},
    {"dangling", 1, 0, "nowhere"},
    {"dangling2", 1, ENOENT, NULL},
    {"to-dotdot-file", 1, 0, "file"},
    {"a/climb", 1, EPERM, NULL},
    {"a/climb-in", 1, 0, "file"},

    // Names that only look like ways.
    {"...", 0, 0, "..."},
    {"..a", 0, 0, "..a"},
    {"a/..b", 0, 0, "a/..b"},
    {"a\\..\\..\\x", 0, 0, "a\\..\\..\\x"},
};

static void check_expectations(int walk) {
  for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
    const struct expectation *e = &expectations[i];
    outcome o;
    resolve(walk, e->path, e->follow, &o);
    CHECK(o.error == e->error, "walk %d: %s (follow %d): %s, expected %s", walk, e->path, e->follow, strerror(o.error), strerror(e->error));
    if (o.error == 0 && e->error == 0) CHECK(strcmp(o.place, e->place) == 0, "walk %d: %s: '%s', expected '%s'", walk, e->path, o.place, e->place);
    size_t n = strlen(e->path);
    if (o.error == 0 && n > 0 && e->path[n - 1] == '/') CHECK(o.must_be_dir, "%s: must be a directory", e->path);
  }
}

static void check_lengths(int walk) {
  char text[PATH_MAX];
  outcome o;
  // Names: 255 bytes fit, 256 do not, first or last.
  memset(text, 'n', NAME_MAX);
  text[NAME_MAX] = 0;
  resolve(walk, text, 0, &o);
  CHECK(o.error == 0, "a name of 255 bytes: %s", strerror(o.error));
  strcpy(text + NAME_MAX, "n");
  resolve(walk, text, 0, &o);
  CHECK(o.error == ENAMETOOLONG, "a name of 256 bytes: %s", strerror(o.error));
  strcpy(text + NAME_MAX + 1, "/x");
  resolve(walk, text, 0, &o);
  CHECK(o.error == ENAMETOOLONG, "a directory of 256 bytes: %s", strerror(o.error));
  // The longest path there can be.
  memset(text, '/', sizeof text);
  for (size_t i = 0; i < sizeof text - 1; i += 2) text[i] = '.';
  text[sizeof text - 1] = 0;
  resolve(walk, text, 0, &o);
  CHECK(o.error == 0 && o.place[0] == 0, "./././…: %s", strerror(o.error));
  resolve(walk, text, 1, &o);
  CHECK(o.error == 0 && o.place[0] == 0, "./././… followed: %s", strerror(o.error));
  // A link whose target does not fit in front of what is left.
  memset(text, '/', sizeof text);
  memcpy(text, "to-long/", 8);
  for (size_t i = 8; i < sizeof text - 1; i += 2) text[i] = '.';
  text[sizeof text - 1] = 0;
  resolve(WASI_WALK_COMPONENTS, text, 0, &o);
  CHECK(o.error == ENAMETOOLONG, "spliced beyond the limit: %s", strerror(o.error));
  resolve(walk, "to-long", 1, &o);
  CHECK(o.error == 0, "a long link: %s", strerror(o.error));
  resolve(walk, "a/../self/self/self/to-long/", 1, &o);
  CHECK(o.error == 0, "a long link behind links: %s", strerror(o.error));
}

/** Exactly 40 links are followed, not 41: as the last component, and on the way. */
static void check_chains(int walk) {
  outcome o;
  resolve(walk, "chain40", 1, &o);
  CHECK(o.error == 0 && strcmp(o.place, "a") == 0, "40 links: %s %s", strerror(o.error), o.place);
  resolve(walk, "chain41", 1, &o);
  CHECK(o.error == ELOOP, "41 links: %s", strerror(o.error));
  resolve(walk, "chain40/b", 0, &o);
  CHECK(o.error == 0, "40 links on the way: %s", strerror(o.error));
  resolve(walk, "chain41/b", 0, &o);
  CHECK(o.error == ELOOP, "41 links on the way: %s", strerror(o.error));
}

static unsigned seed = 1;
static unsigned random_below(unsigned n) {
  seed = seed * 1103515245 + 12345;
  return (seed >> 16) % n;
}

/**
 * The kernel's walk and ours must agree on any path. (Not on which error comes first where links are close to the
 * limit: the kernel counts those of an abandoned first attempt too.)
 */
static void compare_walks(int rounds) {
  static const char *const words[] = {"a",  "b",    "c",  "deep",     "file", "..",   "..",        ".",       "",     "to-b",   "self",   "up",
                                      "a/b", "up2", "to-root", "absolute", "loop1", "climb", "to-deep", "dangling", "climb-in", "nowhere", "..", "chain9"};
  int found = 0;
  for (int round = 0; round < rounds; round++) {
    char text[PATH_MAX] = "";
    int n = 1 + (int)random_below(7);
    for (int i = 0; i < n; i++) {
      if (i > 0) strcat(text, "/");
      strcat(text, words[random_below(sizeof words / sizeof *words)]);
    }
    if (random_below(5) == 0) strcat(text, "/");
    int follow = (int)random_below(2);
    outcome kernel;
    outcome ours;
    resolve(WASI_WALK_OPENAT2, text, follow, &kernel);
    resolve(WASI_WALK_COMPONENTS, text, follow, &ours);
    CHECK(kernel.error == ours.error && strcmp(kernel.place, ours.place) == 0 && kernel.must_be_dir == ours.must_be_dir,
          "'%s' (follow %d): openat2 %s '%s', components %s '%s'", text, follow, strerror(kernel.error), kernel.place, strerror(ours.error),
          ours.place);
    if (ours.error == 0) found++;
  }
  CHECK(found > rounds / 10, "only %d of %d paths led anywhere", found, rounds);
}

static atomic_int stop;

/** Another process that swaps a directory for a link out of the root, again and again. */
static void *swap(void *unused) {
  (void)unused;
  while (!atomic_load(&stop)) {
    must(renameat2(root, "swap", root, "swap-link", RENAME_EXCHANGE) == 0, "exchange");
  }
  return NULL;
}

static void check_race(int walk, int rounds) {
  pthread_t thread;
  atomic_store(&stop, 0);
  must(pthread_create(&thread, NULL, swap, NULL) == 0, "thread");
  wasi_path_set_walk(walk);
  int opened = 0;
  int refused = 0;
  // On a busy machine the swapping thread may not run for a while: until both outcomes were seen, within reason.
  for (int i = 0; i < rounds || ((opened == 0 || refused == 0) && i < 300 * rounds); i++) {
    wasi_path path;
    wasi_place place;
    set(&path, "swap/secret");
    int error = wasi_path_find_followed(root, &path, &place);
    if (error != 0) {
      refused++;
      CHECK(error == EPERM || error == EAGAIN, "race: %s", strerror(error));
      continue;
    }
    int fd = openat(place.dir, place.name, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0) {
      char text[8] = "";
      must(read(fd, text, 6) > 0, "read");
      CHECK(strcmp(text, "inside") == 0, "race: read '%s'", text);
      close(fd);
      opened++;
    }
    wasi_place_done(&place);
  }
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
  CHECK(opened > 0 && refused > 0, "race: opened %d, refused %d: nothing was tried", opened, refused);
}

static int open_descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void make_tree(void) {
  must(mkdir("outside", 0700) == 0, "outside");
  write_file("outside/secret", "secret");
  must(mkdir("root", 0700) == 0 && chdir("root") == 0, "root");
  must(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0 && mkdir("a/b/c", 0700) == 0, "directories");
  write_file("file", "inside");
  write_file("a/b/c/deep", "inside");
  must(mkdir("swap", 0700) == 0, "swap");
  write_file("swap/secret", "inside");
  char absolute[PATH_MAX + 8];
  must(getcwd(root_path, sizeof root_path) != NULL, "getcwd");
  snprintf(absolute, sizeof absolute, "%s", root_path);
  const char *links[][2] = {
      {"a/b", "to-b"}, {"..", "a/to-root"}, {".", "self"}, {"../outside", "up"}, {"../../outside", "a/up2"},
      {"/etc", "absolute"}, {absolute, "absolute-root"}, {"loop2", "loop1"}, {"loop1", "loop2"}, {"selfloop", "selfloop"},
      {"a/b/c/deep", "to-deep"}, {"to-deep", "to-to-deep"}, {"nowhere", "dangling"}, {"nowhere/x", "dangling2"},
      {"a/../file", "to-dotdot-file"}, {"../../outside/secret", "a/climb"}, {"../file", "a/climb-in"}, {"../outside", "swap-link"},
      {"a", "chain1"},
  };
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) must(symlink(links[i][0], links[i][1]) == 0, links[i][1]);
  for (int i = 2; i <= 41; i++) {
    char target[32];
    char name[32];
    snprintf(target, sizeof target, "chain%d", i - 1);
    snprintf(name, sizeof name, "chain%d", i);
    must(symlink(target, name) == 0, name);
  }
  char target[4000];
  memset(target, '/', sizeof target);
  for (size_t i = 0; i < sizeof target - 1; i += 2) target[i] = '.';
  target[sizeof target - 1] = 0;
  must(symlink(target, "to-long") == 0, "to-long");
  root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(root >= 0, "root");
}

int main(int argc, char **argv) {
  must(argc == 2 && chdir(argv[1]) == 0, "usage: wasi-path-test DIRECTORY");
  make_tree();
  int before = open_descriptors();
  outcome o;
  resolve(WASI_WALK_AUTO, "a/b/c/../../../../outside/secret", 0, &o);
  CHECK(o.error == EPERM, "auto: %s", strerror(o.error));
  for (int walk = WASI_WALK_OPENAT2; walk <= WASI_WALK_COMPONENTS; walk++) {
    check_expectations(walk);
    check_lengths(walk);
    check_chains(walk);
    check_race(walk, 3000);
  }
  compare_walks(10000);
  CHECK(open_descriptors() == before, "descriptors: %d before, %d after", before, open_descriptors());
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
