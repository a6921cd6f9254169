/**
 * Trap kinds, shared by generated code, the C runtime and every report.
 *
 * Numbers are part of the artifact format (they are written into pc maps): append only.
 * Names follow Lucet's `TrapCode`; what Lucet did not have comes after `HeapMisaligned`.
 */
export const enum TrapCode {
  None = 0,
  StackOverflow = 1,
  HeapOutOfBounds = 2,
  IndirectCallToNull = 3,
  BadSignature = 4,
  IntegerOverflow = 5,
  IntegerDivByZero = 6,
  BadConversionToInteger = 7,
  Interrupt = 8,
  TableOutOfBounds = 9,
  Unreachable = 10,
  HeapMisaligned = 11,
  NullReference = 12,
  UncaughtException = 13,
  CastFailure = 14,
  ArrayOutOfBounds = 15,
  /** An `idiv`: zero or overflow is told apart from the divisor's value when the fault is looked at. */
  IntegerDivision = 16,
}

export interface TrapInfo {
  readonly code: TrapCode;
  /** Stable name, as in reports and in `lucet-objdump`. */
  readonly name: string;
  /** The wording of the official test suite (`assert_trap` text is a prefix of this, or the reverse). */
  readonly spec: string;
}

/** Indexed by trap code. */
export const TRAPS: readonly TrapInfo[] = [
  { code: TrapCode.None, name: 'None', spec: '' },
  { code: TrapCode.StackOverflow, name: 'StackOverflow', spec: 'call stack exhausted' },
  { code: TrapCode.HeapOutOfBounds, name: 'HeapOutOfBounds', spec: 'out of bounds memory access' },
  { code: TrapCode.IndirectCallToNull, name: 'IndirectCallToNull', spec: 'uninitialized element' },
  { code: TrapCode.BadSignature, name: 'BadSignature', spec: 'indirect call type mismatch' },
  { code: TrapCode.IntegerOverflow, name: 'IntegerOverflow', spec: 'integer overflow' },
  { code: TrapCode.IntegerDivByZero, name: 'IntegerDivByZero', spec: 'integer divide by zero' },
  {
    code: TrapCode.BadConversionToInteger,
    name: 'BadConversionToInteger',
    spec: 'invalid conversion to integer',
  },
  { code: TrapCode.Interrupt, name: 'Interrupt', spec: 'interrupted' },
  { code: TrapCode.TableOutOfBounds, name: 'TableOutOfBounds', spec: 'out of bounds table access' },
  { code: TrapCode.Unreachable, name: 'Unreachable', spec: 'unreachable' },
  { code: TrapCode.HeapMisaligned, name: 'HeapMisaligned', spec: 'unaligned atomic' },
  { code: TrapCode.NullReference, name: 'NullReference', spec: 'null reference' },
  { code: TrapCode.UncaughtException, name: 'UncaughtException', spec: 'uncaught exception' },
  { code: TrapCode.CastFailure, name: 'CastFailure', spec: 'cast failure' },
  { code: TrapCode.ArrayOutOfBounds, name: 'ArrayOutOfBounds', spec: 'out of bounds array access' },
  { code: TrapCode.IntegerDivision, name: 'IntegerDivision', spec: 'integer divide' },
];
