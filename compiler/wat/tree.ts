/**
 * The text format as nested lists, of any text: a missing parenthesis is closed at the end of the file, one too many is
 * left out; both are noted. Comments and annotations are not in the tree.
 */
import { Tok, type Tokens, tokenize } from './lexer.ts';

export interface Atom {
  readonly kind: Tok.Atom | Tok.Id | Tok.String | Tok.Error;
  readonly start: number;
  readonly end: number;
}

export interface List {
  readonly kind: Tok.Open;
  /** Of its opening parenthesis. */
  readonly start: number;
  /** Behind its closing parenthesis. */
  end: number;
  closed: boolean;
  readonly items: Item[];
}

export type Item = Atom | List;

interface SyntaxNote {
  readonly start: number;
  readonly end: number;
  readonly message: string;
}

export interface Tree {
  readonly text: string;
  readonly tokens: Tokens;
  readonly items: readonly Item[];
  readonly notes: readonly SyntaxNote[];
}

export const isList = (item: Item | undefined): item is List => item?.kind === Tok.Open;

export function parseTree(text: string): Tree {
  const tokens = tokenize(text);
  const { kinds, starts, ends } = tokens;
  const items: Item[] = [];
  const notes: SyntaxNote[] = [];
  const open: List[] = [];
  let into = items;
  /** Depth of the annotation that is being skipped; -1: none. */
  let annotation = -1;
  for (let t = 0; t < tokens.count; t++) {
    const kind = kinds[t]! as Tok;
    const start = starts[t]!;
    const end = ends[t]!;
    if (kind === Tok.LineComment || kind === Tok.BlockComment) continue;
    if (kind === Tok.Open) {
      const list: List = { kind, start, end, closed: false, items: [] };
      if (annotation < 0 && kinds[t + 1] === Tok.Annotation) annotation = open.length;
      else if (annotation < 0) into.push(list);
      open.push(list);
      into = list.items;
    } else if (kind === Tok.Close) {
      const list = open.pop();
      if (list === undefined) {
        notes.push({ start, end, message: 'there is nothing that this parenthesis closes' });
        continue;
      }
      list.end = end;
      list.closed = true;
      if (annotation === open.length) annotation = -1;
      into = open.length === 0 ? items : open[open.length - 1]!.items;
    } else if (kind !== Tok.Annotation) {
      into.push({ kind: kind as Atom['kind'], start, end });
    }
  }
  for (const list of open) {
    list.end = text.length;
    notes.push({ start: list.start, end: list.start + 1, message: 'this parenthesis is not closed' });
  }
  return { text, tokens, items, notes };
}

/** The text of an atom; empty for a list. */
export function atomText(text: string, item: Item | undefined): string {
  return item === undefined || isList(item) ? '' : text.slice(item.start, item.end);
}

/** A list's first atom: what it is. */
export function headOf(text: string, item: Item | undefined): string {
  return isList(item) ? atomText(text, item.items[0]) : '';
}
