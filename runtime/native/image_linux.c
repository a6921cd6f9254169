/** Images in memory files: one copy of a module's data for all instances, until they write. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

uint8_t *lucet_image_file(uint64_t size, int *file) {
  int fd = memfd_create("lucet-image", MFD_CLOEXEC);
  if (fd < 0) return NULL;
  void *p = MAP_FAILED;
  if (ftruncate(fd, (off_t)size) == 0) p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    close(fd);
    return NULL;
  }
  *file = fd;
  return p;
}

void lucet_image_file_unmap(uint8_t *bytes, uint64_t size, int file) {
  munmap(bytes, size);
  close(file);
}

bool lucet_image_map(const struct image *image, const struct image_extent *e, uint8_t *heap) {
  /* MAP_PRIVATE: what an instance writes is its own; the file is never written again. */
  void *p = mmap(heap + e->offset, e->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image->file, (off_t)e->file_offset);
  return p != MAP_FAILED;
}
