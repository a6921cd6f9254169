/**
 * The verifier: checks what func.ts promises, and the types of every operator. Linear in the size of the function, so
 * it can run behind every pass. What it finds is a defect of the compiler: bug().
 *
 * Instructions in blocks that can't be reached are checked too, except that a use needs no dominating definition there.
 */
import { BUILTINS } from '../abi/builtins.ts';
import { bug } from '../diagnostics.ts';
import { Cfg } from './cfg.ts';
import type { Block, Edge, Func, List, Value } from './func.ts';
import { F_A, NONE, ROW } from './func.ts';
import {
  MemKind,
  memKind,
  OP_FLAGS,
  OP_OPERANDS,
  Op,
  OpFlag,
  Region,
  rawKind,
  rawRegion,
  TYPE_NAMES,
  Type,
} from './ops.ts';
import { printInstruction } from './text-print.ts';
import { VEC_CLASS, VEC_LANES, VEC_OP_COUNT, VEC_SCALAR } from './vec-ops.ts';

export interface Signature {
  readonly params: readonly Type[];
  readonly results: readonly Type[];
}

/** What the verifier can be told about the module; a call whose signature isn't given is checked only in itself. */
export interface VerifyContext {
  /** Signature of a function defined in the module, by function index. */
  func?(index: number): Signature | undefined;
  /** Signature of a function import, by import index. */
  import?(index: number): Signature | undefined;
  /** Signature by type index. */
  type?(index: number): Signature | undefined;
}

// Sets of types: bit t for type t.
const VOID = 1 << Type.None;
const I32 = 1 << Type.I32;
const I64 = 1 << Type.I64;
const F32 = 1 << Type.F32;
const F64 = 1 << Type.F64;
const V128 = 1 << Type.V128;
const REF = 1 << Type.Ref;
const INT = I32 | I64;
const FLOAT = F32 | F64;
const ANY = INT | FLOAT | V128 | REF;
/** Type of the result; type of operand A. */
const SAME = 1 << 16;
const SAME_A = 1 << 17;

/**
 * [result, A, B, C]; operators without an entry are checked by code (`special`) or, if they are none of this IR's own,
 * not at all.
 */
const RULES: (readonly number[] | undefined)[] = [];
function rule(ops: readonly Op[], ...types: number[]): void {
  for (const op of ops) RULES[op] = types;
}
rule([Op.IConst], INT | REF);
rule([Op.FConst], FLOAT);
rule([Op.VConst], V128);
rule([Op.Add, Op.Sub, Op.Mul, Op.DivS, Op.DivU, Op.RemS, Op.RemU, Op.And, Op.Or, Op.Xor], INT, SAME, SAME);
rule([Op.Shl, Op.ShrS, Op.ShrU, Op.Rotl, Op.Rotr], INT, SAME, SAME);
rule([Op.Clz, Op.Ctz, Op.Popcnt, Op.Bswap, Op.Ext8S, Op.Ext16S], INT, SAME);
rule([Op.Ext32S], I64, SAME);
rule([Op.Eq, Op.Ne], I32, INT | REF, SAME_A);
rule([Op.LtS, Op.LtU, Op.GtS, Op.GtU, Op.LeS, Op.LeU, Op.GeS, Op.GeU], I32, INT, SAME_A);
rule([Op.FAdd, Op.FSub, Op.FMul, Op.FDiv, Op.FMin, Op.FMax, Op.FCopysign], FLOAT, SAME, SAME);
rule([Op.FAbs, Op.FNeg, Op.FSqrt, Op.FCeil, Op.FFloor, Op.FTrunc, Op.FNearest], FLOAT, SAME);
rule([Op.FEq, Op.FNe, Op.FLt, Op.FGt, Op.FLe, Op.FGe], I32, FLOAT, SAME_A);
rule([Op.Wrap], I32, I64);
rule([Op.ExtendS, Op.ExtendU], I64, I32);
rule([Op.TruncS, Op.TruncU, Op.TruncSatS, Op.TruncSatU], INT, FLOAT);
rule([Op.ConvertS, Op.ConvertU], FLOAT, INT);
rule([Op.Promote], F64, F32);
rule([Op.Demote], F32, F64);
rule([Op.Bitcast], INT | FLOAT | REF, INT | FLOAT | REF);
rule([Op.Select], ANY, I32, SAME, SAME);
rule([Op.MulHighS, Op.MulHighU], I64, I64, I64);
rule([Op.AddCarry, Op.SubBorrow], I64, I64, I64, I32);
rule([Op.Load], ANY, INT);
rule([Op.Store], VOID, INT, ANY);
rule([Op.RawLoad], ANY, I64 | REF);
rule([Op.RawStore], VOID, I64 | REF, ANY);
rule([Op.VmLoad], ANY);
rule([Op.VmStore], VOID, ANY);
rule([Op.VmAddr, Op.SlotAddr, Op.ImageAddr], I64);
rule([Op.TrapZ, Op.TrapNz], VOID, I32);
rule([Op.CallIndirect], VOID | ANY, I64);
rule([Op.TailCallIndirect], VOID, I64);
rule([Op.CallHost], VOID, I64);
rule([Op.BrIf, Op.BrTable], VOID, I32);
rule([Op.Jump, Op.Return, Op.Trap, Op.TailCall, Op.Invoke, Op.SeqPoint], VOID);
rule([Op.VUnary, Op.VBinary, Op.VTernary, Op.VShuffle], V128, V128, V128, V128);
rule([Op.VShift], V128, V128, I32);
rule([Op.VSplat], V128, INT | FLOAT);
rule([Op.VExtract], INT | FLOAT, V128);
rule([Op.VReplace], V128, V128, INT | FLOAT);
rule([Op.VTest], I32, V128);
rule([Op.VZext], V128, FLOAT);

/** Kinds that a type may be narrowed to. */
function kindFits(kind: MemKind, type: Type): boolean {
  if (kind === MemKind.Full) return true;
  if (type === Type.I32) return kind <= MemKind.U16;
  return type === Type.I64 && kind <= MemKind.U32;
}

function typeSet(set: number): string {
  return TYPE_NAMES.filter((_, t) => set & (1 << t)).join(' or ');
}

class Verifier {
  private f!: Func;
  private ctx: VerifyContext = {};
  private readonly cfg = new Cfg();
  /**
   * For each row: 0 not linked, else 1 + its position in a walk over all blocks; parameters have the position of their
   * block's start.
   */
  private position = new Int32Array(256);
  /** For each place in the pool: the terminator whose edge starts there. */
  private edgeOwner = new Int32Array(256);
  private block: Block = 0;

  run(f: Func, ctx: VerifyContext): void {
    this.f = f;
    this.ctx = ctx;
    if (this.position.length < f.count) this.position = new Int32Array(f.count * 2);
    this.position.fill(0, 0, f.count);
    if (this.edgeOwner.length < f.poolEnd) this.edgeOwner = new Int32Array(f.poolEnd * 2);
    this.edgeOwner.fill(0, 0, f.poolEnd);
    this.structure();
    this.cfg.computeOrder(f);
    this.cfg.computeDominators();
    for (let b = 0; b < f.blockCount; b++) {
      this.block = b;
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) this.instruction(v);
    }
  }

  private fail(v: Value, message: string): never {
    const { f } = this;
    const text = v === 0 ? '' : `, ${printInstruction(f, v)}`;
    bug(`function ${f.index} (${f.name}), b${this.block}${text}: ${message}`);
  }

  private list(v: Value, l: List, what: string): void {
    const { f } = this;
    if (l === NONE) return;
    if (l < 0 || l >= f.poolEnd || f.pool[l]! < 0 || l + f.pool[l]! >= f.poolEnd)
      this.fail(v, `${what} is not a list`);
  }

  /** Blocks, links, lists and edges: what must hold before anything can be walked. */
  private structure(): void {
    const { f, position } = this;
    if (f.blockCount === 0) this.fail(0, 'no entry block');
    let at = 1;
    for (let b = 0; b < f.blockCount; b++) {
      this.block = b;
      const first = f.first[b]!;
      if (first === 0) {
        if (b === 0) this.fail(0, 'the entry is empty');
        if (f.last[b] !== 0) this.fail(0, 'an empty block has a last row');
        continue;
      }
      this.list(0, f.params[b]!, 'the parameters');
      for (let i = 0; i < f.paramCount(b); i++) {
        const p = f.param(b, i);
        if (p <= 0 || p >= f.count || f.op(p) !== Op.Param) this.fail(0, `parameter ${i} is not a Param row`);
        if (f.a(p) !== b || f.blockOf(p) !== b || f.imm(p) !== i)
          this.fail(p, `is not parameter ${i} of b${b}`);
        if (f.type(p) === Type.None) this.fail(p, 'a parameter without a type');
        if (position[p] !== 0) this.fail(p, 'is a parameter twice');
        position[p] = at;
      }
      at++;
      let prev = 0;
      for (let v = first; v !== 0; v = f.next[v]!) {
        if (v < 0 || v >= f.count) this.fail(prev, `the next row ${v} does not exist`);
        if (position[v] !== 0) this.fail(v, 'is linked twice');
        position[v] = at++;
        if (f.prev[v] !== prev) this.fail(v, `prev is v${f.prev[v]}, but v${prev} stands before it`);
        if (f.blockOf(v) !== b) this.fail(v, `stands in b${b}, but says b${f.blockOf(v)}`);
        const op = f.op(v);
        if (op >= Op.COUNT) this.fail(v, 'no such operator');
        if (op === Op.Param) this.fail(v, 'a parameter is linked');
        const terminator = (OP_FLAGS[op]! & OpFlag.Terminator) !== 0;
        if (terminator !== (f.next[v] === 0)) {
          this.fail(v, terminator ? 'a terminator inside a block' : 'the last row is not a terminator');
        }
        prev = v;
      }
      if (f.last[b] !== prev) this.fail(prev, `is last, but the block says v${f.last[b]}`);
      this.edges(prev);
    }
  }

  private edges(term: Value): void {
    const { f, edgeOwner } = this;
    if (f.op(term) === Op.BrTable) {
      this.list(term, f.b(term), 'B');
      if (f.listLength(f.b(term)) === 0) this.fail(term, 'no default edge');
    }
    const count = f.succCount(term);
    for (let i = 0; i < count; i++) {
      const edge: Edge = f.succEdge(term, i);
      this.list(term, edge, `edge ${i}`);
      if (edge === NONE || f.listLength(edge) < 1) this.fail(term, `edge ${i} has no target`);
      const target = f.edgeTarget(edge);
      if (target < 0 || target >= f.blockCount)
        this.fail(term, `edge ${i} goes to b${target}, which does not exist`);
      if (target === 0) this.fail(term, `edge ${i} goes to the entry`);
      if (f.first[target] === 0) this.fail(term, `edge ${i} goes to b${target}, which is empty`);
      if (edgeOwner[edge] !== 0 && edgeOwner[edge] !== term) {
        this.fail(term, `edge ${i} belongs to v${edgeOwner[edge]} too`);
      }
      edgeOwner[edge] = term;
    }
  }

  /** That v is a value which dominates the user (a row that stands in `this.block`). */
  private use(user: Value, v: Value, what: string): Type {
    const { f, position, cfg, block } = this;
    if (v <= 0 || v >= f.count) this.fail(user, `${what} is not a value: ${v}`);
    if (position[v] === 0) this.fail(user, `${what} (v${v}) is in no block`);
    const type = f.type(v);
    if (type === Type.None) this.fail(user, `${what} (v${v}) has no value`);
    const at = f.blockOf(v);
    const good = at === block ? position[v]! < position[user]! : cfg.dominates(at, block);
    if (!good && cfg.isReachable(block))
      this.fail(user, `${what} (v${v}, in b${at}) does not dominate its use`);
    const invoke = f.terminator(at);
    if (f.op(invoke) === Op.Invoke && user !== invoke && cfg.isReachable(block)) {
      const edge = this.edgeOf(v, invoke);
      if (edge !== NONE && !this.edgeDominates(edge, block))
        this.fail(user, `${what} (v${v}) is used where b${at} has not been left by its edge`);
    }
    return type;
  }

  /** The call that an Invoke guards. */
  private guarded(invoke: Value): Value {
    const { f } = this;
    let v = f.prev[invoke]!;
    while (v !== 0 && (f.op(v) === Op.Result || f.op(v) === Op.Caught)) v = f.prev[v]!;
    return v;
  }

  /** The edge of an Invoke on which a value of its block exists, or NONE: on both. */
  private edgeOf(v: Value, invoke: Value): Edge {
    const { f } = this;
    const op = f.op(v);
    if (op === Op.Caught) return f.c(invoke);
    const made = op === Op.Result || (OP_FLAGS[op]! & OpFlag.Call) !== 0;
    return made && (op === Op.Result ? f.a(v) : v) === this.guarded(invoke) ? f.b(invoke) : NONE;
  }

  /** Whether a block is only reached through an edge: the edge's target dominates it, and its other predecessors. */
  private edgeDominates(edge: Edge, block: Block): boolean {
    const { f, cfg } = this;
    const target = f.edgeTarget(edge);
    if (!cfg.dominates(target, block)) return false;
    for (let p = cfg.predStart[target]!; p < cfg.predStart[target + 1]!; p++) {
      if (cfg.predEdge[p] !== edge && !cfg.dominates(target, cfg.predBlock[p]!)) return false;
    }
    return true;
  }

  private expectType(v: Value, what: string, type: Type, set: number): void {
    if (!(set & (1 << type))) this.fail(v, `${what} has type ${TYPE_NAMES[type]}, expected ${typeSet(set)}`);
  }

  private values(v: Value, l: List, types: readonly Type[] | undefined, what: string): void {
    const { f } = this;
    this.list(v, l, 'B');
    const n = f.listLength(l);
    if (types && n !== types.length) this.fail(v, `${n} ${what}s, expected ${types.length}`);
    for (let i = 0; i < n; i++) {
      const type = this.use(v, f.listAt(l, i), `${what} ${i}`);
      if (types) this.expectType(v, `${what} ${i}`, type, 1 << types[i]!);
    }
  }

  private instruction(v: Value): void {
    const { f } = this;
    const op = f.op(v);
    const type = f.type(v);
    const types = RULES[op];
    const operands = OP_OPERANDS[op]!;
    if (types) {
      this.expectType(v, 'the result', type, types[0]!);
      let typeA: Type = Type.None;
      for (let i = 0; i < operands; i++) {
        const t = this.use(v, f.rows[v * ROW + F_A + i]!, `operand ${i}`);
        if (i === 0) typeA = t;
        const want = types[1 + i]!;
        this.expectType(
          v,
          `operand ${i}`,
          t,
          want === SAME ? 1 << type : want === SAME_A ? 1 << typeA : want,
        );
      }
    } else {
      for (let i = 0; i < operands; i++) {
        // A call is the operand of its results whether it has a value or not.
        if (op !== Op.Result && op !== Op.Caught) this.use(v, f.rows[v * ROW + F_A + i]!, `operand ${i}`);
      }
    }
    this.special(v, op, type);
    const edges = f.succCount(v);
    for (let i = 0; i < edges; i++) this.edgeArgs(v, f.succEdge(v, i), i);
  }

  private edgeArgs(v: Value, edge: Edge, i: number): void {
    const { f } = this;
    const target = f.edgeTarget(edge);
    const n = f.edgeArgCount(edge);
    if (n !== f.paramCount(target)) {
      this.fail(v, `edge ${i} has ${n} arguments, b${target} has ${f.paramCount(target)} parameters`);
    }
    for (let k = 0; k < n; k++) {
      const what = `argument ${k} of edge ${i}`;
      const type = this.use(v, f.edgeArg(edge, k), what);
      this.expectType(v, what, type, 1 << f.type(f.param(target, k)));
      if (f.op(v) !== Op.Invoke) continue;
      const own = f.blockOf(f.edgeArg(edge, k)) === f.blockOf(v) ? this.edgeOf(f.edgeArg(edge, k), v) : NONE;
      if (own !== NONE && own !== edge) this.fail(v, `${what} exists on the other edge only`);
    }
  }

  private special(v: Value, op: Op, type: Type): void {
    const { f } = this;
    const imm = f.imm(v);
    const imm2 = f.imm2(v);
    switch (op) {
      case Op.Nop:
        this.expectType(v, 'the result', type, VOID);
        return;
      case Op.VConst:
        this.list(v, imm, 'IMM');
        if (f.listLength(imm) !== 4) this.fail(v, 'a vector constant has 4 words');
        return;
      case Op.Bitcast: {
        const pair = (1 << type) | (1 << f.type(f.a(v)));
        if (pair !== (I32 | F32) && pair !== (I64 | F64) && pair !== (I64 | REF))
          this.fail(v, 'no such bitcast');
        return;
      }
      case Op.Load:
        if (!kindFits(memKind(imm2), type)) this.fail(v, 'no such kind of load for this type');
        return;
      case Op.Store:
        if (!kindFits(memKind(imm2), f.type(f.b(v)))) this.fail(v, 'no such kind of store for this type');
        return;
      case Op.RawLoad:
      case Op.VmLoad:
        this.raw(v, op, type);
        return;
      case Op.RawStore:
        this.raw(v, op, f.type(f.b(v)));
        return;
      case Op.VmStore:
        this.raw(v, op, f.type(f.a(v)));
        return;
      case Op.VmAddr:
        if (imm > 0) this.fail(v, 'the vmctx lies below the base');
        return;
      case Op.SlotAddr:
        if (imm < 0 || imm >= f.slots.length) this.fail(v, 'no such stack slot');
        return;
      case Op.Result: {
        // Directly behind its call or the call's result before it.
        const before = f.prev[v]!;
        const call = f.a(v);
        const follows =
          imm === 0
            ? before === call
            : f.op(before) === Op.Result && f.a(before) === call && f.imm(before) === imm - 1;
        if (!follows || !(OP_FLAGS[f.op(call)]! & OpFlag.Call))
          this.fail(v, 'a result that does not follow its call');
        if (type === Type.None) this.fail(v, 'a result without a type');
        if (f.type(call) !== Type.None) this.fail(v, 'the call has its single result itself');
        return;
      }
      case Op.Caught: {
        const call = f.a(v);
        let before = f.prev[v]!;
        while (f.op(before) === Op.Caught || f.op(before) === Op.Result) before = f.prev[before]!;
        if (before !== call || !(OP_FLAGS[f.op(call)]! & OpFlag.Call))
          this.fail(v, 'what is caught does not follow its call');
        if (f.op(f.terminator(f.blockOf(v))) !== Op.Invoke) this.fail(v, 'the call is not invoked');
        if (imm < 0 || imm > 1) this.fail(v, 'nothing else is caught');
        this.expectType(v, 'the result', type, imm === 0 ? REF : I32);
        return;
      }
      case Op.Invoke:
        if (imm < 0 || imm >= f.scopes.length) this.fail(v, 'no such scope');
        if (!(OP_FLAGS[f.op(this.guarded(v))]! & OpFlag.Call)) this.fail(v, 'no call stands before it');
        return;
      case Op.Call:
        this.call(v, this.ctx.func?.(imm));
        return;
      case Op.CallImport:
        this.call(v, this.ctx.import?.(imm));
        return;
      case Op.CallIndirect:
        if (f.c(v) !== NONE) this.expectType(v, 'the vmctx', this.use(v, f.c(v), 'the vmctx'), I64);
        this.call(v, this.ctx.type?.(imm));
        return;
      case Op.TailCall:
        this.tailCall(v, this.ctx.func?.(imm));
        return;
      case Op.TailCallIndirect:
        this.tailCall(v, this.ctx.type?.(imm));
        return;
      case Op.CallBuiltin: {
        if (imm < 0 || imm >= BUILTINS.length) this.fail(v, 'no such builtin');
        const n = f.listLength(f.b(v));
        if (n > BUILTINS[imm]!.args) this.fail(v, `${n} arguments for a builtin of ${BUILTINS[imm]!.args}`);
        this.expectType(v, 'the result', type, VOID | INT | REF);
        this.values(v, f.b(v), undefined, 'argument');
        for (let i = 0; i < n; i++) {
          this.expectType(v, `argument ${i}`, f.type(f.listAt(f.b(v), i)), INT | REF);
        }
        return;
      }
      case Op.Return:
        this.values(v, f.b(v), f.results, 'result');
        return;
      case Op.BrIf:
        if (imm < 0 || imm > 2) this.fail(v, 'no such hint');
        return;
      case Op.VShuffle:
        if (f.op(f.c(v)) !== Op.VConst) this.fail(v, 'the indices of a shuffle are a constant');
        return;
      case Op.VUnary:
      case Op.VBinary:
      case Op.VTernary:
      case Op.VShift:
      case Op.VSplat:
      case Op.VExtract:
      case Op.VReplace:
      case Op.VTest:
        this.vector(v, op, type);
        return;
    }
  }

  private vector(v: Value, op: Op, type: Type): void {
    const { f } = this;
    const sub = f.imm2(v);
    if (sub < 0 || sub >= VEC_OP_COUNT || VEC_CLASS[sub] !== op) this.fail(v, 'no such vector operator');
    const scalar = 1 << VEC_SCALAR[sub]!;
    if (op === Op.VSplat) this.expectType(v, 'the scalar', f.type(f.a(v)), scalar);
    if (op === Op.VReplace) this.expectType(v, 'the scalar', f.type(f.b(v)), scalar);
    if (op === Op.VExtract) this.expectType(v, 'the result', type, scalar);
    const lanes = op === Op.VExtract || op === Op.VReplace ? VEC_LANES[sub]! : 1;
    if (f.imm(v) < 0 || f.imm(v) >= lanes) this.fail(v, 'no such lane');
  }

  private tailCall(v: Value, signature: Signature | undefined): void {
    const { f } = this;
    this.values(v, f.b(v), signature?.params, 'argument');
    const results = signature?.results;
    if (results && (results.length !== f.results.length || results.some((t, i) => t !== f.results[i])))
      this.fail(v, 'the callee has other results');
  }

  private raw(v: Value, op: Op, type: Type): void {
    const { f } = this;
    const access = f.imm2(v);
    const region = rawRegion(access);
    if (region > Region.Args) this.fail(v, 'no such region');
    if (!kindFits(rawKind(access), type)) this.fail(v, 'no such kind of access for this type');
    if (region === Region.ReadOnly && (op === Op.RawStore || op === Op.VmStore))
      this.fail(v, 'a store to what is never written');
    if ((op === Op.VmLoad || op === Op.VmStore) && f.imm(v) >= 0)
      this.fail(v, 'a vmctx field lies below the base');
  }

  private call(v: Value, signature: Signature | undefined): void {
    const { f } = this;
    this.values(v, f.b(v), signature?.params, 'argument');
    if (!signature) return;
    const { results } = signature;
    if (results.length === 1) {
      this.expectType(v, 'the result', f.type(v), 1 << results[0]!);
      return;
    }
    this.expectType(v, 'the result', f.type(v), VOID);
    let n = 0;
    for (let r = f.next[v]!; r !== 0 && f.op(r) === Op.Result; r = f.next[r]!, n++) {
      if (n < results.length) this.expectType(r, 'the result', f.type(r), 1 << results[n]!);
    }
    if (n !== results.length) this.fail(v, `${n} results, expected ${results.length}`);
  }
}

const verifier = new Verifier();

/** Check every invariant of a function; throws through bug(), naming function, block and instruction. */
export function verify(f: Func, ctx: VerifyContext = {}): void {
  verifier.run(f, ctx);
}
