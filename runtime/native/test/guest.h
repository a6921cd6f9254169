/** An artifact around the hand-written functions of guest_x64.S. */
#ifndef LUCET_TEST_GUEST_H
#define LUCET_TEST_GUEST_H

#include <stddef.h>
#include <stdint.h>

/** Exports: function n is "f<n>", then "memory" (0), "memory1" (1), "table", "global". */
enum {
  F_ADD = 2,
  F_LOAD,
  F_UNREACHABLE,
  F_DIVIDE,
  F_RECURSE,
  F_CALL_NATIVE,
  F_CALL_HOST,
  F_GROW,
  F_FILL,
  F_LARGE,
  F_BROKEN,
  F_LOAD1,
  F_NULL_CALL,
  F_SPIN,
  F_KEEP,
  F_WAIT,
  F_TOUR,
  F_DEEP,
};

enum { TEXT_ADDRESS = 0x3000, METADATA_OFFSET = 0x1000 };

/** The file's bytes; to be freed. */
uint8_t *guest_artifact(size_t *size);
/** Make the checksum right after a change. */
void guest_seal(uint8_t *file, size_t size);

#endif
