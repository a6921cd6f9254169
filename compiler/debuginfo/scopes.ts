/** Functions, inlined calls and blocks: which of them an address is in, and which variables can be seen there. */
import { At, Language, Tag } from './constants.ts';
import { DwarfError } from './cursor.ts';
import type { Die, Dies } from './dies.ts';
import { evaluate, expressionAt, type FrameReader, type Place, parameterAddress } from './expressions.ts';
import { FormClass } from './forms.ts';
import { entryRanges, type RangeBudget } from './ranges.ts';
import { type Type, Types } from './types.ts';
import type { Unit } from './units.ts';

export interface Variable {
  readonly name: string;
  readonly type: Type;
  readonly kind: 'parameter' | 'local' | 'static';
  readonly artificial: boolean;
  /** Line of its declaration; 0: not known. */
  readonly line: number;
  readonly die: Die;
}

/** A call that was inlined, or the function that the code belongs to. */
export interface Scope {
  /** Qualified: `ns::Class::f`. */
  readonly name: string;
  readonly linkageName: string;
  readonly isInlined: boolean;
  /** Inlined: where it was called from, in the scope around it; file is an index for the unit's line table. */
  readonly call: { readonly file: number; readonly line: number; readonly column: number } | null;
  readonly function: Die;
  /** Blocks that the address is in, outermost first: the function's own entry, then lexical blocks. */
  readonly blocks: readonly Die[];
}

/** A function's code in .debug_info: where it begins, and its entry. */
export interface Extent {
  readonly low: number;
  readonly high: number;
  readonly index: number;
}

const MAX_NESTING = 256;
/** Places that a breakpoint on a function that was inlined is set at. */
const MAX_INLINED = 1_000;

export class Scopes {
  readonly types: Types;
  private readonly extents = new Map<Unit, readonly Extent[]>();
  private vtables: Map<number, Type> | null = null;
  private inlined: Map<string, number[]> | null = null;

  constructor(
    readonly dies: Dies,
    private readonly budget: RangeBudget,
  ) {
    this.types = new Types(dies);
  }

  /** Scopes around an address, innermost first: inlined calls, then the function. Empty: none is known. */
  at(unit: Unit, address: number): Scope[] {
    const tree = this.dies.tree(unit);
    const extent = this.functionAt(unit, address);
    if (extent === null) return [];
    const scopes: { function: Die; blocks: Die[] }[] = [];
    let die = this.dies.at(tree, extent.index);
    scopes.push({ function: die, blocks: [die] });
    for (let depth = 0; depth < MAX_NESTING; depth++) {
      let inner: Die | null = null;
      for (const child of die.children()) {
        if (child.tag !== Tag.LexicalBlock && child.tag !== Tag.InlinedSubroutine) continue;
        if (this.covers(child, address)) {
          inner = child;
          break;
        }
      }
      if (inner === null) break;
      if (inner.tag === Tag.InlinedSubroutine) scopes.push({ function: inner, blocks: [inner] });
      else scopes[scopes.length - 1].blocks.push(inner);
      die = inner;
    }
    return scopes.reverse().map(s => this.describe(s.function, s.blocks));
  }

  private describe(die: Die, blocks: readonly Die[]): Scope {
    const isInlined = die.tag === Tag.InlinedSubroutine;
    const linkage = die.inherited(At.LinkageName) ?? die.inherited(At.MipsLinkageName);
    return {
      name: die.qualifiedName,
      linkageName: linkage === null ? '' : this.dies.text(die.unit, linkage),
      isInlined,
      call: isInlined
        ? {
            file: die.number(At.CallFile, 0),
            line: die.number(At.CallLine, 0),
            column: die.number(At.CallColumn, 0),
          }
        : null,
      function: die,
      blocks,
    };
  }

  functionAt(unit: Unit, address: number): Extent | null {
    const extents = this.functionsOf(unit);
    let lo = 0;
    let hi = extents.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (extents[mid].low <= address) lo = mid + 1;
      else hi = mid;
    }
    const extent = extents[lo - 1];
    return extent === undefined || address >= extent.high ? null : extent;
  }

  /**
   * Where the code of a function begins that was inlined into others, by its name or qualified name. Reads all units
   * when first asked.
   */
  inlinedCalls(name: string): readonly number[] {
    return (this.inlined ??= this.findInlined()).get(name) ?? [];
  }

  private findInlined(): Map<string, number[]> {
    const found = new Map<string, number[]>();
    const add = (name: string, address: number): void => {
      const known = found.get(name);
      if (known === undefined) found.set(name, [address]);
      else if (known.length < MAX_INLINED && !known.includes(address)) known.push(address);
    };
    for (const unit of this.dies.units) {
      const tree = this.dies.tree(unit);
      for (let i = 0; i < tree.length; i++) {
        if (tree.tag(i) !== Tag.InlinedSubroutine) continue;
        const die = this.dies.at(tree, i);
        const ranges = this.rangesOf(die) ?? [];
        if (ranges.length === 0) continue;
        const start = ranges.reduce((least, at, k) => (k % 2 === 0 ? Math.min(least, at) : least), Infinity);
        const name = die.qualifiedName;
        const last = name.slice(name.lastIndexOf('::') + 2);
        add(name, start);
        if (name.includes('::')) add(last, start);
      }
    }
    return found;
  }

  /** All functions with code of a unit, by address. */
  functionsOf(unit: Unit): readonly Extent[] {
    const known = this.extents.get(unit);
    if (known !== undefined) return known;
    const tree = this.dies.tree(unit);
    const found: Extent[] = [];
    for (let i = 0; i < tree.length; i++) {
      if (tree.tag(i) !== Tag.Subprogram) continue;
      const ranges = this.rangesOf(this.dies.at(tree, i)) ?? [];
      for (let k = 0; k < ranges.length; k += 2)
        found.push({ low: ranges[k], high: ranges[k + 1], index: i });
    }
    found.sort((a, b) => a.low - b.low);
    this.extents.set(unit, found);
    return found;
  }

  rangesOf(die: Die): readonly number[] | null {
    const lowPc = die.attribute(At.LowPc);
    const ranges = die.attribute(At.Ranges);
    if (lowPc === null && ranges === null) return null;
    try {
      const attributes = { lowPc, highPc: die.attribute(At.HighPc), ranges };
      return entryRanges(
        attributes,
        die.unit.lowPc,
        die.unit,
        die.unit.bases,
        this.dies.sections,
        this.budget,
      );
    } catch (e) {
      if (!(e instanceof DwarfError)) throw e;
      this.dies.warn(`.debug_info+0x${die.offset.toString(16)}: ${e.message}`);
      return null;
    }
  }

  /** A block without ranges (optimised code has such) covers what its inner blocks cover: look into those. */
  private covers(die: Die, address: number, depth = 0): boolean {
    const ranges = this.rangesOf(die);
    if (ranges === null) {
      if (die.tag !== Tag.LexicalBlock || depth > 8) return false;
      return [...die.children()].some(c => isScope(c) && this.covers(c, address, depth + 1));
    }
    for (let i = 0; i < ranges.length; i += 2)
      if (address >= ranges[i] && address < ranges[i + 1]) return true;
    return false;
  }

  /** Variables of a scope that can be seen in its innermost block, outermost block first. */
  variables(scope: Scope): Variable[] {
    return scope.blocks.flatMap(block => this.variablesOf(block, 'local'));
  }

  /** Variables outside of functions, of one unit. */
  statics(unit: Unit): Variable[] {
    const root = this.dies.root(unit);
    if (root === null) return [];
    const found: Variable[] = [];
    const visit = (die: Die, depth: number): void => {
      for (const v of this.variablesOf(die, 'static')) if (found.length < 5_000) found.push(v);
      if (depth > 16) return;
      for (const child of die.children()) if (child.tag === Tag.Namespace) visit(child, depth + 1);
    };
    visit(root, 0);
    return found;
  }

  private variablesOf(block: Die, kind: 'local' | 'static'): Variable[] {
    const found: Variable[] = [];
    for (const die of block.children()) {
      const parameter = die.tag === Tag.FormalParameter;
      if (!parameter && die.tag !== Tag.Variable) continue;
      if (kind === 'static' && die.attribute(At.Location) === null && die.attribute(At.ConstValue) === null)
        continue;
      const name = kind === 'static' ? die.qualifiedName : die.name;
      if (name !== '') found.push(this.variable(die, name, parameter ? 'parameter' : kind));
    }
    return packed(found);
  }

  private variable(die: Die, name: string, kind: Variable['kind']): Variable {
    return {
      name,
      type: this.types.of(die.type()),
      kind,
      artificial: die.inherited(At.Artificial) !== null,
      line: die.inherited(At.DeclLine)?.int ?? 0,
      die,
    };
  }

  /** A variable that another entry refers to. */
  referred(die: Die): Variable {
    return this.variable(die, die.name, 'local');
  }

  /**
   * What Rust's tables of functions of traits are for, by their addresses. Reads all of Rust's units when first asked.
   */
  implementor(vtable: number): Type | null {
    return (this.vtables ??= this.readVtables()).get(vtable) ?? null;
  }

  private readVtables(): Map<number, Type> {
    const found = new Map<number, Type>();
    const nowhere: FrameReader = {
      memory: () => null,
      local: () => null,
      global: () => null,
      operand: () => null,
    };
    for (const unit of this.dies.units) {
      if (unit.language !== Language.Rust) continue;
      const tree = this.dies.tree(unit);
      for (let i = 0; i < tree.length; i++) {
        if (tree.tag(i) !== Tag.Variable) continue;
        const die = this.dies.at(tree, i);
        const implementor = die.type()?.reference(At.ContainingType) ?? null;
        if (implementor === null) continue;
        const place = this.locate(this.referred(die), null, 0, nowhere);
        if (place.kind === 'memory') found.set(place.address, this.types.of(implementor));
      }
    }
    return found;
  }

  /** Where a variable is, when its frame stands at an address. `scope`: null for a variable outside of functions. */
  locate(variable: Variable, scope: Scope | null, address: number, frame: FrameReader): Place {
    const { die } = variable;
    const constant = die.attribute(At.ConstValue);
    if (constant !== null) {
      if (constant.cls === FormClass.Block || constant.cls === FormClass.String) {
        const bytes = this.dies.sections.info.slice(constant.at, constant.at + constant.length);
        return { kind: 'bytes', bytes };
      }
      return { kind: 'value', value: BigInt.asUintN(64, this.types.constant(constant)) };
    }
    const v = die.attribute(At.Location) ?? die.origin()?.attribute(At.Location) ?? null;
    if (v === null) return { kind: 'missing', why: 'optimised away' };
    const place = this.place(die, v, scope, address, frame);
    if (place.kind !== 'local' || !variable.type.plain.dimensions.some(d => d.variable !== null))
      return place;
    // An array of variable length lies on the stack, and the local says where.
    const at = frame.local(place.index);
    return at === null ? place : { kind: 'memory', address: Number(BigInt.asUintN(32, at)) };
  }

  private place(
    die: Die,
    v: NonNullable<ReturnType<Die['attribute']>>,
    scope: Scope | null,
    address: number,
    frame: FrameReader,
  ): Place {
    let code: Uint8Array | null;
    try {
      code = expressionAt(v, address, die.unit, this.dies.sections);
      if (code === null) {
        const index = parameterAddress(v, die.unit, this.dies.sections);
        const at = index >= 0 && frame.keepsParameter?.(index) ? frame.local(index) : null;
        if (at !== null) return { kind: 'memory', address: Number(at) };
      }
    } catch (e) {
      if (!(e instanceof DwarfError)) throw e;
      this.dies.warn(`.debug_info+0x${die.offset.toString(16)}: ${e.message}`);
      return { kind: 'missing', why: 'its location is broken' };
    }
    if (code === null) return { kind: 'missing', why: 'it has no value here' };
    return evaluate(code, {
      unit: die.unit,
      sections: this.dies.sections,
      frame,
      frameBase: () => this.frameBase(scope, address, frame),
      baseType: offset => {
        const type = this.dies.entryAtOffset(die.unit.offset + offset);
        return type === null || type.tag !== Tag.BaseType
          ? null
          : { size: type.number(At.ByteSize, 0), encoding: type.number(At.Encoding, 0) };
      },
    });
  }

  /** The frame base of the function around a scope: an inlined call uses its caller's. */
  frameBase(scope: Scope | null, address: number, frame: FrameReader): Place {
    let die: Die | null = scope?.function ?? null;
    for (let hops = 0; die !== null && die.tag !== Tag.Subprogram && hops < MAX_NESTING; hops++)
      die = die.parent;
    const v = die?.attribute(At.FrameBase) ?? null;
    if (die === null || v === null) return { kind: 'missing', why: 'the function has no frame base' };
    // A frame base relative to a frame base would never end: it has no scope.
    return this.place(die, v, null, address, frame);
  }
}

/** The parameters of a C++ pack all have one name: they are told apart as its elements. */
function packed(variables: readonly Variable[]): Variable[] {
  const count = new Map<string, number>();
  for (const v of variables) if (v.kind === 'parameter') count.set(v.name, (count.get(v.name) ?? 0) + 1);
  const next = new Map<string, number>();
  return variables.map(v => {
    if (v.kind !== 'parameter' || count.get(v.name) === 1) return v;
    const i = next.get(v.name) ?? 0;
    next.set(v.name, i + 1);
    return { ...v, name: `${v.name}[${i}]` };
  });
}

function isScope(die: Die): boolean {
  return die.tag === Tag.LexicalBlock || die.tag === Tag.InlinedSubroutine;
}
