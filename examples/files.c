// Counts the words of a file and writes a report beside it: everything goes through a folder the host granted.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: files INPUT OUTPUT\n");
    return 2;
  }
  FILE *in = fopen(argv[1], "r");
  if (!in) {
    perror(argv[1]);
    return 1;
  }
  long lines = 0, words = 0, bytes = 0;
  int in_word = 0;
  for (int c; (c = fgetc(in)) != EOF;) {
    bytes++;
    if (c == '\n') lines++;
    if (isspace(c)) {
      in_word = 0;
    } else if (!in_word) {
      in_word = 1;
      words++;
    }
  }
  fclose(in);
  FILE *out = fopen(argv[2], "w");
  if (!out) {
    perror(argv[2]);
    return 1;
  }
  fprintf(out, "%ld lines, %ld words, %ld bytes\n", lines, words, bytes);
  if (fclose(out) != 0) {
    perror(argv[2]);
    return 1;
  }
  printf("wrote %s: %ld lines, %ld words, %ld bytes\n", argv[2], lines, words, bytes);
  return 0;
}
