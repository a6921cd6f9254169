// Strings, arrays of them, matrices, arrays of variable length.
#include "show.h"
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"alpha", "beta", "gamma \"quoted\""};
static char buffer[32] = "static";

static size_t count(const char *s, char c) {
  size_t n = 0;
  const char *start = s;
  for (; *s; s++)
    if (*s == c)
      n++;
  AT(count); // #BP count
  S(start), T(s, "\"\""), C(c), U(n);
  return n;
}

static int trace(int n, int m[n][n]) {
  int diagonal = 0, sizes[n];
  for (int i = 0; i < n; i++) {
    diagonal += m[i][i];
    sizes[i] = i * i;
  }
  AT(trace); // #BP trace
  I(n), I(diagonal), I(m[0][0]), I(sizes[0]), I(sizes[1]), I(sizes[2]);
  return diagonal + sizes[n - 1];
}

int main(int argc, char **argv) {
  char local[16];
  strcpy(local, "local");
  char *heap = malloc(64);
  strcpy(heap, "on the heap, tab\t");
  char letter = 'z';
  unsigned char raw[3] = {1, 0, 200};
  char *list[3] = {local, heap, NULL};
  int matrix[3][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  size_t as = count(words[0], 'a');
  int t = trace(3, matrix);
  strcat(buffer, "+more");
  AT(main); // #BP main
  I(argc), S(argv[0]), S(local), T(heap, "\"on the heap, tab\\t\""), C(letter), U(raw[2]), S(list[0]), T(list[2], "null"), I(matrix[1][2]), I(matrix[2][0]);
  U(sizeof(matrix)), U(sizeof(char *)), AS("local == \"local\"", !strcmp(local, "local")), AS("words[0] != \"beta\"", strcmp(words[0], "beta") != 0);
  AS("list[2] == \"\"", list[2] != NULL), AS("argv[0] == \"text.wasm\" && matrix[1][1] == 5", !strcmp(argv[0], "text.wasm") && matrix[1][1] == 5);
  printf("heap,3=\"on \"\nmatrix[1],2=[%d, %d]\nraw[2],x=0x%x\nraw[0],b=0b1\n", matrix[1][0], matrix[1][1], raw[2]);
  U(as), I(t), S(buffer), S(words[1]), T(words[2], "\"gamma \\\"quoted\\\"\"");
  return 0;
}
