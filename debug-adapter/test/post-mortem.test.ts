/** A C program that traps, looked at through the protocol; and its core dump, looked at later. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { AdapterServer } from './support/adapter-server.ts';

const SOURCE = `
typedef struct list { int value; struct list *next; } list;
typedef enum { RED, GREEN, BLUE } color;
typedef int (*binary)(int, int);
static int table[4] = {2, 3, 5, 7};
static int add(int a, int b) { return a + b; }
int depth(list *l, int n) {
  float ratio = n / 4.0f;
  if (l->next) return depth(l->next, n + 1); // RECURSE
  int *beyond = (int *)0x7fffff00;
  return *beyond + (int)ratio; // TRAP
}
int main(int argc, char **argv) {
  list three = {3, 0}, two = {2, &three}, one = {1, &two};
  color c = BLUE;
  const char *text = "some \\"text\\"";
  char buffer[8] = "abc";
  int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
  struct { unsigned low : 3; int high : 5; } bits = {5, -2};
  binary op = add;
  volatile unsigned long long wide = 0x123456789abcdef0ull;
  table[1] = op(table[0], 10);
  return depth(&one, 1); // CALL
}
`;
const LINES = SOURCE.split('\n');
const line = (mark: string): number => LINES.findIndex(l => l.includes(`// ${mark}`)) + 1;

const root = join(import.meta.dirname, '../..');
let dir = '';
let adapter: AdapterServer;
let client: DebugClient;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-post-mortem-'));
  writeFileSync(join(dir, 'prog.c'), SOURCE);
  writeFileSync(join(dir, 'prog.wasm'), await clang({ 'prog.c': SOURCE }, ['-g', '-O0']));
  adapter = await AdapterServer.start({ XDG_CACHE_HOME: dir });
}, 120_000);
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  client = await adapter.connect();
});
afterEach(async () => {
  await client.stop();
});

async function stackOf(): Promise<DebugProtocol.StackFrame[]> {
  return (await client.stackTraceRequest({ threadId: 1 })).body.stackFrames;
}

async function locals(frame: DebugProtocol.StackFrame): Promise<Record<string, DebugProtocol.Variable>> {
  const { scopes } = (await client.scopesRequest({ frameId: frame.id })).body;
  const { variables } = (await client.variablesRequest({ variablesReference: scopes[0]!.variablesReference }))
    .body;
  return Object.fromEntries(variables.map(v => [v.name, v]));
}

async function evaluate(expression: string, frame: DebugProtocol.StackFrame): Promise<string> {
  try {
    return (await client.evaluateRequest({ expression, frameId: frame.id, context: 'watch' })).body.result;
  } catch (e) {
    return `error: ${(e as Error).message}`;
  }
}

async function trapped(): Promise<DebugProtocol.StackFrame[]> {
  const stopped = client.waitForEvent('stopped');
  const launch = { program: join(dir, 'prog.wasm'), cwd: dir, optLevel: 2 };
  await Promise.all([client.configurationSequence(), client.launch(launch as never)]);
  await stopped;
  return stackOf();
}

describe('a trap of optimised code', () => {
  it('has the stack, and every variable of unoptimised C', async () => {
    const stack = await trapped();
    const own = stack.filter(f => f.source?.path === join(dir, 'prog.c'));
    expect(own.map(f => [f.name, f.line])).toEqual([
      ['depth', line('TRAP')],
      ['depth', line('RECURSE')],
      ['depth', line('RECURSE')],
      ['main', line('CALL')],
    ]);
    const inner = await locals(own[0]!);
    expect(inner.n!.value).toBe('3');
    expect(inner.ratio!.value).toBe('0.75');
    expect(inner.beyond!.value).toBe('0x7fffff00');
    expect((await locals(own[1]!)).n!.value).toBe('2');
    expect((await locals(own[2]!)).ratio!.value).toBe('0.25');
    const main = await locals(own[3]!);
    const shown = Object.fromEntries(Object.entries(main).map(([name, v]) => [name, `${v.type} ${v.value}`]));
    expect(shown).toMatchObject({
      argc: 'int 1',
      c: 'color BLUE',
      text: expect.stringMatching(/^const char \* 0x\w+ "some \\"text\\""$/),
      buffer: 'char[8] "abc"',
      grid: 'int[2][3] [[1, 2, 3], [4, 5, 6]]',
      bits: expect.stringContaining('{low: 5, high: -2}'),
      wide: 'volatile unsigned long long 1311768467463790320',
    });
    // Taken apart: a list, by its pointers.
    let { variablesReference } = main.one!;
    const found: string[] = [];
    while (variablesReference > 0) {
      const { variables } = (await client.variablesRequest({ variablesReference })).body;
      found.push(`${variables[0]!.evaluateName} ${variables[0]!.value}`);
      variablesReference = variables.find(v => v.name === 'next')!.variablesReference;
    }
    expect(found).toEqual(['one.value 1', 'one.next->value 2', 'one.next->next->value 3']);
  });

  it('answers expressions', async () => {
    const stack = await trapped();
    const main = stack.find(f => f.name === 'main')!;
    const expected: [string, string][] = [
      ['one.next->next->value', '3'],
      ['grid[1][2] * 10 - 1', '59'],
      ['*(&grid[0][0] + 4)', '5'],
      ['(&one)->next == &two', '1'],
      ['table[1]', '12'],
      ['buffer[1]', "98 'b'"],
      ["text[0] == 's' && c == 2", '1'],
      ['(unsigned char)300', "44 ','"],
      ['bits.high + bits.low', '3'],
      ['wide >> 60', '1'],
      ['-7 / 2', '-3'],
      ['1.5 * 4', '6'],
      ['$mem8[0x7fffff00]', 'error: there is no memory at 0x7fffff00'],
      ['one.nothing', 'error: list has no member nothing'],
      ['nothing', 'error: there is no nothing here'],
      ['one +', 'error: a value expected, found "the end"'],
      ['1 / 0', 'error: division by zero'],
      ['grid[1],2', '[4, 5]'],
      ['-7,x', '0xfffffffffffffff9'],
      ['sizeof(int)', '4'],
      ['größe', 'error: there is no größe here'],
      ['"a" + 1', 'error: texts are compared by == and !=, not by +'],
      ['one.value == "a"', 'error: 1 is no text'],
      ['one,x', 'error: list is no number'],
      ['wide,q', 'error: behind a comma: x (hexadecimal), b (binary), or a number of elements'],
      ['one.size()', 'error: how many elements list has is not known'],
      [
        'main(1)',
        'error: an expression only reads: functions of the program can not be called, but for size(), len() and empty() of what the debugger knows',
      ],
      ['one.value = 5', 'error: it could not be set'],
    ];
    for (const [expression, result] of expected)
      expect(await evaluate(expression, main), expression).toBe(result);
    expect(await evaluate('$g0', main)).toMatch(/^\d+$/);
    expect(await evaluate('$rip', main)).toMatch(/^0x[0-9a-f]+$/);
  });

  it('answers requests that make no sense with errors, or with as little as there is', async () => {
    const stack = await trapped();
    const main = stack.find(f => f.name === 'main')!;
    for (const expression of [
      `${'('.repeat(4000)}1`,
      `${'!'.repeat(4000)}1`,
      `1${'+1'.repeat(3000)}`,
      '1 << 4000000000',
      '$mem8[-1]',
      '$mem64[1 << 62]',
      '$mem8[1e300]',
      'grid[1 << 40][1 << 40]',
      '(list)1',
      '$l99999999999999999999',
      "'",
      '',
    ])
      expect(await evaluate(expression, main), expression).toMatch(/^(?:error: .+|<.*>)$/);
    const grid = (await locals(main)).grid!;
    const children = async (start: number, count: number): Promise<number> => {
      const range = { variablesReference: grid.variablesReference, filter: 'indexed' as const, start, count };
      return (await client.variablesRequest(range)).body.variables.length;
    };
    expect(await children(-5, 2 ** 40)).toBe(2);
    expect(await children(2 ** 40, 1)).toBe(0);
    const memory = { memoryReference: grid.memoryReference!, offset: 0, count: 2 ** 31 };
    const read = await client.customRequest('readMemory', memory);
    expect(Buffer.from(read.body.data, 'base64').length).toBeLessThan(2 ** 24);
    for (const wrong of [{ memoryReference: 'x' }, { offset: 0.5 }, { offset: Number.MAX_VALUE }]) {
      await expect(client.customRequest('readMemory', { ...memory, ...wrong })).rejects.toThrow(
        /address|integer/,
      );
      await expect(
        client.customRequest('writeMemory', { ...memory, ...wrong, data: 'AA==' }),
      ).rejects.toThrow();
    }
    const code = { memoryReference: stack[0]!.instructionPointerReference!, instructionCount: 4 };
    for (const wrong of [{ instructionOffset: 0.5 }, { offset: 1e300 }, { instructionCount: 1.5 }])
      await expect(client.customRequest('disassemble', { ...code, ...wrong })).rejects.toThrow(/integer/);
    for (const far of [-(2 ** 40), 2 ** 40]) {
      const { body } = await client.customRequest('disassemble', { ...code, instructionOffset: far });
      expect(body.instructions).toHaveLength(4);
    }
    const again = { program: join(dir, 'prog.wasm') } as DebugProtocol.LaunchRequestArguments;
    await expect(client.launchRequest(again)).rejects.toThrow(/already/);
    expect(await evaluate('table[1]', main)).toBe('12');
  });

  it('shows memory and native code', async () => {
    const stack = await trapped();
    const main = await locals(stack.find(f => f.name === 'main')!);
    const memory = await client.customRequest('readMemory', {
      memoryReference: main.buffer!.memoryReference,
      count: 8,
    });
    expect(Buffer.from(memory.body.data, 'base64').toString('latin1')).toBe('abc\0\0\0\0\0');
    const beyond = await client.customRequest('readMemory', { memoryReference: '0x7fffff00', count: 8 });
    expect(beyond.body).toMatchObject({ unreadableBytes: 8 });
    const pc = stack[0]!.instructionPointerReference!;
    const { body } = await client.customRequest('disassemble', {
      memoryReference: pc,
      instructionOffset: -3,
      instructionCount: 8,
    });
    const instructions = body.instructions as DebugProtocol.DisassembledInstruction[];
    expect(instructions[3]!.address).toBe(pc);
    expect(instructions[3]!).toMatchObject({ line: line('TRAP'), instruction: expect.stringContaining('[') });
    // The same as objdump says.
    const so = execFileSync('find', [dir, '-name', '*.so'], { encoding: 'utf8' }).trim().split('\n')[0]!;
    const [, address] = /^ *\d+ \.text +\w+ +(\w+)/m.exec(
      execFileSync('objdump', ['-h', so], { encoding: 'utf8' }),
    )!;
    const from = Number.parseInt(address!, 16) + Number(pc);
    const text = execFileSync(
      'objdump',
      ['-d', '-M', 'intel', `--start-address=${from}`, `--stop-address=${from + 24}`, so],
      { encoding: 'utf8' },
    );
    const first = /^ +[0-9a-f]+:\t([0-9a-f ]+)\t/m.exec(text)![1]!.trim();
    expect(instructions[3]!.instructionBytes).toBe(first);
  });

  it('is there again in its core dump', async () => {
    const core = join(dir, 'core');
    const run = spawnSync(join(root, 'bin/lucet-wasi'), ['--coredump', core, join(dir, 'prog.wasm')], {
      env: { ...process.env, XDG_CACHE_HOME: dir },
    });
    expect(run.status).toBe(134);
    const stopped = client.waitForEvent('stopped');
    await client.initializeRequest();
    const attached = client.attachRequest({ program: join(dir, 'prog.wasm'), coredump: core } as never);
    await client.waitForEvent('initialized');
    await client.configurationDoneRequest();
    await attached;
    await stopped;
    const own = (await stackOf()).filter(f => f.source?.path === join(dir, 'prog.c'));
    expect(own.map(f => f.line)).toEqual([line('TRAP'), line('RECURSE'), line('RECURSE'), line('CALL')]);
    const main = await locals(own[3]!);
    expect(main.grid!.value).toBe('[[1, 2, 3], [4, 5, 6]]');
    expect(await evaluate('one.next->next->value', own[3]!)).toBe('3');
  });

  it('a breakpoint in code without places to stop says so', async () => {
    await client.initializeRequest();
    // The session ends before it has an answer.
    client.launchRequest({ program: join(dir, 'prog.wasm'), optLevel: 2 } as never).catch(() => undefined);
    await client.waitForEvent('initialized');
    const { body } = await client.setBreakpointsRequest({
      source: { path: join(dir, 'prog.c') },
      breakpoints: [{ line: line('CALL') }],
    });
    expect(body.breakpoints[0]).toMatchObject({
      verified: false,
      message: expect.stringContaining('-g -O0'),
    });
  });
});
