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
  F_MODES,
  F_CHECK,
  F_CALL_MODES,
  F_STORE,
};

enum { TEXT_ADDRESS = 0x3000, METADATA_OFFSET = 0x1000 };

/** What differs between guests that are made of the same code. */
struct guest_options {
  /** lucet_artifact_header.memory_mode. Dense: although the code has no checks. For tests that stay within bounds. */
  uint32_t memory_mode;
  /** Pages of memory 0 at the start; it may grow by two. */
  uint32_t pages;
  /** Of the active data segment, whose bytes are 1, 2, 3, ... */
  uint32_t data_offset;
  uint32_t data_length;
  /** lucet_artifact_header.flags */
  uint64_t flags;
};
/** guarded, 1 page, 4 bytes of data at 8 */
extern const struct guest_options GUEST_PLAIN;

/** The file's bytes; to be freed. */
uint8_t *guest_artifact_of(const struct guest_options *o, size_t *size);
uint8_t *guest_artifact(size_t *size);
/** Make the checksum right after a change. */
void guest_seal(uint8_t *file, size_t size);

#endif
