/**
 * What JavaScript does for lucet-wasi: compiling, verifying signatures, and reading debug information. It is
 * dist/lucet-wasi-helper.cjs beside this executable's directory, run by the `node` on the PATH ($LUCET_NODE names
 * another). Nothing else ever starts it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const char *node(void) {
  const char *named = getenv("LUCET_NODE");
  return named != NULL && named[0] != 0 ? named : "node";
}

/** Path of the script; NULL: it isn't there. */
static const char *script(void) {
  // Beside <dist>/native/lucet-wasi, and for a copy in a folder beside dist.
  static const char *const places[] = {"/lucet-wasi-helper.cjs", "/dist/lucet-wasi-helper.cjs"};
  static char path[PATH_MAX + 40];
  if (path[0] != 0) return path;
  ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
  if (n <= 0) return NULL;
  path[n] = 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(path, '/');
    if (slash == NULL) return NULL;
    *slash = 0;
  }
  size_t end = strlen(path);
  for (int k = 0; k < 2; k++) {
    strcpy(path + end, places[k]);
    if (access(path, R_OK) == 0) return path;
  }
  path[0] = 0;
  return NULL;
}

bool helper_found(void) { return script() != NULL; }

/** What it says when its descriptor 4 holds the module that it is about to compile. */
static const char MODULE[] = "module\n";

/**
 * Runs it: what it is told on stdin (NULL: ours), what it says on its descriptor 3, and its descriptor 4 (-1: none).
 * `look` is called when that holds a module. Exit status, or -1.
 */
static int run(const char *const *args, const char *input, size_t input_length, int extra, const struct module_check *look, char *answer, size_t answer_room) {
  const char *argv[16] = {node(), script()};
  for (int k = 0; args[k] != NULL; k++) argv[2 + k] = args[k];
  int in[2] = {-1, -1}, out[2];
  if (pipe2(out, O_CLOEXEC) != 0 || (input != NULL && pipe2(in, O_CLOEXEC) != 0)) return -1;
  pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    // Above all that is given a number below.
    if (extra >= 0) extra = fcntl(extra, F_DUPFD, 16);
    int answers = fcntl(out[1], F_DUPFD_CLOEXEC, 16);
    // Whoever kills us means the whole run.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (input != NULL) dup2(in[0], 0);
    // What it prints is ours to say: the guest's output has its own descriptor.
    dup2(2, 1);
    dup2(answers, 3);
    if (extra >= 0) dup2(extra, 4);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  close(out[1]);
  if (input != NULL) {
    close(in[0]);
    // It may end before it has read everything.
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    for (size_t at = 0; at < input_length;) {
      ssize_t n = write(in[1], input + at, input_length - at);
      if (n < 0 && errno != EINTR) break;
      if (n > 0) at += (size_t)n;
    }
    signal(SIGPIPE, old);
    close(in[1]);
  }
  size_t got = 0;
  while (got + 1 < answer_room) {
    ssize_t n = read(out[0], answer + got, answer_room - 1 - got);
    if (n == 0 || (n < 0 && errno != EINTR)) break;
    if (n > 0) got += (size_t)n;
    if (look == NULL || got < sizeof MODULE - 1 || memcmp(answer, MODULE, sizeof MODULE - 1) != 0) continue;
    got -= sizeof MODULE - 1;
    memmove(answer, answer + sizeof MODULE - 1, got);
    // A signal that ends this process ends the helper as well.
    look->check(extra, look);
    look = NULL;
  }
  answer[got] = 0;
  close(out[0]);
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *helper_compile(const char *source, int opt_level, bool count_instructions, bool cache, const char *public_key, const struct module_check *look, bool *temporary) {
  if (!helper_found()) fail("%s has to be compiled first, and the compiler is not beside this executable: lucetc-wasi %s -o module.so", source, source);
  char level[2] = {(char)('0' + opt_level), 0};
  const char *const args[] = {"compile", source, level, cache ? "cache" : "no-cache", count_instructions ? "count" : "plain", public_key != NULL ? public_key : "", look != NULL ? "module" : "", NULL};
  // "cached PATH" or "temporary PATH"
  char *answer = allocate(PATH_MAX + 16);
  // Without memory for it, imports are looked at when it is compiled.
  int module = look == NULL ? -1 : memfd_create("module", MFD_CLOEXEC);
  int status = run(args, NULL, 0, module, module < 0 ? NULL : look, answer, PATH_MAX + 16);
  if (module >= 0) close(module);
  if (status == 127) fail("%s has to be compiled first, which takes Node.js, and there is no %s", source, node());
  char *space = strchr(answer, ' ');
  // It has told why.
  if (status != 0 || space == NULL) exit(EXIT_ERROR);
  *temporary = strncmp(answer, "temporary ", 10) == 0;
  return space + 1;
}

void helper_verify(const char *path, const uint8_t *bytes, size_t length, const char *public_key) {
  if (!helper_found()) fail("--signature-verify: what verifies signatures (lucet-wasi-helper.cjs) is not beside this executable");
  // Only what is verified is loaded: the helper gets a copy of these bytes, not the path.
  int copy = memfd_create("artifact", MFD_CLOEXEC);
  if (copy < 0) fail("--signature-verify: no memory for the module: %s", strerror(errno));
  for (size_t at = 0; at < length;) {
    ssize_t n = pwrite(copy, bytes + at, length - at, (off_t)at);
    if (n < 0 && errno != EINTR) fail("--signature-verify: no memory for the module: %s", strerror(errno));
    if (n > 0) at += (size_t)n;
  }
  char answer[16];
  const char *const args[] = {"verify", path, public_key, NULL};
  int status = run(args, NULL, 0, copy, NULL, answer, sizeof answer);
  close(copy);
  if (status == 127) fail("--signature-verify takes Node.js, and there is no %s", node());
  // The helper has printed why. If it failed in any other way, nothing has been verified.
  if (status != 0 || strcmp(answer, "verified") != 0) exit(EXIT_ERROR);
}

bool helper_report(const char *json, size_t length, int memory, const char *json_path, const char *core_path, const struct report_style *style) {
  if (!helper_found()) return false;
  char answer[16];
  const char *const args[] = {"report",
                              style->color ? "color" : "plain",
                              style->full ? "full" : "short",
                              json_path != NULL ? json_path : "",
                              core_path != NULL ? core_path : "",
                              memory >= 0 ? "memory" : "",
                              NULL};
  return run(args, json, length, memory, NULL, answer, sizeof answer) == 0;
}
