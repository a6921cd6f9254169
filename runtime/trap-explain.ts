/** What a trap means, in words: made of the report's facts alone, so that every front end says the same. */
import { printable } from '../compiler/printable.ts';
import type { ReportAccess, ReportFrame, ReportTable, TrapReport } from './trap-report.ts';

type Draft = Omit<TrapReport, 'explanation'>;

/** A function's name as its author knows it: without the hash that Rust appends. */
export function shownName(frame: {
  readonly functionName: string;
  readonly functionIndex: number | null;
}): string {
  const name = printable(frame.functionName.replace(/::h[0-9a-f]{16}$/, ''));
  return name !== ''
    ? name
    : frame.functionIndex === null
      ? 'unknown function'
      : `function ${frame.functionIndex}`;
}

export const count = (n: bigint | number): string => n.toString().replace(/\B(?=(\d{3})+$)/g, ',');

const WORDS: Readonly<Record<string, string>> = {
  IntegerDivByZero: 'An integer was divided by zero.',
  IntegerOverflow: 'The result of a division, or of a conversion from floating point, does not fit its type.',
  BadConversionToInteger: 'A floating-point number that is not a number (NaN) was converted to an integer.',
  NullReference: 'A null reference was used.',
  UncaughtException: 'The program threw an exception, and nothing caught it.',
  CastFailure: 'A reference was cast to a type that it is not of.',
  ArrayOutOfBounds: 'An array was accessed beyond its end.',
};

/** @param aborted what the program told as it gave up; null: nothing */
export function explain(report: Draft, aborted: string | null = null): string {
  switch (report.code) {
    case 'HeapOutOfBounds':
      if (report.access === null) return 'Memory beyond the end was accessed.';
      return isBelowMemoryStack(report, report.access)
        ? explainOverflow(report.frames, MEMORY_STACK)
        : explainAccess(report.access);
    case 'StackOverflow':
      return explainOverflow(report.frames, NATIVE_STACK);
    case 'Unreachable':
      return aborted === null ? explainUnreachable(report) : `The program aborted: ${printable(aborted)}.`;
    case 'BadSignature':
      return explainSignature(report.table);
    case 'IndirectCallToNull':
      return `A function was called through a null function pointer${slot(report.table)}.${expected(report.table)}`;
    case 'TableOutOfBounds':
      return explainTable(report.table);
    default:
      return Object.hasOwn(WORDS, report.code)
        ? WORDS[report.code]!
        : `The guest stopped: ${report.message}.`;
  }
}

/** Below this, an address is likely a null pointer with a member's offset. */
const NULL_ZONE = 4096n;
/** Around 4 GiB: a negative index, as 32-bit arithmetic has it. */
const NEGATIVE_ZONE = 1n << 20n;

function explainAccess(access: ReportAccess): string {
  const offset = BigInt(access.offset);
  const size = BigInt(access.memorySize);
  const which = access.memory === 0 ? 'memory' : `memory ${access.memory}`;
  const pages =
    size % 65536n === 0n ? ` (${count(size / 65536n)} ${size === 65536n ? 'page' : 'pages'})` : '';
  const verb = access.write === null ? 'Accessed' : access.write ? 'Wrote' : 'Read';
  const bytes =
    access.size === null ? 'address' : `${access.size} ${access.size === 1 ? 'byte' : 'bytes'} at`;
  const facts = `${verb} ${bytes} 0x${offset.toString(16)}, but the ${which} has 0x${size.toString(16)} bytes${pages}`;
  const beyond = offset - size;
  if (beyond < 0n) return `${facts}: the access begins inside and ends outside.`;
  if (size === 0n && offset < NULL_ZONE) return `${facts}: likely a null pointer.`;
  const limit = 1n << 32n;
  if (offset >= limit - NEGATIVE_ZONE && offset < limit + NEGATIVE_ZONE) {
    const below = limit - offset;
    const amount = below > 0n ? ` (${count(below)} bytes below 4 GiB)` : '';
    return `${facts}: close to 4 GiB${amount}, so likely a negative index, or a null pointer with something subtracted.`;
  }
  if (beyond === 0n) return `${facts}: the first byte beyond its end.`;
  return `${facts}: ${count(beyond)} bytes beyond its end.`;
}

/**
 * LLVM keeps what has an address on a stack in linear memory, which grows down to 0 where it lies first; its pointer is
 * the first global and divisible by 16. One that has become negative, with an access in the frame at it, is that
 * stack's overflow.
 */
function isBelowMemoryStack(report: Draft, access: ReportAccess): boolean {
  const [pointer] = report.globals;
  if (access.memory !== 0 || pointer?.type !== 'i32' || pointer.value === null) return false;
  const below = BigInt(pointer.value);
  const frame = (1n << 32n) + below;
  const offset = BigInt(access.offset);
  return below < 0n && below % 16n === 0n && offset >= frame && offset < frame + NEGATIVE_ZONE;
}

interface StackWords {
  readonly full: string;
  readonly advice: string;
}

const NATIVE_STACK: StackWords = {
  full: 'The stack is full',
  advice: 'Deep recursion, or large variables on the stack; --stack-size gives it more.',
};
const MEMORY_STACK: StackWords = {
  full: "The program's own stack, in its memory, is full",
  advice:
    'Deep recursion, or large variables on the stack; its size is chosen when the program is linked (wasm-ld -z stack-size=BYTES).',
};

function explainOverflow(frames: readonly ReportFrame[], { full, advice }: StackWords): string {
  const wasm = frames.filter(f => f.kind === 'wasm' && !f.isInlined);
  const period = repeatingPeriod(wasm.map(f => f.functionIndex));
  if (period === 0) return `${full}. ${advice}`;
  const names = wasm.slice(0, period).map(shownName).reverse();
  const cycle =
    period === 1 ? `${names[0]} calls itself` : `${names.join(' calls ')}, which calls ${names[0]} again`;
  return `${full}: ${cycle}, without end or too deeply. ${advice}`;
}

/** Length of the shortest cycle that the innermost frames repeat at least three times; 0: none. */
export function repeatingPeriod(functions: readonly number[]): number {
  for (let period = 1; period <= 16 && 3 * period <= functions.length; period++) {
    let i = period;
    while (i < 3 * period && functions[i] === functions[i - period]) i++;
    if (i === 3 * period) return period;
  }
  return 0;
}

/** By the innermost frame that matches: what the language did there. */
const GIVING_UP: readonly (readonly [RegExp, string])[] = [
  [
    /^core::panicking::panic_bounds_check|^core::slice::index::/,
    'The program panicked: an index is out of its slice',
  ],
  [
    /^core::cell::(?:panic_already|RefCell<.*>::(?:borrow|borrow_mut|replace|swap)$)|already_borrowed/,
    'The program panicked: a RefCell was borrowed while another borrow forbade it',
  ],
  [
    /^core::(?:option|result)::.*(?:unwrap|expect)/,
    'The program panicked: it unwrapped a value that was not there',
  ],
  [
    /^core::panicking::panic_(?:const_)?(?:add|sub|mul|neg|shl|shr)/,
    'The program panicked: an arithmetic operation overflowed',
  ],
  [/^(?:core|std)::panicking|^rust_panic|^rust_begin_unwind/, 'The program panicked'],
  [
    /^builtin\.panicOutOfBounds|^debug\.FullPanic\b.*\.outOfBounds/,
    'The program panicked: an index is out of bounds',
  ],
  [
    /^builtin\.panicInactiveUnionField|^debug\.FullPanic\b.*\.inactiveUnionField/,
    'The program panicked: a field of a union was used that is not the active one',
  ],
  [/^builtin\.(?:default_panic|panic\w)|^debug\.(?:panic|defaultPanic|FullPanic)/, 'The program panicked'],
  [/^alloc::alloc::handle_alloc_error|^__rust_alloc_error|rust_oom/, 'The program ran out of memory'],
  [/^__assert_fail|^__assert/, 'An assertion failed'],
  [
    /^std::terminate|^__cxa_(?:throw|pure_virtual)|^std::__\w+::__throw|__throw_/,
    'The program threw an exception that nothing caught, or called a pure virtual function',
  ],
  [
    /^~lib\/builtins\/abort|^~lib\/(?:rt|array|string|map|set|typedarray)/,
    'The program aborted in its run-time library',
  ],
  [/^runtime\.(?:nilPanic)/, 'The program panicked: it used a nil pointer'],
  [/^runtime\.(?:lookupPanic|slicePanic)/, 'The program panicked: an index is out of range'],
  [/^runtime\.(?:_panic|runtimePanic)/, 'The program panicked'],
  [/^_?abort$/, 'The program aborted'],
  [/^undefined(?:_weak)?:/, 'The program called a function that was not linked into it'],
];

function explainUnreachable(report: Draft): string {
  const user = report.userFrame ?? 0;
  const inner = report.frames.slice(0, user + 1).filter(f => f.kind === 'wasm');
  const named = report.frames[report.userFrame ?? -1];
  const where = named === undefined || report.userFrame === 0 ? '' : `, in ${shownName(named)}`;
  for (const [pattern, words] of GIVING_UP) {
    if (inner.some(f => pattern.test(f.functionName))) return `${words}${where}.`;
  }
  return 'The program gave up: an abort, a failed assertion or a panic, or code that its compiler took for unreachable.';
}

function slot(table: ReportTable | null): string {
  if (table === null || table.index === null) return '';
  return `: entry ${count(table.index)} of table ${table.table}`;
}

function expected(table: ReportTable | null): string {
  return table === null ? '' : ` The call expects ${table.expected}.`;
}

function explainSignature(table: ReportTable | null): string {
  if (table === null) return 'A function was called through a pointer of another type than the function has.';
  const call = `A function of type ${table.expected} was called through a pointer`;
  if (table.actual === null) return `${call}, but the function there is of another type.`;
  const name = printable(table.functionName) || `function ${table.functionIndex}`;
  return `${call}, but ${table.index === null ? 'it' : `entry ${count(table.index)} of table ${table.table}`} is ${name}, of type ${table.actual}.`;
}

function explainTable(table: ReportTable | null): string {
  const base = 'A function pointer, or another table index, is beyond the end of its table';
  if (table === null) return `${base}: likely a corrupted or uninitialised pointer.`;
  const size = table.size === null ? '' : ` table ${table.table} has ${count(table.size)} entries,`;
  const index = table.index === null ? '' : ` the index is ${count(table.index)};`;
  return `${base}:${size}${index} likely a corrupted or uninitialised pointer.${expected(table)}`;
}
