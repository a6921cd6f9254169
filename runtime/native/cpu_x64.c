/**
 * What this processor, and the system's saving of its registers, allow (Intel SDM vol. 2A, CPUID; vol. 1, chapter 13).
 */
#include <cpuid.h>

#include "internal.h"

static const char *const NAMES[] = {
#define NAME(identifier, bit, name) [bit] = name,
    LUCET_CPU_FEATURES(NAME)
#undef NAME
};
enum { FEATURE_COUNT = sizeof NAMES / sizeof NAMES[0] };

const char *lucet_cpu_feature_name(unsigned bit) { return bit < FEATURE_COUNT ? NAMES[bit] : "an unknown feature"; }

static uint64_t xcr0(void) {
  uint32_t a, d;
  __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (uint64_t)d << 32 | a;
}

static uint64_t present(void) {
  uint32_t a, b, c, d;
  uint64_t f = 0;
#define BIT(identifier) ((uint64_t)1 << LUCET_CPU_FEATURE_##identifier)
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  if (c & bit_SSE3) f |= BIT(SSE3);
  if (c & bit_SSSE3) f |= BIT(SSSE3);
  if (c & bit_SSE4_1) f |= BIT(SSE4_1);
  if (c & bit_SSE4_2) f |= BIT(SSE4_2);
  if (c & bit_POPCNT) f |= BIT(POPCNT);
  if (c & bit_MOVBE) f |= BIT(MOVBE);
  /* Vector registers above 128 bits count only if the system saves them. */
  uint64_t saved = (c & bit_OSXSAVE) ? xcr0() : 0;
  bool ymm = (saved & 0x6) == 0x6;
  bool zmm = ymm && (saved & 0xe0) == 0xe0;
  if (ymm) {
    if (c & bit_AVX) f |= BIT(AVX);
    if (c & bit_FMA) f |= BIT(FMA);
    if (c & bit_F16C) f |= BIT(F16C);
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    if (b & bit_BMI) f |= BIT(BMI1);
    if (b & bit_BMI2) f |= BIT(BMI2);
    if (ymm && (b & bit_AVX2)) f |= BIT(AVX2);
    if (zmm) {
      if (b & bit_AVX512F) f |= BIT(AVX512F);
      if (b & bit_AVX512VL) f |= BIT(AVX512VL);
      if (b & bit_AVX512DQ) f |= BIT(AVX512DQ);
      if (b & bit_AVX512BW) f |= BIT(AVX512BW);
    }
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT)) f |= BIT(LZCNT);
#undef BIT
  return f;
}

uint64_t lucet_cpu_missing(uint64_t needed) { return needed & ~present(); }

uint32_t lucet_xrstor_mask;
uint32_t lucet_pkru_offset;

/** CPUID takes microseconds in a virtual machine, so the answer is kept. */
size_t lucet_xsave_size(void) {
  static atomic_size_t known;
  size_t size = atomic_load_explicit(&known, memory_order_relaxed);
  if (size != 0) return size;
  uint32_t a, b, c, d;
  /* Without XSAVE the frame holds the FXSAVE area alone. */
  size = 512;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) && __get_cpuid_count(0xd, 0, &a, &b, &c, &d) && b > size) {
    size = b;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    /* SSE, AVX and AVX-512: what generated code may use. */
    lucet_xrstor_mask = a & 0xe6;
    bool keys = (a & 0x200) != 0 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_OSPKE) != 0;
    if (keys && __get_cpuid_count(0xd, 9, &a, &b, &c, &d)) lucet_pkru_offset = b;
  }
  atomic_store_explicit(&known, size, memory_order_release);
  return size;
}

/** What a host's frame begins with (border_x64.h). */
struct modes {
  uint32_t mxcsr;
  uint32_t differ;
};

void lucet_modes_matter(void) {
  uint32_t host;
  __asm__ volatile("stmxcsr %0" : "=m"(host));
  for (const struct lucet_activation *a = lucet_current; a != NULL; a = a->parent) {
    struct modes *m = (struct modes *)(uintptr_t)a->host_rsp;
    /* Outside of the run it is what the run has found. */
    if (m->differ != 0) host = m->mxcsr;
    *m = (struct modes){host, (host & MXCSR_MODES) - DEFAULT_MXCSR};
  }
}
