import { beforeAll, expect, it } from 'vitest';
import { Instance, LoadError, Module, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

function trapOf(act: () => unknown): Trap {
  try {
    act();
  } catch (e) {
    if (e instanceof Trap) return e;
    throw e;
  }
  throw new Error('it did not trap');
}

describeNative('traps', () => {
  let guests: Guests;
  let i: Instance;
  beforeAll(async () => {
    guests = new Guests();
    i = await guests.instance(
      `(module $crash
      (import "h" "again" (func $again))
      (type $v (func)) (type $i (func (result i32)))
      (memory 1) (table 3 funcref) (elem (i32.const 1) $ok)
      (func $ok (export "ok") (result i32) i32.const 1)
      (func $inner (param i32) (result i32) (i32.load offset=4 (local.get 0)))
      (func $outer (export "oob") (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
      (func (export "unreachable") unreachable)
      (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
      (func (export "rem64") (param i64 i64) (result i64) (i64.rem_u (local.get 0) (local.get 1)))
      (func (export "trunc") (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
      (func (export "indirect") (param i32) (call_indirect (type $v) (local.get 0)))
      (func (export "fill") (memory.fill (i32.const 65530) (i32.const 0) (i32.const 10)))
      (func $rec (export "recurse") (result i32) (i32.add (call $rec) (i32.const 1)))
      (func (export "nest") call $again))`,
      { h: { again: (): unknown => i.call('oob', 65536) } },
    );
  });

  it('are caught right after the host has taken the signal for itself, and given it back', () => {
    // Native handlers are looked at once in a while only; without being told, the guest's fault would go to the host's
    // handler, for ever.
    const handler = (): void => {};
    for (let n = 0; n < 3; n++) {
      expect(trapOf(() => i.call('oob', 65536)).code).toBe('HeapOutOfBounds');
      process.on('SIGSEGV', handler);
      expect(trapOf(() => i.call('oob', 65536)).code).toBe('HeapOutOfBounds');
      process.off('SIGSEGV', handler);
    }
  });

  it('have the code of what went wrong', () => {
    const code = (name: string, ...args: unknown[]): string => trapOf(() => i.call(name, ...args)).code;
    expect(code('oob', 65533)).toBe('HeapOutOfBounds');
    expect(code('oob', -1)).toBe('HeapOutOfBounds');
    expect(code('unreachable')).toBe('Unreachable');
    expect(code('div', 1, 0)).toBe('IntegerDivByZero');
    expect(code('div', -0x8000_0000, -1)).toBe('IntegerOverflow');
    expect(code('rem64', 1n, 0n)).toBe('IntegerDivByZero');
    expect(code('trunc', NaN)).toBe('BadConversionToInteger');
    expect(code('trunc', 1e10)).toBe('IntegerOverflow');
    expect(code('indirect', 0)).toBe('IndirectCallToNull');
    expect(code('indirect', 1)).toBe('BadSignature');
    expect(code('indirect', 3)).toBe('TableOutOfBounds');
    expect(code('fill')).toBe('HeapOutOfBounds');
    expect(code('recurse')).toBe('StackOverflow');
  });

  it('leave the instance usable', () => {
    for (let n = 0; n < 20; n++) {
      trapOf(() => i.call('oob', 65536));
      expect(i.state).toBe('Faulted');
      trapOf(() => i.call('recurse'));
      expect(i.call('ok')).toBe(1);
      expect(i.state).toBe('Ready');
    }
  });

  it('report where, and through which functions', () => {
    const { report, message } = trapOf(() => i.call('oob', 70000));
    expect(message).toBe('out of bounds memory access');
    expect(report.version).toBe(2);
    expect(report.code).toBe('HeapOutOfBounds');
    expect(report.moduleName).toBe('crash');
    expect(report.functionName).toBe('inner');
    expect(report.access).toMatchObject({ memory: 0, offset: '70004', memorySize: 65536 });
    expect(report.frames.map(f => [f.kind, f.functionName])).toEqual([
      ['wasm', 'inner'],
      ['wasm', 'outer'],
    ]);
    expect(report.frames[0]!.wasmOffset).toBe(report.wasmOffset);
    // Plain data.
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('report the place in the module', async () => {
    const { wat } = await import('../../compiler/test/support/wasm.ts');
    const text = '(module (func (export "f") nop nop unreachable nop))';
    const bytes = await wat(text);
    using one = await guests.instance(text);
    const { report } = trapOf(() => one.call('f'));
    // Opcode of unreachable, which is the only zero after two nops.
    const at = Buffer.from(bytes).indexOf(Buffer.from([0x01, 0x01, 0x00, 0x01]));
    expect(report.wasmOffset).toBe(at + 2);
  });

  it('report the line of the source', async () => {
    const { clang } = await import('../../scripts/clang.ts');
    const source = [
      '// An access that a caller makes possible.',
      '__attribute__((noinline)) static int load(int *p, unsigned i) {',
      '  return p[i]; // here',
      '}',
      'int go(int *p, unsigned i) {',
      '  int x = load(p, i);',
      '  return x + 1; // caller',
      '}',
    ];
    const flags = ['-g', '-O1', '-nostdlib', '-Wl,--no-entry', '-Wl,--export=go'];
    const wasm = await clang({ 'crash.c': source.join('\n') }, flags);
    const { compile } = await import('../../compiler/index.ts');
    const module = Module.fromBytes(compile(wasm, { verify: true }));
    const one = Instance.create(guests.region, module);
    const { report } = trapOf(() => one.call('go', 16, 0x3000_0000));
    const places = report.frames.map(
      f => `${f.functionName} ${f.source?.file.replace(/^.*\//, '')}:${f.source?.line}`,
    );
    expect(places).toEqual(['load crash.c:3', 'go crash.c:6']);
    expect(report.source).toEqual(report.frames[0]!.source);
    one.dispose();
    module.dispose();
  });

  it('report every frame of nested calls', () => {
    const { report } = trapOf(() => i.call('nest'));
    expect(report.frames.map(f => f.kind)).toEqual(['wasm', 'wasm', 'host', 'wasm']);
  });
});

describeNative('loading', () => {
  const reason = (bytes: Uint8Array): string => {
    try {
      Module.fromBytes(bytes).dispose();
    } catch (e) {
      if (e instanceof LoadError) return e.reason;
      throw e;
    }
    return 'loaded';
  };

  it('refuses what is no artifact, or a damaged one', async () => {
    const { compile } = await import('../../compiler/index.ts');
    const { wat } = await import('../../compiler/test/support/wasm.ts');
    const good = compile(await wat('(module (func (export "f") (result i32) i32.const 1))'));
    expect(reason(good)).toBe('loaded');
    expect(reason(new Uint8Array(0))).toBe('format');
    expect(reason(new Uint8Array(100_000))).toBe('format');
    expect(reason(good.subarray(0, good.length >> 1))).not.toBe('loaded');
    for (let at = 0; at < good.length; at += 97) {
      const bad = good.slice();
      bad[at]! ^= 0x40;
      expect(reason(bad), `byte ${at}`).not.toBe('loaded');
    }
    expect(() => Module.fromFile('/nonexistent/x.so')).toThrow(LoadError);
  });

  it('describes a module', async () => {
    const guests = new Guests();
    const module = await guests.module(`(module $named (import "a" "f" (func (param i64) (result f32)))
      (import "a" "g" (global (mut i32))) (memory (export "mem") 1 2) (table (export "\\c3\\a9\\00") 3 externref)
      (func $deep (export "x")))`);
    expect(module.name).toBe('named');
    expect(module.imports).toEqual([
      { module: 'a', name: 'f', type: { kind: 'func', params: ['i64'], results: ['f32'] } },
      { module: 'a', name: 'g', type: { kind: 'global', type: 'i32', mutable: true } },
    ]);
    expect(module.exports.map(e => [e.name, e.type.kind])).toEqual([
      ['mem', 'memory'],
      ['é\0', 'table'],
      ['x', 'func'],
    ]);
    expect(module.exports[0]!.type).toEqual({
      kind: 'memory',
      min: 1,
      max: 2,
      shared: false,
      index64: false,
      pageSize: 65536,
    });
    expect(module.functionName(1)).toBe('deep');
    expect(module.hash).toMatch(/^[0-9a-f]{32}$/);
  });
});
