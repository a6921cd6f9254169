/** Answers about a text module, from its model: plain offsets in, plain offsets out. */

import { isOperator } from '../../compiler/wat/body.ts';
import { Tok } from '../../compiler/wat/lexer.ts';
import type { Definition, FunctionModel, ModuleModel, Range, Reference } from '../../compiler/wat/model.ts';
import { type Item, isList } from '../../compiler/wat/tree.ts';
import { OPERATOR_NAMES, operatorDoc } from './operator-docs.ts';

/** The reference whose text holds the offset; its end counts too, for a cursor behind a name. */
export function referenceAt(model: ModuleModel, offset: number): Reference | undefined {
  const { references } = model;
  let low = 0;
  let high = references.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (references[mid]!.start <= offset) low = mid + 1;
    else high = mid;
  }
  for (let i = low - 1; i >= 0 && i >= low - 2; i--) {
    if (offset <= references[i]!.end) return references[i];
  }
  return undefined;
}

/** The token at an offset. */
function tokenAt(
  { tree }: ModuleModel,
  offset: number,
): { kind: Tok; range: Range; text: string } | undefined {
  const { kinds, starts, ends, count } = tree.tokens;
  let low = 0;
  let high = count;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (starts[mid]! <= offset) low = mid + 1;
    else high = mid;
  }
  const t = low - 1;
  if (t < 0 || offset > ends[t]!) return undefined;
  const range = { start: starts[t]!, end: ends[t]! };
  return { kind: kinds[t]!, range, text: tree.text.slice(range.start, range.end) };
}

function functionAt(model: ModuleModel, offset: number): FunctionModel | undefined {
  return model.functions.find(f => offset >= f.list.start && offset < f.list.end);
}

export const usesOf = (model: ModuleModel, definition: Definition): Reference[] =>
  model.references.filter(r => r.definition === definition);

const SPACE_WORDS: Readonly<Record<string, string>> = {
  func: 'function',
  elem: 'element segment',
  data: 'data segment',
};
const spaceWord = (space: string): string => SPACE_WORDS[space] ?? space;

function describe(d: Definition): string {
  const name = d.name === '' ? `(;${d.index};)` : d.name;
  const keyword = d.space === 'label' ? d.type : d.space;
  const type = d.space === 'label' ? '' : d.type;
  return `(${keyword} ${name}${type && ` ${type}`})`;
}

export interface Hover {
  readonly range: Range;
  /** In WAT. */
  readonly code: string;
  /** Plain text. */
  readonly text: string;
  /** The function whose native code's size is of interest. */
  readonly func: Definition | null;
}

export function hoverAt(model: ModuleModel, offset: number): Hover | null {
  const reference = referenceAt(model, offset);
  if (reference) {
    const d = reference.definition;
    const facts = [`${spaceWord(d.space)} ${d.index}`];
    if (d.imported) facts.push('imported');
    if (d.exports.length > 0) facts.push(`exported as ${d.exports.map(e => `"${e}"`).join(', ')}`);
    return {
      range: { start: reference.start, end: reference.end },
      code: describe(d),
      text: facts.join(', '),
      func: d.space === 'func' && !d.imported ? d : null,
    };
  }
  const token = tokenAt(model, offset);
  if (token?.kind !== Tok.Atom) return null;
  if (token.text === 'func') {
    const f = functionAt(model, offset);
    if (f && f.definition.at.start <= token.range.end)
      return {
        range: token.range,
        code: describe(f.definition),
        text: `function ${f.definition.index}`,
        func: f.definition.imported ? null : f.definition,
      };
  }
  const doc = isOperator(token.text) ? operatorDoc(token.text) : undefined;
  if (!doc) return null;
  return {
    range: token.range,
    code: doc.signature === '' ? token.text : `${token.text}  ;; ${doc.signature}`,
    text: doc.text,
    func: null,
  };
}

export interface Symbol {
  readonly definition: Definition;
  readonly name: string;
  readonly detail: string;
  readonly children: readonly Definition[];
}

export function symbolsOf(model: ModuleModel): Symbol[] {
  const locals = new Map(model.functions.map(f => [f.definition, f.locals.filter(l => l.name !== '')]));
  return [...model.spaces.values()]
    .flat()
    .filter(d => d.space !== 'elem' && d.space !== 'data')
    .sort((a, b) => a.extent.start - b.extent.start)
    .map(definition => ({
      definition,
      name: definition.name || definition.exports[0] || `${definition.space} ${definition.index}`,
      detail: definition.type,
      children: locals.get(definition) ?? [],
    }));
}

/** Why a name can't be the new name; null: it can. */
export function renameProblem(model: ModuleModel, definition: Definition, name: string): string | null {
  if (!/^\$[0-9A-Za-z!#$%&'*+\-./:<=>?@\\^_`|~]+$/.test(name))
    return "A name is $ and letters, digits or !#$%&'*+-./:<=>?@\\^_`|~";
  const owner = model.functions.find(f => f.locals.includes(definition) || f.labels.includes(definition));
  const others =
    definition.space === 'local'
      ? owner!.locals
      : definition.space === 'label'
        ? []
        : model.spaces.get(definition.space)!;
  return others.some(d => d !== definition && d.name === name)
    ? `There is a ${spaceWord(definition.space)} ${name} already.`
    : null;
}

/** Places to change for a rename: those that have the name, not those that use the index. */
export function renameEdits(model: ModuleModel, definition: Definition): Range[] {
  return usesOf(model, definition).filter(r => model.tree.text[r.start] === '$');
}

/** Lists and comments that span lines. */
export function foldingRanges(model: ModuleModel): (Range & { comment: boolean })[] {
  const { text, tokens, items } = model.tree;
  const found: (Range & { comment: boolean })[] = [];
  const spans = (start: number, end: number): boolean => {
    const newline = text.indexOf('\n', start);
    return newline >= 0 && newline < end;
  };
  const stack: Item[] = [...items];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if (!isList(item) || !spans(item.start, item.end)) continue;
    found.push({ start: item.start, end: item.end, comment: false });
    for (const inner of item.items) stack.push(inner);
  }
  for (let t = 0; t < tokens.count; t++) {
    const start = tokens.starts[t]!;
    const end = tokens.ends[t]!;
    if (tokens.kinds[t] === Tok.BlockComment && spans(start, end)) found.push({ start, end, comment: true });
  }
  return found;
}

export const TOKEN_TYPES = [
  'keyword',
  'function',
  'variable',
  'parameter',
  'type',
  'number',
  'string',
  'comment',
  'macro',
] as const;
type TokenType = (typeof TOKEN_TYPES)[number];

const VALUE_TYPE =
  /^(?:i32|i64|f32|f64|v128|(?:func|extern|any|eq|i31|struct|array|exn|null|nullfunc|nullextern)ref)$/;
const NUMBER = /^[+-]?(?:\d|inf$|nan(?:$|:))/;

function typeOfDefinition(d: Definition): TokenType {
  switch (d.space) {
    case 'func':
      return 'function';
    case 'type':
      return 'type';
    case 'label':
      return 'macro';
    case 'local':
      return 'parameter';
    default:
      return 'variable';
  }
}

/** Coloured tokens in order; none spans lines. */
export function semanticTokens(model: ModuleModel): (Range & { type: TokenType })[] {
  const { text, tokens } = model.tree;
  const { references } = model;
  const found: (Range & { type: TokenType })[] = [];
  let next = 0;
  for (let t = 0; t < tokens.count; t++) {
    const start = tokens.starts[t]!;
    const end = tokens.ends[t]!;
    while (next < references.length && references[next]!.start < start) next++;
    let type: TokenType | null = null;
    switch (tokens.kinds[t] as Tok) {
      case Tok.Id:
        type =
          references[next]?.start === start ? typeOfDefinition(references[next]!.definition) : 'variable';
        break;
      case Tok.String:
        type = 'string';
        break;
      case Tok.LineComment:
      case Tok.BlockComment:
        type = 'comment';
        break;
      case Tok.Atom: {
        const word = text.slice(start, end);
        type = NUMBER.test(word) ? 'number' : VALUE_TYPE.test(word) ? 'type' : 'keyword';
        break;
      }
    }
    if (type === null) continue;
    // A comment may span lines, a token of the protocol may not.
    for (let from = start; from < end; ) {
      const newline = text.indexOf('\n', from);
      const to = newline < 0 || newline > end ? end : newline;
      if (to > from) found.push({ start: from, end: to, type });
      from = to + 1;
    }
  }
  return found;
}

export interface Completion {
  readonly label: string;
  readonly kind: 'operator' | 'keyword' | 'function' | 'variable' | 'type' | 'label';
  readonly detail: string;
  readonly documentation: string;
}

const FIELDS =
  'module func param result local type import export memory table global elem data start mut offset item declare then else';

/** What may stand at an offset: names after `$` (by what the operator before it takes), else operators and keywords. */
export function completionsAt(model: ModuleModel, offset: number): { replace: Range; items: Completion[] } {
  const { text } = model.tree;
  let start = offset;
  while (start > 0 && /[^\s()";]/.test(text[start - 1]!)) start--;
  const replace = { start, end: offset };
  const f = functionAt(model, offset);
  if (
    text[start] === '$' ||
    /(?:^|[\s(])(?:call|return_call|ref\.func|local\.\w+|global\.\w+|br|br_if)\s+$/.test(
      text.slice(Math.max(0, start - 40), start),
    )
  ) {
    const operator =
      /([a-z_0-9.]+)\s+(?:\$\S+\s+)*$/.exec(text.slice(Math.max(0, start - 200), start))?.[1] ?? '';
    const wanted = spacesFor(operator);
    const all = [...(f?.locals ?? []), ...(f?.labels ?? []), ...[...model.spaces.values()].flat()];
    const items = all
      .filter(d => d.name !== '' && (wanted === null || wanted.includes(d.space)))
      .map(
        (d): Completion => ({
          label: d.name,
          kind:
            d.space === 'func'
              ? 'function'
              : d.space === 'type'
                ? 'type'
                : d.space === 'label'
                  ? 'label'
                  : 'variable',
          detail: d.type,
          documentation: spaceWord(d.space),
        }),
      );
    return { replace, items };
  }
  const keywords = FIELDS.split(' ').map(
    (label): Completion => ({ label, kind: 'keyword', detail: '', documentation: '' }),
  );
  const operators = OPERATOR_NAMES.map((label): Completion => {
    const doc = operatorDoc(label);
    return { label, kind: 'operator', detail: doc?.signature ?? '', documentation: doc?.text ?? '' };
  });
  return { replace, items: [...keywords, ...operators] };
}

function spacesFor(operator: string): readonly string[] | null {
  if (/^(?:return_)?call$|^ref\.func$|^func$|^start$/.test(operator)) return ['func'];
  if (operator.startsWith('local.')) return ['local'];
  if (/^br(?:_|$)/.test(operator)) return ['label'];
  if (operator.startsWith('global.') || operator === 'global') return ['global'];
  if (operator === 'type' || operator === 'ref') return ['type'];
  if (operator.startsWith('memory.') || operator === 'memory') return ['memory', 'data'];
  if (operator.startsWith('table.') || operator === 'table') return ['table', 'elem'];
  return null;
}

export interface Lens {
  readonly range: Range;
  readonly exportName: string;
  /** Value types of its parameters. */
  readonly params: readonly string[];
}

/** Exported functions with a body: each can be run by itself. */
export function lensesOf(model: ModuleModel): Lens[] {
  return model.functions.flatMap(f => {
    const name = f.definition.exports[0];
    if (name === undefined || f.definition.imported) return [];
    const params = f.locals.slice(0, parameterCount(model, f)).map(l => l.type);
    return [{ range: f.definition.at, exportName: name, params }];
  });
}

function parameterCount(model: ModuleModel, f: FunctionModel): number {
  // Locals begin where the text has `local`.
  const { text } = model.tree;
  const first = f.locals.findIndex(l => {
    const list = f.list.items.find(i => isList(i) && l.extent.start >= i.start && l.extent.end <= i.end);
    return isList(list) && text.slice(list.items[0]!.start, list.items[0]!.end) === 'local';
  });
  return first < 0 ? f.locals.length : first;
}
