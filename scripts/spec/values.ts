/** Values of test scripts: reading arguments, and comparing results with expectations, bit for bit. */
import type { LaneType, ScriptValue } from './script.ts';

export type NumberType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/**
 * A value that goes into or comes out of an engine. Numbers and vectors are bits (v128: lane 0 lowest). A reference is
 * null, the host reference of a number, or some other reference.
 */
export type Value =
  | { readonly type: NumberType; readonly bits: bigint }
  | { readonly type: string; readonly ref: null | number | 'other' };

const WIDTH: Record<NumberType | LaneType, number> = {
  i8: 8,
  i16: 16,
  i32: 32,
  i64: 64,
  f32: 32,
  f64: 64,
  v128: 128,
};
const NUMBER_TYPES: ReadonlySet<string> = new Set<NumberType>(['i32', 'i64', 'f32', 'f64', 'v128']);
const NULL_TYPES: ReadonlySet<string> = new Set([
  'nullref',
  'nullfuncref',
  'nullexternref',
  'nullexnref',
  'refnull',
]);

export function isNumber(v: Value): v is Extract<Value, { bits: bigint }> {
  return 'bits' in v;
}

/** The argument that a script writes; patterns are not arguments. */
export function argument(v: ScriptValue): Value {
  if (v.type === 'v128') {
    const lanes = v.value as readonly string[];
    const width = WIDTH[v.lane_type!];
    if (lanes.length * width !== 128) throw new Error(`a v128 of ${lanes.length} lanes of ${v.lane_type}`);
    let bits = 0n;
    lanes.forEach((lane, i) => {
      bits |= BigInt.asUintN(width, BigInt(lane)) << BigInt(i * width);
    });
    return { type: 'v128', bits };
  }
  const text = v.value as string;
  if (NUMBER_TYPES.has(v.type)) {
    const type = v.type as NumberType;
    return { type, bits: BigInt.asUintN(WIDTH[type], BigInt(text)) };
  }
  if (text === 'null' || NULL_TYPES.has(v.type)) return { type: v.type, ref: null };
  return { type: v.type, ref: Number(text) };
}

const NAN = {
  f32: { magnitude: 0x7fff_ffffn, canonical: 0x7fc0_0000n },
  f64: { magnitude: 0x7fff_ffff_ffff_ffffn, canonical: 0x7ff8_0000_0000_0000n },
} as const;

/** Do these bits match a number or NaN pattern? */
function matchesBits(type: NumberType | LaneType, pattern: string, bits: bigint): boolean {
  if (pattern === 'nan:canonical' || pattern === 'nan:arithmetic') {
    const nan = NAN[type as 'f32' | 'f64'];
    // Canonical: the payload is the quiet bit alone. Arithmetic: exponent and quiet bit are set, the rest is free.
    const mask = pattern === 'nan:canonical' ? nan.magnitude : nan.canonical;
    return (bits & mask) === nan.canonical;
  }
  return bits === BigInt.asUintN(WIDTH[type], BigInt(pattern));
}

/** Does an actual result match what the script expects of it? */
export function matches(expected: ScriptValue, actual: Value): boolean {
  if (expected.type === 'either') return expected.values!.some(v => matches(v, actual));
  if (NUMBER_TYPES.has(expected.type)) {
    if (!isNumber(actual) || actual.type !== expected.type) return false;
    if (expected.type !== 'v128') {
      return matchesBits(actual.type, expected.value as string, actual.bits);
    }
    const lane = expected.lane_type!;
    const width = WIDTH[lane];
    return (expected.value as readonly string[]).every((pattern, i) =>
      matchesBits(lane, pattern, BigInt.asUintN(width, actual.bits >> BigInt(i * width))),
    );
  }
  if (isNumber(actual)) return false;
  if (NULL_TYPES.has(expected.type) || expected.value === 'null') return actual.ref === null;
  if (actual.ref === null) return false;
  // An engine names the static type of the result: a subtype's pattern may not equal it, but the two kinds of 2.0 never
  // mix.
  if ((expected.type === 'funcref') !== (actual.type === 'funcref')) return false;
  return expected.value === undefined || actual.ref === Number(expected.value);
}

function showNumber(type: NumberType | LaneType, bits: bigint): string {
  const hex = `0x${bits.toString(16)}`;
  switch (type) {
    case 'f32': {
      const view = new DataView(new ArrayBuffer(4));
      view.setUint32(0, Number(bits));
      return `${hex} (${view.getFloat32(0)})`;
    }
    case 'f64': {
      const view = new DataView(new ArrayBuffer(8));
      view.setBigUint64(0, bits);
      return `${hex} (${view.getFloat64(0)})`;
    }
    case 'v128':
      return `0x${bits.toString(16).padStart(32, '0')}`;
    default:
      return `${BigInt.asIntN(WIDTH[type], bits)}`;
  }
}

export function showValue(v: Value): string {
  if (isNumber(v)) return `${v.type} ${showNumber(v.type, v.bits)}`;
  return v.ref === null ? `${v.type} null` : v.ref === 'other' ? v.type : `${v.type} host ${v.ref}`;
}

export function showExpected(v: ScriptValue): string {
  if (v.type === 'either') return `either ${v.values!.map(showExpected).join(' or ')}`;
  if (v.value === undefined) return `${v.type} (any)`;
  const one = (type: NumberType | LaneType, text: string): string =>
    text.startsWith('nan:') ? text : showNumber(type, BigInt.asUintN(WIDTH[type], BigInt(text)));
  if (v.type === 'v128') {
    const lanes = v.value as readonly string[];
    return `v128 ${v.lane_type}×${lanes.length} [${lanes.map(t => one(v.lane_type!, t)).join(', ')}]`;
  }
  if (!NUMBER_TYPES.has(v.type)) return `${v.type} ${v.value}`;
  return `${v.type} ${one(v.type as NumberType, v.value as string)}`;
}

export function showValues(values: readonly string[]): string {
  return values.length === 0 ? 'nothing' : values.join(', ');
}
