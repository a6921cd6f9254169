/** Exact types of references: subtyping across modules (core specification 3.0, "Matching"), and values that come from the host. */
#include <string.h>

#include "internal.h"

uint32_t lucet_valtype_erased(uint32_t code) {
  switch (valtype_base(code)) {
    case LUCET_VAL_TYPE_FUNC_REF:
    case LUCET_VAL_TYPE_NO_FUNC:
    case LUCET_VAL_TYPE_CONCRETE: return LUCET_FUNCREF;
    case LUCET_VAL_TYPE_EXTERN_REF:
    case LUCET_VAL_TYPE_NO_EXTERN: return LUCET_EXTERNREF;
    default: return code >= LUCET_I32 && code <= LUCET_V128 ? code : 0;
  }
}

bool lucet_valtype_matches(const lucet_module *a, uint32_t sub, const lucet_module *b, uint32_t sup) {
  uint32_t x = valtype_base(sub), y = valtype_base(sup);
  if (lucet_valtype_erased(sub) != lucet_valtype_erased(sup) || (valtype_nonnull(sup) && !valtype_nonnull(sub))) return false;
  if (y == LUCET_VAL_TYPE_CONCRETE && x == LUCET_VAL_TYPE_CONCRETE) return a->sig_ids[valtype_index(sub)] == b->sig_ids[valtype_index(sup)];
  /* Within one kind of references: the top has all, the bottom is in all. */
  return x == y || y == LUCET_VAL_TYPE_FUNC_REF || y == LUCET_VAL_TYPE_EXTERN_REF || x == LUCET_VAL_TYPE_NO_FUNC || x == LUCET_VAL_TYPE_NO_EXTERN;
}

bool lucet_valtype_holds(const lucet_module *m, uint32_t code, uint64_t word) {
  if (code < LUCET_FUNCREF) return true;
  if (word == 0) return !valtype_nonnull(code);
  switch (valtype_base(code)) {
    case LUCET_VAL_TYPE_CONCRETE: return funcref_of(word)->sig_id == m->sig_ids[valtype_index(code)];
    case LUCET_VAL_TYPE_NO_FUNC:
    case LUCET_VAL_TYPE_NO_EXTERN: return false;
    default: return true;
  }
}

bool lucet_valtypes_hold(const lucet_module *m, uint32_t type, bool results, const uint64_t *words) {
  if ((m->type_refs[type] & (results ? TYPE_EXACT_RESULT : TYPE_EXACT_PARAM)) == 0) return true;
  const struct lucet_type_record *t = &m->meta.types[type];
  uint32_t first = results ? t->params : 0, end = results ? (uint32_t)t->params + t->results : t->params;
  for (uint32_t k = first; k < end; k++) {
    uint32_t code;
    memcpy(&code, m->meta.type_bytes + t->codes + 4 * (size_t)k, 4);
    if (!lucet_valtype_holds(m, code, *words)) return false;
    words += code == LUCET_V128 ? 2 : 1;
  }
  return true;
}
