/**
 * Programs that wait in the system under the debugger: a pause stops them there, and all else works as it does
 * anywhere.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { AdapterServer } from './support/adapter-server.ts';

const SOURCE = `#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int count = 0;
int take(int wanted) {
  char line[64];
  int got = (int)read(0, line, sizeof line); // READ
  count += got; // BEHIND
  printf("%d %d %.*s", wanted, got, got, line);
  return got;
}
int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (strcmp(argv[1], "sleep") == 0) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    printf("sleeping");
    usleep(900000); // SLEEP
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%d ms", (int)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000));
    return 0;
  }
  printf("reading");
  take(7); // TAKE
  return count; // RETURN
}
`;
const line = (mark: string): number => SOURCE.split('\n').findIndex(l => l.includes(`// ${mark}`)) + 1;

let dir = '';
let adapter: AdapterServer;
let client: DebugClient;
let input = -1;
let printed = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-waiting-'));
  writeFileSync(join(dir, 'prog.c'), SOURCE);
  writeFileSync(join(dir, 'prog.wasm'), await clang({ 'prog.c': SOURCE }, ['-g', '-O0']));
  spawnSync('mkfifo', [join(dir, 'input')]);
  adapter = await AdapterServer.start();
}, 120_000);
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  input = openSync(join(dir, 'input'), constants.O_RDWR | constants.O_NONBLOCK);
  client = await adapter.connect();
  printed = '';
  client.on('output', (e: DebugProtocol.OutputEvent) => {
    if (e.body.category === 'stdout') printed += e.body.output;
  });
});
afterEach(async () => {
  await client.stop();
  closeSync(input);
});

const thread = { threadId: 1 };

async function until(isSo: () => boolean): Promise<void> {
  for (let n = 0; n < 1000 && !isSo(); n++) await new Promise(resolve => setTimeout(resolve, 5));
  expect(isSo()).toBe(true);
}

/** Launched, and as good as waiting. */
async function launch(what: string): Promise<void> {
  await client.initializeRequest();
  const launched = client.launchRequest({
    program: join(dir, 'prog.wasm'),
    cwd: dir,
    args: [what],
    stdin: join(dir, 'input'),
  } as never);
  await client.waitForEvent('initialized');
  await client.configurationDoneRequest();
  await launched;
  await until(() => /^(?:sleep|read)ing/.test(printed));
  await new Promise(resolve => setTimeout(resolve, 20));
}

async function stop(act: () => Promise<unknown>): Promise<DebugProtocol.StoppedEvent['body']> {
  const stopped = client.waitForEvent('stopped', 10_000) as Promise<DebugProtocol.StoppedEvent>;
  await act();
  return (await stopped).body;
}
const pause = (): Promise<DebugProtocol.StoppedEvent['body']> => stop(() => client.pauseRequest(thread));

async function frames(): Promise<DebugProtocol.StackFrame[]> {
  return (await client.stackTraceRequest(thread)).body.stackFrames;
}

async function place(): Promise<string> {
  const shown = (await frames()).find(f => f.source?.path !== undefined)!;
  return `${shown.name}:${shown.line}`;
}

async function exitCode(act: () => unknown): Promise<number> {
  const exited = client.waitForEvent('exited', 10_000) as Promise<DebugProtocol.ExitedEvent>;
  await act();
  return (await exited).body.exitCode;
}

it('a pause stops it within its read at once, shows where, and loses nothing', async () => {
  await launch('read');
  const asked = performance.now();
  expect(await pause()).toMatchObject({ reason: 'pause', description: 'Paused within fd_read, which waits' });
  // Far above what it takes; it would wait for ever.
  expect(performance.now() - asked).toBeLessThan(5000);
  const all = await frames();
  expect(all[0]).toMatchObject({ name: 'fd_read [in host]', presentationHint: 'subtle' });
  expect(all[0]!.source).toBeUndefined();
  expect(all.filter(f => f.source?.path !== undefined).map(f => `${f.name}:${f.line}`)).toEqual([
    `take:${line('READ')}`,
    `main:${line('TAKE')}`,
  ]);
  // Nothing is known of the host's frame, all of the guest's.
  expect((await client.scopesRequest({ frameId: all[0]!.id })).body.scopes).toEqual([]);
  const take = all.find(f => f.name === 'take')!;
  const [locals] = (await client.scopesRequest({ frameId: take.id })).body.scopes;
  const { variables } = (await client.variablesRequest(locals!)).body;
  expect(variables.find(v => v.name === 'wanted')?.value).toBe('7');
  expect((await client.evaluateRequest({ expression: 'count' })).body.result).toBe('0');
  await client.setVariableRequest({
    variablesReference: locals!.variablesReference,
    name: 'wanted',
    value: '8',
  });
  await expect(client.evaluateRequest({ expression: '$rax', frameId: take.id })).rejects.toThrow();
  // A breakpoint that is set there is hit; another pause meanwhile changes nothing.
  const { body } = await client.setBreakpointsRequest({
    source: { path: join(dir, 'prog.c') },
    breakpoints: [{ line: line('BEHIND') }],
  });
  expect(body.breakpoints[0]!.verified).toBe(true);
  await client.continueRequest(thread);
  await pause();
  expect(await place()).toBe(`take:${line('READ')}`);
  writeSync(input, 'hello\n');
  expect((await stop(() => client.continueRequest(thread))).reason).toBe('breakpoint');
  expect(await place()).toBe(`take:${line('BEHIND')}`);
  expect(await exitCode(() => void client.continueRequest(thread))).toBe(6);
  expect(printed).toBe('reading8 6 hello\n');
});

it.each([
  ['over', (): Promise<unknown> => client.nextRequest(thread), `take:${line('BEHIND')}`],
  ['into', (): Promise<unknown> => client.stepInRequest(thread), `take:${line('BEHIND')}`],
  ['out of', (): Promise<unknown> => client.stepOutRequest(thread), `take:${line('BEHIND')}`],
])('a step %s what it waits in ends in the function that has lines', async (_name, step, where) => {
  await launch('read');
  await pause();
  writeSync(input, 'abc\n');
  expect((await stop(step)).reason).toBe('step');
  expect(await place()).toBe(where);
  expect((await frames())[0]!.name).toBe('take');
  expect(await exitCode(() => void client.continueRequest(thread))).toBe(4);
  expect(printed).toBe('reading7 4 abc\n');
});

it('a pause takes a step back that has not come to its end, as it waits', async () => {
  await launch('read');
  await pause();
  await stop(async () => {
    await client.nextRequest(thread);
    await client.pauseRequest(thread);
  });
  expect((await frames())[0]!.name).toBe('fd_read [in host]');
  writeSync(input, 'x');
  expect(await exitCode(() => void client.continueRequest(thread))).toBe(1);
});

it('a sleep ends when it would have ended', async () => {
  await launch('sleep');
  for (let n = 0; n < 2; n++) {
    expect((await pause()).description).toBe('Paused within poll_oneoff, which waits');
    expect(await place()).toBe(`main:${line('SLEEP')}`);
    await new Promise(resolve => setTimeout(resolve, 200));
    await client.continueRequest(thread);
  }
  expect(await exitCode(() => {})).toBe(0);
  const took = Number(/(\d+) ms/.exec(printed)![1]);
  expect(took).toBeGreaterThanOrEqual(900);
  expect(took).toBeLessThan(1250);
});

it.each([
  ['is waiting', async (): Promise<void> => {}],
  ['is stopped there', async (): Promise<void> => void (await pause())],
  ['is about to stop there', async (): Promise<void> => void client.pauseRequest(thread).catch(() => {})],
])('it is ended while it %s, and takes no input with it', async (_name, first) => {
  await launch('read');
  await first();
  expect(await exitCode(() => client.terminateRequest())).toBe(137);
  writeSync(input, 'left');
  await client.stop();
  client = await adapter.connect();
  printed = '';
  client.on('output', (e: DebugProtocol.OutputEvent) => {
    if (e.body.category === 'stdout') printed += e.body.output;
  });
  // A new session, as after a restart: what was typed is its own.
  await launch('read');
  await until(() => printed.includes('left'));
  expect(printed).toBe('reading7 4 left');
});

it.each([['is waiting'], ['is stopped there']])('the session is left while it %s', async state => {
  await launch('read');
  if (state === 'is stopped there') await pause();
  const path = join(dir, 'input');
  expect(adapter.openFiles()).toContain(path);
  await client.disconnectRequest();
  // What it had open is given back when it has ended.
  await until(() => !adapter.openFiles().includes(path));
});
