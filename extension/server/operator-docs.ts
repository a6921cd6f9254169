/** What each operator of the text format does, for hovers and completion. */
import { OPCODES, OpcodeClass } from '../../compiler/wasm/opcodes.ts';
import { typeName } from '../../compiler/wasm/types.ts';

/** By the name behind the type prefix, or the whole name; N: the width of the type. */
const DOCS: Readonly<Record<string, string>> = {
  unreachable: 'Traps, always.',
  nop: 'Does nothing.',
  block: 'A sequence with a label; a branch to it goes to its end.',
  loop: 'A sequence with a label; a branch to it goes back to its start.',
  if: 'Runs its first sequence if the operand is not zero, else the second.',
  else: 'Begins the second sequence of an `if`.',
  end: 'Ends a block, loop, `if` or function.',
  br: 'Branches to a label; 0 is the innermost.',
  br_if: 'Branches to a label if the operand is not zero.',
  br_table: 'Branches to the label that the operand chooses; the last one for every other operand.',
  br_on_null: 'Branches if the reference is null, else keeps it.',
  br_on_non_null: 'Branches with the reference if it is not null, else drops it.',
  return: 'Returns from the function.',
  call: 'Calls a function.',
  call_indirect:
    'Calls the function that a table has at the index. Traps if there is none, or if it has another type.',
  return_call: 'Calls a function in place of this one: a tail call.',
  return_call_indirect: 'Calls through a table in place of this function: a tail call.',
  call_ref: 'Calls a function through a reference. Traps if it is null.',
  return_call_ref: 'Calls through a reference in place of this function: a tail call.',
  drop: 'Throws the operand away.',
  select: 'The first operand if the third is not zero, else the second. Both have been computed.',
  'local.get': 'The value of a local.',
  'local.set': 'Sets a local.',
  'local.tee': 'Sets a local and keeps the value.',
  'global.get': 'The value of a global.',
  'global.set': 'Sets a global.',
  'table.get': 'The element of a table. Traps outside of it.',
  'table.set': 'Sets an element of a table. Traps outside of it.',
  'table.size': 'Number of elements of a table.',
  'table.grow': 'Adds elements to a table; the old size, or -1 if it can’t grow.',
  'table.fill': 'Sets a range of a table to one value. Traps outside of it.',
  'table.copy': 'Copies a range between tables; they may overlap.',
  'table.init': 'Copies elements of a segment into a table.',
  'elem.drop': 'Frees an element segment: it is empty from here on.',
  'memory.size': 'Size of the memory in pages of 64 KiB.',
  'memory.grow': 'Adds pages to the memory; the old size in pages, or -1 if it can’t grow.',
  'memory.fill': 'Sets a range of the memory to one byte. Traps outside of it.',
  'memory.copy': 'Copies a range of memory; source and destination may overlap.',
  'memory.init': 'Copies bytes of a data segment into the memory.',
  'data.drop': 'Frees a data segment: it is empty from here on.',
  'ref.null': 'The null reference.',
  'ref.is_null': '1 if the reference is null, else 0.',
  'ref.func': 'A reference to a function.',
  'ref.eq': '1 if both references are the same, else 0.',
  'ref.as_non_null': 'The reference. Traps if it is null.',
  throw: 'Throws an exception with a tag.',
  throw_ref: 'Throws an exception again.',
  try_table: 'A sequence with handlers: each goes to a label when an exception is thrown inside.',
  const: 'A constant.',
  load: 'Reads from memory. Traps outside of it.',
  store: 'Writes to memory. Traps outside of it.',
  load8_s: 'Reads a byte, with its sign extended.',
  load8_u: 'Reads a byte, with zeros above it.',
  load16_s: 'Reads two bytes, with the sign extended.',
  load16_u: 'Reads two bytes, with zeros above them.',
  load32_s: 'Reads four bytes, with the sign extended.',
  load32_u: 'Reads four bytes, with zeros above them.',
  store8: 'Writes the low byte.',
  store16: 'Writes the low two bytes.',
  store32: 'Writes the low four bytes.',
  eqz: '1 if the operand is zero, else 0.',
  eq: '1 if the operands are equal, else 0.',
  ne: '1 if the operands differ, else 0.',
  lt: 'Less than. False if an operand is NaN.',
  gt: 'Greater than. False if an operand is NaN.',
  le: 'Less than or equal. False if an operand is NaN.',
  ge: 'Greater than or equal. False if an operand is NaN.',
  lt_s: 'Less than, signed.',
  lt_u: 'Less than, unsigned.',
  gt_s: 'Greater than, signed.',
  gt_u: 'Greater than, unsigned.',
  le_s: 'Less than or equal, signed.',
  le_u: 'Less than or equal, unsigned.',
  ge_s: 'Greater than or equal, signed.',
  ge_u: 'Greater than or equal, unsigned.',
  clz: 'Number of zero bits above the highest one; N for zero.',
  ctz: 'Number of zero bits below the lowest one; N for zero.',
  popcnt: 'Number of one bits.',
  add: 'Sum; of integers modulo 2^N.',
  sub: 'Difference; of integers modulo 2^N.',
  mul: 'Product; of integers modulo 2^N.',
  div: 'Quotient.',
  div_s: 'Signed quotient, towards zero. Traps for a divisor of zero, and for the smallest number by -1.',
  div_u: 'Unsigned quotient. Traps for a divisor of zero.',
  rem_s: 'Signed remainder, with the sign of the dividend. Traps for a divisor of zero.',
  rem_u: 'Unsigned remainder. Traps for a divisor of zero.',
  and: 'Bitwise and.',
  or: 'Bitwise or.',
  xor: 'Bitwise exclusive or.',
  not: 'Bitwise complement.',
  andnot: 'Bitwise and with the complement of the second operand.',
  bitselect: 'For each bit, of the first operand where the third has a one, else of the second.',
  shl: 'Shifts left; the count modulo N.',
  shr_s: 'Shifts right, the sign moves in; the count modulo N.',
  shr_u: 'Shifts right, zeros move in; the count modulo N.',
  rotl: 'Rotates left.',
  rotr: 'Rotates right.',
  abs: 'Absolute value.',
  neg: 'Negation.',
  ceil: 'Rounds up to an integer.',
  floor: 'Rounds down to an integer.',
  trunc: 'Rounds towards zero to an integer.',
  nearest: 'Rounds to the nearest integer, halves to the even one.',
  sqrt: 'Square root.',
  min: 'The smaller operand; NaN if one is.',
  max: 'The larger operand; NaN if one is.',
  copysign: 'The first operand with the sign of the second.',
  wrap_i64: 'The low 32 bits.',
  extend_i32_s: 'To 64 bits, with the sign extended.',
  extend_i32_u: 'To 64 bits, with zeros above.',
  demote_f64: 'To single precision, rounded.',
  promote_f32: 'To double precision.',
  extend8_s: 'The low byte, with its sign extended.',
  extend16_s: 'The low two bytes, with the sign extended.',
  extend32_s: 'The low four bytes, with the sign extended.',
  splat: 'All lanes set to the operand.',
  extract_lane: 'The value of one lane.',
  replace_lane: 'The vector with one lane replaced.',
  shuffle: 'Sixteen bytes chosen from both operands by constant indices.',
  swizzle: 'Bytes of the first operand chosen by the second; zero for an index beyond 15.',
  any_true: '1 if any bit is one, else 0.',
  all_true: '1 if no lane is zero, else 0.',
  bitmask: 'The highest bits of all lanes, as a number.',
  add128: '128-bit sum of two pairs of 64-bit words.',
  sub128: '128-bit difference of two pairs of 64-bit words.',
  mul_wide_s: 'Signed product of 128 bits, as two words.',
  mul_wide_u: 'Unsigned product of 128 bits, as two words.',
};

/** Families whose names carry types: longest prefix first. */
const FAMILIES: readonly (readonly [RegExp, string])[] = [
  [
    /^trunc_sat_f\d+(?:x\d)?_s/,
    'To a signed integer, towards zero; NaN gives 0, what does not fit the nearest bound.',
  ],
  [
    /^trunc_sat_f\d+(?:x\d)?_u/,
    'To an unsigned integer, towards zero; NaN gives 0, what does not fit the nearest bound.',
  ],
  [/^trunc_f\d+_s$/, 'To a signed integer, towards zero. Traps for NaN and for what does not fit.'],
  [/^trunc_f\d+_u$/, 'To an unsigned integer, towards zero. Traps for NaN and for what does not fit.'],
  [/^convert_(?:low_)?i\d+(?:x\d)?_s/, 'From a signed integer, rounded.'],
  [/^convert_(?:low_)?i\d+(?:x\d)?_u/, 'From an unsigned integer, rounded.'],
  [/^demote_f64x2_zero$/, 'To single precision, rounded; the upper lanes are zero.'],
  [/^promote_low_/, 'The lower lanes to double precision.'],
  [/^reinterpret_/, 'The same bits as another type.'],
  [/^load\d+x\d_s$/, 'Reads eight bytes as lanes, each with its sign extended.'],
  [/^load\d+x\d_u$/, 'Reads eight bytes as lanes, each with zeros above.'],
  [/^load\d+_splat$/, 'Reads a value and sets all lanes to it.'],
  [/^load\d+_zero$/, 'Reads a value into the lowest lane; the others are zero.'],
  [/^load\d+_lane$/, 'Reads one lane; the others are kept.'],
  [/^store\d+_lane$/, 'Writes one lane.'],
  [/^(?:add|sub)_sat_[su]$/, 'As without `sat`, but what does not fit becomes the nearest bound.'],
  [/^extract_lane_[su]$/, 'The value of one lane, extended to 32 bits.'],
  [/^(?:min|max)_[su]$/, 'Lane by lane, the smaller or larger one.'],
  [/^(?:pmin|pmax)$/, 'Lane by lane, `b < a ? b : a`, or `a < b ? b : a`.'],
  [/^relaxed_/, 'As without `relaxed`, but the machine may choose between a few results in corner cases.'],
  [/^extmul_/, 'Product of lanes at twice their width.'],
  [/^extadd_/, 'Sums of neighbouring lanes at twice their width.'],
  [/^extend_(?:low|high)_/, 'Half of the lanes at twice their width.'],
  [/^narrow_/, 'Lanes of both operands at half their width; what does not fit becomes the nearest bound.'],
  [/^dot_/, 'Sums of products of neighbouring lanes.'],
  [/^avgr_u$/, 'Lane by lane, the average rounded up.'],
  [/^q15mulr_sat_s$/, 'Lane by lane, the rounded product of fixed-point numbers.'],
];

const TYPES = /^(?:i32|i64|f32|f64|v128|i8x16|i16x8|i32x4|i64x2|f32x4|f64x2)\./;
const WIDTHS: Readonly<Record<string, string>> = { i32: '32', i64: '64', f32: '32', f64: '64' };

function signature(name: string): string {
  const op = BY_NAME.get(name);
  if (!op) return '';
  const from = typeName(op.operand);
  const to = typeName(op.result);
  switch (op.class) {
    case OpcodeClass.Unary:
    case OpcodeClass.Eqz:
      return `[${from}] → [${to}]`;
    case OpcodeClass.Binary:
      return `[${from} ${from}] → [${to}]`;
    case OpcodeClass.Load:
      return `[address] → [${to}]`;
    case OpcodeClass.Store:
      return `[address ${from}] → []`;
    default:
      return '';
  }
}

const BY_NAME = new Map(OPCODES.flatMap(o => (o ? [[o.name, o] as const] : [])));

/** All operators that the compiler knows. */
export const OPERATOR_NAMES: readonly string[] = [...BY_NAME.keys()];

export interface OperatorDoc {
  /** `[i32 i32] → [i32]`; empty: it depends on its immediates. */
  readonly signature: string;
  readonly text: string;
}

/** undefined: not an operator. */
export function operatorDoc(name: string): OperatorDoc | undefined {
  const suffix = name.replace(TYPES, '');
  const own = Object.hasOwn(DOCS, name) ? DOCS[name] : undefined;
  const shared = suffix !== name && Object.hasOwn(DOCS, suffix) ? DOCS[suffix] : undefined;
  const text = own ?? shared ?? FAMILIES.find(([re]) => suffix !== name && re.test(suffix))?.[1];
  if (text === undefined && !BY_NAME.has(name)) return undefined;
  const lanes = /^[if]\d+x\d+\./.test(name) ? 'Lane by lane. ' : '';
  const width = WIDTHS[name.slice(0, 3)] ?? 'N';
  return { signature: signature(name), text: `${lanes}${text ?? ''}`.replace(/\bN\b/g, width) };
}
