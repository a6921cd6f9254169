/**
 * Exact types of references: subtyping across modules (core specification 3.0, "Matching"), and values that come from
 * the host.
 */
#include <string.h>

#include "internal.h"

/** The greatest type of the hierarchy that a reference type belongs to; 0: it is none. */
static uint32_t top_of(const struct metadata *m, uint32_t code) {
  switch (valtype_base(code)) {
    case LUCET_VAL_TYPE_FUNC_REF:
    case LUCET_VAL_TYPE_NO_FUNC: return LUCET_VAL_TYPE_FUNC_REF;
    case LUCET_VAL_TYPE_EXTERN_REF:
    case LUCET_VAL_TYPE_NO_EXTERN: return LUCET_VAL_TYPE_EXTERN_REF;
    case LUCET_VAL_TYPE_EXN_REF:
    case LUCET_VAL_TYPE_NO_EXN: return LUCET_VAL_TYPE_EXN_REF;
    case LUCET_VAL_TYPE_ANY_REF:
    case LUCET_VAL_TYPE_EQ_REF:
    case LUCET_VAL_TYPE_I31REF:
    case LUCET_VAL_TYPE_STRUCT_REF:
    case LUCET_VAL_TYPE_ARRAY_REF:
    case LUCET_VAL_TYPE_NONE: return LUCET_VAL_TYPE_ANY_REF;
    case LUCET_VAL_TYPE_CONCRETE: return m->types[valtype_index(code)].kind == LUCET_TYPE_KIND_FUNC ? LUCET_VAL_TYPE_FUNC_REF : LUCET_VAL_TYPE_ANY_REF;
    default: return 0;
  }
}

uint32_t lucet_valtype_erased(const struct metadata *m, uint32_t code) {
  switch (top_of(m, code)) {
    case 0: return code >= LUCET_I32 && code <= LUCET_V128 ? code : 0;
    case LUCET_VAL_TYPE_FUNC_REF: return LUCET_FUNCREF;
    case LUCET_VAL_TYPE_EXN_REF: return LUCET_EXNREF;
    case LUCET_VAL_TYPE_ANY_REF: return LUCET_ANYREF;
    default: return LUCET_EXTERNREF;
  }
}

/** The abstract type directly above a concrete one; of an abstract one, itself. */
static uint32_t abstract_of(const struct metadata *m, uint32_t code) {
  static const uint8_t ABOVE[] = {LUCET_VAL_TYPE_FUNC_REF, LUCET_VAL_TYPE_STRUCT_REF, LUCET_VAL_TYPE_ARRAY_REF};
  uint32_t base = valtype_base(code);
  return base == LUCET_VAL_TYPE_CONCRETE ? ABOVE[m->types[valtype_index(code)].kind] : base;
}

bool lucet_valtype_matches(const lucet_module *a, uint32_t sub, const lucet_module *b, uint32_t sup) {
  uint32_t x = valtype_base(sub), y = valtype_base(sup), top = top_of(&a->meta, sub);
  if (top != top_of(&b->meta, sup)) return false;
  if (top == 0) return sub == sup;
  if (valtype_nonnull(sup) && !valtype_nonnull(sub)) return false;
  if (x == LUCET_VAL_TYPE_NO_FUNC || x == LUCET_VAL_TYPE_NO_EXTERN || x == LUCET_VAL_TYPE_NO_EXN || x == LUCET_VAL_TYPE_NONE) return true;
  if (y == LUCET_VAL_TYPE_CONCRETE)
    return x == LUCET_VAL_TYPE_CONCRETE && lucet_signature_matches(a->sig_ids[valtype_index(sub)], b->sig_ids[valtype_index(sup)]);
  x = abstract_of(&a->meta, sub);
  return x == y || y == top || (y == LUCET_VAL_TYPE_EQ_REF && x != LUCET_VAL_TYPE_ANY_REF);
}

/** Is the object that a word refers to of a type of the hierarchy of `any`? */
static bool object_holds(struct lucet_instance *i, const lucet_module *m, uint32_t code, uint64_t word) {
  const struct lucet_object *o = lucet_object_find(i, word);
  if (o == NULL) return false;
  switch (valtype_base(code)) {
    case LUCET_VAL_TYPE_CONCRETE: return lucet_signature_matches(o->type, m->sig_ids[valtype_index(code)]);
    case LUCET_VAL_TYPE_ANY_REF:
    case LUCET_VAL_TYPE_EQ_REF: return true;
    case LUCET_VAL_TYPE_STRUCT_REF: return o->kind == LUCET_TYPE_KIND_STRUCT;
    case LUCET_VAL_TYPE_ARRAY_REF: return o->kind == LUCET_TYPE_KIND_ARRAY;
    default: return false;
  }
}

bool lucet_valtype_holds(struct lucet_instance *i, const lucet_module *m, uint32_t code, uint64_t word) {
  if (code < LUCET_FUNCREF) return true;
  if (word == 0) return !valtype_nonnull(code);
  if (top_of(&m->meta, code) == LUCET_VAL_TYPE_ANY_REF) return object_holds(i, m, code, word);
  switch (valtype_base(code)) {
    case LUCET_VAL_TYPE_CONCRETE: return lucet_signature_matches(funcref_of(word)->sig_id, m->sig_ids[valtype_index(code)]);
    case LUCET_VAL_TYPE_FUNC_REF:
    case LUCET_VAL_TYPE_EXTERN_REF:
    case LUCET_VAL_TYPE_EXN_REF: return true;
    /* A host's value is none of the others. */
    default: return false;
  }
}

bool lucet_valtypes_hold(struct lucet_instance *i, const lucet_module *m, uint32_t type, bool results, const uint64_t *words) {
  if ((m->type_refs[type] & (results ? TYPE_EXACT_RESULT : TYPE_EXACT_PARAM)) == 0) return true;
  const struct lucet_type_record *t = &m->meta.types[type];
  uint32_t first = results ? t->params : 0, end = results ? (uint32_t)t->params + t->results : t->params;
  for (uint32_t k = first; k < end; k++) {
    uint32_t code;
    memcpy(&code, m->meta.type_bytes + t->codes + 4 * (size_t)k, 4);
    if (!lucet_valtype_holds(i, m, code, *words)) return false;
    words += code == LUCET_V128 ? 2 : 1;
  }
  return true;
}
