import { describe, expect, it } from 'vitest';
import { TRAPS } from '../../compiler/abi/traps.ts';
import { type Engine, EngineFailure, type Session, trapNamed } from '../spec/engine.ts';
import { runScript } from '../spec/run.ts';
import type { Command, Script } from '../spec/script.ts';
import type { Value } from '../spec/values.ts';

/** An engine whose modules are text: what each step does. `compile=KIND`, `start=KIND`; exports are in `calls`. */
function fakeEngine(calls: Record<string, () => Value[]>): Engine<string, string> {
  const fail = (module: string, step: string): void => {
    const kind = new RegExp(`${step}=(\\w+)`).exec(module)?.[1];
    if (kind !== undefined) throw new EngineFailure(kind as 'trap', 'so it was told', ['Unreachable']);
  };
  return {
    name: 'fake',
    features: new Set(['simd']),
    partial: new Set(),
    separatesMalformed: true,
    nodeFlags: [],
    open(): Session<string, string> {
      return {
        compile(bytes) {
          const module = Buffer.from(bytes).toString();
          fail(module, 'compile');
          return module;
        },
        importedModules: module => /from=(\w+)/.exec(module)?.slice(1) ?? [],
        instantiate(module) {
          fail(module, 'start');
          return module;
        },
        invoke: (_instance, field) => calls[field]!(),
        get: (_instance, field) => calls[field]!()[0]!,
        close() {},
      };
    },
  };
}

const module = (text: string) => ({
  module_type: 'binary' as const,
  module_b64: Buffer.from(text).toString('base64'),
});
const invoke = (field: string) => ({ type: 'invoke' as const, field, args: [] });
const ok: Command = { line: 1, type: 'module', ...module('') };

function run(commands: readonly Command[], calls: Record<string, () => Value[]> = {}) {
  const script: Script = { source_filename: 'x.wast', features: [], commands };
  const { passed, skipped, failures, skips } = runScript(script, fakeEngine(calls));
  return { passed, skipped, failures: failures.map(f => f.message), skips };
}

describe('the script interpreter', () => {
  it('passes and fails returns', () => {
    const calls = { one: (): Value[] => [{ type: 'i32', bits: 1n }], none: () => [] };
    const returns = (field: string, ...values: string[]): Command => ({
      line: 2,
      type: 'assert_return',
      action: invoke(field),
      expected: values.map(value => ({ type: 'i32', value })),
    });
    expect(run([ok, returns('one', '1'), returns('none')], calls)).toMatchObject({ passed: 3, failures: [] });
    expect(run([ok, returns('one', '2')], calls).failures).toEqual(['"one"(): expected i32 2, got i32 1']);
    expect(run([ok, returns('one')], calls).failures).toEqual(['"one"(): expected nothing, got i32 1']);
    expect(run([ok, returns('none', '1')], calls).failures).toHaveLength(1);
  });

  it('wants the trap that is named, and no other end', () => {
    const calls = {
      unreachable: () => {
        throw new EngineFailure('trap', 'm', ['Unreachable']);
      },
      deep: () => {
        throw new EngineFailure('exhaustion', 'm');
      },
      fine: () => [],
    };
    const traps = (field: string, text: string): Command => ({
      line: 2,
      type: 'assert_trap',
      action: invoke(field),
      text,
    });
    const exhausts = (field: string): Command => ({
      line: 2,
      type: 'assert_exhaustion',
      action: invoke(field),
      text: '',
    });
    expect(run([ok, traps('unreachable', 'unreachable'), exhausts('deep')], calls).passed).toBe(3);
    const wrong = [
      traps('unreachable', 'integer overflow'),
      traps('deep', 'unreachable'),
      traps('fine', 'unreachable'),
      exhausts('unreachable'),
      exhausts('fine'),
    ];
    expect(run([ok, ...wrong], calls).failures).toHaveLength(wrong.length);
  });

  it('wants modules rejected for the right reason', () => {
    const rejects = (type: 'assert_invalid' | 'assert_malformed', text: string): Command => ({
      line: 2,
      type,
      text: 'x',
      ...module(text),
    });
    expect(
      run([rejects('assert_invalid', 'compile=invalid'), rejects('assert_malformed', 'compile=malformed')])
        .passed,
    ).toBe(2);
    const wrong = [
      rejects('assert_invalid', ''),
      rejects('assert_invalid', 'compile=malformed'),
      rejects('assert_malformed', 'compile=invalid'),
    ];
    expect(run(wrong).failures).toHaveLength(3);
    expect(run([rejects('assert_invalid', 'compile=unsupported')])).toMatchObject({ skipped: 1, passed: 0 });
  });

  it('tells link errors from traps when instantiating', () => {
    const unlinkable = (text: string): Command => ({
      line: 2,
      type: 'assert_unlinkable',
      text: 'x',
      ...module(text),
    });
    const traps = (text: string): Command => ({
      line: 2,
      type: 'assert_uninstantiable',
      text: 'unreachable',
      ...module(text),
    });
    expect(run([unlinkable('start=unlinkable'), traps('start=trap')]).passed).toBe(2);
    expect(
      run([unlinkable('start=trap'), unlinkable(''), traps('start=unlinkable'), traps('')]).failures,
    ).toHaveLength(4);
  });

  it('skips what needs a feature that is not there, with all that acts on it', () => {
    const gc: Command = { line: 1, type: 'module', features: ['gc', 'simd'], ...module('') };
    const report = run([
      gc,
      { line: 2, type: 'action', action: invoke('f') },
      { line: 3, type: 'register', as: 'M' },
      { line: 4, type: 'module', ...module('from=M') },
      { line: 5, type: 'module', module_type: 'text', module_b64: '' },
    ]);
    expect(report).toEqual({
      passed: 0,
      skipped: 5,
      failures: [],
      skips: {
        'needs gc': 1,
        'acts on a skipped module (needs gc)': 2,
        'imports from a skipped module (needs gc)': 1,
        'the module has only a text form': 1,
      },
    });
  });

  it('fails what acts on a module that failed', () => {
    const report = run([
      { line: 1, type: 'module', ...module('compile=invalid') },
      { line: 2, type: 'action', action: invoke('f') },
    ]);
    expect(report.failures).toHaveLength(2);
    expect(report.failures[1]).toContain('there is no instance to act on');
  });

  it('knows the trap of every wording', () => {
    for (const t of TRAPS) if (t.spec !== '') expect(trapNamed(t.spec)).toBe(t.name);
    expect(trapNamed('uninitialized element 2')).toBe('IndirectCallToNull');
    expect(trapNamed('undefined element')).toBe('TableOutOfBounds');
    expect(() => trapNamed('something else')).toThrow();
  });
});
