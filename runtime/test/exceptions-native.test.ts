/** Exceptions in the C API; tables of landing pads that are damaged. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import {
  ARTIFACT_HEADER,
  CATCH_CLAUSE_RECORD,
  DIRECTORY_ENTRY,
  LANDING_RECORD,
  Part,
  recordLayout,
  TAG_RECORD,
  TRY_SCOPE_RECORD,
} from '../../compiler/abi/artifact.ts';
import { compile } from '../../compiler/index.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { xxHash32 } from '../../compiler/object/hashes.ts';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { LoadError, Module } from '../index.ts';
import { describeNative } from './support/guest.ts';

const run = promisify(execFile);
const native = join(import.meta.dirname, '../native');
const dir = mkdtempSync(join(tmpdir(), 'lucet-'));

/** `catch` (way, x): 0–3 one of the imports, in a try_table; 4: the last of them, outside. */
const TEXT = `(module
  (import "m" "throw" (func $throw (param i32)))
  (import "m" "pass" (func $pass (param i32)))
  (import "m" "swallow" (func $swallow (param i32)))
  (import "m" "hostcall" (func $hostcall (param i32)))
  (tag $e (param i32 v128))
  (func $thrower (export "thrower") (param i32)
    (throw $e (local.get 0) (i64x2.splat (i64.extend_i32_u (i32.add (local.get 0) (i32.const 1))))))
  (func (export "catch") (param $way i32) (param $x i32) (result i32 i64) (local $v v128)
    (if (i32.eq (local.get $way) (i32.const 4)) (then (call $hostcall (local.get $x))))
    (block $h (result i32 v128)
      (try_table (catch $e $h)
        (if (i32.eq (local.get $way) (i32.const 0)) (then (call $throw (local.get $x))))
        (if (i32.eq (local.get $way) (i32.const 1)) (then (call $pass (local.get $x))))
        (if (i32.eq (local.get $way) (i32.const 2)) (then (call $swallow (local.get $x))))
        (if (i32.eq (local.get $way) (i32.const 3)) (then (call $hostcall (local.get $x)))))
      (i32.const 1000) (v128.const i64x2 0 0))
    (local.set $v)
    (i64x2.extract_lane 0 (local.get $v))))`;

describeNative('exceptions, from C', () => {
  afterAll(() => rmSync(dir, { recursive: true }));

  it('are thrown, caught, passed on and kept', async () => {
    const so = join(dir, 'guest.so');
    writeFileSync(so, compile(watNewer(TEXT), { verify: true }));
    const program = join(dir, 'exceptions');
    const library = join(import.meta.dirname, '../../dist/native');
    const flags = ['-std=c11', '-Wall', '-Wextra', '-Werror', '-g', `-I${native}`];
    await run('cc', [
      ...flags,
      '-o',
      program,
      join(import.meta.dirname, 'exceptions-native.c'),
      join(library, 'liblucet.so'),
      `-Wl,-rpath,${library}`,
    ]);
    const { stdout } = await run(program, [so]);
    expect(stdout).toBe('caught 0\ncaught 1\ncaught 2\nuncaught 5\ndone\n');
  });

  it('no damaged table of landing pads is taken for a good one', () => {
    const good = compile(
      watNewer(`(module
        (import "m" "t" (tag $t)) (tag $a) (tag $b (param i32))
        (func $f (param i32) (result i32) (local.get 0))
        (func $nested (param i32) (result i32)
          (block $x (block $y (result i32)
            (try_table (catch $a $x) (catch $b $y) (catch $t $x)
              (drop (call $f (local.get 0)))
              (try_table (catch_all $x) (drop (call $f (local.get 0)))))
            (i32.const 1)) (return)) (call $f (i32.const 2)))
        (func (export "g") (param i32) (result i32)
          (block $x (try_table (catch_all $x) (return (call $nested (local.get 0))))) (i32.const 3)))`),
      { debugInfo: false },
    );
    const a = readArtifact(good);
    expect(a.landings.length).toBeGreaterThan(2);
    const view = new DataView(good.buffer, good.byteOffset, good.length);
    const magic = Buffer.from(good).indexOf('LUCETMOD');
    const header = recordLayout(ARTIFACT_HEADER);
    const directory = recordLayout(DIRECTORY_ENTRY);
    const checksumAt = magic + header.offsets.checksum!;
    const parts = [
      [Part.Tags, TAG_RECORD],
      [Part.Landings, LANDING_RECORD],
      [Part.TryScopes, TRY_SCOPE_RECORD],
      [Part.CatchClauses, CATCH_CLAUSE_RECORD],
    ] as const;
    const fieldOf = (part: Part, name: string): number =>
      view.getUint32(magic + header.size + (part - 1) * directory.size + directory.offsets[name]!, true);
    /** What must hold of tables that are taken, once more. */
    const sound = (bytes: Uint8Array): boolean => {
      const b = readArtifact(bytes);
      const { landings, tryScopes } = b;
      return (
        landings.every((l, i) => {
          const from = b.functionAt(l.site - 1);
          return (
            from >= 0 &&
            b.functionAt(l.pad) === from &&
            l.pad > b.func(from).start &&
            (i === 0 || l.site > landings[i - 1]!.site) &&
            l.scope < tryScopes.length
          );
        }) &&
        tryScopes.every((s, i) => s.parent === null || s.parent < i) &&
        tryScopes.every(s => s.clauses.every(c => c.tag === null || c.tag < b.tags.length)) &&
        b.tags.every(t => b.types[t]!.results.length === 0)
      );
    };
    let taken = 0;
    let refused = 0;
    for (const [part, record] of parts) {
      const { size } = recordLayout(record);
      const from = magic + fieldOf(part, 'offset');
      const count = fieldOf(part, 'count');
      expect(count).toBeGreaterThan(0);
      for (let at = from; at < from + count * size; at += 4) {
        const old = view.getUint32(at, true);
        for (const value of [
          0,
          1,
          2,
          3,
          0x7fffffff,
          0xffffffff,
          0xfffffffe,
          old + 1,
          old - 1,
          old ^ 0x80,
          old ^ 0x4000,
        ]) {
          if (value === old) continue;
          const bad = good.slice();
          const v = new DataView(bad.buffer);
          v.setUint32(at, value >>> 0, true);
          v.setUint32(checksumAt, xxHash32(bad, checksumAt), true);
          try {
            Module.fromBytes(bad).dispose();
          } catch (e) {
            expect(e).toBeInstanceOf(LoadError);
            expect((e as LoadError).reason).toBe('format');
            refused++;
            continue;
          }
          expect(sound(bad), `part ${part}, word ${(at - from) / 4} = ${value}`).toBe(true);
          taken++;
        }
      }
    }
    expect(refused).toBeGreaterThan(200);
    expect(taken).toBeGreaterThan(20);
  });
});
