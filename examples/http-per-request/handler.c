/**
 * Handles one HTTP request and ends: the request on stdin ("METHOD PATH\n", then the body), the response on stdout
 * ("STATUS TYPE\n", then the body). Every request gets a new instance of this program: whatever one leaves in memory,
 * the next never sees.
 */
#include <stdio.h>
#include <string.h>

static char body[1 << 16];
/** Were there a second request in the same instance, this would tell. */
static int requests;

int main(void) {
  char method[8] = "", path[1024] = "";
  if (scanf("%7s %1023s", method, path) != 2 || getchar() != '\n') {
    puts("400 text/plain\nbad request");
    return 0;
  }
  size_t length = fread(body, 1, sizeof body, stdin);
  if (strcmp(path, "/crash") == 0) return *(volatile int *)0x7fffffff;
  unsigned words = 0, letters = 0;
  unsigned hash = 2166136261u;
  for (size_t k = 0, inside = 0; k < length; k++) {
    unsigned char c = (unsigned char)body[k];
    int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    words += letter && !inside;
    letters += letter;
    inside = letter;
    hash = (hash ^ c) * 16777619u;
  }
  printf("200 application/json\n{\"path\":\"%s\",\"request\":%d,\"words\":%u,\"letters\":%u,\"hash\":%u}", path, ++requests, words, letters, hash);
  return 0;
}
