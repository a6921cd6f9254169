/**
 * What a trap's report says for each language's way of giving up: names and positions as real toolchains write them
 * (rustc 1.63, Zig 0.11, clang 16).
 */
import { describe, expect, it } from 'vitest';
import { formatTrap } from '../lucet-wasi-report.ts';
import { explain } from '../trap-explain.ts';
import { type ReportFrame, type TrapReport, userFrame } from '../trap-report.ts';

const frame = (functionName: string, file = '', index = 0): ReportFrame => ({
  kind: 'wasm',
  moduleName: 'm',
  functionIndex: index,
  functionName,
  isInlined: false,
  wasmOffset: 0,
  textOffset: 0,
  source: file === '' ? null : { file, line: 7, column: 1 },
  variables: null,
  count: 0,
});

const report = (frames: ReportFrame[], more: Partial<TrapReport> = {}): TrapReport =>
  ({
    kind: 'trap',
    code: 'Unreachable',
    message: 'unreachable',
    explanation: '',
    access: null,
    table: null,
    globals: [],
    source: null,
    frames,
    userFrame: userFrame(frames),
    totalFrames: frames.length,
    ...more,
  }) as TrapReport;

describe('Zig', () => {
  const std = (name: string, file: string): ReportFrame => frame(name, `/opt/zig/lib/std/${file}`);
  it.each([
    [['builtin.panicOutOfBounds'], 'an index is out of bounds'],
    [["debug.FullPanic((function 'defaultPanic')).outOfBounds"], 'an index is out of bounds'],
    [['builtin.panicInactiveUnionField__anon_2999'], 'a field of a union was used'],
    [[], 'The program panicked, in z.get'],
  ])('%j: %s', (inner, words) => {
    const r = report([
      std('os.abort', 'os.zig'),
      std('builtin.default_panic', 'builtin.zig'),
      ...inner.map(name => std(name, 'builtin.zig')),
      frame('z.get', '/src/z.zig'),
    ]);
    expect(r.frames[r.userFrame!]!.functionName).toBe('z.get');
    expect(explain(r)).toContain(words);
    expect(explain(r)).toMatch(/, in z\.get\.$/);
  });

  it('a file of the program that lies in a folder named std is its own', () => {
    const frames = [frame('f', '/src/lib/std/other.c'), frame('g', '/src/g.c')];
    expect(userFrame(frames)).toBe(0);
  });
});

describe('Rust', () => {
  const inner = ['rust_panic', 'core::panicking::panic_fmt', 'core::result::unwrap_failed'];
  it.each([
    ['core::cell::RefCell<p::P>::borrow', 'a RefCell was borrowed while another borrow forbade it'],
    ['core::result::Result<p::P, u8>::expect', 'it unwrapped a value that was not there'],
  ])('%s: %s', (name, words) => {
    expect(explain(report([...inner, name, 'p::main'].map(n => frame(n))))).toContain(words);
  });

  it('a short backtrace ends where the program does', () => {
    const outer = [
      'core::ops::function::FnOnce::call_once',
      'std::sys_common::backtrace::__rust_begin_short_backtrace',
      'std::rt::lang_start_internal',
      '_start',
    ];
    const r = report(['p::idx', 'p::main', ...outer].map(n => frame(n)));
    const short = formatTrap(r, { color: false, full: false });
    expect(short).toContain('p::main');
    expect(short).not.toMatch(/call_once|short_backtrace|lang_start|_start/);
    expect(short).toContain('... 4 more (--backtrace full shows more)');
    expect(formatTrap(r, { color: false, full: true })).toContain('lang_start_internal');
  });
});

describe('the stack in linear memory', () => {
  const deep = [1, 1, 1, 1].map(index => frame('deep', '/src/d.c', index));
  const trap = (offset: bigint, pointer: string, frames: ReportFrame[]): string =>
    explain(
      report(frames, {
        code: 'HeapOutOfBounds',
        access: {
          memory: 0,
          offset: `${offset}`,
          memorySize: 0x110000,
          operator: 'i64.store',
          write: true,
          size: 8,
        },
        globals: [{ index: 0, type: 'i32', value: pointer }],
      }),
    );

  it('is full when its pointer has passed 0', () => {
    // As clang and rustc at level 0 do it, offset from the frame's start included.
    expect(trap(0x1_0000_0098n, '-512', deep)).toMatch(/own stack.* is full: deep calls itself.*stack-size/);
    expect(trap(0xffff_fea0n, '-480', [frame('large')])).toMatch(/own stack.* is full\. /);
  });

  it('is not when the access is elsewhere, or the pointer is in memory', () => {
    expect(trap(0xffff_fff8n, '1048560', deep)).toContain('likely a negative index');
    expect(trap(0x7fff_ff00n, '-512', deep)).toContain('beyond its end');
    expect(trap(0xffff_ffffn, '-1', deep)).toContain('likely a negative index');
  });
});
