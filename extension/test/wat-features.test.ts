/** What the language server answers about a text, without its process. */
import { describe, expect, it } from 'vitest';
import { modelOf } from '../../compiler/wat/model.ts';
import { parseTree } from '../../compiler/wat/tree.ts';
import * as features from '../server/features.ts';
import { OPERATOR_NAMES, operatorDoc } from '../server/operator-docs.ts';

const TEXT = `(module
  (import "env" "log" (func $log (param i32)))
  (global $count (mut i32) (i32.const 0))
  (func $step (export "step") (param $by i32) (result i32) (local $old i32)
    (local.set $old (global.get $count))
    (global.set $count (i32.add (local.get $old) (local.get $by)))
    (block $out (br_if $out (i32.eqz (local.get 0))) (call $log (local.get $old)))
    (global.get 0))
  (func $unused)
  (; a comment
     of two lines ;)
  (start $unused))
`;
const model = modelOf(parseTree(TEXT));
const at = (needle: string, nth = 1): number => {
  let i = -1;
  for (let n = 0; n < nth; n++) i = TEXT.indexOf(needle, i + 1);
  return i;
};
const slice = (r: { start: number; end: number }) => TEXT.slice(r.start, r.end);

describe('hover', () => {
  it('shows a name with its type and its exports', () => {
    expect(features.hoverAt(model, at('$step') + 2)).toMatchObject({
      code: '(func $step (param $by i32) (result i32))',
      text: 'function 1, exported as "step"',
    });
    expect(features.hoverAt(model, at('$log', 2))).toMatchObject({
      text: 'function 0, imported',
      func: null,
    });
    expect(features.hoverAt(model, at('get 0)') + 4)?.code).toBe('(local $by i32)');
  });

  it('explains operators', () => {
    expect(features.hoverAt(model, at('i32.add'))).toMatchObject({
      code: 'i32.add  ;; [i32 i32] → [i32]',
      text: 'Sum; of integers modulo 2^32.',
    });
    expect(features.hoverAt(model, at('; a comment'))).toBeNull();
  });

  it('knows every operator of the compiler', () => {
    const missing = OPERATOR_NAMES.filter(n => !operatorDoc(n)?.text.replace('Lane by lane. ', ''));
    expect(missing).toEqual([]);
    expect(operatorDoc('i32.nothing')).toBeUndefined();
    expect(operatorDoc('toString')).toBeUndefined();
  });
});

describe('references and renaming', () => {
  it('find a name and its index', () => {
    const count = features.referenceAt(model, at('$count'))!.definition;
    expect(features.usesOf(model, count).map(slice)).toEqual(['$count', '$count', '$count', '0']);
    expect(features.renameEdits(model, count).map(slice)).toEqual(['$count', '$count', '$count']);
  });

  it('keep locals and labels to their function', () => {
    const old = features.referenceAt(model, at('$old'))!.definition;
    expect(features.usesOf(model, old)).toHaveLength(4);
    expect(features.renameProblem(model, old, '$by')).toContain('already');
    expect(features.renameProblem(model, old, '$fine')).toBeNull();
    expect(features.renameProblem(model, old, '$not fine')).toContain('A name is');
  });
});

describe('outline, folding, lenses', () => {
  it('lists definitions with named locals', () => {
    expect(features.symbolsOf(model).map(s => [s.name, s.children.map(c => c.name)])).toEqual([
      ['$log', []],
      ['$count', []],
      ['$step', ['$by', '$old']],
      ['$unused', []],
    ]);
  });

  it('folds what spans lines', () => {
    expect(features.foldingRanges(model).map(r => [TEXT.slice(r.start, r.start + 6), r.comment])).toEqual([
      ['(modul', false],
      ['(func ', false],
      ['(; a c', true],
    ]);
  });

  it('offers to run exported functions', () => {
    expect(features.lensesOf(model)).toEqual([
      { range: expect.anything(), exportName: 'step', params: ['i32'] },
    ]);
  });
});

describe('semantic tokens', () => {
  it('tell apart what names stand for', () => {
    const found = features.semanticTokens(model);
    const types = new Map(found.map(t => [slice(t), t.type]));
    expect(Object.fromEntries([...types].filter(([k]) => /^\$|^i32|^0|^"env|of two/.test(k)))).toEqual({
      '"env"': 'string',
      $log: 'function',
      i32: 'type',
      $count: 'variable',
      'i32.const': 'keyword',
      '0': 'number',
      $step: 'function',
      $by: 'parameter',
      $old: 'parameter',
      'i32.add': 'keyword',
      'i32.eqz': 'keyword',
      $out: 'macro',
      $unused: 'function',
      '     of two lines ;)': 'comment',
    });
    expect(found.every(t => !slice(t).includes('\n'))).toBe(true);
  });
});

describe('completion', () => {
  const labels = (text: string) => {
    const m = modelOf(parseTree(text));
    return features.completionsAt(m, text.indexOf('|')).items.map(i => i.label);
  };
  it('offers names of the right space', () => {
    const start = '(module (global $g i32 (i32.const 0)) (func $f (param $p i32) (block $b ';
    expect(labels(`${start}(call |)))`)).toEqual(['$f']);
    expect(labels(`${start}(local.get $|)))`)).toEqual(['$p']);
    expect(labels(`${start}br $|)))`)).toEqual(['$b']);
    expect(labels(`${start}global.get |)))`)).toEqual(['$g']);
  });
  it('offers operators elsewhere, also in broken text', () => {
    expect(labels('(module (func (i32.|')).toEqual(expect.arrayContaining(['i32.add', 'v128.load', 'func']));
  });
});
