/** C-like expressions of the debugger, as trees. */

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint | number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  /** `$l0`, `$rax`, … without the dollar. */
  | { readonly kind: 'special'; readonly name: string }
  | { readonly kind: 'member'; readonly of: Expression; readonly name: string; readonly arrow: boolean }
  | { readonly kind: 'index'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'unary'; readonly op: string; readonly of: Expression }
  | { readonly kind: 'binary'; readonly op: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'cast'; readonly type: string; readonly stars: number; readonly of: Expression }
  /** `v.size()`, `v.len()`, `v.empty()`: the calls that need not be made to be answered. */
  | { readonly kind: 'count'; readonly of: Expression; readonly isEmpty: boolean }
  | { readonly kind: 'sizeof'; readonly of: Expression | TypeName }
  /** `n,x`: another way to show it. */
  | { readonly kind: 'format'; readonly of: Expression; readonly radix: 2 | 16 }
  /** `p,8`: as many elements from where a pointer points to. */
  | { readonly kind: 'elements'; readonly of: Expression; readonly count: number }
  | { readonly kind: 'assign'; readonly to: Expression; readonly value: Expression };

export interface TypeName {
  readonly kind: 'type';
  readonly type: string;
  readonly stars: number;
}

export class ExpressionError extends Error {
  override readonly name = 'ExpressionError';
}

const TOKEN =
  /\s*(?:(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)([uUlLfF]*)|('(?:\\.|[^'\\])')|("(?:\\.|[^"\\])*")|(\$\w+)|((?:::)?[\p{ID_Start}_][\p{ID_Continue}$]*(?:::~?[\p{ID_Start}_][\p{ID_Continue}$]*)*)|(->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>=().[\]?:,]))/uy;

interface Token {
  readonly kind: 'number' | 'text' | 'special' | 'name' | 'operator' | 'end';
  readonly text: string;
  readonly value?: bigint | number;
}

const MAX_LENGTH = 4096;
const MAX_DEPTH = 100;

const PRECEDENCE: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '<=', '>', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

/** Words that type names are made of, beside those of the program. */
const TYPE_WORDS = new Set([
  'unsigned',
  'signed',
  'int',
  'char',
  'short',
  'long',
  'float',
  'double',
  'bool',
  'void',
  'const',
  'struct',
  'union',
  'enum',
  'class',
  'volatile',
]);

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0' };

/** Members that tell how many elements there are, in the languages' own words. */
const COUNTS: ReadonlySet<string> = new Set(['size', 'len', 'length', 'count']);
const EMPTIES: ReadonlySet<string> = new Set(['empty', 'is_empty']);
const FORMATS: Readonly<Record<string, 2 | 16>> = { x: 16, X: 16, h: 16, b: 2 };
/** Elements that `p,N` shows at most. */
const MAX_ELEMENTS = 1 << 20;

const TUPLE_MEMBER = /\s*\.(\d+)(?![\w])/y;

function endsOperand(t: Token | undefined): boolean {
  return t !== undefined && (t.kind === 'operator' ? t.text === ')' || t.text === ']' : t.kind !== 'end');
}

function tokenize(text: string): Token[] {
  if (text.length > MAX_LENGTH) throw new ExpressionError('the expression is too long');
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; text.slice(at).trim() !== ''; at = TOKEN.lastIndex) {
    // A tuple's member: `pair.0` has no number `.0` in it.
    if (endsOperand(tokens.at(-1))) {
      TUPLE_MEMBER.lastIndex = at;
      const member = TUPLE_MEMBER.exec(text);
      if (member !== null) {
        tokens.push({ kind: 'operator', text: '.' }, { kind: 'number', text: member[1]!, value: 0n });
        TOKEN.lastIndex = TUPLE_MEMBER.lastIndex;
        continue;
      }
    }
    TOKEN.lastIndex = at;
    const m = TOKEN.exec(text);
    if (m === null) throw new ExpressionError(`can't read "${text.slice(at).trim().slice(0, 20)}"`);
    const [, number, suffix, character, string, special, name, operator] = m;
    if (number !== undefined) {
      const isFloat = !/^0[xXbB]/.test(number) && (/[.eE]/.test(number) || /[fF]/.test(suffix ?? ''));
      tokens.push({ kind: 'number', text: number, value: isFloat ? Number(number) : BigInt(number) });
    } else if (character !== undefined) {
      const inner = character.slice(1, -1);
      const c = inner.startsWith('\\') ? (ESCAPES[inner[1]!] ?? inner[1]!) : inner;
      tokens.push({ kind: 'number', text: character, value: BigInt(c.codePointAt(0)!) });
    } else if (string !== undefined) {
      const inner = string.slice(1, -1).replace(/\\(.)/gs, (_, c: string) => ESCAPES[c] ?? c);
      tokens.push({ kind: 'text', text: inner });
    } else if (special !== undefined) tokens.push({ kind: 'special', text: special.slice(1) });
    else if (name !== undefined) tokens.push({ kind: 'name', text: name });
    else tokens.push({ kind: 'operator', text: operator! });
  }
  tokens.push({ kind: 'end', text: 'the end' });
  return tokens;
}

/**
 * @param isType whether a name is a type of the program (and no variable): decides what `(x) - 1` is
 * @throws ExpressionError
 */
export function parseExpression(text: string, isType: (name: string) => boolean): Expression {
  const parser = new Parser(tokenize(text), isType);
  return parser.whole();
}

class Parser {
  private at = 0;
  private depth = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly isType: (name: string) => boolean,
  ) {}

  whole(): Expression {
    const left = this.binary(0);
    let result = left;
    if (this.take('=')) result = { kind: 'assign', to: left, value: this.binary(0) };
    else if (this.take(',')) result = this.format(left);
    const rest = this.tokens[this.at]!;
    if (rest.kind !== 'end') throw new ExpressionError(`unexpected "${rest.text}"`);
    return result;
  }

  private format(of: Expression): Expression {
    const t = this.tokens[this.at++]!;
    const radix = t.kind === 'name' && Object.hasOwn(FORMATS, t.text) ? FORMATS[t.text] : undefined;
    if (radix !== undefined) return { kind: 'format', of, radix };
    const count = t.kind === 'number' && /^\d+$/.test(t.text) ? Number(t.text) : 0;
    if (count > 0 && count <= MAX_ELEMENTS) return { kind: 'elements', of, count };
    throw new ExpressionError('behind a comma: x (hexadecimal), b (binary), or a number of elements');
  }

  private take(op: string): boolean {
    const t = this.tokens[this.at]!;
    if (t.kind !== 'operator' || t.text !== op) return false;
    this.at++;
    return true;
  }

  private expect(op: string): void {
    if (!this.take(op)) throw new ExpressionError(`"${op}" expected, found "${this.tokens[this.at]!.text}"`);
  }

  private binary(level: number): Expression {
    const ops = PRECEDENCE[level];
    if (ops === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const op = ops.find(o => this.take(o));
      if (op === undefined) return left;
      left = { kind: 'binary', op, left, right: this.binary(level + 1) };
    }
  }

  private unary(): Expression {
    if (++this.depth > MAX_DEPTH) throw new ExpressionError('the expression is nested too deeply');
    try {
      for (const op of ['-', '!', '~', '*', '&', '+'])
        if (this.take(op)) return { kind: 'unary', op, of: this.unary() };
      return this.cast() ?? this.postfix(this.primary());
    } finally {
      this.depth--;
    }
  }

  private cast(): Expression | null {
    const type = this.typeInParentheses();
    return type === null ? null : { kind: 'cast', type: type.type, stars: type.stars, of: this.unary() };
  }

  /** `(T *)`; null, and nothing is read: it is something else. */
  private typeInParentheses(): TypeName | null {
    const start = this.at;
    if (!this.take('(')) return null;
    const words: string[] = [];
    let stars = 0;
    for (let t = this.tokens[this.at]!; t.kind === 'name'; t = this.tokens[++this.at]!) words.push(t.text);
    while (this.take('*')) stars++;
    const type = words.filter(w => !/^(?:const|volatile|struct|union|enum|class)$/.test(w)).join(' ');
    const known = words.length > 0 && (words.every(w => TYPE_WORDS.has(w)) || this.isType(type));
    if (known && this.take(')')) return { kind: 'type', type, stars };
    this.at = start;
    return null;
  }

  private postfix(of: Expression): Expression {
    let e = of;
    for (;;) {
      if (this.take('[')) {
        const index = this.binary(0);
        this.expect(']');
        e = { kind: 'index', of: e, index };
      } else if (this.take('.')) e = { kind: 'member', of: e, name: this.memberName(), arrow: false };
      else if (this.take('->')) e = { kind: 'member', of: e, name: this.memberName(), arrow: true };
      else if (this.take('(')) e = this.call(e);
      else return e;
    }
  }

  private call(e: Expression): Expression {
    const name = e.kind === 'member' ? e.name : '';
    if (e.kind !== 'member' || !(COUNTS.has(name) || EMPTIES.has(name)) || !this.take(')'))
      throw new ExpressionError(
        'an expression only reads: functions of the program can not be called, but for size(), len() and empty() of what the debugger knows',
      );
    return { kind: 'count', of: e.of, isEmpty: EMPTIES.has(name) };
  }

  private memberName(): string {
    const t = this.tokens[this.at++]!;
    // Rust's tuples have numbered ones.
    if (t.kind === 'name') return t.text;
    if (t.kind === 'number' && /^\d+$/.test(t.text)) return `__${t.text}`;
    throw new ExpressionError(`the name of a member expected, found "${t.text}"`);
  }

  private primary(): Expression {
    const t = this.tokens[this.at++]!;
    if (t.kind === 'number') return { kind: 'number', value: t.value! };
    if (t.kind === 'text') return { kind: 'text', text: t.text };
    if (t.kind === 'special') return { kind: 'special', name: t.text };
    if (t.kind === 'name' && t.text === 'sizeof')
      return { kind: 'sizeof', of: this.typeInParentheses() ?? this.unary() };
    if (t.kind === 'name') return { kind: 'name', name: t.text };
    if (t.text === '(') {
      const e = this.binary(0);
      this.expect(')');
      return e;
    }
    throw new ExpressionError(`a value expected, found "${t.text}"`);
  }
}
