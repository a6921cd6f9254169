/**
 * Artifacts as other tools see them: readelf, objdump, gdb, the dynamic linker; relocations as a disassembler resolves
 * them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Decoder, DecoderOptions, Mnemonic } from 'iced-x86';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../index.ts';
import { readArtifact } from '../object/artifact-reader.ts';
import { decodeModule } from '../wasm/decode.ts';
import { type Sample, sample, sampleOf } from './support/object-sample.ts';
import { wat } from './support/wasm.ts';

const dir = mkdtempSync(join(tmpdir(), 'lucet-object-'));
const file = join(dir, 'sample.so');
const tiny = join(dir, 'empty.so');
const tails = join(dir, 'tails.so');
let s: Sample;
let bytes: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  s = await sample();
  bytes = s.link();
  writeFileSync(file, bytes);
  const seven = '(param i64 i64 i64 i64 i64 i64 i64)';
  const args = Array.from({ length: 7 }, () => '(local.get 0)').join(' ');
  const text = `(module
    (func $nine (param i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (i64.add (local.get 7) (local.get 8)))
    (func $grows ${seven} (result i64) (return_call $nine ${args} (local.get 6) (local.get 6)))
    (func (export "calls") (param i64) (result i64) (i64.add (call $grows ${args}) (local.get 0))))`;
  writeFileSync(tails, compile(await wat(text), { optLevel: 2, debugInfo: false }));
  writeFileSync(tiny, sampleOf(decodeModule(await wat('(module)'))).link());
});
afterAll(() => rmSync(dir, { recursive: true }));

/** Output of a tool that must be content: exit code 0 and nothing on stderr. */
function run(tool: string, ...args: string[]): string {
  const r = spawnSync(tool, args, { encoding: 'utf8' });
  expect(r.stderr).toBe('');
  expect(r.status).toBe(0);
  return r.stdout;
}

/** Tests that need a tool; a missing one is reported as a skipped test of that name. */
function withTool(tool: string, name: string, body: () => void): void {
  const missing = spawnSync(tool, ['--version']).error !== undefined;
  if (missing) console.warn(`SKIPPED: ${tool} is not installed: ${name}`);
  test.skipIf(missing)(`${tool}: ${name}`, body);
}

describe('other tools', () => {
  withTool('readelf', 'a well-formed shared object', () => {
    for (const f of [file, tiny]) {
      const text = run('readelf', '-aW', f);
      expect(text).not.toMatch(/warning|error|corrupt|invalid/i);
      expect(text).toMatch(/DYN \(Shared object file\)/);
    }
    const text = run('readelf', '-aW', file);
    expect(text).toMatch(/LOAD .* R {3}0x1000\n.*LOAD .* R E 0x1000/);
    expect(text).toMatch(/There are no relocations/);
    expect(text).toMatch(/OBJECT {2}GLOBAL DEFAULT +7 lucet_module/);
    expect(text).toMatch(/\.lucet\.wasm\.\.debug_info +PROGBITS +0+ /);
    expect(text).not.toMatch(/other/);
  });

  withTool('readelf', 'frame rows follow the prologue', () => {
    const text = run('readelf', '--debug-dump=frames-interp', file);
    expect(text).not.toMatch(/warning/i);
    // Function 2: rbx, rbp, r12, then sub 4096 + 0.
    const rows = /pc=0000000000003030[^\n]*\n(.*?)\n\n/s
      .exec(text)![1]!
      .split('\n')
      .map(l => l.trim().replace(/\s+/g, ' '));
    expect(rows).toEqual([
      'LOC CFA rbx rbp r12 ra',
      '0000000000003030 rsp+8 u u u c-8',
      '0000000000003031 rsp+16 c-16 u u c-8',
      '0000000000003032 rsp+24 c-16 c-24 u c-8',
      '0000000000003034 rsp+32 c-16 c-24 c-32 c-8',
      '000000000000303b rsp+4128 c-16 c-24 c-32 c-8',
    ]);
    expect(text.match(/FDE/g)!.length).toBe(s.funcs.filter(f => f).length);
  });

  withTool('readelf', 'frame rows follow the return address, and stack arguments that are popped', () => {
    const text = run('readelf', '--debug-dump=frames-interp', tails);
    const code = run('objdump', '-d', '--no-show-raw-insn', tails);
    const functions = text
      .split('FDE')
      .slice(1)
      .map(f =>
        [...f.matchAll(/^0+(\w+) rsp\+(\d+) .*c-(\d+) *$/gm)].map(m => [
          Number.parseInt(m[1]!, 16),
          Number(m[2]),
          Number(m[3]),
        ]),
      );
    const start = functions[0]![0]![0]!;
    // 16 + 16 bytes of stack arguments above the return address from the start on.
    expect(functions[0]).toEqual([[start, 40, 40]]);
    // 16 of its own; 16 more when it has moved its return address, which it does by a subtraction and a store.
    expect(functions[1]!.map(r => r.slice(1)).slice(0, 3)).toEqual([
      [24, 24],
      [40, 24],
      [40, 40],
    ]);
    // From the call's last byte to behind the next instruction the stack pointer is 16 higher.
    const [, next, after] = /call .*\n +(\w+):\s+sub .*\n +(\w+):/.exec(code)!;
    const body = functions[2]!.at(-1)!;
    expect(functions[2]!.slice(-2)).toEqual([
      [Number.parseInt(next!, 16) - 1, body[1]! - 16, 8],
      [Number.parseInt(after!, 16), body[1]!, 8],
    ]);
  });

  withTool('objdump', 'disassembly names functions, thunks and callees', () => {
    const text = run('objdump', '-d', file);
    for (const name of ['second', 'third', 'wasm-function[5]', 'host-thunk[1]', 'entry-thunk[type 3]'])
      expect(text).toContain(`<${name}>:`);
    expect(text.match(/call .* <wasm-function\[5\]>/g)!.length).toBe(s.funcs.filter(f => f).length);
  });

  withTool('gdb', 'loads symbols and unwinding tables', () => {
    const r = spawnSync('gdb', ['-nx', '-batch', '-ex', 'info symbol 0x3074', '-ex', 'x/2i 0x3074', file], {
      encoding: 'utf8',
    });
    expect(r.stdout).toContain('second + 4 in section .text');
    expect(r.stdout).toMatch(/<second\+4>:\s+push\s+%r13/);
    expect(r.stderr).not.toMatch(/warning|error/i);
  });

  test.skipIf(process.platform !== 'linux')('the dynamic linker maps it and finds its symbol', () => {
    const lib = koffi.load(file);
    expect(() => lib.symbol('lucet_module', 'uint64')).not.toThrow();
    expect(koffi.decode(lib.symbol('lucet_module', 'uint64'), 'uint64')).toBe(0x444f4d544543554cn);
    lib.unload();
  });
});

test('relocations, as a disassembler resolves them', () => {
  const a = readArtifact(bytes);
  const callee = a.func(s.module.functions.length - 1);
  const view = new DataView(a.rodata.buffer, a.rodata.byteOffset, a.rodata.length);
  let rodata = 0;
  let seen = 0;
  for (const f of s.funcs) {
    if (!f) continue;
    const record = a.func(f.index);
    const code = a.text.subarray(record.start, record.start + record.length);
    const decoder = new Decoder(64, code, DecoderOptions.None);
    decoder.ip = BigInt(a.textAddress + record.start);
    while (decoder.canDecode) {
      const i = decoder.decode();
      if (i.mnemonic === Mnemonic.Call) expect(Number(i.nearBranchTarget)).toBe(a.textAddress + callee.start);
      if (i.mnemonic === Mnemonic.Movsd) {
        expect(Number(i.memoryDisplacement)).toBe(a.rodataAddress + rodata + 8);
        expect(view.getFloat64(rodata + 8, true)).toBe(f.index + 0.5);
        seen++;
      }
    }
    decoder.free();
    // Jump table: offsets from its own address to an `add rsp` and to the trap.
    const to = (k: number) => a.rodataAddress + rodata + view.getInt32(rodata + 4 * k, true) - a.textAddress;
    expect(a.text[to(0)]).toBe(0x48);
    expect([0x81, 0x83]).toContain(a.text[to(0) + 1]);
    expect(a.text[to(0) + 2]).toBe(0xc4);
    expect(to(0) % 16).toBe(0);
    expect(a.text[to(1)]).toBe(0xf4);
    expect(to(1)).toBe(record.start + s.places.get(f.index)!.trap);
    rodata += 16;
  }
  expect(seen).toBe(s.funcs.filter(f => f).length);
});

test('functions are 16-aligned, padded with int3, in index order', () => {
  const a = readArtifact(bytes);
  let end = 0;
  for (let i = 0; i < a.recordCount; i++) {
    const f = a.func(i);
    if (f.length === 0) continue;
    expect(f.start % 16).toBe(0);
    expect([...a.text.subarray(end, f.start)].every(b => b === 0xcc)).toBe(true);
    end = f.start + f.length;
  }
  expect(end).toBeGreaterThan(0);
});

test('the bytes depend on the arguments alone', async () => {
  const again = (await sample({ workers: 7 })).link();
  expect(Buffer.compare(Buffer.from(again), Buffer.from(bytes))).toBe(0);
  const other = (await sample({ optLevel: 1 })).link();
  expect(Buffer.compare(Buffer.from(other), Buffer.from(bytes))).not.toBe(0);
  const bare = readArtifact((await sample({ debugInfo: false })).link());
  expect([...bare.debugSections.keys()]).toEqual([]);
});

test('names that ELF strings cannot hold are made printable', async () => {
  const wasm = await wat('(module (func $plain))');
  const at = Buffer.from(wasm).indexOf('plain');
  wasm.set([0, 10, 127, 0x20, 0x41], at);
  const out = sampleOf(decodeModule(wasm)).link();
  expect(Buffer.from(out).includes('____A')).toBe(true);
  expect(readArtifact(out).func(0).name).toBe('\0\n\x7f A');
});

test('inconsistent code is refused', () => {
  const without = s.funcs.map(f => (f?.index === s.module.functions.length - 1 ? null : f));
  expect(() => s.link(without)).toThrow(/calls 5, which has no code/);
  expect(() => s.link([null, ...s.funcs])).toThrow(/function 0 stands at 1/);
});
