/** The language server in its own process, over its protocol. */
import { type ChildProcess, fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createProtocolConnection,
  type Diagnostic,
  IPCMessageReader,
  IPCMessageWriter,
  type ProtocolConnection,
} from 'vscode-languageserver-protocol/node';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const uri = 'file:///tmp/test.wat';
let server: ChildProcess;
let connection: ProtocolConnection;
let version = 0;
let arrived: (d: Diagnostic[]) => void = () => {};

beforeAll(async () => {
  server = fork(join(root, 'dist', 'wat-server.js'), ['--node-ipc'], { execArgv: [] });
  connection = createProtocolConnection(new IPCMessageReader(server), new IPCMessageWriter(server));
  connection.onNotification(
    'textDocument/publishDiagnostics',
    (p: { version?: number; diagnostics: Diagnostic[] }) => {
      if (p.version === version) arrived(p.diagnostics);
    },
  );
  connection.listen();
  await connection.sendRequest('initialize', { processId: process.pid, rootUri: null, capabilities: {} });
  await connection.sendNotification('initialized', {});
});
afterAll(() => {
  connection.dispose();
  server.kill('SIGKILL');
});

/** Show the server a text, and wait for what it says. */
async function diagnose(text: string): Promise<Diagnostic[]> {
  const result = new Promise<Diagnostic[]>(resolve => {
    arrived = resolve;
  });
  version++;
  if (version === 1)
    await connection.sendNotification('textDocument/didOpen', {
      textDocument: { uri, languageId: 'wat', version, text },
    });
  else
    await connection.sendNotification('textDocument/didChange', {
      textDocument: { uri, version },
      contentChanges: [{ text }],
    });
  return result;
}

const ask = <T>(method: string, params: object = {}) =>
  connection.sendRequest(method, { textDocument: { uri }, ...params }) as Promise<T>;

describe('the WAT language server', () => {
  it('reports each function’s error at its place, and syntax errors', async () => {
    const found = await diagnose(
      '(module\n  (func (result i32)\n    (i32.add (i32.const 1) (i64.const 2)))\n  (func\n    local.get 7\n    drop))\n',
    );
    expect(found.map(d => [d.range.start.line, d.range.start.character, d.message])).toEqual([
      [2, 5, expect.stringContaining('type mismatch')],
      [4, 4, expect.stringContaining('unknown local')],
    ]);
    expect((await diagnose('(module (func (i32.ad)))'))[0]).toMatchObject({
      range: { start: { line: 0, character: 15 }, end: { line: 0, character: 21 } },
    });
    expect(await diagnose('(module)')).toEqual([]);
  });

  it('answers about names, with the size of native code', async () => {
    await diagnose('(module\n  (func $f (export "go") (param $x i32) (result i32)\n    local.get $x)\n)');
    const position = { line: 1, character: 9 };
    const hover = await ask<{ contents: { value: string } }>('textDocument/hover', { position });
    expect(hover.contents.value).toMatch(/\(func \$f \(param \$x i32\) \(result i32\)\)/);
    expect(hover.contents.value).toMatch(/\d+ bytes of native code/);
    expect(await ask('textDocument/definition', { position: { line: 2, character: 16 } })).toMatchObject({
      range: { start: { line: 1, character: 32 } },
    });
    const lenses = await ask<{ command: { title: string; arguments: unknown[] } }[]>('textDocument/codeLens');
    expect(lenses.map(l => l.command.title)).toEqual(['Run', 'Debug']);
    expect(lenses[0]!.command.arguments[1]).toEqual({ invoke: 'go', params: ['i32'] });
    const edit = await ask<{ changes: Record<string, unknown[]> }>('textDocument/rename', {
      position: { line: 2, character: 16 },
      newName: 'y',
    });
    expect(edit.changes[uri]).toHaveLength(2);
  });

  it('keeps answering while a large text is checked, and with broken text', async () => {
    const body = '(func (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))\n'.repeat(10_000);
    const checked = diagnose(`(module\n${body}`);
    expect(await ask<unknown[]>('textDocument/documentSymbol')).toHaveLength(10_000);
    expect((await checked).length).toBeGreaterThan(0);
    const deep = diagnose('('.repeat(100_000));
    await ask('textDocument/foldingRange');
    expect((await deep).length).toBeGreaterThan(0);
    expect(await diagnose('(module)')).toEqual([]);
  }, 60_000);
});
