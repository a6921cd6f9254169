/** The trap inspector's page: facts in, HTML out, hostile names included. */
import { describe, expect, it } from 'vitest';
import type { FunctionCode } from '../tool/protocol.ts';
import { inlineJson, renderDocument } from '../trap/document.ts';
import { renderPage, text } from '../trap/html.ts';
import { boundsOf, placeOf, trapView } from '../trap/view.ts';

const source = { file: '/p/trap.c', line: 11, column: 10 };
const frame = (functionName: string, line: number, wasmOffset: number) => ({
  kind: 'wasm',
  moduleName: 'trap.wasm',
  functionIndex: 5,
  functionName,
  wasmOffset,
  source: line ? { ...source, line } : null,
  count: 0,
});
const report = {
  version: 1,
  kind: 'trap',
  code: 'HeapOutOfBounds',
  message: 'out of bounds memory access',
  moduleName: 'trap.wasm',
  modulePath: '/p/trap.so',
  moduleHash: 'abcd',
  functionIndex: 5,
  functionName: 'read_cell',
  wasmOffset: 0x1c1,
  source,
  access: { memory: 0, offset: '70000', memorySize: 65536 },
  signal: 11,
  faultAddress: '0x7f0000011170',
  pc: '0x7f1000000040',
  registers: { rax: '0x11170', r15: '0x7f0000000000', rcx: '0x7f0000000010' },
  frames: [
    frame('read_cell', 11, 0x1c1),
    frame('sum', 16, 0x200),
    { ...frame('', 0, 0x300), functionIndex: 9 },
  ],
  totalFrames: 8,
};
const code: FunctionCode = {
  index: 5,
  name: 'read_cell',
  files: ['/p/trap.c'],
  wat: [
    { offset: 0x1b0, depth: 0, text: '(func $read_cell (;5;)', file: 0, line: 10 },
    { offset: 0x1be, depth: 1, text: 'local.get 0', file: 0, line: 11 },
    { offset: 0x1c1, depth: 1, text: 'i32.load', file: 0, line: 11 },
  ],
  native: [
    { address: 0x1000, pc: 0, bytes: '90', text: 'add eax, ecx', wasmOffset: 0x1c1, note: '' },
    {
      address: 0x1001,
      pc: 1,
      bytes: '90',
      text: 'mov eax, [r15+rax]',
      wasmOffset: 0x1c1,
      note: 'trap HeapOutOfBounds',
    },
  ],
  note: '',
};
const lines = {
  position: source,
  path: '/p/trap.c',
  from: 10,
  lines: ['static int read_cell() {', '  return t->cells[i];', '}'],
};
const page = (change: object = {}) =>
  renderPage({
    view: trapView({ ...report, ...change }),
    code,
    source: lines,
    canRerun: true,
    hasCoredump: true,
  });

describe('trapView', () => {
  it('takes what there is, and refuses what is no report', () => {
    expect(() => trapView(null)).toThrow('not a trap report');
    expect(() => trapView({ version: 1 })).toThrow('not a trap report');
    const view = trapView({
      code: 'Unreachable',
      frames: [null, 3, { functionName: {} }],
      registers: [1],
      access: 7,
      locals: 'x',
    });
    expect(view).toMatchObject({
      code: 'Unreachable',
      access: null,
      globals: [],
      memories: [],
      registers: [],
      functionIndex: null,
    });
    expect(view.frames).toHaveLength(1);
  });

  it('reads what newer reports add', () => {
    const view = trapView({
      ...report,
      explanation: 'Because.',
      frames: [
        {
          ...frame('f', 1, 2),
          isInlined: true,
          variables: [
            { name: 'i', type: 'int', kind: 'local', value: '7', missing: null },
            { name: 'p', type: 'char *', kind: 'local', value: null, missing: 'optimised out' },
          ],
        },
      ],
      globals: [{ index: 2, type: 'i32', value: '5' }],
      bytes: { memory: 0, start: 16, hex: '00ff' },
      table: {
        table: 0,
        size: 4,
        index: 3,
        expected: '(i32)',
        actual: null,
        functionIndex: null,
        functionName: 'g',
      },
    });
    expect(view.explanation).toEqual(['Because.']);
    expect(view.frames[0]).toMatchObject({
      inlined: true,
      variables: [{ value: '7' }, { missing: 'optimised out' }],
    });
    expect(view.globals).toEqual([{ name: '2', type: 'i32', value: '5', missing: '' }]);
    expect(view.memories[0]).toEqual({ memory: 0, start: 16n, bytes: Uint8Array.of(0, 255) });
    expect(view.table).toMatchObject({
      table: '0',
      index: '3',
      expected: '(i32)',
      actual: '',
      functionName: 'g',
    });
  });

  it('finds the place behind a language’s own machinery', () => {
    const frames = [frame('abort', 0, 1), frame('__assert_fail', 3, 2), frame('check', 20, 3)];
    expect(placeOf(trapView({ ...report, frames, userFrame: 2 })).source?.line).toBe(20);
    expect(placeOf(trapView({ ...report, frames })).frame?.functionName).toBe('abort');
  });
});

describe('the page', () => {
  it('has the facts', () => {
    const html = page();
    expect(html).toContain('out of bounds memory access');
    expect(html).toContain('0x11170; memory 0 has 0x10000 bytes (1 page): 4,464 bytes beyond the end.');
    expect(html).toMatch(/data-file="&#x?2?f?|data-file="\/p\/trap\.c" data-line="11" data-column="10"/);
    expect(html).toContain('5 more');
    expect(html).toContain('function 9');
    expect(html).toContain('memory + 0x10');
  });

  it('pins the line, the operator and the instruction that trapped, and links them by offset', () => {
    const faults = [...page().matchAll(/class="row fault"( data-offsets="[^"]*")?><span[^>]*>([^<]*)/g)].map(
      m => [m[2], m[1]?.trim()],
    );
    expect(faults).toEqual([
      ['11', 'data-offsets="446 449"'],
      ['0x1c1', 'data-offsets="449"'],
      ['0x1001', 'data-offsets="449"'],
    ]);
  });

  it('lets nothing of the module’s be more than text', () => {
    const evil = '</script><img src=x onerror=alert(1)>"\'&\u202e\u0007';
    const html = renderPage({
      view: trapView({
        ...report,
        message: evil,
        functionName: evil,
        moduleName: evil,
        explanation: [evil],
        code: evil,
        registers: { [evil]: evil },
        globals: [{ index: evil, type: evil, value: evil, missing: evil }],
        frames: [
          {
            ...frame(evil, 11, 1),
            source: { ...source, file: evil },
            variables: [{ name: evil, type: evil, value: evil }],
          },
        ],
        table: { index: evil, expected: evil, actual: evil, functionName: evil },
        compileOptions: { [evil]: evil },
        warnings: [evil],
      }),
      code: {
        ...code,
        name: evil,
        note: evil,
        wat: [{ ...code.wat![0]!, text: evil }],
        native: [{ ...code.native![0]!, text: evil, note: evil }],
      },
      source: { ...lines, lines: [evil] },
      canRerun: true,
      hasCoredump: true,
    });
    expect(html).not.toMatch(/<img|<\/script|onerror=alert\(1\)>|\u202e/);
    expect(html).not.toContain('\u0007');
    // No attribute is ended early: what is outside of tags has no quotes of its own.
    expect(html.replace(/<[^<>]*>/g, '')).not.toMatch(/[<>"']/);
    expect(text('<\u200b>')).toBe('&#60;\\x200b&#62;');
  });

  it('can not be left through its state', () => {
    const html = renderDocument('t', '', {
      cspSource: 'x:',
      nonce: 'n',
      styles: [],
      script: 's.js',
      state: JSON.stringify({ report: '</script><script>alert(1)</script>\u2028' }),
    });
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(JSON.parse(inlineJson(JSON.stringify('</script>\u2028')))).toBe('</script>\u2028');
    expect(html).toContain("default-src 'none'");
    expect(html).not.toContain('unsafe');
  });

  it('does without a module, a source, or an access', () => {
    const html = renderPage({
      view: trapView({ code: 'StackOverflow' }),
      code: null,
      source: null,
      canRerun: false,
      hasCoredump: false,
    });
    expect(html).toContain('The stack is full');
    expect(html).not.toContain('Re-run');
  });
});

describe('bounds', () => {
  const access = { memory: 0, size: null, write: null, memorySize: 65536n, maxSize: null };
  it.each([
    [0n, 0, 0],
    [65532n, 0.49, 0.5],
    [65536n, 0.5, 0.5],
    [70000n, 0.6, 0.8],
    [0xfffffffcn, 0.9, 1],
    [2n ** 63n, 1, 1],
  ])('%s', (offset, low, high) => {
    const { tick } = boundsOf({ ...access, offset });
    expect(tick).toBeGreaterThanOrEqual(low);
    expect(tick).toBeLessThanOrEqual(high);
  });

  it('tells what it knows of the access', () => {
    expect(boundsOf({ ...access, offset: 65534n, size: 4, write: true }).words).toBe(
      'Wrote 4 bytes at 0xfffe; memory 0 has 0x10000 bytes (1 page): it begins inside and ends outside.',
    );
    expect(boundsOf({ ...access, offset: 1n, maxSize: 131072n }).parts.map(p => p.kind)).toEqual([
      'heap',
      'growable',
      'guard',
    ]);
  });
});
