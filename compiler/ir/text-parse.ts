/**
 * Reads the text form of functions (text-print.ts) into `Func`s. A tool for tests and for reproducing defects: what it
 * reads is checked as far as its syntax goes, everything else is the verifier's business.
 */
import { BUILTINS } from '../abi/builtins.ts';
import { TRAPS } from '../abi/traps.ts';
import type { Edge, List, Value } from './func.ts';
import { F_BLOCK, F_LOC, Func, NONE, ROW } from './func.ts';
import { memAccess, OP_FLAGS, OP_OPERANDS, OPS, Op, OpFlag, rawAccess, TYPE_NAMES, Type } from './ops.ts';
import { HINT_NAMES, KIND_NAMES, REGION_NAMES } from './text-print.ts';
import { VEC_CLASS, VEC_NAMES } from './vec-ops.ts';

/** The text is not a function. */
export class IrSyntaxError extends Error {
  override readonly name = 'IrSyntaxError';
  constructor(
    message: string,
    readonly line: number,
  ) {
    super(`line ${line}: ${message}`);
  }
}

const OPS_BY_NAME = new Map(OPS.map((info, op) => [info.name, op as Op]));
const TYPES_BY_NAME = new Map<string, Type>(TYPE_NAMES.map((name, type) => [name, type as Type]));
const TRAPS_BY_NAME = new Map(TRAPS.map(t => [t.name, t.code as number]));
const BUILTINS_BY_NAME = new Map(BUILTINS.map((b, id) => [b.name, id]));

const TOKEN =
  /\s+|;[^\n]*|"(?:[^"\\]|\\.)*"|->|bits:0x[0-9a-f]+|0x[0-9a-f]+|[A-Za-z_][A-Za-z_0-9]*|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[^\s]/gy;

const scratch = new DataView(new ArrayBuffer(8));

class Parser {
  private readonly tokens: string[] = [];
  private readonly lines: number[] = [];
  private at = 0;
  private f = new Func();
  /** Number in the text -> row. Rows of values that are used before their definition are made at their use. */
  private values = new Map<number, Value>();
  private defined = new Set<number>();
  private blocks = new Set<number>();

  constructor(text: string) {
    let line = 1;
    TOKEN.lastIndex = 0;
    for (let m = TOKEN.exec(text); m !== null; m = TOKEN.exec(text)) {
      const token = m[0];
      if (!/^[\s;]/.test(token)) {
        this.tokens.push(token);
        this.lines.push(line);
      }
      for (const ch of token) if (ch === '\n') line++;
    }
  }

  private fail(message: string): never {
    const line = this.lines[Math.min(this.at, this.lines.length - 1)] ?? 1;
    throw new IrSyntaxError(message, line);
  }
  private peek(): string {
    return this.tokens[this.at] ?? '';
  }
  private take(): string {
    if (this.at >= this.tokens.length) this.fail('unexpected end');
    return this.tokens[this.at++]!;
  }
  private accept(token: string): boolean {
    if (this.peek() !== token) return false;
    this.at++;
    return true;
  }
  private expect(token: string): void {
    if (!this.accept(token)) this.fail(`expected '${token}', found '${this.peek()}'`);
  }
  private int(): number {
    const token = this.take();
    if (!/^(0x[0-9a-f]+|[+-]?\d+)$/.test(token)) this.fail(`expected a number, found '${token}'`);
    return Number(token);
  }
  /** `f12`, `b3`, …: the number behind a letter. */
  private prefixed(prefix: string): number {
    const token = this.take();
    const m = /^([a-z]+)(\d+)$/.exec(token);
    if (m === null || m[1] !== prefix) this.fail(`expected '${prefix}N', found '${token}'`);
    return Number(m[2]);
  }
  private type(): Type {
    const token = this.take();
    const type = TYPES_BY_NAME.get(token);
    if (type === undefined) this.fail(`unknown type '${token}'`);
    return type;
  }
  private lookup(table: ReadonlyMap<string, number>, what: string): number {
    const token = this.take();
    const n = table.get(token);
    if (n === undefined) this.fail(`unknown ${what} '${token}'`);
    return n;
  }
  private index(names: readonly string[], what: string): number {
    const token = this.take();
    const i = names.indexOf(token);
    if (i < 0) this.fail(`unknown ${what} '${token}'`);
    return i;
  }

  private row(n: number): Value {
    let v = this.values.get(n);
    if (v === undefined) {
      v = this.f.make(Op.Nop, Type.None, 0, 0, 0, 0, 0);
      this.values.set(n, v);
    }
    return v;
  }
  private value(): Value {
    return this.row(this.prefixed('v'));
  }
  private define(n: number): Value {
    if (this.defined.has(n)) this.fail(`v${n} is defined twice`);
    this.defined.add(n);
    return this.row(n);
  }
  /** Values up to the closing token; the opening one has been taken. */
  private valuesUntil(close: string): Value[] {
    const list: Value[] = [];
    while (!this.accept(close)) {
      if (list.length > 0) this.expect(',');
      list.push(this.value());
    }
    return list;
  }
  private list(values: Value[]): List {
    return values.length === 0 ? NONE : this.f.listOf(values);
  }
  private edge(): Edge {
    const block = this.block(this.prefixed('b'));
    return this.f.newEdge(block, this.accept('(') ? this.valuesUntil(')') : []);
  }
  private block(n: number): number {
    if (n > 1_000_000) this.fail(`block number ${n} is too large`);
    while (this.f.blockCount <= n) this.f.newBlock();
    return n;
  }
  /** `+16`, `-8`, or nothing, up to `]`. */
  private displacement(): number {
    const n = this.peek() === ']' ? 0 : this.int();
    this.expect(']');
    return n;
  }

  all(): Func[] {
    const out: Func[] = [];
    while (this.at < this.tokens.length) out.push(this.func());
    return out;
  }

  private func(): Func {
    this.f = new Func();
    this.values = new Map();
    this.defined = new Set();
    this.blocks = new Set();
    this.expect('func');
    this.f.index = this.int();
    this.f.name = JSON.parse(this.take()) as string;
    if (this.accept('->')) {
      do this.f.results.push(this.type());
      while (this.accept(','));
    }
    if (this.accept('slots')) {
      do this.f.slots.push(this.int());
      while (this.accept(','));
    }
    while (this.accept('scope')) this.scope();
    this.expect('{');
    while (!this.accept('}')) this.blockBody();
    for (const [n] of this.values) if (!this.defined.has(n)) this.fail(`v${n} is used but not defined`);
    return this.f;
  }

  private scope(): void {
    const { scopes } = this.f;
    const parent = this.accept('in') ? this.int() : -1;
    if (parent >= scopes.length) this.fail(`there is no scope ${parent} yet`);
    const tags: number[] = [];
    this.expect('[');
    while (!this.accept(']')) {
      if (tags.length > 0) this.expect(',');
      tags.push(this.accept('all') ? -1 : this.prefixed('t'));
    }
    const last = scopes[scopes.length - 1];
    scopes.push({ parent, first: last ? last.first + last.tags.length : 0, tags });
  }

  private blockBody(): void {
    const b = this.block(this.prefixed('b'));
    if (this.blocks.has(b)) this.fail(`b${b} is defined twice`);
    this.blocks.add(b);
    if (this.accept('(')) {
      const params: Value[] = [];
      while (!this.accept(')')) {
        if (params.length > 0) this.expect(',');
        const v = this.define(this.prefixed('v'));
        this.expect(':');
        this.set(v, Op.Param, this.type(), b, 0, 0, params.length, 0);
        this.f.rows[v * ROW + F_BLOCK] = b;
        params.push(v);
      }
      this.f.params[b] = this.list(params);
    }
    this.expect(':');
    while (this.peek() !== '}' && !(/^b\d+$/.test(this.peek()) && this.isBlockHead())) {
      this.f.append(b, this.instruction());
    }
  }
  private isBlockHead(): boolean {
    const behind = this.tokens[this.at + 1];
    return behind === ':' || behind === '(';
  }

  private set(
    v: Value,
    op: Op,
    type: Type,
    a: number,
    b: number,
    c: number,
    imm: number,
    imm2: number,
  ): Value {
    this.f.rows.set([op | (type << 16), a, b, c, imm | 0, imm2 | 0, 0, 0], v * ROW);
    return v;
  }

  private instruction(): Value {
    let v: Value = 0;
    if (/^v\d+$/.test(this.peek())) {
      v = this.define(this.prefixed('v'));
      this.expect('=');
    }
    const opName = this.take();
    const op = OPS_BY_NAME.get(opName);
    if (op === undefined) this.fail(`unknown operator '${opName}'`);
    let suffix: Type = Type.None;
    let kind = 0;
    if (this.accept('.')) {
      suffix = this.type();
      if (this.accept('.')) kind = this.index(KIND_NAMES, 'access');
    }
    if (v === 0) v = this.f.make(Op.Nop, Type.None, 0, 0, 0, 0, 0);
    this.operands(v, op, suffix, kind);
    if (this.accept('@')) this.f.rows[v * ROW + F_LOC] = this.int();
    return v;
  }

  private rawAccess(kind: number): number {
    const region = this.index(REGION_NAMES, 'region');
    let slot = 0;
    let trap = 0;
    if (this.accept('slot')) {
      this.expect('=');
      slot = this.int();
    }
    if (this.accept('trap')) {
      this.expect('=');
      trap = this.lookup(TRAPS_BY_NAME, 'trap');
    }
    return rawAccess(region, kind, slot, trap);
  }

  private vecOp(op: Op): number {
    const shape = this.take();
    this.expect('.');
    const name = `${shape}.${this.take()}`;
    const n = VEC_NAMES.indexOf(name);
    if (n < 0 || VEC_CLASS[n] !== op) this.fail(`unknown vector operator '${name}'`);
    return n;
  }

  private operands(v: Value, op: Op, type: Type, kind: number): Value {
    switch (op) {
      case Op.IConst: {
        const token = this.take();
        if (!/^(0x[0-9a-f]+|[+-]?\d+)$/.test(token)) this.fail(`expected an integer, found '${token}'`);
        const n = BigInt(token);
        const high = type === Type.I32 ? 0 : Number(BigInt.asIntN(32, n >> 32n));
        return this.set(v, op, type, 0, 0, 0, Number(BigInt.asIntN(32, n)), high);
      }
      case Op.FConst: {
        const token = this.take();
        if (token.startsWith('bits:')) {
          scratch.setBigUint64(0, BigInt(token.slice(5)), true);
        } else {
          const x = Number(token);
          if (Number.isNaN(x)) this.fail(`expected a number, found '${token}'`);
          scratch.setBigUint64(0, 0n);
          if (type === Type.F32) scratch.setFloat32(0, x, true);
          else scratch.setFloat64(0, x, true);
        }
        return this.set(v, op, type, 0, 0, 0, scratch.getInt32(0, true), scratch.getInt32(4, true));
      }
      case Op.VConst: {
        const list = this.f.listOf([this.int() | 0, this.int() | 0, this.int() | 0, this.int() | 0]);
        return this.set(v, op, type, 0, 0, 0, list, 0);
      }
      case Op.Result: {
        const call = this.value();
        this.expect(',');
        return this.set(v, op, type, call, 0, 0, this.int(), 0);
      }
      case Op.Load:
      case Op.Store: {
        const memory = this.peek() === '[' ? 0 : this.prefixed('mem');
        this.expect('[');
        const a = this.value();
        const offset = this.displacement();
        let b = NONE;
        if (op === Op.Store) {
          this.expect(',');
          b = this.value();
        }
        const result = op === Op.Store ? Type.None : type;
        return this.set(v, op, result, a, b, 0, offset, memAccess(kind, memory));
      }
      case Op.RawLoad:
      case Op.RawStore: {
        this.expect('[');
        const a = this.value();
        const disp = this.displacement();
        let b = NONE;
        if (op === Op.RawStore) {
          this.expect(',');
          b = this.value();
        }
        return this.set(v, op, op === Op.RawStore ? Type.None : type, a, b, 0, disp, this.rawAccess(kind));
      }
      case Op.VmLoad:
      case Op.VmStore: {
        this.expect('[');
        this.expect('vm');
        const disp = this.displacement();
        let a = NONE;
        if (op === Op.VmStore) {
          this.expect(',');
          a = this.value();
        }
        return this.set(v, op, op === Op.VmStore ? Type.None : type, a, 0, 0, disp, this.rawAccess(kind));
      }
      case Op.VmAddr:
        this.expect('[');
        this.expect('vm');
        return this.set(v, op, type, 0, 0, 0, this.displacement(), 0);
      case Op.ImageAddr:
        return this.set(v, op, type, 0, 0, 0, this.int(), 0);
      case Op.SlotAddr:
        return this.set(v, op, type, 0, 0, 0, this.prefixed('slot'), 0);
      case Op.TrapZ:
      case Op.TrapNz: {
        const a = this.value();
        this.expect(',');
        return this.set(v, op, type, a, 0, 0, this.lookup(TRAPS_BY_NAME, 'trap'), 0);
      }
      case Op.Call:
      case Op.TailCall:
      case Op.CallImport: {
        const index = this.prefixed(op === Op.CallImport ? 'i' : 'f');
        this.expect('(');
        return this.set(v, op, type, 0, this.list(this.valuesUntil(')')), 0, index, 0);
      }
      case Op.CallBuiltin: {
        const id = this.lookup(BUILTINS_BY_NAME, 'builtin');
        this.expect('(');
        return this.set(v, op, type, 0, this.list(this.valuesUntil(')')), 0, id, 0);
      }
      case Op.CallIndirect:
      case Op.TailCallIndirect: {
        const code = this.value();
        this.expect('(');
        const args = this.list(this.valuesUntil(')'));
        this.expect('type');
        this.expect('=');
        const typeIndex = this.int();
        let vmctx = NONE;
        if (op === Op.CallIndirect && this.accept('vmctx')) {
          this.expect('=');
          vmctx = this.value();
        }
        return this.set(v, op, type, code, args, vmctx, typeIndex, 0);
      }
      case Op.CallHost: {
        const index = this.prefixed('i');
        return this.set(v, op, type, this.value(), 0, 0, index, 0);
      }
      case Op.Jump:
        return this.set(v, op, type, 0, this.edge(), 0, 0, 0);
      case Op.Invoke: {
        const returned = this.edge();
        this.expect(',');
        const thrown = this.edge();
        this.expect('scope');
        this.expect('=');
        return this.set(v, op, type, 0, returned, thrown, this.int(), 0);
      }
      case Op.BrIf: {
        const a = this.value();
        this.expect(',');
        const yes = this.edge();
        this.expect(',');
        const no = this.edge();
        const hint = HINT_NAMES.indexOf(this.peek() as (typeof HINT_NAMES)[number]);
        if (hint > 0) this.at++;
        return this.set(v, op, type, a, yes, no, Math.max(hint, 0), 0);
      }
      case Op.BrTable: {
        const a = this.value();
        this.expect(',');
        this.expect('[');
        const edges: Edge[] = [];
        while (!this.accept(']')) {
          if (edges.length > 0) this.expect(',');
          edges.push(this.edge());
        }
        return this.set(v, op, type, a, this.f.listOf(edges), 0, 0, 0);
      }
      case Op.Return: {
        const list: Value[] = [];
        if (/^v\d+$/.test(this.peek())) {
          do list.push(this.value());
          while (this.accept(','));
        }
        return this.set(v, op, type, 0, this.list(list), 0, 0, 0);
      }
      case Op.Trap:
        return this.set(v, op, type, 0, 0, 0, this.lookup(TRAPS_BY_NAME, 'trap'), 0);
      default: {
        const fields = [0, 0, 0];
        const vector = op >= Op.VUnary && op <= Op.VTest ? this.vecOp(op) : 0;
        for (let i = 0; i < OP_OPERANDS[op]!; i++) {
          if (i > 0) this.expect(',');
          fields[i] = this.value();
        }
        let imm = 0;
        let imm2 = vector;
        if (op === Op.VExtract || op === Op.VReplace) {
          this.expect(',');
          this.expect('lane');
          imm = this.int();
        }
        if (this.accept('{')) {
          imm = this.int();
          this.expect(',');
          imm2 = this.int();
          this.expect('}');
        }
        const result = OP_FLAGS[op]! & OpFlag.Compare ? Type.I32 : type;
        return this.set(v, op, result, fields[0]!, fields[1]!, fields[2]!, imm, imm2);
      }
    }
  }
}

/** Every function of a text. Throws IrSyntaxError. */
export function parseFuncs(text: string): Func[] {
  return new Parser(text).all();
}

/** The one function of a text. Throws IrSyntaxError. */
export function parseFunc(text: string): Func {
  const all = parseFuncs(text);
  if (all.length !== 1) throw new IrSyntaxError(`expected one function, found ${all.length}`, 1);
  return all[0]!;
}
