/** Errors of the compiler. Bad input is a CompileError; `bug()` is for what can't happen. */

export class CompileError extends Error {
  override readonly name = 'CompileError';
  /**
   * @param message what is wrong, in one sentence (where the official suite has a wording, it starts with that)
   * @param offset byte offset in the module where it is wrong, or -1 when it belongs to no place
   * @param kind malformed: does not decode; invalid: decodes but does not validate; unsupported: needs a feature that
   * is off; limit: over an implementation limit
   */
  constructor(
    message: string,
    readonly offset: number,
    readonly kind: 'malformed' | 'invalid' | 'unsupported' | 'limit' | 'usage' = 'invalid',
    readonly func = -1,
  ) {
    super(message);
  }

  describe(): string {
    const where = this.offset >= 0 ? ` at offset 0x${this.offset.toString(16)}` : '';
    const func = this.func >= 0 ? ` (function ${this.func})` : '';
    return `${this.kind}: ${this.message}${where}${func}`;
  }
}

export class BugError extends Error {
  override readonly name = 'BugError';
}

/** An invariant does not hold: a defect of the compiler, never of its input. */
export function bug(message: string): never {
  throw new BugError(
    `internal error: ${message}. This is a defect of lucetc; please report it with the module.`,
  );
}
