/** Data breakpoints of real guests, through the built adapter and the protocol; and where the system gives none. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { AdapterServer } from './support/adapter-server.ts';

const SOURCE = `#include <stdio.h>
#include <unistd.h>
struct part { char tag; short half; double weight; long long big; int bits : 3; };
struct part part = {'a', 1, 0.5, 7, 1};
unsigned char bytes[32];
int total = 1;
int add(int a, int b) {
  int sum = a; // SUM
  sum += b; // ADDED
  return sum; // RETURN
}
int main(void) { // MAIN
  total = 1; // SAME
  total = 2; // CHANGED
  int x = add(total, 3); // CALL
  x = x + total; // READ
  for (int i = 0; i < 5; i++)
    bytes[i] = i + 1; // BYTES
  part.half = 2; // HALF
  part.weight = 1.5; // WEIGHT
  int *p = &x;
  *p = 40; // POINTER
  read(0, bytes, 4); // INPUT
  x = add(1, 2); // AGAIN
  printf("%d %d\\n", total, x); // PRINT
  return 0;
}
`;
const line = (mark: string): number => SOURCE.split('\n').findIndex(l => l.includes(`// ${mark}`)) + 1;

const WAT = `(module
  (memory (export "memory") 1)
  (global $g (mut i64) (i64.const 5))
  (func $f (export "_start") (local $n i32)
    i32.const 1
    local.set $n
    i64.const 6
    global.set $g
    local.get $n
    i32.const 41
    i32.add
    local.set $n))`;

let dir = '';
let adapter: AdapterServer;
let client: DebugClient;
/** Why this machine has none; null: it has. */
let refusal: string | null = null;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-data-'));
  writeFileSync(join(dir, 'prog.c'), SOURCE);
  writeFileSync(join(dir, 'input'), 'wxyz');
  writeFileSync(join(dir, 'prog.wat'), WAT);
  writeFileSync(join(dir, 'prog.wasm'), await clang({ 'prog.c': SOURCE }, ['-g', '-O0']));
  adapter = await AdapterServer.start();
  await begin({}, [{ line: line('MAIN') }]);
  const [set] = await watch([{ name: 'total' }]);
  if (!set!.verified) refusal = set!.message!;
  await client.stop();
  if (refusal !== null) process.stderr.write(`SKIPPED: data breakpoints that are hit: ${refusal}\n`);
}, 120_000);
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});
afterEach(async () => {
  await client.stop();
});

type Stopped = DebugProtocol.StoppedEvent['body'];
let nextStop: Promise<DebugProtocol.Event>;

/** Starts, and waits for the first stop. */
async function begin(
  more: object,
  lines: readonly DebugProtocol.SourceBreakpoint[],
  server = adapter,
): Promise<void> {
  client = await server.connect();
  await client.initializeRequest();
  const launched = client.launchRequest({
    program: join(dir, 'prog.wasm'),
    cwd: dir,
    stdin: 'input',
    ...more,
  } as never);
  await client.waitForEvent('initialized');
  await client.setBreakpointsRequest({ source: { path: join(dir, 'prog.c') }, breakpoints: [...lines] });
  nextStop = client.waitForEvent('stopped');
  await client.configurationDoneRequest();
  await launched;
  await nextStop;
}

async function frame(): Promise<DebugProtocol.StackFrame> {
  return (await client.stackTraceRequest({ threadId: 1 })).body.stackFrames[0]!;
}

async function info(name: string): Promise<DebugProtocol.DataBreakpointInfoResponse['body']> {
  const { id } = await frame();
  return (await client.customRequest('dataBreakpointInfo', { name, frameId: id })).body;
}

interface Wanted extends Partial<DebugProtocol.DataBreakpoint> {
  readonly name: string;
}

async function watch(wanted: readonly Wanted[]): Promise<DebugProtocol.Breakpoint[]> {
  const breakpoints: object[] = [];
  for (const { name, ...more } of wanted)
    breakpoints.push({ dataId: (await info(name)).dataId!, accessType: 'write', ...more });
  return (await client.customRequest('setDataBreakpoints', { breakpoints })).body.breakpoints;
}

/** Goes on to the next stop: why, and on which line. */
async function go(how: 'continue' | 'next' = 'continue'): Promise<Stopped & { line: number }> {
  const stop = client.waitForEvent('stopped');
  await client.customRequest(how, { threadId: 1 });
  return { ...((await stop) as DebugProtocol.StoppedEvent).body, line: (await frame()).line };
}

const hit = (mark: string, description: string, ...ids: number[]): object => ({
  reason: 'data breakpoint',
  description,
  line: line(mark),
  ...(ids.length > 0 ? { hitBreakpointIds: ids } : {}),
});

const watching = (name: string, act: () => Promise<void>): void =>
  it(name, async ctx => {
    if (refusal !== null) return ctx.skip(refusal);
    await act();
  });

watching('stop at the line that changes a variable, with the old and the new value', async () => {
  await begin({}, [{ line: line('MAIN') }, { line: line('CALL') }]);
  const [set] = await watch([{ name: 'total' }]);
  expect(set).toEqual({ id: expect.any(Number), verified: true });
  expect(await go()).toMatchObject(hit('CHANGED', 'total changed from 1 to 2', set!.id!));
  // The breakpoint on the next line is not lost.
  expect(await go()).toMatchObject({ reason: 'breakpoint', line: line('CALL') });
});

watching('stop at accesses, at members of each size, and in values as the language has them', async () => {
  await begin({}, [{ line: line('CALL') }]);
  await watch([
    { name: 'part.half' },
    { name: 'part.weight' },
    { name: 'bytes[2]' },
    { name: 'total', accessType: 'readWrite' },
  ]);
  expect(await go()).toMatchObject(hit('CALL', 'total was accessed, and is 2'));
  expect(await go()).toMatchObject(hit('READ', 'total was accessed, and is 2'));
  expect(await go()).toMatchObject(hit('BYTES', 'bytes[2] changed from 0 to 3'));
  expect(await go()).toMatchObject(hit('HALF', 'part.half changed from 1 to 2'));
  expect(await go()).toMatchObject(hit('WEIGHT', 'part.weight changed from 0.5 to 1.5'));
  // The system writes it for a host function.
  expect(await go()).toMatchObject({
    reason: 'data breakpoint',
    description: "bytes[2] changed from 3 to 121 'y'",
  });
});

watching('watch a local until its function returns', async () => {
  await begin({}, [{ line: line('SUM') }]);
  await watch([{ name: 'sum' }]);
  expect((await go()).description).toMatch(/^sum changed from -?\d+ to 2$/);
  expect(await go()).toMatchObject(hit('ADDED', 'sum changed from 2 to 5'));
  const gone = client.waitForEvent('breakpoint') as Promise<DebugProtocol.BreakpointEvent>;
  // The same place in the stack again, in another call.
  expect(await go()).toMatchObject({ reason: 'breakpoint', line: line('SUM') });
  expect((await gone).body).toMatchObject({
    reason: 'changed',
    breakpoint: { verified: false, message: 'sum is gone: add has returned.' },
  });
  const ended = client.waitForEvent('terminated');
  await client.continueRequest({ threadId: 1 });
  await ended;
});

watching("watch a caller's local through a pointer to it, and step on from there", async () => {
  await begin({}, [{ line: line('POINTER') }]);
  await watch([{ name: '*p' }]);
  expect(await go()).toMatchObject(hit('POINTER', '*p changed from 7 to 40'));
  expect(await go('next')).toMatchObject({ reason: 'step', line: line('INPUT') });
  expect(await go('next')).toMatchObject({ reason: 'step', line: line('AGAIN') });
  // While a step is under way.
  expect(await go('next')).toMatchObject(hit('AGAIN', '*p changed from 40 to 3'));
});

watching('take conditions and counts', async () => {
  await begin({}, [{ line: line('CALL') }]);
  await client.setBreakpointsRequest({
    source: { path: join(dir, 'prog.c') },
    breakpoints: [{ line: line('BYTES') }],
  });
  expect(await go()).toMatchObject({ reason: 'breakpoint', line: line('BYTES') });
  await client.setBreakpointsRequest({ source: { path: join(dir, 'prog.c') }, breakpoints: [] });
  await watch([
    { name: 'i', hitCondition: '>= 3' },
    { name: 'bytes[4]', condition: 'i == 7' },
  ]);
  expect(await go()).toMatchObject({ reason: 'data breakpoint', description: 'i changed from 2 to 3' });
  await client.customRequest('setDataBreakpoints', { breakpoints: [] });
  const ended = client.waitForEvent('terminated');
  await client.continueRequest({ threadId: 1 });
  await ended;
});

watching('watch four places, and say why not a fifth', async () => {
  await begin({}, [{ line: line('CALL') }]);
  const names = ['bytes[0]', 'bytes[1]', 'bytes[2]', 'total', 'bytes[4]'];
  const set = await watch(names.map(name => ({ name })));
  expect(set.map(b => b.verified)).toEqual([true, true, true, true, false]);
  expect(set[4]!.message).toMatch(/4 places at most/);
});

watching('watch bytes by their address, in the next session as well', async () => {
  await begin({}, [{ line: line('MAIN') }]);
  const { id } = await frame();
  const { body } = await client.evaluateRequest({ expression: '&total', frameId: id });
  const at = /0x[\da-f]+/.exec(body.result)![0];
  const ask = async (args: object): Promise<DebugProtocol.DataBreakpointInfoResponse['body']> =>
    (await client.customRequest('dataBreakpointInfo', { asAddress: true, ...args })).body;
  const found = await ask({ name: at, bytes: 4 });
  expect(found).toMatchObject({ canPersist: true, description: `4 bytes at ${at}` });
  expect(await ask({ name: at, bytes: 3 })).toMatchObject({ dataId: null });
  expect(await ask({ name: 'total', bytes: 4 })).toMatchObject({ dataId: null });
  await client.stop();
  await begin({}, [{ line: line('MAIN') }]);
  const breakpoints = [
    { dataId: found.dataId!, accessType: 'write' },
    { dataId: '#1' },
    { dataId: '99999999996:4' },
  ];
  const set = (await client.customRequest('setDataBreakpoints', { breakpoints })).body.breakpoints;
  expect(set.map((b: DebugProtocol.Breakpoint) => b.verified)).toEqual([true, false, false]);
  expect(set[2].message).toMatch(/no such/);
  expect(await go()).toMatchObject(hit('CHANGED', `4 bytes at ${at} changed from 0x1 to 0x2`));
});

watching("watch WebAssembly's own locals and globals", async () => {
  await begin({ program: join(dir, 'prog.wat'), stopOnEntry: true }, []);
  await watch([{ name: '$g0' }, { name: '$n' }]);
  expect((await go()).description).toBe('$n changed from 0 to 1');
  expect((await go()).description).toBe('$g0 changed from 5 to 6');
  expect((await go()).description).toBe('$n changed from 1 to 42');
});

it('say what can not be watched, and why', async () => {
  await begin({}, [{ line: line('MAIN') }]);
  const { id } = await frame();
  const why = async (name: string): Promise<string> => {
    const found = await info(name);
    expect(found.dataId).toBeNull();
    return found.description;
  };
  expect(await why('part')).toMatch(/1, 2, 4 or 8 bytes, and it has \d+: choose a part/);
  expect(await why('part.bits')).toMatch(/bit field/);
  expect(await why('1 + 2')).toMatch(/kept nowhere/);
  expect(await why('nothing')).toMatch(/no nothing/);
  expect(await why('*(int *)5')).toMatch(/multiple of 4/);
  const { body: scopes } = await client.scopesRequest({ frameId: id });
  const locals = scopes.scopes.find(s => s.name === 'Locals')!.variablesReference;
  const { body } = await client.customRequest('dataBreakpointInfo', {
    name: 'x',
    variablesReference: locals,
  });
  expect(body).toMatchObject({ description: 'x', accessTypes: ['write', 'readWrite'], canPersist: false });
  const registers = scopes.scopes.find(s => s.name === 'Registers')!.variablesReference;
  const { body: none } = await client.customRequest('dataBreakpointInfo', {
    name: '$rax',
    variablesReference: registers,
  });
  expect(none).toMatchObject({ dataId: null, description: '$rax is nothing that could be watched' });
});

it('say why the system gives none, and run on', async () => {
  // In place of a system that refuses.
  writeFileSync(
    join(dir, 'refuse.c'),
    `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
long syscall(long n, long a, long b, long c, long d, long e, long f) {
  if (n == SYS_perf_event_open) return errno = EACCES, -1;
  return ((long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall"))(n, a, b, c, d, e, f);
}
`,
  );
  execFileSync('gcc', ['-shared', '-fPIC', '-o', join(dir, 'refuse.so'), join(dir, 'refuse.c'), '-ldl']);
  const refused = await AdapterServer.start({ LD_PRELOAD: join(dir, 'refuse.so') });
  await begin({}, [{ line: line('MAIN') }, { line: line('CALL') }], refused);
  const [set] = await watch([{ name: 'total' }]);
  expect(set).toMatchObject({
    verified: false,
    message: expect.stringMatching(/^total can't be watched: .*perf_event_paranoid/),
  });
  expect(await go()).toMatchObject({ reason: 'breakpoint', line: line('CALL') });
  await client.stop();
  await refused.stop();
  client = await adapter.connect();
});
