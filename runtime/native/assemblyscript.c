/**
 * What AssemblyScript's programs ask of any host when they give up: env.abort(message, fileName, line, column). Strings
 * are references to its objects: UTF-16, with their length in bytes in the four bytes in front (AssemblyScript's
 * "memory layout": rtSize).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "lucet.h"

/**
 * Units of UTF-16 that are told of a string. The reference and the length are the guest's word; neither may cost us.
 */
enum { MOST_UNITS = 2000 };
_Static_assert(2 * (3 * MOST_UNITS + 8) + 64 <= LUCET_ASSEMBLYSCRIPT_TOLD, "two strings, three bytes for each unit, and what stands around them");

/**
 * What guests said as they aborted, until somebody asks. Nobody has to: of those that nobody asks for, the oldest make
 * room, so that guests which abort again and again cost no more than this many messages.
 */
enum { NOTES = 64 };
static struct {
  const lucet_instance *instance;
  char *text;
} notes[NOTES];
static unsigned next_note;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/** Takes over `text`. */
static void keep(const lucet_instance *instance, char *text) {
  char *old;
  pthread_mutex_lock(&lock);
  unsigned at = next_note;
  for (unsigned k = 0; k < NOTES; k++)
    if (notes[k].instance == instance) at = k;
  if (at == next_note) next_note = (next_note + 1) % NOTES;
  old = notes[at].text;
  notes[at].instance = instance;
  notes[at].text = text;
  pthread_mutex_unlock(&lock);
  free(old);
}

size_t lucet_assemblyscript_told(const lucet_instance *instance, char *text) {
  char *found = NULL;
  pthread_mutex_lock(&lock);
  for (unsigned k = 0; k < NOTES && found == NULL; k++) {
    if (notes[k].instance != instance) continue;
    found = notes[k].text;
    notes[k].instance = NULL;
    notes[k].text = NULL;
  }
  pthread_mutex_unlock(&lock);
  if (found == NULL) return 0;
  size_t length = strlen(found);
  memcpy(text, found, length + 1);
  free(found);
  return length;
}

/** As UTF-8; a zero, and a surrogate without its other half, become U+FFFD. @returns its end */
static char *put_unit(char *to, uint32_t c) {
  if (c < 0x80) {
    *to++ = (char)c;
    return to;
  }
  if (c < 0x800) {
    *to++ = (char)(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      *to++ = (char)(0xe0 | c >> 12);
    } else {
      *to++ = (char)(0xf0 | c >> 18);
      *to++ = (char)(0x80 | (c >> 12 & 0x3f));
    }
    *to++ = (char)(0x80 | (c >> 6 & 0x3f));
  }
  *to++ = (char)(0x80 | (c & 0x3f));
  return to;
}

/**
 * A string of the guest's; nothing if there is none where it says. A pair of units takes four bytes, a single one at
 * most three. @returns its end
 */
static char *put_string(char *to, lucet_vmctx *vm, uint32_t at) {
  uint32_t bytes;
  const void *header = at >= sizeof bytes ? lucet_vmctx_memory(vm, at - sizeof bytes, sizeof bytes) : NULL;
  if (header == NULL) return to;
  memcpy(&bytes, header, sizeof bytes);
  uint32_t units = bytes / 2;
  bool cut = units > MOST_UNITS;
  if (cut) units = MOST_UNITS;
  const uint8_t *from = lucet_vmctx_memory(vm, at, 2 * (uint64_t)units);
  if (from == NULL) return to;
  for (uint32_t k = 0; k < units; k++) {
    uint32_t c = from[2 * k] | (uint32_t)from[2 * k + 1] << 8;
    if ((c & 0xfc00) == 0xd800 && k + 1 < units && (from[2 * k + 3] & 0xfc) == 0xdc) {
      uint32_t low = from[2 * k + 2] | (uint32_t)from[2 * k + 3] << 8;
      c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
      k++;
    } else if (c == 0 || (c & 0xf800) == 0xd800) {
      c = 0xfffd;
    }
    to = put_unit(to, c);
  }
  return cut ? put_unit(to, 0x2026) : to;
}

static void abort_guest(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  char told[LUCET_ASSEMBLYSCRIPT_TOLD], *to = put_string(told, vm, (uint32_t)args[0]);
  const char *between = to > told ? ", at " : "at ";
  to = stpcpy(to, between);
  char *file = to;
  to = put_string(to, vm, (uint32_t)args[1]);
  if (to == file) to = stpcpy(to, "an unknown file");
  sprintf(to, ":%u:%u", (uint32_t)args[2], (uint32_t)args[3]);
  // Without memory for it, it traps all the same.
  keep(lucet_vmctx_instance(vm), strdup(told));
  lucet_vmctx_trap(vm, LUCET_TRAP_UNREACHABLE);
}

lucet_host_function lucet_assemblyscript_lookup(const char *module, const char *name, const char **signature) {
  if (strcmp(module, "env") != 0 || strcmp(name, "abort") != 0) return NULL;
  if (signature != NULL) *signature = "iiii:";
  return abort_guest;
}
