/** The module tool in its own process, as the extension has it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { clang } from '../../scripts/clang.ts';
import { ModuleTool } from '../tool/client.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'lucet-tool-'));
const tool = new ModuleTool(join(root, 'dist', 'module-tool.js'));
afterAll(() => {
  tool.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const wat = join(folder, 'm.wat');
writeFileSync(
  wat,
  `(module (import "env" "f" (func $f (param i64)))
    (memory (export "memory") 1 2) (global $g (mut i32) (i32.const 3)) (table 2 funcref)
    (data (i32.const 8) "abc") (elem (i32.const 0) $g $h)
    (func $g (export "go") (param $x i32) (result i32) local.get $x i32.load)
    (func $h))`,
);

describe('the module tool', () => {
  it('tells what is in a module', async () => {
    const s = await tool.request('summary', { path: wat });
    expect(s.imports).toEqual([{ kind: 'func', module: 'env', name: 'f', index: 0, type: ' (param i64)' }]);
    expect(s.functions).toEqual([
      { index: 1, name: 'g', type: '(param i32) (result i32)', size: 7 },
      { index: 2, name: 'h', type: '', size: 2 },
    ]);
    expect(s.exports.map(e => [e.kind, e.name, e.type])).toEqual([
      ['memory', 'memory', ' 1 2'],
      ['func', 'go', ' (param i32) (result i32)'],
    ]);
    expect(s.sections.map(x => x.name)).toContain('custom "name"');
    expect(s.sections.reduce((sum, x) => sum + x.size, 8)).toBe(s.bytes);
  });

  it('shows a function in WAT and machine code, linked by offsets', async () => {
    const code = await tool.request('code', { path: wat, index: 1, native: true });
    const load = code.wat!.find(r => r.text === 'i32.load')!;
    const access = code.native!.find(r => r.wasmOffset === load.offset && r.note === 'trap HeapOutOfBounds');
    expect(access?.text).toMatch(/^mov \w+, \[/);
    const att = await tool.request('code', { path: wat, index: 1, native: true, syntax: 'att' });
    expect(att.native!.some(r => r.text.includes('%'))).toBe(true);
    expect(code.native!.some(r => r.text.includes('%'))).toBe(false);
    expect(await tool.request('nativeSizes', { path: wat })).toEqual([
      code.native!.reduce((sum, r) => sum + r.bytes.length / 2, 0),
      expect.any(Number),
    ]);
  });

  it('finds the module of a trap by its hash, and the source lines of its operators', async () => {
    const wasm = join(folder, 'trap.wasm');
    const so = join(folder, 'trap.so');
    const text = readFileSync(join(root, 'examples', 'trap.c'), 'utf8');
    writeFileSync(wasm, await clang({ 'trap.c': text }, ['-g', '-O1']));
    spawnSync(process.execPath, [join(root, 'bin', 'lucetc-wasi.js'), wasm, '-o', so]);
    const artifact = readArtifact(readFileSync(so));
    const index = Array.from({ length: artifact.functionCount }, (_, i) => i).find(
      i => artifact.func(i).name === 'read_cell',
    )!;
    const code = await tool.request('trapCode', {
      artifact: so,
      hash: artifact.moduleHash,
      index,
      candidates: [wat, wasm],
    });
    expect(code.module).toBe(wasm);
    const line = 1 + text.split('\n').findIndex(l => l.includes('return t->cells[i]'));
    expect(code.wat!.filter(r => r.text.startsWith('i32.load')).map(r => r.line)).toContain(line);
    const none = await tool.request('trapCode', { artifact: so, hash: '00', index, candidates: [] });
    expect(none).toMatchObject({ wat: null, native: null, module: null });
  }, 90_000);

  it('answers what can not be read with an error, and lives on', async () => {
    const bad = join(folder, 'bad.wasm');
    writeFileSync(bad, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 99));
    await expect(tool.request('summary', { path: bad })).rejects.toThrow(
      /length out of bounds|unexpected end/,
    );
    await expect(tool.request('code', { path: wat, index: 7, native: false })).rejects.toThrow('function 7');
    await expect(tool.request('summary', { path: join(folder, 'none') })).rejects.toThrow('ENOENT');
    expect((await tool.request('summary', { path: wat })).functions).toHaveLength(2);
  });

  it('starts again after its process has died', async () => {
    const pid = (tool as unknown as { child: { pid: number } }).child.pid;
    const gone = expect(tool.request('nativeSizes', { path: join(folder, 'trap.wasm') })).rejects.toThrow(
      'ended',
    );
    process.kill(pid, 'SIGKILL');
    await gone;
    expect((await tool.request('summary', { path: wat })).functions).toHaveLength(2);
  });
});
