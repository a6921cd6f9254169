/**
 * Instruction sequences of the text format, flat and folded: visits operators in the order in which they are encoded,
 * and resolves what their immediates refer to.
 */
import { Tok } from './lexer.ts';
import type { Definition, Range, Resolver, Space } from './model.ts';
import { type Atom, atomText, headOf, type Item, isList, type List } from './tree.ts';

export interface Body {
  readonly items: readonly Item[];
  /** Where the sequence ends. */
  readonly end: number;
  readonly locals: readonly Definition[];
  /** Receives the labels. */
  readonly labels: Definition[];
  /** Receives the operators; null: nobody wants them. */
  readonly operators: Range[] | null;
}

/** Folded expressions nest no deeper in what people and compilers write; what lies deeper is not looked at. */
const MAX_DEPTH = 1500;

/**
 * Index spaces of immediates, in the order of the text. `?` before a space: it may be left out. `*`: any number of
 * them.
 */
const IMMEDIATES: Readonly<Record<string, readonly string[]>> = {
  call: ['func'],
  return_call: ['func'],
  'ref.func': ['func'],
  'local.get': ['local'],
  'local.set': ['local'],
  'local.tee': ['local'],
  'global.get': ['global'],
  'global.set': ['global'],
  'table.get': ['?table'],
  'table.set': ['?table'],
  'table.size': ['?table'],
  'table.grow': ['?table'],
  'table.fill': ['?table'],
  'table.copy': ['?table', '?table'],
  'table.init': ['?table', 'elem'],
  'elem.drop': ['elem'],
  'memory.size': ['?memory'],
  'memory.grow': ['?memory'],
  'memory.fill': ['?memory'],
  'memory.copy': ['?memory', '?memory'],
  'memory.init': ['?memory', 'data'],
  'data.drop': ['data'],
  call_indirect: ['?table'],
  return_call_indirect: ['?table'],
  call_ref: ['type'],
  return_call_ref: ['type'],
  br: ['label'],
  br_if: ['label'],
  br_table: ['*label'],
  br_on_null: ['label'],
  br_on_non_null: ['label'],
  br_on_cast: ['label'],
  br_on_cast_fail: ['label'],
  throw: ['tag'],
  rethrow: ['label'],
  delegate: ['label'],
  catch: ['tag'],
  'ref.null': ['?type'],
  'struct.new': ['type'],
  'struct.new_default': ['type'],
  'struct.get': ['type'],
  'struct.get_s': ['type'],
  'struct.get_u': ['type'],
  'struct.set': ['type'],
  'array.new': ['type'],
  'array.new_default': ['type'],
  'array.new_fixed': ['type'],
  'array.new_data': ['type', 'data'],
  'array.new_elem': ['type', 'elem'],
  'array.get': ['type'],
  'array.get_s': ['type'],
  'array.get_u': ['type'],
  'array.set': ['type'],
  'array.fill': ['type'],
  'array.copy': ['type', 'type'],
  'array.init_data': ['type', 'data'],
  'array.init_elem': ['type', 'elem'],
};
const NONE: readonly string[] = [];
const OPTIONAL_MEMORY: readonly string[] = ['?memory'];

const BLOCKS: ReadonlySet<string> = new Set(['block', 'loop', 'if', 'try', 'try_table']);
const CATCHES: ReadonlySet<string> = new Set(['catch', 'catch_ref', 'catch_all', 'catch_all_ref']);
const TYPE_LISTS: ReadonlySet<string> = new Set(['type', 'param', 'result', 'ref']);

/** An atom that begins an operator: neither a name, a number, a string, nor `offset=`. */
export function isOperator(text: string): boolean {
  return /^[a-z][a-z0-9_.]*$/.test(text) && !NOT_OPERATORS.has(text);
}
/** Keywords that are immediates: heap types, value types, lane shapes and special numbers. */
const NOT_OPERATORS: ReadonlySet<string> = new Set(
  (
    'func extern any eq i31 struct array exn none nofunc noextern noexn i32 i64 f32 f64 v128 funcref externref anyref eqref i31ref ' +
    'structref arrayref exnref nullref nullfuncref nullexternref nullexnref i8x16 i16x8 i32x4 i64x2 f32x4 f64x2 inf nan mut null'
  ).split(' '),
);

interface OpenLabel {
  readonly name: string;
  readonly definition: Definition;
}

class Walker {
  private readonly text: string;
  /** Innermost last. */
  private readonly open: OpenLabel[] = [];
  private readonly names: Map<string, Definition>;

  constructor(
    private readonly resolver: Resolver,
    private readonly body: Body,
  ) {
    this.text = resolver.text;
    this.names = new Map(body.locals.filter(l => l.name !== '').map(l => [l.name, l]));
  }

  sequence(items: readonly Item[], depth: number): void {
    if (depth > MAX_DEPTH) return;
    for (let i = 0; i < items.length; ) {
      const item = items[i]!;
      if (isList(item)) {
        this.folded(item, depth + 1);
        i++;
      } else if (item.kind === Tok.Atom) i = this.plain(items, i, depth);
      else i++;
    }
  }

  /** An operator and its immediates, from `items[at]`; the position behind them. */
  private plain(items: readonly Item[], at: number, depth: number): number {
    const keyword = items[at] as Atom;
    const name = atomText(this.text, keyword);
    let end = at + 1;
    while (end < items.length && this.isImmediate(items[end]!)) end++;
    const immediates = items.slice(at + 1, end);
    if (BLOCKS.has(name)) {
      this.blockTypes(immediates, depth);
      this.emit(keyword);
      this.enter(keyword, immediates[0]);
    } else if (name === 'end') {
      this.labelAgain(immediates[0]);
      this.open.pop();
      this.emit(keyword);
    } else if (name === 'else' || name === 'catch' || name === 'catch_all') {
      this.labelAgain(name === 'catch' ? undefined : immediates[0]);
      if (name === 'catch') this.resolver.refer('tag', immediates[0]);
      // An empty `else` is not encoded.
      if (name !== 'else' || !this.endsHere(items, end)) this.emit(keyword);
    } else if (name === 'then') {
      // Only in lists.
    } else {
      this.immediates(name, immediates);
      if (name === 'delegate') this.open.pop();
      if (isOperator(name)) this.emit(keyword);
    }
    return end;
  }

  private endsHere(items: readonly Item[], at: number): boolean {
    return atomText(this.text, items[at]) === 'end';
  }

  private isImmediate(item: Item): boolean {
    if (isList(item)) {
      const head = headOf(this.text, item);
      return TYPE_LISTS.has(head) || CATCHES.has(head);
    }
    return item.kind !== Tok.Atom || !isOperator(this.text.slice(item.start, item.end));
  }

  /** `(op immediates… operands…)` */
  private folded(list: List, depth: number): void {
    if (depth > MAX_DEPTH) return;
    const keyword = list.items[0];
    if (keyword === undefined || isList(keyword)) return;
    const name = atomText(this.text, keyword);
    let at = 1;
    while (at < list.items.length && this.isImmediate(list.items[at]!)) at++;
    const immediates = list.items.slice(1, at);
    const rest = list.items.slice(at);
    if (name === 'if') this.foldedIf(list, keyword, immediates, rest, depth);
    else if (BLOCKS.has(name)) {
      this.blockTypes(immediates, depth);
      this.emit(keyword);
      this.enter(keyword, immediates[0]);
      this.sequence(rest, depth);
      this.open.pop();
      this.emitClose(list);
    } else if (name === 'then' || name === 'else' || name === 'offset' || name === 'item' || name === 'do') {
      this.sequence(list.items.slice(1), depth);
    } else {
      this.sequence(rest, depth);
      this.immediates(name, immediates);
      if (isOperator(name)) this.emit(keyword);
    }
  }

  private foldedIf(
    list: List,
    keyword: Atom,
    immediates: readonly Item[],
    rest: readonly Item[],
    depth: number,
  ): void {
    const arms = rest.findIndex(r => headOf(this.text, r) === 'then');
    const condition = arms < 0 ? rest : rest.slice(0, arms);
    this.sequence(condition, depth);
    this.blockTypes(immediates, depth);
    this.emit(keyword);
    this.enter(keyword, immediates[0]);
    for (const arm of arms < 0 ? [] : rest.slice(arms)) {
      if (!isList(arm)) continue;
      const operators = this.body.operators;
      const isElse = headOf(this.text, arm) === 'else';
      if (isElse && arm.items.length > 1) this.emit(arm.items[0] as Atom);
      const before = operators?.length ?? 0;
      this.sequence(arm.items.slice(1), depth);
      if (isElse && operators && operators.length === before && arm.items.length > 1) operators.pop();
    }
    this.open.pop();
    this.emitClose(list);
  }

  private emit(at: Range): void {
    this.body.operators?.push({ start: at.start, end: at.end });
  }

  /** The `end` of a folded block is its closing parenthesis. */
  private emitClose(list: List): void {
    this.emit({ start: list.end - (list.closed ? 1 : 0), end: list.end });
  }

  private enter(keyword: Atom, label: Item | undefined): void {
    const named = label !== undefined && label.kind === Tok.Id ? label : null;
    const definition: Definition = {
      space: 'label',
      index: this.body.labels.length,
      name: atomText(this.text, named ?? undefined),
      at: { start: (named ?? keyword).start, end: (named ?? keyword).end },
      extent: { start: keyword.start, end: keyword.end },
      type: this.text.slice(keyword.start, keyword.end),
      imported: false,
      exports: [],
    };
    this.body.labels.push(definition);
    this.open.push({ name: definition.name, definition });
    if (named) this.resolver.references.push({ ...definition.at, definition });
  }

  /** `end $l`, `else $l` */
  private labelAgain(item: Item | undefined): void {
    if (item?.kind === Tok.Id) this.label(item);
  }

  private label(item: Atom): void {
    const name = atomText(this.text, item);
    let found: Definition | undefined;
    if (item.kind === Tok.Id) found = this.open.findLast(l => l.name === name)?.definition;
    else if (/^\d+$/.test(name)) found = this.open[this.open.length - 1 - Number(name)]?.definition;
    this.resolver.note('label', item, found);
  }

  /** Block types, and the clauses of `try_table`: their labels lie outside of it. */
  private blockTypes(immediates: readonly Item[], _depth: number): void {
    for (const item of immediates) {
      if (!isList(item)) continue;
      const head = headOf(this.text, item);
      if (!CATCHES.has(head)) this.resolver.types(item);
      else {
        const operands = item.items.slice(1).filter((i): i is Atom => !isList(i));
        if (!head.startsWith('catch_all')) this.resolver.refer('tag', operands.shift());
        if (operands[0]) this.label(operands[0]);
      }
    }
  }

  private immediates(name: string, items: readonly Item[]): void {
    for (const item of items) this.resolver.types(item);
    const atoms = items.filter((i): i is Atom => !isList(i) && (i.kind === Tok.Id || i.kind === Tok.Atom));
    const isAccess = /\.(?:load|store|atomic)/.test(name);
    // `v128.load8_lane 1`: a lane, not a memory.
    const expected = isAccess
      ? atoms[0]?.kind === Tok.Id
        ? OPTIONAL_MEMORY
        : NONE
      : Object.hasOwn(IMMEDIATES, name)
        ? IMMEDIATES[name]!
        : NONE;
    if (expected.length === 0) return;
    if (expected[0] === '*label') {
      for (const atom of atoms) this.label(atom);
      return;
    }
    const needed = expected.filter(e => !e.startsWith('?')).length;
    let optional = atoms.length - needed;
    let next = 0;
    for (const e of expected) {
      const space = e.replace('?', '') as Space;
      if (e.startsWith('?') && optional-- <= 0) continue;
      const atom = atoms[next++];
      if (atom === undefined) return;
      if (space === 'label') this.label(atom);
      else if (space === 'local') this.local(atom);
      else this.resolver.refer(space, atom);
    }
  }

  private local(atom: Atom): void {
    const name = atomText(this.text, atom);
    this.resolver.note(
      'local',
      atom,
      atom.kind === Tok.Id ? this.names.get(name) : this.body.locals[Number(name)],
    );
  }
}

export function walkBody(resolver: Resolver, body: Body): void {
  new Walker(resolver, body).sequence(body.items, 0);
}
