/**
 * Tokens of the text format (core specification, "Lexical Format"), of any text: what is no token is an Error token, an
 * unterminated string or comment ends at its line's or the file's end. Linear in the text, whatever it is.
 */

export const enum Tok {
  Open = 1,
  Close,
  /** Keywords, numbers, `offset=8`. */
  Atom,
  /** `$name`, `$"name"` */
  Id,
  String,
  LineComment,
  BlockComment,
  /** `(@name`: the name; the parenthesis is an Open before it. */
  Annotation,
  Error,
}

/** Kind, start and end (UTF-16 units) of each token. */
export interface Tokens {
  readonly count: number;
  readonly kinds: Uint8Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

// Classes of characters below 128.
const SPACE = 1;
const IDCHAR = 2;
const CLASS = new Uint8Array(128);
for (const c of ' \t\n\r') CLASS[c.charCodeAt(0)] = SPACE;
for (let c = 33; c < 127; c++) if (!'"(),;[]{}'.includes(String.fromCharCode(c))) CLASS[c] = IDCHAR;

const classAt = (text: string, i: number): number => {
  const c = text.charCodeAt(i);
  return c < 128 ? CLASS[c]! : 0;
};

export function tokenize(text: string): Tokens {
  let kinds = new Uint8Array(1024);
  let starts = new Int32Array(1024);
  let ends = new Int32Array(1024);
  let count = 0;
  const push = (kind: Tok, start: number, end: number): void => {
    if (count === kinds.length) {
      const grown = new Uint8Array(count * 2);
      grown.set(kinds);
      kinds = grown;
      const s = new Int32Array(count * 2);
      s.set(starts);
      starts = s;
      const e = new Int32Array(count * 2);
      e.set(ends);
      ends = e;
    }
    kinds[count] = kind;
    starts[count] = start;
    ends[count] = end;
    count++;
  };
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    const start = i;
    if (classAt(text, i) === SPACE) i++;
    else if (c === '(') {
      if (text[i + 1] === ';') {
        i = blockCommentEnd(text, i);
        push(Tok.BlockComment, start, i);
      } else {
        push(Tok.Open, i, ++i);
        if (text[i] === '@' && classAt(text, i + 1) === IDCHAR) {
          const at = i++;
          while (classAt(text, i) === IDCHAR) i++;
          push(Tok.Annotation, at, i);
        }
      }
    } else if (c === ')') push(Tok.Close, i, ++i);
    else if (c === ';' && text[i + 1] === ';') {
      i = lineEnd(text, i);
      push(Tok.LineComment, start, i);
    } else if (c === '"') {
      i = stringEnd(text, i);
      push(Tok.String, start, i);
    } else if (classAt(text, i) === IDCHAR) {
      while (classAt(text, i) === IDCHAR) i++;
      if (c === '$' && i === start + 1 && text[i] === '"') i = stringEnd(text, i);
      push(c === '$' ? Tok.Id : Tok.Atom, start, i);
    } else {
      // Anything else, up to where something known may begin.
      do i++;
      while (i < text.length && classAt(text, i) === 0 && !'();"'.includes(text[i]!));
      push(Tok.Error, start, i);
    }
  }
  return { count, kinds, starts, ends };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}

/** Block comments nest. */
function blockCommentEnd(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (c === '(' && text[i + 1] === ';') {
      depth++;
      i++;
    } else if (c === ';' && text[i + 1] === ')') {
      depth--;
      i++;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}

/**
 * A string may not span lines: an unterminated one ends with its line, so that the rest of the file is still
 * understood.
 */
function stringEnd(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i++) {
    const c = text[i];
    if (c === '\\') i++;
    else if (c === '"') return i + 1;
    else if (c === '\n') return i;
  }
  return text.length;
}
