/**
 * The image of a module: what its primary memory holds before the first instruction, as whole pages.
 *
 * Active data segments with constant offsets are laid out once for each module, so that an instance's memory is
 * restored by copying or mapping pages, whatever the number of segments. The first segment that isn't of this kind (an
 * offset out of an imported global, another memory, an offset outside) ends the image: it and what follows are carried
 * out for each instance (segments.c), because later segments overwrite earlier ones.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/** Stretches closer to each other than this are joined. */
#define LEAST_GAP ((uint64_t)64 << 10)
/** An extent of this size is mapped; copying it would take longer, and every instance would have its own pages. */
#define LEAST_MAPPED ((uint64_t)64 << 10)
/** How much larger than its data an image may be, by the gaps. */
#define MOST_GAPS ((uint64_t)64 << 20)

struct stretch {
  uint64_t start;
  uint64_t end;
};

static int by_start(const void *a, const void *b) {
  const struct stretch *x = a, *y = b;
  return (x->start > y->start) - (x->start < y->start);
}

/**
 * May this segment be part of an image? It lies inside of the memory at its smallest, and a length is below 2^32:
 * nothing wraps.
 */
static bool constant(const struct metadata *d, const struct lucet_data_record *r) {
  uint32_t primary = d->header->imported_memories;
  if (r->memory != primary || r->offset_kind != LUCET_CONST_KIND_BITS) return false;
  const struct lucet_memory_record *m = &d->memories[primary];
  /* metadata checks bound `min` so that the size in bytes is at most 2^48 (artifact.c) or the region refuses it. */
  if (m->min > ((uint64_t)1 << 48) >> m->page_size_log2) return false;
  uint64_t length = m->min << m->page_size_log2, at = m->flags & 1 ? r->offset : (uint32_t)r->offset;
  return at <= length && r->length <= length - at;
}

static uint64_t place(const struct metadata *d, const struct lucet_data_record *r) {
  return d->memories[r->memory].flags & 1 ? r->offset : (uint32_t)r->offset;
}

/** Join stretches (sorted) that are less than `gap` apart; returns how many are left. */
static uint32_t join(struct stretch *s, uint32_t n, uint64_t gap) {
  uint32_t kept = 0;
  for (uint32_t k = 0; k < n; k++) {
    if (kept != 0 && (s[k].start <= s[kept - 1].end || s[k].start - s[kept - 1].end < gap)) {
      if (s[k].end > s[kept - 1].end) s[kept - 1].end = s[k].end;
    } else {
      s[kept++] = s[k];
    }
  }
  return kept;
}

/** The segments' stretches, in pages. Returns their number. */
static uint32_t collect(struct image *image, const struct metadata *d, struct stretch *s) {
  uint32_t n = 0;
  for (image->segments = 0; image->segments < d->data_count; image->segments++) {
    const struct lucet_data_record *r = &d->data[image->segments];
    if (r->mode != LUCET_SEGMENT_MODE_ACTIVE) continue;
    if (!constant(d, r)) break;
    uint64_t at = place(d, r);
    if (r->length != 0) s[n++] = (struct stretch){at & ~(uint64_t)(HOST_PAGE - 1), round_up(at + r->length, HOST_PAGE)};
  }
  return n;
}

static struct image_extent *extent_at(struct image *image, uint64_t offset) {
  struct image_extent *e = image->extents;
  while (offset - e->offset >= e->length) e++;
  return e;
}

static void fill(struct image *image, const struct metadata *d) {
  for (uint32_t k = 0; k < image->segments; k++) {
    const struct lucet_data_record *r = &d->data[k];
    if (r->mode != LUCET_SEGMENT_MODE_ACTIVE || r->length == 0) continue;
    uint64_t at = place(d, r);
    const struct image_extent *e = extent_at(image, at);
    memcpy(image->bytes + e->file_offset + (at - e->offset), d->data_bytes + r->first, r->length);
  }
}

bool lucet_image_make(struct image *image, const lucet_module *m) {
  const struct metadata *d = &m->meta;
  *image = (struct image){.file = -1};
  struct stretch *s = malloc(((size_t)d->data_count + 1) * sizeof *s);
  if (s == NULL) return false;
  uint32_t n = collect(image, d, s);
  uint64_t total = 0, longest = 0;
  if (n != 0) {
    qsort(s, n, sizeof *s, by_start);
    for (uint64_t gap = LEAST_GAP; (n = join(s, n, gap)) > MOST_EXTENTS;) gap *= 4;
  }
  for (uint32_t k = 0; k < n; k++) {
    uint64_t length = s[k].end - s[k].start;
    image->extents[k] = (struct image_extent){.offset = s[k].start, .length = length, .file_offset = total};
    total += length;
    if (length > longest) longest = length;
  }
  free(s);
  if (total > (uint64_t)d->data_bytes_size + MOST_GAPS) {
    *image = (struct image){.file = -1};
    return true;
  }
  if (n == 0) return true;
  image->bytes = longest >= LEAST_MAPPED ? lucet_image_file(total, &image->file) : NULL;
  /* Without a file, large images are copied too. */
  if (image->bytes == NULL) image->bytes = calloc(1, total);
  if (image->bytes == NULL) return false;
  image->size = total;
  image->extent_count = n;
  for (uint32_t k = 0; k < n; k++) image->extents[k].bytes = image->bytes + image->extents[k].file_offset;
  fill(image, d);
  return true;
}

void lucet_image_free(struct image *image) {
  if (image->file >= 0) lucet_image_file_unmap(image->bytes, image->size, image->file);
  else free(image->bytes);
}
