// Sorts the lines of stdin by their bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(void) {
  size_t capacity = 1 << 20, length = 0, count = 0, room = 1 << 16;
  char *bytes = malloc(capacity + 1);
  for (ssize_t n; (n = read(0, bytes + length, capacity - length)) > 0;) {
    length += n;
    if (length == capacity) bytes = realloc(bytes, (capacity *= 2) + 1);
    if (bytes == NULL) return 2;
  }
  bytes[length] = 0;
  char **lines = malloc(room * sizeof *lines);
  for (char *at = bytes; *at != 0;) {
    if (count == room) lines = realloc(lines, (room *= 2) * sizeof *lines);
    if (lines == NULL) return 2;
    lines[count++] = at;
    at = strchr(at, '\n');
    if (at == NULL) return 3;
    *at++ = 0;
  }
  qsort(lines, count, sizeof *lines, compare);
  for (size_t k = 0; k < count; k++) puts(lines[k]);
  return fflush(stdout);
}
