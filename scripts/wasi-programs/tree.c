// Makes a tree of 10,000 files, walks it, rewrites every file beside itself and renames it into place, and removes
// every tenth.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static int files, directories, removed;

static void rewrite(const char *path) {
  char text[256], temporary[1100];
  int fd = open(path, O_RDONLY);
  must(fd >= 0, path);
  ssize_t n = read(fd, text, sizeof text);
  must(n > 0, path);
  close(fd);
  for (ssize_t k = 0; k < n; k++)
    if (text[k] >= 'a' && text[k] <= 'z') text[k] -= 32;
  snprintf(temporary, sizeof temporary, "%s.new", path);
  fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
  must(fd >= 0 && write(fd, text, n) == n, temporary);
  close(fd);
  must(rename(temporary, path) == 0, path);
}

static void walk(const char *path) {
  DIR *dir = opendir(path);
  must(dir != NULL, path);
  directories++;
  // The directory changes while it is read: what was there at the start comes exactly once, but new names may come too.
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (e->d_name[0] == '.' || strstr(e->d_name, ".new") != NULL) continue;
    char below[1024];
    snprintf(below, sizeof below, "%s/%s", path, e->d_name);
    struct stat st;
    must(lstat(below, &st) == 0, below);
    if (S_ISDIR(st.st_mode)) {
      walk(below);
    } else if (strcmp(e->d_name + strlen(e->d_name) - 1, "0") == 0) {
      must(unlink(below) == 0, below);
      removed++;
    } else {
      rewrite(below);
      files++;
    }
  }
  closedir(dir);
}

int main(void) {
  for (int d = 0; d < 100; d++) {
    char path[64];
    snprintf(path, sizeof path, "tree/%d", d / 10);
    must(mkdir(path, 0777) == 0 || errno == EEXIST, path);
    snprintf(path, sizeof path, "tree/%d/%d", d / 10, d);
    must(mkdir(path, 0777) == 0, path);
    for (int f = 0; f < 100; f++) {
      snprintf(path, sizeof path, "tree/%d/%d/file-%d", d / 10, d, f);
      FILE *file = fopen(path, "w");
      must(file != NULL && fprintf(file, "this is file %d of %d\n", f, d) > 0 && fclose(file) == 0, path);
    }
  }
  walk("tree");
  printf("%d %d\n", directories, removed);
  return files < 9000;
}
