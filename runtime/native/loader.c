/**
 * Loading a module from a file, or from bytes: checks that it is an artifact for this runtime and this machine, copies
 * what is needed, and maps the code.
 *
 * The system's dynamic linker is not involved: loading executes and relocates nothing in the file. The code is mapped
 * readable and executable, and is never writable at that address; .rodata is mapped readable only.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

/** Code and rodata may lie this far apart: they address each other with 32-bit displacements. */
#define MOST_IMAGE INT32_MAX

struct source {
  const uint8_t *bytes;
  uint64_t size;
};

static lucet_status format_error(lucet_error *error, uint64_t offset, const char *what) {
  return lucet_fail(error, LUCET_ERROR_FORMAT, offset, "%s", what);
}

/** Find the section with the metadata through the ELF section table. */
static lucet_status find_metadata(struct source f, Elf64_Shdr *found, lucet_error *error) {
  Elf64_Ehdr e;
  if (f.size < sizeof e) return format_error(error, 0, "not an ELF file: too short");
  memcpy(&e, f.bytes, sizeof e);
  if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0) return format_error(error, 0, "not an ELF file");
  if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB)
    return format_error(error, EI_CLASS, "not a 64-bit little-endian ELF file");
  if (e.e_type != ET_DYN) return format_error(error, offsetof(Elf64_Ehdr, e_type), "not an ELF shared object");
  if (e.e_shentsize != sizeof(Elf64_Shdr) || e.e_shoff > f.size || (f.size - e.e_shoff) / sizeof(Elf64_Shdr) < e.e_shnum ||
      e.e_shstrndx >= e.e_shnum)
    return format_error(error, offsetof(Elf64_Ehdr, e_shoff), "damaged ELF section table");
  Elf64_Shdr names;
  memcpy(&names, f.bytes + e.e_shoff + (uint64_t)e.e_shstrndx * sizeof names, sizeof names);
  if (names.sh_offset > f.size || names.sh_size > f.size - names.sh_offset)
    return format_error(error, e.e_shoff, "damaged ELF section names");
  for (uint32_t i = 0; i < e.e_shnum; i++) {
    Elf64_Shdr s;
    uint64_t at = e.e_shoff + (uint64_t)i * sizeof s;
    memcpy(&s, f.bytes + at, sizeof s);
    static const char name[] = LUCET_SECTION_MODULE;
    if (s.sh_name > names.sh_size || names.sh_size - s.sh_name < sizeof name) continue;
    if (memcmp(f.bytes + names.sh_offset + s.sh_name, name, sizeof name) != 0) continue;
    if (s.sh_type == SHT_NOBITS || s.sh_offset > f.size || s.sh_size > f.size - s.sh_offset)
      return format_error(error, at, "section " LUCET_SECTION_MODULE " exceeds the file");
    *found = s;
    return LUCET_OK;
  }
  return format_error(error, e.e_shoff, "not an artifact of lucetc: no section " LUCET_SECTION_MODULE);
}

static uint32_t checksum(struct source f, uint64_t field) {
  static const uint8_t zero[4] = {0, 0, 0, 0};
  struct xxh32 x;
  lucet_xxh32_init(&x);
  lucet_xxh32_update(&x, f.bytes, field);
  lucet_xxh32_update(&x, zero, 4);
  lucet_xxh32_update(&x, f.bytes + field + 4, f.size - field - 4);
  return lucet_xxh32_final(&x);
}

static lucet_status check_cpu(uint64_t needed, lucet_error *error) {
  uint64_t missing = lucet_cpu_missing(needed);
  if (missing == 0) return LUCET_OK;
  char list[160];
  size_t n = 0;
  list[0] = 0;
  for (unsigned i = 0; i < 64; i++)
    if ((missing >> i & 1) != 0 && n < sizeof list - 40)
      n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n != 0 ? ", " : "", lucet_cpu_feature_name(i));
  return lucet_fail(error, LUCET_ERROR_CPU, 0, "this processor lacks %s, which the module was compiled for", list);
}

/** What must hold before the parts are looked at. `offset` is where the metadata begins in the file. */
static lucet_status check_identity(struct source f, const struct lucet_artifact_header *h, uint64_t offset, uint64_t size, lucet_error *error) {
  if (memcmp(&h->magic, LUCET_ARTIFACT_MAGIC, sizeof h->magic) != 0) return format_error(error, offset, "not an artifact of lucetc: wrong magic");
  if (h->version != LUCET_ARTIFACT_VERSION)
    return lucet_fail(error, LUCET_ERROR_VERSION, offset + offsetof(struct lucet_artifact_header, version),
                      "artifact has format version %u, this runtime takes %u: compile the module again", h->version, LUCET_ARTIFACT_VERSION);
  uint32_t sum = checksum(f, offset + offsetof(struct lucet_artifact_header, checksum));
  if (sum != h->checksum)
    return lucet_fail(error, LUCET_ERROR_CHECKSUM, offset + offsetof(struct lucet_artifact_header, checksum),
                      "artifact is damaged: checksum is %08x, should be %08x", sum, h->checksum);
  Elf64_Ehdr e;
  memcpy(&e, f.bytes, sizeof e);
  if (h->machine != EM_X86_64 || e.e_machine != EM_X86_64)
    return lucet_fail(error, LUCET_ERROR_CPU, offsetof(Elf64_Ehdr, e_machine), "artifact is for machine %u, this one is %u (x86-64)",
                      h->machine, EM_X86_64);
  if (h->size > size) return format_error(error, offset, "metadata exceeds its section");
  if ((uint64_t)h->text_offset + h->text_size > f.size || (uint64_t)h->rodata_offset + h->rodata_size > f.size)
    return format_error(error, offset, "code or constants exceed the file");
  return check_cpu(h->cpu_features, error);
}

/** Executable pages with `size` bytes of code, at `at`. True if mapped. */
static bool map_code(uint8_t *at, size_t mapped, const uint8_t *code, size_t size) {
  /*
   * Shared memory that has a file can later be mapped a second time, writable, elsewhere (breakpoints), without
   * touching this mapping.
   */
  int fd = memfd_create("lucet", MFD_CLOEXEC | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("lucet", MFD_CLOEXEC);
  if (fd >= 0) {
    bool written = ftruncate(fd, (off_t)mapped) == 0;
    for (size_t n = 0; written && n < size;) {
      ssize_t k = pwrite(fd, code + n, size - n, (off_t)n);
      if (k > 0)
        n += (size_t)k;
      else if (k == 0 || errno != EINTR)
        written = false;
    }
    bool ok = written && mmap(at, mapped, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    close(fd);
    if (ok) return true;
  }
  /* Where executable memfds are forbidden: private memory, writable only until it is filled. */
  if (mmap(at, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) return false;
  memcpy(at, code, size);
  return mprotect(at, mapped, PROT_READ | PROT_EXEC) == 0;
}

/**
 * Map .text and .rodata into one reservation at their distance. They must not share a page: their protections differ.
 */
static lucet_status map_image(struct lucet_module *m, struct source f, lucet_error *error) {
  const struct lucet_artifact_header *h = m->meta.header;
  if (h->text_size == 0 && h->rodata_size == 0) return LUCET_OK;
  uint64_t text_page = h->text_address & ~(uint64_t)(HOST_PAGE - 1), text_end = round_up((uint64_t)h->text_address + h->text_size, HOST_PAGE);
  uint64_t ro_page = h->rodata_address & ~(uint64_t)(HOST_PAGE - 1), ro_end = round_up((uint64_t)h->rodata_address + h->rodata_size, HOST_PAGE);
  if (h->rodata_size == 0) ro_page = ro_end = text_page;
  if (h->text_size == 0) text_page = text_end = ro_page;
  uint64_t low = min_u64(text_page, ro_page), high = text_end > ro_end ? text_end : ro_end;
  if (high - low > MOST_IMAGE) return format_error(error, 0, "code and constants are too far apart");
  if (h->rodata_size != 0 && h->text_size != 0 && text_page < ro_end && ro_page < text_end)
    return format_error(error, 0, "code and constants share a page");
  if (h->text_address % 16 != 0) return format_error(error, 0, "unaligned code");

  void *image = mmap(NULL, high - low, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (image == MAP_FAILED) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for the code: %s", strerror(errno));
  m->image = image;
  m->image_size = high - low;
  if (h->text_size != 0) {
    m->text = m->image + (h->text_address - low);
    /* Code needn't begin at a page: what precedes and follows it in its pages traps. */
    size_t lead = h->text_address - text_page, mapped = text_end - text_page;
    uint8_t *pages = malloc(mapped);
    if (pages == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
    memset(pages, 0xf4, mapped);
    memcpy(pages + lead, f.bytes + h->text_offset, h->text_size);
    bool ok = map_code(m->image + (text_page - low), mapped, pages, mapped);
    int why = errno;
    free(pages);
    if (!ok) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "the system refuses executable memory: %s", strerror(why));
  }
  if (h->rodata_size != 0) {
    uint8_t *at = m->image + (ro_page - low);
    if (mprotect(at, ro_end - ro_page, PROT_READ | PROT_WRITE) != 0)
      return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for constants: %s", strerror(errno));
    memcpy(m->image + (h->rodata_address - low), f.bytes + h->rodata_offset, h->rodata_size);
    if (mprotect(at, ro_end - ro_page, PROT_READ) != 0)
      return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "can't protect constants: %s", strerror(errno));
  }
  return LUCET_OK;
}

/** Grows while a key is written. */
struct key {
  uint32_t *words;
  size_t count, capacity;
};

static bool put(struct key *k, uint32_t word) {
  if (k->count == k->capacity) {
    size_t wanted = k->capacity == 0 ? 64 : k->capacity * 2;
    uint32_t *grown = realloc(k->words, wanted * sizeof *grown);
    if (grown == NULL) return false;
    k->words = grown;
    k->capacity = wanted;
  }
  k->words[k->count++] = word;
  return true;
}

/** A type that is named in a group: one of the group by its position, any other by its id. */
static bool put_named(struct key *k, const struct lucet_module *m, uint32_t group, uint32_t type) {
  return put(k, type >= group) && put(k, type >= group ? type - group : m->sig_ids[type]);
}

static bool put_type(struct key *k, const struct lucet_module *m, uint32_t type) {
  const struct lucet_type_record *t = &m->meta.types[type];
  uint32_t n = (uint32_t)t->params + t->results;
  if (!put(k, t->kind | (uint32_t)t->final << 8) || !put(k, t->params) || !put(k, t->results)) return false;
  if (!(t->supertype == NONE ? put(k, NONE) : put_named(k, m, t->group, t->supertype))) return false;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t code = m->meta.type_bytes[t->bytes + i];
    if (t->codes != NONE) memcpy(&code, m->meta.type_bytes + t->codes + 4 * (size_t)i, 4);
    bool concrete = valtype_base(code) == LUCET_VAL_TYPE_CONCRETE;
    if (!put(k, concrete ? code & (0x1ff | LUCET_FIELD_MUTABLE) : code)) return false;
    if (concrete && !put_named(k, m, t->group, valtype_index(code & ~(uint32_t)LUCET_FIELD_MUTABLE))) return false;
  }
  return true;
}

/**
 * Ids of a recursion group's types. The group gets an id for what all of its types are, and each type one for the
 * group's id and its position. The first word of either key is no value type, so it is the key of no plain function
 * type. Whoever has the ids holds those of the types they name too.
 */
static bool intern_group(struct lucet_module *m, uint32_t group) {
  const struct lucet_type_record *types = m->meta.types;
  uint32_t size = types[group].group_size;
  struct key k = {NULL, 0, 0};
  bool ok = put(&k, UINT32_MAX) && put(&k, size);
  for (uint32_t i = 0; ok && i < size; i++) ok = put_type(&k, m, group + i);
  if (ok) m->group_ids[group] = lucet_signature_intern((const uint8_t *)k.words, (uint32_t)(k.count * sizeof *k.words), 0);
  free(k.words);
  if (!ok || m->group_ids[group] == 0) return false;
  for (uint32_t i = 0; i < size; i++) {
    uint32_t key[3] = {UINT32_MAX - 1, m->group_ids[group], i}, supertype = types[group + i].supertype;
    uint32_t id = lucet_signature_intern((const uint8_t *)key, sizeof key, 0);
    if (id == 0) return false;
    m->sig_ids[group + i] = id;
    if (supertype != NONE) lucet_signature_set_super(id, m->sig_ids[supertype]);
  }
  return true;
}

/** A function type that is a group of its own, names no types and has no relatives: its key is what it is. */
static bool is_plain(const struct lucet_type_record *t) {
  return t->kind == LUCET_TYPE_KIND_FUNC && t->codes == NONE && t->group_size == 1 && t->supertype == NONE && t->final != 0;
}

static bool has_exceptions(const struct metadata *d) {
  if (d->tag_count != 0 || d->landing_count != 0) return true;
  for (uint32_t k = 0; k < d->global_count; k++)
    if (d->globals[k].type == LUCET_EXNREF) return true;
  for (uint32_t k = 0; k < d->table_count; k++)
    if (d->tables[k].element == LUCET_EXNREF) return true;
  return false;
}

/** What running the module needs to know of its functions and types, derived from the metadata. */
static lucet_status derive_tables(struct lucet_module *m, lucet_error *error) {
  const struct metadata *d = &m->meta;
  m->code_order = calloc((size_t)d->function_count + 1, sizeof *m->code_order);
  m->sig_ids = calloc((size_t)d->type_count + 1, sizeof *m->sig_ids);
  m->type_words = calloc((size_t)d->type_count + 1, sizeof *m->type_words);
  m->type_refs = calloc((size_t)d->type_count + 1, sizeof *m->type_refs);
  m->group_ids = calloc((size_t)d->type_count + 1, sizeof *m->group_ids);
  if (m->code_order == NULL || m->sig_ids == NULL || m->group_ids == NULL || m->type_words == NULL || m->type_refs == NULL)
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  for (uint32_t i = 0; i < d->function_count; i++)
    if (d->functions[i].length != 0) m->code_order[m->code_count++] = i;
  for (uint32_t i = 0; i < d->type_count; i++) {
    const struct lucet_type_record *t = &d->types[i];
    const uint8_t *types = d->type_bytes + t->bytes;
    uint32_t words[2] = {0, 0};
    for (uint32_t k = 0; k < (uint32_t)t->params + t->results; k++) {
      bool result = k >= t->params;
      words[result] += types[k] == LUCET_V128 ? 2 : 1;
      if (types[k] == LUCET_EXNREF) m->throws = true;
      if (types[k] == LUCET_FUNCREF || types[k] == LUCET_EXNREF || types[k] == LUCET_ANYREF) m->type_refs[i] |= result ? TYPE_FUNCREF_RESULT : TYPE_FUNCREF_PARAM;
    }
    m->type_words[i] = words[0] > words[1] ? words[0] : words[1];
    if (t->codes != NONE) {
      if (t->params != 0) m->type_refs[i] |= TYPE_EXACT_PARAM;
      if (t->results != 0) m->type_refs[i] |= TYPE_EXACT_RESULT;
    }
    m->takes_references |= t->kind == LUCET_TYPE_KIND_FUNC && (m->type_refs[i] & (TYPE_FUNCREF_PARAM | TYPE_EXACT_PARAM)) != 0;
    if (is_plain(t))
      m->sig_ids[i] = lucet_signature_intern(types, t->params, t->results);
    else if (t->group == i && !intern_group(m, i))
      m->sig_ids[i] = 0;
    if (m->sig_ids[i] == 0) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  }
  m->throws |= has_exceptions(d);
  return LUCET_OK;
}

/**
 * Sets aside a signature that may follow the artifact (compiler/object/signature.ts). Verifying it is the caller's
 * business: the checksum covers the artifact only.
 */
static struct source without_signature(struct source f) {
  enum { TRAILER = 16 };
  if (f.size < TRAILER || memcmp(f.bytes + f.size - 8, LUCET_SIGNATURE_MAGIC, 8) != 0) return f;
  uint64_t length;
  memcpy(&length, f.bytes + f.size - TRAILER, sizeof length);
  if (length <= LUCET_MOST_SIGNATURE_BYTES && length <= f.size - TRAILER) f.size -= TRAILER + (size_t)length;
  return f;
}

static lucet_status load(struct lucet_module *m, struct source f, lucet_error *error) {
  f = without_signature(f);
  Elf64_Shdr section = {.sh_size = 0};
  lucet_status status = find_metadata(f, &section, error);
  if (status != LUCET_OK) return status;
  struct lucet_artifact_header h;
  if (section.sh_size < sizeof h) return format_error(error, section.sh_offset, "metadata is cut off");
  memcpy(&h, f.bytes + section.sh_offset, sizeof h);
  status = check_identity(f, &h, section.sh_offset, section.sh_size, error);
  if (status != LUCET_OK) return status;
  if (h.size < sizeof h) return format_error(error, section.sh_offset, "metadata is cut off");

  m->meta.size = h.size;
  void *copy = mmap(NULL, h.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for the metadata: %s", strerror(errno));
  m->meta.bytes = copy;
  memcpy(copy, f.bytes + section.sh_offset, h.size);
  /* The file's bytes may be somebody else's to change: of the header, only the copy that was checked is used. */
  memcpy(copy, &h, sizeof h);
  if (mprotect(copy, h.size, PROT_READ) != 0) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "mprotect: %s", strerror(errno));
  status = lucet_metadata_check(&m->meta, section.sh_offset, error);
  if (status == LUCET_OK) status = map_image(m, f, error);
  if (status == LUCET_OK) status = derive_tables(m, error);
  if (status == LUCET_OK && (!lucet_image_make(&m->heap_image, m) || !lucet_prototype_make(&m->prototype, m)))
    status = lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  if (status == LUCET_OK && !lucet_registry_add(m)) status = lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  return status;
}

lucet_status lucet_module_load_bytes(const void *bytes, size_t length, lucet_module **module, lucet_error *error) {
  struct lucet_module *m = calloc(1, sizeof *m);
  if (m == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  static _Atomic(uint64_t) serials;
  atomic_init(&m->references, 1);
  m->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
  m->heap_image.file = -1;
  lucet_status status = load(m, (struct source){bytes, length}, error);
  if (status != LUCET_OK) {
    lucet_module_release(m);
    return status;
  }
  *module = m;
  return lucet_ok(error);
}

/** The whole file in private memory: a mapping would change, or vanish, with the file. */
static lucet_status read_file(int fd, const char *path, uint8_t **bytes, size_t *size, lucet_error *error) {
  struct stat st;
  if (fstat(fd, &st) != 0) return lucet_fail(error, LUCET_ERROR_IO, 0, "%.180s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return lucet_fail(error, LUCET_ERROR_IO, 0, "%.180s: not a regular file", path);
  if (st.st_size > UINT32_MAX) return lucet_fail(error, LUCET_ERROR_FORMAT, 0, "%.180s: larger than 4 GiB", path);
  size_t n = 0, most = (size_t)st.st_size;
  uint8_t *p = malloc(most + 1);
  if (p == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  while (n < most) {
    ssize_t k = read(fd, p + n, most - n);
    if (k > 0)
      n += (size_t)k;
    else if (k == 0)
      break;
    else if (errno != EINTR) {
      free(p);
      return lucet_fail(error, LUCET_ERROR_IO, 0, "%.180s: %s", path, strerror(errno));
    }
  }
  *bytes = p;
  *size = n;
  return LUCET_OK;
}

lucet_status lucet_module_load_file(const char *path, lucet_module **module, lucet_error *error) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return lucet_fail(error, LUCET_ERROR_IO, 0, "%.180s: %s", path, strerror(errno));
  uint8_t *bytes = NULL;
  size_t size = 0;
  lucet_status status = read_file(fd, path, &bytes, &size, error);
  close(fd);
  if (status != LUCET_OK) return status;
  status = lucet_module_load_bytes(bytes, size, module, error);
  free(bytes);
  return status;
}

void lucet_module_retain(lucet_module *m) { atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed); }

void lucet_module_release(lucet_module *m) {
  if (m == NULL || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1) return;
  lucet_registry_remove(m);
  if (m->sig_ids != NULL)
    for (uint32_t i = 0; i < m->meta.type_count; i++)
      if (m->sig_ids[i] != 0) lucet_signature_release(m->sig_ids[i]);
  if (m->group_ids != NULL)
    for (uint32_t i = 0; i < m->meta.type_count; i++)
      if (m->group_ids[i] != 0) lucet_signature_release(m->group_ids[i]);
  lucet_breakpoints_free(m);
  if (m->image != NULL) munmap(m->image, m->image_size);
  if (m->meta.bytes != NULL) munmap(m->meta.bytes, m->meta.size);
  free(m->code_order);
  free(m->sig_ids);
  free(m->group_ids);
  free(m->type_words);
  free(m->type_refs);
  lucet_image_free(&m->heap_image);
  lucet_prototype_free(&m->prototype);
  free(m);
}
