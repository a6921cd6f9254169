/**
 * What a text module defines and refers to: index spaces, functions with their operators in the order in which they are
 * encoded, names and every use of them. Made from any tree: what is not understood is left out.
 */

import { walkBody } from './body.ts';
import { Tok } from './lexer.ts';
import { type Atom, atomText, headOf, type Item, isList, type List, type Tree } from './tree.ts';

export type Space =
  | 'type'
  | 'func'
  | 'table'
  | 'memory'
  | 'global'
  | 'tag'
  | 'elem'
  | 'data'
  | 'local'
  | 'label';

export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Definition {
  readonly space: Space;
  /** In its space (locals: in the function; labels: number of the block in the function). */
  readonly index: number;
  /** With its `$`; empty: it has none. */
  readonly name: string;
  /** Where its name stands, or its keyword if it has none. */
  readonly at: Range;
  /** All of it. */
  readonly extent: Range;
  /** Its type as text: a signature, a value type. */
  readonly type: string;
  readonly imported: boolean;
  /** Export names written inside of it, and from `export` fields. */
  readonly exports: string[];
}

export interface Reference extends Range {
  readonly definition: Definition;
}

export interface Unresolved extends Range {
  readonly space: Space;
}

export interface FunctionModel {
  readonly definition: Definition;
  readonly list: List;
  readonly locals: readonly Definition[];
  readonly labels: readonly Definition[];
  /** Operators in the order of the binary, the final `end` included: start and end of each. Empty: imported. */
  readonly operators: readonly Range[];
}

export interface ModuleModel {
  readonly tree: Tree;
  /** By space: position = index. Locals and labels are in their function. */
  readonly spaces: ReadonlyMap<Space, readonly Definition[]>;
  readonly functions: readonly FunctionModel[];
  readonly references: readonly Reference[];
  readonly unresolved: readonly Unresolved[];
}

const MODULE_SPACES: readonly Space[] = ['type', 'func', 'table', 'memory', 'global', 'tag', 'elem', 'data'];
/** Types nest a few levels deep; what lies deeper in a hostile text is not looked at. */
const MAX_TYPE_DEPTH = 50;
const IMPORT_KINDS = new Set(['func', 'table', 'memory', 'global', 'tag']);

/** Finds what a name or a number refers to, and takes notes of it. */
export class Resolver {
  readonly references: Reference[] = [];
  readonly unresolved: Unresolved[] = [];
  readonly spaces = new Map<Space, Definition[]>(MODULE_SPACES.map(s => [s, []]));
  private readonly named = new Map<Space, Map<string, Definition>>(MODULE_SPACES.map(s => [s, new Map()]));

  constructor(readonly text: string) {}

  define(definition: Definition): void {
    this.spaces.get(definition.space)!.push(definition);
    const names = this.named.get(definition.space)!;
    // Of two with the same name the first is meant; the validator reports the second.
    if (definition.name !== '' && !names.has(definition.name)) names.set(definition.name, definition);
    if (definition.name !== '') this.references.push({ ...definition.at, definition });
  }

  lookup(space: Space, text: string): Definition | undefined {
    if (text.startsWith('$')) return this.named.get(space)?.get(text);
    return /^[0-9_]+$|^0x[0-9a-fA-F_]+$/.test(text)
      ? this.spaces.get(space)?.[Number(text.replace(/_/g, ''))]
      : undefined;
  }

  refer(space: Space, item: Item | undefined): void {
    if (item === undefined || isList(item)) return;
    this.note(space, item, this.lookup(space, atomText(this.text, item)));
  }

  note(space: Space, item: Atom, definition: Definition | undefined): void {
    const range = { start: item.start, end: item.end };
    if (definition) this.references.push({ ...range, definition });
    else if (item.kind === Tok.Id) this.unresolved.push({ ...range, space });
  }

  /** `(type $t)`, `(ref null $t)` and further uses of types anywhere in an item. */
  types(item: Item | undefined, depth = 0): void {
    if (!isList(item) || depth > MAX_TYPE_DEPTH) return;
    const head = headOf(this.text, item);
    for (const [i, part] of item.items.entries()) {
      if (isList(part)) this.types(part, depth + 1);
      else if (i > 0 && part.kind === Tok.Id && (head === 'type' || head === 'ref' || head === 'sub'))
        this.refer('type', part);
      else if (i === 1 && head === 'type') this.refer('type', part);
    }
  }
}

/** The text of a list's types, in short: `(param $x i32)` -> `i32`. */
function signatureOf(text: string, items: readonly Item[]): string {
  const shown: string[] = [];
  for (const item of items) {
    const head = headOf(text, item);
    if ((head === 'param' || head === 'result' || head === 'type') && isList(item))
      shown.push(text.slice(item.start, item.end).replace(/\s+/g, ' '));
  }
  return shown.join(' ');
}

interface Field {
  readonly head: string;
  readonly list: List;
  readonly definition: Definition | null;
}

/** A name right behind the keyword. */
function nameOf(tree: Tree, list: List, at: number): Atom | null {
  const item = list.items[at];
  return item !== undefined && item.kind === Tok.Id && atomText(tree.text, item) !== '$' ? item : null;
}

/** Items of a field without its keyword, name, inline exports and import. */
function split(
  tree: Tree,
  list: List,
): { name: Atom | null; exports: List[]; imported: boolean; rest: Item[] } {
  const name = nameOf(tree, list, 1);
  let i = name ? 2 : 1;
  const exports: List[] = [];
  let imported = false;
  for (; i < list.items.length; i++) {
    const head = headOf(tree.text, list.items[i]);
    if (head === 'export') exports.push(list.items[i] as List);
    else if (head === 'import') imported = true;
    else break;
  }
  return { name, exports, imported, rest: list.items.slice(i) };
}

/** The contents of a string, as far as a view needs them. */
function stringValue(text: string): string {
  return text.replace(/^"|"$/g, '').replace(/\\(["'\\])/g, '$1');
}

function fieldsOf(tree: Tree): readonly Item[] {
  const module = tree.items.find(i => headOf(tree.text, i) === 'module');
  return isList(module) ? module.items.slice(1) : tree.items;
}

export function modelOf(tree: Tree): ModuleModel {
  const resolver = new Resolver(tree.text);
  // First all definitions: uses may come before them.
  const declarations = new Declarations(tree, resolver);
  for (const item of fieldsOf(tree)) declarations.declare(item);

  const functions: FunctionModel[] = [];
  for (const { head, list, definition } of declarations.fields) {
    if (head === 'func') functions.push(functionModel(tree, resolver, list, definition!));
    else use(tree, resolver, head, list);
  }
  return {
    tree,
    spaces: resolver.spaces,
    functions,
    references: resolver.references.sort((a, b) => a.start - b.start),
    unresolved: resolver.unresolved,
  };
}

/** Collects what the fields of a module define. */
class Declarations {
  readonly fields: Field[] = [];

  constructor(
    private readonly tree: Tree,
    private readonly resolver: Resolver,
  ) {}

  declare(item: Item): void {
    if (!isList(item)) return;
    const { tree, fields } = this;
    const { text } = tree;
    const head = headOf(text, item);
    switch (head) {
      case 'type': {
        const body = item.items.find(isList);
        const inner = body ? signatureOf(text, body.items) : '';
        const type = body ? `(${headOf(text, body)}${inner && ` ${inner}`})` : '';
        this.define('type', item, nameOf(tree, item, 1), type, false);
        break;
      }
      case 'rec':
        for (const inner of item.items.slice(1)) {
          if (headOf(text, inner) === 'type') this.declare(inner);
        }
        return;
      case 'import': {
        const desc = item.items.find(isList);
        const kind = headOf(text, desc);
        if (!desc || !IMPORT_KINDS.has(kind)) return;
        const { name, rest } = split(tree, desc);
        const definition = this.define(kind as Space, item, name, typeText(text, kind, rest), true);
        fields.push({ head: kind, list: desc, definition });
        return;
      }
      case 'func':
      case 'table':
      case 'memory':
      case 'global':
      case 'tag':
        this.entity(head, item);
        return;
      case 'elem':
      case 'data':
        this.define(head, item, nameOf(tree, item, 1), '', false);
        break;
    }
    fields.push({ head, list: item, definition: null });
  }

  /** A function, table, memory, global or tag, which may have exports, an import and a segment inside of it. */
  private entity(head: Space, item: List): void {
    const { tree } = this;
    const { text } = tree;
    const { name, imported, exports, rest } = split(tree, item);
    const definition = this.define(head, item, name, typeText(text, head, rest), imported);
    for (const e of exports) definition.exports.push(stringValue(atomText(text, e.items[1])));
    this.fields.push({ head, list: item, definition });
    // Inline segments are segments of their own.
    const inline = rest.find(r => headOf(text, r) === (head === 'table' ? 'elem' : 'data'));
    if (isList(inline) && (head === 'table' || head === 'memory'))
      this.define(head === 'table' ? 'elem' : 'data', inline, null, '', false);
  }

  private define(space: Space, list: List, name: Atom | null, type: string, imported: boolean): Definition {
    const { start, end } = list.items[0]!;
    const definition: Definition = {
      space,
      index: this.resolver.spaces.get(space)!.length,
      name: atomText(this.tree.text, name ?? undefined),
      at: name ?? { start, end },
      extent: { start: list.start, end: list.end },
      type,
      imported,
      exports: [],
    };
    this.resolver.define(definition);
    return definition;
  }
}

function typeText(text: string, head: string, rest: readonly Item[]): string {
  if (head === 'func' || head === 'tag') return signatureOf(text, rest);
  const parts: string[] = [];
  for (const item of rest) {
    // Initialisers and inline segments are no part of the type.
    if (isList(item) && !['mut', 'ref', 'pagesize'].includes(headOf(text, item))) break;
    parts.push(text.slice(item.start, item.end).replace(/\s+/g, ' '));
  }
  return parts.join(' ');
}

/** References in fields other than functions. */
function use(tree: Tree, resolver: Resolver, head: string, list: List): void {
  const { text } = tree;
  const { items } = list;
  switch (head) {
    case 'export': {
      const desc = items.find(isList);
      const kind = headOf(text, desc);
      if (!desc || !IMPORT_KINDS.has(kind)) return;
      resolver.refer(kind as Space, desc.items[1]);
      const target = resolver.lookup(kind as Space, atomText(text, desc.items[1]));
      target?.exports.push(stringValue(atomText(text, items[1])));
      return;
    }
    case 'start':
      resolver.refer('func', items[1]);
      return;
    case 'type':
      for (const item of items.slice(1)) resolver.types(item);
      return;
    default: {
      const { rest } = split(tree, list);
      constant(tree, resolver, head, rest);
    }
  }
}

/** Constant expressions and lists of functions in segments, globals and tables. */
function constant(tree: Tree, resolver: Resolver, head: string, items: readonly Item[]): void {
  const { text } = tree;
  for (const item of items) {
    if (!isList(item)) {
      // `elem func $f $g`, `table 0 funcref (elem $f)`
      if (head === 'elem' && item.kind === Tok.Id) resolver.refer('func', item);
      continue;
    }
    const inner = headOf(text, item);
    if (inner === 'table' || inner === 'memory') resolver.refer(inner, item.items[1]);
    else if (inner === 'elem' && head !== 'elem') constant(tree, resolver, 'elem', item.items.slice(1));
    else if (inner === 'ref' || inner === 'type' || inner === 'mut') resolver.types(item);
    else walkBody(resolver, { items: [item], end: item.end, locals: [], labels: [], operators: null });
  }
}

function functionModel(tree: Tree, resolver: Resolver, list: List, definition: Definition): FunctionModel {
  const { text } = tree;
  const { rest, imported } = split(tree, list);
  const locals: Definition[] = [];
  const labels: Definition[] = [];
  const operators: Range[] = [];
  const local = (name: Atom | null, at: Item, type: string): void => {
    const d: Definition = {
      space: 'local',
      index: locals.length,
      name: atomText(text, name ?? undefined),
      at: { start: (name ?? at).start, end: (name ?? at).end },
      extent: { start: at.start, end: at.end },
      type,
      imported: false,
      exports: [],
    };
    locals.push(d);
    if (name) resolver.references.push({ ...d.at, definition: d });
  };
  let i = 0;
  let declared = false;
  for (; i < rest.length; i++) {
    const item = rest[i]!;
    const head = headOf(text, item);
    if (!isList(item) || !['type', 'param', 'result', 'local', 'import'].includes(head)) break;
    resolver.types(item);
    if (head !== 'param' && head !== 'local') continue;
    if (head === 'param') declared = true;
    if (head === 'local' && !declared) declared = typeParams(resolver, rest, local);
    const name = nameOf(tree, item, 1);
    if (name) local(name, item, text.slice(item.items[2]?.start ?? item.end, item.items.at(-1)!.end));
    else for (const type of item.items.slice(1)) local(null, type, text.slice(type.start, type.end));
  }
  if (!declared) typeParams(resolver, rest, local);
  if (!imported && !definition.imported) {
    walkBody(resolver, { items: rest.slice(i), end: list.end, locals, labels, operators });
    operators.push({ start: list.end - (list.closed ? 1 : 0), end: list.end });
  }
  return { definition, list, locals, labels, operators };
}

/** Parameters that only the named type declares: they count as locals, without a name. */
function typeParams(
  resolver: Resolver,
  rest: readonly Item[],
  local: (name: null, at: Item, type: string) => void,
): boolean {
  const { text } = resolver;
  const use = rest.find(r => headOf(text, r) === 'type');
  if (!isList(use)) return true;
  const type = resolver.lookup('type', atomText(text, use.items[1]));
  for (const [, params] of type?.type.matchAll(/\(param ([^)]*)\)/g) ?? []) {
    const named = params!.startsWith('$');
    const types = params!.split(' ');
    for (const t of named ? types.slice(1) : types) local(null, use, t);
  }
  return true;
}
