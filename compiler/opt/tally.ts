/** How often each transformation fired: for tests, statistics and for finding rules that never do. */

export const enum Fired {
  /** A block parameter that was the same value on every way in. */
  Param,
  /** An operator on constants was evaluated. */
  Constant,
  /** An operator was one of its operands, or a constant, by an algebraic identity. */
  Identity,
  /** Constants of nested operators were combined. */
  Reassociate,
  /** A cheaper operator: multiplication or division by a power of two, … */
  Strength,
  /** Shifts and masks that put bytes in reverse became one operator. */
  ByteSwap,
  /** A mask, extension or wrap that changes nothing, or only makes narrower what is narrower. */
  Extension,
  /** A comparison was turned round, inverted or decided. */
  Compare,
  Select,
  /** Constant part of an address moved into the access. */
  Address,
  /** A store of fewer bits than its value was computed to. */
  StoreNarrow,
  Float,
  /** An equal value that dominates was used instead. */
  Gvn,
  /** A load that was equal to an earlier load. */
  LoadReuse,
  /** A load of what a store had put there. */
  StoreForward,
  /** A store of what was there already. */
  StoreRedundant,
  /** A check that can't fail was removed, or one that always fails ended its block. */
  Check,
  /** A bounds check that an earlier one covers. */
  BoundsCheck,
  /** A branch on something known became a jump. */
  Branch,
  /** A branch condition without its test against zero. */
  Condition,
  /** A block got a number in place of a condition that is known on the way to it. */
  KnownArgument,
  /** An edge through an empty block goes to that block's target. */
  Thread,
  /** A block was appended to its only predecessor. */
  Merge,
  Unreachable,
  DeadInstruction,
  DeadParam,
  Hoist,
  /** A load, or a bounds check, that a loop began with was done in front of it. */
  HoistLoad,
  HoistCheck,
  /** A load of a global that can be one number only. */
  StateLoad,
  /** A branch on a global that can go one way only. */
  StateBranch,
  /** An edge to a branch on a global that it decides leads to a copy that jumps. */
  StateThread,
  /** A loop's test was moved from its top to its bottom. */
  Rotate,
  /** A loop got a version on vectors. */
  Vectorize,
  /** What those vectors leave is done by one more, and by the loop once. */
  VectorRest,
  /** They may store what they have loaded before, as of overlapping arrays. */
  VectorAhead,
  COUNT,
}

const NAMES: readonly string[] = [
  'param',
  'constant',
  'identity',
  'reassociate',
  'strength',
  'byte-swap',
  'extension',
  'compare',
  'select',
  'address',
  'store-narrow',
  'float',
  'gvn',
  'load-reuse',
  'store-forward',
  'store-redundant',
  'check',
  'bounds-check',
  'branch',
  'condition',
  'known-argument',
  'thread',
  'merge',
  'unreachable',
  'dead-instruction',
  'dead-param',
  'hoist',
  'hoist-load',
  'hoist-check',
  'state-load',
  'state-branch',
  'state-thread',
  'rotate',
  'vectorize',
  'vectorize-rest',
  'vectorize-ahead',
];

export class Tally {
  readonly counts = new Float64Array(Fired.COUNT);

  /** Add the counts of what fired to a record of names, and start again. */
  flush(to: Record<string, number>): void {
    for (let i = 0; i < Fired.COUNT; i++) {
      const n = this.counts[i]!;
      if (n === 0) continue;
      const name = NAMES[i]!;
      to[name] = (to[name] ?? 0) + n;
      this.counts[i] = 0;
    }
  }
}
