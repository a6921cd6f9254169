/**
 * Clients and guests that don't behave: what is answered, that nothing is lost or mixed up, and that nothing outlives
 * its session.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { counts } from '../breakpoints.ts';
import { argumentProblem } from '../requests.ts';
import { PROGRAMS } from './support/random-session.ts';
import { delay, descendants, isAlive, type Message, RawClient } from './support/raw-client.ts';

/** Takes seconds to compile. */
const SLOW = `(module (memory (export "memory") 1) (func (export "_start"))\n${Array.from(
  { length: 20_000 },
  (_, i) =>
    `(func (param i32) (result i32) (i32.mul (i32.add (local.get 0) (i32.const ${i})) (i32.const 3)))`,
).join('\n')})`;

/** Stops at each of a million turns, were it asked to. */
const LOOP = `(module (memory (export "memory") 1)
(func (export "_start") (local $i i32)
  (loop $again
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 1000000))))))`;

let dir = '';
const clients: RawClient[] = [];

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-hostile-'));
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(dir, name), text);
  writeFileSync(join(dir, 'slow.wat'), SLOW);
  writeFileSync(join(dir, 'loop.wat'), LOOP);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
afterEach(async () => {
  for (const client of clients.splice(0)) {
    await client.disconnect();
    expect(client.faults).toEqual([]);
    expect(client.unanswered()).toEqual([]);
    expect(client.status).toBe(0);
    expect(client.stderr).toBe('');
  }
});

function open(): RawClient {
  const client = new RawClient({ XDG_CACHE_HOME: join(dir, 'cache'), TMPDIR: dir });
  clients.push(client);
  return client;
}

const program = (name: string, more: object = {}): object => ({
  program: join(dir, name),
  cwd: dir,
  ...more,
});
const breakpoints = (name: string, lines: readonly object[]): object => ({
  source: { path: join(dir, name) },
  breakpoints: lines,
});
const thread = { threadId: 1 };

it('answers what comes too early, twice, or makes no sense, with what is wrong', async () => {
  const client = open();
  const refused = async (command: string, args: unknown, words: RegExp): Promise<void> => {
    const { success, message } = await client.request(command, args);
    expect([success, message]).toEqual([false, expect.stringMatching(words)]);
  };
  await refused('launch', program('ends.wat'), /^initialize has to come before launch$/);
  await refused('initialize', { pathFormat: 'uri' }, /^initialize: "pathFormat" must be "path"/);
  expect((await client.request('initialize')).success).toBe(true);
  await refused('initialize', {}, /only once/);
  await refused('setBreakpoints', undefined, /^setBreakpoints: "source" is missing$/);
  await refused(
    'setBreakpoints',
    breakpoints('ends.wat', [{ line: 1 }, { line: 'two' }]),
    /element 1 .*"line" must be an integer/,
  );
  await refused('evaluate', { expression: 5 }, /"expression" must be a string/);
  await refused('stepBack', thread, /not supported/);
  await refused('frobnicate', {}, /unrecognized/);
  await refused('next', thread, /nothing is debugged/);
  await refused('launch', { program: 5 }, /"program" must be/);
  const early = await client.request('setBreakpoints', breakpoints('ends.wat', [{ line: 2 }]));
  expect(early.body!.breakpoints).toMatchObject([
    { verified: false, message: expect.stringMatching(/initialized/) },
  ]);
  // After all that it is as good as new.
  const launched = client.send('launch', program('ends.wat'));
  await client.event('initialized');
  await refused('launch', program('ends.wat'), /already/);
  await client.request('configurationDone');
  expect((await client.response(launched)).success).toBe(true);
  await client.event('terminated');
  for (const command of ['continue', 'pause', 'stackTrace', 'next'])
    await refused(command, thread, /has ended/);
  expect((await client.request('setBreakpoints', breakpoints('ends.wat', [{ line: 2 }]))).success).toBe(true);
  expect((await client.request('threads')).body).toEqual({ threads: [] });
  expect((await client.request('terminate')).success).toBe(true);
});

describe('while it compiles', () => {
  /** Begins, and waits for the compiler's process. */
  async function compiling(): Promise<{ client: RawClient; launch: number; compiler: number }> {
    const client = open();
    await client.request('initialize');
    const launch = client.send('launch', program('slow.wat'));
    for (let n = 0; n < 500; n++) {
      const [compiler] = descendants(client.process.pid!);
      if (compiler !== undefined) return { client, launch, compiler };
      await delay(10);
    }
    throw new Error('no compiler');
  }

  it.each(['terminate', 'cancel'])('%s ends the compiler and the session', async command => {
    const { client, launch, compiler } = await compiling();
    client.send(command, command === 'cancel' ? { requestId: launch } : {});
    expect(await client.response(launch)).toMatchObject({ success: false, message: 'cancelled' });
    await client.event('terminated');
    for (let n = 0; n < 100 && isAlive(compiler); n++) await delay(10);
    expect(isAlive(compiler)).toBe(false);
    expect(client.messages.some(m => m.event === 'initialized')).toBe(false);
  });

  it('disconnect, twice', async () => {
    const { client, launch } = await compiling();
    client.send('disconnect');
    client.send('disconnect');
    expect(await client.response(launch)).toMatchObject({ success: false, message: 'cancelled' });
    expect(await client.finish()).toEqual([]);
  });
});

it.each([0, 2])('a program that was ended before it began never runs, at level %i', async optLevel => {
  const client = open();
  await client.request('initialize');
  const launch = client.send('launch', program('traps.wat', { optLevel }));
  await client.event('initialized');
  client.send('terminate');
  client.send('configurationDone');
  expect(await client.response(launch)).toMatchObject({ success: false, message: 'cancelled' });
  await client.event('terminated');
  await client.disconnect();
  expect(client.text).toBe('');
  expect(client.messages.filter(m => m.event === 'exited')).toEqual([]);
});

it('a step is not lost to a client that is too fast, nor to one that takes breakpoints away', async () => {
  const client = open();
  await client.launch(program('loop.wat'), () =>
    client.request('setBreakpoints', breakpoints('loop.wat', [{ line: 4 }])),
  );
  await client.event('stopped');
  const stale = (await client.request('stackTrace', thread)).body!.stackFrames as {
    id: number;
    line: number;
  }[];
  const scopes = (await client.request('scopes', { frameId: stale[0]!.id })).body!.scopes as {
    variablesReference: number;
  }[];
  const from = client.messages.length;
  client.send('next', thread);
  const second = client.send('next', thread);
  client.send('setBreakpoints', breakpoints('loop.wat', []));
  expect(await client.response(second)).toMatchObject({ success: false, message: 'notStopped' });
  expect((await client.event('stopped', from)).body).toMatchObject({ reason: 'step' });
  const [top] = (await client.request('stackTrace', thread)).body!.stackFrames as { line: number }[];
  expect(top!.line).toBe(5);
  // What belonged to the stop before is known as that.
  expect(await client.request('scopes', { frameId: stale[0]!.id })).toMatchObject({ success: false });
  const { variablesReference } = scopes[0]!;
  expect(await client.request('variables', { variablesReference })).toMatchObject({
    success: false,
    message: 'this belongs to a stop that is over',
  });
  expect(await client.request('continue', { threadId: 7 })).toMatchObject({
    message: 'there is no thread 7',
  });
});

it('breakpoints that stay keep their ids and their hits, whatever is set beside them', async () => {
  const client = open();
  const set = async (
    lines: readonly object[],
  ): Promise<{ id: number; verified: boolean; message?: string }[]> =>
    (await client.request('setBreakpoints', breakpoints('loop.wat', lines))).body!.breakpoints as never;
  const third = { line: 4, hitCondition: '% 3' };
  let first: { id: number }[] = [];
  await client.launch(program('loop.wat'), async () => {
    first = await set([third]);
  });
  const value = async (): Promise<unknown> =>
    (await client.request('evaluate', { expression: '$i' })).body!.result;
  await client.event('stopped');
  expect(await value()).toBe('2');
  const from = client.messages.length;
  client.send('continue', thread);
  await client.event('stopped', from);
  expect(await value()).toBe('5');
  const both = await set([{ line: 5, condition: '$i == 7' }, third, { line: 4, hitCondition: 'often' }]);
  expect(both[1]!.id).toBe(first[0]!.id);
  expect(both[2]).toMatchObject({
    verified: false,
    message: expect.stringContaining('"often" is not understood'),
  });
  const next = client.messages.length;
  client.send('continue', thread);
  expect((await client.event('stopped', next)).body).toMatchObject({ hitBreakpointIds: [both[0]!.id] });
  const last = client.messages.length;
  client.send('continue', thread);
  await client.event('stopped', last);
  expect(await value()).toBe('8');
});

it('tens of thousands of breakpoints are a matter of a moment, also again and while it runs', async () => {
  const client = open();
  await client.launch(program('spins.wat'));
  const from = performance.now();
  for (let round = 0; round < 2; round++) {
    const many = Array.from({ length: 20_000 }, (_, i) => ({
      line: (i % 12) + 1,
      condition: `$g0 == ${i + 1000 + round}`,
    }));
    const { body } = await client.request('setBreakpoints', breakpoints('spins.wat', many));
    expect((body!.breakpoints as object[]).length).toBe(20_000);
    const names = Array.from({ length: 10_000 }, (_, i) => ({ name: `none${i}` }));
    await client.request('setFunctionBreakpoints', { breakpoints: names });
  }
  await client.request('setBreakpoints', breakpoints('spins.wat', []));
  // A tenth of that on a machine that has nothing else to do.
  expect(performance.now() - from).toBeLessThan(10_000);
});

describe.each([0, 2])('a guest that prints without end, at level %i', optLevel => {
  it('does not keep requests waiting, and ends with its reader', async () => {
    const client = open();
    await client.launch(program('floods.wat', { optLevel }));
    await client.until(m => m.event === 'output' && m.body!.category === 'stdout');
    if (optLevel === 0) {
      const from = client.messages.length;
      await client.request('pause', thread);
      await client.event('stopped', from);
      await client.request('continue', thread);
    }
    expect(client.text.replaceAll('hello\n', '')).toMatch(/^[helo]*$/);
    client.process.stdout!.destroy();
    expect(await client.finish()).toEqual([]);
    // The rest can have no answer.
    clients.pop();
  });

  it('ends with an adapter that is killed', async () => {
    const client = open();
    await client.launch(program('floods.wat', { optLevel }));
    await client.until(m => m.event === 'output' && m.body!.category === 'stdout');
    expect(descendants(client.process.pid!)).toHaveLength(optLevel === 0 ? 0 : 1);
    client.process.kill('SIGKILL');
    expect(await client.finish()).toEqual([]);
    clients.pop();
  });
});

it.each(['SIGTERM', 'input'])('a guest in a loop ends with %s of the adapter', async end => {
  const files = (): number => readdirSync(dir).filter(name => name.startsWith('lucet-debug-')).length;
  const before = files();
  const client = open();
  await client.launch(program('spins.wat', { optLevel: 2 }));
  expect(files()).toBe(before + 1);
  if (end === 'SIGTERM') client.process.kill('SIGTERM');
  else client.process.stdin!.end();
  expect(await client.finish()).toEqual([]);
  expect(client.status).toBe(0);
  clients.pop();
  // Nor does it leave files.
  expect(files()).toBe(before);
});

it('a guest that waits in the system is paused there, and ended at once', async () => {
  const client = open();
  await client.launch(program('sleeps.wat'));
  await delay(200);
  await client.request('pause', thread);
  expect((await client.event('stopped')).body!.description).toBe('Paused within poll_oneoff, which waits');
  await client.request('terminate');
  expect((await client.event('exited')).body).toEqual({ exitCode: 137 });
});

it('output is whole, however many bytes of a character come at a time', async () => {
  const text = 'zwölf 😀 Boxkämpfer\\n';
  const bytes = Buffer.from(text.replace('\\n', '\n'));
  const data = [...bytes].map(b => `\\${b.toString(16).padStart(2, '0')}`).join('');
  writeFileSync(
    join(dir, 'bytes.wat'),
    `(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
(memory (export "memory") 1) (data (i32.const 64) "${data}")
(func (export "_start") (local $i i32)
  (loop $again
    (i32.store (i32.const 0) (i32.add (i32.const 64) (local.get $i))) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const ${bytes.length}))))))`,
  );
  const client = open();
  await client.launch(program('bytes.wat'));
  await client.event('terminated');
  expect(client.text).toBe(bytes.toString());
  const outputs = client.messages.filter((m: Message) => m.event === 'output');
  expect(outputs.length).toBeLessThan(bytes.length);
});

it('what AssemblyScript says as it aborts is in the explanation', async () => {
  writeFileSync(
    join(dir, 'aborts.wat'),
    `(module (import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 1)
(data (i32.const 12) "\\04\\00\\00\\00h\\00i\\00") (data (i32.const 28) "\\08\\00\\00\\00a\\00.\\00t\\00s\\00")
(func (export "_start")
  (call $abort (i32.const 16) (i32.const 32) (i32.const 7) (i32.const 3))))`,
  );
  const client = open();
  await client.launch(program('aborts.wat'));
  expect((await client.event('stopped')).body).toMatchObject({
    text: 'The program aborted: hi, at a.ts:7:3.',
  });
  expect((await client.request('exceptionInfo', thread)).body!.description).toContain(
    'aborted: hi, at a.ts:7:3',
  );
});

it('arguments are told apart by what is wrong with them', () => {
  expect(argumentProblem('next', null)).toBe('"threadId" is missing');
  expect(argumentProblem('next', 5)).toBe('must be an object');
  expect(argumentProblem('readMemory', { memoryReference: '0', count: -1 })).toBe(
    '"count" must be an integer, not below zero',
  );
  expect(argumentProblem('source', { sourceReference: 1, source: null })).toBeNull();
  expect(argumentProblem('toString', 5)).toBeNull();
  expect(counts('', 1)).toBe(true);
});
