/**
 * The text form of a function, for people and for filetests; `text-parse.ts` reads it back.
 *
 *     func 3 "fib" -> i32 {
 *     b0(v1: i32):
 *       v2 = iconst.i32 2
 *       v3 = lt_s.i32 v1, v2
 *       br_if v3, b1(v1), b2
 *     …
 *     }
 *
 * - The suffix of an operator is the type of its result; of a comparison, a store: the type of what it compares or
 *   stores.
 * - `[v1+16]` is memory 0 at value v1 plus 16, `mem1[v1]` memory 1; `[vm-16]` is a field of the vmctx.
 * - A vector operator is named behind the suffix: `v3 = vbinary.v128 i8x16.add v1, v2`,
 *   `v4 = vextract.i32 i32x4.extract_lane v3, lane 1`.
 * - Values are numbered in the order in which they are printed, so that equal functions have equal texts whatever their
 *   rows' numbers.
 * - Scopes of `invoke` stand in the head, each with the one it lies in and what it catches:
 *   `scope [t0, t1] scope in 0 [all]`.
 * - A block that is empty has been removed: it is not printed.
 */
import { BUILTINS } from '../abi/builtins.ts';
import { TRAPS } from '../abi/traps.ts';
import type { Block, Edge, Func, List, Value } from './func.ts';
import { NONE } from './func.ts';
import {
  MemKind,
  memIndex,
  memKind,
  OP_FLAGS,
  OP_OPERANDS,
  OPS,
  Op,
  OpFlag,
  rawKind,
  rawRegion,
  rawSlot,
  rawTrap,
  TYPE_NAMES,
  Type,
} from './ops.ts';
import { VEC_CLASS, VEC_NAMES } from './vec-ops.ts';

/** Indexed by MemKind; the suffix of a load or store behind its type. */
export const KIND_NAMES = ['', 's8', 'u8', 's16', 'u16', 's32', 'u32'] as const;
/** Indexed by Region. */
export const REGION_NAMES = [
  'read_only',
  'memory_length',
  'table_desc',
  'table_element',
  'global',
  'args',
] as const;
/** Indexed by the hint of a br_if. */
export const HINT_NAMES = ['', 'likely', 'unlikely'] as const;

export interface PrintOptions {
  /** Name values by their rows instead of numbering them in order. */
  readonly rows?: boolean;
  /** Show the byte offset each instruction comes from, as `@offset`. */
  readonly locs?: boolean;
}

const scratch = new DataView(new ArrayBuffer(8));

/** A float constant: a decimal number that reads back as the same bits, or else the bits. */
function floatText(type: Type, low: number, high: number): string {
  if (type === Type.F32) {
    scratch.setInt32(0, low, true);
    const x = scratch.getFloat32(0, true);
    if (Number.isFinite(x)) return Object.is(x, -0) ? '-0' : String(x);
    return `bits:0x${(low >>> 0).toString(16).padStart(8, '0')}`;
  }
  scratch.setInt32(0, low, true);
  scratch.setInt32(4, high, true);
  const x = scratch.getFloat64(0, true);
  if (Number.isFinite(x)) return Object.is(x, -0) ? '-0' : String(x);
  const hex = (n: number) => (n >>> 0).toString(16).padStart(8, '0');
  return `bits:0x${hex(high)}${hex(low)}`;
}

function signed(n: number): string {
  return n === 0 ? '' : n > 0 ? `+${n}` : `${n}`;
}

class Printer {
  private readonly names: Int32Array;
  private named = 0;

  constructor(
    private readonly f: Func,
    private readonly options: PrintOptions,
  ) {
    this.names = new Int32Array(f.count);
  }

  /** Number everything that is going to be printed with a name. */
  numberAll(): void {
    const { f } = this;
    for (let b = 0; b < f.blockCount; b++) {
      for (let i = 0; i < f.paramCount(b); i++) this.name(f.param(b, i));
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) if (this.hasName(v)) this.name(v);
    }
  }

  private name(v: Value): void {
    if (this.names[v] === 0) this.names[v] = ++this.named;
  }

  private hasName(v: Value): boolean {
    if (this.f.type(v) !== Type.None) return true;
    const next = this.f.next[v]!;
    return (OP_FLAGS[this.f.op(v)]! & OpFlag.Call) !== 0 && next !== 0 && this.f.op(next) === Op.Result;
  }

  private value(v: Value): string {
    if (this.options.rows || v <= 0 || v >= this.names.length || this.names[v] === 0) {
      return this.options.rows ? `v${v}` : `v?${v}`;
    }
    return `v${this.names[v]}`;
  }

  private list(l: List): string {
    const parts: string[] = [];
    for (let i = 0; i < this.f.listLength(l); i++) parts.push(this.value(this.f.listAt(l, i)));
    return parts.join(', ');
  }

  private edge(e: Edge): string {
    const n = this.f.edgeArgCount(e);
    if (n <= 0) return `b${this.f.edgeTarget(e)}`;
    const parts: string[] = [];
    for (let i = 0; i < n; i++) parts.push(this.value(this.f.edgeArg(e, i)));
    return `b${this.f.edgeTarget(e)}(${parts.join(', ')})`;
  }

  private rawAccess(access: number): string {
    const slot = rawSlot(access);
    const trap = rawTrap(access);
    return (
      ` ${REGION_NAMES[rawRegion(access)] ?? `region?${rawRegion(access)}`}` +
      (slot === 0 ? '' : ` slot=${slot}`) +
      (trap === 0 ? '' : ` trap=${TRAPS[trap]?.name ?? trap}`)
    );
  }

  private suffix(type: Type, kind: MemKind = MemKind.Full): string {
    const t = type === Type.None ? '' : `.${TYPE_NAMES[type] ?? `type?${type}`}`;
    return kind === MemKind.Full ? t : `${t}.${KIND_NAMES[kind] ?? `kind?${kind}`}`;
  }

  /** Type of a value, where an invalid function may name what isn't one. */
  private typeOf(v: Value): Type {
    return v > 0 && v < this.f.count ? this.f.type(v) : Type.None;
  }

  instruction(v: Value): string {
    const { f } = this;
    const left = this.hasName(v) ? `${this.value(v)} = ` : '';
    const loc = this.options.locs ? ` @${f.locOf(v)}` : '';
    return left + this.body(v) + loc;
  }

  private body(v: Value): string {
    const { f } = this;
    const op = f.op(v);
    const type = f.type(v);
    const a = f.a(v);
    const b = f.b(v);
    const imm = f.imm(v);
    const imm2 = f.imm2(v);
    const name = OPS[op]?.name ?? `op?${op}`;
    const head = name + this.suffix(type);
    switch (op) {
      case Op.IConst:
        if (type === Type.I32) return `${head} ${imm}`;
        return `${head} ${(BigInt(imm2) << 32n) | BigInt(imm >>> 0)}`;
      case Op.FConst:
        return `${head} ${floatText(type, imm, imm2)}`;
      case Op.VConst:
        return `${head} ${[0, 1, 2, 3].map(i => `0x${(f.listAt(imm, i) >>> 0).toString(16)}`).join(' ')}`;
      case Op.Param:
        return `${head} b${a} ${imm}`;
      case Op.Result:
        return `${head} ${this.value(a)}, ${imm}`;
      case Op.Load:
      case Op.Store: {
        const stored = op === Op.Store ? this.typeOf(b) : type;
        const memory = memIndex(imm2) === 0 ? '' : `mem${memIndex(imm2)}`;
        const address = `${memory}[${this.value(a)}${signed(imm >>> 0)}]`;
        return `${name}${this.suffix(stored, memKind(imm2))} ${address}${op === Op.Store ? `, ${this.value(b)}` : ''}`;
      }
      case Op.RawLoad:
      case Op.RawStore: {
        const stored = op === Op.RawStore ? this.typeOf(b) : type;
        const text = `${name}${this.suffix(stored, rawKind(imm2))} [${this.value(a)}${signed(imm)}]`;
        return `${text}${op === Op.RawStore ? `, ${this.value(b)}` : ''}${this.rawAccess(imm2)}`;
      }
      case Op.VmLoad:
      case Op.VmStore: {
        const stored = op === Op.VmStore ? this.typeOf(a) : type;
        const text = `${name}${this.suffix(stored, rawKind(imm2))} [vm${signed(imm)}]`;
        return `${text}${op === Op.VmStore ? `, ${this.value(a)}` : ''}${this.rawAccess(imm2)}`;
      }
      case Op.VmAddr:
        return `${head} [vm${signed(imm)}]`;
      case Op.SlotAddr:
        return `${head} slot${imm}`;
      case Op.ImageAddr:
        return `${head} ${imm}`;
      case Op.TrapZ:
      case Op.TrapNz:
        return `${head} ${this.value(a)}, ${TRAPS[imm]?.name ?? imm}`;
      case Op.Call:
      case Op.TailCall:
        return `${head} f${imm}(${this.list(b)})`;
      case Op.CallImport:
        return `${head} i${imm}(${this.list(b)})`;
      case Op.CallBuiltin:
        return `${head} ${BUILTINS[imm]?.name ?? imm}(${this.list(b)})`;
      case Op.CallIndirect: {
        const vmctx = f.c(v) === NONE ? '' : ` vmctx=${this.value(f.c(v))}`;
        return `${head} ${this.value(a)}(${this.list(b)}) type=${imm}${vmctx}`;
      }
      case Op.TailCallIndirect:
        return `${head} ${this.value(a)}(${this.list(b)}) type=${imm}`;
      case Op.CallHost:
        return `${head} i${imm} ${this.value(a)}`;
      case Op.Jump:
        return `${head} ${this.edge(b)}`;
      case Op.Invoke:
        return `${head} ${this.edge(b)}, ${this.edge(f.c(v))} scope=${imm}`;
      case Op.BrIf: {
        const hint = HINT_NAMES[imm] ? ` ${HINT_NAMES[imm]}` : '';
        return `${head} ${this.value(a)}, ${this.edge(b)}, ${this.edge(f.c(v))}${hint}`;
      }
      case Op.BrTable: {
        const edges: string[] = [];
        for (let i = 0; i < f.listLength(b); i++) edges.push(this.edge(f.listAt(b, i)));
        return `${head} ${this.value(a)}, [${edges.join(', ')}]`;
      }
      case Op.Return: {
        const list = this.list(b);
        return list === '' ? head : `${head} ${list}`;
      }
      case Op.Trap:
        return `${head} ${TRAPS[imm]?.name ?? imm}`;
      default: {
        // An operator without a form of its own: values, then the immediates if there are any.
        const parts: string[] = [];
        const fields = [a, b, f.c(v)];
        for (let i = 0; i < OP_OPERANDS[op]!; i++) parts.push(this.value(fields[i]!));
        const shown = OP_FLAGS[op]! & OpFlag.Compare ? name + this.suffix(this.typeOf(a)) : head;
        if (op >= Op.VUnary && op <= Op.VTest) {
          const lane = op === Op.VExtract || op === Op.VReplace ? `, lane ${imm}` : '';
          return `${head} ${VEC_CLASS[imm2] === op ? VEC_NAMES[imm2] : `op?${imm2}`} ${parts.join(', ')}${lane}`;
        }
        const extra = imm === 0 && imm2 === 0 ? '' : ` {${imm}, ${imm2}}`;
        return parts.length === 0 ? shown + extra : `${shown} ${parts.join(', ')}${extra}`;
      }
    }
  }

  blockHead(b: Block): string {
    const { f } = this;
    const parts: string[] = [];
    for (let i = 0; i < f.paramCount(b); i++) {
      const p = f.param(b, i);
      parts.push(`${this.value(p)}: ${TYPE_NAMES[f.type(p)]}`);
    }
    return parts.length === 0 ? `b${b}:` : `b${b}(${parts.join(', ')}):`;
  }

  func(): string {
    const { f } = this;
    this.numberAll();
    const out: string[] = [];
    const results = f.results.length === 0 ? '' : ` -> ${f.results.map(t => TYPE_NAMES[t]).join(', ')}`;
    const slots = f.slots.length === 0 ? '' : ` slots ${f.slots.join(', ')}`;
    const scopes = f.scopes.map(
      s =>
        ` scope${s.parent < 0 ? '' : ` in ${s.parent}`} [${s.tags.map(t => (t < 0 ? 'all' : `t${t}`)).join(', ')}]`,
    );
    out.push(`func ${f.index} ${JSON.stringify(f.name)}${results}${slots}${scopes.join('')} {`);
    for (let b = 0; b < f.blockCount; b++) {
      if (f.first[b] === 0) continue;
      out.push(this.blockHead(b));
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) out.push(`  ${this.instruction(v)}`);
    }
    out.push('}');
    return `${out.join('\n')}\n`;
  }
}

/** The whole function. */
export function printFunc(f: Func, options: PrintOptions = {}): string {
  return new Printer(f, options).func();
}

/** One instruction, its values named by their rows: for messages about defects. */
export function printInstruction(f: Func, v: Value): string {
  return new Printer(f, { rows: true }).instruction(v);
}
