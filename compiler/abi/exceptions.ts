/**
 * Exceptions, as generated code and the runtime share them.
 *
 * An `exnref` is the address of an exception (or 0 for null). Its payload is laid out like an argument array: 8 bytes
 * for each value, 16 for a v128.
 *
 * A call that throws continues at its landing pad: stack pointer and callee-saved registers as they were when the call
 * was made, the exception and the number of the clause that catches it in registers (x64/regs.ts), all other registers
 * undefined.
 */
export const EXCEPTION = {
  /** First byte of the payload. */
  PAYLOAD: 48,
} as const;
