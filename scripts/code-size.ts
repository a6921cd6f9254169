/**
 * `npm run code-size [-- --kb N --floor N --share N]`: bytes of artifact for each byte of a module, for every operator
 * and construct, each in modules of N KB (default 2) that are full of it, with the largest immediates; functions that
 * are large, and many small ones. Prints what takes more than `floor` bytes for a byte (default 60), or seconds, or is
 * over a limit. Fails where code that names no thousand values in a few bytes takes more than 100: what is above that
 * is for a limit to stop (limits.ts); and where a module takes more processor time than any may. Ends with "N passed, N
 * failed".
 */
import { CompileError, compile } from '../compiler/index.ts';
import type { CompileOptions } from '../compiler/options.ts';
import {
  type Bytes,
  functionType,
  KIND,
  moduleBytes,
  name,
  sleb,
  TYPE_CODE,
  type TypeName,
  uleb,
  vector,
} from '../runtime/wasm-writer.ts';
import { codeBytes, LOADS, OPERATORS, STORES } from './fuzz/operators.ts';
import { scriptOptions } from './options.ts';

const WIDE = 1000;
const NUMBERS = ['i32', 'i64', 'f32', 'f64', 'v128'] as const;
const many = (t: TypeName): TypeName[] => new Array<TypeName>(WIDE).fill(t);

/** Types, by index. Of functions: 0 to 3 of values of 16 bytes, 4 to 7 of 8, 8 plain. */
const TYPES = [
  functionType([], many('v128')),
  functionType(many('v128'), []),
  functionType(many('v128'), many('v128')),
  functionType(['i32', ...many('v128').slice(1)], many('v128')),
  functionType([], many('i64')),
  functionType(many('i64'), []),
  functionType(many('i64'), many('i64')),
  functionType(many('funcref'), many('funcref')),
  functionType([], []),
];
const GIVES = { v128: 0, i64: 4 } as const;
const TAKES = { v128: 1, i64: 5 } as const;
const PASSES = { v128: 2, i64: 6 } as const;
/** Tags with a thousand values. */
const TAG = { v128: 1, i64: 2 } as const;
const PLAIN = 8;
const IMPORTS = TYPES.length;

/** Locals of each body: one of each type of number. */
const LOCAL = { i32: 0, i64: 1, f32: 2, f64: 3, v128: 4 } as const;
const get = (t: (typeof NUMBERS)[number]): number[] => [0x20, LOCAL[t]];
const FAR = 0xffff_fffe;

interface Construct {
  readonly name: string;
  /** Code that is there once in each function: before the units, and behind them. */
  readonly before?: Bytes;
  readonly unit: Bytes;
  readonly after?: Bytes;
  /** What stands behind all for each unit. */
  readonly close?: Bytes;
  readonly type?: number;
  readonly locals?: Bytes;
}

function* operators(): Generator<Construct> {
  for (const t of NUMBERS) {
    for (const { code, operands, immediates } of OPERATORS[t]) {
      const lanes = new Array<number>(immediates.count).fill(immediates.below - 1);
      const run = [...operands.flatMap(get), ...codeBytes(code), ...lanes];
      yield { name: `operator ${code.toString(16)}`, unit: [...run, 0x21, LOCAL[t]] };
      // On values that are there: the operator alone.
      if (operands.length === 1 && operands[0] === t)
        yield {
          name: `operator ${code.toString(16)}, chained`,
          before: get(t),
          unit: [...codeBytes(code), ...lanes],
          after: [0x1a],
        };
    }
    for (const memory of [0, 1]) {
      const arg = (align: number): number[] => [
        align | (memory > 0 ? 0x40 : 0),
        ...(memory > 0 ? [memory] : []),
        ...uleb(FAR),
      ];
      for (const { code, align, lanes } of LOADS[t])
        yield {
          name: `load ${code.toString(16)}, memory ${memory}`,
          unit: [
            ...get('i32'),
            ...(lanes > 0 ? get('v128') : []),
            ...codeBytes(code),
            ...arg(align),
            ...(lanes > 0 ? [lanes - 1] : []),
            0x21,
            LOCAL[t],
          ],
        };
      for (const { code, align, lanes } of STORES[t])
        yield {
          name: `store ${code.toString(16)}, memory ${memory}`,
          unit: [
            ...get('i32'),
            ...get(t),
            ...codeBytes(code),
            ...arg(align),
            ...(lanes > 0 ? [lanes - 1] : []),
          ],
        };
    }
  }
}

/** Of three values each. */
const THREE = [...get('i32'), ...get('i32'), ...get('i32')];

function* bulk(): Generator<Construct> {
  const of = (text: string, unit: Bytes): Construct => ({ name: text, unit });
  for (const m of [0, 1]) {
    yield of(`memory.copy ${m}`, [...THREE, 0xfc, 10, m, 1 - m]);
    yield of(`memory.fill ${m}`, [...THREE, 0xfc, 11, m]);
    yield of(`memory.init ${m}`, [...THREE, 0xfc, 8, 0, m]);
    yield of(`memory.size ${m}`, [0x3f, m, 0x1a]);
    yield of(`memory.grow ${m}`, [...get('i32'), 0x40, m, 0x1a]);
    yield of(`table.get ${m}`, [...get('i32'), 0x25, m, 0x1a]);
    yield of(`table.set ${m}`, [...get('i32'), 0xd0, 0x70, 0x26, m]);
    yield of(`table.copy ${m}`, [...THREE, 0xfc, 14, m, 1 - m]);
    yield of(`table.init ${m}`, [...THREE, 0xfc, 12, 0, m]);
    yield of(`table.grow ${m}`, [0xd0, 0x70, ...get('i32'), 0xfc, 15, m, 0x1a]);
    yield of(`table.fill ${m}`, [...get('i32'), 0xd0, 0x70, ...get('i32'), 0xfc, 17, m]);
  }
  yield of('ref.func', [0xd2, 0, 0x1a]);
  yield of('table.set of ref.func', [0x41, 0, 0xd2, 0, 0x26, 0]);
  yield of('elem.drop', [0xfc, 13, 0]);
  yield of('data.drop', [0xfc, 9, 0]);
  yield of('global.get, global.set', [0x23, 0, 0x24, 0]);
  yield of('global.set of a reference', [0xd0, 0x70, 0x24, 1]);
  yield of('constants', [0x42, ...sleb(-(2n ** 63n)), 0x21, LOCAL.i64]);
  yield of('i32.const, dropped', [0x41, 0, 0x1a]);
  yield of('select of vectors', [...get('v128'), ...get('v128'), ...get('i32'), 0x1b, 0x21, LOCAL.v128]);
  yield of('call', [0x10, IMPORTS - 1]);
  yield of('call_indirect', [0x41, 0, 0x11, PLAIN, 0]);
  yield of('call_ref', [0xd2, IMPORTS - 1, 0x14, PLAIN]);
  yield of('throw in a block', [0x02, 0x40, 0x08, 0, 0x0b]);
  yield of('try_table', [0x1f, 0x40, 1, 2, 0, 0x0b]);
  yield of('try_table around a call', [0x1f, 0x40, 1, 2, 0, 0x10, IMPORTS - 1, 0x0b]);
  yield of('if', [...get('i32'), 0x04, 0x40, 0x0b]);
  yield of('loop with a branch', [0x03, 0x40, ...get('i32'), 0x0d, 0, 0x0b]);
  yield of('br_if to the end of the function', [...get('i32'), 0x0d, 0]);
  yield of('br_table', [0x02, 0x40, ...get('i32'), 0x0e, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b]);
  yield of('br_table to the end of the function', [0x02, 0x40, ...get('i32'), 0x0e, 3, 0, 1, 0, 1, 0, 0x0b]);
  yield { name: 'nested blocks', unit: [0x02, 0x40], close: [0x0b] };
  yield { name: 'nested loops', unit: [0x03, 0x40], close: [0x0b] };
  yield {
    name: 'nested loops that assign',
    unit: [0x03, 0x40, ...get('i32'), 0x0d, 0],
    close: [...get('i32'), 0x22, 0, 0x0d, 0, 0x0b],
  };
  yield { name: 'nested ifs', unit: [...get('i32'), 0x04, 0x40], close: [0x0b] };
  yield { name: 'nested try_tables', unit: [0x1f, 0x40, 1, 2, 0, 0x10, IMPORTS - 1], close: [0x0b] };
}

function* wide(): Generator<Construct> {
  for (const t of ['v128', 'i64'] as const) {
    const made = [0x10, GIVES[t]];
    const taken = [0x10, TAKES[t]];
    const of = (text: string, unit: Bytes): Construct => ({
      name: `${text}, ${WIDE} of ${t}`,
      before: made,
      unit,
      after: taken,
    });
    yield { name: `results of calls as arguments, ${WIDE} of ${t}`, unit: [...made, ...taken] };
    yield of('call that passes', [0x10, PASSES[t]]);
    yield of('call_indirect that passes', [...get('i32'), 0x11, PASSES[t], 0]);
    yield of('call_ref that passes', [0xd2, PASSES[t], 0x14, PASSES[t]]);
    yield of('block that passes', [0x02, PASSES[t], 0x0b]);
    yield of('loop that passes', [0x03, PASSES[t], 0x0b]);
    yield of('loop that passes and branches', [0x03, PASSES[t], ...get('i32'), 0x0d, 0, 0x0b]);
    yield of('block with a branch', [0x02, PASSES[t], ...get('i32'), 0x0d, 0, 0x0b]);
    yield of('if that passes', [...get('i32'), 0x04, PASSES[t], 0x0b]);
    yield of('if with both arms', [
      ...get('i32'),
      0x04,
      PASSES[t],
      0x10,
      PASSES[t],
      0x05,
      0x10,
      PASSES[t],
      0x0b,
    ]);
    yield of('call that passes, in a try_table', [0x1f, PASSES[t], 1, 2, 0, 0x10, PASSES[t], 0x0b]);
    yield of('throw', [
      0x02,
      PASSES[t],
      0x1f,
      PASSES[t],
      1,
      0,
      TAG[t],
      0,
      0x10,
      PASSES[t],
      0x08,
      TAG[t],
      0x0b,
      0x0b,
    ]);
    yield {
      name: `block that gives, ${WIDE} of ${t}`,
      unit: [0x02, GIVES[t], 0x10, GIVES[t], 0x0b, ...taken],
    };
    yield {
      name: `return of a call, ${WIDE} of ${t}`,
      type: GIVES[t],
      unit: [0x02, 0x40, ...get('i32'), 0x0d, 0, 0x10, GIVES[t], 0x0f, 0x0b],
      after: [0x10, GIVES[t]],
    };
    yield {
      name: `return_call, ${WIDE} of ${t}`,
      type: PASSES[t],
      unit: [],
      before: [0x10, GIVES[t], 0x12, PASSES[t]],
    };
    yield {
      name: `br_if to the function's end, ${WIDE} of ${t}`,
      type: GIVES[t],
      before: made,
      unit: [0x41, 0, 0x0d, 0],
      after: [],
    };
    yield {
      name: `br_table to the function's end, ${WIDE} of ${t}`,
      type: GIVES[t],
      before: made,
      unit: [0x02, GIVES[t], 0x10, GIVES[t], 0x41, 0, 0x0e, 1, 0, 1, 0x0b, ...taken],
      after: [],
    };
    yield { name: `function that only passes, ${WIDE} of ${t}`, type: GIVES[t], before: made, unit: [] };
    yield { name: `${WIDE} parameters of ${t}, unused`, type: TAKES[t], unit: [] };
  }
  for (const count of [1000, 49_000])
    yield { name: `${count} locals`, locals: [...uleb(count), TYPE_CODE.v128], unit: [] };
  yield {
    name: '49000 locals, one is read',
    locals: [...uleb(49_000), TYPE_CODE.v128],
    unit: [],
    before: [0x20, ...uleb(48_000), 0x1a],
  };
  yield {
    name: '49000 locals, a call',
    locals: [...uleb(49_000), TYPE_CODE.i64],
    unit: [],
    before: [0x10, PLAIN],
  };
  yield {
    name: '49000 locals, a loop with a call',
    locals: [...uleb(49_000), TYPE_CODE.funcref],
    unit: [],
    before: [0x03, 0x40, 0x10, PLAIN, 0x0b],
  };
}

/** A module of about `size` bytes that is full of a construct, in functions of about `per` bytes. */
function moduleOf(c: Construct, size: number, per: number): Uint8Array {
  const { before = [], after = [], close = [], unit } = c;
  const typed =
    c.type === PASSES.v128 || c.type === TAKES.v128 || c.type === PASSES.i64 || c.type === TAKES.i64;
  const groups = typed ? [] : NUMBERS.map(t => [1, TYPE_CODE[t]]);
  const locals = vector([...groups, ...(c.locals ? [c.locals] : [])]);
  const units =
    unit.length === 0
      ? 0
      : Math.max(
          1,
          Math.floor((per - before.length - after.length - locals.length - 6) / (unit.length + close.length)),
        );
  const repeated = (part: Bytes): number[] => new Array<Bytes>(units).fill(part).flat();
  const inner = [...locals, ...before, ...repeated(unit), ...repeated(close), ...after, 0x0b];
  const body = [...uleb(inner.length), ...inner];
  const count = Math.max(1, Math.floor(size / (body.length + 1)));
  return moduleBytes({
    type: TYPES,
    import: TYPES.map((_, i) => [
      ...name('m'),
      ...name(`f${i}`),
      KIND.func,
      ...uleb(c.name.includes(` ${WIDE} `) ? i : PLAIN),
    ]),
    function: new Array<Bytes>(count).fill(uleb(c.type ?? PLAIN)),
    table: [
      [0x70, 0, 10],
      [0x70, 0, 10],
    ],
    memory: [
      [0, 1],
      [0, 1],
    ],
    tag: [
      [0, PLAIN],
      [0, TAKES.v128],
      [0, TAKES.i64],
    ],
    global: [
      [TYPE_CODE.v128, 1, 0xfd, 12, ...new Array<number>(16).fill(0), 0x0b],
      [0x70, 1, 0xd0, 0x70, 0x0b],
    ],
    element: [[3, 0, ...vector(TYPES.map((_, i) => uleb(i)))]],
    dataCount: [[1]],
    code: new Array<Bytes>(count).fill(body),
    data: [[1, 1, 0]],
  });
}

const VARIANTS: Readonly<Record<string, Partial<CompileOptions>>> = {
  '-O2': {},
  '-O0': { optLevel: 0 },
  '-g': { optLevel: 0, debugCode: true },
  dense: { memory: 'dense' },
  'dense -O0, counted': { memory: 'dense', optLevel: 0, countInstructions: true },
};

const USAGE = `Usage: npm run code-size -- [options]
  --kb N      size of the modules (default 2)
  --floor N   print what makes more than N bytes for one (default 60)
  --only TEXT constructs with that in their name
  --share N   only every Nth check (default 1)
`;
const values = scriptOptions(USAGE, {
  kb: { type: 'string', default: '2' },
  floor: { type: 'string', default: '60' },
  only: { type: 'string', default: '' },
  share: { type: 'string', default: '1' },
});
const SIZE = Number(values.kb) * 1024;
/** What the imports of every module here take. */
const BASE = new Map(
  ['nothing', `nothing, ${WIDE} `].map(name => [
    name.includes(` ${WIDE} `),
    compile(moduleOf({ name, unit: [] }, 0, 0), { debugInfo: false }).length,
  ]),
);
const MOST = 100;
/**
 * Of processor time, for a module of 2 KB: it takes 2 at most, and the engine may still be optimising what the last one
 * needed.
 */
const MOST_SECONDS = 10;
/** What a limit is there for: thousands of values by a few bytes. */
const BY_LIMIT = /\d{4,} (?:of|locals|parameters)/;
let passed = 0;
let failed = 0;
let checks = 0;
for (const c of [...operators(), ...bulk(), ...wide()]) {
  if (!c.name.includes(values.only)) continue;
  for (const per of /^(operator|load|store)/.test(c.name) ? [SIZE] : [SIZE, 1024, 0]) {
    const bytes = moduleOf(c, SIZE, per);
    for (const [variant, options] of Object.entries(VARIANTS)) {
      if (checks++ % Number(values.share) !== 0) continue;
      const from = process.cpuUsage();
      let code = 0;
      let error = '';
      try {
        code = compile(bytes, { ...options, debugInfo: false }).length;
      } catch (e) {
        if (!(e instanceof CompileError)) throw e;
        error = e.message;
        if (e.kind !== 'limit') throw e;
      }
      const { user, system } = process.cpuUsage(from);
      const seconds = (user + system) / 1e6;
      const wide = c.name.includes(` ${WIDE} `);
      const factor = Math.max(0, code - BASE.get(wide)!) / bytes.length;
      const slow = seconds > (MOST_SECONDS * Number(values.kb)) / 2;
      if (!slow && (BY_LIMIT.test(c.name) || (factor <= MOST && error === ''))) passed++;
      else failed++;
      if (factor > Number(values.floor) || slow || error !== '')
        console.log(
          `${factor.toFixed(0).padStart(6)}  ${seconds.toFixed(1).padStart(5)} s  ${variant}, functions of ${per}: ${c.name} ${error}`,
        );
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
