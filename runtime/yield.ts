/** Host functions that suspend the guest and hand a value to whoever runs it. */
import type { Activation, Hostcall } from './calls.ts';
import { YieldTypeMismatch } from './errors.ts';
import type { Block } from './ffi.ts';
import type { Func } from './func.ts';

/** A name as `typeof` gives it, or a class. */
export type YieldType =
  | 'undefined'
  | 'boolean'
  | 'number'
  | 'bigint'
  | 'string'
  | 'object'
  | 'function'
  | (abstract new (
      ...args: never[]
    ) => object);

/**
 * What a host function returns to yield: `Instance.run` then gives `value`, and what `Instance.resume` is given becomes
 * the host function's result.
 */
export class Yield {
  /** @param expects type that the value of `resume` must have; without it the host function's type alone decides */
  constructor(
    readonly value?: unknown,
    readonly expects: YieldType | null = null,
  ) {}
}

/** @throws YieldTypeMismatch */
export function checkYieldType(expects: YieldType | null, value: unknown): void {
  if (expects === null) return;
  const fits = typeof expects === 'string' ? typeof value === expects : value instanceof expects;
  if (!fits)
    throw new YieldTypeMismatch(
      typeof expects === 'string' ? `a ${expects}` : `an instance of ${expects.name}`,
    );
}

/** The outcome of a run: it returned `value`, or it yielded `value` and waits for `resume`. */
export type RunResult =
  | { readonly done: true; readonly value: unknown }
  | { readonly done: false; readonly value: unknown };

/** A run that yielded. */
export interface Yielding {
  readonly me: Activation;
  readonly hostcall: Hostcall | null;
  readonly expects: YieldType | null;
  readonly block: Block;
  readonly func: Func;
}
