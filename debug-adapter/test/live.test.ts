/** A real guest under the debugger: debug code in this process, through the built adapter and the protocol. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { AdapterServer } from './support/adapter-server.ts';

const SOURCE = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int total = 0;
struct pair { int a, b; };
int add(int a, int b) {
  int sum = a + b; // ADD
  return sum; // RETURN
}
int twice(int n) { return 2 * n; } // TWICE
int (*volatile pointer)(int) = twice;
int main(int argc, char **argv) { // MAIN
  if (argc > 1 && strcmp(argv[1], "spin") == 0)
    for (;;) total++; // SPIN
  if (argc > 1 && strcmp(argv[1], "trap") == 0)
    return *(int *)0x7fff0000; // TRAP
  if (argc > 1 && strcmp(argv[1], "exit") == 0)
    exit(argc + 1); // EXIT
  if (argc > 1 && strcmp(argv[1], "targets") == 0)
    for (int k = 0; k < 3; k++)
      total += add(twice(1), add(twice(2), pointer(3))) + (int)strlen(argv[0]); // TARGETS
  struct pair p = {3, 4};
  double half = p.a / 2.0;
  int x = add(p.a, p.b); // CALL
  for (int i = 0; i < 5; i++)
    total += i * x; // BODY
  printf("total %d, half %g\\n", total, half); // PRINT
  return 7;
}
`;
const line = (mark: string): number => SOURCE.split('\n').findIndex(l => l.includes(`// ${mark}`)) + 1;

let dir = '';
let adapter: AdapterServer;
let client: DebugClient;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-live-'));
  writeFileSync(join(dir, 'prog.c'), SOURCE);
  writeFileSync(join(dir, 'prog.wasm'), await clang({ 'prog.c': SOURCE }, ['-g', '-O0']));
  adapter = await AdapterServer.start();
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

async function launch(
  lines: readonly object[],
  args: readonly string[] = [],
  more: object = {},
  filters: string[] | null = null,
): Promise<DebugProtocol.Breakpoint[]> {
  await client.initializeRequest();
  const launched = client.launchRequest({
    program: join(dir, 'prog.wasm'),
    cwd: dir,
    args,
    ...more,
  } as never);
  await client.waitForEvent('initialized');
  if (filters !== null) await client.setExceptionBreakpointsRequest({ filters });
  const source = { path: join(dir, 'prog.c') };
  const { body } = await client.setBreakpointsRequest({
    source,
    breakpoints: lines as DebugProtocol.SourceBreakpoint[],
  });
  await client.configurationDoneRequest();
  await launched;
  return body.breakpoints;
}

async function top(): Promise<{ place: string; values: Record<string, string>; scope: number }> {
  const { stackFrames } = (await client.stackTraceRequest({ threadId: 1 })).body;
  const { scopes } = (await client.scopesRequest({ frameId: stackFrames[0]!.id })).body;
  const scope = scopes[0]!.variablesReference;
  const { variables } = (await client.variablesRequest({ variablesReference: scope })).body;
  const values = Object.fromEntries(variables.map(v => [v.name, v.value]));
  return { place: `${stackFrames[0]!.name}:${stackFrames[0]!.line}`, values, scope };
}

async function after(act: () => Promise<unknown>): Promise<Awaited<ReturnType<typeof top>>> {
  const stopped = client.waitForEvent('stopped');
  await act();
  await stopped;
  return top();
}

const thread = { threadId: 1 };

it('stops at breakpoints with the right values, steps, and goes on with what was set', async () => {
  let printed = '';
  client.on('output', (e: DebugProtocol.OutputEvent) => {
    if (e.body.category === 'stdout') printed += e.body.output;
  });
  const at = await after(() => launch([{ line: line('CALL') }, { line: line('BODY'), condition: 'i == 3' }]));
  expect(at).toMatchObject({
    place: `main:${line('CALL')}`,
    values: { p: '{a: 3, b: 4}', half: '1.5', argc: '1' },
  });
  const inner = await after(() => client.stepInRequest(thread));
  expect(inner).toMatchObject({ place: `add:${line('ADD')}`, values: { a: '3', b: '4' } });
  expect(await after(() => client.nextRequest(thread))).toMatchObject({
    place: `add:${line('RETURN')}`,
    values: { sum: '7' },
  });
  const outer = await after(() => client.stepOutRequest(thread));
  expect(outer.place).toMatch(/^main:/);
  const loop = await after(() => client.continueRequest(thread));
  expect(loop).toMatchObject({ place: `main:${line('BODY')}`, values: { i: '3', x: '7' } });
  const set = { variablesReference: loop.scope, name: 'x', value: '1000' };
  expect((await client.setVariableRequest(set)).body.value).toBe('1000');
  const exited = client.waitForEvent('exited') as Promise<DebugProtocol.ExitedEvent>;
  await client.continueRequest(thread);
  expect((await exited).body.exitCode).toBe(7);
  // (0 + 1 + 2) * 7 + (3 + 4) * 1000
  expect(printed).toBe('total 7021, half 1.5\n');
});

it('stops where it exits with another status than 0, if that is asked for, with the stack that led there', async () => {
  const stopped = client.waitForEvent('stopped') as Promise<DebugProtocol.StoppedEvent>;
  await launch([], ['exit'], {}, ['exit']);
  expect((await stopped).body).toMatchObject({ reason: 'exception', text: 'Exit status 3' });
  const info = (await client.customRequest('exceptionInfo', thread)).body;
  expect(info).toMatchObject({ exceptionId: 'exit', description: 'The program ends with exit status 3.' });
  const { stackFrames } = (await client.stackTraceRequest(thread)).body;
  const main = stackFrames.find(f => f.name === 'main')!;
  expect(main.line).toBe(line('EXIT'));
  const { scopes } = (await client.scopesRequest({ frameId: main.id })).body;
  const { variables } = (await client.variablesRequest({ variablesReference: scopes[0]!.variablesReference }))
    .body;
  expect(variables.find(v => v.name === 'argc')?.value).toBe('2');
  const exited = client.waitForEvent('exited') as Promise<DebugProtocol.ExitedEvent>;
  await client.continueRequest(thread);
  expect((await exited).body.exitCode).toBe(3);
});

it('may be ended where it exits', async () => {
  const stopped = client.waitForEvent('stopped');
  await launch([], ['exit'], {}, ['exit']);
  await stopped;
  const terminated = client.waitForEvent('terminated');
  await client.customRequest('terminate');
  await terminated;
});

it('steps into the call of a line that was chosen', async () => {
  const targets = async (): Promise<DebugProtocol.StepInTarget[]> => {
    const [frame] = (await client.stackTraceRequest(thread)).body.stackFrames;
    return (await client.stepInTargetsRequest({ frameId: frame!.id })).body.targets;
  };
  await after(() => launch([{ line: line('TARGETS') }], ['targets']));
  const all = await targets();
  // In the order in which they are called; the library's strlen has no lines.
  expect(all.map(t => t.label)).toEqual(['twice', 'twice', 'call through a pointer', 'add', 'add']);
  const into = (i: number): ReturnType<typeof top> =>
    after(() => client.stepInRequest({ ...thread, targetId: all[i]!.id }));
  expect(await into(1)).toMatchObject({ place: `twice:${line('TWICE')}`, values: { n: '2' } });
  expect((await targets()).map(t => t.label)).toEqual([]);
  const again = (): ReturnType<typeof top> => after(() => client.continueRequest(thread));
  expect((await again()).place).toBe(`main:${line('TARGETS')}`);
  expect(await into(2)).toMatchObject({ place: `twice:${line('TWICE')}`, values: { n: '3' } });
  await again();
  expect(await into(4)).toMatchObject({ place: `add:${line('ADD')}`, values: { a: '2', b: '10' } });
});

it('stops on entry at the first statement that has a line', async () => {
  const { place } = await after(() => launch([{ line: line('CALL') }], [], { stopOnEntry: true }));
  expect(place).toBe(`main:${line('MAIN')}`);
  const at = await after(() => client.continueRequest(thread));
  expect(at).toMatchObject({ place: `main:${line('CALL')}`, values: { argc: '1' } });
});

it('pauses a guest that never ends, and ends it', async () => {
  await launch([], ['spin']);
  // The first pause may come before the loop is reached.
  let { place } = await after(() => client.pauseRequest(thread));
  for (let n = 0; n < 100 && place !== `main:${line('SPIN')}`; n++) {
    await client.continueRequest(thread);
    ({ place } = await after(() => client.pauseRequest(thread)));
  }
  expect(place).toBe(`main:${line('SPIN')}`);
  const exited = client.waitForEvent('exited');
  await client.terminateRequest();
  await exited;
});

it('stops at a trap', async () => {
  const { place } = await after(() => launch([], ['trap']));
  expect(place).toBe(`main:${line('TRAP')}`);
  const { body } = await client.customRequest('exceptionInfo', thread);
  expect(body).toMatchObject({
    exceptionId: 'HeapOutOfBounds',
    description: expect.stringContaining('Read 4 bytes at 0x7fff0000'),
  });
});

it('calls an exported function with numbers, and tells its results', async () => {
  const program = join(dir, 'add.wat');
  writeFileSync(
    program,
    '(module (func (export "add") (param i32 i64) (result i64)\n(i64.add (i64.extend_i32_s (local.get 0))\n(local.get 1))))',
  );
  const told = client.waitForEvent('output') as Promise<DebugProtocol.OutputEvent>;
  await launch([], ['-2', '0x100000000'], { program, invoke: 'add' });
  expect((await told).body.output).toBe('4294967294\n');
});

it('says that variables of split DWARF are not read, and what to do', async () => {
  const split = join(dir, 'split.wasm');
  writeFileSync(split, await clang({ 'prog.c': SOURCE }, ['-g', '-O0', '-gsplit-dwarf']));
  let said = '';
  client.on('output', (e: DebugProtocol.OutputEvent) => {
    if (e.body.category === 'console') said += e.body.output;
  });
  const stopped = client.waitForEvent('stopped');
  const [bound] = await launch([{ line: line('CALL') }], [], { program: split });
  expect(bound!.verified).toBe(true);
  await stopped;
  expect(
    said.match(/^debug information: split DWARF: .*prog\.dwo .* build without -gsplit-dwarf$/gm),
  ).toHaveLength(1);
});
