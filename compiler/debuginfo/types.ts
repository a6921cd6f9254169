/**
 * Source-level types, made from their entries when first asked for. Every property is safe on damaged input: cycles
 * end, sizes are bounded.
 */
import { At, Encoding, Language, Tag } from './constants.ts';
import { type Die, type Dies, MAX_HOPS } from './dies.ts';
import { littleEndian } from './expressions.ts';
import { FormClass, type FormValue } from './forms.ts';

export type TypeKind =
  | 'base'
  | 'pointer'
  | 'reference'
  | 'struct'
  | 'union'
  | 'enum'
  | 'array'
  | 'function'
  /** typedef, const, volatile, …: something with the same values. */
  | 'alias'
  | 'void'
  | 'unknown';

export interface Member {
  /** '' for an anonymous struct or union, whose members count as its owner's. */
  readonly name: string;
  readonly type: Type;
  /** Bytes from the start of the owner. */
  readonly offset: number;
  /** Bit field: bits, and the first one counted from the least significant of the byte at `offset`. */
  readonly bits: { readonly size: number; readonly first: number } | null;
  readonly isBase: boolean;
  readonly isArtificial: boolean;
}

/** One alternative of a Rust enum (or another variant part). */
interface Variant {
  /** null: the alternative for every other discriminant. */
  readonly discriminant: bigint | null;
  readonly member: Member;
}

export interface VariantPart {
  /** null: there is one alternative only. */
  readonly discriminant: Member | null;
  readonly variants: readonly Variant[];
}

/** A dimension of an array. */
export interface Dimension {
  /** -1: not known. */
  readonly count: number;
  /** What holds the count while the program runs: of C's arrays of variable length. */
  readonly variable: Die | null;
}

export interface Enumerator {
  readonly name: string;
  readonly value: bigint;
}

/** Most members, enumerators or dimensions of one type that are looked at. */
const MAX_MEMBERS = 10_000;
const MAX_SIZE = 2 ** 32;
/** Bits of a bit field: C's are not wider than their type. */
const MAX_BITS = 128;
/**
 * Most types that a name is made of: the name of a function of two functions of two functions … doubles with each
 * level.
 */
const MAX_NAME_PARTS = 1_000;

/** What a name may still be made of. */
interface NameBudget {
  parts: number;
}

const KIND: Readonly<Record<number, TypeKind>> = {
  [Tag.BaseType]: 'base',
  [Tag.PointerType]: 'pointer',
  [Tag.PtrToMemberType]: 'base',
  [Tag.ReferenceType]: 'reference',
  [Tag.RvalueReferenceType]: 'reference',
  [Tag.StructureType]: 'struct',
  [Tag.ClassType]: 'struct',
  [Tag.UnionType]: 'union',
  [Tag.EnumerationType]: 'enum',
  [Tag.ArrayType]: 'array',
  [Tag.SubroutineType]: 'function',
  [Tag.Subprogram]: 'function',
  [Tag.Typedef]: 'alias',
  [Tag.ConstType]: 'alias',
  [Tag.VolatileType]: 'alias',
  [Tag.RestrictType]: 'alias',
  [Tag.AtomicType]: 'alias',
  [Tag.UnspecifiedType]: 'void',
};

export class Type {
  readonly kind: TypeKind;
  #name: string | null = null;
  #members: readonly Member[] | null = null;
  #variantPart: VariantPart | null | undefined;
  #enumerators: readonly Enumerator[] | null = null;
  /** 0: not asked for. */
  #alignment = 0;

  /** @param die null: void, or a type that is not described */
  constructor(
    protected readonly types: Types,
    readonly die: Die | null,
    kind?: TypeKind,
    /** Of an array: instead of its own dimensions. */
    private readonly rest: readonly Dimension[] | null = null,
  ) {
    this.kind = kind ?? (die === null ? 'void' : (KIND[die.tag] ?? 'unknown'));
  }

  get language(): Language {
    return this.die?.unit.language ?? 0;
  }

  get pointerSize(): number {
    return this.die?.unit.addressSize ?? 4;
  }

  /** As its language writes it. */
  get name(): string {
    return (this.#name ??= this.makeName(0, { parts: MAX_NAME_PARTS }));
  }

  /** @param depth of the types around it: types may contain themselves */
  private makeName(depth: number, budget: NameBudget): string {
    const { die } = this;
    if (this.#name !== null && this.#name.length < 1_000) return this.#name;
    if (die === null) return 'void';
    if (budget.parts-- <= 0 || depth > MAX_HOPS) return '…';
    const inner = (): string => this.target.makeName(depth + 1, budget);
    switch (die.tag) {
      case Tag.PointerType: {
        const own = die.name;
        if (own !== '') return own;
        const { target } = this;
        return target.kind === 'function'
          ? functionPointer(target.signature(depth + 1, budget))
          : pointerTo(inner(), '*');
      }
      case Tag.ReferenceType:
        return die.name || pointerTo(inner(), '&');
      case Tag.RvalueReferenceType:
        return die.name || pointerTo(inner(), '&&');
      case Tag.PtrToMemberType:
        return `${inner()} ::*`;
      case Tag.ConstType:
        return qualified('const', inner());
      case Tag.VolatileType:
        return qualified('volatile', inner());
      case Tag.RestrictType:
        return `${inner()} restrict`;
      case Tag.AtomicType:
        return `_Atomic(${inner()})`;
      case Tag.ArrayType: {
        const counts = this.counts.map(n => (n < 0 ? '[]' : `[${n}]`)).join('');
        return isRust(this.language) ? `[${inner()}; ${this.counts.join('; ')}]` : `${inner()}${counts}`;
      }
      case Tag.SubroutineType:
      case Tag.Subprogram:
        return this.signature(depth, budget);
      case Tag.StructureType:
      case Tag.ClassType:
      case Tag.UnionType:
      case Tag.EnumerationType: {
        if (die.name !== '') return die.qualifiedName;
        const word = { struct: 'struct', union: 'union', enum: 'enum' }[this.kind as 'struct'];
        return `(anonymous ${word})`;
      }
      default:
        return die.qualifiedName || '(unnamed)';
    }
  }

  private signature(depth: number, budget: NameBudget): string {
    if (budget.parts-- <= 0 || depth > MAX_HOPS || this.die === null) return '…';
    const parameters: string[] = [];
    for (const child of this.die.children()) {
      if (parameters.length > 64 || budget.parts <= 0) break;
      if (child.tag === Tag.FormalParameter)
        parameters.push(this.types.of(child.type()).makeName(depth + 1, budget));
      else if (child.tag === Tag.UnspecifiedParameters) parameters.push('...');
    }
    return `${this.target.makeName(depth + 1, budget)} (${parameters.join(', ')})`;
  }

  /** A pointer to this. */
  get pointer(): Type {
    return new PointerType(this.types, this);
  }

  /** As many of this, one behind the other. */
  array(count: number): Type {
    return new ArrayType(this.types, this, count);
  }

  /** What a pointer, reference, alias, array or enum is of; what a function returns. */
  get target(): Type {
    return this.types.of(this.die?.type() ?? null);
  }

  /** Without aliases. */
  get plain(): Type {
    let type: Type = this;
    for (let hops = 0; type.kind === 'alias' && hops < MAX_HOPS; hops++) type = type.target;
    if (type.kind === 'alias') return this.types.unknown;
    const { die } = type;
    // A declaration: the definition may be in another unit.
    if (die !== null && (type.kind === 'struct' || type.kind === 'union') && die.flag(At.Declaration))
      return this.types.definitionOf(die) ?? type;
    return type;
  }

  /** Bytes; 0: none, or not known. */
  get size(): number {
    return this.sizeAt(0);
  }

  private sizeAt(depth: number): number {
    const { die } = this;
    if (die === null || depth > MAX_HOPS) return 0;
    const own = this.rest === null ? die.number(At.ByteSize, -1) : -1;
    if (own >= 0) return own <= MAX_SIZE ? own : 0;
    switch (this.kind) {
      case 'pointer':
      case 'reference':
        return this.pointerSize;
      case 'alias':
      case 'enum':
        return this.target.sizeAt(depth + 1);
      case 'array': {
        const n = this.counts.reduce((a, b) => a * Math.max(b, 0), 1) * this.target.sizeAt(depth + 1);
        return n <= MAX_SIZE ? n : 0;
      }
      case 'base':
        return die.tag === Tag.PtrToMemberType ? this.pointerSize : 0;
      default:
        return 0;
    }
  }

  /** DW_ATE of a base type. */
  get encoding(): Encoding | 0 {
    const { die } = this;
    if (die === null) return 0;
    if (die.tag === Tag.PtrToMemberType) return Encoding.Unsigned;
    return die.number(At.Encoding, 0);
  }

  get isSigned(): boolean {
    const { plain } = this;
    if (plain.kind === 'enum') {
      // An enum whose underlying type is an enum is broken: it could be its own.
      const underlying = plain.target.plain;
      return underlying.kind === 'base' ? underlying.isSigned : plain.enumerators.some(e => e.value < 0n);
    }
    return plain.encoding === Encoding.Signed || plain.encoding === Encoding.SignedChar;
  }

  /** An array's dimensions, outermost first; -1: not known. */
  get counts(): readonly number[] {
    return this.dimensions.map(d => d.count);
  }

  /** At least one, outermost first. */
  get dimensions(): readonly Dimension[] {
    if (this.rest !== null) return this.rest;
    const dimensions: Dimension[] = [];
    for (const child of this.die?.children() ?? []) {
      if (child.tag !== Tag.SubrangeType || dimensions.length > 16) continue;
      const count = child.number(At.Count, -1);
      const upper = child.number(At.UpperBound, -2);
      const n = count >= 0 ? count : upper >= -1 ? upper - child.number(At.LowerBound, 0) + 1 : -1;
      dimensions.push({ count: n <= MAX_SIZE ? n : -1, variable: child.reference(At.Count) });
    }
    return dimensions.length === 0 ? [{ count: -1, variable: null }] : dimensions;
  }

  /** Of an array of several dimensions: the type of its elements as C counts them. */
  row(): Type {
    return new Type(this.types, this.die, this.kind, this.dimensions.slice(1));
  }

  /** Bytes that a value's address is a multiple of. */
  get alignment(): number {
    return this.alignmentAt(0);
  }

  private alignmentAt(depth: number): number {
    const { plain } = this;
    // Of a type that contains itself, the inner one counts as one byte.
    if (plain.#alignment === 0 && depth <= MAX_HOPS) {
      plain.#alignment = 1;
      plain.#alignment = plain.alignmentOfParts(depth + 1);
    }
    return Math.max(plain.#alignment, 1);
  }

  private alignmentOfParts(depth: number): number {
    switch (this.kind) {
      case 'struct':
      case 'union': {
        const parts = [...this.members, ...(this.variantPart?.variants.map(v => v.member) ?? [])];
        return parts.reduce((most, m) => Math.max(most, m.type.alignmentAt(depth)), 1);
      }
      case 'array':
        return this.target.alignmentAt(depth);
      default:
        return Math.min(Math.max(this.size, 1), 16);
    }
  }

  /** Members and base classes, in order. */
  get members(): readonly Member[] {
    return (this.#members ??= this.readMembers());
  }

  private readMembers(): Member[] {
    const members: Member[] = [];
    for (const child of this.die?.children() ?? []) {
      if (members.length >= MAX_MEMBERS) break;
      if (child.tag === Tag.Member && !child.flag(At.External) && !child.flag(At.Declaration))
        members.push(this.member(child));
      else if (child.tag === Tag.Inheritance) members.push(this.member(child));
    }
    return members;
  }

  private member(die: Die): Member {
    const type = this.types.of(die.type());
    const place = die.attribute(At.DataMemberLocation);
    let offset = 0;
    if (place !== null) {
      if (place.cls === FormClass.Constant || place.cls === FormClass.Signed) offset = place.int;
      else offset = simpleOffset(this.types.dies.sections.info.subarray(place.at, place.at + place.length));
    }
    let bits: Member['bits'] = null;
    const size = die.number(At.BitSize, -1);
    if (size > 0 && size <= MAX_BITS) {
      let first = die.number(At.DataBitOffset, -1);
      if (first < 0) {
        // Before version 4: from the most significant bit of the storage unit.
        const storage = 8 * (die.number(At.ByteSize, 0) || type.size);
        first = 8 * offset + storage - die.number(At.BitOffset, 0) - size;
      }
      offset = Math.floor(first / 8);
      bits = { size, first: first - 8 * offset };
      if (!(Math.abs(first) <= 8 * MAX_SIZE)) bits = null;
    }
    return {
      name: die.name,
      type,
      offset: offset >= 0 && offset <= MAX_SIZE ? offset : 0,
      bits,
      isBase: die.tag === Tag.Inheritance,
      isArtificial: die.flag(At.Artificial),
    };
  }

  /** Of a Rust enum; null: it is no such thing. */
  get variantPart(): VariantPart | null {
    if (this.#variantPart === undefined) this.#variantPart = this.readVariants();
    return this.#variantPart;
  }

  private readVariants(): VariantPart | null {
    for (const part of this.die?.children() ?? []) {
      if (part.tag !== Tag.VariantPart) continue;
      const discriminant = part.reference(At.Discr);
      const variants: Variant[] = [];
      for (const child of part.children()) {
        if (child.tag !== Tag.Variant || variants.length >= MAX_MEMBERS) continue;
        const value = child.attribute(At.DiscrValue);
        for (const m of child.children()) {
          if (m.tag !== Tag.Member) continue;
          variants.push({
            discriminant: value === null ? null : this.types.constant(value),
            member: this.member(m),
          });
          break;
        }
      }
      return { discriminant: discriminant === null ? null : this.member(discriminant), variants };
    }
    return null;
  }

  get enumerators(): readonly Enumerator[] {
    if (this.#enumerators !== null) return this.#enumerators;
    const found: Enumerator[] = [];
    for (const child of this.die?.children() ?? []) {
      if (child.tag !== Tag.Enumerator || found.length >= MAX_MEMBERS) continue;
      const v = child.attribute(At.ConstValue);
      found.push({ name: child.name, value: v === null ? 0n : this.types.constant(v) });
    }
    return (this.#enumerators = found);
  }

  /** Type arguments of a C++ template or a Rust generic, in order. */
  get typeArguments(): readonly Type[] {
    const found: Type[] = [];
    const add = (die: Die): void => {
      if (die.tag === Tag.TemplateTypeParameter && found.length < 64) found.push(this.types.of(die.type()));
    };
    for (const child of this.die?.children() ?? []) {
      if (child.tag === Tag.GnuTemplateParameterPack) for (const c of child.children()) add(c);
      else add(child);
    }
    return found;
  }
}

/** A pointer that no program declares: what `&x` and casts give. */
class PointerType extends Type {
  constructor(
    types: Types,
    private readonly to: Type,
  ) {
    super(types, null, 'pointer');
  }

  override get name(): string {
    return pointerTo(this.to.name, '*');
  }

  override get target(): Type {
    return this.to;
  }

  override get size(): number {
    return this.to.pointerSize;
  }

  override get language(): Language {
    return this.to.language;
  }

  override get pointerSize(): number {
    return this.to.pointerSize;
  }
}

/** An array that no program declares: what is behind a pointer, in a number that the user knows. */
class ArrayType extends Type {
  constructor(
    types: Types,
    private readonly of: Type,
    count: number,
  ) {
    super(types, null, 'array', [{ count, variable: null }]);
  }

  override get name(): string {
    return `${this.of.name}[${this.counts[0]}]`;
  }

  override get target(): Type {
    return this.of;
  }

  override get size(): number {
    return Math.max(this.counts[0]!, 0) * this.of.size;
  }

  override get language(): Language {
    return this.of.language;
  }

  override get pointerSize(): number {
    return this.of.pointerSize;
  }
}

/** A number type by its name alone, for casts to what the program itself has none of. Sizes as on wasm32. */
class NumberType extends Type {
  constructor(
    types: Types,
    private readonly facts: { readonly name: string; readonly size: number; readonly encoding: Encoding },
  ) {
    super(types, null, 'base');
  }

  override get name(): string {
    return this.facts.name;
  }

  override get size(): number {
    return this.facts.size;
  }

  override get encoding(): Encoding {
    return this.facts.encoding;
  }
}

const NUMBER_TYPES: Readonly<Record<string, readonly [size: number, encoding: Encoding]>> = {
  char: [1, Encoding.SignedChar],
  'signed char': [1, Encoding.SignedChar],
  'unsigned char': [1, Encoding.UnsignedChar],
  short: [2, Encoding.Signed],
  'unsigned short': [2, Encoding.Unsigned],
  int: [4, Encoding.Signed],
  unsigned: [4, Encoding.Unsigned],
  'unsigned int': [4, Encoding.Unsigned],
  long: [4, Encoding.Signed],
  'unsigned long': [4, Encoding.Unsigned],
  'long long': [8, Encoding.Signed],
  'unsigned long long': [8, Encoding.Unsigned],
  float: [4, Encoding.Float],
  double: [8, Encoding.Float],
  bool: [1, Encoding.Boolean],
  i8: [1, Encoding.Signed],
  u8: [1, Encoding.Unsigned],
  i16: [2, Encoding.Signed],
  u16: [2, Encoding.Unsigned],
  i32: [4, Encoding.Signed],
  u32: [4, Encoding.Unsigned],
  i64: [8, Encoding.Signed],
  u64: [8, Encoding.Unsigned],
  f32: [4, Encoding.Float],
  f64: [8, Encoding.Float],
};

function isRust(language: Language): boolean {
  return language === Language.Rust;
}

/** `T *`, with the stars together. */
function pointerTo(name: string, mark: string): string {
  return /[*&]$/.test(name) ? name + mark : `${name} ${mark}`;
}

/** `const T`, but `T *const`. */
function qualified(word: string, name: string): string {
  return /[*&]$/.test(name) ? `${name} ${word}` : `${word} ${name}`;
}

function functionPointer(signature: string): string {
  const at = signature.indexOf(' (');
  return at < 0 ? `${signature} *` : `${signature.slice(0, at)} (*)${signature.slice(at + 1)}`;
}

/** DW_OP_plus_uconst or a constant: how old producers write a member's offset. */
function simpleOffset(code: Uint8Array): number {
  if (code.length < 2 || (code[0] !== 0x23 && code[0] !== 0x10)) return 0;
  let value = 0;
  let scale = 1;
  for (let i = 1; i < code.length && i < 6; i++) {
    value += (code[i] & 0x7f) * scale;
    scale *= 128;
  }
  return value;
}

export class Types {
  readonly unknown: Type;
  readonly void: Type;
  private readonly byOffset = new Map<number, Type>();
  private definitions: Map<string, Die> | null = null;

  constructor(readonly dies: Dies) {
    this.unknown = new Type(this, null, 'unknown');
    this.void = new Type(this, null);
  }

  of(die: Die | null): Type {
    if (die === null) return this.void;
    let type = this.byOffset.get(die.offset);
    if (type === undefined) this.byOffset.set(die.offset, (type = new Type(this, die)));
    return type;
  }

  /** Exact, sign and all. */
  constant(v: FormValue): bigint {
    if (v.cls === FormClass.Signed) return BigInt(Math.trunc(v.int));
    if (v.cls !== FormClass.Constant) return 0n;
    if (v.length <= 8 && v.int > Number.MAX_SAFE_INTEGER)
      return littleEndian(this.dies.sections.info.subarray(v.at, v.at + v.length));
    return BigInt(v.int);
  }

  /** A type by its qualified name, wherever it is defined: for casts. Reads all units when first asked. */
  named(name: string): Type | null {
    const die = this.definitionIndex().get(name);
    if (die !== undefined) return this.of(die);
    const number = Object.hasOwn(NUMBER_TYPES, name) ? NUMBER_TYPES[name] : undefined;
    return number === undefined ? null : new NumberType(this, { name, size: number[0], encoding: number[1] });
  }

  /** The definition of a declared type, looked for in all units. */
  definitionOf(declaration: Die): Type | null {
    const found = this.definitionIndex().get(declaration.qualifiedName);
    return found === undefined ? null : this.of(found);
  }

  private definitionIndex(): Map<string, Die> {
    if (this.definitions !== null) return this.definitions;
    const index = new Map<string, Die>();
    for (const unit of this.dies.units) {
      const tree = this.dies.tree(unit);
      for (let i = 0; i < tree.length; i++) {
        if (!NAMED_TYPES.has(tree.tag(i))) continue;
        const die = this.dies.at(tree, i);
        if (die.flag(At.Declaration)) continue;
        const name = die.qualifiedName;
        if (name !== '' && !index.has(name)) index.set(name, die);
      }
    }
    return (this.definitions = index);
  }
}

const NAMED_TYPES: ReadonlySet<number> = new Set([
  Tag.BaseType,
  Tag.StructureType,
  Tag.ClassType,
  Tag.UnionType,
  Tag.EnumerationType,
  Tag.Typedef,
]);
