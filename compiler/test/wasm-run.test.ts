/** The official suite's assertions on interpreted IR: does what the front end builds mean what the module says? */
import { describe, expect, it } from 'vitest';
import { TrapCode } from '../abi/traps.ts';
import { CompileError } from '../diagnostics.ts';
import { decodeModule } from '../wasm/decode.ts';
import { IrTrap } from './support/interp.ts';
import { lanesOf, ofLanes } from './support/interp-simd.ts';
import { IrInstance, NotModelled } from './support/ir-instance.ts';
import {
  moduleBytes,
  type SpecAction,
  type SpecScript,
  type SpecValue,
  scripts,
  suitePresent,
} from './support/spec-suite.ts';

const laneWidth = (v: SpecValue): number => Number(v.lane_type!.slice(1));

/** Host references are odd numbers, so that none is 0. */
function bits(v: SpecValue): bigint {
  if (v.value === 'null') return 0n;
  if (Array.isArray(v.value)) return ofLanes(v.value.map(BigInt), laneWidth(v));
  const n = BigInt(v.value as string);
  return v.type === 'externref' ? 2n * n + 1n : n;
}

function matches(expected: SpecValue, found: bigint): boolean {
  const { value } = expected;
  if (Array.isArray(value)) {
    const lanes = lanesOf(BigInt.asUintN(128, found), laneWidth(expected));
    const type = expected.lane_type!;
    return lanes.every((lane, i) => {
      const pattern = value[i]!;
      if (pattern.startsWith('nan:')) return matches({ type, value: pattern }, lane);
      return lane === BigInt.asUintN(laneWidth(expected), BigInt(pattern));
    });
  }
  const f32 = expected.type === 'f32';
  const quiet = f32 ? 0x7fc00000n : 0x7ff8000000000000n;
  const magnitude = BigInt.asUintN(f32 ? 31 : 63, found);
  switch (expected.value) {
    case 'nan:canonical':
      return magnitude === quiet;
    case 'nan:arithmetic':
      return (magnitude & quiet) === quiet;
    case undefined:
      return found !== 0n;
    default:
      if (expected.type.endsWith('ref') && expected.value === 'null') return found === 0n;
      return found === bits(expected);
  }
}

/** What the suite calls our trap. */
const TRAP_TEXT: Partial<Record<TrapCode, RegExp>> = {
  [TrapCode.HeapOutOfBounds]: /^out of bounds memory access/,
  [TrapCode.TableOutOfBounds]: /^(out of bounds table access|undefined element)/,
  [TrapCode.IndirectCallToNull]: /^uninitialized element/,
  [TrapCode.BadSignature]: /^indirect call type mismatch/,
  [TrapCode.IntegerOverflow]: /^integer overflow/,
  [TrapCode.IntegerDivByZero]: /^integer divide by zero/,
  [TrapCode.IntegerDivision]: /^integer (divide by zero|overflow)/,
  [TrapCode.BadConversionToInteger]: /^invalid conversion to integer/,
  [TrapCode.Unreachable]: /^unreachable/,
  [TrapCode.StackOverflow]: /^call stack exhausted/,
};

class Run {
  readonly wrong: string[] = [];
  assertions = 0;
  private current: IrInstance | null = null;
  /**
   * An instance that is not there would share memory, tables or globals with one that is: the script's rest has no
   * meaning.
   */
  private shared = false;
  private readonly registered = new Map<string, IrInstance>();
  private readonly named = new Map<string, IrInstance | null>();

  constructor(private readonly localsInMemory: boolean) {}

  script(s: SpecScript): void {
    this.current = null;
    this.named.clear();
    this.registered.clear();
    this.shared = false;
    for (const c of s.commands) {
      if (this.shared) return;
      try {
        switch (c.type) {
          case 'module':
            this.current = this.instantiate(moduleBytes(c));
            if (c.name) this.named.set(c.name, this.current);
            break;
          case 'register': {
            const instance = c.name === undefined ? this.current : this.named.get(c.name);
            if (instance) this.registered.set(c.as!, instance);
            break;
          }
          case 'action':
            this.act(c.action!);
            break;
          case 'assert_return': {
            const found = this.act(c.action!);
            if (!found) break;
            this.assertions++;
            const { expected = [] } = c;
            if (expected.length !== found.length || !expected.every((e, i) => matches(e, found[i]!))) {
              throw new Error(`got ${found.join()}, expected ${JSON.stringify(expected)}`);
            }
            break;
          }
          case 'assert_trap':
          case 'assert_exhaustion':
            this.expectTrap(c.action!, c.text!);
            break;
        }
      } catch (e) {
        // The interpreter's own limit is low.
        if (e instanceof IrTrap && e.code === TrapCode.StackOverflow) continue;
        this.wrong.push(`${s.name}:${c.line}: ${e instanceof Error ? e.message : e}`);
      }
    }
  }

  private instantiate(bytes: Uint8Array): IrInstance | null {
    try {
      return new IrInstance(decodeModule(bytes), this.registered, this.localsInMemory);
    } catch (e) {
      if (e instanceof NotModelled) this.shared = true;
      if (e instanceof NotModelled || (e instanceof CompileError && e.kind !== 'malformed')) return null;
      throw e;
    }
  }

  /** Null if the instance is one we don't have. */
  private act(a: SpecAction): bigint[] | null {
    const instance = a.module === undefined ? this.current : this.named.get(a.module);
    if (!instance) return null;
    if (a.type === 'get') return [instance.get(a.field)];
    return instance.invoke(a.field, (a.args ?? []).map(bits));
  }

  private expectTrap(a: SpecAction, text: string): void {
    try {
      if (!this.act(a)) return;
    } catch (e) {
      if (!(e instanceof IrTrap)) throw e;
      this.assertions++;
      if (!TRAP_TEXT[e.code]?.test(text)) throw new Error(`trap ${e.code} instead of ${text}`);
      return;
    }
    throw new Error(`no trap: ${text}`);
  }
}

/**
 * Tests of arithmetic: operators one by one, thousands of values each. They test the interpreter more than the front
 * end.
 */
const ARITHMETIC = /\/(f32|f64|f32_cmp|f64_bitwise|const|float_literals)$/;

/** Where it matters how locals are kept. */
const CONTROL =
  /\/(block|br|br_if|call|fac|forward|func|if|local_get|local_set|loop|nop|return|select|switch|unreach.*)$/;

describe.runIf(suitePresent)('official suite on interpreted IR', () => {
  const all = (group: string) => scripts(group).filter(s => !ARITHMETIC.test(s.name));

  it.each([
    ['mvp-and-2.0', 6000],
    ['core-2.0-edition', 200],
    ['simd', 12000],
  ] as const)('%s', (group, atLeast) => {
    const run = new Run(false);
    for (const s of all(group)) run.script(s);
    expect(run.wrong).toEqual([]);
    expect(run.assertions).toBeGreaterThan(atLeast);
  });

  it('control flow with locals in memory', () => {
    const run = new Run(true);
    for (const s of all('mvp-and-2.0')) if (CONTROL.test(s.name)) run.script(s);
    expect(run.wrong).toEqual([]);
    expect(run.assertions).toBeGreaterThan(800);
  });
});
