/**
 * Objects of garbage-collected types, as generated code and the runtime share them.
 *
 * A reference of the hierarchy of `any` is the address of an object, a multiple of 16, or 0 for null. An object is a
 * header and, behind it, the elements of an array, packed: 1, 2 or 4 bytes for an i8, i16 or a number of 32 bits, 16
 * for a vector, 8 for each other.
 */
export const OBJECT = {
  /** Process-wide id of its type, as in VMCTX.SIG_IDS (u32). */
  TYPE: 0,
  /** TypeKind (u32). */
  KIND: 4,
  /** Of an array: number of elements (u32). */
  LENGTH: 8,
  /** First byte behind the header. 12..16 are zero. */
  PAYLOAD: 16,
} as const;
