/** The adapter as an editor talks to it: its built bundle in a process of its own, over DAP. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const adapter = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'debug-adapter.cjs');

/** Prints its first argument's length as a digit, then exits with 7. */
const PROGRAM = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\\00\\00 arguments\\n")
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.load (i32.const 0))))
    (i32.store8 (i32.const 17) (i32.const 32))
    (i32.store (i32.const 8) (i32.const 16))
    (i32.store (i32.const 12) (i32.const 13))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 4)))
    (call $exit (i32.const 7))))`;

const TRAPS =
  '(module (memory (export "memory") 1) (func $deep unreachable) (func (export "_start") (call $deep)))';
const LOOPS = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))';

let dir = '';
let client: DebugClient;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-dap-'));
  client = new DebugClient('node', adapter, 'lucet', { env: { ...process.env, XDG_CACHE_HOME: dir } }, true);
  // The machine may be busy.
  client.defaultTimeout = 30_000;
  await client.start();
});

afterEach(async () => {
  await client.stop();
  rmSync(dir, { recursive: true, force: true });
});

function program(text: string): string {
  const path = join(dir, 'program.wat');
  writeFileSync(path, text);
  return path;
}

/** Run to the end; what was printed, by stream, and the exit code. */
async function run(launch: object): Promise<{ stdout: string; stderr: string; exit: number }> {
  const out: Record<string, string> = { stdout: '', stderr: '' };
  client.on('output', (e: DebugProtocol.OutputEvent) => {
    out[e.body.category ?? 'console'] += e.body.output;
  });
  const exited = client.waitForEvent('exited') as Promise<DebugProtocol.ExitedEvent>;
  const terminated = client.waitForEvent('terminated');
  await Promise.all([client.configurationSequence(), client.launch(launch as never)]);
  const { exitCode } = (await exited).body;
  await terminated;
  return { stdout: out.stdout!, stderr: out.stderr!, exit: exitCode };
}

describe('a debug session', () => {
  it('runs a program and passes on its output and its exit code', async () => {
    expect(await run({ program: program(PROGRAM), args: ['a', 'b'] })).toEqual({
      stdout: '3  arguments\n',
      stderr: '',
      exit: 7,
    });
  });

  it('stops where a program trapped, with the report, the stack and its text', async () => {
    const report = client.waitForEvent('lucet.trap');
    const stopped = client.waitForEvent('stopped') as Promise<DebugProtocol.StoppedEvent>;
    await Promise.all([client.configurationSequence(), client.launch({ program: program(TRAPS) } as never)]);
    expect((await stopped).body).toMatchObject({
      reason: 'exception',
      threadId: 1,
      text: expect.stringContaining('gave up'),
    });
    expect((await report).body).toMatchObject({ version: 2, code: 'Unreachable', functionName: 'deep' });
    const { body: info } = await client.customRequest('exceptionInfo', { threadId: 1 });
    expect(info).toMatchObject({ exceptionId: 'Unreachable', breakMode: 'always' });
    const { body: stack } = await client.stackTraceRequest({ threadId: 1 });
    expect(stack.stackFrames.map(f => f.name)).toEqual(['deep', '_start']);
    const { body: scopes } = await client.scopesRequest({ frameId: stack.stackFrames[0]!.id });
    expect(scopes.scopes.map(s => s.name)).toContain('Registers');
    const { body: code } = await client.customRequest('disassemble', {
      memoryReference: stack.stackFrames[0]!.instructionPointerReference,
      instructionCount: 3,
      instructionOffset: -1,
    });
    // What traps is a call out of line.
    expect(code.instructions[1].instruction).toMatch(/^call qword ptr \[r15-/);
    const exited = client.waitForEvent('exited') as Promise<DebugProtocol.ExitedEvent>;
    await client.continueRequest({ threadId: 1 });
    expect((await exited).body.exitCode).toBe(134);
  });

  it('answers breakpoints before there is a program, with the reason', async () => {
    await client.initializeRequest();
    const { body } = await client.setBreakpointsRequest({
      source: { path: program(TRAPS) },
      breakpoints: [{ line: 1 }],
    });
    expect(body.breakpoints).toMatchObject([{ verified: false, line: 1 }]);
    expect(body.breakpoints[0]!.message).toMatch(/breakpoint/);
  });

  it('refuses a launch that makes no sense, by name', async () => {
    await expect(
      Promise.all([client.configurationSequence(), client.launch({ program: 3 } as never)]),
    ).rejects.toThrow('"program"');
  });

  it('ends a program that never would', async () => {
    const terminated = client.waitForEvent('terminated');
    await Promise.all([client.configurationSequence(), client.launch({ program: program(LOOPS) } as never)]);
    await client.terminateRequest();
    await terminated;
  });
});
