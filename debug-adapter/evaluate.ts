/** Expressions over a stopped frame: C-like paths, arithmetic, casts; `$l0`, `$g0`, `$s0`, registers and `$mem[…]`. */
import type { Type } from '../compiler/debuginfo/index.ts';
import { shortTypeName } from '../compiler/debuginfo/type-names.ts';
import {
  littleEndian,
  MAX_STRING,
  quoted,
  type Value,
  type Values,
  wordBytes,
} from '../compiler/debuginfo/values.ts';
import { bitsText } from '../runtime/debug.ts';
import { objectAt } from './assemblyscript.ts';
import type { Watchable } from './data-breakpoints.ts';
import { type Expression, ExpressionError, parseExpression, type TypeName } from './expression-parser.ts';
import type { Frames, ShownFrame } from './frames.ts';
import type { DebugTarget } from './target.ts';

export { ExpressionError } from './expression-parser.ts';

/** What an expression is: something with a type and a place, a number, or something of the machine that can be set. */
export type Result =
  | { readonly kind: 'value'; readonly value: Value }
  | {
      readonly kind: 'number';
      readonly n: bigint | number;
      readonly set?: (bits: bigint) => boolean;
      /** How it is shown, if not in decimal; never negative then. */
      readonly radix?: 2 | 16;
      /** What a pointer points to, to be shown behind it. */
      readonly points?: string | null;
    }
  | { readonly kind: 'text'; readonly text: string };

const fail = (message: string): never => {
  throw new ExpressionError(message);
};

/** DW_ATE_float */
const FLOAT = 4;
/** Bytes of the largest number that is set. */
const MAX_NUMBER_BYTES = 16;
/** References to references that are followed: C++ has none, but debug information may have one to itself. */
const MAX_REFERENCES = 8;

export class Evaluator {
  private readonly values: Values;

  constructor(
    private readonly target: DebugTarget,
    frames: Frames,
    private readonly frame: ShownFrame,
  ) {
    this.values = frames.values(frame);
  }

  /** @throws ExpressionError */
  evaluate(text: string): Result {
    return this.run(
      parseExpression(text, name => this.variable(name) === null && this.typeNamed(name) !== null),
    );
  }

  /** What a data breakpoint on an expression would watch. @throws ExpressionError */
  watchable(text: string): Watchable {
    const { symbols } = this.target;
    const [, kind, index] = /^\s*\$([lg])(\d+)\s*$/.exec(text) ?? [];
    const types = symbols.localTypes(this.frame.target.functionIndex);
    if (kind === 'g') {
      const type = symbols.artifact.globals[Number(index)]?.type ?? fail(`there is no ${text.trim()}`);
      return { kind: 'global', index: Number(index), type };
    }
    const named = this.variable(text.trim()) === null ? text.trim().replace(/^\$/, '') : '';
    const local =
      kind === 'l'
        ? Number(index)
        : named === '' || this.frame.call !== null
          ? -1
          : types.findIndex((_, i) => symbols.localName(this.frame.target.functionIndex, i) === named);
    if (local >= 0)
      return { kind: 'local', index: local, type: types[local] ?? fail(`there is no ${text.trim()}`) };
    const result = this.evaluate(text);
    return result.kind === 'value' ? result : fail(`${text.trim()} is a number, and kept nowhere`);
  }

  /** Whether a condition holds. @throws ExpressionError */
  isTrue(text: string): boolean {
    const n = this.number(this.evaluate(text));
    return typeof n === 'bigint' ? n !== 0n : n !== 0;
  }

  /** One line. */
  describe(result: Result): string {
    if (result.kind === 'value') return this.values.describe(result.value);
    if (result.kind === 'text') return quoted(result.text);
    return result.radix !== undefined && typeof result.n === 'bigint'
      ? `${result.radix === 16 ? '0x' : '0b'}${BigInt.asUintN(MAX_NUMBER_BYTES * 8, result.n).toString(result.radix)}`
      : withPointee(`${result.n}`, result.points ?? null);
  }

  /** Sets what an expression names to what another is. @throws ExpressionError */
  assign(to: Result, from: Result): void {
    if (to.kind !== 'value') {
      if (to.kind === 'text' || to.set === undefined)
        fail('only a variable, a member, an element, or what a pointer points to can be set');
      else if (!to.set(this.bits(this.number(from)))) fail('it could not be set');
      return;
    }
    this.store(to.value, from);
  }

  private typeNamed(name: string): Type | null {
    return this.target.symbols.debug?.typeNamed(name) ?? null;
  }

  /** A variable in scope by its name: inner ones hide outer ones. */
  variable(name: string): Value | null {
    const { debug } = this.target.symbols;
    const { call, codeOffset, reader } = this.frame;
    if (debug === null) return null;
    const plain = name.replace(/^::/, '');
    const inScope = call === null ? [] : debug.variables(call);
    for (let i = inScope.length - 1; i >= 0; i--) {
      const v = inScope[i]!;
      if (v.name === plain) return this.values.value(v.type, debug.locate(v, call, codeOffset, reader));
    }
    const outside = debug.statics(codeOffset);
    const found = outside.find(v => v.name === plain) ?? outside.find(v => v.name.endsWith(`::${plain}`));
    if (found !== undefined)
      return this.values.value(found.type, debug.locate(found, null, codeOffset, reader));
    // A member function sees its object's members.
    for (const self of ['this', 'self']) {
      const object = inScope.find(v => v.name === self);
      if (object === undefined) continue;
      const pointer = this.values.value(object.type, debug.locate(object, call, codeOffset, reader));
      const whole = this.values.deref(pointer);
      return whole === null ? null : this.values.member(whole, plain);
    }
    return null;
  }

  private run(e: Expression): Result {
    switch (e.kind) {
      case 'number':
        return { kind: 'number', n: e.value };
      case 'name':
        return this.name(e.name);
      case 'special':
        return this.special(e.name);
      case 'member':
        return this.member(e);
      case 'index':
        return this.index(e);
      case 'unary':
        return this.unary(e.op, e.of);
      case 'binary':
        return this.binary(e);
      case 'cast':
        return this.cast(e.type, e.stars, this.run(e.of));
      case 'text':
        return { kind: 'text', text: e.text };
      case 'count':
        return this.count(this.run(e.of), e.isEmpty);
      case 'sizeof':
        return { kind: 'number', n: BigInt(this.sizeOf(e.of)) };
      case 'format':
        return this.inRadix(this.run(e.of), e.radix);
      case 'elements':
        return this.elements(this.run(e.of), e.count);
      case 'assign': {
        const to = this.run(e.to);
        this.assign(to, this.run(e.value));
        return this.run(e.to);
      }
    }
  }

  private name(name: string): Result {
    if (name === 'true' || name === 'false') return { kind: 'number', n: name === 'true' ? 1n : 0n };
    if (name === 'NULL' || name === 'nullptr') return { kind: 'number', n: 0n };
    const value = this.variable(name);
    if (value !== null) return { kind: 'value', value };
    const local = this.localNamed(name);
    if (local !== null) return local;
    // Enumerators of types in reach would take reading all units; the last part of a qualified name may be one.
    const parts = name.split('::');
    const enumType = parts.length > 1 ? this.typeNamed(parts.slice(0, -1).join('::')) : null;
    const found = enumType?.plain.enumerators.find(x => x.name === parts.at(-1));
    return found === undefined ? fail(`there is no ${name} here`) : { kind: 'number', n: found.value };
  }

  /** A local that the name section names, of a function whose own debug information names none. */
  private localNamed(name: string): Result | null {
    const { symbols } = this.target;
    const { call, target } = this.frame;
    if (call !== null) return null;
    const types = symbols.localTypes(target.functionIndex);
    const index = types.findIndex((_, i) => symbols.localName(target.functionIndex, i) === name);
    return index < 0 ? null : this.machine('l', index);
  }

  /** A value of WebAssembly's own, as its type has it. */
  private machine(kind: string, index: number): Result {
    const { target, frame } = this;
    const { symbols, state } = target;
    const bits =
      kind === 'l'
        ? frame.reader.local(index)
        : kind === 'g'
          ? state.global(index)
          : frame.reader.operand(index);
    if (bits === null) return fail(`$${kind}${index} is not known here`);
    const type =
      kind === 'l'
        ? symbols.localTypes(frame.target.functionIndex)[index]
        : kind === 'g'
          ? symbols.artifact.globals[index]?.type
          : undefined;
    const set = (v: bigint): boolean => {
      const own = asType(v, type ?? 0);
      return kind === 'l'
        ? target.writeLocal(frame.thread, frame.target, index, own)
        : kind === 'g' && state.setGlobal(index, own);
    };
    const n = numberOf(bits, type ?? 0);
    return { kind: 'number', n, set, points: kind === 'l' ? this.pointee(n, type ?? 0) : null };
  }

  /** What a local of AssemblyScript points to, if that tells. */
  pointee(n: bigint | number, type: number): string | null {
    const { target, frame } = this;
    if (type !== I32 || frame.call !== null) return null;
    const file = target.symbols.debug?.lookup(frame.codeOffset)?.file ?? '';
    return file.endsWith('.ts') ? objectAt(target.state, target.symbols, Number(n) >>> 0) : null;
  }

  /**
   * `$l0` local, `$g0` global, `$s0` operand stack from the bottom, `$mem` memory, `$rax` register; else a local by its
   * name in text.
   */
  private special(name: string): Result {
    const { target, frame } = this;
    const numbered = /^([lgs])(\d+)$/.exec(name);
    if (numbered !== null) return this.machine(numbered[1]!, Number(numbered[2]));
    if (name === 'mem') return fail('$mem is used as $mem[address], or $mem8, $mem16, $mem32, $mem64');
    const register = target.registers(frame.thread)[name];
    return register === undefined
      ? (this.localNamed(name) ?? fail(`there is no $${name}`))
      : { kind: 'number', n: BigInt(register), radix: 16 };
  }

  private member(e: Extract<Expression, { kind: 'member' }>): Result {
    const of = this.run(e.of);
    if (of.kind !== 'value') return fail('a number has no members');
    let { value } = of;
    const isPointer = (): boolean => ['pointer', 'reference'].includes(value.type.plain.kind);
    // Dot and arrow do the same: what is a pointer shows.
    for (let hops = 0; hops < 8 && isPointer(); hops++) {
      const to = this.values.deref(value);
      if (to === null) return fail(`${this.values.describe(value)} points to nothing that can be read`);
      value = to;
    }
    const found = this.part(value, e.name) ?? this.behindSmartPointer(value, e.name);
    return found === null
      ? fail(`${shortTypeName(value.type.name)} has no member ${e.name}`)
      : { kind: 'value', value: found };
  }

  private part(value: Value, name: string): Value | null {
    return this.values.member(value, name) ?? this.variantMember(value, name) ?? this.child(value, name);
  }

  /** unique_ptr, Rc, …: what they point to is their child `*`. */
  private behindSmartPointer(value: Value, name: string): Value | null {
    const to = this.child(value, '*');
    return to === null ? null : this.part(to, name);
  }

  private variantMember(value: Value, name: string): Value | null {
    const active = this.values.activeVariant(value);
    return active === null ? null : this.values.member(active.value, name);
  }

  /** What a std::optional holds. */
  private optional(value: Value): Value | null {
    return /^std::(?:\w+::)?optional</.test(value.type.plain.name) ? this.child(value, 'value') : null;
  }

  private child(value: Value, name: string): Value | null {
    return this.values.children(value).named.find(c => c.name === name)?.value ?? null;
  }

  private index(e: Extract<Expression, { kind: 'index' }>): Result {
    const key = this.run(e.index);
    if (key.kind === 'text') return this.entry(this.run(e.of), quoted(key.text));
    const number = this.number(key);
    const i = Number(number);
    if (!Number.isSafeInteger(i)) return fail('an index must be an integer');
    const memory = e.of.kind === 'special' ? /^mem(8|16|32|64)?$/.exec(e.of.name) : null;
    if (memory !== null) return this.memoryAt(i, Number(memory[1] ?? 8) / 8);
    // An element of a pack of parameters goes by a name of its own.
    const packed = e.of.kind === 'name' ? this.variable(`${e.of.name}[${i}]`) : null;
    if (packed !== null) return { kind: 'value', value: packed };
    const of = this.run(e.of);
    if (of.kind !== 'value') return fail('a number can not be indexed');
    const { value } = of;
    const { plain } = value.type;
    if (plain.kind === 'array') return { kind: 'value', value: this.values.element(value, i) };
    if (plain.kind === 'pointer') {
      const at = this.values.pointer(value);
      if (at === null) return fail('the pointer has no value here');
      const element = plain.target;
      return { kind: 'value', value: this.values.at(element, at + i * this.step(element, i)) };
    }
    const children = this.values.children(value);
    if (i >= 0 && i < children.indexed) return { kind: 'value', value: children.item(i).value };
    if (children.indexed === 0 && children.named.some(c => c.name.startsWith('[')))
      return this.entry(of, `${number}`);
    return fail(
      children.indexed > 0
        ? `the index ${i} is not below ${children.indexed}`
        : `${shortTypeName(value.type.name)} can not be indexed`,
    );
  }

  /** Of a map, by its key as it is shown. */
  private entry(of: Result, key: string): Result {
    if (of.kind !== 'value') return fail('a number can not be indexed');
    const found = this.child(this.behindReferences(of.value), `[${key}]`);
    return found === null
      ? fail(`${this.describe(of)} has no entry ${key}`)
      : { kind: 'value', value: found };
  }

  private behindReferences(value: Value): Value {
    let to = value;
    for (let hops = 0; hops < MAX_REFERENCES && to.type.plain.kind === 'reference'; hops++) {
      const next = this.values.deref(to);
      if (next === null) break;
      to = next;
    }
    return to;
  }

  /** Elements of a container, bytes of a text. What is shown begins with the number, where it is no text. */
  private count(of: Result, isEmpty: boolean): Result {
    if (of.kind !== 'value') return fail('a number has no elements');
    const value = this.behindReferences(of.value);
    const text = this.values.describe(value);
    const stated = /^\((\d+)\) /.exec(text)?.[1];
    const { indexed } = this.values.children(value);
    if (stated === undefined && indexed === 0 && text !== '""')
      return fail(`how many elements ${shortTypeName(value.type.name)} has is not known`);
    const n = stated === undefined ? BigInt(indexed) : BigInt(stated);
    return { kind: 'number', n: isEmpty ? (n === 0n ? 1n : 0n) : n };
  }

  private sizeOf(of: Expression | TypeName): number {
    if (of.kind === 'type') return this.typeOf(of).size;
    const result = this.run(of);
    return result.kind === 'value'
      ? this.values.size(this.behindReferences(result.value).type)
      : fail('of numbers the size is not known');
  }

  /** As many bytes as it has: a negative one in two's complement. */
  private inRadix(of: Result, radix: 2 | 16): Result {
    const n = this.number(of);
    if (typeof n !== 'bigint') return fail('only integers are shown so');
    const bytes = of.kind === 'value' ? this.values.size(this.behindReferences(of.value).type) : 8;
    return { kind: 'number', n: BigInt.asUintN(8 * (bytes || 8), n), radix };
  }

  private elements(of: Result, count: number): Result {
    const value = of.kind === 'value' ? this.behindReferences(of.value) : fail('a number points to nothing');
    const { plain } = value.type;
    if (plain.kind !== 'pointer' && plain.kind !== 'array')
      return fail(
        `${shortTypeName(value.type.name)} is no pointer, of which a number of elements could be shown`,
      );
    const at = plain.kind === 'array' ? this.values.address(value) : this.values.pointer(value);
    if (at === null) return fail('the pointer has no value here');
    return { kind: 'value', value: this.values.at(plain.target.array(count), at) };
  }

  /** Bytes from one element to the next. Of rows of unknown length only the first can be reached. */
  private step(element: Type, i: number): number {
    if (i !== 0 && element.plain.kind === 'array' && this.values.counts(element).includes(-1))
      return fail(`the compiler does not tell how long each ${element.name} is`);
    return Math.max(this.values.size(element), 1);
  }

  private memoryAt(address: number, size: number): Result {
    const bytes = this.target.state.memory(0, address, size);
    if (bytes === null) return fail(`there is no memory at 0x${address.toString(16)}`);
    const set = (v: bigint): boolean =>
      this.target.state.writeMemory(0, address, wordBytes(BigInt.asUintN(64, v), size));
    return { kind: 'number', n: littleEndian(bytes), set, radix: 16 };
  }

  private unary(op: string, operand: Expression): Result {
    const of = this.run(operand);
    if (op === '&') {
      if (of.kind !== 'value') return fail('a number has no address');
      // A reference's address is that of what it refers to.
      const to = of.value.type.plain.kind === 'reference' ? this.values.deref(of.value) : of.value;
      const at = to === null ? null : this.values.address(to);
      if (at === null) return fail('it is in no memory, so it has no address');
      return {
        kind: 'value',
        value: this.values.value((to ?? of.value).type.pointer, { kind: 'value', value: BigInt(at) }),
      };
    }
    if (op === '*') {
      if (of.kind !== 'value') return fail('a number is no pointer: cast it first');
      if (of.value.type.plain.kind === 'array')
        return { kind: 'value', value: this.values.element(of.value, 0) };
      const to = this.values.deref(of.value) ?? this.child(of.value, '*') ?? this.optional(of.value);
      return to == null
        ? fail(`${this.values.describe(of.value)} points to nothing that can be read`)
        : { kind: 'value', value: to };
    }
    const n = this.number(of);
    if (op === '!') return { kind: 'number', n: n === 0n || n === 0 ? 1n : 0n };
    if (op === '~') return typeof n === 'bigint' ? { kind: 'number', n: ~n } : fail('~ takes an integer');
    return { kind: 'number', n: op === '-' ? -n : n };
  }

  private binary(e: Extract<Expression, { kind: 'binary' }>): Result {
    const left = this.run(e.left);
    const truth = (r: Result): boolean => ![0n, 0].includes(this.number(r));
    if (e.op === '&&') return { kind: 'number', n: truth(left) && truth(this.run(e.right)) ? 1n : 0n };
    if (e.op === '||') return { kind: 'number', n: truth(left) || truth(this.run(e.right)) ? 1n : 0n };
    const right = this.run(e.right);
    if (left.kind === 'text' || right.kind === 'text')
      return { kind: 'number', n: this.sameText(e.op, left, right) ? 1n : 0n };
    const moved = e.op === '+' || e.op === '-' ? this.pointerArithmetic(e.op, left, right) : null;
    if (moved !== null) return moved;
    return { kind: 'number', n: arithmetic(e.op, this.number(left), this.number(right)) };
  }

  /** Texts are compared as they are shown, whatever type their language has for them; a null pointer is none. */
  private sameText(op: string, left: Result, right: Result): boolean {
    if (op !== '==' && op !== '!=') return fail(`texts are compared by == and !=, not by ${op}`);
    const [a, b] = [left, right].map(side => {
      if (side.kind === 'text' && new TextEncoder().encode(side.text).length > MAX_STRING)
        return fail(`only texts of up to ${MAX_STRING} bytes can be compared`);
      const shown = this.describe(side).replace(/^(?:[\w-]+ )?(?:→ )?(?=")/, '');
      const text = /^".*"…?/s.exec(shown)?.[0];
      return text ?? (/^(?:null|nullptr)$/.test(shown) ? '' : fail(`${shown} is no text`));
    });
    return (a === b) === (op === '==');
  }

  /** p + n, p - n; null: no pointer is in it, or it is the difference of two. */
  private pointerArithmetic(op: string, left: Result, right: Result): Result | null {
    if (left.kind !== 'value' || (right.kind === 'value' && right.value.type.plain.kind === 'pointer'))
      return null;
    const { plain } = left.value.type;
    if (plain.kind !== 'pointer' && plain.kind !== 'array') return null;
    const at = plain.kind === 'array' ? this.values.address(left.value) : this.values.pointer(left.value);
    const n = this.number(right);
    if (at === null || typeof n !== 'bigint') return null;
    const step = n * BigInt(this.step(plain.target, Number(n)));
    const type = plain.kind === 'array' ? plain.target.pointer : left.value.type;
    return {
      kind: 'value',
      value: this.values.value(type, { kind: 'value', value: BigInt(at) + (op === '+' ? step : -step) }),
    };
  }

  private cast(name: string, stars: number, of: Result): Result {
    const type = this.typeOf({ kind: 'type', type: name, stars });
    const { plain } = type;
    if (plain.kind !== 'base' && plain.kind !== 'pointer' && plain.kind !== 'enum')
      return fail(`can't cast to ${type.name}`);
    return { kind: 'value', value: this.values.value(type, { kind: 'bytes', bytes: this.encode(type, of) }) };
  }

  private typeOf({ type: name, stars }: TypeName): Type {
    let type = this.typeNamed(name) ?? fail(`the program has no type ${name}`);
    for (let i = 0; i < stars; i++) type = type.pointer;
    return type;
  }

  /** A result as a number. @throws ExpressionError */
  number(r: Result, hops = 0): bigint | number {
    if (r.kind === 'number') return r.n;
    if (r.kind === 'text') return fail('a text is no number; texts are compared by == and !=');
    const { value } = r;
    const { plain } = value.type;
    if (plain.kind === 'reference') {
      const to = hops < MAX_REFERENCES ? this.values.deref(value) : null;
      return to === null
        ? fail('it refers to nothing that can be read')
        : this.number({ kind: 'value', value: to }, hops + 1);
    }
    if (plain.kind === 'array')
      return BigInt(this.values.address(value) ?? fail('the array is in no memory'));
    if (plain.kind !== 'base' && plain.kind !== 'pointer' && plain.kind !== 'enum')
      return fail(`${shortTypeName(value.type.name)} is no number`);
    const bytes = this.values.bytes(value);
    if (typeof bytes === 'string') return fail(bytes);
    if (plain.encoding === FLOAT && plain.kind === 'base') {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      if (bytes.length === 4) return view.getFloat32(0, true);
      if (bytes.length === 8) return view.getFloat64(0, true);
      return fail('floating-point numbers of that size are shown, but not computed with');
    }
    return this.values.integer(value) ?? fail(`${shortTypeName(value.type.name)} is no number`);
  }

  private bits(n: bigint | number): bigint {
    if (typeof n === 'bigint') return BigInt.asUintN(64, n);
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, n, true);
    return view.getBigUint64(0, true);
  }

  /** A result in the bytes of a type. */
  private encode(type: Type, from: Result): Uint8Array {
    const { plain } = type;
    const n = this.number(from);
    if (plain.size > MAX_NUMBER_BYTES) return fail(`a number of ${plain.size} bytes is not set`);
    if (plain.kind === 'base' && plain.encoding === FLOAT) {
      const bytes = new Uint8Array(plain.size);
      const view = new DataView(bytes.buffer);
      if (plain.size === 4) view.setFloat32(0, Number(n), true);
      else if (plain.size === 8) view.setFloat64(0, Number(n), true);
      else return fail('a floating-point number of that size is not set');
      return bytes;
    }
    const whole = typeof n === 'bigint' ? n : BigInt(Math.trunc(Number.isFinite(n) ? n : 0));
    return wordBytes(BigInt.asUintN(128, whole), plain.size);
  }

  private store(to: Value, from: Result, hops = 0): void {
    const { plain } = to.type;
    const { place } = to;
    if (plain.kind === 'reference') {
      const inner = hops < MAX_REFERENCES ? this.values.deref(to) : null;
      this.store(inner ?? fail('it refers to nothing that can be set'), from, hops + 1);
      return;
    }
    const { target, frame } = this;
    let bytes: Uint8Array;
    if (
      from.kind === 'value' &&
      from.value.type.plain === plain &&
      (plain.kind === 'struct' || plain.kind === 'union')
    ) {
      const whole = this.values.bytes(from.value);
      bytes = typeof whole === 'string' ? fail(whole) : whole;
    } else if (plain.kind === 'base' || plain.kind === 'pointer' || plain.kind === 'enum')
      bytes = this.encode(to.type, from);
    else bytes = fail(`a ${to.type.name} can not be set`);
    if (to.bits !== null) bytes = this.withBits(to, littleEndian(bytes));
    const bits = littleEndian(bytes.subarray(0, 8));
    const done =
      place.kind === 'memory'
        ? target.state.writeMemory(0, place.address, bytes)
        : place.kind === 'local'
          ? target.writeLocal(frame.thread, frame.target, place.index, bits)
          : place.kind === 'global'
            ? target.state.setGlobal(place.index, bits)
            : fail('it has a value, but is nowhere where it could be set');
    if (!done) fail('it could not be set');
  }

  /** A bit field's new value within the bytes that it shares. */
  private withBits(to: Value, n: bigint): Uint8Array {
    const { size, first } = to.bits!;
    const length = Math.ceil((first + size) / 8);
    if (to.place.kind !== 'memory') return fail('a bit field that is not in memory can not be set');
    const old = this.target.state.memory(0, to.place.address, length) ?? fail('it can not be read');
    const mask = ((1n << BigInt(size)) - 1n) << BigInt(first);
    return wordBytes((littleEndian(old) & ~mask) | ((n << BigInt(first)) & mask), length);
  }
}

/** An arrow, since a number may look like a pointer by chance. */
export function withPointee(text: string, points: string | null): string {
  return points === null ? text : `${text} → ${points}`;
}

/** ValType */
const I32 = 1;
const F32 = 3;
const F64 = 4;

/** A number's bits (a float's as those of an f64) as those of the type that is set. */
export function asType(bits: bigint, type: number): bigint {
  if (type !== F32) return bits;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits, true);
  view.setFloat32(0, view.getFloat64(0, true), true);
  return littleEndian(new Uint8Array(view.buffer, 0, 4));
}

/** A WebAssembly value: signed, or a float. */
function numberOf(bits: bigint, type: number): bigint | number {
  const text = bitsText(bits, type);
  return type === F32 || type === F64 ? Number(text) : BigInt(text);
}

function arithmetic(op: string, a: bigint | number, b: bigint | number): bigint | number {
  if (typeof a === 'bigint' && typeof b === 'bigint') return integers(op, a, b);
  const x = Number(a);
  const y = Number(b);
  const truth = (v: boolean): bigint => (v ? 1n : 0n);
  switch (op) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '/':
      return x / y;
    case '==':
      return truth(x === y);
    case '!=':
      return truth(x !== y);
    case '<':
      return truth(x < y);
    case '<=':
      return truth(x <= y);
    case '>':
      return truth(x > y);
    case '>=':
      return truth(x >= y);
    default:
      return fail(`${op} takes integers`);
  }
}

/** Results larger than this are of no use, and shifts could make them without end. */
const MAX_SHIFT = 128n;

function integers(op: string, a: bigint, b: bigint): bigint {
  const truth = (v: boolean): bigint => (v ? 1n : 0n);
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return BigInt.asIntN(256, a * b);
    case '/':
      return b === 0n ? fail('division by zero') : a / b;
    case '%':
      return b === 0n ? fail('division by zero') : a % b;
    case '&':
      return a & b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '<<':
      return b < 0n || b > MAX_SHIFT ? fail('the shift is too large') : BigInt.asIntN(256, a << b);
    case '>>':
      return b < 0n ? fail('the shift is negative') : a >> (b > MAX_SHIFT ? MAX_SHIFT : b);
    case '==':
      return truth(a === b);
    case '!=':
      return truth(a !== b);
    case '<':
      return truth(a < b);
    case '<=':
      return truth(a <= b);
    case '>':
      return truth(a > b);
    case '>=':
      return truth(a >= b);
    default:
      return fail(`unknown operator ${op}`);
  }
}
