#define _GNU_SOURCE
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

static struct {
  enum system_kind kind;
  _Atomic(unsigned) left;
  bool armed;
} failing;
static _Atomic(long) allocations;

void system_fail(enum system_kind kind, unsigned n) {
  failing.kind = kind;
  failing.left = n;
  failing.armed = true;
}

bool system_reached(void) {
  failing.armed = false;
  return failing.left == 0;
}

static bool fails(enum system_kind kind) {
  if (!failing.armed || failing.kind != kind) return false;
  unsigned left = failing.left;
  while (left != 0 && !atomic_compare_exchange_weak(&failing.left, &left, left - 1)) {
  }
  if (left != 1) return false;
  errno = ENOMEM;
  return true;
}

void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  return fails(SYSTEM_MAP) ? MAP_FAILED : __real_mmap(address, size, protection, flags, fd, offset);
}

int __real_mprotect(void *, size_t, int);
int __wrap_mprotect(void *address, size_t size, int protection) { return fails(SYSTEM_PROTECT) ? -1 : __real_mprotect(address, size, protection); }

int __real_madvise(void *, size_t, int);
int __wrap_madvise(void *address, size_t size, int advice) { return fails(SYSTEM_ADVICE) ? -1 : __real_madvise(address, size, advice); }

int __real_memfd_create(const char *, unsigned);
int __wrap_memfd_create(const char *name, unsigned flags) { return fails(SYSTEM_FILE) ? -1 : __real_memfd_create(name, flags); }

int __real_ftruncate(int, off_t);
int __wrap_ftruncate(int fd, off_t size) { return fails(SYSTEM_FILE) ? -1 : __real_ftruncate(fd, size); }

int __real_pipe2(int[2], int);
int __wrap_pipe2(int fds[2], int flags) { return fails(SYSTEM_FILE) ? -1 : __real_pipe2(fds, flags); }

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  return fails(SYSTEM_THREAD) ? EAGAIN : __real_pthread_create(thread, attributes, body, argument);
}

int __wrap_lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark);
int __wrap_lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark) {
  (void)at, (void)size, (void)reads, (void)mark;
  return fails(SYSTEM_WATCH) ? -ENOSPC : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int __real_sigaltstack(const stack_t *, stack_t *);
int __wrap_sigaltstack(const stack_t *fresh, stack_t *old) { return fails(SYSTEM_SIGNAL) ? -1 : __real_sigaltstack(fresh, old); }

int __real_sigaction(int, const struct sigaction *, struct sigaction *);
int __wrap_sigaction(int sig, const struct sigaction *fresh, struct sigaction *old) { return fails(SYSTEM_SIGNAL) ? -1 : __real_sigaction(sig, fresh, old); }

int __real_pthread_setspecific(pthread_key_t, const void *);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value) { return fails(SYSTEM_SIGNAL) ? ENOMEM : __real_pthread_setspecific(key, value); }

void *__real_malloc(size_t);
void *__wrap_malloc(size_t size) {
  void *p = fails(SYSTEM_HEAP) ? NULL : __real_malloc(size);
  allocations += p != NULL;
  return p;
}

void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t count, size_t size) {
  void *p = fails(SYSTEM_HEAP) ? NULL : __real_calloc(count, size);
  allocations += p != NULL;
  return p;
}

void *__real_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  void *p = fails(SYSTEM_HEAP) ? NULL : __real_aligned_alloc(alignment, size);
  allocations += p != NULL;
  return p;
}

void *__real_realloc(void *, size_t);
void *__wrap_realloc(void *old, size_t size) {
  void *p = fails(SYSTEM_HEAP) ? NULL : __real_realloc(old, size);
  allocations += p != NULL && old == NULL;
  return p;
}

void __real_free(void *);
void __wrap_free(void *p) {
  allocations -= p != NULL;
  __real_free(p);
}

static size_t lines(const char *path) {
  size_t n = 0;
  FILE *f = fopen(path, "r");
  for (int c; f != NULL && (c = fgetc(f)) != EOF;) n += c == '\n';
  if (f != NULL) fclose(f);
  return n;
}

static size_t entries(const char *path) {
  size_t n = 0;
  DIR *d = opendir(path);
  while (d != NULL && readdir(d) != NULL) n++;
  if (d != NULL) closedir(d);
  return n;
}

struct system_usage system_usage(void) {
  struct system_usage u = {.allocations = allocations, .mappings = lines("/proc/self/maps")};
  u.descriptors = entries("/proc/self/fd");
  u.threads = entries("/proc/self/task");
  return u;
}
