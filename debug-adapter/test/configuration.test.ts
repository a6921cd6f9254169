/**
 * What launch and attach configurations do, through the protocol, on real guests; and what is said of those that can't
 * be used.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attributesOf, unknownAttributes } from '../attributes.ts';
import { AdapterServer } from './support/adapter-server.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** Writes what it reads. */
const ECHO = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1000))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 4) (i32.load (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
`;
const SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))';

let dir = '';
let adapter: AdapterServer;
let client: DebugClient;
const output: Record<string, string> = {};

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-configuration-'));
  writeFileSync(join(dir, 'echo.wat'), ECHO);
  writeFileSync(join(dir, 'spin.wat'), SPIN);
  writeFileSync(join(dir, 'main.c'), 'int main(void) { return 0; }\n');
  writeFileSync(join(dir, 'input.txt'), 'from a file\n');
  mkdirSync(join(dir, 'folder.wasm'));
  adapter = await AdapterServer.start({ XDG_CACHE_HOME: dir });
});
afterAll(async () => {
  await adapter.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  for (const name of Object.keys(output)) delete output[name];
  client = await adapter.connect();
  client.on('output', ({ body }: DebugProtocol.OutputEvent) => {
    output[body.category ?? ''] = (output[body.category ?? ''] ?? '') + body.output;
  });
  await client.initializeRequest();
});
afterEach(() => client.stop());

/** Runs to the end. @param meanwhile done at a stop, before it goes on */
async function run(launch: object, meanwhile?: () => Promise<void>): Promise<number> {
  const exited = client.waitForEvent('exited') as Promise<DebugProtocol.ExitedEvent>;
  const stopped = meanwhile === undefined ? null : client.waitForEvent('stopped');
  const launched = client.launchRequest({ cwd: dir, ...launch } as never);
  await client.waitForEvent('initialized');
  await client.configurationDoneRequest();
  await launched;
  if (stopped !== null) {
    await stopped;
    await meanwhile?.();
    await client.continueRequest({ threadId: 1 });
  }
  return (await exited).body.exitCode;
}

describe.each([
  ['debug code', 0],
  ['optimised code', 2],
])('%s', (_name, optLevel) => {
  it('reads the file that stdin names', async () => {
    expect(await run({ program: 'echo.wat', stdin: 'input.txt', optLevel })).toBe(0);
    expect(output.stdout).toBe('from a file\n');
  });

  it('writes output to the files that are named, after what was in them is gone', async () => {
    const file = join(dir, `out-${optLevel}.txt`);
    writeFileSync(file, 'something longer, of an earlier run');
    const launch = { program: 'echo.wat', stdin: 'input.txt', stdout: file, stderr: file, optLevel };
    expect(await run(launch)).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('from a file\n');
    expect(output.stdout ?? '').toBe('');
  });

  it('has nothing to read without one', async () => {
    expect(await run({ program: 'echo.wat', optLevel })).toBe(0);
    expect(output.stdout ?? '').toBe('');
  });

  it('is ended when its time is over', async () => {
    expect(await run({ program: 'spin.wat', timeout: '300ms', optLevel })).toBe(124);
    expect(output.stderr).toContain('the time is over');
  });
});

it('time at a stop is not counted', async () => {
  const wait = (): Promise<void> => new Promise(done => setTimeout(done, 700));
  const launch = { program: 'echo.wat', stdin: 'input.txt', timeout: 500, stopOnEntry: true };
  expect(await run(launch, wait)).toBe(0);
  expect(output.stdout).toBe('from a file\n');
});

it.each([
  [
    'a program that is not there',
    { program: 'none.wasm' },
    /none\.wasm is not there: build the program first/,
  ],
  ['a folder', { program: 'folder.wasm' }, /folder\.wasm is a folder/],
  ['a source file', { program: 'main.c' }, /main\.c is no \.wasm, \.wat or \.so: name what it is built to/],
  [
    'a folder to work in that is not there',
    { program: 'echo.wat', cwd: '/none' },
    /"cwd": \/none is not there/,
  ],
  [
    'input that is not there',
    { program: 'echo.wat', stdin: 'none.txt' },
    /"stdin": .*none\.txt is not there/,
  ],
  [
    'output to where none can go',
    { program: 'echo.wat', stdout: '/none/out.txt' },
    /"stdout": .*\/none\/out\.txt.*: name a file that can be written/,
  ],
  ['output to no file', { program: 'echo.wat', stderr: 2 }, /"stderr" must be the path of a file/],
  ['a time that is none', { program: 'echo.wat', timeout: 'soon' }, /"timeout" must be a time/],
])('%s is refused with what to do', async (_name, launch, message) => {
  await expect(client.launchRequest({ cwd: dir, ...launch } as never)).rejects.toThrow(message);
});

it('a core dump that is not there is refused', async () => {
  const attach = { cwd: dir, program: 'echo.wat', coredump: '/none/core' };
  await expect(client.attachRequest(attach as never)).rejects.toThrow(
    /"coredump": \/none\/core is not there/,
  );
});

it('an attribute that nobody knows is warned of, with the one that was meant', async () => {
  const vscode = { type: 'lucet', request: 'launch', name: 'x', __sessionId: '1', presentation: {} };
  await run({ ...vscode, program: 'echo.wat', stopOnEntyr: true, frobnicate: 1 });
  expect(output.console).toBe(
    'launch configuration: nothing is known of "stopOnEntyr"; is "stopOnEntry" meant?\n' +
      'launch configuration: nothing is known of "frobnicate"\n',
  );
});

it('attributes are those that package.json explains', () => {
  const { contributes } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    contributes: { debuggers: { configurationAttributes: Record<string, { properties: object }> }[] };
  };
  const declared = contributes.debuggers[0]!.configurationAttributes;
  // The extension's own: it reads the file, and logs.
  const extension = ['envFile', 'trace'];
  const explained = Object.keys(declared.launch!.properties).filter(name => !extension.includes(name));
  expect(explained.sort()).toEqual([...attributesOf('launch')].sort());
  expect(Object.keys(declared.attach!.properties).sort()).toEqual([...attributesOf('attach')].sort());
  expect(unknownAttributes('launch', declared.launch!.properties)).toEqual([]);
});
