/**
 * Guests that try to get at what they were not granted, and hosts that change things meanwhile. Each protection in
 * wasi_guards.h has an attack here that succeeds without it: scripts/wasi-mutants.ts compiles this program without each
 * of them and wants it to fail.
 *
 * The argument is an empty directory to work in. Exits with 0 if all is well; otherwise says what is not.
 */
#include "world.h"

static const struct {
  const char *name;
  void (*run)(void);
} TESTS[] = {
#define TEST(name, function) {name, function},
    ATTACKS(TEST)
#undef TEST
};

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  make_world(argv[1]);
  const int walks[] = {WASI_WALK_OPENAT2, WASI_WALK_COMPONENTS};
  for (int w = 0; w < 2; w++) {
    wasi_path_set_walk(walks[w]);
    for (size_t k = 0; k < sizeof TESTS / sizeof *TESTS; k++) {
      test_name = TESTS[k].name;
      // What hangs has failed.
      alarm(20);
      begin_guest(granted());
      TESTS[k].run();
      end_guest();
      test_name = "afterwards";
      if (k + 1 < sizeof TESTS / sizeof *TESTS) nothing_outside_changed();
    }
  }
  printf("%d checks, %d failed\n", checks, failures);
  return failures != 0;
}
