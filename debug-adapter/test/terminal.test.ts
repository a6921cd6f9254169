/**
 * Programs in a terminal ("console"): what they read is what is typed there, and what they print is there, in debug
 * code and in optimised code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkLaunch } from '../launch.ts';
import { delay, type Message, RawClient } from './support/raw-client.ts';

/** Prints what it reads until there is no more, then traps if that was nothing. */
const ECHO = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 32) "[got] ")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 32)) (i32.store (i32.const 4) (i32.const 6))
    (i32.store (i32.const 8) (i32.const 64))
    (loop $again
      (i32.store (i32.const 12) (i32.const 100))
      (drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16)))
      (i32.store (i32.const 12) (i32.load (i32.const 16)))
      (if (i32.load (i32.const 16)) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 20)))
        (br $again))))))
`;

let dir = '';
let client: RawClient;
let terminal: ChildProcess | null = null;
let shown = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-terminal-test-'));
  writeFileSync(join(dir, 'echo.wat'), ECHO);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
afterEach(async () => {
  await client.disconnect();
  expect(client.faults).toEqual([]);
  const isOpen = (): boolean =>
    terminal !== null && terminal.exitCode === null && terminal.signalCode === null;
  for (let n = 0; n < 100 && isOpen(); n++) await delay(20);
  expect(isOpen()).toBe(false);
  terminal = null;
  // Sockets and folders are gone as well.
  expect(readdirSync(dir).filter(name => /^lucet-(?:terminal|debug)-/.test(name))).toEqual([]);
});

/** As an editor does: a command in a terminal, which script(1) is. */
function openTerminal({
  args,
  env,
  cwd,
}: {
  args: string[];
  env: Record<string, string>;
  cwd: string;
}): void {
  shown = '';
  const command = args.map(a => `'${a}'`).join(' ');
  terminal = spawn('script', ['-qefc', command, '/dev/null'], { cwd, env: { ...process.env, ...env } });
  terminal.stdout!.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
}

async function launch(more: object, terminals = true): Promise<Message> {
  client = new RawClient({ XDG_CACHE_HOME: join(dir, 'cache'), TMPDIR: dir });
  client.onRequest = request => {
    openTerminal((request as unknown as { arguments: Parameters<typeof openTerminal>[0] }).arguments);
    return {};
  };
  await client.request('initialize', { supportsRunInTerminalRequest: terminals });
  const launched = client.send('launch', {
    program: join(dir, 'echo.wat'),
    cwd: dir,
    console: 'integratedTerminal',
    ...more,
  });
  await client.until(m => m.event === 'initialized' || (m.type === 'response' && m.request_seq === launched));
  await client.request('configurationDone');
  return client.response(launched);
}

async function shows(text: RegExp): Promise<void> {
  for (let n = 0; n < 500 && !text.test(shown); n++) await delay(10);
  expect(shown).toMatch(text);
}

describe.each([0, 2])('at level %i', optLevel => {
  it('reads what is typed, and prints to where it was typed', async () => {
    expect(await launch({ optLevel })).toMatchObject({ success: true });
    terminal!.stdin!.write('one\n');
    await shows(/one\r\n\[got\] one\r\n/);
    terminal!.stdin!.write('two\n');
    await shows(/\[got\] two\r\n/);
    // The end of input, at the start of a line.
    terminal!.stdin!.write('\x04');
    expect((await client.event('exited')).body).toEqual({ exitCode: 0 });
    expect(client.text).toBe('');
  });

  it('ends with its terminal, and with Ctrl+C in it', async () => {
    await launch({ optLevel });
    if (optLevel === 0) terminal!.kill('SIGKILL');
    else terminal!.stdin!.write('\x03');
    // To a program that reads, a terminal that is gone may look like the end of its input before it is ended.
    expect([0, 137]).toContain((await client.event('exited')).body!.exitCode);
  });
});

it('a file that is named goes before the terminal', async () => {
  writeFileSync(join(dir, 'input.txt'), 'from a file\n');
  await launch({ stdin: 'input.txt' });
  await client.event('terminated');
  await shows(/^\[got\] from a file\r\n/);
});

it('is paused while somebody types, of which nothing is lost', async () => {
  await launch({});
  terminal!.stdin!.write('half a ');
  await shows(/half a /);
  let from = client.messages.length;
  for (const rest of ['line\n', 'another\n']) {
    client.send('pause', { threadId: 1 });
    expect((await client.event('stopped', from)).body!.description).toBe(
      'Paused within fd_read, which waits',
    );
    // Where the guest reads no more, the terminal still takes what is typed.
    terminal!.stdin!.write(rest);
    await shows(new RegExp(`${rest.trim()}\r\n`));
    expect(shown).not.toContain(`[got] ${rest.trim()}`);
    from = client.messages.length;
    await client.request('continue', { threadId: 1 });
    await shows(new RegExp(`\\[got\\] .*${rest.trim()}\r\n`));
    await delay(20);
  }
  terminal!.stdin!.write('\x04');
  expect((await client.event('exited')).body).toEqual({ exitCode: 0 });
  expect(shown.match(/\[got\].*/g)).toEqual(['[got] half a line', '[got] another']);
});

it('is ended while it waits for somebody to type', async () => {
  await launch({});
  await client.request('terminate');
  expect((await client.event('exited')).body).toEqual({ exitCode: 137 });
});

it('an editor without terminals, or that opens none, is told what to do', async () => {
  expect(await launch({}, false)).toMatchObject({
    success: false,
    message: expect.stringMatching(/^"console": this editor runs nothing in a terminal: .*"stdin"/),
  });
  await client.disconnect();
  client = new RawClient({ XDG_CACHE_HOME: join(dir, 'cache'), TMPDIR: dir });
  client.onRequest = () => null;
  await client.request('initialize', { supportsRunInTerminalRequest: true });
  const args = { program: join(dir, 'echo.wat'), cwd: dir, console: 'integratedTerminal' };
  expect(await client.request('launch', args)).toMatchObject({
    success: false,
    message: expect.stringMatching(/^"console": the editor opens no terminal: refused/),
  });
});

it('is ended while the terminal is being opened', async () => {
  client = new RawClient({ XDG_CACHE_HOME: join(dir, 'cache'), TMPDIR: dir });
  client.onRequest = () => undefined;
  await client.request('initialize', { supportsRunInTerminalRequest: true });
  const args = { program: join(dir, 'echo.wat'), cwd: dir, console: 'integratedTerminal' };
  const launched = client.send('launch', args);
  await client.until(m => m.type === 'request');
  client.send('terminate');
  expect(await client.response(launched)).toMatchObject({ success: false, message: 'cancelled' });
});

it('takes the names that other debuggers have for it', () => {
  const check = (console: unknown) => checkLaunch({ program: 'x.wasm', console } as never);
  for (const name of ['internalConsole', 'integratedTerminal', 'externalTerminal']) check(name);
  expect(() => check('toString')).toThrow(/"console" must be "internalConsole", "integratedTerminal" or/);
});
